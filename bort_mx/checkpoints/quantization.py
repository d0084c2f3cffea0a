"""How the dense layers of an exported model are put into 8 bits, and the calibration of their inputs on texts.

N rows (tokens), K inputs of a dense layer, M its outputs.
"""

import dataclasses
from typing import Dict, FrozenSet, Mapping, Optional, Tuple

import numpy as np

ROWS = 512
"""Inputs of each dense layer that calibration keeps, spread evenly over the texts."""
MOST_VALUES = 100_000
"""Of these, so many numbers are tried at most for each range."""
CLIPS = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Shares of the full range that calibration tries. A few outliers may be worth clipping for finer steps."""

CALIBRATED = ("encoder.", "decoder.")
"""How the names of layers begin that static 8 bits are for. A classifier's own are too small to be worth it."""


@dataclasses.dataclass(frozen=True)
class Quantization:
    """Which form of 8 bits a file has."""

    weight_bits: int = 8
    """8, or 7. CPUs without VNNI add pairs of products in 16 bits, which 8-bit weights can overflow; 7-bit ones
    cannot."""
    ranges: Optional[Mapping[str, Tuple[float, float]]] = None
    """Static: smallest and largest input of each dense layer, by its module's name. None: dynamic, each input is
    quantized over its own range as it comes."""
    in_float: FrozenSet[str] = frozenset()
    """Modules that stay in float32."""

    @property
    def name(self) -> str:
        """The form in words."""
        kept = f", {len(self.in_float)} layers float32" if self.in_float else ""
        weights = "" if self.weight_bits == 8 else f", {self.weight_bits}-bit weights"
        return f"{'dynamic' if self.ranges is None else 'static'} int8{weights}{kept}"

    def covers(self, module: str) -> bool:
        """Whether a dense layer is quantized: a static form lacks the ranges of what its texts did not reach."""
        return module not in self.in_float and (self.ranges is None or module in self.ranges)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What calibration found for each dense layer."""

    ranges: Dict[str, Tuple[float, float]]
    """Range of the input with the least squared error."""
    errors: Dict[str, float]
    """Relative root mean square error of the output if this layer alone is quantized, its weights in 8 bits."""

    def worst(self, count: int) -> FrozenSet[str]:
        """The modules with the largest errors."""
        return frozenset(sorted(self.errors, key=self.errors.get, reverse=True)[:count])


def quantized(matrix: np.ndarray, bits: int = 8) -> Tuple[np.ndarray, np.ndarray]:
    """A matrix (M, K) → integers (M, K) and scales (M,): their product is the matrix.

    Symmetric, one scale for each row (one output of the layer): the largest error of an element is half its scale.

    Args:
        matrix: float32.
        bits: 8 for −127 … 127, 7 for −63 … 63.
    """
    most = np.float32(2 ** (bits - 1) - 1)
    scales = np.maximum(np.abs(matrix).max(axis=1), np.float32(1e-12)) / most
    return np.rint(matrix / scales[:, None]).astype(np.int8), scales.astype(np.float32)


def scale_and_zero(low: float, high: float) -> Tuple[np.float32, np.uint8]:
    """Scale and zero point of values from `low` to `high` in 0 … 255. Zero is exact, as it is frequent."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / 255.0, 1e-12)
    return np.float32(scale), np.uint8(np.clip(round(-low / scale), 0, 255))


def fake_quantized(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values as they come back from 8 bits of the range low … high."""
    scale, zero = scale_and_zero(low, high)
    return ((np.clip(np.rint(values / scale) + np.float32(zero), 0, 255) - np.float32(zero)) * scale).astype(np.float32)


def best_range(values: np.ndarray) -> Tuple[float, float]:
    """The range whose 8 bits have the least squared error on `values` of any shape; each end is clipped for itself."""
    low, high = float(values.min()), float(values.max())
    values = values.reshape(-1)[::-(-values.size // MOST_VALUES)]

    def error(ends: Tuple[float, float]) -> float:
        return float(np.square(fake_quantized(values, *ends) - values, dtype=np.float64).sum())

    high = min(((low, high * clip) for clip in CLIPS), key=error)[1]
    return min(((low * clip, high) for clip in CLIPS), key=error)


def calibration_of(rows: Mapping[str, np.ndarray], matrices: Mapping[str, np.ndarray]) -> Calibration:
    """Ranges and errors of dense layers.

    Args:
        rows: inputs (N, K) by module.
        matrices: weights (M, K) by module.
    """
    ranges, errors = {}, {}
    for module, values in rows.items():
        ranges[module] = best_range(values)
        integers, scales = quantized(matrices[module])
        want = values @ matrices[module].T  # (N, M)
        got = fake_quantized(values, *ranges[module]) @ (integers * scales[:, None]).T
        errors[module] = float(np.sqrt(np.square(got - want).mean() / max(np.square(want).mean(), 1e-30)))
    return Calibration(ranges, errors)

"""Calibration for static 8 bits: the float32 graph is run on texts, and the inputs of dense layers are kept."""

import pathlib
import tempfile
from typing import Dict, Iterable, List, Mapping, Optional

import numpy as np

from bort_mx.checkpoints.onnx_export import write_graph
from bort_mx.checkpoints.onnx_model import OnnxModel
from bort_mx.checkpoints.quantization import ROWS, Calibration, calibration_of
from bort_mx.checkpoints.weights import Weights


def calibrate(weights: Weights, batches: Iterable[Mapping[str, Optional[np.ndarray]]], seed: int = 0) -> Calibration:
    """Ranges and errors of the dense layers on batches of texts.

    Args:
        weights: with the head that is to be exported.
        batches: dicts with ids (B, s), lengths (B,), types (B, s) or None, as `bort_mx.inference.pipeline.pad` makes.
        seed: of the choice of tokens.
    """
    rng = np.random.default_rng(seed)
    rows: Dict[str, List[np.ndarray]] = {}
    batches = list(batches)
    each = -(-ROWS // max(1, len(batches)))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.onnx"
        write_graph(weights, path, None, 17, dense_inputs=True)
        model = OnnxModel(path)
        for batch in batches:
            found = model.dense_inputs(batch["ids"], batch["lengths"], batch["types"])
            _collect(rows, found, batch["lengths"], each, rng)
    kept = {name: np.concatenate(found) for name, found in rows.items()}
    return calibration_of(kept, {name: weights.float32(f"{name}.weight") for name in kept})


def _collect(rows: Dict[str, List[np.ndarray]], found: Mapping[str, np.ndarray], lengths: np.ndarray, each: int,
             rng: np.random.Generator) -> None:
    """Add `each` inputs of every layer, of tokens that are not padding."""
    for name, values in found.items():
        real = np.arange(values.shape[1])[None] < np.minimum(lengths, values.shape[1])[:, None]  # (B, s)
        inputs = values[real]  # (N, K)
        chosen = rng.choice(len(inputs), min(each, len(inputs)), replace=False)
        rows.setdefault(name, []).append(inputs[np.sort(chosen)])

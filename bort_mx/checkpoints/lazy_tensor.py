"""Tensors that stay in their file until asked for, so that loading needs the memory of one tensor at a time."""

import dataclasses
import json
import math
import os
import pathlib
from typing import Any, Dict, Tuple, Union

import numpy as np
import safetensors

from bort_mx.errors import InputError
from bort_mx.io.near_names import missing

BFLOAT16 = "bfloat16"
"""NumPy has no such type: its 16 bits are the upper half of a float32."""

_SAFETENSORS_TYPES = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": BFLOAT16, "I64": "i8", "I32": "i4", "I16": "i2",
                      "I8": "i1", "U8": "u1", "BOOL": "?"}


@dataclasses.dataclass(frozen=True)
class StoredTensor:
    """A contiguous little-endian tensor in a file. It has what its readers use of an array: shape, dtype, astype."""

    path: pathlib.Path
    """The file."""
    offset: int
    """Where its first byte is."""
    kind: str
    """NumPy's type code, or `BFLOAT16`."""
    shape: Tuple[int, ...]
    """Its shape."""

    @property
    def dtype(self) -> np.dtype:
        """The type that it is read as (float32 for bfloat16)."""
        return np.dtype("<f4" if self.kind == BFLOAT16 else self.kind)

    def rows(self, start: int, stop: int) -> "StoredTensor":
        """Rows start … stop − 1, still in the file."""
        if not 0 <= start <= stop <= self.shape[0]:
            raise ValueError(f"rows {start} to {stop} of {self.shape[0]}")
        stride = self.itemsize * math.prod(self.shape[1:])
        return dataclasses.replace(self, offset=self.offset + start * stride, shape=(stop - start, *self.shape[1:]))

    @property
    def itemsize(self) -> int:
        """Bytes of one element in the file."""
        return 2 if self.kind == BFLOAT16 else self.dtype.itemsize

    def read(self) -> np.ndarray:
        """The values.

        Raises:
            InputError: the file has been cut since it was opened.
        """
        count, kind = math.prod(self.shape), np.dtype("<u2") if self.kind == BFLOAT16 else self.dtype
        raw = np.fromfile(self.path, kind, count, offset=self.offset)
        if raw.size != count:
            raise InputError(f"{self.path}: cut short while it was read; fetch or copy it again")
        if self.kind == BFLOAT16:
            raw = (raw.astype("<u4") << 16).view("<f4")
        return raw.reshape(self.shape)

    def astype(self, dtype: Any, copy: bool = False) -> np.ndarray:
        """The values in another type."""
        return self.read().astype(dtype, copy=copy)

    def __array__(self, dtype: Any = None) -> np.ndarray:
        return self.read() if dtype is None else self.astype(dtype)


Tensor = Union[np.ndarray, StoredTensor]


def rows(tensor: Tensor, start: int, stop: int) -> Tensor:
    """Rows start … stop − 1 of a tensor, without reading one that is in a file."""
    return tensor.rows(start, stop) if isinstance(tensor, StoredTensor) else tensor[start:stop]


def length(tensor: Tensor) -> int:
    """Rows of a tensor; 0 of a single number."""
    return tensor.shape[0] if tensor.shape else 0


def are_tensors(value: Any) -> bool:
    """Whether a value is a dictionary of tensors by name."""
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(tensor, (StoredTensor, np.ndarray)) for name, tensor in value.items())


def is_zero(tensor: Tensor) -> bool:
    """Whether all values are 0."""
    return not np.any(np.asarray(tensor))


def equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same place in a file, or have the same values."""
    both_stored = isinstance(one, StoredTensor) and isinstance(other, StoredTensor)
    return (both_stored and one == other) or np.array_equal(np.asarray(one), np.asarray(other))


def float32(tensor: Tensor) -> np.ndarray:
    """The values as a contiguous float32 array."""
    return np.ascontiguousarray(tensor.astype(np.float32, copy=False))


def read_safetensors(path: os.PathLike) -> Dict[str, StoredTensor]:
    """The tensors of a safetensors file, by name.

    The library checks the header first: that it is whole, that every tensor's bytes are as many as its shape needs, and
    that they fill the file exactly. So a header that claims more than the file holds costs no memory.

    Raises:
        InputError: no such file, truncated, not safetensors, or a type that no weight has.
    """
    path = pathlib.Path(path)
    try:
        with safetensors.safe_open(path, "np"), open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
    except FileNotFoundError:
        raise InputError(missing(path)) from None
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: not a whole safetensors file ({error}); fetch or copy it again") from None
    header.pop("__metadata__", None)
    unknown = sorted({entry["dtype"] for entry in header.values()} - set(_SAFETENSORS_TYPES))
    if unknown:
        raise InputError(f"{path}: tensors of type {', '.join(unknown)}; known are {', '.join(_SAFETENSORS_TYPES)}")
    return {name: StoredTensor(path, 8 + length + entry["data_offsets"][0], _SAFETENSORS_TYPES[entry["dtype"]],
                               tuple(entry["shape"])) for name, entry in header.items()}

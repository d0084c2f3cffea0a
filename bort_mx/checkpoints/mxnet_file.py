"""MXNet's .params files: named arrays in a plain binary layout, with no code in it.

The layout is that of MXNet 1.x (`NDArray::Save`):

    file     uint64 0x112 · uint64 0 · uint64 count · the arrays · uint64 count · the names
    array    uint32 magic · int32 storage type · int32 number of dimensions · int64 each dimension
             · int32 device type · int32 device number · int32 element type · the elements
    name     uint64 length · the bytes

In files of MXNet before 0.12 (magic V1, or none) only the head of an array differs.

`mx.nd.load` is not used: it trusts the sizes in the file, and takes memory for them before it reads.
"""

import math
import os
import pathlib
import struct
from typing import BinaryIO, Dict, Tuple

from bort_mx.checkpoints.lazy_tensor import BFLOAT16, StoredTensor
from bort_mx.errors import InputError
from bort_mx.io.near_names import missing

LIST_MAGIC, V1_MAGIC, V2_MAGIC, V3_MAGIC = 0x112, 0xF993FAC8, 0xF993FAC9, 0xF993FACA
KINDS = {0: "f4", 1: "f8", 2: "f2", 3: "u1", 4: "i4", 5: "i1", 6: "i8", 7: "?", 12: BFLOAT16}
MAX_DIMENSIONS = 32


def read(path: os.PathLike) -> Dict[str, StoredTensor]:
    """The arrays of a .params file by name, without the prefix "arg:" or "aux:" of exported symbols.

    Raises:
        InputError: not such a file, a truncated one, or sizes in it exceed the file.
    """
    path = pathlib.Path(path)
    try:
        with open(path, "rb") as file:
            return _read(file, path)
    except FileNotFoundError:
        raise InputError(missing(path)) from None
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a whole file of MXNet parameters ({error}); fetch or copy it again") from None


def _read(file: BinaryIO, path: pathlib.Path) -> Dict[str, StoredTensor]:
    if _numbers(file, "QQ") != (LIST_MAGIC, 0):
        raise ValueError("it does not begin as one")
    arrays = [_array(file, path) for _ in range(_count(file, at_least=4))]
    names = [_name(file) for _ in range(_count(file, at_least=8))]
    if len(names) != len(arrays):
        raise ValueError(f"{len(arrays)} arrays with {len(names)} names")
    if file.read(1):
        raise ValueError("bytes after its end")
    if len(set(names)) != len(names):
        raise ValueError("two arrays of one name")
    return {name.split(":", 1)[1] if name.startswith(("arg:", "aux:")) else name: array
            for name, array in zip(names, arrays)}


def _array(file: BinaryIO, path: pathlib.Path) -> StoredTensor:
    """Read the head of one array and skip its elements."""
    magic, = _numbers(file, "I")
    if magic in (V2_MAGIC, V3_MAGIC) and _numbers(file, "i") != (0,):
        raise ValueError("a sparse array")
    current = magic in (V1_MAGIC, V2_MAGIC, V3_MAGIC)
    dimensions = _numbers(file, "i")[0] if current else magic  # the oldest files begin with the dimensions themselves
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise ValueError(f"an array of {dimensions} dimensions")
    shape = _numbers(file, ("q" if current else "I") * dimensions)
    _, _, code = _numbers(file, "iii")  # device type, device number, element type
    if code not in KINDS or min(shape) < 0:
        raise ValueError(f"an array of shape {shape} and type {code}")
    array = StoredTensor(path, file.tell(), KINDS[code], shape)
    if array.itemsize * math.prod(shape) > _left(file):
        raise ValueError(f"an array of shape {shape} where {_left(file)} bytes are left")
    file.seek(array.itemsize * math.prod(shape), os.SEEK_CUR)
    return array


def _name(file: BinaryIO) -> str:
    length, = _numbers(file, "Q")
    if length > _left(file):
        raise ValueError(f"a name of {length} bytes where {_left(file)} are left")
    return file.read(length).decode("utf-8")


def _count(file: BinaryIO, at_least: int) -> int:
    """Read a count, of things that take `at_least` bytes each."""
    count, = _numbers(file, "Q")
    if count * at_least > _left(file):
        raise ValueError(f"{count} entries where {_left(file)} bytes are left")
    return count


def _left(file: BinaryIO) -> int:
    """Bytes from the position to the end."""
    return os.fstat(file.fileno()).st_size - file.tell()


def _numbers(file: BinaryIO, layout: str) -> Tuple[int, ...]:
    """Read little-endian numbers of a layout of `struct`."""
    size = struct.calcsize("<" + layout)
    data = file.read(size)
    if len(data) != size:
        raise ValueError("it ends too early")
    return struct.unpack("<" + layout, data)

"""PyTorch's .bin and .pt files, read without PyTorch and without running anything that is in them.

Both layouts are read: the zip archive (PyTorch 1.6 and later) and the stream of pickles before it. The pickles are
interpreted by `torch_pickle`. Tensors stay in the file (`StoredTensor`) until they are asked for.
"""

import io
import math
import mmap
import os
import pathlib
import struct
import zipfile
from typing import Any, BinaryIO, Dict, Tuple

import numpy as np

from bort_mx.checkpoints.lazy_tensor import StoredTensor, Tensor
from bort_mx.checkpoints.torch_pickle import Refused, Storage, View, checked, interpret
from bort_mx.errors import InputError
from bort_mx.io.near_names import missing

LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""The first two pickles of the layout before PyTorch 1.6."""


def read(path: os.PathLike) -> Any:
    """The value in a .bin or .pt file.

    Returns:
        dictionaries, lists, numbers, strings, tensors (as `lazy_tensor.Tensor`) and `torch_pickle.Namespace`s.
    Raises:
        InputError: not such a file, a truncated one, or one that names anything else; nothing of it has been run.
    """
    path = pathlib.Path(path)
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise ValueError("it is empty")
            value = _read_zip(file) if zipfile.is_zipfile(file) else _read_legacy(file)
            return _Resolver(path, os.fstat(file.fileno()).st_size).resolve(value)
    except FileNotFoundError:
        raise InputError(missing(path)) from None
    except Refused as error:
        raise InputError(f"{path}: refused, as {error}; nothing in it was run") from None
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError, struct.error,
            NotImplementedError, zipfile.BadZipFile, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: not a whole PyTorch file ({reason}); fetch or copy it again") from None


def _read_zip(file: BinaryIO) -> Any:
    """The archive of PyTorch 1.6 and later: NAME/data.pkl, and NAME/data/KEY for each storage, uncompressed."""
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename.split("/", 1)[-1]: entry for entry in archive.infolist()}
        if "data.pkl" not in entries:
            raise ValueError("the archive has no data.pkl")
        if "byteorder" in entries and _entry_bytes(file, entries["byteorder"]) != b"little":
            raise ValueError("its byte order is not little-endian")
        storages: Dict[str, Storage] = {}

        def storage(kind: str, key: str, elements: int) -> Storage:
            """The storage of an entry, which must have as many bytes as the pickle says."""
            if key not in storages:
                offset, length = _entry_extent(file, entries[f"data/{key}"])
                storages[key] = Storage(kind, elements, offset)
                if elements * storages[key].itemsize != length:
                    raise ValueError(f"storage {key} has {length} bytes, not {elements} elements")
            return _agreeing(storages[key], kind, elements, key)

        return interpret(io.BytesIO(_entry_bytes(file, entries["data.pkl"])), storage)


def _agreeing(storage: Storage, kind: str, elements: int, key: str) -> Storage:
    """The storage, if a further mention of it agrees in type and number of elements."""
    if (storage.kind, storage.elements) != (kind, elements):
        raise ValueError(f"storage {key} is {storage.elements} of {storage.kind} and {elements} of {kind}")
    return storage


def _entry_extent(file: BinaryIO, entry: zipfile.ZipInfo) -> Tuple[int, int]:
    """Offset and length of an entry's bytes, checked against the file's size."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        raise ValueError(f"entry {entry.filename} is compressed")
    file.seek(entry.header_offset)
    header = file.read(30)
    name, extra = struct.unpack("<HH", header[26:30])  # their lengths, at the end of the local header
    offset = entry.header_offset + 30 + name + extra
    if header[:4] != b"PK\3\4" or offset + entry.file_size > os.fstat(file.fileno()).st_size:
        raise ValueError(f"entry {entry.filename} lies outside the file")
    return offset, entry.file_size


def _entry_bytes(file: BinaryIO, entry: zipfile.ZipInfo) -> bytes:
    offset, length = _entry_extent(file, entry)
    file.seek(offset)
    return file.read(length)


def _read_legacy(file: BinaryIO) -> Any:
    """The layout before PyTorch 1.6: pickles of magic, protocol, system, object and storage keys, then the storages."""
    storages: Dict[str, Storage] = {}

    def storage(kind: str, key: str, elements: int) -> Storage:
        return _agreeing(storages.setdefault(key, Storage(kind, elements)), kind, elements, key)

    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:  # its reads end where the file does
        if interpret(stream, storage) != LEGACY_MAGIC or interpret(stream, storage) != LEGACY_PROTOCOL:
            raise ValueError("neither a zip archive nor the older layout of torch.save")
        interpret(stream, storage)  # sizes of the C types on the machine that wrote it
        value = interpret(stream, storage)
        for key in checked(interpret(stream, storage), list):
            checked(key, str)
            elements, = struct.unpack("<q", stream.read(8))
            if elements != storages[key].elements:
                raise ValueError(f"storage {key} has {elements} elements, not {storages[key].elements}")
            storages[key].offset = stream.tell()
            stream.seek(elements * storages[key].itemsize, os.SEEK_CUR)  # refuses to go past the end
    return value


class _Resolver:
    """Makes tensors of the views in a value, once it is known where each storage lies in the file.

    Args:
        path: the file.
        room: bytes that all copied views may take together: those of the file.
    """

    def __init__(self, path: pathlib.Path, room: int):
        self._path, self._room = path, room
        self._done: Dict[int, Any] = {}

    def resolve(self, value: Any) -> Any:
        """The value with every view made a tensor."""
        if isinstance(value, View):
            return self._tensor(value)
        if not isinstance(value, (dict, list, tuple)):
            return value
        done = self._done
        if id(value) not in done:  # each once: a list of two equal lists of two equal lists … would never end
            if isinstance(value, dict):
                done[id(value)] = {key: self.resolve(item) for key, item in value.items()}
            else:
                done[id(value)] = type(value)(self.resolve(item) for item in value)
        return done[id(value)]

    def _tensor(self, view: View) -> Tensor:
        """A view as a tensor in the file, or, where its elements do not follow one another, as an array."""
        storage, shape = view.storage, view.shape
        count = math.prod(shape)
        last = view.offset + sum((n - 1) * step for n, step in zip(shape, view.stride)) if count else view.offset
        if min((view.offset, *shape, *view.stride), default=0) < 0 or len(shape) != len(view.stride):
            raise ValueError(f"a tensor of shape {shape} with strides {view.stride}")
        if storage.offset is None or max(last + 1, view.offset + count) > storage.elements + (count == 0):
            raise ValueError(f"a tensor of shape {shape} in a storage of {storage.elements} elements")
        contiguous = tuple(math.prod(shape[i + 1:]) for i in range(len(shape)))
        if all(n == 1 or step == want for n, step, want in zip(shape, view.stride, contiguous)):
            return StoredTensor(self._path, storage.offset + view.offset * storage.itemsize, storage.kind, shape)
        return self._copied(view, last + 1 - view.offset)

    def _copied(self, view: View, span: int) -> np.ndarray:
        """The values of a view whose elements lie apart, within `span` elements of its storage."""
        storage = view.storage
        self._room -= storage.itemsize * max(span, math.prod(view.shape))
        if self._room < 0:
            raise ValueError("views of its tensors that overlap and together exceed the file")
        offset = storage.offset + view.offset * storage.itemsize
        values = StoredTensor(self._path, offset, storage.kind, (max(span, 0),)).read()
        strides = [step * values.itemsize for step in view.stride]
        return np.lib.stride_tricks.as_strided(values, view.shape, strides, writeable=False).copy()

"""PyTorch's .bin and .pt files, read without PyTorch and without running anything that is in them.

Such a file is a pickle, that is, a program for a small stack machine which may call any Python function. Here that
machine is interpreted by `_Machine`: it knows containers, numbers, strings and tensors; a global is a name to it and
never an object, so there is nothing that a file could call. A name that no weight needs is refused.

Both layouts are read: the zip archive (PyTorch 1.6 and later) and the stream of pickles before it. Tensors stay in
the file (`StoredTensor`) until they are asked for.
"""

import collections
import dataclasses
import io
import math
import mmap
import os
import pathlib
import pickletools
import struct
import zipfile
from typing import Any, BinaryIO, Callable, Dict, List, Optional, Tuple

import numpy as np

from bort_mx.checkpoints.lazy_tensor import BFLOAT16, StoredTensor, Tensor
from bort_mx.errors import InputError

MAX_INSTRUCTIONS = 1_000_000
"""Of one pickle. A tensor takes about 40; each can cost 100 bytes of memory for one of the file."""
LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {"torch.FloatStorage": "f4", "torch.DoubleStorage": "f8", "torch.HalfStorage": "f2",
            "torch.BFloat16Storage": BFLOAT16, "torch.LongStorage": "i8", "torch.IntStorage": "i4",
            "torch.ShortStorage": "i2", "torch.CharStorage": "i1", "torch.ByteStorage": "u1",
            "torch.BoolStorage": "?"}
GLOBALS = {*STORAGES, "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor",
           "torch._utils._rebuild_parameter", "collections.OrderedDict", "argparse.Namespace"}


@dataclasses.dataclass
class Namespace:
    """What stands for an argparse.Namespace (fairseq keeps its options in one): its values, and no behaviour."""

    values: Dict[str, Any]


@dataclasses.dataclass(frozen=True)
class _Global:
    """A name that the file mentions. It is never looked up."""

    name: str


@dataclasses.dataclass
class _Storage:
    """A run of elements in the file; where it is, the legacy layout tells only at its end."""

    kind: str
    elements: int
    offset: Optional[int] = None

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return 2 if self.kind == BFLOAT16 else np.dtype(self.kind).itemsize


@dataclasses.dataclass(frozen=True)
class _View:
    """A tensor: a strided view of a storage."""

    storage: _Storage
    offset: int
    shape: Tuple[int, ...]
    stride: Tuple[int, ...]


class _Refused(Exception):
    """The file asks for something that weights do not need."""


def read(path: os.PathLike) -> Any:
    """What a .bin or .pt file holds: dictionaries, lists, numbers, strings, tensors (as `Tensor`) and `Namespace`s.

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
        raise InputError(f"{path}: no such file") from None
    except _Refused as error:
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
        storages: Dict[str, _Storage] = {}

        def storage(kind: str, key: str, elements: int) -> _Storage:
            """Where the bytes of a storage lie, once they were found to be as many as it says."""
            if key not in storages:
                offset, length = _entry_extent(file, entries[f"data/{key}"])
                storages[key] = _Storage(kind, elements, offset)
                if elements * storages[key].itemsize != length:
                    raise ValueError(f"storage {key} has {length} bytes, not {elements} elements")
            return _agreeing(storages[key], kind, elements, key)

        return _Machine(storage).run(io.BytesIO(_entry_bytes(file, entries["data.pkl"])))


def _agreeing(storage: _Storage, kind: str, elements: int, key: str) -> _Storage:
    """The storage, if a further mention of it says the same of it."""
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
    storages: Dict[str, _Storage] = {}

    def storage(kind: str, key: str, elements: int) -> _Storage:
        return _agreeing(storages.setdefault(key, _Storage(kind, elements)), kind, elements, key)

    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:  # its reads end where the file does
        if _Machine(storage).run(stream) != LEGACY_MAGIC or _Machine(storage).run(stream) != LEGACY_PROTOCOL:
            raise ValueError("neither a zip archive nor the older layout of torch.save")
        _Machine(storage).run(stream)  # sizes of the C types on the machine that wrote it
        value = _Machine(storage).run(stream)
        for key in _checked(_Machine(storage).run(stream), list):
            _checked(key, str)
            elements, = struct.unpack("<q", stream.read(8))
            if elements != storages[key].elements:
                raise ValueError(f"storage {key} has {elements} elements, not {storages[key].elements}")
            storages[key].offset = stream.tell()
            stream.seek(elements * storages[key].itemsize, os.SEEK_CUR)  # refuses to go past the end
    return value


class _Resolver:
    """Makes tensors of the views in a value.

    Args:
        path: the file.
        room: bytes that views which must be copied may take together: those of the file.
    """

    def __init__(self, path: pathlib.Path, room: int):
        self._path, self._room = path, room
        self._done: Dict[int, Any] = {}

    def resolve(self, value: Any) -> Any:
        """The value with every view made a tensor."""
        if isinstance(value, _View):
            return self._tensor(value)
        if not isinstance(value, (dict, list, tuple)):
            return value
        done = self._done
        if id(value) not in done:  # each once, or a list of two equal lists of two equal lists … would never end
            if isinstance(value, dict):
                done[id(value)] = {key: self.resolve(item) for key, item in value.items()}
            else:
                done[id(value)] = type(value)(self.resolve(item) for item in value)
        return done[id(value)]

    def _tensor(self, view: _View) -> Tensor:
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

    def _copied(self, view: _View, span: int) -> np.ndarray:
        """A view of elements that lie apart, in a span of so many."""
        storage = view.storage
        self._room -= storage.itemsize * max(span, math.prod(view.shape))
        if self._room < 0:
            raise ValueError("views of its tensors that overlap and together exceed the file")
        offset = storage.offset + view.offset * storage.itemsize
        values = StoredTensor(self._path, offset, storage.kind, (max(span, 0),)).read()
        strides = [step * values.itemsize for step in view.stride]
        return np.lib.stride_tricks.as_strided(values, view.shape, strides, writeable=False).copy()


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE",
             "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


class _Machine:
    """Interprets one pickle over containers, literals, known names and tensors.

    Args:
        storage: (type code, key, elements) → the storage.
    """

    def __init__(self, storage: Callable[[str, str, int], _Storage]):
        self._storage = storage
        self._stack: List[Any] = []
        self._memo: Dict[int, Any] = {}

    def run(self, stream: Any) -> Any:
        """The value of the pickle that starts at the stream's position."""
        for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if number == MAX_INSTRUCTIONS:
                raise _Refused(f"it has more than {MAX_INSTRUCTIONS:,} instructions, which weights do not need")
            if opcode.name == "STOP":
                return self._stack.pop()
            self._step(opcode.name, argument)
        raise ValueError("the pickle has no end")

    def _step(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self._stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            count = _TUPLES[name]
            self._stack[-count:] = [tuple(self._stack[-count:])]
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self._stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[argument])
        elif name not in ("PROTO", "FRAME"):
            handler = getattr(self, "_do_" + name.lower(), None)
            if handler is None:
                raise _Refused(f"it uses the pickle instruction {name}, which weights do not need")
            handler(argument)

    def _pop_to_mark(self) -> List[Any]:
        """Take what lies above the topmost mark, and the mark."""
        at = len(self._stack) - 1
        while self._stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("the pickle lacks a mark")
        items = self._stack[at + 1:]
        del self._stack[at:]
        return items

    def _do_mark(self, _: Any) -> None:
        self._stack.append(_MARK)

    def _do_memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _do_tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def _do_append(self, _: Any) -> None:
        item = self._stack.pop()
        _checked(self._stack[-1], list).append(item)

    def _do_appends(self, _: Any) -> None:
        items = self._pop_to_mark()
        _checked(self._stack[-1], list).extend(items)

    def _do_setitem(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        _checked(self._stack[-1], dict)[_key(key)] = value

    def _do_setitems(self, _: Any) -> None:
        items = self._pop_to_mark()
        _checked(self._stack[-1], dict).update(zip(map(_key, items[::2]), items[1::2]))

    def _do_global(self, argument: str) -> None:
        self._push_global(argument.replace(" ", ".", 1))

    def _do_stack_global(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._push_global(f"{_checked(module, str)}.{_checked(name, str)}")

    def _push_global(self, name: str) -> None:
        if name not in GLOBALS:
            raise _Refused(f"it names {name[:100]!r}, and a file of weights names tensors and nothing else")
        self._stack.append(_Global(name))

    def _do_binpersid(self, _: Any) -> None:
        tag, storage_type, key, _, elements, *rest = self._stack.pop()
        if tag != "storage" or (rest and rest[0] is not None):
            raise ValueError("a persistent object that is no storage, or a view of one")
        if _checked(storage_type, _Global).name not in STORAGES or _checked(elements, int) < 0:
            raise ValueError(f"a storage of type {storage_type} with {elements} elements")
        self._stack.append(self._storage(STORAGES[storage_type.name], _checked(key, str), elements))

    def _do_newobj(self, _: Any) -> None:
        arguments, what = self._stack.pop(), _checked(self._stack.pop(), _Global).name
        if what != "argparse.Namespace" or arguments:
            raise _Refused(f"it makes an object of {what}")
        self._stack.append(Namespace({}))

    def _do_build(self, _: Any) -> None:
        """Attributes: a Namespace's values; an OrderedDict's (PyTorch's _metadata) say nothing of the weights."""
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, Namespace):
            target.values.update(_checked(state, dict))
        else:
            _checked(target, collections.OrderedDict)

    def _do_reduce(self, _: Any) -> None:
        arguments, what = _checked(self._stack.pop(), tuple), _checked(self._stack.pop(), _Global).name
        if what == "collections.OrderedDict":
            pairs = _checked(arguments[0], list) if arguments else []
            self._stack.append(collections.OrderedDict((_key(key), value) for key, value in pairs))
        elif what == "torch._utils._rebuild_parameter":
            self._stack.append(_checked(arguments[0], _View))
        elif what in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
            storage, offset, shape, stride = arguments[:4]
            for value in (offset, *shape, *stride):
                _checked(value, int)
            self._stack.append(_View(_checked(storage, _Storage), offset, tuple(shape), tuple(stride)))
        else:
            raise _Refused(f"it calls {what}")


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"a {type(value).__name__} where a {kind.__name__} is due")
    return value


def _key(value: Any) -> Any:
    """A dictionary's key: no tuple, as hashing one that is nested without end crashes Python, or never ends."""
    if not isinstance(value, (str, bytes, int, float, type(None))):
        raise ValueError(f"a {type(value).__name__} as a dictionary's key")
    return value

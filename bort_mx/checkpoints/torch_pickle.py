"""The pickles in PyTorch's files, interpreted without running anything that is in them.

A pickle is a program for a small stack machine, and may call any Python function. `interpret` runs such a program over
containers, numbers, strings and tensors only. A global is a name here and never an object, so there is nothing that a
file could call. A name or an instruction that no weights need is refused.

Why not `pickle.Unpickler` with `find_class` overridden? It calls no other function either. But it has done an
instruction before we can see it. With CPython 3.11 it does not pass these tests of
tests/checkpoints/test_checkpoints_formats.py:

- test_a_tuple_nested_without_end_does_not_crash_python: "key" hashes a tuple of 900,000 levels, and Python crashes;
  "value" and "long" are accepted, as instructions have no bound (a file of 1 MB takes 70 MB);
- test_a_hostile_pickle_is_refused_and_runs_nothing: "billion laughs as a key" hashes 2^30 tuples in 15 s, and each
  level more doubles the time. "memo of 2^31" asks for a table of 32 GB; the same with 2^27 takes 2 GB and is accepted.
  "bytes of 2^60" asks for its memory first; the same with 2^30 takes 1 GB before the file is found to be short.
"""

import collections
import dataclasses
import pickletools
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from bort_mx.checkpoints.lazy_tensor import BFLOAT16

MAX_INSTRUCTIONS = 1_000_000
"""Of one pickle. A tensor takes about 40. An instruction of 1 byte may cost 100 bytes of memory."""
STORAGES = {"torch.FloatStorage": "f4", "torch.DoubleStorage": "f8", "torch.HalfStorage": "f2",
            "torch.BFloat16Storage": BFLOAT16, "torch.LongStorage": "i8", "torch.IntStorage": "i4",
            "torch.ShortStorage": "i2", "torch.CharStorage": "i1", "torch.ByteStorage": "u1",
            "torch.BoolStorage": "?"}
"""PyTorch's name of a storage's type → NumPy's type code."""
REBUILD_TENSOR = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
REBUILD_PARAMETER, ORDERED_DICT, NAMESPACE = ("torch._utils._rebuild_parameter", "collections.OrderedDict",
                                              "argparse.Namespace")
GLOBALS = {*STORAGES, *REBUILD_TENSOR, REBUILD_PARAMETER, ORDERED_DICT, NAMESPACE}
"""The names that a file may mention."""


class Refused(Exception):
    """The file asks for something that weights do not need."""


@dataclasses.dataclass
class Namespace:
    """Stands for an argparse.Namespace (fairseq keeps its options in one): its values, and no behaviour."""

    values: Dict[str, Any]


@dataclasses.dataclass
class Storage:
    """A run of elements in the file."""

    kind: str
    """NumPy's type code, or `BFLOAT16`."""
    elements: int
    """How many there are."""
    offset: Optional[int] = None
    """Where the first byte is. The legacy layout says it only after the pickle."""

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return 2 if self.kind == BFLOAT16 else np.dtype(self.kind).itemsize


@dataclasses.dataclass(frozen=True)
class View:
    """A tensor: a strided view of a storage. Offset and strides are in elements."""

    storage: Storage
    offset: int
    shape: Tuple[int, ...]
    stride: Tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class _Global:
    """A name that the file mentions. It is never looked up."""

    name: str


def interpret(stream: Any, storage: Callable[[str, str, int], Storage]) -> Any:
    """The value of the pickle that starts at the stream's position; the stream is left behind the pickle.

    Args:
        stream: has `read` and `readline`, and knows its end: a length in the file must not cost memory.
        storage: (type code, key, elements) → the storage.
    Raises:
        Refused: an instruction or a name that weights do not need, or too many instructions.
        ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError: a damaged pickle.
    """
    machine = _Machine(storage)
    for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if number == MAX_INSTRUCTIONS:
            raise Refused(f"it has more than {MAX_INSTRUCTIONS:,} instructions, which weights do not need")
        if opcode.name == "STOP":
            return machine.stack.pop()
        machine.step(opcode.name, argument)
    raise ValueError("the pickle has no end")


_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE",
             "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


class _Machine:
    """The stack and the memo of one pickle.

    Args:
        storage: as for `interpret`.
    """

    def __init__(self, storage: Callable[[str, str, int], Storage]):
        self._storage = storage
        self.stack: List[Any] = []
        self._memo: Dict[int, Any] = {}  # no list: an index in the file must not cost memory

    def step(self, name: str, argument: Any) -> None:
        """Run one instruction: those of values, of the memo, of containers, and then (`_make`) those of objects."""
        stack = self.stack
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name in _TUPLES:
            stack[-_TUPLES[name]:] = [tuple(stack[-_TUPLES[name]:])]
        elif name == "TUPLE":
            stack.append(tuple(self._pop_to_mark()))
        elif name in ("APPEND", "APPENDS"):
            items = self._pop(1) if name == "APPEND" else self._pop_to_mark()
            checked(stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self._pop(2) if name == "SETITEM" else self._pop_to_mark()
            checked(stack[-1], dict).update(zip(map(_key, items[::2]), items[1::2]))
        elif name not in ("PROTO", "FRAME"):
            self._make(name, argument)

    def _make(self, name: str, argument: Any) -> None:
        """Run one instruction that in Python's machine finds, makes or changes an object."""
        stack = self.stack
        if name == "GLOBAL":
            stack.append(_known(argument.replace(" ", ".", 1)))
        elif name == "STACK_GLOBAL":
            module, attribute = self._pop(2)
            stack.append(_known(f"{checked(module, str)}.{checked(attribute, str)}"))
        elif name == "BINPERSID":
            stack.append(self._found_storage(stack.pop()))
        elif name == "REDUCE":
            function, arguments = self._pop(2)
            arguments = checked(arguments, tuple)
            stack.append(_called(checked(function, _Global).name, arguments))
        elif name == "NEWOBJ":
            kind, arguments = self._pop(2)
            if checked(kind, _Global).name != NAMESPACE or arguments:
                raise Refused(f"it makes an object of {kind.name}")
            stack.append(Namespace({}))
        elif name == "BUILD":
            state, = self._pop(1)
            if isinstance(stack[-1], Namespace):
                stack[-1].values.update(checked(state, dict))
            else:  # attributes of a state dictionary (PyTorch's _metadata) say nothing of the weights
                checked(stack[-1], collections.OrderedDict)
        else:
            raise Refused(f"it uses the pickle instruction {name}, which weights do not need")

    def _pop(self, count: int) -> List[Any]:
        """Take the topmost values, the deepest first."""
        if count > len(self.stack):
            raise ValueError("the pickle takes more than there is")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def _pop_to_mark(self) -> List[Any]:
        """Take what lies above the topmost mark, and the mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("the pickle lacks a mark")
        items = self.stack[at + 1:]
        del self.stack[at:]
        return items

    def _found_storage(self, identity: Any) -> Storage:
        """The storage of a persistent id: ("storage", type, key, device, elements), before 1.6 with a view behind."""
        tag, kind, key, _, elements, *view = identity
        if tag != "storage" or (view and view[0] is not None):
            raise ValueError("a persistent object that is no storage, or a view of one")
        if checked(kind, _Global).name not in STORAGES or checked(elements, int) < 0:
            raise ValueError(f"a storage of type {kind} with {elements} elements")
        return self._storage(STORAGES[kind.name], checked(key, str), elements)


def _known(name: str) -> _Global:
    if name not in GLOBALS:
        raise Refused(f"it names {name[:100]!r}, and a file of weights names tensors and nothing else")
    return _Global(name)


def _called(name: str, arguments: Tuple) -> Any:
    """What the function of a known name would make of arguments."""
    if name == ORDERED_DICT:
        pairs = checked(arguments[0], list) if arguments else []
        return collections.OrderedDict((_key(key), value) for key, value in pairs)
    if name == REBUILD_PARAMETER:
        return checked(arguments[0], View)
    if name in REBUILD_TENSOR:
        storage, offset, shape, stride = arguments[:4]
        for value in (offset, *shape, *stride):
            checked(value, int)
        return View(checked(storage, Storage), offset, tuple(shape), tuple(stride))
    raise Refused(f"it calls {name}")


def checked(value: Any, kind: type) -> Any:
    """The value.

    Raises:
        ValueError: it is not of this kind.
    """
    if not isinstance(value, kind):
        raise ValueError(f"a {type(value).__name__} where a {kind.__name__} is due")
    return value


def _key(value: Any) -> Any:
    """A dictionary's key. Tuples are refused: hashing one that is nested without end crashes Python, or never ends."""
    if not isinstance(value, (str, bytes, int, float, type(None))):
        raise ValueError(f"a {type(value).__name__} as a dictionary's key")
    return value

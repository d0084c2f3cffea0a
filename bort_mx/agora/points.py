"""Points of a data set, whatever their type: their input, label and key, and new points of the same type.

A point is one of:
- an object with `.texts` (a list or tuple of 1 or 2 strings) and `.label`, as the task readers give it;
- a pair `(input, label)`, the input a string, a list or tuple of strings or numbers, a number, or a NumPy array.
Tau may also be given, and mistakes may be, a bare input that is neither.
"""

import copy
import dataclasses
import hashlib
import json
import unicodedata
from typing import Any, Optional, Sequence

import numpy as np

from bort_mx.errors import InputError

_JOINT = "\x1f"  # the unit separator of ASCII: in no text, so that ("ab", "c") and ("a", "bc") differ


def input_of(point: Any) -> Any:
    """The input of a point: its `.texts`, the first of a pair, or the point itself."""
    if hasattr(point, "texts"):
        return point.texts
    return point[0] if _is_pair(point) else point


def label_of(point: Any, where: str = "data") -> Any:
    """The label of a point.

    Raises:
        InputError: the point has none; `where` names it in the message.
    """
    label = point.label if hasattr(point, "label") else point[1] if _is_pair(point) else None
    if label is None:
        raise InputError(f"{where}: {shorten(point)} has no label; give (input, label) pairs or objects with .texts "
                         "and .label")
    return plain(label)


def make_point(template: Any, value: Any, label: Any, idx: Any = None, group: Any = None) -> Any:
    """A new point of the template's type.

    The fields `.texts`, `.label`, `.idx` and `.group` are set where the template has them. Other fields of a named
    tuple or a dataclass get their defaults if they have some: positions in the old text mean nothing in the new one.
    """
    if not hasattr(template, "texts"):
        return [value, label] if isinstance(template, list) else (value, label)
    fields = {"texts": value, "label": label, "idx": idx, "group": group}
    fields = {name: field for name, field in fields.items() if hasattr(template, name)}
    if dataclasses.is_dataclass(template):
        for field in dataclasses.fields(template):
            if field.name not in fields and field.default is not dataclasses.MISSING:
                fields[field.name] = field.default
        return dataclasses.replace(template, **fields)
    if hasattr(template, "_replace"):
        return template._replace(**{**template._field_defaults, **fields})
    new = copy.copy(template)
    for name, field in fields.items():
        setattr(new, name, field)
    return new


def normalised(text: str) -> str:
    """A text with Unicode compatibility forms, case and runs of white space made alike."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def key(value: Any) -> str:
    """32 hexadecimal digits that are equal for equal inputs; texts are compared normalised."""
    if isinstance(value, str):
        text = "t" + normalised(value)
    elif _is_texts(value):
        text = "t" + _JOINT.join(normalised(part) for part in value)
    else:
        text = "v" + json.dumps(encode(value), sort_keys=True)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def is_blank(value: Any, before: Any = None) -> bool:
    """True if a text of the input has no letter or digit where the same text of the input `before` had some."""
    texts = [value] if isinstance(value, str) else value if _is_texts(value) else []
    earlier = [before] if isinstance(before, str) else before if _is_texts(before) else []
    return any(not _has_word(text) and not (i < len(earlier) and not _has_word(earlier[i]))
               for i, text in enumerate(texts)) or (isinstance(value, (list, tuple)) and not value)


def _has_word(text: str) -> bool:
    return any(map(str.isalnum, text))


def encode(value: Any) -> Any:
    """An input or a label as JSON can hold it: NumPy arrays and tuples become lists.

    Raises:
        InputError: JSON cannot hold it.
    """
    value = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
    if isinstance(value, (list, tuple)):
        return [encode(part) for part in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise InputError(f"{shorten(value)}: inputs and labels must be text, numbers, or lists or arrays of them; this is "
                     f"a {type(value).__name__}")


def decode(value: Any, like: Any) -> Any:
    """Undo `encode`: the type of `like`, an input or label of the same data set, tells list from tuple from array."""
    if isinstance(like, np.ndarray):
        return np.asarray(value, dtype=like.dtype)
    if isinstance(like, np.generic):
        return like.dtype.type(value)
    if isinstance(like, (tuple, list)) and isinstance(value, list):
        parts = [decode(part, like[0] if like else None) for part in value]
        return tuple(parts) if isinstance(like, tuple) else parts
    return value


def plain(value: Any) -> Any:
    """A NumPy scalar as Python's own; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def digest(points: Optional[Sequence[Any]]) -> Optional[str]:
    """SHA-256 over the exact inputs and labels of a data set, in order; None for None."""
    if points is None:
        return None
    total = hashlib.sha256()
    for point in points:
        label = point.label if hasattr(point, "label") else point[1] if _is_pair(point) else None
        total.update(json.dumps([encode(input_of(point)), encode(plain(label))]).encode() + b"\n")
    return total.hexdigest()


def shorten(value: Any, length: int = 60) -> str:
    """A value on one line of at most `length` characters, for messages."""
    text = " ".join(repr(value).split())
    return text if len(text) <= length else text[: length - 1] + "…"


def _is_pair(point: Any) -> bool:
    return isinstance(point, (tuple, list)) and len(point) == 2


def _is_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(isinstance(part, str) for part in value)

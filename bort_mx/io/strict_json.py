"""JSON that is read strictly: a field that is given twice with two values is an error, where Python takes the last."""

import json
import re
from typing import Any, Dict, List, Tuple

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
_SPACE = " \t\n\r"


class DoubledField(json.JSONDecodeError):
    """A field is given a second time with another value; `lineno` and `colno` are those of the second."""


class _Doubled(Exception):
    """Raised inside the parser, which does not tell its place."""


def loads(text: str) -> Any:
    """The value of a JSON text.

    A field that is repeated with the same value is no error: both say the same.

    Raises:
        json.JSONDecodeError: not JSON; `DoubledField` for a field with two values.
        RecursionError: nested too deep. ValueError: a whole number of thousands of digits.
    """
    try:
        return json.loads(text, object_pairs_hook=_object)
    except _Doubled:
        pass
    raise _find(text)


def reason(error: json.JSONDecodeError) -> str:
    """What is wrong, to stand behind the file and line."""
    return error.msg if isinstance(error, DoubledField) else f"not JSON at column {error.colno} ({error.msg})"


def _object(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        first: Dict[str, Any] = {}
        if not all(_same(first.setdefault(name, value), value) for name, value in pairs):
            raise _Doubled
    return found


def _same(one: Any, other: Any) -> bool:
    """As JSON: true is not 1, and NaN is NaN."""
    return one is other or json.dumps(one) == json.dumps(other)


def _find(text: str) -> DoubledField:
    """The error for the first field with two values. The parser has come as far, so the text is JSON up to there."""
    open_objects: List[Dict[str, int]] = []  # of each bracket that is open: field → where its value begins
    for token in _TOKEN.finditer(text):
        if token[0] in "{[":
            open_objects.append({})
        elif token[0] in "}]":
            open_objects.pop()
        else:
            colon = _after_space(text, token.end())
            if text[colon:colon + 1] != ":":
                continue  # a value, not a name
            name, begin = json.loads(token[0]), _after_space(text, colon + 1)
            first = open_objects[-1].setdefault(name, begin)
            if first != begin and not _same(_value(text, first), _value(text, begin)):
                line = text.count("\n", 0, first) + 1
                where = f"first on line {line}" if "\n" in text[first:begin] else "on the same line"
                return DoubledField(f"the field {name!r:.80} is given a second time at column "
                                    f"{token.start() - text.rfind(chr(10), 0, token.start())}, with another value "
                                    f"({where}); delete one", text, token.start())
    raise AssertionError("the parser has met a field with two values, and the search for it has not")


def _after_space(text: str, place: int) -> int:
    while text[place:place + 1] in _SPACE and place < len(text):
        place += 1
    return place


def _value(text: str, begin: int) -> Any:
    """The value that begins at a place.

    Raises:
        json.JSONDecodeError: it ends in what is not JSON.
    """
    return json.JSONDecoder().raw_decode(text, begin)[0]

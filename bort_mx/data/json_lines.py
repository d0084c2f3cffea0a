"""JSON objects from files: one a line, one a file, or in one list; their fields checked for their types."""

import json
import pathlib
from typing import Any, Dict, Iterable, Iterator, Optional, Tuple

from bort_mx.data.table_files import Tolerances, read_lines
from bort_mx.errors import InputError
from bort_mx.io import strict_json

KINDS = {str: "a text", int: "an integer", dict: "an object", list: "a list", bool: "true or false"}


def read_json_lines(path: pathlib.Path, tolerated: Optional[Tolerances] = None) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Yield ("file:line", object) of a JSON-lines file, or of a file that is one list of objects.

    Blank lines are left out; those before the last object are counted.

    Raises:
        InputError: an empty file, or a line that is not a JSON object.
    """
    number, tolerated = 0, tolerated or Tolerances()
    lines = read_lines(path, tolerated)
    for number, line in tolerated.without_blank(lines):
        if number == 1 and line.lstrip().startswith("["):
            yield from _of_list(path, line, lines)
            return
        where = f"{path}:{number}"
        if number == 1 and line.strip() == "{" and path.suffix.lower() == ".json":  # one object in many lines
            line = "\n".join([line, *(rest for _, rest in lines)])
        yield where, json_object(line, where, "one a line")
    if not number:
        raise InputError(f"{path}: the file is empty; expected one JSON object a line")


def _of_list(path: pathlib.Path, first: str, lines: Iterator[Tuple[int, str]]) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """The objects of a file that is one list, as pandas writes them; a first line that is a list itself is refused."""
    rest = [line for _, line in lines]
    if path.suffix.lower() != ".json" or any(line.strip() for line in rest) and first.rstrip().endswith("]"):
        json_object(first, f"{path}:1", "one a line")
    try:
        records = strict_json.loads("\n".join([first, *rest]))
    except strict_json.DoubledField as error:
        raise InputError(f"{path}:{error.lineno}: {strict_json.reason(error)}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({str(error).split(';')[0]})") from None
    for number, record in enumerate(records, 1):
        where = f"{path}: object {number}"
        yield where, _whole(record, json.dumps(record), where, "in a list")


def json_object(text: str, where: str, how_many: str = "one a file") -> Dict[str, Any]:
    """A JSON object.

    Args:
        text: one document.
        where: its place, for errors; how_many: how many of them are due there.
    Raises:
        InputError: not JSON, not an object, a field with two values, or a text that is no Unicode ("\\ud800" by
            itself).
    """
    try:
        record = strict_json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: {strict_json.reason(error)}") from None
    except (ValueError, RecursionError) as error:  # a number of too many digits, brackets without end
        raise InputError(f"{where}: not JSON ({str(error).split(';')[0]})") from None
    return _whole(record, text, where, how_many)


def _whole(record: Any, text: str, where: str, how_many: str) -> Dict[str, Any]:
    if not isinstance(record, dict):
        raise InputError(f"{where}: {type(record).__name__} found; expected a JSON object, {how_many}")
    if "\\ud" in text.lower():
        try:
            json.dumps(record, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{where}: holds half a character, \\u{ord(error.object[error.start]):x}; write it "
                             "whole") from None
    return record


def field(record: Any, name: str, kind: type, where: str) -> Any:
    """A field of a JSON object, checked for its type (`int` also takes a string of digits, as AX-b's idx).

    Raises:
        InputError: no object, or the field is missing or of another type.
    """
    if not isinstance(record, dict):
        raise InputError(f"{where}: {json.dumps(record)[:60]} found; expected an object with the field {name!r}")
    if name not in record:
        raise InputError(f"{where}: no field {name!r}; found {', '.join(map(str, record)) or 'none'}")
    value = record[name]
    if kind is int and isinstance(value, str) and value.isdecimal():
        return int(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(f"{where}: field {name!r} is {json.dumps(value)[:60]}; expected {KINDS[kind]}")
    return value


def json_lines(records: Iterable[Dict]) -> str:
    """Objects as JSON lines, in ASCII, as the benchmarks' own baselines write them."""
    return "".join(json.dumps(record) + "\n" for record in records)

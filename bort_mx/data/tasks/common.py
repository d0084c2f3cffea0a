"""Readers of the two official file formats: GLUE's tab-separated tables and SuperGLUE's JSON lines."""

import json
import pathlib
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from bort_mx.data.tasks.base import Task
from bort_mx.data.tasks.examples import Example, Examples
from bort_mx.data.tasks.pick_one import PickOneTask
from bort_mx.errors import InputError


def read_lines(path: pathlib.Path) -> Iterator[Tuple[int, str]]:
    """Yield (line number from 1, line) of a UTF-8 file, without a byte order mark and line ends.

    Lines end at "\\n" or "\\r\\n" only: texts may hold the other characters that str.splitlines() would split at.

    Raises:
        InputError: the file cannot be opened, or a line is not UTF-8.
    """
    try:
        with open(path, "rb") as file:
            for number, raw in enumerate(file, 1):
                line = raw.decode("utf-8").rstrip("\n")
                line = line[:-1] if line.endswith("\r") else line
                yield number, line[1:] if number == 1 and line.startswith("\ufeff") else line
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}:{number}: not UTF-8 text (byte {raw[error.start]:#04x})") from None


def without_blank_end(lines: Iterator[Tuple[int, str]]) -> Iterator[Tuple[int, str]]:
    """Lines as `read_lines` yields them, without the blank ones that a file may end with."""
    blank: List[Tuple[int, str]] = []
    for number, line in lines:
        if line:
            yield from blank
            blank.clear()
            yield number, line
        else:
            blank.append((number, line))


def read_table(path: pathlib.Path, header: Optional[Sequence[str]] = None,
               short: Optional[List[int]] = None) -> Iterator[Tuple[int, Dict[str, str]]]:
    """Yield (line number, column → field) of a TSV file in which quotes are ordinary characters.

    Blank lines at the end are skipped. In a file of one column they are examples with an empty text.

    Args:
        path: the file.
        header: the columns of a file without a header line.
        short: where given, collects the numbers of lines with too few fields, which are then left out.

    Raises:
        InputError: an empty file, or a line with another number of fields than the header.
    """
    lines = read_lines(path)
    if header is None:
        header = next(lines, (1, ""))[1].split("\t")
        if header == [""]:
            raise InputError(f"{path}: the file is empty; expected a header line and one example a line")
        check_header(header, f"{path}:1")
    if len(header) > 1:
        lines = without_blank_end(lines)
    for number, line in lines:
        fields = line.split("\t")
        if short is not None and len(fields) < len(header):
            short.append(number)
        elif len(fields) != len(header):
            raise InputError(f"{path}:{number}: {len(fields)} column(s) found, {len(header)} expected "
                             f"({', '.join(header)})")
        else:
            yield number, dict(zip(header, fields))


def check_header(columns: Sequence[str], where: str) -> None:
    """Refuse a header that names a column twice: only one of the two could be read.

    Raises:
        InputError: such a header.
    """
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{where}: column {twice!r} is there {columns.count(twice)} times; rename or drop all but one")


def read_json_lines(path: pathlib.Path) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Yield ("file:line", object) of a JSON-lines file.

    Raises:
        InputError: an empty file, or a line that is not a JSON object.
    """
    number = 0
    for number, line in without_blank_end(read_lines(path)):
        where = f"{path}:{number}"
        yield where, json_object(line, where, "one a line")
    if not number:
        raise InputError(f"{path}: the file is empty; expected one JSON object a line")


def json_object(text: str, where: str, how_many: str = "one a file") -> Dict[str, Any]:
    """A JSON object.

    Args:
        text: one document.
        where: its place, for errors; how_many: how many of them are due there.
    Raises:
        InputError: not JSON, not an object, or with a text that is no Unicode ("\\ud800" by itself).
    """
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON at column {error.colno} ({error.msg})") from None
    except (ValueError, RecursionError) as error:  # a number of too many digits, brackets without end
        raise InputError(f"{where}: not JSON ({str(error).split(';')[0]})") from None
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


KINDS = {str: "a text", int: "an integer", dict: "an object", list: "a list", bool: "true or false"}


def integer(text: str, where: str) -> int:
    """A whole number from a table's field.

    Raises:
        InputError: something else.
    """
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{where}: {text!r} found; expected a whole number") from None


class TableTask(Task):
    """A GLUE task: one TSV file per split.

    Attributes:
        text_columns, label_column, index_column: names in the header; without an index column rows are numbered from 0.
        headers: split → columns of a file that has no header line.
        drops_short_rows: rows with too few columns are a known flaw of the official train and dev files: left out.
        dropped_labels: labels that mean "no agreed label": their rows are left out of train and dev.
        label_range: smallest and largest target of a regression.
    """

    benchmark = "glue"
    files = {"train": ("train.tsv",), "dev": ("dev.tsv",), "test": ("test.tsv",)}
    text_columns: Sequence[str] = ("sentence1", "sentence2")
    label_column = "label"
    index_column = "index"
    headers: Mapping[str, Sequence[str]] = {}
    drops_short_rows = False
    dropped_labels: Sequence[str] = ()
    label_range = (float("-inf"), float("inf"))

    def parse(self, path: pathlib.Path, split: str) -> Examples:
        """Read one TSV file.

        Raises:
            InputError: a missing column, a wrong number of columns, an unknown label, a target that is no number.
        """
        short: Optional[List[int]] = [] if self.drops_short_rows and split != "test" else None
        examples, unlabelled = Examples(), 0
        for row, (number, fields) in enumerate(read_table(path, self.headers.get(split), short)):
            where = f"{path}:{number}"
            self._check_columns(fields, split, path)
            if split != "test" and fields[self.label_column] in self.dropped_labels:
                unlabelled += 1
            else:
                examples.append(self._example(row, fields, split, where))
        if short:
            examples.notes.append(f"left out {len(short)} rows with too few columns (the first: line {short[0]})")
        if unlabelled:
            examples.notes.append(f"left out {unlabelled} rows without an agreed label "
                                  f"({', '.join(map(repr, self.dropped_labels))})")
        return examples

    def _check_columns(self, fields: Mapping[str, str], split: str, path: pathlib.Path) -> None:
        needed = [*self.text_columns, *([] if split == "test" else [self.label_column])]
        for name in needed:
            if name not in fields:
                raise InputError(f"{path}:1: no column {name!r}; found {', '.join(fields)}")

    def _example(self, row: int, fields: Mapping[str, str], split: str, where: str) -> Example:
        index = integer(fields[self.index_column], where) if self.index_column in fields else row
        label = fields.get(self.label_column)
        return Example(index, tuple(fields[name] for name in self.text_columns),
                       None if label is None else self._label(label, where))

    def _label(self, text: str, where: str):
        if not self.is_regression:
            if text not in self.labels:
                raise InputError(f"{where}: unknown label {text!r}; expected one of {', '.join(self.labels)}")
            return text
        try:
            value = float(text)
        except ValueError:
            raise InputError(f"{where}: target {text!r} is not a number") from None
        low, high = self.label_range
        if not (low <= value <= high and abs(value) < float("inf")):
            raise InputError(f"{where}: target {text} is outside the range {low:g} to {high:g}")
        return value


class JsonTask(Task):
    """A SuperGLUE task: one JSON-lines file per split, one object per example.

    Attributes:
        text_fields: the fields that are the texts.
        label_kind: the JSON type of the label in the files; the submission's spelling is in `labels`.
    """

    benchmark = "superglue"
    batch_size = 16
    files = {"train": ("train.jsonl",), "dev": ("val.jsonl", "dev.jsonl"), "test": ("test.jsonl",)}
    text_fields: Sequence[str] = ("premise", "hypothesis")
    label_kind: type = str

    def parse(self, path: pathlib.Path, split: str) -> Examples:
        """Read one JSON-lines file.

        Raises:
            InputError: not JSON, a missing field, a field of another type, an unknown label.
        """
        examples = Examples()
        for where, record in read_json_lines(path):
            examples.extend(self.expand(record, split, where, examples.notes))
        return examples

    def expand(self, record: Mapping[str, Any], split: str, where: str, notes: List[str]) -> List[Example]:
        """The examples that one JSON object stands for. Notes of what was repaired are added to `notes`."""
        index = field(record, "idx", int, where)
        return [Example(index, self.texts(record, where, notes), self.label_of(record, split, where))]

    def texts(self, record: Mapping[str, Any], where: str, notes: List[str]) -> Tuple[str, ...]:
        """The texts of one JSON object."""
        return tuple(field(record, name, str, where) for name in self.text_fields)

    def label_of(self, record: Mapping[str, Any], split: str, where: str) -> Optional[str]:
        """The label of one JSON object, as spelled in `labels`. None where a test set has no label.

        Raises:
            InputError: missing outside the test set, of another type, or unknown.
        """
        if split == "test" and "label" not in record:
            return None
        value = field(record, "label", self.label_kind, where)
        if isinstance(value, str) and value not in self.labels or not isinstance(value, str) and not 0 <= value <= 1:
            raise InputError(f"{where}: unknown label {value!r}; expected one of {', '.join(self.labels)}")
        return value if isinstance(value, str) else self.labels[int(value)]

    def format_submission(self, ids: Sequence, values: Sequence) -> str:
        """One object a line: {"idx": …, "label": …}."""
        return json_lines({"idx": index, "label": value} for index, value in zip(ids, values))


class JsonChoiceTask(PickOneTask, JsonTask):
    """A SuperGLUE task whose questions have several candidates."""


def json_lines(records: Iterable[Dict]) -> str:
    """Objects as JSON lines, in ASCII, as the benchmarks' own baselines write them."""
    return "".join(json.dumps(record) + "\n" for record in records)

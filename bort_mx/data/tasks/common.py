"""Tasks of the two official file formats: GLUE's tab-separated tables and SuperGLUE's JSON lines."""

import pathlib
from typing import Any, List, Mapping, Optional, Sequence, Tuple, Union

from bort_mx.data.json_lines import field, json_lines, read_json_lines
from bort_mx.data.table_files import Tolerances, read_table
from bort_mx.data.tasks.base import Task
from bort_mx.data.tasks.examples import Example, Examples
from bort_mx.data.tasks.pick_one import PickOneTask
from bort_mx.data.tasks.spellings import means_no_label, read_label
from bort_mx.errors import InputError


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

    @property
    def text_names(self) -> Sequence[str]:
        """The columns of its texts."""
        return tuple(self.text_columns)

    def parse(self, path: pathlib.Path, split: str) -> Examples:
        """Read one TSV file.

        Raises:
            InputError: a missing column, a wrong number of columns, an unknown label, a target that is no number.
        """
        short: Optional[List[int]] = [] if self.drops_short_rows and split != "test" else None
        examples, unlabelled, tolerated = Examples(), 0, Tolerances()
        needed = (*self.text_columns, self.label_column, self.index_column)
        rows = read_table(path, self.headers.get(split), short, needed, tolerated)
        for row, (where, fields) in enumerate(rows):
            self._check_columns(fields, split, path)
            if split != "test" and fields[self.label_column] in self.dropped_labels:
                unlabelled += 1
            else:
                examples.append(self._example(row, fields, split, where, tolerated))
        examples.notes += tolerated.notes()
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

    def _example(self, row: int, fields: Mapping[str, str], split: str, where: str, tolerated: Tolerances) -> Example:
        index = integer(fields[self.index_column], where) if self.index_column in fields else row
        label = fields.get(self.label_column)
        if split == "test" and label is not None and self._has_none(label):
            tolerated.add(f"labels of the test set that mean none ({label!r})", where)
            label = None
        return Example(index, tuple(fields[name] for name in self.text_columns),
                       None if label is None else self._label(label, where, tolerated))

    def _has_none(self, label: str) -> bool:
        """Whether a test set's field says that there is no label; -1 may be a regression's target."""
        low, high = self.label_range
        is_target = self.is_regression and label.strip().startswith("-1") and low <= -1 <= high
        return label in self.dropped_labels or means_no_label(label, self.labels) and not is_target

    def _label(self, text: str, where: str, tolerated: Tolerances) -> Union[str, float]:
        if not self.is_regression:
            return read_label(text, self.labels, where, tolerated)
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

    @property
    def text_names(self) -> Sequence[str]:
        """The fields of its texts."""
        return tuple(self.text_fields)

    def parse(self, path: pathlib.Path, split: str) -> Examples:
        """Read one JSON-lines file.

        Raises:
            InputError: not JSON, a missing field, a field of another type, an unknown label.
        """
        examples, tolerated = Examples(), Tolerances()
        for where, record in read_json_lines(path, tolerated):
            found = self.expand(record, split, where, examples.notes)
            self._note_label(record.get("label"), [example.label for example in found], where, tolerated)
            examples.extend(found)
        examples.notes += tolerated.notes()
        return examples

    @staticmethod
    def _note_label(given: Any, read: Sequence[Any], where: str, tolerated: Tolerances) -> None:
        """Count a label of the file that was read otherwise than it is spelled."""
        if given is not None and read and all(label is None for label in read):
            tolerated.add(f"labels of the test set that mean none ({given!r})", where)
        elif isinstance(given, str) and len(read) == 1 and given != read[0]:
            tolerated.add(f"labels {given!r} read as {read[0]!r}", where)

    def expand(self, record: Mapping[str, Any], split: str, where: str, notes: List[str]) -> List[Example]:
        """The examples that one JSON object stands for. Notes of what was repaired are added to `notes`."""
        index = field(record, "idx", int, where)
        return [Example(index, self.texts(record, where, notes), self.label_of(record, split, where))]

    def texts(self, record: Mapping[str, Any], where: str, notes: List[str]) -> Tuple[str, ...]:
        """The texts of one JSON object."""
        return tuple(field(record, name, str, where) for name in self.text_fields)

    def label_of(self, record: Mapping[str, Any], split: str, where: str) -> Optional[str]:
        """The label of one JSON object, as spelled in `labels`. None where a test set has none (-1, null …).

        Raises:
            InputError: missing outside the test set, of another type, or unknown.
        """
        if split == "test" and means_no_label(record.get("label"), self.labels):
            return None
        value = field(record, "label", self.label_kind, where)
        if isinstance(value, str):
            return read_label(value, self.labels, where, Tolerances())
        if not 0 <= value <= 1:
            raise InputError(f"{where}: unknown label {value!r}; expected one of {', '.join(self.labels)}")
        return self.labels[int(value)]

    def format_submission(self, ids: Sequence, values: Sequence) -> str:
        """One object a line: {"idx": …, "label": …}."""
        return json_lines({"idx": index, "label": value} for index, value in zip(ids, values))


class JsonChoiceTask(PickOneTask, JsonTask):
    """A SuperGLUE task whose questions have several candidates."""

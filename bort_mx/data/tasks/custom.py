"""A user's own task, described by a YAML file that names files, columns and labels.

    name: reviews                       # optional; the file's own name by default
    files:                              # paths from the YAML file's folder, or from --data-dir where that is given
      train: train.csv                  # .tsv, .csv, .jsonl or .json; all with named columns
      dev: dev.csv
      test: test.csv                    # optional; alone it is enough to predict
    columns: {text: body, text_pair: title, label: stars, idx: id}      # text_pair and idx are optional
    labels: [bad, good]                 # as spelled in the files; the second is the positive one for f1
    metrics: [accuracy, f1]             # accuracy, f1 (macro for more than two labels), matthews
    criterion: f1                       # the metric that picks the best epoch; the first by default
    batch_size: 16                      # by default as --recipe says
    cut: first                          # which text truncation shortens: longest (default) or first

A regression has `regression: true` instead of `labels`; its metrics are pearson (default) and spearman. CSV files
have the usual quotes. TSV files have them where `bort_mx.data.table_files.quoted_fields` finds them; else quotes are
ordinary characters. JSON lines have one object a line. What is tolerated in a file is noted with its count.
"""

import os
import pathlib
import re
from typing import Any, Dict, Iterable, Mapping, Sequence, Union

import numpy as np

from bort_mx.data.table_files import Tolerances
from bort_mx.data.table_records import records_of
from bort_mx.data.task_registry import register_description
from bort_mx.data.tasks.base import Folder, Task
from bort_mx.data.tasks.examples import Example, Examples, MissingSplit
from bort_mx.data.tasks.spellings import means_no_label, read_label
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.io.near_names import missing

FIELDS = ("name", "files", "columns", "labels", "regression", "metrics", "criterion", "batch_size", "cut")
OPTIONAL_COLUMNS = ("text_pair", "idx")
PLAIN_NAME = re.compile(r"[^\s./\\][^/\\\x00-\x1f]{0,99}")
LARGEST = float(np.finfo(np.float32).max)
METRICS = {False: ("accuracy", "f1", "matthews"), True: ("pearson", "spearman")}


@register_description(".yaml", ".yml")
class CustomTask(Task):
    """A task read from a YAML description.

    Args:
        path: the YAML file.

    Raises:
        InputError: no such file, not YAML, an unknown or missing field, or values that do not fit together.
    """

    def __init__(self, path: Union[str, os.PathLike]):
        self._path = pathlib.Path(path)
        self._describe(self._load())

    def _describe(self, values: Mapping[str, Any]) -> None:
        """Take the fields of a description.

        Raises:
            InputError: a value of another type, or values that do not fit together.
        """
        self.name = str(self._path.stem if values.get("name") is None else values["name"])
        self.is_regression = self._typed(values, "regression", bool, False)
        self.files = {split: (name,) for split, name in self._typed(values, "files", dict).items()}
        self._columns = {kind: name for kind, name in self._typed(values, "columns", dict).items()
                         if name is not None or kind not in OPTIONAL_COLUMNS}
        self.labels = [_spelled(label) for label in self._typed(values, "labels", list, [])]
        self.metrics = self._typed(values, "metrics", list, list(METRICS[self.is_regression][:1]))
        self.criterion = values.get("criterion", self.metrics[0] if self.metrics else None)
        self.batch_size = self._typed(values, "batch_size", int, 8)
        self.states_batch_size = "batch_size" in values
        self.cut = values.get("cut", "longest")
        self.folders = (".",)
        self.submission_name = f"{self.name}.tsv"
        self._check()
        super().__init__()  # the task's own, which takes no arguments

    @property
    def key(self) -> str:
        """The path of its description."""
        return str(self._path)

    def _load(self) -> Dict[str, Any]:
        values = files.read_yaml(self._path)
        if not isinstance(values, dict):
            raise InputError(f"{self._path}: expected fields such as files, columns and labels")
        unknown = [str(name) for name in values if name not in FIELDS]
        if unknown:
            raise InputError(f"{self._path}: unknown field {unknown[0]!r}; there are {', '.join(FIELDS)}")
        return values

    def _typed(self, values: Mapping[str, Any], name: str, kind: type, default: Any = None) -> Any:
        value = values.get(name, default)
        if not isinstance(value, kind) or (kind is int and (isinstance(value, bool) or value < 1)):
            raise InputError(f"{self._path}: field {name!r} is {value!r}; expected {KIND_NAMES[kind]}")
        return value

    def _check(self) -> None:
        allowed = METRICS[self.is_regression]
        columns = [str(name) for kind, name in self._columns.items() if kind != "idx"]
        problems = [
            (not PLAIN_NAME.fullmatch(self.name) or len(self.name.encode()) > 200 or self.name == "predictions",
             f"name: {self.name!r} names the submission file; give a plain file name, and not 'predictions'"),
            (set(self.files) - {"train", "dev", "test"}, "files: only train, dev and test are splits"),
            (not _all_texts(name for name, in self.files.values()), "files: each split is the name of one file"),
            (not self.files or "train" in self.files and "dev" not in self.files,
             "files: train and dev are needed, or test alone to predict"),
            (set(self._columns) - {"text", "text_pair", "label", "idx"}, "columns: only text, text_pair, label, idx"),
            ("text" not in self._columns, "columns: text is needed"),
            ("label" not in self._columns and set(self.files) & {"train", "dev"}, "columns: label is needed"),
            (not _all_texts(self._columns.values()), "columns: each is the name of one column"),
            (len(set(columns)) < len(columns), "columns: text, text_pair and label must be different ones"),
            (self.is_regression and self.labels, "labels and regression: true exclude each other"),
            (not self.is_regression and len(set(self.labels)) < 2, "labels: at least two different ones are needed, "
                                                                   "or regression: true"),
            (len(set(self.labels)) < len(self.labels), "labels: one is given twice"),
            (any(not label or label != " ".join(label.split()) for label in self.labels),
             "labels: none may be empty, begin or end with a space, or hold a tab, a line end or two spaces in a row"),
            (not self.metrics or not _all_texts(self.metrics) or set(self.metrics) - set(allowed),
             f"metrics: {', '.join(allowed)} are possible"),
            (self.criterion not in self.metrics, "criterion: it must be one of metrics"),
            (self.cut not in ("longest", "first"), "cut: longest or first"),
        ]
        for found, message in problems:
            if found:
                raise InputError(f"{self._path}: {message}")

    def locate(self, data_dir: Folder, split: str) -> pathlib.Path:
        """The file of a split, under data_dir or (if None) the folder of the description."""
        name = self._names(split)[0]
        path = pathlib.Path(data_dir if data_dir is not None else self._path.parent) / name
        if not os.path.isfile(path):  # False for a name that cannot be, for which Path.is_file raises
            raise MissingSplit(f"{missing(path)}; {self._path} names it as the {split} set")
        return path

    def _names(self, split: str):
        if split in ("train", "dev", "test") and split not in self.files:
            if split == "test":
                raise MissingSplit(f"{self._path}: no test set under `files`, so none is predicted")
            raise MissingSplit(f"{self._path}: no {split} set under `files`; train and dev are needed for training")
        return super()._names(split)

    def parse(self, path: pathlib.Path, split: str) -> Examples:
        """Read one TSV, CSV or JSON-lines file.

        Raises:
            InputError: another kind of file, a missing column, a wrong number of columns, an unknown label, no number.
        """
        tolerated, needed = Tolerances(), list(self._columns.values())
        if split == "test" and "label" in self._columns:
            needed.remove(self._columns["label"])
        rows = records_of(path, needed, tolerated)
        examples = Examples([self._example(row, fields, split, where, tolerated)
                             for row, (where, fields) in enumerate(rows)])
        if split == "test" and self.is_regression and {example.label for example in examples} == {-1.0}:
            tolerated.say(f"labels of the test set that mean none (-1): {len(examples)}")
            examples = Examples([example._replace(label=None) for example in examples])
        return Examples(examples, tolerated.notes())

    @property
    def text_names(self) -> Sequence[str]:
        """The columns of its texts."""
        return tuple(self._columns[kind] for kind in ("text", "text_pair") if kind in self._columns)

    def _example(self, row: int, fields: Mapping[str, Any], split: str, where: str, tolerated: Tolerances) -> Example:
        for kind, name in self._columns.items():
            if name not in fields and not (kind == "label" and split == "test"):
                raise InputError(f"{where}: no column {name!r}; found {', '.join(map(str, fields))}")
        texts = [fields[name] for name in self.text_names]
        for name, text in zip(self.text_names, texts):
            if not isinstance(text, str):
                raise InputError(f"{where}: column {name!r} is {text!r}; expected a text")
        index = self._index(row, fields, where)
        label = fields.get(self._columns.get("label"))
        if split == "test" and self._has_none(label):
            if label not in (None, ""):
                tolerated.add(f"labels of the test set that mean none ({label!r})", where)
            return Example(index, tuple(texts))
        return Example(index, tuple(texts), self._label(label, where, tolerated))

    def _has_none(self, label: Any) -> bool:
        """Whether a test set's field says that there is no label; -1 may be a regression's target."""
        return means_no_label(label, self.labels) and not (self.is_regression and str(label).strip().startswith("-"))

    def _index(self, row: int, fields: Mapping[str, Any], where: str):
        """What names an example in the submission: its idx, else the row's number."""
        if "idx" not in self._columns:
            return row
        index = fields[self._columns["idx"]]
        if type(index) not in (str, int, float) or any(character in str(index) for character in "\t\r\n"):
            raise InputError(f"{where}: column {self._columns['idx']!r} is {index!r:.60}; expected a number or a text "
                             "without tabs and line ends")
        return index

    def _label(self, value: Any, where: str, tolerated: Tolerances) -> Union[str, float]:
        if value is None or value == "" or value != value:  # JSON's NaN
            raise InputError(f"{where}: column {self._columns['label']!r} is empty; give a label, or leave the example "
                             "out")
        if not self.is_regression:
            try:
                return read_label(value, self.labels, where, tolerated)
            except InputError as error:
                hint = " (quote yes and no in the YAML file, where they mean true and false)" if set(
                    self.labels) & {"true", "false"} else ""
                raise InputError(f"{error}{hint}") from None
        try:
            number = np.nan if isinstance(value, int) and abs(value) > LARGEST else float(value)
        except (TypeError, ValueError):
            number = None
        if number is None or isinstance(value, bool) or "_" in str(value):  # float("1_0") is 10
            raise InputError(f"{where}: target {value!r:.60} is not a number") from None
        if not abs(number) <= LARGEST:  # nan too
            raise InputError(f"{where}: target {_shortened(value)} is not a finite number in float32")
        return number


def _all_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _shortened(value: Any) -> str:
    return f"{value!r:.60}" if isinstance(value, (str, float)) else "of too many digits"


KIND_NAMES = {bool: "true or false", dict: "a mapping", list: "a list", int: "a whole number above 0"}


def _spelled(value: Any) -> str:
    """A label as text. YAML and JSON read yes, true and 1 as values of their own types."""
    return str(value).lower() if isinstance(value, bool) else str(value)


"""A user's own task without a description: files whose columns and labels are told from what they hold."""

import collections
import filecmp
import pathlib
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set

from bort_mx.data.splitting import dev_size, split_off
from bort_mx.data.table_records import records_of
from bort_mx.data.tasks import guessing
from bort_mx.data.tasks.base import Folder
from bort_mx.data.tasks.custom import METRICS, CustomTask
from bort_mx.data.tasks.examples import SPLITS, Examples, MissingSplit
from bort_mx.data.text import clean_text
from bort_mx.errors import InputError
from bort_mx.io.near_names import missing
from bort_mx.suggestions import hint

OPTIONS = {"idx": "id"}
"""Kinds of columns whose option has another name."""
PLACES = ("train", "training", "data", "dev", "test", "labels")
"""Names of files and folders that do not name a task."""
FEWEST = 10
"""Training examples from which a dev set can be split off."""
MOST_SHOWN = 20
"""Labels that a line counts one by one."""


class Sources(NamedTuple):
    """What the user says of the files."""

    files: Dict[str, str]
    """Split → path; at least one."""
    text: Optional[str] = None
    """The column of the texts; None: guess. Likewise the next two."""
    text_pair: Optional[str] = None
    label: Optional[str] = None
    name: Optional[str] = None
    """The task's name. Default: from the path."""
    regression: Optional[bool] = None
    """Whether labels are numbers to predict. Default: from the labels."""
    split_seed: int = 0
    """Seed of the dev set that is split off the training set."""
    idx: Optional[str] = None
    """The column that names rows. Default: guessed by its name."""


class Trained(NamedTuple):
    """What a checkpoint tells of the task that it was trained on."""

    labels: Sequence[str]
    """() if it does not tell, or for a regression."""
    is_regression: bool
    text_columns: Sequence[str]


class OwnFiles(CustomTask):
    """A task of files: a training set and perhaps a dev and a test set; for a trained model, any of them.

    Args:
        sources: the files, and what the user says of them.
        trained: the checkpoint that predicts; None: a model is trained, and the labels are those of the training set.
    Attributes:
        said: what was guessed and found, in lines for the user.
        record: the same for config.json.

    Raises:
        InputError: no such file, not a table, columns or labels that cannot be told, or too few examples.
    """

    def __init__(self, sources: Sources, trained: Optional[Trained] = None):
        self._sources, self._trained = sources, trained
        self._paths = {split: pathlib.Path(path) for split, path in sources.files.items()}
        self._path = next(self._paths[split] for split in SPLITS if split in self._paths)
        self.said: List[str] = []
        self._dev_rows: Optional[List[int]] = None
        for split, path in self._paths.items():
            if not path.is_file():
                raise InputError(f"--{split} {missing(path)}")
        self._columns = self._guess_columns()
        self._say_same_files()
        labels, is_regression = self._find_labels()
        names = {split: str(path) for split, path in self._paths.items()}
        if "train" in names and "dev" not in names:
            names["dev"] = names["train"]
        if trained is not None:
            names.pop("train", None)
        self._describe({
            "name": sources.name or _name_of(self._path), "files": names, "columns": dict(self._columns),
            "metrics": list(METRICS[True] if is_regression else METRICS[False][:2]),
            **({"regression": True} if is_regression else {"labels": labels})})
        self.record: Dict[str, Any] = {"columns": dict(self._columns), "split_seed": sources.split_seed,
                                       "dev": "split off" if self._splits else "given"}

    @property
    def key(self) -> str:
        """Its name."""
        return self.name

    @property
    def _splits(self) -> bool:
        """Whether the dev set is a part of the training file."""
        return self._trained is None and "dev" not in self._paths

    # -- what is guessed -----------------------------------------------------------------------------------------------

    def _guess_columns(self) -> Dict[str, str]:
        """Kind of column → name: text, text_pair, label, idx; those that are there."""
        given = {kind: getattr(self._sources, kind) for kind in ("text", "text_pair", "label", "idx")}
        headers = {split: guessing.header_of(path) for split, path in self._paths.items()}
        header = next(headers[split] for split in SPLITS if split in headers)
        for kind, name in given.items():
            if name is not None and name not in header:
                option = OPTIONS.get(kind, kind.replace("_", "-"))
                raise InputError(f"--{option}-column {name}: {self._path} has no such column"
                                 f"{hint(name, header)}; found {', '.join(header) or 'none'}")
        trained = list(self._trained.text_columns) if self._trained else []
        texts = [name for name in (given["text"], given["text_pair"]) if name is not None]
        if not texts:
            texts = trained if trained and set(trained) <= set(header) else guessing.guess_texts(
                header, [given["label"], given["idx"]])
        label = given["label"] or self._guess_label(header, texts)
        if self._labelled and len(header) == 1:
            raise InputError(f"{self._path}: has one column, {header[0]!r:.60}; a column of texts and one of labels "
                             "are needed")
        if not texts:
            by = "it by --text-column" if label or not self._labelled else (
                "the columns by --text-column and --label-column")
            raise InputError(f"{self._path}: no column whose name tells that it is the text; found "
                             f"{', '.join(header) or 'none'}; name {by} (the first line of a .csv or .tsv file names "
                             "the columns)")
        if label is None and self._labelled:
            raise InputError(f"{self._path}: no column whose name tells that it is the label; found "
                             f"{', '.join(header)}; name it by --label-column")
        index = given["idx"] or guessing.guess_index(list(headers.values()), [*texts, label])
        found = {"text": texts[0], "text_pair": texts[1] if len(texts) > 1 else None, "label": label, "idx": index}
        for split, names in headers.items():
            self._check_columns(split, names, [*texts, given["idx"], *([] if split == "test" else [label])])
        self._say_columns(found, given, header)
        return {kind: name for kind, name in found.items() if name is not None}

    def _check_columns(self, split: str, header: Sequence[str], needed: Sequence[Optional[str]]) -> None:
        """Raises InputError if a file lacks a column that the first one has."""
        absent = next((name for name in needed if name is not None and name not in header), None)
        if absent is not None:
            raise InputError(f"--{split} {self._paths[split]}: has no column {absent!r}{hint(absent, header)}, which "
                             f"{self._path} has; found {', '.join(header) or 'none'}; name the columns alike")

    def _say_same_files(self) -> None:
        given = [(split, path) for split, path in self._paths.items() if split != "test" or "train" in self._paths]
        for i, (split, path) in enumerate(given):
            for other, earlier in given[:i]:
                if filecmp.cmp(path, earlier, shallow=False):
                    self.said.append(f"--{split} is the file of --{other}, or a copy: its scores tell nothing of new "
                                     "texts")

    @property
    def _labelled(self) -> bool:
        """Whether a file must have labels."""
        return bool({"train", "dev"} & set(self._paths))

    def _guess_label(self, header: Sequence[str], texts: Sequence[str]) -> Optional[str]:
        if self._labelled:
            return guessing.guess_label([name for name in header if name != self._sources.idx], texts)
        plain = [name for name in header if name.strip().lower() in guessing.LABELS[:2]]  # a test set may have none
        return plain[0] if plain else None

    def _say_columns(self, found: Mapping[str, Optional[str]], given: Mapping[str, Optional[str]],
                     header: Sequence[str]) -> None:
        parts = [f"{kind.replace('_', ' ')} {name!r}{'' if given.get(kind) else ' (guessed)'}"
                 for kind, name in found.items() if name is not None]
        unused = [name for name in header if name not in found.values()]
        self.said.append("columns: " + ", ".join(parts) + (f"; not read: {', '.join(unused)}" if unused else "")
                         + ("" if found["idx"] else "; rows are numbered from 0 in idx; a column id or idx, or "
                                                    "--id-column, would be kept"))
        if found["label"] is None and unused:
            self.said.append("no labels are read, so there will be no score; if a column has them, name it by "
                             "--label-column")

    def _find_labels(self) -> Any:
        """The labels, and whether the task is a regression; of the checkpoint if that tells, else of a file."""
        if self._trained is not None and (self._trained.labels or self._trained.is_regression):
            labels = list(self._trained.labels)
            if labels and all(re.fullmatch(r"-?\d+", label) for label in labels):
                labels.sort(key=int)  # as those of a training set are
            if len(labels) == 2 and self._columns.get("label") is not None:
                self.said.append(f"f1 is that of the label {labels[1]}")
            return labels, self._trained.is_regression
        path = self._paths.get("train") or self._paths.get("dev") or self._path
        column = self._columns.get("label")
        if column is None:
            raise InputError(f"{path}: the checkpoint does not tell its labels, and no column has any; give --train or "
                             "--dev, or a task.yaml")
        values = [row.get(column) for _, row in records_of(path, list(self._columns.values()))]
        found = guessing.labels_of(values, f"{path}, column {column!r}", self._sources.regression)
        self.said.append(f"labels: {found.rule}" if found.is_regression else
                         f"labels ({found.rule}): {_counted(found.counts)}")
        return list(found.counts), found.is_regression

    # -- reading -------------------------------------------------------------------------------------------------------

    def locate(self, data_dir: Folder, split: str) -> pathlib.Path:
        """The file of a split, as given.

        Raises:
            MissingSplit: none was given.
        """
        if split not in self.files:
            raise MissingSplit(f"no {split} set: --{split} was not given")
        return pathlib.Path(self.files[split][0])

    def parse(self, path: pathlib.Path, split: str) -> Examples:
        """Read a file. Where no dev set was given, the training file is divided.

        Raises:
            InputError: as `CustomTask.parse`, or too few examples to divide.
        """
        examples = super().parse(path, "train" if self._splits and split == "dev" else split)
        empty = sum(not any(map(str.strip, example.texts)) for example in examples)
        if empty and not (self._splits and split == "dev"):
            self.said.append(f"{path}: {empty:,} of {len(examples):,} examples have an empty text; they are kept")
        if not self._splits or split == "test":
            return examples
        held = set(self._held_out(examples, path))
        return Examples([example for row, example in enumerate(examples) if (row in held) == (split == "dev")],
                        examples.notes if split == "train" else [])

    def _held_out(self, examples: Examples, path: pathlib.Path) -> List[int]:
        """The rows of the dev set; always the same."""
        if self._dev_rows is None:
            if len(examples) < FEWEST:
                raise InputError(f"{path}: {len(examples)} examples are too few to split a dev set off; give --dev, or "
                                 f"at least {FEWEST} examples")
            keys = [tuple(map(clean_text, example.texts)) for example in examples]
            size, seed = dev_size(len(examples)), self._sources.split_seed
            self._dev_rows = split_off([example.label for example in examples], keys, size, seed)
            if not self._dev_rows:
                raise InputError(f"{path}: no dev set can be split off, as each label has one text only that is not "
                                 "there again; give --dev")
            again = len(keys) - len(set(keys))
            self.said.append(
                f"dev: {len(self._dev_rows):,} of {len(examples):,} examples split off {path} by --split-seed {seed}; "
                + self._shares(examples, set(self._dev_rows))
                + (f"; equal texts are never on both sides: {again:,} examples repeat the texts of another"
                   if again else ""))
        return self._dev_rows

    def _shares(self, examples: Examples, held: Set[int]) -> str:
        """The labels of both sides with their counts; of a regression the mean targets."""
        sides: List[list] = [[], []]
        for row, example in enumerate(examples):
            sides[row not in held].append(example.label)
        if self.is_regression:
            return "mean target {:.4g}, in train {:.4g}".format(*(sum(side) / len(side) for side in sides))
        counts = map(collections.Counter, sides)
        return "{} (train: {})".format(*(_counted({label: count[label] for label in self.labels}) for count in counts))


def _counted(counts: Mapping[str, int]) -> str:
    """Labels with their counts; of many the first."""
    shown = [f"{_short(label)} {count:,}" for label, count in list(counts.items())[:MOST_SHOWN]]
    return ", ".join(shown) + (f", … ({len(counts)} labels)" if len(counts) > MOST_SHOWN else "")


def _name_of(path: pathlib.Path) -> str:
    """A name for a task from the path of a file: reviews for reviews.csv and for reviews/train.csv."""
    names = [path.stem, path.resolve().parent.name]
    return next((name for name in names if name and name.lower() not in PLACES), path.stem)


def _short(label: str) -> str:
    return label if len(label) <= 40 else f"{label[:39]}…"

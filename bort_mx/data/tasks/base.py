"""What a task is: where its files lie, how they are read, what is predicted, how it is scored and submitted.

A concrete task is one small file. It fills in the class attributes below and, where its files need it, a parser. The
decorator `bort_mx.data.task_registry.register` makes it known by its name.
"""

import logging
import os
import pathlib
from typing import Any, Dict, Hashable, List, Mapping, Optional, Sequence, Union

import numpy as np

from bort_mx.data.metrics import Scores, classification_scores, regression_scores
from bort_mx.data.task_registry import key_of
from bort_mx.data.tasks.examples import SPLITS, Example, Examples, MissingSplit
from bort_mx.data.tasks.spellings import numbers, spelled_index
from bort_mx.data.tasks.tables import ConvergentHyperparameters, load_table
from bort_mx.errors import InputError
from bort_mx.io.files import write_text

log = logging.getLogger(__name__)

Folder = Union[None, str, os.PathLike]
"""Where official files lie. None: the task's own place, if it has one."""


class Task:
    """A classification or regression task. The tasks of the paper are its subclasses.

    Attributes:
        name: as in the paper's tables; `key` adds the benchmark where the name alone is ambiguous.
        benchmark: "glue", "superglue", "race", or "" for other tasks.
        labels: spellings as in the submission; a classifier's output i stands for labels[i].
        meanings: names of labels that are numbers, as Hugging Face's data sets have them; () where there are none.
        metrics: names of the official metrics; criterion: the one of them that picks the best epoch. [I] P1 names
            none; accuracy wherever the task has it, since Agora's guarantee is about accuracy (P1 §5).
        batch_size: the paper's (§5.1, Tables 7-9); states_batch_size: whether a recipe of fine-tuning must keep it.
        extra_layer: one more linear layer before the classifier (P1 §5.1: CoLA only).
        cut: the text that truncation shortens, "longest" or "first" (a passage, so that no answer is lost).
        rounding: Agora compares a regression's values rounded to multiples of this; STS-B's to 0.2, as Raffel et al.
            (2020) do (P1 §5.1).
        scored_by: the key of the task whose model predicts this diagnostic set, or None; scored_with_chs: the same with
            the paper's convergent hyperparameters, where it differs. The models of both predict the set.
        files: split → names the file may have, the official one first.
        folders: names its folder may have, the official one first.
        download_name: its entry in downloads.yaml, where that is not `name`.
        text_names: what an example's one or two texts are called, as columns of a table; () where that is not known.
    """

    name = ""
    benchmark = ""
    labels: Sequence[str] = ()
    meanings: Sequence[str] = ()
    is_regression = False
    metrics: Sequence[str] = ("accuracy",)
    criterion = "accuracy"
    batch_size = 8
    states_batch_size = False
    extra_layer = False
    cut = "longest"
    rounding = 1.0
    scored_by: Optional[str] = None
    scored_with_chs: Optional[str] = None
    files: Mapping[str, Sequence[str]] = {}
    folders: Sequence[str] = ()
    submission_name = ""
    download_name = ""
    text_names: Sequence[str] = ()

    def __init__(self):
        self.labels = list(self.labels)
        self._test_ids: Optional[List[Hashable]] = None

    @property
    def key(self) -> str:
        """The name by which `get_task` finds it."""
        return key_of(type(self))

    @property
    def num_labels(self) -> int:
        """Width of the classifier's output: 1 for a regression."""
        return 1 if self.is_regression else len(self.labels)

    # Reading

    def read(self, data_dir: Folder, split: str) -> Examples:
        """Read a split from the task's own folder, its benchmark's folder, or the folder that holds the benchmarks.

        Raises:
            MissingSplit: the task has no such split, or its file is not there.
            InputError: no such folder, or a bad file (which line and field, what was found, what was expected).
        """
        examples = self.check(data_dir, split)
        for note in examples.notes:
            log.warning("%s: %s", self.locate(data_dir, split), note)
        if split == "test":
            self._test_ids = self.submission_ids(examples)
        return examples

    def check(self, data_dir: Folder, split: str) -> Examples:
        """Read a split to find what is wrong with its file, before it is needed. Nothing is logged or remembered.

        Raises:
            MissingSplit, InputError: as `read`.
        """
        path = self.locate(data_dir, split)
        examples = self.parse(path, split).cleaned()
        if not examples:
            raise InputError(f"{path}: no examples in it; expected the {split} set of {self.key}")
        if examples.doubles():
            examples.notes.append(f"examples with an idx that an earlier one has: {examples.doubles()}")
        found, official = len(self.submission_ids(examples)), self.official_count(split)
        if official not in (None, found):
            why = "a part of it, or a file that was cut off" if found < official else "more than it, or another release"
            examples.notes.append(f"{found:,} where the official set has {official:,}: {why}")
        return examples

    def official_count(self, split: str) -> Optional[int]:
        """How many predictions the official set asks for, or None where that is not known."""
        counts = load_table("counts.yaml").get(self.benchmark, {}).get(self.name)
        return counts[SPLITS.index(split)] if counts else None

    def has(self, data_dir: Folder, split: str) -> bool:
        """Whether the file of a split is there.

        Raises:
            InputError: no such folder.
        """
        try:
            self.locate(data_dir, split)
        except MissingSplit:
            return False
        return True

    def locate(self, data_dir: Folder, split: str) -> pathlib.Path:
        """The file that holds a split.

        Raises:
            MissingSplit, InputError: as `read`.
        """
        names = self._names(split)
        if data_dir is None or not pathlib.Path(data_dir).exists():
            raise InputError(f"{data_dir}: no such folder; expected the official files of {self.key}, "
                             f"e.g. {self.folders[0]}/{names[0]}")
        root = pathlib.Path(data_dir)
        candidates = [root / name for name in names]
        candidates += [root / middle / folder / name for middle in ("", self.benchmark or ".")
                       for folder in self.folders for name in names]
        for path in candidates:
            if path.is_file():
                return path
        raise MissingSplit(f"{root}: the {split} set of {self.key} is not there; put the official file at "
                           f"{root / self.folders[0] / names[0]}")

    def parse(self, path: pathlib.Path, split: str) -> Examples:
        """Read one file. The kind of file defines how."""
        raise NotImplementedError(type(self).__name__)

    def _names(self, split: str) -> Sequence[str]:
        if split not in SPLITS:
            raise InputError(f"no split {split!r}; there are {', '.join(SPLITS)}")
        if split not in self.files:
            reason = f"the model of {self.scored_by} predicts it" if self.scored_by else "it was never published"
            raise MissingSplit(f"{self.key} has no {split} set: {reason}")
        return self.files[split]

    def assemble(self, root: pathlib.Path) -> None:
        """Make the official files of what was downloaded into `root`, where they are not published as such."""

    # Labels and predictions

    def label_index(self, value: Any) -> int:
        """The index of a label given as spelled in the files or submissions (any case), or as that index itself.

        Raises:
            InputError: not a label of this task.
        """
        return spelled_index(value, self.labels, self.key)

    def predictions_from_scores(self, examples: Sequence[Example], scores: np.ndarray) -> List:
        """Turn the classifier's outputs into predictions: the label of the highest score (the first of equals).

        Args:
            examples: N examples.
            scores: (N, num_labels); a regression's (N, 1) or (N,) are the predictions themselves.

        Returns:
            one prediction per example; per question, in order of appearance, where candidates are compared.

        Raises:
            ValueError: another shape, or a score that is not finite.
        """
        scores = self._checked_scores(examples, scores)
        if self.is_regression:
            return [float(score) for score in scores[:, 0]]
        return [self.labels[i] for i in scores.argmax(axis=1)]

    def _checked_scores(self, examples: Sequence[Example], scores: np.ndarray) -> np.ndarray:
        scores = np.asarray(scores)
        if self.is_regression and scores.ndim == 1:
            scores = scores[:, np.newaxis]
        if scores.shape != (len(examples), self.num_labels):
            raise ValueError(f"{self.key}: scores of shape {scores.shape}, not {(len(examples), self.num_labels)}")
        if not np.isfinite(scores).all():
            raise ValueError(f"{self.key}: {np.count_nonzero(~np.isfinite(scores))} scores are not finite")
        return scores

    # Scoring

    def gold(self, examples: Sequence[Example]) -> List:
        """The labels that predictions for these examples are compared with.

        Raises:
            InputError: an example without a label.
        """
        for example in examples:
            if example.label is None:
                raise InputError(f"{self.key}: example {example.idx!r} has no label to compare with (a test set?)")
        return [example.label for example in examples]

    def metrics_of(self, examples: Sequence[Example], predictions: Sequence) -> Scores:
        """The task's metrics over a whole labelled set, `bort_mx.data.metrics.Scores`.

        Raises:
            InputError: an example without a label, or predictions that do not fit.
        """
        return self.score(predictions, self.gold(examples), [example.group for example in examples])

    def score(self, predictions: Sequence, labels: Sequence, groups: Optional[Sequence] = None) -> Scores:
        """The task's metrics from predictions and labels, given as spelled or as indices; see `task_metrics`."""
        if self.is_regression:
            return regression_scores(self.metrics, *(numbers(v, self.key) for v in (predictions, labels)))
        return classification_scores(self.metrics, [self.label_index(p) for p in predictions],
                                     [self.label_index(label) for label in labels], len(self.labels), groups)

    # Training

    def training_examples(self, examples: Sequence[Example], seed: int) -> Examples:
        """What to train on: all examples, except where the paper discards some (MultiRC, ReCoRD, RACE)."""
        return examples if isinstance(examples, Examples) else Examples(examples)

    def chs(self) -> ConvergentHyperparameters:
        """The paper's convergent hyperparameter set for this task (P1 Tables 7-9).

        Raises:
            InputError: the paper gives none.
        """
        table = load_table("chs.yaml").get(self.benchmark, {})
        if self.name not in table:
            raise InputError(f"the paper gives no convergent hyperparameter set for {self.key}; leave --chs out")
        return ConvergentHyperparameters(**{k: v for k, v in table[self.name].items() if k != "note"})

    def paper_scores(self) -> Dict[str, Union[float, str]]:
        """The paper's scores: system → value in percent, or "first/second" metric (P1 Tables 4-6). {} if none."""
        table = load_table("paper_scores.yaml").get(self.benchmark, {})
        values = table.get("scores", {}).get(self.name, [])
        return dict(zip(table.get("systems", []), values))

    # Submitting

    def submission_ids(self, examples: Sequence[Example]) -> List[Hashable]:
        """The official index of each prediction for these examples."""
        return [example.idx for example in examples]

    def write_submission(self, path: os.PathLike, predictions: Union[Sequence, Mapping],
                         examples: Optional[Sequence[Example]] = None) -> pathlib.Path:
        """Write the official submission file, whole or not at all.

        Args:
            path: the file, or an existing folder that gets it under its official name.
            predictions: as `predictions_from_scores` gives them, in the order of `examples`; or index → prediction.
            examples: the test set; by default the one this object read last, else the official indices 0, 1, 2, …

        Returns:
            the path written.

        Raises:
            InputError: another number of predictions than of examples, or one that is no label of the task.
        """
        if isinstance(predictions, Mapping):
            ids, predictions = list(predictions), list(predictions.values())
        else:
            ids = self._submission_ids(len(predictions), examples)
        if len(ids) != len(predictions):
            raise InputError(f"{self.key}: {len(predictions)} predictions for the {len(ids)} of the test set")
        text = self.format_submission(ids, [self.submission_value(prediction) for prediction in predictions])
        path = pathlib.Path(path)
        path = path / self.submission_name if path.is_dir() else path
        write_text(path, text)
        return path

    def _submission_ids(self, count: int, examples: Optional[Sequence[Example]]) -> List[Hashable]:
        if examples is not None:
            return self.submission_ids(examples)
        return list(range(count)) if self._test_ids is None else self._test_ids

    def submission_value(self, prediction: Any) -> Any:
        """A prediction as the submission spells it."""
        if self.is_regression:
            return numbers([prediction], self.key)[0]
        return self.labels[self.label_index(prediction)]

    def format_submission(self, ids: Sequence[Hashable], values: Sequence) -> str:
        """The text of a submission file: by default a TSV with the header `index<TAB>prediction`."""
        return "".join(f"{index}\t{value}\n" for index, value in [("index", "prediction"), *zip(ids, values)])


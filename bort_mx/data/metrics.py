"""The metrics of GLUE, SuperGLUE and RACE, each computed once over a whole set, never averaged over batches.

Every metric is a pure function of predictions and labels. Where a metric is undefined for the data at hand (a constant
prediction has no correlation, a class that never occurs no F1), the value stated in its docstring is returned and a
sentence that says so is appended to `notes`; nothing becomes a silent zero.

Classes are given as indices into a task's list of labels, and class 1 is the positive one of a binary task.

scikit-learn and SciPy take a second to import, so the functions that need them import them.
"""

import collections
import logging
import re
import string
from typing import Dict, Hashable, List, Mapping, Optional, Sequence

import numpy as np

from bort_mx.data import task_registry
from bort_mx.errors import InputError

log = logging.getLogger(__name__)


class Scores(Dict[str, float]):
    """Metric name → value, as fractions in [0, 1] (Matthews and correlations: [-1, 1]).

    `notes` says which values are definitions because the metric is undefined for these data.
    """

    def __init__(self, *args, notes: Sequence[str] = (), **kwargs):
        super().__init__(*args, **kwargs)
        self.notes: List[str] = list(notes)


def accuracy(predictions: Sequence, labels: Sequence) -> float:
    """Share of predictions that equal their label. Both are (N,).

    Raises:
        InputError: no examples, or numbers that differ.
    """
    import sklearn.metrics

    _check_sizes(predictions, labels)
    return float(sklearn.metrics.accuracy_score(np.asarray(labels), np.asarray(predictions)))


def f1(predictions: Sequence[int], labels: Sequence[int], num_labels: int = 2,
       notes: Optional[List[str]] = None) -> float:
    """F1 of class 1 for two labels, macro-F1 for more (SuperGLUE's CB).

    Undefined and so noted: two labels and no positive anywhere: 0.0. More: the mean leaves out the classes which occur
    neither among labels nor predictions (as scikit-learn's macro average does).

    Raises:
        InputError: no examples, or numbers that differ.
    """
    import sklearn.metrics

    _check_sizes(predictions, labels)
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    present = sorted(set(predictions.tolist()) | set(labels.tolist()))
    if num_labels > 2:
        if len(present) < num_labels:
            _note(notes, f"macro-F1 is over {len(present)} of {num_labels} classes: the others occur neither among "
                         "labels nor predictions")
        return float(sklearn.metrics.f1_score(labels, predictions, labels=present, average="macro"))
    if 1 not in present:
        _note(notes, "F1 is undefined without a positive label or prediction; given as 0")
        return 0.0
    return float(sklearn.metrics.f1_score(labels, predictions, labels=[1], average="macro"))


def matthews(predictions: Sequence[int], labels: Sequence[int], notes: Optional[List[str]] = None) -> float:
    """Matthews' correlation, also for more than two classes. Constant predictions or labels: 0.0, noted.

    Raises:
        InputError: no examples, or numbers that differ.
    """
    import sklearn.metrics

    _check_sizes(predictions, labels)
    if len(set(predictions)) == 1 or len(set(labels)) == 1:
        which = "predictions" if len(set(predictions)) == 1 else "labels"
        _note(notes, f"Matthews' correlation is undefined: all {which} are the same class; given as 0")
        return 0.0
    return float(sklearn.metrics.matthews_corrcoef(np.asarray(labels), np.asarray(predictions)))


def pearson(predictions: Sequence[float], labels: Sequence[float], notes: Optional[List[str]] = None) -> float:
    """Pearson's correlation. Constant values, or fewer than two: 0.0, noted.

    Raises:
        InputError: no examples, numbers that differ, or a value that is not finite.
    """
    import scipy.stats

    return _correlation(scipy.stats.pearsonr, "Pearson", predictions, labels, notes)


def spearman(predictions: Sequence[float], labels: Sequence[float], notes: Optional[List[str]] = None) -> float:
    """Spearman's rank correlation, ties given their mean rank. Constant values, or fewer than two: 0.0, noted.

    Raises:
        InputError: no examples, numbers that differ, or a value that is not finite.
    """
    import scipy.stats

    return _correlation(scipy.stats.spearmanr, "Spearman", predictions, labels, notes)


def question_exact_match(predictions: Sequence[int], labels: Sequence[int], groups: Sequence[Hashable]) -> float:
    """MultiRC's exact match: share of questions whose answers all have the right label. All are (N,), one per answer.

    Raises:
        InputError: no examples, or numbers that differ.
    """
    _check_sizes(predictions, labels)
    _check_sizes(groups, labels)
    right: Dict[Hashable, bool] = {}
    for prediction, label, group in zip(predictions, labels, groups):
        right[group] = right.get(group, True) and prediction == label
    return sum(right.values()) / len(right)


def gender_parity(predictions: Sequence, groups: Optional[Sequence[Hashable]] = None) -> float:
    """Winogender's parity (AX-g): share of pairs, alike but for a pronoun's gender, that get the same prediction.

    Args:
        predictions: (N,).
        groups: (N,), which pair each belongs to; None: neighbours are pairs, as in the official file.

    Raises:
        InputError: no examples, or a group which is not a pair.
    """
    pairs = collections.defaultdict(list)
    _check_sizes(predictions, predictions if groups is None else groups)
    for number, prediction in enumerate(predictions):
        pairs[number // 2 if groups is None else groups[number]].append(prediction)
    for group, members in pairs.items():
        if len(members) != 2:
            raise InputError(f"gender parity compares pairs, but pair {group!r} has {len(members)} prediction(s)")
    return sum(first == second for first, second in pairs.values()) / len(pairs)


def normalize_answer(text: str) -> str:
    """An answer as SQuAD and ReCoRD compare it: lower case, no ASCII punctuation, no articles, single spaces."""
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def token_f1(prediction: str, answers: Sequence[str]) -> float:
    """ReCoRD's F1 of one query: F1 between bags of normalised words, the best over its answers; 0 without answers."""
    return max((_bag_f1(normalize_answer(prediction), normalize_answer(answer)) for answer in answers), default=0.0)


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """ReCoRD's exact match of one query: 1.0 if the prediction, normalised, is one of its answers, else 0.0."""
    return float(any(normalize_answer(prediction) == normalize_answer(answer) for answer in answers))


def classification_scores(names: Sequence[str], predictions: Sequence[int], labels: Sequence[int], num_labels: int,
                          groups: Optional[Sequence[Hashable]] = None) -> Scores:
    """The named metrics of a classification task. All sequences are (N,), classes are indices.

    Raises:
        InputError: a name that is no metric of a classification, or what the metrics themselves raise.
    """
    notes: List[str] = []
    table = {
        "accuracy": lambda: accuracy(predictions, labels),
        "f1": lambda: f1(predictions, labels, num_labels, notes),
        "matthews": lambda: matthews(predictions, labels, notes),
        "f1a": lambda: f1(predictions, labels, num_labels, notes),
        "em": lambda: question_exact_match(predictions, labels, groups),
        "gender_parity": lambda: gender_parity(predictions, groups),
    }
    return _compute(table, names, notes)


def regression_scores(names: Sequence[str], predictions: Sequence[float], labels: Sequence[float]) -> Scores:
    """The named metrics of a regression: pearson, spearman. Both sequences are (N,).

    Raises:
        InputError: a name that is no metric of a regression, or what the metrics themselves raise.
    """
    notes: List[str] = []
    table = {
        "pearson": lambda: pearson(predictions, labels, notes),
        "spearman": lambda: spearman(predictions, labels, notes),
    }
    return _compute(table, names, notes)


def reading_scores(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> Scores:
    """ReCoRD's f1 and em: means over queries. Predictions are (Q,) texts, answers (Q,) lists of acceptable texts.

    Raises:
        InputError: no queries, or numbers that differ.
    """
    _check_sizes(predictions, answers)
    pairs = list(zip(predictions, answers))
    return Scores(f1=float(np.mean([token_f1(*pair) for pair in pairs])),
                  em=float(np.mean([exact_match(*pair) for pair in pairs])))


def task_metrics(name: str, predictions: Sequence, labels: Sequence,
                 groups: Optional[Sequence[Hashable]] = None) -> Scores:
    """The official metrics of a task over a whole set, e.g. task_metrics("MRPC", …) → {"accuracy": …, "f1": …}.

    Args:
        name: as for `bort_mx.data.tasks.get_task`.
        predictions: one per example (COPA, RACE, ReCoRD: one per question), spelled as in the files or submissions or
            as indices into the task's labels; numbers for STS-B, texts for ReCoRD.
        labels: the same; for ReCoRD a list of acceptable texts per query.
        groups: MultiRC: the question of each answer (or give both arguments as one list per question); AX-g: the pair
            of each sentence (else neighbours are pairs).

    Raises:
        InputError: an unknown task, an unknown label, numbers that differ, or no examples.
    """
    return task_registry.get_task(name).score(predictions, labels, groups)


GLUE_AVERAGE = (("CoLA",), ("SST-2",), ("MRPC",), ("STS-B",), ("QQP",), ("MNLI-matched", "MNLI-mismatched"), ("QNLI",),
                ("RTE",), ("WNLI",))
SUPERGLUE_AVERAGE = (("BoolQ",), ("CB",), ("COPA",), ("MultiRC",), ("ReCoRD",), ("RTE",), ("WiC",), ("WSC",))
AVERAGES = {"glue": GLUE_AVERAGE, "superglue": SUPERGLUE_AVERAGE}


def benchmark_average(benchmark: str, scores: Mapping[str, Mapping[str, float]]) -> float:
    """The leaderboard's single number, in the unit of `scores`.

    The mean over tasks, each task's several metrics averaged first, MNLI's two sets averaged into one task, the
    diagnostic sets (AX, AX-b, AX-g) left out.

    Args:
        benchmark: "glue" or "superglue".
        scores: task name (as in the paper's tables) → metric → value; further tasks are ignored.

    Raises:
        InputError: another benchmark, or scores of some of its tasks missing (all are named).
    """
    if benchmark not in AVERAGES:
        raise InputError(f"no official average is defined for {benchmark!r}; there is one for {', '.join(AVERAGES)}")
    tasks = AVERAGES[benchmark]
    missing = [name for task in tasks for name in task if not scores.get(name)]
    if missing:
        raise InputError(f"the {benchmark} average needs every task; no scores for {', '.join(missing)}")
    return float(np.mean([np.mean([np.mean(list(scores[name].values())) for name in task]) for task in tasks]))


def _compute(table: Mapping, names: Sequence[str], notes: List[str]) -> Scores:
    unknown = [name for name in names if name not in table]
    if unknown:
        raise InputError(f"unknown metric {unknown[0]!r} for this kind of task; there are {', '.join(table)}")
    scores = Scores({name: table[name]() for name in names}, notes=notes)
    for note in notes:
        log.warning(note)
    return scores


def _correlation(function, name: str, predictions, labels, notes: Optional[List[str]]) -> float:
    _check_sizes(predictions, labels)
    predictions, labels = np.asarray(predictions, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    for what, values in (("prediction", predictions), ("label", labels)):
        if not np.isfinite(values).all():
            position = int(np.flatnonzero(~np.isfinite(values))[0])
            raise InputError(f"{what} {position} is {values[position]}, not a finite number")
        # A spread at the level of rounding has no direction: its correlation would be noise.
        if np.ptp(values) <= 1e-13 * max(np.abs(values).max(), 1e-300):
            _note(notes, f"{name}'s correlation is undefined: all {what}s are equal; given as 0")
            return 0.0
    return float(function(predictions, labels)[0])


def _bag_f1(prediction: str, answer: str) -> float:
    words, expected = prediction.split(), answer.split()
    common = sum((collections.Counter(words) & collections.Counter(expected)).values())
    return 2 * common / (len(words) + len(expected)) if common else 0.0


def _check_sizes(first: Sequence, second: Sequence) -> None:
    if len(first) != len(second):
        raise InputError(f"{len(first)} predictions for {len(second)} labels: they must be one to one")
    if len(first) == 0:
        raise InputError("no predictions: a metric of nothing is undefined")


def _note(notes: Optional[List[str]], text: str) -> None:
    if notes is None:
        log.warning(text)
    elif text not in notes:
        notes.append(text)

"""The score by which Agora chooses: it picks epochs, models and hyperparameters, finds mistakes and checks Socrates.

[P] The paper's score is accuracy on a dev set that is balanced and representative (§5). Where dev is not balanced,
plain accuracy of examples prefers constant answers: on RACE, three of four candidates are wrong, so "always wrong" has
0.75. [I] Therefore, unless the older rule is asked for:

- Where candidates belong to a question (COPA, ReCoRD, RACE), the score is the share of questions whose best candidate
  is right. A wrong question has two kinds of mistakes: the candidate that was chosen, and the right ones.
- Else the score is balanced accuracy, the mean over classes of the share of each class that is found. It equals the
  expected accuracy on an equally balanced dev.
- A regression's values are rounded, STS-B's to 0.2 as Raffel et al. (2020) do.

Dimensions: N examples, C labels (1 in a regression).
"""

import collections
from typing import Any, Callable, Dict, Hashable, List, NamedTuple, Optional, Sequence

import numpy as np

from bort_mx.agora.points import label_of
from bort_mx.data.metrics import pearson
from bort_mx.data.tasks import Task
from bort_mx.data.tasks.pick_one import PickOneTask

EXAMPLE_ACCURACY = "example_accuracy"
"""The share of single examples whose class is right, whatever the score is."""
CONFIDENCE = 1.645
"""Standard errors by which Socrates must beat the constant answer: one-sided, 5 % [I]."""
WHOLE = 1.0


class Check(NamedTuple):
    """Socrates beside the best constant answer."""

    score: float
    constant: float
    """The score of the best answer that is the same for every input."""
    margin: float
    """By how much the score must exceed the constant's, given the size of the sample."""

    @property
    def beats_constant(self) -> bool:
        """Whether the sample supports that Socrates is better than a constant answer."""
        return self.score - self.constant > self.margin


class ExampleScore:
    """The share of examples whose class is right: the rule of a regression, and the older rule of all tasks.

    Args:
        as_class: label -> the class that it counts as.
    """

    name = EXAMPLE_ACCURACY
    checked_by = EXAMPLE_ACCURACY
    """What `check` measures."""

    def __init__(self, as_class: Optional[Callable[[Any], Hashable]] = None):
        self._as_class = as_class or (lambda label: label)

    def predictions(self, task: Task, examples: Sequence[Any], scores: np.ndarray) -> List[Any]:
        """The label, or a regression's number, of each row of scores (N, C)."""
        return [float(row[0]) if task.is_regression else task.labels[int(row.argmax())] for row in scores]

    def from_answers(self, examples: Sequence[Any], labels: Sequence[Any],
                     confidences: Sequence[Optional[float]]) -> List[Any]:
        """Predictions from a teacher's labels and its confidences in them (None where it gives none)."""
        return list(labels)

    def right(self, examples: Sequence[Any], predictions: Sequence[Any]) -> List[bool]:
        """Whether each example is right; the others are the mistakes."""
        return [self._as_class(prediction) == self._as_class(label_of(example))
                for example, prediction in zip(examples, predictions)]

    def value(self, examples: Sequence[Any], predictions: Sequence[Any]) -> float:
        """The score, in [0, 1]."""
        return float(np.mean(self.right(examples, predictions)))

    def check(self, examples: Sequence[Any], predictions: Sequence[Any]) -> Check:
        """The score beside that of the most frequent class; the margin is that of paired differences."""
        classes = [self._as_class(label_of(example)) for example in examples]
        most = collections.Counter(classes).most_common(1)[0][0]
        right, constant = self.right(examples, predictions), [found == most for found in classes]
        return _paired(right, constant)

    def metrics(self, task: Task, examples: Sequence[Any], predictions: Sequence[Any]) -> Dict[str, float]:
        """The score, the accuracy of examples, and the task's own metrics; {} of no examples."""
        if not examples:
            return {}
        return {self.name: self.value(examples, predictions),
                EXAMPLE_ACCURACY: ExampleScore.value(self, examples, predictions),
                **self._own_metrics(task, examples, predictions)}

    def _own_metrics(self, task: Task, examples: Sequence[Any], predictions: Sequence[Any]) -> Dict[str, float]:
        # Answers to questions cannot be told from single labels.
        return {} if isinstance(task, PickOneTask) else task.metrics_of(examples, list(predictions))


class RegressionScore(ExampleScore):
    """Rounded values count as classes. Socrates is checked by Pearson's correlation [I]: of values rounded to 0.2, no
    teacher has two thirds right."""

    checked_by = "pearson"

    def check(self, examples: Sequence[Any], predictions: Sequence[Any]) -> Check:
        """Pearson's correlation beside a constant's, 0, with the margin of a correlation of nothing."""
        found = pearson([float(value) for value in predictions], [float(label_of(example)) for example in examples])
        return Check(found, 0.0, CONFIDENCE / np.sqrt(max(len(examples) - 1, 1)))


class BalancedScore(ExampleScore):
    """The mean over classes of the share of each class that is right (balanced accuracy)."""

    name = checked_by = "balanced_accuracy"

    def value(self, examples: Sequence[Any], predictions: Sequence[Any]) -> float:
        """See `ExampleScore`."""
        return float(np.mean([np.mean(found) for found in self._by_class(examples, predictions)]))

    def check(self, examples: Sequence[Any], predictions: Sequence[Any]) -> Check:
        """The score beside 1/C, that of every constant answer; the margin is from each class's variance, p(1 − p)/n."""
        classes = self._by_class(examples, predictions)
        variance = sum(np.var(found) / len(found) for found in classes) / len(classes) ** 2
        return Check(self.value(examples, predictions), 1 / len(classes), CONFIDENCE * float(np.sqrt(variance)))

    def _by_class(self, examples: Sequence[Any], predictions: Sequence[Any]) -> List[List[bool]]:
        """Of each class that occurs: whether its examples are right."""
        found: Dict[Hashable, List[bool]] = {}
        for example, fine in zip(examples, self.right(examples, predictions)):
            found.setdefault(self._as_class(label_of(example)), []).append(fine)
        return list(found.values())


class QuestionScore(ExampleScore):
    """The share of questions whose best candidate is right. Predictions are "1" for it and "0" for the others."""

    name = checked_by = "question_accuracy"

    def predictions(self, task: Task, examples: Sequence[Any], scores: np.ndarray) -> List[Any]:
        """See `ExampleScore`: the candidate with the highest score of "1" less that of "0" (the first of equals)."""
        return _picks(examples, np.asarray(scores)[:, 1] - np.asarray(scores)[:, 0])

    def from_answers(self, examples: Sequence[Any], labels: Sequence[Any],
                     confidences: Sequence[Optional[float]]) -> List[Any]:
        """See `ExampleScore`: the candidate that is "1" with the highest probability."""
        sure = [1.0 if confidence is None else confidence for confidence in confidences]
        return _picks(examples, [p if label == "1" else 1 - p for label, p in zip(labels, sure)])

    def right(self, examples: Sequence[Any], predictions: Sequence[Any]) -> List[bool]:
        """See `ExampleScore`: of a wrong question, the chosen candidate and the right ones are mistakes."""
        answered = self._answered(examples, predictions)
        return [answered[example.group] or (prediction == "0" and example.label == "0")
                for example, prediction in zip(examples, predictions)]

    def value(self, examples: Sequence[Any], predictions: Sequence[Any]) -> float:
        """See `ExampleScore`."""
        return float(np.mean(list(self._answered(examples, predictions).values())))

    def check(self, examples: Sequence[Any], predictions: Sequence[Any]) -> Check:
        """The score beside the best of "always the k-th candidate" (the last one where there are fewer)."""
        questions: Dict[Hashable, List[bool]] = {}
        for example in examples:
            questions.setdefault(example.group, []).append(example.label == "1")
        most = max(map(len, questions.values()))
        always = [[found[min(k, len(found) - 1)] for found in questions.values()] for k in range(most)]
        return _paired(list(self._answered(examples, predictions).values()), max(always, key=sum))

    @staticmethod
    def _answered(examples: Sequence[Any], predictions: Sequence[Any]) -> Dict[Hashable, bool]:
        """Question -> whether the chosen candidate is right, in order of appearance."""
        found = {example.group: False for example in examples}
        for example, prediction in zip(examples, predictions):
            if prediction == "1" and example.label == "1":
                found[example.group] = True
        return found

    def _own_metrics(self, task: Task, examples: Sequence[Any], predictions: Sequence[Any]) -> Dict[str, float]:
        chosen = {example.group: example.meta["candidate"]
                  for example, prediction in zip(examples, predictions) if prediction == "1"}
        return task.metrics_of(examples, [chosen[group] for group in dict.fromkeys(e.group for e in examples)])


Score = ExampleScore
"""The type of a score: the class that the others are made from."""


def score_of(task: Task, rule: str = "task") -> Score:
    """The score of a task.

    Args:
        task: the task.
        rule: "task": per question, else balanced; STS-B rounded to 0.2. "examples": the rule of earlier versions, plain
            accuracy of single examples, with a regression's values rounded to whole numbers.
    """
    if rule == "examples":
        return ExampleScore(as_class(task))
    if task.is_regression:
        return RegressionScore(rounded_to(task.rounding))
    return QuestionScore() if isinstance(task, PickOneTask) else BalancedScore()


def as_class(task: Task) -> Callable[[Any], Hashable]:
    """What a label counts as when a training set is balanced: a regression's whole number, any other label as it is.

    [I] Whole numbers for STS-B too: classes of 0.2 would leave 2,236 of its 5,749 training pairs instead of 3,612.
    """
    return rounded_to(WHOLE) if task.is_regression else (lambda label: label)


def rounded_to(unit: float) -> Callable[[Any], Hashable]:
    """value -> the number of units nearest to it, halves to the even one."""
    per_unit = 1 / unit  # exact for 0.2, where dividing 0.3 by 0.2 gives 1.4999…
    return lambda value: round(float(value) * per_unit)


def _picks(examples: Sequence[Any], margins: Sequence[float]) -> List[str]:
    best: Dict[Hashable, int] = {}
    for i, example in enumerate(examples):
        if example.group not in best or margins[i] > margins[best[example.group]]:
            best[example.group] = i
    chosen = set(best.values())
    return ["1" if i in chosen else "0" for i in range(len(examples))]


def _paired(right: Sequence[bool], constant: Sequence[bool]) -> Check:
    """The check by the N differences between answers and the constant's."""
    first, second = np.asarray(right, float), np.asarray(constant, float)
    margin = CONFIDENCE * float((first - second).std() / np.sqrt(len(right)))
    return Check(float(first.mean()), float(second.mean()), margin)

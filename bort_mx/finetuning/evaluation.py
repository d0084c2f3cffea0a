"""Scores of a whole set over all workers, and the results from them: predictions, metrics and loss.

Dimensions: N examples, B examples in a batch, C labels (1 for regression).
"""

import dataclasses
from typing import Dict, List, Optional

import numpy as np

from bort_mx.data.batches import NOBODY, Batches
from bort_mx.data.constant_predictions import (
    constant_note,
    constant_scores,
    no_better_note,
    no_better_than_mean,
)
from bort_mx.data.tasks import Examples, Task
from bort_mx.distributed import Workers
from bort_mx.errors import RunError
from bort_mx.finetuning.objective import FineTuningObjective
from bort_mx.finetuning.target_unit import has_own_unit


@dataclasses.dataclass
class Evaluation:
    """A model's results on a set."""

    examples: Examples
    scores: np.ndarray
    """(N, C), the outputs of the model."""
    predictions: List
    """What `Task.predictions_from_scores` returned: one prediction per example, or one per question."""
    metrics: Dict[str, float]
    """The task's metrics, and "loss"; empty if the set has no labels."""
    notes: List[str]
    """Remarks about the metrics and the predictions."""
    constant: Dict[str, float] = dataclasses.field(default_factory=dict)
    """The same metrics of one label for all examples, those that have a value; see `constant_scores`."""


def compute_scores(objective: FineTuningObjective, batches: Batches, num_labels: int, batch_size: int,
                   workers: Workers) -> np.ndarray:
    """The model's outputs (N, C) for all examples. The workers share the work; all get the same array."""
    scores = np.zeros((len(batches), num_labels))
    for batch in batches.evaluation(batch_size, workers.rank, workers.size):
        # Rows with NOBODY fill the last batch; they belong to no example.
        real = batch.rows != NOBODY
        scores[batch.rows[real]] = objective.scores(batch).asnumpy()[real]
    # Each worker has filled in its own rows; the others are 0, so the sum puts them together.
    return workers.sum_numpy(scores.reshape(-1), "scores").reshape(scores.shape)


def evaluate(task: Task, examples: Examples, scores: np.ndarray) -> Evaluation:
    """Compute predictions from scores and, if every example has a label, metrics over the whole set.

    Raises:
        RunError: a score is not finite.
    """
    if not np.isfinite(scores).all():
        raise RunError(f"{task.key}: the model gives {np.count_nonzero(~np.isfinite(scores))} scores that are not "
                       "finite; lower the learning rate or check the checkpoint")
    predictions = task.predictions_from_scores(examples, scores)
    if not is_labelled(examples):
        labelled = sum(example.label is not None for example in examples)
        notes = [f"not scored, as {labelled} of {len(examples)} examples have labels"] if labelled else []
        return Evaluation(examples, scores, predictions, {}, notes + _constant(predictions, None))
    found = task.metrics_of(examples, predictions)
    loss = mean_loss(scores, targets_of(task, examples), task.is_regression)
    gold = task.gold(examples)
    single = not task.is_regression and not _has_several(gold)
    constant = constant_scores(found, gold, task.labels) if single else {}
    worth = (no_better_than_mean(predictions, gold) if has_own_unit(task) else
             no_better_note(task.criterion, found, constant))
    said = _constant(predictions, gold) or list(filter(None, [worth]))
    return Evaluation(examples, scores, predictions, {**found, "loss": loss}, list(found.notes) + said, constant)


def _constant(predictions: List, labels: Optional[List]) -> List[str]:
    """A note if all predictions are the same; see `constant_note`."""
    note = constant_note(predictions, None if labels is None or _has_several(labels) else labels)
    return [] if note is None else [note]


def _has_several(labels: List) -> bool:
    """Whether a question may have several right answers."""
    return any(isinstance(label, (list, tuple, set)) for label in labels)


def is_labelled(examples: Examples) -> bool:
    """Whether every example has a label."""
    return all(example.label is not None for example in examples)


def targets_of(task: Task, examples: Examples) -> np.ndarray:
    """(N,) label indices, or numbers for regression; 0 where an example has no label."""
    read = float if task.is_regression else task.label_index
    return np.array([0.0 if example.label is None else read(example.label) for example in examples], np.float32)


def mean_loss(scores: np.ndarray, targets: np.ndarray, is_regression: bool) -> float:
    """Mean cross-entropy (for regression: mean squared error) of scores (N, C) and targets (N,)."""
    if is_regression:
        return float(np.mean((scores[:, 0] - targets) ** 2))
    # tiny: a probability that underflowed to 0 must not give an infinite loss.
    return float(-np.mean(np.log(np.maximum(probabilities(scores)[np.arange(len(scores)), targets.astype(int)],
                                            np.finfo(float).tiny))))


def probabilities(scores: np.ndarray) -> np.ndarray:
    """Softmax of scores (N, C) over the labels."""
    # Subtracting the maximum keeps exp from overflowing, and does not change the result.
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


class BestEpoch:
    """Keeps the best model by the task's criterion. Ends the training when the criterion no longer improves.

    Implements `bort_mx.training.loop.Selection`.

    Args:
        criterion: name of a value in the evaluation. Higher is better; of equal values, the first is kept.
        save: called with (step, value) for every new best.
        patience: number of evaluations without improvement that ends the training; None: never.
    """

    def __init__(self, criterion: str, save, patience: Optional[int] = None):
        self._criterion, self._save, self.patience = criterion, save, patience
        self.best_step, self.best, self._waiting = 0, -np.inf, 0

    @property
    def stopped(self) -> bool:
        """True if the criterion has not improved for `patience` evaluations."""
        return self.patience is not None and self._waiting >= self.patience

    def observe(self, step: int, values: Dict[str, float]) -> None:
        """Compare an evaluation with the best one so far."""
        value = values[self._criterion]
        if value > self.best:
            self.best_step, self.best, self._waiting = step, value, 0
            self._save(step, value)
        else:
            self._waiting += 1

    def state(self) -> Dict:
        """The best step, its value, and the number of evaluations since."""
        return {"best_step": self.best_step, "best": None if np.isinf(self.best) else self.best,  # JSON has no infinity
                "waiting": self._waiting}

    def replace(self, step: int, value: Optional[float]) -> None:
        """Take another model for the best one, whose weights were lost. Its value may be unknown (None)."""
        self.best_step, self.best = step, -np.inf if value is None else value

    def load_state(self, state: Dict) -> None:
        """Restore what `state` returned."""
        self.best_step, self._waiting = state["best_step"], state["waiting"]
        self.best = -np.inf if state["best"] is None else state["best"]

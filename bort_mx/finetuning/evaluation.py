"""Scores of a whole set over all workers, and what follows from them: predictions, metrics, the loss.

Dimensions: N examples, B examples of a batch, C labels (1 in a regression).
"""

import dataclasses
from typing import Dict, List, Optional

import numpy as np

from bort_mx.data.batches import NOBODY, Batches
from bort_mx.data.tasks import Examples, Task
from bort_mx.distributed import Workers
from bort_mx.errors import RunError
from bort_mx.finetuning.objective import FineTuningObjective


@dataclasses.dataclass
class Evaluation:
    """What a model makes of a set."""

    examples: Examples
    scores: np.ndarray
    """(N, C), the model's outputs."""
    predictions: List
    """As `Task.predictions_from_scores` gives them: one an example, or one a question."""
    metrics: Dict[str, float]
    """The task's metrics and "loss"; empty if the set has no labels."""
    notes: List[str]
    """What the metrics have to say about themselves."""


def compute_scores(objective: FineTuningObjective, batches: Batches, num_labels: int, batch_size: int,
                   workers: Workers) -> np.ndarray:
    """The model's outputs (N, C) for every example, the same array on all workers, which share the work."""
    scores = np.zeros((len(batches), num_labels))
    for batch in batches.evaluation(batch_size, workers.rank, workers.size):
        real = batch.rows != NOBODY
        scores[batch.rows[real]] = objective.scores(batch).asnumpy()[real]
    return workers.sum_numpy(scores.reshape(-1), "scores").reshape(scores.shape)


def evaluate(task: Task, examples: Examples, scores: np.ndarray) -> Evaluation:
    """Predictions from scores, and over the whole set the metrics, if every example has a label.

    Raises:
        RunError: a score that is not finite.
    """
    if not np.isfinite(scores).all():
        raise RunError(f"{task.key}: the model gives {np.count_nonzero(~np.isfinite(scores))} scores that are not "
                       "finite; lower the learning rate or look at the checkpoint")
    predictions = task.predictions_from_scores(examples, scores)
    if not is_labelled(examples):
        labelled = sum(example.label is not None for example in examples)
        notes = [f"not scored, as {labelled} of {len(examples)} examples have labels"] if labelled else []
        return Evaluation(examples, scores, predictions, {}, notes)
    found = task.metrics_of(examples, predictions)
    loss = mean_loss(scores, targets_of(task, examples), task.is_regression)
    return Evaluation(examples, scores, predictions, {**found, "loss": loss}, list(found.notes))


def is_labelled(examples: Examples) -> bool:
    """Whether every example has a label."""
    return all(example.label is not None for example in examples)


def targets_of(task: Task, examples: Examples) -> np.ndarray:
    """(N,) label indices, or numbers in a regression; 0 where an example has no label."""
    read = float if task.is_regression else task.label_index
    return np.array([0.0 if example.label is None else read(example.label) for example in examples], np.float32)


def mean_loss(scores: np.ndarray, targets: np.ndarray, is_regression: bool) -> float:
    """Mean cross-entropy (or squared error) of scores (N, C) and targets (N,)."""
    if is_regression:
        return float(np.mean((scores[:, 0] - targets) ** 2))
    return float(-np.mean(np.log(np.maximum(probabilities(scores)[np.arange(len(scores)), targets.astype(int)],
                                            np.finfo(float).tiny))))


def probabilities(scores: np.ndarray) -> np.ndarray:
    """Softmax of scores (N, C) over the labels."""
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


class BestEpoch:
    """Keeps the best model by the task's criterion, and ends the training when it no longer improves.

    Implements `bort_mx.training.loop.Selection`.

    Args:
        criterion: a name of the evaluation's values; higher is better, and of equal ones the first is kept.
        save: called with (step, value) when there is a new best.
        patience: evaluations without improvement that end the training; None: never.
    """

    def __init__(self, criterion: str, save, patience: Optional[int] = None):
        self._criterion, self._save, self._patience = criterion, save, patience
        self.best_step, self.best, self._waiting = 0, -np.inf, 0

    @property
    def stopped(self) -> bool:
        """The criterion has not improved for long enough."""
        return self._patience is not None and self._waiting >= self._patience

    def observe(self, step: int, values: Dict[str, float]) -> None:
        """Compare an evaluation with the best so far."""
        value = values[self._criterion]
        if value > self.best:
            self.best_step, self.best, self._waiting = step, value, 0
            self._save(step, value)
        else:
            self._waiting += 1

    def state(self) -> Dict:
        """Best step, its value and how long there was none better."""
        return {"best_step": self.best_step, "best": None if np.isinf(self.best) else self.best,
                "waiting": self._waiting}

    def load_state(self, state: Dict) -> None:
        """The inverse of `state`."""
        self.best_step, self._waiting = state["best_step"], state["waiting"]
        self.best = -np.inf if state["best"] is None else state["best"]

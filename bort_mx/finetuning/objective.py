"""The objective of fine-tuning: cross-entropy of a classifier, or squared error of a regression; and soft labels.

Dimensions: N examples of the training set, B of a batch, s tokens, C labels.
"""

from typing import NamedTuple, Optional

import mxnet as mx
import numpy as np

from bort_mx.data.batches import TextBatch
from bort_mx.devices import to_device
from bort_mx.training.cross_entropy import cross_entropy, distillation_cross_entropy, number_right
from bort_mx.training.step import Sums


class SoftLabels(NamedTuple):
    """A teacher's outputs for the training set ([P] a loss "akin to the ones used in Section 4", P1 §5)."""

    scores: np.ndarray
    """(N, C)."""
    weight: float
    """w in w · distillation + (1 − w) · the loss of the labels."""
    temperature: float
    """τ; the distillation is τ² · CE(softmax(teacher/τ), softmax(student/τ)). A regression has none."""
    labelled: Optional[np.ndarray] = None
    """(N,) 1, or 0 for an example without a label, on which only the distillation counts. None: all have one."""

    def targets(self, targets: np.ndarray, is_regression: bool) -> np.ndarray:
        """The targets (N,), for examples without a label the teacher's answer."""
        if self.labelled is None:
            return targets
        answers = self.scores[:, 0] if is_regression else self.scores.argmax(axis=1)
        return np.where(self.labelled > 0, targets, answers).astype(np.float32)


def squared_error(scores: mx.nd.NDArray, targets: mx.nd.NDArray) -> mx.nd.NDArray:
    """Per example: (score − target)². Inputs: scores (B, 1), targets (B,). Output: (B,)."""
    return mx.nd.square(scores.astype("float32", copy=False).reshape(-1) - targets)


class FineTuningObjective:
    """The loss over the examples of a batch.

    Args:
        model: a model with a classifier.
        is_regression: use the squared error instead of the cross-entropy, also of the teacher's outputs.
        ctx: the device.
        soft: a teacher's outputs for the examples that batches' `rows` count; None: the labels alone.
        deviation: σ; a regression's squared errors are divided by σ².
    """

    def __init__(self, model, is_regression: bool, ctx: Optional[mx.Context] = None,
                 soft: Optional[SoftLabels] = None, deviation: float = 1.0):
        self._deviation = deviation
        self._model, self._is_regression, self._ctx, self._soft = model, is_regression, ctx or mx.cpu(), soft

    def __call__(self, batch: TextBatch, detailed: bool = False) -> Sums:
        """Sums over the examples of weight 1: the loss; if `detailed`, also a classifier's accuracy, and with soft
        labels the distillation ("kd_loss") and the loss of the labels ("label_loss"; 0 for an example without one,
        whose right answer is the teacher's).
        """
        targets, weights = to_device(batch.targets, self._ctx), to_device(batch.weights, self._ctx)
        scores = self.scores(batch)  # (B, C)
        each = self._squared_error(scores, targets) if self._is_regression else cross_entropy(scores, targets)
        metrics = {}
        if self._soft is not None:
            distilled = self._distillation(scores, batch.rows)  # (B,)
            each = self._of_labelled(each, batch.rows)
            if detailed:
                metrics.update(kd_loss=(distilled * weights).sum(), label_loss=(each * weights).sum())
            each = self._soft.weight * distilled + (1 - self._soft.weight) * each
        if detailed and not self._is_regression:
            metrics["accuracy"] = number_right(scores.astype("float32", copy=False), targets, weights)
        return Sums((each * weights).sum(), float(batch.weights.sum()), metrics)

    def _of_labelled(self, each: mx.nd.NDArray, rows: np.ndarray) -> mx.nd.NDArray:
        if self._soft.labelled is None:
            return each
        return each * to_device(np.asarray(self._soft.labelled[rows], np.float32), self._ctx)

    def _distillation(self, scores: mx.nd.NDArray, rows: np.ndarray) -> mx.nd.NDArray:
        # A filling row, −1, gets the last example's outputs; its weight is 0.
        teacher = to_device(np.asarray(self._soft.scores[rows], np.float32), self._ctx)  # (B, C)
        if self._is_regression:
            return self._squared_error(scores, teacher.reshape(-1))
        return distillation_cross_entropy(scores, teacher, self._soft.temperature)

    def _squared_error(self, scores: mx.nd.NDArray, targets: mx.nd.NDArray) -> mx.nd.NDArray:
        if self._deviation == 1.0:
            return squared_error(scores, targets)
        return squared_error(scores.astype("float32", copy=False) / self._deviation, targets / self._deviation)

    def scores(self, batch: TextBatch) -> mx.nd.NDArray:
        """The outputs (B, C) of the model."""
        types = to_device(batch.token_types, self._ctx) if self._model.config.token_types else None
        return self._model(to_device(batch.input_ids, self._ctx), to_device(batch.valid_length, self._ctx), None, types)

"""The objective of fine-tuning: cross-entropy of a classifier, or squared error of a regression.

Dimensions: B examples, s tokens, C labels.
"""

from typing import Optional

import mxnet as mx

from bort_mx.data.batches import TextBatch
from bort_mx.devices import to_device
from bort_mx.pretraining.losses import cross_entropy, number_right
from bort_mx.training.step import Sums


def squared_error(scores: mx.nd.NDArray, targets: mx.nd.NDArray) -> mx.nd.NDArray:
    """Per example: (score − target)². Inputs: scores (B, 1), targets (B,). Output: (B,)."""
    return mx.nd.square(scores.astype("float32", copy=False).reshape(-1) - targets)


class FineTuningObjective:
    """The loss over the examples of a batch.

    Args:
        model: a model with a classifier.
        is_regression: use the squared error instead of the cross-entropy.
        ctx: the device.
    """

    def __init__(self, model, is_regression: bool, ctx: Optional[mx.Context] = None):
        self._model, self._is_regression, self._ctx = model, is_regression, ctx or mx.cpu()

    def __call__(self, batch: TextBatch, detailed: bool = False) -> Sums:
        """Sums over the examples of weight 1: the loss and, if `detailed`, a classifier's accuracy."""
        targets, weights = to_device(batch.targets, self._ctx), to_device(batch.weights, self._ctx)
        scores = self.scores(batch)  # (B, C)
        each = squared_error(scores, targets) if self._is_regression else cross_entropy(scores, targets)
        metrics = {}
        if detailed and not self._is_regression:
            metrics["accuracy"] = number_right(scores.astype("float32", copy=False), targets, weights)
        return Sums((each * weights).sum(), float(batch.weights.sum()), metrics)

    def scores(self, batch: TextBatch) -> mx.nd.NDArray:
        """The outputs (B, C) of the model."""
        types = to_device(batch.token_types, self._ctx) if self._model.config.token_types else None
        return self._model(to_device(batch.input_ids, self._ctx), to_device(batch.valid_length, self._ctx), None, types)

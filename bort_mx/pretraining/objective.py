"""The objective of pre-training: the loss that is minimised, and the metrics beside it.

Dimensions: B sequences, s tokens, M masked positions per sequence, N = B·M, V vocabulary size.
"""

from typing import Dict, Iterable, List, Optional, Union

import mxnet as mx
import numpy as np

from bort_mx.devices import to_device
from bort_mx.distributed import Workers
from bort_mx.pretraining.inner_objective import InnerObjective
from bort_mx.pretraining.losses import distillation_loss, masked_lm_loss
from bort_mx.training.cross_entropy import number_right
from bort_mx.training.step import Sums


class PretrainingObjective:
    """loss = w·KD + (1−w)·MLM on the masked positions (paper §4.2), or MLM alone without a teacher.

    Args:
        model: the student, with its MLM head.
        teacher: a model with an MLM head over the same vocabulary, or None.
        kd_weight: w, the weight of the distillation (KD) loss.
        temperature: τ of the distillation loss.
        ctx: the device.
    """

    def __init__(self, model, teacher=None, kd_weight: float = 0.5, temperature: float = 2.0,
                 ctx: Optional[mx.Context] = None):
        self._model, self._teacher, self._ctx = model, teacher, ctx or mx.cpu()
        self._kd_weight, self._temperature = kd_weight, temperature

    @property
    def distils(self) -> bool:
        """Whether the student learns from a teacher."""
        return self._teacher is not None

    @property
    def names(self) -> List[str]:
        """Names of the metrics that an evaluation sums."""
        return ["mlm_loss", *(["kd_loss"] if self.distils else []), "mlm_accuracy"]

    def __call__(self, batch, detailed: bool = False) -> Sums:
        """Sums over the masked positions of a `bort_mx.data.masking.Batch`.

        They are: loss, mlm_loss, kd_loss (with a teacher), mlm_accuracy (if `detailed`), and the number of masked
        positions.
        """
        inputs = [to_device(a, self._ctx) for a in (batch.input_ids, batch.valid_length, batch.masked_positions)]
        labels, weights = (to_device(a, self._ctx) for a in (batch.labels, batch.weights))  # (B, M)
        logits = self._logits(self._model, inputs)
        metrics = {"mlm_loss": masked_lm_loss(logits, labels, weights, reduction="sum")}
        loss = metrics["mlm_loss"]
        if self._teacher is not None:
            # Predict mode: the teacher's dropout is off, and no gradient is recorded.
            with mx.autograd.pause(train_mode=False):
                teacher_logits = self._logits(self._teacher, inputs)
            metrics["kd_loss"] = distillation_loss(logits, teacher_logits, weights, self._temperature, reduction="sum")
            loss = self._kd_weight * metrics["kd_loss"] + (1 - self._kd_weight) * loss
        if detailed:
            metrics["mlm_accuracy"] = number_right(logits, labels, weights)
        return Sums(loss, float(batch.weights.sum()), metrics)

    @staticmethod
    def _logits(model, inputs):
        """(B, M, V). They keep this shape, since the gradient of a reshape copies them."""
        return model(*inputs).astype("float32", copy=False)


def evaluate(objective: Union[PretrainingObjective, InnerObjective], batches: Iterable,
             workers: Workers) -> Dict[str, float]:
    """Validation metrics over all workers' batches: loss, its parts and, where there is an MLM loss, its accuracy.

    Means are over the objective's terms (masked positions, or sequences), not over batches. Perplexity is exp(MLM
    loss).
    """
    totals = None
    for batch in batches:
        sums = objective(batch, detailed=True)
        row = np.array([sums.weight, sums.loss.asscalar(), *(v.asscalar() for v in sums.metrics.values())])
        names, totals = list(sums.metrics), row if totals is None else totals + row
    if totals is None:  # with more workers than batches, this worker has none and adds zeros
        names = objective.names
        totals = np.zeros(2 + len(names))
    weight, *values = workers.sum_numpy(totals, "evaluation")
    means = {name: value / max(weight, 1.0) for name, value in zip(["loss", *names], values)}
    result = {f"validation_{name}": value for name, value in means.items()}
    if "mlm_loss" not in means:
        return result
    return {**result, "validation_perplexity": float(np.exp(min(means["mlm_loss"], 700.0)))}  # exp overflows above 709

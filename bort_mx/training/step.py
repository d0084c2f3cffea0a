"""One training step, shared by search, pre-training and fine-tuning.

It computes the loss and its gradient, sums gradients over workers, averages, clips and updates. Steps with a loss or
gradient that is not finite are skipped.
"""

import dataclasses
import math
import time
from typing import Callable, Dict, Iterable, List, Optional, Tuple

import mxnet as mx
import numpy as np

from bort_mx.distributed import Workers
from bort_mx.errors import RunError
from bort_mx.training.optimizers import Optimizer


@dataclasses.dataclass
class Sums:
    """What an objective returns for a micro-batch: sums, not means. The mean is taken over the global batch."""

    loss: mx.nd.NDArray
    """Sum of the loss over its terms (masked positions, or examples); shape (1,)."""
    weight: float
    """Number of these terms (the sum of their weights)."""
    metrics: Dict[str, mx.nd.NDArray] = dataclasses.field(default_factory=dict)
    """Sums of further values to report, each of shape (1,). They are divided by `weight` as the loss is."""


Objective = Callable[..., Sums]
"""objective(batch, detailed: bool) -> Sums. `detailed` asks for metrics that take extra time."""


@dataclasses.dataclass
class StepResult:
    """What a step did. All values are over the global batch."""

    sums: Dict[str, float]
    """Sums over the terms of the batch: "loss", and the objective's metrics."""
    weight: float
    """Number of these terms."""
    grad_norm: float
    """Norm of the averaged gradient before clipping."""
    skipped: bool
    """True if no update was made, because the loss or a gradient was not finite."""
    stop: bool
    """True if any worker was asked to stop."""
    abandoned: bool = False
    """True if any worker was asked to stop between its micro-batches. No update was made; the step does not count."""

    @property
    def loss(self) -> float:
        """Mean of the loss."""
        return self.sums["loss"] / self.weight

    @property
    def metrics(self) -> Dict[str, float]:
        """Means of the objective's metrics."""
        return {name: value / self.weight for name, value in self.sums.items() if name != "loss"}


class LossScaler:
    """Dynamic loss scaling for float16: halve the scale on overflow, double it after `interval` good steps.

    The loss is a sum over the batch. Its gradient can exceed float16's range (65504) even where the gradient of the
    mean does not. Therefore the scale may fall below 1.
    """

    least, most = 2.0 ** -14, 2.0 ** 24

    def __init__(self, enabled: bool, scale: float = 2.0 ** 15, interval: int = 2000):
        self.scale, self.good = (scale if enabled else 1.0), 0
        self._enabled, self._interval = enabled, interval

    def update(self, overflow: bool) -> bool:
        """Adapt the scale. Returns whether an overflow is a real failure: the scale cannot be lowered further."""
        if not self._enabled:
            return overflow
        if overflow:
            failure = self.scale <= self.least
            self.scale, self.good = max(self.least, self.scale / 2), 0
            return failure
        self.good += 1
        if self.good % self._interval == 0:
            self.scale = min(self.scale * 2, self.most)
        return False


class NonFiniteError(RunError):
    """Too many steps in a row without a finite loss and gradient, or not one finite step in a whole training."""


class TrainingStep:
    """The training step.

    Args:
        objective: see `Objective`.
        optimizer: holds the parameters and their gradients.
        workers: gradients are summed over them.
        clip: bound on the norm of the averaged gradient; 0 for none.
        patience: this many steps in a row without a finite loss and gradient raise `NonFiniteError`.
        half: train in float16 with dynamic loss scaling.
    """

    def __init__(self, objective: Objective, optimizer: Optimizer, workers: Workers, clip: float = 1.0,
                 patience: int = 10, half: bool = False):
        self._objective, self.optimizer, self._workers = objective, optimizer, workers
        optimizer.agree(workers)
        self._clip, self._patience = clip, patience
        self.scaler = LossScaler(half)
        self.skipped, self.skipped_in_a_row = 0, 0

    def __call__(self, batches: Iterable, learning_rate: float, detailed: bool = False,
                 asked: Callable[[], bool] = lambda: False) -> StepResult:
        """Accumulate the gradients of this worker's micro-batches, then update the weights.

        Args:
            batches: the micro-batches, at least one.
            learning_rate: the learning rate of this step.
            detailed: ask the objective for its costly metrics too.
            asked: returns whether this worker was asked to stop. It is called after each micro-batch. The answer is
                shared with the other workers at no extra cost.
        Raises:
            NonFiniteError: `patience` steps in a row were not finite.
        """
        names, sums, abandoned = self._accumulate(list(batches), detailed, asked)
        gradients = self.optimizer.gradients()
        # On several workers the averaged gradient is Σ gradients / Σ weights: workers may hold different weights.
        self._workers.sum_(gradients, "gradients")
        # One reduction carries the loss, the weight, the two flags and all metrics.
        flags = [asked(), abandoned]
        loss, weight, stopping, left, *rest = self._workers.sum_numpy(np.array([*sums[:2], *flags, *sums[2:]]), "sums")
        weight = max(weight, 1e-12)
        # The gradients are still sums, times the loss scale. Dividing the norm by both gives the mean's norm.
        norm = gradient_norm(gradients) / (weight * self.scaler.scale)
        result = StepResult(dict(zip(["loss", *names], map(float, [loss, *rest]))), float(weight), norm,
                            not (math.isfinite(norm) and math.isfinite(loss)), bool(stopping), bool(left))
        if result.abandoned:  # on every worker alike: the flags were summed
            return result
        if not result.skipped:
            clip = min(1.0, self._clip / max(norm, 1e-12)) if self._clip else 1.0
            # One factor averages, clips and undoes the loss scale.
            self.optimizer.step(learning_rate, clip / (weight * self.scaler.scale), gradients)
        self._guard(result)
        return result

    def rehearse(self, batches: List) -> float:
        """Seconds of a forward and backward pass of the first micro-batch; it leaves nothing behind but gradients."""
        self._set_accumulation(len(batches) > 1)
        start = time.perf_counter()
        with mx.autograd.record():
            loss = self._objective(batches[0], False).loss
        loss.backward()
        mx.nd.waitall()
        return time.perf_counter() - start

    def _accumulate(self, batches: List, detailed: bool,
                    asked: Callable[[], bool]) -> Tuple[List[str], np.ndarray, bool]:
        """Run forward and backward on the micro-batches. Stop between two of them if `asked` says so.

        Returns:
            The metrics' names; the sums of loss, weight and metrics over micro-batches; whether micro-batches were
            left out.
        """
        totals: Optional[np.ndarray] = None
        names: List[str] = []
        self._set_accumulation(len(batches) > 1)
        for number, batch in enumerate(batches, start=1):
            with mx.autograd.record():
                sums = self._objective(batch, detailed)
                scaled = sums.loss * self.scaler.scale if self.scaler.scale != 1 else sums.loss
            scaled.backward()
            names = list(sums.metrics)
            values = [sums.loss, *(sums.metrics[name] for name in names)]
            # One copy to the host for all values: each copy waits for the device.
            loss, *metrics = mx.nd.concat(*(v.astype("float32").reshape(1) for v in values), dim=0).asnumpy()
            row = np.array([loss, sums.weight, *metrics], np.float64)
            totals = row if totals is None else totals + row
            if asked() and number < len(batches):
                return names, totals, True
        return names, totals, False

    def _set_accumulation(self, several: bool) -> None:
        """Set how gradients are written: one micro-batch overwrites them, several add to zero."""
        request = "add" if several else "write"
        for parameter in self.optimizer.parameters.values():
            if parameter.grad_req != request:
                parameter.grad_req = request
            if several:
                parameter.zero_grad()

    def _guard(self, result: StepResult) -> None:
        # The loss itself is not scaled. If it is not finite, the scale is not the cause and is left as it is.
        failure = self.scaler.update(result.skipped) if math.isfinite(result.loss) else True
        self.skipped += result.skipped
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if failure else 0
        if self.skipped_in_a_row >= self._patience:
            raise NonFiniteError(f"no finite loss and gradient in {self._patience} steps in a row (loss {result.loss}, "
                                 f"gradient norm {result.grad_norm}); lower the learning rate or check the data")


def gradient_norm(arrays: Iterable[mx.nd.NDArray]) -> float:
    """Euclidean norm over all arrays together.

    It uses one BLAS dot product per array. Here this is several times faster than MXNet's norm operators.
    """
    flat = [a.reshape(-1) if a.dtype == np.float32 else a.astype("float32").reshape(-1) for a in arrays]
    squares = mx.nd.concat(*(mx.nd.dot(a, a).reshape(1) for a in flat), dim=0).asnumpy()
    return math.sqrt(float(squares.astype(np.float64).sum())) if np.isfinite(squares).all() else math.inf

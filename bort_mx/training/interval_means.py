"""Means of the training metrics over the steps since the last log."""

import math
from typing import Any, Dict

from bort_mx.training.step import StepResult


class IntervalMeans:
    """Adds up the sums of steps. A resumed run continues them from a checkpoint, and so logs the same numbers.

    The mean is over terms (masked positions, or examples), not over steps. A step whose loss is not finite is left out;
    `skipped` in the log counts such steps.
    """

    def __init__(self):
        self.clear()

    def add(self, result: StepResult) -> None:
        """Add a step. A metric that is not given in every step is averaged over those that give it."""
        if not math.isfinite(result.sums["loss"]):
            return
        for name, value in result.sums.items():
            total, weight = self._totals.get(name, (0.0, 0.0))
            self._totals[name] = total + value, weight + result.weight

    def means(self) -> Dict[str, float]:
        """Name → mean. Only {"loss": nan} if no step had a finite loss."""
        return {name: total / weight for name, (total, weight) in self._totals.items()} or {"loss": math.nan}

    def clear(self) -> None:
        """Begin a new interval."""
        self._totals: Dict[str, Any] = {}

    def state(self) -> Dict[str, Any]:
        """What a resumed run needs, as JSON values. JSON keeps every digit of a float."""
        return {name: list(pair) for name, pair in self._totals.items()}

    def load_state(self, state: Dict[str, Any]) -> None:
        """Restore what `state` returned. Checkpoints before version 0.2 have none: then the interval begins there."""
        self._totals = {name: (total, weight) for name, (total, weight) in state.items()}

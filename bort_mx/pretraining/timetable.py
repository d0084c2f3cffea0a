"""How learning rate and sequence length follow a run's steps, or its time where it has a budget."""

from typing import Optional

from bort_mx.training import schedules
from bort_mx.training.budget import Budget
from bort_mx.training.run_directory import RunDirectory


class Timetable:
    """What each step of a run gets.

    Args:
        run: keeps the steps of warm-up, so that a run that is resumed with more steps has the learning rates it had.
        peak: highest learning rate.
        schedule: a key of `schedules.SCHEDULES`.
        warmup: proportion of the run, or number of steps.
        max_steps: number of steps.
        length_warmup: share of the run with short sequences.
        budget: the run's clock, if it ends by time.
    """

    def __init__(self, run: RunDirectory, peak: float, schedule: str, warmup: float, max_steps: int,
                 length_warmup: float, budget: Optional[Budget] = None):
        self._peak, self._schedule, self._warmup, self._total = peak, schedule, warmup, max_steps
        self._length_warmup, self._budget = length_warmup, budget
        if budget is None:
            self._warmup_steps = run.keep("warmup_steps", schedules.warmup_steps(warmup, max_steps))

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step; the first is step 1."""
        if self._budget is not None:
            return self._peak * schedules.at_progress(self._schedule, self._budget.progress(step), self._warmup)
        return self._peak * schedules.SCHEDULES[self._schedule](step, self._warmup_steps, self._total)

    def is_short(self, step: int) -> bool:
        """Whether a step (from 1) has the short sequences."""
        if not self._length_warmup:
            return False
        over = self._budget.progress(step) if self._budget is not None else (step - 1) / self._total
        return over < self._length_warmup

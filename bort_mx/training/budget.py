"""A training that ends after a time, not after a number of steps.

The time after each step is written down. A run that is resumed reads the times of the steps that it repeats, so that
they have the same learning rates as before; then its clock goes on from there. The time when it did not run is not
counted.
"""

import logging
import os
import time
from typing import Callable, Dict, Optional

from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.io.jsonl_log import JsonlLog

logger = logging.getLogger(__name__)
FILE = "clock.jsonl"
"""In the output directory: {"step": 7, "elapsed": 12.5}, the seconds of the run after a step."""


class Budget:
    """The clock of a run with a budget.

    Args:
        seconds: the budget.
        path: the file of times; None: none is kept.
        start_step: the step that the run continues from; 0: a new run, whose file is emptied.
        workers: rank 0's clock is the one of all.
        clock: seconds from some point in time.
    """

    def __init__(self, seconds: float, path: Optional[os.PathLike], start_step: int, workers: Workers,
                 clock: Callable[[], float] = time.monotonic):
        self.seconds, self._workers, self._clock, self._start = seconds, workers, clock, start_step
        self._log = JsonlLog(path, write=workers.is_first, durable=False, on_damage=_pass_over)
        self._after: Dict[int, float] = {0: 0.0}
        if start_step:
            self._after.update(_times(self._log))
            if start_step not in self._after:
                raise InputError(f"{path}: lacks the time of step {start_step}, which --budget needs; start anew in "
                                 "another --output-dir")
        self._since = clock()

    def start(self) -> None:
        """Start the clock. Times of a former run in the same folder are dropped."""
        if not self._start:
            self._log.replace([])
        self._since = self._clock()

    def progress(self, step: int) -> float:
        """Share of the budget that is over when a step begins (the first is step 1); of a later step: by now."""
        elapsed = self._after.get(step - 1)
        return min(1.0, (max(self._after.values()) if elapsed is None else elapsed) / self.seconds)

    def finish(self, step: int) -> bool:
        """Note the time after a step. Returns whether the budget is used up, which is the same on all workers."""
        now = self._clock()
        if step not in self._after:
            elapsed = self._after[step - 1] + now - self._since
            self._after[step] = self._workers.gather(elapsed, "budget")[0] if self._workers.size > 1 else elapsed
            self._log.append({"step": step, "elapsed": self._after[step]})
        self._since = now
        return self.over(step)

    def over(self, step: int) -> bool:
        """Whether the budget was used up after this step."""
        return self._after[step] >= self.seconds


def _times(log: JsonlLog) -> Dict[int, float]:
    """Step → seconds after it. Lines without these are passed over, as damaged ones are."""
    found: Dict[int, float] = {}
    for number, row in log.records:
        step, elapsed = (row.get("step"), row.get("elapsed")) if isinstance(row, dict) else (None, None)
        if type(step) is int and type(elapsed) in (int, float):
            found[step] = float(elapsed)
        else:
            _pass_over(number)
    return found


def _pass_over(number: int) -> None:
    logger.warning("%s: line %d is damaged and skipped; if its step is repeated, the next one may have another "
                   "learning rate than before", FILE, number)

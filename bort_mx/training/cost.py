"""What a training costs: what was forecast, and the seconds that it took, over all its resumptions."""

import time
from typing import Any, Dict, Optional

from bort_mx.durations import in_words

COST = "cost.json"
"""Beside results.json, which holds no times."""
LONG = 30 * 24 * 3600
"""Seconds of a training beyond which it is warned of."""


class Cost:
    """Seconds of a training, by the clock and of this process's cores.

    Attributes:
        forecast: what was said before or after the first steps: {"seconds_a_step": …, "steps": …, "seconds": …}.
    """

    def __init__(self):
        self.forecast: Optional[Dict[str, float]] = None
        self._before = (0.0, 0.0)
        self._started = (time.perf_counter(), time.process_time())

    def start(self) -> None:
        """Count from now."""
        self._started = (time.perf_counter(), time.process_time())

    def expect(self, seconds_a_step: float, steps: int) -> None:
        """Note the forecast, unless a former part of the run has made one."""
        if self.forecast is None:
            self.forecast = {"seconds_a_step": round(seconds_a_step, 6), "steps": steps,
                             "seconds": round(seconds_a_step * steps, 3)}

    def state(self) -> Dict[str, Any]:
        """The cost so far, as JSON values: the forecast, "seconds" and "cpu_seconds"."""
        now = (time.perf_counter(), time.process_time())
        seconds, cpu = (round(before + end - begin, 3) for before, begin, end in zip(self._before, self._started, now))
        return {"forecast": self.forecast, "seconds": seconds, "cpu_seconds": cpu}

    def load_state(self, state: Dict[str, Any]) -> None:
        """Go on from what `state` returned; {}: from nothing."""
        self.forecast = state.get("forecast")
        self._before = (state.get("seconds", 0.0), state.get("cpu_seconds", 0.0))


def duration(seconds: float, steps: int) -> str:
    """How long steps will take, by the seconds of one; of more than `LONG` a second line warns."""
    said = f"about {in_words(seconds)} a step: {in_words(seconds * steps)} for {steps:,} steps, without evaluations"
    if seconds * steps <= LONG:
        return said
    return (f"{said}\nwarning: more than a month on this machine; it goes on. To end sooner stop it (Ctrl-C) and give "
            "fewer steps or epochs, a smaller --batch-size, shorter sequences or a smaller model")

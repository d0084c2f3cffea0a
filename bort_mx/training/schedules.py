"""Learning-rate schedules. Each is a function of the step and returns a factor on the peak learning rate."""

import math
from typing import Callable, Dict


def noam(step: int, warmup_steps: int) -> float:
    """Vaswani et al. (2017), scaled to a peak of 1: linear up to `warmup_steps`, then inverse square root.

    Args:
        step: 1 for the first update.
        warmup_steps: the step at which the peak is reached; at least 1.
    """
    return min(step / warmup_steps, math.sqrt(warmup_steps / step))


def linear(step: int, warmup_steps: int, total_steps: int) -> float:
    """Linear warm-up from 0 to 1, then linear decay that would reach 0 after `total_steps` (Devlin et al. 2018).

    Args:
        step: 1 for the first update.
        warmup_steps: number of updates until the peak; 0 for none.
        total_steps: number of updates in the whole training.
    """
    if step <= warmup_steps:
        return step / max(1, warmup_steps)
    # The + 1 keeps the last update above 0; an update with learning rate 0 would be wasted.
    return max(0.0, (total_steps - step + 1) / max(1, total_steps - warmup_steps + 1))


def cosine(step: int, warmup_steps: int, total_steps: int) -> float:
    """Linear warm-up from 0 to 1, then half a cosine that would reach 0 after `total_steps` (Loshchilov & Hutter 2016).

    Arguments as in `linear`.
    """
    left = linear(step, warmup_steps, total_steps)
    return left if step <= warmup_steps else (1 - math.cos(math.pi * left)) / 2


def at_progress(name: str, progress: float, warmup: float) -> float:
    """The factor after a share of a run whose number of steps is not known.

    Args:
        name: a key of `SCHEDULES`.
        progress: share of the run that is over, in [0, 1].
        warmup: share of the run that is warm-up, in (0, 1).
    """
    if progress <= warmup:
        return progress / warmup
    left = max(0.0, (1 - progress) / (1 - warmup))
    return {"noam": math.sqrt(warmup / progress), "linear": left, "cosine": (1 - math.cos(math.pi * left)) / 2}[name]


SCHEDULES: Dict[str, Callable[[int, int, int], float]] = {
    "noam": lambda step, warmup_steps, total_steps: noam(step, warmup_steps), "linear": linear, "cosine": cosine}
"""Value of --schedule → factor on the peak learning rate at a step, given the steps of warm-up and of the run."""


def warmup_steps(warmup: float, total_steps: int) -> int:
    """Number of warm-up steps, at least 1, from a proportion of all steps (below 1) or a number (1 or more)."""
    return max(1, round(warmup * total_steps if warmup < 1 else warmup))

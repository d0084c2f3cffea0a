"""The three objectives of the search, and the W-coefficient that combines them (paper §3.2, eq. 2).

f: a candidate. T: the maximum point. p: parameters. i: latency. ê: surrogate error. [I]: our interpretation.
"""

import dataclasses
import math
from typing import Optional

from bort_mx.errors import InputError


@dataclasses.dataclass(frozen=True)
class Objectives:
    """The objectives of one architecture; a search minimises them.

    For the maximum point T, only `parameters` and `latency` are used.
    """

    parameters: float
    """p: number of parameters, by eq. 13 or counted in the model."""
    latency: float
    """î: seconds per sample, or FLOPs per token (eq. 12). The unit must be the same for all candidates and T."""
    error: float
    """ê: cross-entropy against T's distribution at the masked positions, in nats. NaN if unknown (T, presets)."""


def w_coefficient(candidate: Objectives, maximum_point: Objectives) -> float:
    """The W-coefficient, eq. 2: W(f, T) = (p(T) − p(f)) (i(T) − i(f)) / (p(T) i(T) ê(f)); larger is better.

    [I] If p(f) > p(T) or i(f) > i(T), the candidate is infeasible and W is NaN. In the paper, T is the maximum of both,
    so eq. 2 never has a negative factor. Here, two negative factors would give a good score to a model that is worse
    than T in both. If p or i equals T's, the candidate is feasible and W is 0.

    Raises:
        InputError: p or i is not finite or is negative; p(T) or i(T) is 0; ê(f) is not finite or not above 0.
    """
    _check_maximum_point(maximum_point)
    _check_candidate(candidate)
    if infeasibility(candidate, maximum_point) is not None:
        return math.nan
    p_share = (maximum_point.parameters - candidate.parameters) / maximum_point.parameters
    i_share = (maximum_point.latency - candidate.latency) / maximum_point.latency
    return float(p_share * i_share / candidate.error)


def infeasibility(candidate: Objectives, maximum_point: Objectives) -> Optional[str]:
    """Why a candidate cannot be scored against T; None if it can.

    [I] A candidate whose error is not finite (its training diverged) is infeasible too. One such candidate must not
    win, and must not end a search of hundreds.
    """
    reasons = []
    if candidate.parameters > maximum_point.parameters:
        reasons.append("parameters above T's")
    if candidate.latency > maximum_point.latency:
        reasons.append("latency above T's")
    if not math.isfinite(candidate.error):
        reasons.append("error not finite")
    return " and ".join(reasons) or None


def _check_maximum_point(point: Objectives) -> None:
    for name in ("parameters", "latency"):
        value = getattr(point, name)
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"maximum point: {name} is {value!r}; it must be finite and above 0")


def _check_candidate(candidate: Objectives) -> None:
    for name in ("parameters", "latency"):
        value = getattr(candidate, name)
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"candidate: {name} is {value!r}; it must be finite and not negative")
    if not (math.isfinite(candidate.error) and candidate.error > 0):
        raise InputError(f"candidate: error is {candidate.error!r}; the W-coefficient needs it finite and above 0")

"""Baselines for the search: exhaustive and random search, and how much W an interval may lose.

W*: the largest W of the whole space. r*: the candidate of the interval that contains the architecture with W*.
"""

import dataclasses
import math
from typing import Iterable, Optional

import numpy as np

from bort_mx import random
from bort_mx.architecture import ROBERTA_POSITIONS, ROBERTA_VOCABULARY, Architecture
from bort_mx.errors import InputError
from bort_mx.search.fptas_algorithm import Evaluate, Execution, SearchResult, search
from bort_mx.search.objectives import Objectives
from bort_mx.search.space import admit, intrinsic_order


@dataclasses.dataclass(frozen=True)
class Regret:
    """The loss of a search compared with the best of the whole space."""

    absolute: float
    """W* − W."""
    relative: float
    """(W* − W) / W*, in [0, 1]; 0 if W* is 0."""


@dataclasses.dataclass(frozen=True)
class IntervalBound:
    """A bound on the W that a search returns, known once the whole space has been evaluated."""

    representative: Architecture
    """r*."""
    lower: float
    """W(r*), or 0 if r* is infeasible. The returned W is never less, because r* was a candidate."""
    error_ratio: Optional[float]
    """ê(f*) / ê(r*), where f* is the optimum. None if p or i of r* is larger than that of f*. If neither is, the first
    two factors of eq. 2 are larger for r*, so W ≥ W* · ê(f*) / ê(r*): the loss is at most the change of ê within an
    interval."""


def random_search(architectures: Iterable[Architecture], evaluate: Evaluate, maximum_point: Objectives, budget: int,
                  seed: int = 0, *, allow_odd: bool = False, vocab_size: int = ROBERTA_VOCABULARY,
                  num_positions: int = ROBERTA_POSITIONS,
                  execution: Execution = Execution()) -> SearchResult:
    """Evaluate `budget` architectures, drawn without replacement, and rank them as `fptas` does.

    Raises:
        InputError: as for `fptas`; or the budget is not in [1, |Xi|].
    """
    space = admit(architectures, allow_odd)
    ordered = intrinsic_order(space.architectures, vocab_size, num_positions)
    _check_budget(budget, len(ordered))
    drawn = sorted(random.generator(seed, "random search").choice(len(ordered), budget, replace=False))
    candidates = [ordered[i] for i in drawn]
    return search(candidates, evaluate, maximum_point, space, tuple((a,) for a in candidates),
                  f"random, budget {budget}, seed {seed}", None, execution)


def regret(found: SearchResult, exhaustive: SearchResult) -> Regret:
    """The loss of a search compared with an exhaustive search of the same space with the same surrogates."""
    best, optimum = found.ranking[0].w, exhaustive.ranking[0].w
    return Regret(optimum - best, (optimum - best) / optimum if optimum > 0 else 0.0)


def random_regrets(exhaustive: SearchResult, budget: int, draws: int = 1000, seed: int = 0) -> np.ndarray:
    """Relative regrets of many random searches, simulated from an exhaustive search without new evaluations.

    Returns:
        (draws,), sorted. A draw without a feasible candidate has a regret of 1.

    Raises:
        InputError: the budget is not in [1, |Xi|].
    """
    # An infeasible candidate counts as W = 0.
    w = np.nan_to_num(np.array([ranked.w for ranked in exhaustive.ranking]), nan=0.0)  # (n,)
    _check_budget(budget, len(w))
    best = np.array([w[random.generator(seed, "random regret", i).permutation(len(w))[:budget]].max()
                     for i in range(draws)])  # (draws,)
    return np.sort(1 - best / w.max() if w.max() > 0 else np.zeros(draws))


def interval_bound(found: SearchResult, exhaustive: SearchResult) -> IntervalBound:
    """The bound for an FPTAS run, given an exhaustive search of the same space."""
    optimum = exhaustive.ranking[0]
    w = {ranked.architecture: ranked.w for ranked in found.ranking}
    part = next(part for part in found.intervals if optimum.architecture in part)
    stand_in = next(a for a in part if a in w)
    its, best = found.objectives()[stand_in], optimum.objectives
    ordered = its.parameters <= best.parameters and its.latency <= best.latency and math.isfinite(its.error)
    lower = 0.0 if math.isnan(w[stand_in]) else w[stand_in]
    return IntervalBound(stand_in, lower, best.error / its.error if ordered else None)


def _check_budget(budget: int, count: int) -> None:
    if not 1 <= budget <= count:
        raise InputError(f"random search: budget is {budget}; it must lie in [1, {count}], the number of valid "
                         "architectures")

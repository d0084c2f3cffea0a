"""The search itself: order, intervals, evaluation of one candidate an interval, argmax of W (paper §3.2).

T the maximum point, Xi the search space, W the W-coefficient (eq. 2), epsilon the interval size.
"""

import dataclasses
import math
import warnings
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from bort_mx.architecture import ROBERTA_POSITIONS, ROBERTA_VOCABULARY, Architecture
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.search.candidate_log import CandidateLog
from bort_mx.search.objectives import Objectives, infeasibility, w_coefficient
from bort_mx.search.space import SearchSpace, admit, intervals, intrinsic_order, representatives
from bort_mx.search.work_sharing import assign

Evaluate = Callable[[Architecture], Objectives]


class Ranked(NamedTuple):
    """A candidate in a ranking."""

    architecture: Architecture
    objectives: Objectives
    w: float
    """The W-coefficient; NaN if infeasible."""


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """What a search found; the same for any order of input and any number of workers."""

    ranking: List[Ranked]
    """The feasible candidates by W, best first, equal ones in the intrinsic order; then the infeasible ones in it."""
    infeasible: Mapping[Architecture, str]
    """Why each infeasible candidate is."""
    maximum_point: Objectives
    """T."""
    space: SearchSpace
    """Xi, with the counts of what was dropped."""
    intervals: Tuple[Tuple[Architecture, ...], ...]
    """The intrinsic order, cut; the candidates of a random search stand alone in theirs."""
    strategy: str
    """"fptas, epsilon 2, first", "random, budget 150, seed 0" …"""
    epsilon: Optional[int] = None
    """Interval size; None for a random search."""
    resumed: int = 0
    """How many candidates were taken from the log of an earlier run."""

    @property
    def best(self) -> Architecture:
        """The argmax of W."""
        return self.ranking[0].architecture

    def top(self, count: int = 3) -> List[Ranked]:
        """The best feasible candidates, as in Table 1."""
        return [r for r in self.ranking[:count] if r.architecture not in self.infeasible]

    def objectives(self) -> Dict[Architecture, Objectives]:
        """What was found for each candidate."""
        return {r.architecture: r.objectives for r in self.ranking}


@dataclasses.dataclass(frozen=True)
class Execution:
    """How candidates are evaluated; nothing here changes the result."""

    workers: Workers = Workers()
    """This process among those that share the candidates."""
    log: Optional[CandidateLog] = None
    """Finished candidates are appended to it, and those in it are not evaluated again."""
    cost: Optional[Callable[[Architecture], float]] = None
    """Predicted cost of a candidate, to share them evenly; default: multiply-adds of 512 tokens."""
    measure_latency: Optional[Callable[[Architecture], float]] = None
    """Latency as a phase of its own, which replaces that of `evaluate`: worker 0 measures all candidates one after
    another when every worker has finished evaluating and waits, so that none disturbs the clock."""
    on_share: Optional[Callable[[int], None]] = None
    """Called with the number of candidates that this worker is about to evaluate."""
    on_finished: Optional[Callable[[Architecture, Objectives], None]] = None
    """Called after each candidate that this worker evaluates, e.g. to show progress."""


def fptas(architectures: Iterable[Architecture], evaluate: Evaluate, maximum_point: Objectives, epsilon: float = 2, *,
          representative: str = "first", allow_odd: bool = False, vocab_size: int = ROBERTA_VOCABULARY,
          num_positions: int = ROBERTA_POSITIONS, execution: Execution = Execution()) -> SearchResult:
    """Find the architecture with the largest W-coefficient among one candidate of every interval (paper §3.2).

    [P] Drop the invalid, order, cut into intervals of epsilon, evaluate one of each, return the argmax of W. [I] The
    order's key, which member stands for an interval, ties (to the earlier in the order), infeasible candidates.
    What this guarantees: `baselines.interval_bound` and `conditions.approximation_bound`.

    Args:
        architectures: the raw search space; its order does not matter. What is dropped is counted, and of odd
            depths it is warned.
        evaluate: the surrogates: an architecture's objectives. It must depend on the architecture alone.
        maximum_point: p and i of T.
        epsilon: interval size, whole, in [1, |Xi|]; 1 evaluates all (exhaustive).
        representative: "first" or "middle" of each interval.
        allow_odd: keep odd depths.
        vocab_size, num_positions: V and S in eq. 13, for the order.
        execution: workers, log, progress.

    Raises:
        InputError: empty space, epsilon out of range, unknown representative, an ê that is 0 or negative, T smaller
            than every candidate.
    """
    space = admit(architectures, allow_odd)
    if space.odd:
        warnings.warn(space.odd_note(), stacklevel=2)
    ordered = intrinsic_order(space.architectures, vocab_size, num_positions)
    parts = intervals(ordered, epsilon)
    candidates = representatives(parts, representative)
    strategy = f"fptas, epsilon {int(epsilon)}, {representative}" if epsilon > 1 else "exhaustive"
    return search(candidates, evaluate, maximum_point, space, tuple(parts), strategy, int(epsilon), execution)


def search(candidates: Sequence[Architecture], evaluate: Evaluate, maximum_point: Objectives, space: SearchSpace,
           parts: Tuple[Tuple[Architecture, ...], ...], strategy: str, epsilon: Optional[int],
           execution: Execution) -> SearchResult:
    """Evaluate given candidates (in the intrinsic order) and rank them; the part that all strategies share."""
    found, resumed = evaluate_all(candidates, evaluate, execution)
    ranking, infeasible = rank(found, maximum_point)
    return SearchResult(ranking, infeasible, maximum_point, space, parts, strategy, epsilon, resumed)


def rank(found: Mapping[Architecture, Objectives], maximum_point: Objectives) -> Tuple[List[Ranked],
                                                                                      Dict[Architecture, str]]:
    """Rank candidates, given in the intrinsic order, by W; and say why the infeasible ones are.

    Raises:
        InputError: none is feasible; the message compares T with the least parameters and latency found.
    """
    infeasible = {a: reason for a, o in found.items() if (reason := infeasibility(o, maximum_point))}
    feasible = [Ranked(a, o, w_coefficient(o, maximum_point)) for a, o in found.items() if a not in infeasible]
    if not feasible:
        raise InputError(_nothing_feasible(found, maximum_point))
    feasible.sort(key=lambda ranked: -ranked.w)  # stable: ties stay in the intrinsic order
    return feasible + [Ranked(a, found[a], math.nan) for a in infeasible], infeasible


def check_maximum_point(architectures: Iterable[Architecture], maximum_point: Architecture,
                        vocab_size: int = ROBERTA_VOCABULARY, num_positions: int = ROBERTA_POSITIONS) -> None:
    """Refuse, before any work, a T with fewer parameters (eq. 13) than every architecture.

    Raises:
        InputError: T is smaller than all of them, in which case no candidate could be feasible.
    """
    smallest = intrinsic_order(architectures, vocab_size, num_positions)[0]
    least, most = smallest.parameters(vocab_size, num_positions), maximum_point.parameters(vocab_size, num_positions)
    if most < least:
        raise InputError(f"maximum point {maximum_point} has {most:,} parameters, fewer than the smallest architecture "
                         f"of the space, {smallest}, with {least:,}; no candidate is feasible: choose a larger T or "
                         "smaller architectures")


def evaluate_all(candidates: Sequence[Architecture], evaluate: Evaluate,
                 execution: Execution) -> Tuple[Dict[Architecture, Objectives], int]:
    """The objectives of all candidates, in their order, the same on every worker; and how many came from the log.

    The workers first agree on what is finished, then share out the rest by predicted cost, then exchange what they
    found. Every worker must make this call.
    """
    log = execution.log
    known = _exchange(log.finished if log else {}, execution.workers, "search.finished")
    todo = [a for a in candidates if a not in known]
    share = assign([_cost(a, execution) for a in todo], execution.workers.size)[execution.workers.rank]
    if execution.on_share:
        execution.on_share(len(share))
    mine = {todo[index]: _evaluate_one(todo[index], evaluate, execution) for index in share}
    known.update(_exchange(mine, execution.workers, "search.evaluated"))
    latencies = _measure_latencies(candidates, execution)
    if log and execution.workers.is_first:
        log.merge(candidates, known, latencies)
    found = {a: known[a] for a in candidates}
    if execution.measure_latency:
        found = {a: dataclasses.replace(o, latency=latencies[a]) for a, o in found.items()}
    return found, len(candidates) - len(todo)


def _evaluate_one(architecture: Architecture, evaluate: Evaluate, execution: Execution) -> Objectives:
    objectives = evaluate(architecture)
    if execution.log:
        execution.log.append(architecture, objectives)
    if execution.on_finished:
        execution.on_finished(architecture, objectives)
    return objectives


def _measure_latencies(candidates: Sequence[Architecture], execution: Execution) -> Dict[Architecture, float]:
    workers, log = execution.workers, execution.log
    known = _exchange_latencies(log.latencies if log else {}, workers, "search.known_latencies")
    if execution.measure_latency and workers.is_first:
        for architecture in (a for a in candidates if a not in known):
            known[architecture] = float(execution.measure_latency(architecture))
            if log:
                log.append_latency(architecture, known[architecture])
    return _exchange_latencies(known, workers, "search.latencies")


def _exchange(mine: Mapping[Architecture, Objectives], workers: Workers, name: str) -> Dict[Architecture, Objectives]:
    """All workers' candidates, on every worker."""
    rows = [[a.as_tuple(), dataclasses.astuple(objectives)] for a, objectives in mine.items()]
    return {Architecture(*a): Objectives(*values) for part in workers.gather(rows, name) for a, values in part}


def _exchange_latencies(mine: Mapping[Architecture, float], workers: Workers, name: str) -> Dict[Architecture, float]:
    rows = [[a.as_tuple(), latency] for a, latency in mine.items()]
    return {Architecture(*a): latency for part in workers.gather(rows, name) for a, latency in part}


def _cost(architecture: Architecture, execution: Execution) -> float:
    return execution.cost(architecture) if execution.cost else float(architecture.multiply_adds(512))


def _nothing_feasible(found: Mapping[Architecture, Objectives], maximum_point: Objectives) -> str:
    diverged = sum(not math.isfinite(o.error) for o in found.values())
    p = min(o.parameters for o in found.values())
    i = min(o.latency for o in found.values())
    return (f"none of {len(found)} candidates is feasible: the maximum point has {maximum_point.parameters:,} "
            f"parameters and latency {maximum_point.latency:.6g}; the least among the candidates are {p:,} and "
            f"{i:.6g}, and {diverged} have an error that is not finite; choose a larger T, smaller "
            "architectures or a smaller epsilon")

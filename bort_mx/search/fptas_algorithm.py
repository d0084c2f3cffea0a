"""The FPTAS: order the space, cut it into intervals, evaluate one candidate of each, take the largest W (paper §3.2).

T: the maximum point. Xi: the search space. W: the W-coefficient (eq. 2). epsilon: the interval size.
[P]: stated by the paper. [I]: our interpretation.
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
from bort_mx.search.space import SIZE, SearchSpace, admit, intervals, intrinsic_order, representatives
from bort_mx.search.work_sharing import assign

Evaluate = Callable[[Architecture], Objectives]


class Ranked(NamedTuple):
    """A candidate in the ranking."""

    architecture: Architecture
    objectives: Objectives
    w: float
    """The W-coefficient; NaN if the candidate is infeasible."""


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """The result of a search. It depends neither on the order of the input nor on the number of workers."""

    ranking: List[Ranked]
    """First the feasible candidates by W, best first, ties in the intrinsic order; then the infeasible ones in it."""
    infeasible: Mapping[Architecture, str]
    """Infeasible candidate → the reason."""
    maximum_point: Objectives
    """T."""
    space: SearchSpace
    """Xi, with the numbers of dropped architectures."""
    intervals: Tuple[Tuple[Architecture, ...], ...]
    """The intrinsic order, cut into intervals. In a random search each candidate is an interval of its own."""
    strategy: str
    """The strategy in words: "fptas, epsilon 2, first", "random, budget 150, seed 0" …"""
    epsilon: Optional[int] = None
    """Interval size; None for a random search."""
    order: str = SIZE
    """The order of the space, one of `space.ORDERS`."""
    resumed: int = 0
    """Number of candidates taken from the log of an earlier run."""

    @property
    def best(self) -> Architecture:
        """The architecture with the largest W."""
        return self.ranking[0].architecture

    def top(self, count: int = 3) -> List[Ranked]:
        """The best feasible candidates, as in the paper's Table 1."""
        return [r for r in self.ranking[:count] if r.architecture not in self.infeasible]

    def objectives(self) -> Dict[Architecture, Objectives]:
        """The objectives of each candidate."""
        return {r.architecture: r.objectives for r in self.ranking}


@dataclasses.dataclass(frozen=True)
class Execution:
    """How candidates are evaluated. Nothing here changes the result."""

    workers: Workers = Workers()
    """This process as one of the workers that share the candidates."""
    log: Optional[CandidateLog] = None
    """Log of finished candidates. New ones are appended; those already there are not evaluated again."""
    cost: Optional[Callable[[Architecture], float]] = None
    """Predicted cost of a candidate, for sharing the work evenly; default: multiply-adds of 512 tokens."""
    measure_latency: Optional[Callable[[Architecture], float]] = None
    """Measures latency in a separate phase; the result replaces the latency from `evaluate`. Worker 0 measures all
    candidates one after another, once every worker has finished and waits. So nothing disturbs the clock."""
    on_share: Optional[Callable[[int], None]] = None
    """Called with the number of candidates that this worker is about to evaluate."""
    on_finished: Optional[Callable[[Architecture, Objectives], None]] = None
    """Called after each candidate that this worker evaluates, for example to show progress."""


def fptas(architectures: Iterable[Architecture], evaluate: Evaluate, maximum_point: Objectives, epsilon: float = 2, *,
          representative: str = "first", order: str = SIZE, allow_odd: bool = False,
          vocab_size: int = ROBERTA_VOCABULARY, num_positions: int = ROBERTA_POSITIONS,
          execution: Execution = Execution()) -> SearchResult:
    """Find the architecture with the largest W-coefficient among one candidate per interval (paper §3.2).

    [P] Drop invalid architectures, order the rest, cut the order into intervals of epsilon, evaluate one architecture
    per interval, return the one with the largest W. [I] The key of the order, the member that represents an interval,
    ties (the earlier one wins), and infeasible candidates. For the guarantees see `baselines.interval_bound` and
    `abnc.approximation_bound`.

    Args:
        architectures: the raw search space, in any order. Dropped architectures are counted; odd depths also give a
            warning.
        evaluate: architecture → its objectives, from the surrogates. It must depend on the architecture only.
        maximum_point: p and i of T.
        epsilon: interval size, a whole number in [1, |Xi|]; 1 evaluates all architectures (exhaustive search).
        representative: evaluate the "first" or the "middle" member of each interval.
        order: by "size", or lexicographic by four letters, such as "HIAD"; see `space.order_key`.
        allow_odd: keep architectures of odd depth.
        vocab_size, num_positions: V and S in eq. 13, for the order.
        execution: workers, log and progress.

    Raises:
        InputError: the space is empty, epsilon is out of range, the representative or the order is unknown,
            an ê is 0 or negative, or T is smaller than every candidate.
    """
    space = admit(architectures, allow_odd)
    if space.odd:
        warnings.warn(space.odd_note(), stacklevel=2)
    ordered = intrinsic_order(space.architectures, vocab_size, num_positions, order)
    parts = intervals(ordered, epsilon)
    candidates = representatives(parts, representative)
    strategy = f"fptas, epsilon {int(epsilon)}, {representative}" if epsilon > 1 else "exhaustive"
    strategy += "" if order == SIZE else f", order {order}"
    found = search(candidates, evaluate, maximum_point, space, tuple(parts), strategy, int(epsilon), execution)
    return dataclasses.replace(found, order=order)


def search(candidates: Sequence[Architecture], evaluate: Evaluate, maximum_point: Objectives, space: SearchSpace,
           parts: Tuple[Tuple[Architecture, ...], ...], strategy: str, epsilon: Optional[int],
           execution: Execution) -> SearchResult:
    """Evaluate given candidates (in the intrinsic order) and rank them. All strategies share this part."""
    found, resumed = evaluate_all(candidates, evaluate, execution)
    ranking, infeasible = rank(found, maximum_point)
    return SearchResult(ranking, infeasible, maximum_point, space, parts, strategy, epsilon, resumed=resumed)


def rank(found: Mapping[Architecture, Objectives], maximum_point: Objectives) -> Tuple[List[Ranked],
                                                                                      Dict[Architecture, str]]:
    """Rank candidates, given in the intrinsic order, by W. Also return why candidates are infeasible.

    Raises:
        InputError: no candidate is feasible; the message compares T with the smallest parameters and latency found.
    """
    infeasible = {a: reason for a, o in found.items() if (reason := infeasibility(o, maximum_point))}
    feasible = [Ranked(a, o, w_coefficient(o, maximum_point)) for a, o in found.items() if a not in infeasible]
    if not feasible:
        raise InputError(_nothing_feasible(found, maximum_point))
    feasible.sort(key=lambda ranked: -ranked.w)  # stable: ties stay in the intrinsic order
    return feasible + [Ranked(a, found[a], math.nan) for a in infeasible], infeasible


def check_maximum_point(architectures: Iterable[Architecture], maximum_point: Architecture,
                        vocab_size: int = ROBERTA_VOCABULARY, num_positions: int = ROBERTA_POSITIONS) -> None:
    """Before any work, refuse a T with fewer parameters (eq. 13) than every architecture.

    Raises:
        InputError: T is smaller than all architectures, so that no candidate could be feasible.
    """
    smallest = intrinsic_order(architectures, vocab_size, num_positions)[0]
    least, most = smallest.parameters(vocab_size, num_positions), maximum_point.parameters(vocab_size, num_positions)
    if most < least:
        raise InputError(f"maximum point {maximum_point} has {most:,} parameters, fewer than the smallest architecture "
                         f"of the space, {smallest}, with {least:,}; no candidate is feasible: choose a larger T or "
                         "smaller architectures")


def evaluate_all(candidates: Sequence[Architecture], evaluate: Evaluate,
                 execution: Execution) -> Tuple[Dict[Architecture, Objectives], int]:
    """Evaluate all candidates. Returns their objectives, in order, and the number of those that came from the log.

    The workers first agree on which candidates are finished. Then they share the rest by predicted cost, and at the
    end they exchange their results. Every worker must make this call, and gets the same answer.
    """
    log = execution.log
    # All workers must agree on the remaining candidates, because each computes its own share from them.
    known = _exchange(log.finished if log else {}, execution.workers, "search.finished")
    todo = [a for a in candidates if a not in known]
    share = assign([_cost(a, execution) for a in todo], execution.workers.size)[execution.workers.rank]
    if execution.on_share:
        execution.on_share(len(share))
    mine = {todo[index]: _evaluate_one(todo[index], evaluate, execution) for index in share}
    known.update(_exchange(mine, execution.workers, "search.evaluated"))
    # Only now, with all workers idle: `_measure_latencies` times forward passes on worker 0.
    latencies = _measure_latencies(candidates, execution)
    if log and execution.workers.is_first:
        log.merge(candidates, known, latencies)
    # In the order of candidates, not of finishing: ties must not depend on the workers.
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
    # The log may hold latencies from an earlier run; only the others are measured.
    known = _exchange_latencies(log.latencies if log else {}, workers, "search.known_latencies")
    if execution.measure_latency and workers.is_first:
        for architecture in (a for a in candidates if a not in known):
            known[architecture] = float(execution.measure_latency(architecture))
            if log:
                log.append_latency(architecture, known[architecture])
    return _exchange_latencies(known, workers, "search.latencies")


def _exchange(mine: Mapping[Architecture, Objectives], workers: Workers, name: str) -> Dict[Architecture, Objectives]:
    """Collect all workers' candidates on every worker."""
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
            f"parameters and latency {maximum_point.latency:.6g}; the smallest values among the candidates are {p:,} "
            f"and {i:.6g}, and {diverged} have an error that is not finite; choose a larger T, smaller architectures "
            "or a smaller epsilon")

"""Agora's pruning of Theta: which hyperparameter sets go after a round (paper §5 and App. D)."""

import dataclasses
import math
from typing import Any, Dict, Hashable, List, Mapping, Sequence, Tuple

from bort_mx.agora.points import shorten
from bort_mx.errors import InputError


@dataclasses.dataclass(frozen=True)
class Pruning:
    """What one pruning did."""

    stay: List[Hashable]
    """The thetas that stay, in the order given."""
    removed: List[Hashable]
    """The thetas that are removed, the worst first."""
    reason: str
    """Why they are removed, in one line."""


def prune(accuracies: Mapping[Hashable, float], strategy: str = "lcs") -> List[Hashable]:
    """Remove at least one theta, given the dev accuracy of each.

    Theta is sorted by accuracy, ascending; with equal accuracies, the earlier theta is the worse one. But if all of
    several thetas are equal, the round's best, which is the first, stays, and the last is the worst [I].

    `lcs`: [P] removes "the hyperparameters belonging to the longest common sequence, rooted at the first element".
    [I] The first element is the worst theta. Its longest common subsequence of values with each other theta is taken,
    and the longest of these is used; if several are equally long, the one shared with the worst partner. The worst
    theta is removed, and with it every theta that contains that subsequence. If the worst theta shares no value with
    any other, it alone is removed. Values are compared in order, not by place: a 0 as weight decay can match a 0 as
    seed.

    `worst`: the worst theta alone is removed.

    Args:
        accuracies: theta (a tuple of values) -> dev accuracy, a finite number.
        strategy: "lcs" or "worst".

    Returns:
        The thetas that stay, in the order given; empty if all are gone.

    Raises:
        InputError: an unknown strategy, no thetas, or an accuracy that is not a finite number.
    """
    return explain(accuracies, strategy).stay


def explain(accuracies: Mapping[Hashable, float], strategy: str = "lcs") -> Pruning:
    """The same as `prune`, with what was removed and why."""
    check_strategy(strategy)
    if not accuracies:
        raise InputError("prune: Theta is empty; give at least one theta with its accuracy")
    for theta, accuracy in accuracies.items():
        check_accuracy(theta, accuracy)
    ascending = sorted(accuracies, key=lambda theta: float(accuracies[theta]))
    best, equal = ascending[0], len(set(map(float, accuracies.values()))) == 1 < len(accuracies)
    removed, reason = STRATEGIES[strategy](ascending[::-1] if equal else ascending)
    if equal and best in removed:
        removed.remove(best)
        reason += "; all are equally good, and the first stays"
    gone = set(removed)
    return Pruning([theta for theta in accuracies if theta not in gone], removed, reason)


def check_strategy(strategy: str) -> None:
    """Raise InputError if there is no pruning strategy of that name."""
    if strategy not in STRATEGIES:
        raise InputError(f"pruning strategy {strategy!r}: unknown; choose one of {', '.join(STRATEGIES)}")


def check_accuracy(theta: Hashable, accuracy: Any) -> float:
    """The accuracy as a float.

    Raises:
        InputError: it is not a finite number.
    """
    try:
        value = float(accuracy)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"theta {theta!r}: its dev accuracy is {shorten(accuracy)}; train must give a finite number")
    return value


def longest_common_subsequence(first: Sequence[Any], second: Sequence[Any]) -> Tuple[Any, ...]:
    """The longest sequence of values that stands in both, in order, gaps allowed.

    If several are equally long, the one with the earliest values of `first`.
    """
    length = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]  # [i][j]: of first[i:] and second[j:]
    for i in reversed(range(len(first))):
        for j in reversed(range(len(second))):
            length[i][j] = (1 + length[i + 1][j + 1] if first[i] == second[j]
                            else max(length[i + 1][j], length[i][j + 1]))
    common, j = [], 0
    for i, value in enumerate(first):
        at = next((k for k in range(j, len(second)) if second[k] == value), None)
        if at is not None and 1 + length[i + 1][at + 1] == length[i][j]:
            common.append(value)
            j = at + 1
    return tuple(common)


def contains(theta: Hashable, subsequence: Sequence[Any]) -> bool:
    """Whether the values of theta contain the subsequence, in order, gaps allowed."""
    rest = iter(_values(theta))
    return all(any(value == other for other in rest) for value in subsequence)


def _lcs(ascending: List[Hashable]) -> Tuple[List[Hashable], str]:
    worst = ascending[0]
    shared = [longest_common_subsequence(_values(worst), _values(theta)) for theta in ascending[1:]]
    common = max(shared, key=len, default=())  # of equally long ones, max takes the first: the worst partner's
    if not common:
        return [worst], f"the worst is {worst!r}; it shares no value with another"
    removed = [theta for theta in ascending if contains(theta, common)]
    return removed, f"the worst is {worst!r}; these contain {common!r}, the longest it shares with another"


def _worst(ascending: List[Hashable]) -> Tuple[List[Hashable], str]:
    return ascending[:1], f"the worst is {ascending[0]!r}"


def _values(theta: Hashable) -> Tuple[Any, ...]:
    return tuple(theta) if isinstance(theta, (tuple, list)) else (theta,)


STRATEGIES: Dict[str, Any] = {"lcs": _lcs, "worst": _worst}

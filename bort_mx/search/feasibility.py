"""What is said of candidates that cannot win: those above T in parameters or latency, and those that diverged."""

import collections
from typing import Iterable, List, Mapping

from bort_mx.architecture import Architecture
from bort_mx.search.fptas_algorithm import SearchResult

REMEDY = "take a larger --teacher, or a larger point by --maximum-point D,A,H,I"


def known_before(architectures: Iterable[Architecture], maximum_point: Architecture, vocab_size: int,
                 num_positions: int) -> List[str]:
    """A line on the architectures of a space that have more parameters than T by eq. 13; none if none has.

    Args:
        architectures: the space.
        maximum_point: T.
        vocab_size, num_positions: V and S of eq. 13.
    """
    sizes = [architecture.parameters(vocab_size, num_positions) for architecture in architectures]
    most = maximum_point.parameters(vocab_size, num_positions)
    above = sum(size > most for size in sizes)
    return [f"{above} of {len(sizes)} architectures of the space have more parameters than the maximum point "
            f"<{maximum_point}> and cannot win; {REMEDY}"] if above else []


def counted(infeasible: Mapping[Architecture, str]) -> str:
    """The reasons with their numbers, "5 (parameters above T's); 1 (error not finite)"; "none" without any."""
    reasons = collections.Counter(infeasible.values())
    return "; ".join(f"{count} ({reason})" for reason, count in sorted(reasons.items())) or "none"


def told_after(result: SearchResult) -> List[str]:
    """Lines on the candidates of a search that could not win, and on a ranking without a choice; [] if all could."""
    lines = []
    if result.infeasible:
        remedy = f"; {REMEDY}" if any("above T's" in reason for reason in result.infeasible.values()) else ""
        lines.append(f"infeasible: {len(result.infeasible)} of {len(result.ranking)} candidates: "
                     f"{counted(result.infeasible)}{remedy}")
    if not any(ranked.w > 0 for ranked in result.ranking):
        lines.append("nothing to choose: no candidate has fewer parameters than T and a lower latency, so that no W is "
                     "above 0")
    return lines

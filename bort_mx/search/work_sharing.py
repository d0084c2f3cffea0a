"""Which worker evaluates which candidate."""

import heapq
from typing import List, Sequence


def assign(costs: Sequence[float], size: int) -> List[List[int]]:
    """Deal pieces of work to workers, the costliest first, each to the worker with the least so far.

    Every worker computes the same answer from the same costs, so that nothing needs to be claimed or locked, and a
    worker that is killed leaves nothing behind. The heaviest load is at most 4/3 − 1/(3 size) of the least possible
    (Graham 1969, longest processing time first), by the costs given.

    Args:
        costs: predicted cost of each piece, in any unit.
        size: number of workers.

    Returns:
        For each worker, the indices of its pieces in the order in which to do them (costliest first).
    """
    shares: List[List[int]] = [[] for _ in range(size)]
    loads = [(0.0, rank) for rank in range(size)]
    for index in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        load, rank = heapq.heappop(loads)
        shares[rank].append(index)
        heapq.heappush(loads, (load + costs[index], rank))
    return shares

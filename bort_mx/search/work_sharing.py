"""Sharing of candidates among workers."""

import heapq
from typing import List, Sequence


def assign(costs: Sequence[float], size: int) -> List[List[int]]:
    """Assign pieces of work to workers: costliest first, each to the worker with the least work so far.

    Every worker computes the same answer from the same costs. So no worker needs to claim or lock anything, and a
    killed worker leaves nothing behind. By the given costs, the heaviest load is at most 4/3 − 1/(3 size) times the
    smallest possible one (Graham 1969, longest processing time first).

    Args:
        costs: predicted cost of each piece of work, in any unit.
        size: number of workers.

    Returns:
        For each worker, the indices of its pieces, in the order in which to do them (costliest first).
    """
    shares: List[List[int]] = [[] for _ in range(size)]
    loads = [(0.0, rank) for rank in range(size)]
    for index in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        load, rank = heapq.heappop(loads)
        shares[rank].append(index)
        heapq.heappush(loads, (load + costs[index], rank))
    return shares

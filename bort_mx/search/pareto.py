"""The Pareto front of a set of points.

n points, k objectives.
"""

import numpy as np

from bort_mx.errors import InputError


def pareto_front(points: np.ndarray) -> np.ndarray:
    """Which points no other point dominates, where less is better in every column.

    A point dominates another if it is nowhere worse and somewhere better; of equal points none dominates.

    Args:
        points: (n, k), finite.

    Returns:
        Boolean mask (n,).

    Raises:
        InputError: not two-dimensional, or a value that is not finite (NaN would silently count as undominated).
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise InputError(f"Pareto front: needs finite points of shape (n, k); found shape {points.shape}"
                         + ("" if points.ndim != 2 else f", {int((~np.isfinite(points)).sum())} values not finite"))
    nowhere_worse = (points[:, None, :] <= points[None, :, :]).all(axis=2)  # (n, n): row against column
    somewhere_better = (points[:, None, :] < points[None, :, :]).any(axis=2)  # (n, n)
    return ~(nowhere_worse & somewhere_better).any(axis=0)  # (n,)

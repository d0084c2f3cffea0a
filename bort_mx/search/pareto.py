"""The Pareto front of a set of points.

n points, k objectives.
"""

import numpy as np

from bort_mx.errors import InputError


def pareto_front(points: np.ndarray) -> np.ndarray:
    """Find the points that no other point dominates. In every column, less is better.

    A point dominates another if it is nowhere worse and somewhere better. Equal points do not dominate each other.

    Args:
        points: (n, k), finite.

    Returns:
        Boolean mask (n,), True for points on the front.

    Raises:
        InputError: the array is not two-dimensional, or a value is not finite (NaN would count as undominated).
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise InputError(f"Pareto front: needs finite points of shape (n, k); found shape {points.shape}"
                         + ("" if points.ndim != 2 else f", {int((~np.isfinite(points)).sum())} values not finite"))
    nowhere_worse = (points[:, None, :] <= points[None, :, :]).all(axis=2)  # (n, n): row against column
    somewhere_better = (points[:, None, :] < points[None, :, :]).any(axis=2)  # (n, n)
    # Point i dominates point j if both matrices are True at (i, j). A point on the front has no such i.
    return ~(nowhere_worse & somewhere_better).any(axis=0)  # (n,)

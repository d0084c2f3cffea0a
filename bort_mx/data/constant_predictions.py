"""A note when a model gives the same prediction for every example: its metrics may look well, but it learned nothing.

A classifier that says "1" for all of MRPC's dev set has an F1 of 81.
"""

import collections
from typing import Any, Optional, Sequence

FEWEST = 10
"""Fewer predictions without labels are not judged: so few texts may well be of one class."""
SPREAD = 1e-3
"""Numbers that differ by less count as one value."""


def constant_note(predictions: Sequence[Any], labels: Optional[Sequence[Any]] = None) -> Optional[str]:
    """Say so if all predictions are one class, or one value for a regression.

    Args:
        predictions: class names or numbers of a classifier, or floats of a regression.
        labels: the right answers, one for each prediction; None if they are not known.
    Returns:
        A note such as "predicts the majority class always: 1, for all 408 examples"; or None. It is None as well if
        the labels are all equal, or unknown and fewer than `FEWEST`: then one class may be right.
    """
    if labels is None and len(predictions) < FEWEST or labels is not None and len(set(labels)) < 2:
        return None
    of_all = f"for all {len(predictions):,} examples"
    if all(isinstance(value, float) for value in predictions):
        alike = max(predictions) - min(predictions) < SPREAD
        return f"predicts one value always: {predictions[0]:.4g}, {of_all}" if alike else None
    if len(set(predictions)) > 1:
        return None
    if labels is None:
        return f"predicts one class always: {predictions[0]}, {of_all}"
    majority, count = collections.Counter(labels).most_common(1)[0]
    if labels.count(predictions[0]) == count:
        return f"predicts the majority class always: {predictions[0]}, {of_all}"
    return f"predicts one class always: {predictions[0]}, {of_all}; the majority class is {majority}, with {count:,}"

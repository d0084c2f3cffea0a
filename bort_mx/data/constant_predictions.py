"""What a model that always says the same would score, and a note if a model does so or is no better.

Its metrics may look well, but it learned nothing: a classifier that says "1" for all of MRPC's dev set has an F1 of 81.
"""

import collections
import math
from typing import Any, Dict, Iterable, Mapping, Optional, Sequence

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


def constant_scores(metrics: Iterable[str], labels: Sequence[Any], classes: Sequence[Any]) -> Dict[str, float]:
    """The best that one class for all examples scores, by each metric that has a value then.

    Accuracy: the share n/N of the most frequent label. F1 of two classes: 2n/(N + n), where n examples are of the
    positive class; of more (macro): this of the most frequent label, over the number of labels that occur. Matthews'
    and other correlations of a constant are undefined.

    Args:
        metrics: names as in `bort_mx.data.metrics`; others than accuracy and F1 are left out.
        labels: the right answers.
        classes: all classes; of two, the second is the positive one.
    Returns:
        Metric → value in [0, 1]; {} if the labels are all equal, as then one class is right.
    """
    counts = collections.Counter(labels)
    if len(counts) < 2:
        return {}
    most = max(counts.values())
    known = {"accuracy": most / len(labels)}
    if set(counts) <= set(classes):
        two = len(classes) == 2
        positive = counts[classes[1]] if two else most
        known["f1"] = known["f1a"] = 2 * positive / (len(labels) + positive) / (1 if two else len(counts))
    return {name: known[name] for name in metrics if name in known}


def no_better_note(name: str, found: Mapping[str, float], constant: Mapping[str, float]) -> Optional[str]:
    """Say so if a metric's value is not above what one class for all examples scores (`constant_scores`)."""
    if name not in constant or found[name] > constant[name] + 1e-9:
        return None
    return f"{name} {found[name]:.4f} is not above {constant[name]:.4f}, which one label for all examples scores"


def no_better_than_mean(predictions: Sequence[float], targets: Sequence[float]) -> Optional[str]:
    """Say so if a regression's root mean squared error is not below the standard deviation of the targets.

    The deviation is the error of the targets' own mean for all examples. Equal targets have none, and give None.
    """
    mean = sum(targets) / len(targets)
    error, deviation = (math.sqrt(sum((target - guess) ** 2 for target, guess in zip(targets, guesses)) / len(targets))
                        for guesses in (predictions, [mean] * len(targets)))
    if deviation == 0 or error < deviation:
        return None
    return (f"the root mean squared error {error:.4g} is not below {deviation:.4g}, the standard deviation: "
            "predictions are no better than the mean for all examples")

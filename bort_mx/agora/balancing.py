"""The classes of a data set: which there are, how many points of each, and equally many of each to train on."""

from typing import Any, Callable, Dict, Hashable, List, Optional, Sequence, Set

import numpy as np

from bort_mx.agora.points import label_of
from bort_mx.errors import InputError
from bort_mx.random import generator


def check_classes(data: Sequence[Any], dev: Optional[Sequence[Any]],
                  as_class: Optional[Callable[[Any], Hashable]] = None) -> Set[Hashable]:
    """All labels of data and dev; of a regression (`as_class`) none, as any number may come.

    Raises:
        InputError: dev is empty, or it lacks a label of the data, so that models cannot be chosen by it.
    """
    if dev is not None and not dev:
        raise InputError("dev: has no examples; give labelled dev examples, or leave dev out")
    if as_class is not None:
        return set()
    classes = {label_of(point) for point in data}
    on_dev = classes if dev is None else {label_of(point, "dev") for point in dev}
    if classes - on_dev:
        raise InputError(f"dev: has no example with label {sorted(classes - on_dev, key=repr)[0]!r}, which the "
                         "training data have; give a dev set that is representative")
    return classes | on_dev


def count_classes(data: Sequence[Any], as_class: Callable[[Any], Hashable]) -> Dict[Hashable, int]:
    """class -> how many points have it, in the order of the classes' names."""
    classes = [as_class(label_of(point)) for point in data]
    return {name: classes.count(name) for name in sorted(set(classes), key=repr)}


def balanced(data: Sequence[Any], seed: int = 0, as_class: Optional[Callable[[Any], Hashable]] = None) -> List[Any]:
    """Equally many points of each class; points of the larger classes are discarded at random, the order stays.

    Every point has a random rank that depends on the seed and its position alone, and the lowest stay: when points are
    appended, most of the earlier choice stands.
    """
    classes = [label_of(point) if as_class is None else as_class(label_of(point)) for point in data]
    least = min((classes.count(name) for name in set(classes)), default=0)
    ranks = generator(seed, "agora balance").random(len(data))  # position i's rank is the same however many follow
    taken: Dict[Hashable, int] = {}
    stay = set()
    for i in np.argsort(ranks, kind="stable"):
        taken[classes[i]] = taken.get(classes[i], 0) + 1
        if taken[classes[i]] <= least:
            stay.add(int(i))
    return [point for i, point in enumerate(data) if i in stay]

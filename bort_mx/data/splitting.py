"""A dev set split off a training set: by seed, in the proportions of the labels, and with no text on both sides."""

from typing import Hashable, List, Sequence

import numpy as np

from bort_mx.random import generator

SHARE, LEAST, MOST, LARGEST_SHARE = 0.1, 100, 2_000, 0.2
"""A tenth of the examples, but at least 100 and at most 2,000; never more than a fifth."""
BINS = 10
"""Strata of a regression's targets: equally many examples, from the lowest targets to the highest."""


def dev_size(examples: int) -> int:
    """How many of so many examples become the dev set; at least 1."""
    return max(1, min(max(round(SHARE * examples), LEAST), MOST, int(LARGEST_SHARE * examples)))


def split_off(labels: Sequence, keys: Sequence[Hashable], size: int, seed: int) -> List[int]:
    """Choose a dev set.

    Args:
        labels: of N examples: texts, or floats of a regression.
        keys: of N examples. Examples with equal keys, such as the same texts, stay on one side: that of the first.
        size: examples to choose, besides those that are there again.
        seed: random seed.
    Returns:
        The rows of the dev set, ascending. A label with two or more different examples is on both sides.
    """
    first = {key: row for row, key in reversed(list(enumerate(keys)))}
    rows = sorted(first.values())
    strata = _strata([labels[row] for row in rows], min(BINS, size))
    draw = generator(seed, "the dev set that is split off")
    chosen = set()
    for stratum, quota in zip(strata, quotas([len(stratum) for stratum in strata], size)):
        order = draw.permutation(len(stratum))[:quota]
        chosen |= {rows[stratum[i]] for i in order}
    return [row for row, key in enumerate(keys) if first[key] in chosen]


def quotas(counts: Sequence[int], size: int) -> List[int]:
    """How many to take of each stratum: in proportion, by largest remainders, but 1 to count − 1 of those of 2 or more.

    Args:
        counts: examples of each stratum.
        size: examples to take in all; more are taken where every stratum is to have one.
    """
    exact = np.array(counts) * min(size / max(sum(counts), 1), 1.0)
    found = np.floor(exact).astype(int)
    order = sorted(range(len(counts)), key=lambda i: (found[i] - exact[i], i))
    for i in order[:round(float(exact.sum())) - int(found.sum())]:
        found[i] += 1
    return [0 if count < 2 else int(np.clip(quota, 1, count - 1)) for quota, count in zip(found, counts)]


def _strata(labels: Sequence, bins: int) -> List[List[int]]:
    """Rows by label; of floats, in bins of equally many."""
    if labels and isinstance(labels[0], float):
        order = sorted(range(len(labels)), key=lambda row: (labels[row], row))
        return [list(part) for part in np.array_split(order, bins) if len(part)]
    found: dict = {}
    for row, label in enumerate(labels):
        found.setdefault(label, []).append(row)
    return [found[label] for label in sorted(found)]

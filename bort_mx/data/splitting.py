"""A dev set split off a training set: by seed, by the proportions of the labels, and with no text on both sides."""

import collections
from typing import Dict, Hashable, List, Mapping, Sequence, Set

import numpy as np

from bort_mx.random import generator

SHARE, LEAST, MOST, LARGEST_SHARE = 0.1, 100, 2_000, 0.2
"""A tenth of the examples, but at least 100 and at most 2,000, and at most a fifth."""
BINS = 10
"""Strata of a regression's targets: equally many examples, from the lowest targets to the highest."""


def dev_size(examples: int) -> int:
    """How many of so many examples become the dev set; at least 1."""
    return max(1, min(max(round(SHARE * examples), LEAST), MOST, int(LARGEST_SHARE * examples)))


def split_off(labels: Sequence, keys: Sequence[Hashable], size: int, seed: int) -> List[int]:
    """Choose a dev set. Examples with equal keys, such as the same texts, are a group that stays on one side.

    Of each label as many rows are chosen as its share says (`quotas`), or fewer if the next group does not fit. A label
    none of whose groups fits gives its smallest one, so that it is on both sides; only then may the dev set have more
    than `size` rows. Groups are drawn at random.

    Args:
        labels: of N examples: texts, or floats of a regression.
        keys: of N examples.
        size: rows to choose.
        seed: random seed.
    Returns:
        The rows of the dev set, ascending. A label with two or more groups is on both sides, where these have no other
        label.
    """
    groups: Dict[Hashable, List[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    mean = -(-len(keys) // max(len(groups), 1))  # rows of a group, rounded up
    strata = _strata(labels, max(1, min(BINS, size // mean)))
    stratum_of = {row: number for number, rows in enumerate(strata) for row in rows}
    parts = [collections.Counter(stratum_of[row] for row in rows) for rows in groups.values()]  # group → its strata
    group_of = {rows[0]: number for number, rows in enumerate(groups.values())}  # by its first row
    first = [[group_of[row] for row in rows if row in group_of] for rows in strata]
    draw = generator(seed, "the dev set that is split off")
    orders = [[found[i] for i in draw.permutation(len(found))] for found in first]
    counts = [len(rows) for rows in strata]
    chosen = _fitting(orders, parts, quotas(counts, size))
    if not (labels and isinstance(labels[0], float)):
        _complete(chosen, orders, parts, counts)
    elif not chosen and len(parts) > 1:
        chosen.add(min(range(len(parts)), key=lambda number: sum(parts[number].values())))
    return sorted(row for number, rows in enumerate(groups.values()) if number in chosen for row in rows)


def _fitting(orders: Sequence[Sequence[int]], parts: Sequence[Mapping[int, int]], left: List[int]) -> Set[int]:
    """The groups, in their orders, that fit into what is left of each stratum's quota."""
    chosen = set()
    # All strata in step: else the first would use up what groups of several labels take of the others.
    in_step = sorted((place / len(order), stratum, number) for stratum, order in enumerate(orders)
                     for place, number in enumerate(order))
    for _, _, number in in_step:
        if all(count <= left[stratum] for stratum, count in parts[number].items()):
            chosen.add(number)
            for stratum, count in parts[number].items():
                left[stratum] -= count
    return chosen


def _complete(chosen: Set[int], orders: Sequence[Sequence[int]], parts: Sequence[Mapping[int, int]],
              counts: Sequence[int]) -> None:
    """Add the smallest group of each stratum that has none in `chosen`, if every stratum keeps a row outside."""
    taken = sum((collections.Counter(parts[number]) for number in chosen), collections.Counter())
    for stratum, order in enumerate(orders):
        if taken[stratum]:
            continue
        for number in sorted(order, key=lambda number: sum(parts[number].values())):
            if all(taken[other] + count < counts[other] for other, count in parts[number].items()):
                chosen.add(number)
                taken.update(parts[number])
                break


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

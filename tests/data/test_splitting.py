"""A dev set that is split off: its size, its proportions, no text on both sides."""

import collections

import numpy as np
import pytest

from bort_mx.data.splitting import dev_size, quotas, split_off


@pytest.mark.parametrize("examples, size", [(10, 2), (60, 12), (499, 99), (500, 100), (1000, 100), (5000, 500),
                                            (20_000, 2000), (400_000, 2000)])
def test_size(examples, size):
    assert dev_size(examples) == size


@pytest.mark.parametrize("counts, size, taken", [
    ([60, 40], 10, [6, 4]), ([50, 30, 20], 9, [4, 3, 2]), ([98, 2], 10, [10, 1]), ([1, 99], 10, [0, 10]),
    ([2, 2], 4, [1, 1]), ([3, 3, 4], 5, [2, 1, 2])])
def test_quotas_are_proportional_and_leave_something_on_both_sides(counts, size, taken):
    assert quotas(counts, size) == taken


def test_labels_keep_their_proportions_and_the_seed_decides():
    labels = ["a"] * 700 + ["b"] * 250 + ["c"] * 50
    found = split_off(labels, range(1000), 100, seed=0)
    assert found == sorted(set(found)) and collections.Counter(labels[row] for row in found) == {
        "a": 70, "b": 25, "c": 5}
    assert found == split_off(labels, range(1000), 100, seed=0) != split_off(labels, range(1000), 100, seed=1)


def test_equal_keys_stay_on_one_side():
    keys = [row // 2 for row in range(200)]
    found = set(split_off(["x", "y"] * 100, keys, 20, seed=3))
    assert len(found) == 40 and all((2 * key in found) == (2 * key + 1 in found) for key in range(100))


def test_targets_are_spread_over_their_range():
    targets = list(np.random.default_rng(0).normal(size=500).astype(float))
    found = split_off(targets, range(500), 50, seed=0)
    bins = np.digitize([targets[row] for row in found], np.quantile(targets, np.linspace(0, 1, 11)[1:-1]))
    assert len(found) == 50 and collections.Counter(bins.tolist()) == dict.fromkeys(range(10), 5)

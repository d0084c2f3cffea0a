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
    assert len(found) == 20 and all((2 * key in found) == (2 * key + 1 in found) for key in range(100))


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_divided_by_the_labels_and_a_fifth_is_the_most(seed):
    """Generated tables in which texts are there again: what no group is too large for is in proportion."""
    rng = np.random.default_rng(seed)
    rows = [(label, f"{label} {rng.integers(texts)}") for label, texts, count in (
        ("a", 60, 150), ("b", 30, 60), ("c", 40, 90)) for _ in range(count)]
    rng.shuffle(rows)
    labels, keys = zip(*rows)
    largest = max(collections.Counter(keys).values())
    found = split_off(labels, keys, 60, seed)
    counts = collections.Counter(labels[row] for row in found)
    assert len(found) == len(set(found)) <= 60
    assert all(wanted - largest < counts[label] <= wanted for label, wanted in (("a", 30), ("b", 12), ("c", 18)))
    assert not {keys[row] for row in found} & {key for row, key in enumerate(keys) if row not in set(found)}


@pytest.mark.parametrize("parts, taken, why", [
    ({"a": [5] * 4, "b": [5] * 4, "c": [5] * 4}, {"a": 5, "b": 5, "c": 5}, "each label's smallest group is too large"),
    ({"a": [1] * 36, "b": [20, 4]}, {"a": 7, "b": 4}, "the smaller of two"),
    ({"a": [1] * 40, "b": [20]}, {"a": 8}, "a group alone stays in train"), ({"a": [9], "b": [9]}, {}, "so do both")])
def test_groups_that_are_too_large(parts, taken, why):
    rows = [(label, f"{label} {i}") for label, sizes in parts.items() for i, size in enumerate(sizes)
            for _ in range(size)]
    labels, keys = zip(*rows)
    found = split_off(labels, keys, len(rows) // 5, seed=0)
    assert collections.Counter(labels[row] for row in found) == taken, why


def test_groups_of_several_labels_count_for_each():
    labels, keys = [str(row % 3) for row in range(3000)], [row // 2 for row in range(3000)]
    counts = collections.Counter(labels[row] for row in split_off(labels, keys, 300, seed=0))
    assert all(90 <= counts[label] <= 100 for label in "012")
    same = ["x"] * 30 + [f"y {i}" for i in range(10)]  # one text under two labels
    found = split_off(["a", "b"] * 20, same, 8, seed=0)
    assert len(found) == 8 and min(found) >= 30


def test_groups_of_a_regression_fit_into_fewer_bins():
    """Ten texts, each six times: two of twelve rows each."""
    found = split_off([float(row % 10) for row in range(60)], [row % 10 for row in range(60)], 12, seed=0)
    texts = {row % 10 for row in found}
    assert len(found) == 12 and len(texts) == 2 and min(texts) < 5 <= max(texts)


def test_targets_are_spread_over_their_range():
    targets = list(np.random.default_rng(0).normal(size=500).astype(float))
    found = split_off(targets, range(500), 50, seed=0)
    bins = np.digitize([targets[row] for row in found], np.quantile(targets, np.linspace(0, 1, 11)[1:-1]))
    assert len(found) == 50 and collections.Counter(bins.tolist()) == dict.fromkeys(range(10), 5)

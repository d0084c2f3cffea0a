"""Agora on the synthetic problem of benchmarks/agora_synthetic.py, with few seeds."""

import numpy as np
import pytest

from bort_mx.errors import InputError
from bort_mx.finetuning import agora
from bort_mx.random import generator


@pytest.fixture(scope="module")
def synthetic(load_benchmark):
    return load_benchmark("agora_synthetic")


def test_agora_beats_enumeration_on_held_out_points(synthetic):
    rows = [synthetic.compare(synthetic.VARIANTS[0], seed) for seed in range(3)]
    gains = [row["Agora"] - row["enumeration"] for row in rows]
    assert min(gains) > 0 and np.mean(gains) > 0.1, gains
    again = synthetic.compare(synthetic.VARIANTS[0], 0)
    assert again == rows[0]


def test_a_random_socrates_is_refused(synthetic):
    problem = synthetic.Problem(synthetic.VARIANTS[0], 0)
    coin = generator(0, "coin")
    with pytest.raises(InputError, match="Socrates: balanced accuracy 0.[45]"):
        agora(synthetic.THETAS, problem.train, problem.mistakes, synthetic.near,
              lambda inputs: coin.integers(2, size=len(inputs)), problem.train_points, dev=problem.dev)

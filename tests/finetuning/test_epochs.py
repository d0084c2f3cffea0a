"""The rule of epochs, and what decay does to weights without gradient."""

import math

import mxnet as mx
import numpy as np
import pytest

from bort_mx.finetuning.epochs import decay_exponent, decay_note, paper_epochs
from bort_mx.training import schedules
from bort_mx.training.optimizers import AdamW


@pytest.mark.parametrize("examples, epochs", [(10, 50), (1_000, 50), (10_000, 100), (100_000, 1_000), (400_000, 1_000),
                                              (3_162, 71), (31_623, 316)])
def test_the_rule(examples, epochs):
    assert paper_epochs(examples) == epochs


def test_it_never_falls():
    found = [paper_epochs(int(size)) for size in np.logspace(1, 6, 200)]
    assert found == sorted(found)


@pytest.mark.parametrize("rate, decay, examples, epochs, exponent", [
    (1e-4, 100, 3668, 3, 6.9), (1e-4, 100, 3668, 50, 115), (1e-5, 100, 2490, 3, 0.47), (1e-5, 100, 2490, 50, 7.8)])
def test_mrpc_and_rte_with_their_convergent_sets(rate, decay, examples, epochs, exponent):
    """Warm-up of half of the steps, batch 8: the mean learning rate is half of the peak."""
    total = epochs * math.ceil(examples / 8)
    assert decay_exponent(rate, decay, total // 2, total) == pytest.approx(exponent, rel=0.015)


def test_it_is_what_the_steps_do():
    weight = 1.0
    for step in range(1, 101):
        weight *= 1 - 0.1 * 0.5 * schedules.linear(step, 10, 100)
    assert math.exp(-decay_exponent(0.1, 0.5, 10, 100)) == pytest.approx(weight)
    assert decay_exponent(1.0, 2.0, 10, 100) == math.inf and decay_exponent(1e-3, 0.0, 10, 100) == 0


@pytest.mark.parametrize("total, warmup", [(25_000, 11_250), (10_001, 0)])
def test_a_long_training_is_summed_at_some_steps(total, warmup):
    every = -sum(math.log1p(-5e-3 * schedules.linear(step, warmup, total)) for step in range(1, total + 1))
    assert decay_exponent(5e-5, 100.0, warmup, total) == pytest.approx(every, rel=1e-3)
    assert decay_exponent(5e-5, 0.1, 11_045_000, 24_543_000) == pytest.approx(5e-6 * 24_543_000 / 2, rel=1e-3)


def test_it_is_said_from_e_to_the_minus_5_on():
    assert decay_note(4.9, 100.0) == "" and "e^-6.9," in decay_note(6.9)
    assert "no larger than about 1/decay = 0.01;" in decay_note(6.9, 100.0)


@pytest.mark.parametrize("of", ["one sign", "random"])
def test_weights_with_gradients_come_to_rest_below_one_over_the_decay(of):
    """Of AdamW, lr 1e-4 and λ 100 as in MRPC's set: −1/λ under gradients of one sign, nearer 0 under random ones."""
    parameter = mx.gluon.Parameter("dense.weight", shape=(50,))
    parameter.initialize(mx.init.One())
    optimizer, rng = AdamW({"dense.weight": parameter}, weight_decay=100.0), np.random.default_rng(0)
    for _ in range(1500):
        parameter.list_grad()[0][:] = rng.normal(size=50) * (of == "random") + (of == "one sign")
        optimizer.step(1e-4, 1.0, optimizer.gradients())
    found = parameter.data().asnumpy()
    if of == "one sign":
        np.testing.assert_allclose(found, -0.01, atol=1e-5)
    else:
        assert abs(found).max() < 0.005

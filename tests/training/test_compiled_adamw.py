"""AdamW compiled in C: the published formula in float64, MXNet's operator, and machines without a compiler."""

import mxnet as mx
import numpy as np
import pytest

from bort_mx import compiled
from bort_mx.distributed import Workers
from bort_mx.finetuning.vocabulary_subset import SubsetOptimizer
from bort_mx.training import compiled_adamw
from bort_mx.training.optimizers import AdamW

needs_compiler = pytest.mark.skipif(compiled_adamw.adamw() is None, reason="no C compiler")


def trained(shape, steps=4):
    """Weights and float64's after some steps of AdamW with decay, on gradients that are scaled by 1/4."""
    rng = np.random.default_rng(0)
    parameter = mx.gluon.Parameter("dense.weight", shape=shape)
    parameter.initialize(mx.init.Zero())
    expected = rng.normal(size=shape).astype(np.float32).astype(np.float64)
    parameter.set_data(mx.nd.array(expected))
    optimizer, mean, variance = AdamW({"dense.weight": parameter}, weight_decay=0.5), 0.0, 0.0
    for t in range(1, steps + 1):
        gradient = rng.normal(size=shape)
        mean, variance = 0.9 * mean + 0.1 * gradient, 0.999 * variance + 0.001 * gradient ** 2
        update = mean / (1 - 0.9 ** t) / (np.sqrt(variance / (1 - 0.999 ** t)) + 1e-8)
        expected = expected - 0.01 * (update + 0.5 * expected)
        parameter.list_grad()[0][:] = gradient * 4
        optimizer.step(0.01, 0.25, optimizer.gradients())
    return parameter.data().asnumpy(), expected


@needs_compiler
def test_it_equals_the_formula_whatever_the_threads(monkeypatch):
    shape, results = (1009, 101), []
    assert np.prod(shape) > compiled_adamw.SMALL  # so threads share it
    for threads in (1, 3):
        monkeypatch.setattr(compiled.runtime, "set_threads", lambda threads=threads: threads)
        found, expected = trained(shape)
        np.testing.assert_allclose(found, expected, atol=2e-6)
        results.append(found)
    assert (results[0] == results[1]).all()


def test_without_it_mxnet_updates_the_weights(monkeypatch):
    by_default, _ = trained((7, 5))
    monkeypatch.setattr(compiled_adamw, "adamw", lambda: None)
    found, expected = trained((7, 5))
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_allclose(found, by_default, atol=1e-6)


@pytest.mark.parametrize("compiler, said", [(None, "no C compiler"), ("false", "false did not compile AdamW")])
def test_a_lacking_compiler_is_told(monkeypatch, caplog, tmp_path, compiler, said):
    caplog.set_level("INFO")
    if compiler is None:
        monkeypatch.delenv("CC", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        monkeypatch.setenv("CC", compiler)
    assert compiled_adamw.adamw.__wrapped__() is None and said in caplog.text


@needs_compiler
@pytest.mark.parametrize("others, is_compiled", [([True, True], True), ([True, False], False)])
def test_all_workers_round_alike(monkeypatch, others, is_compiled):
    """Where one has no compiler, all take MXNet's operator."""
    class Two(Workers):
        size = 2

        def gather(self, value, name):
            assert value is True
            return others

    calls = []
    monkeypatch.setattr(compiled_adamw, "adamw", lambda: calls.append)
    parameter = mx.gluon.Parameter("dense.weight", shape=(3,))
    parameter.initialize(mx.init.One())
    optimizer = AdamW({"dense.weight": parameter})
    SubsetOptimizer(optimizer, None).agree(Two())  # as fine-tuning wraps it
    monkeypatch.setattr(compiled_adamw, "adamw", lambda: lambda *arguments: calls.append(arguments))
    optimizer.step(0.1, 1.0, optimizer.gradients())
    assert bool(calls) is is_compiled


@needs_compiler
def test_every_processor_rounds_alike():
    """NumPy's float32, one operation after another, to the bit: no product is added without being rounded first."""
    f = np.float32
    rng = np.random.default_rng(1)
    w, g, m = (rng.normal(size=1003).astype(f) for _ in range(3))
    v = rng.random(1003).astype(f)
    scale, beta1, beta2, factor, epsilon, rate, decay = map(f, (0.3, 0.9, 0.999, 1.7, 1e-8, 0.01, 0.1))
    arrays = [mx.nd.array(array) for array in (w, g, m, v)]
    compiled_adamw.adamw()(arrays, list(map(float, (scale, beta1, beta2, factor, epsilon, rate, decay))))
    gradient = g * scale
    m = beta1 * m + (f(1) - beta1) * gradient
    v = beta2 * v + (f(1) - beta2) * gradient * gradient
    w = w - rate * (factor * m / (np.sqrt(v) + epsilon) + decay * w)
    for found, expected in zip((arrays[0], arrays[2], arrays[3]), (w, m, v)):
        np.testing.assert_array_equal(found.asnumpy(), expected)

"""Schedules by hand, optimizers against a float64 formula, and the step core."""

import contextlib
import math
import os
import signal
import threading
from types import SimpleNamespace

import mxnet as mx
import numpy as np
import pytest

from bort_mx.cli import run_command
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.training import loop as training_loop
from bort_mx.training import schedules
from bort_mx.training.loop import Cadence, Loop
from bort_mx.training.optimizers import SGD, AdamW
from bort_mx.training.signals import StopRequested, StopSignals
from bort_mx.training.step import LossScaler, NonFiniteError, Sums, TrainingStep, gradient_norm


@pytest.mark.parametrize("step, factor", [(1, 0.004), (100, 0.4), (250, 1.0), (1000, 0.5), (4000, 0.25), (25000, 0.1)])
def test_noam_at_hand_written_steps(step, factor):
    assert schedules.noam(step, 250) == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize("step, factor", [(1, 0.5), (2, 1.0), (3, 8 / 9), (7, 4 / 9), (10, 1 / 9), (11, 0.0)])
def test_linear_at_hand_written_steps(step, factor):
    assert schedules.linear(step, 2, 10) == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize("warmup, total, steps", [(0.01, 25000, 250), (250, 25000, 250), (0.01, 10, 1), (1, 100, 1)])
def test_warmup_is_a_proportion_or_a_number(warmup, total, steps):
    assert schedules.warmup_steps(warmup, total) == steps


def parameters(seed=0):
    rng = np.random.default_rng(seed)
    made = {}
    for name, shape in (("dense.weight", (4, 3)), ("dense.bias", (4,)), ("norm.gamma", (3,))):
        made[name] = mx.gluon.Parameter(name, shape=shape)
        made[name].initialize(mx.init.Zero())
        made[name].set_data(mx.nd.array(rng.normal(size=shape)))
    return made


def adamw_float64(weights, gradients, rate, decay, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Loshchilov & Hutter (2017), algorithm 2, with the decay lr·λ."""
    mean = variance = 0.0
    for t, gradient in enumerate(gradients, start=1):
        weights = weights * (1 - rate * decay)
        mean, variance = beta1 * mean + (1 - beta1) * gradient, beta2 * variance + (1 - beta2) * gradient ** 2
        corrected = np.sqrt(variance / (1 - beta2 ** t)) + epsilon
        weights = weights - rate * mean / (1 - beta1 ** t) / corrected
    return weights


def test_adamw_equals_the_formula_and_spares_biases_and_layer_norm():
    made, rng = parameters(), np.random.default_rng(1)
    before = {name: p.data().asnumpy().astype(np.float64) for name, p in made.items()}
    gradients = {name: rng.normal(size=(5,) + p.shape) for name, p in made.items()}
    optimizer = AdamW(made, weight_decay=10.0)
    for t in range(5):
        for name, p in made.items():
            p.list_grad()[0][:] = gradients[name][t] * 4
        optimizer.step(0.01, 0.25, optimizer.gradients())
    for name, p in made.items():
        decay = 10.0 if name == "dense.weight" else 0.0
        np.testing.assert_allclose(p.data().asnumpy(), adamw_float64(before[name], gradients[name], 0.01, decay),
                                   atol=1e-5)


def test_state_of_another_shape_is_refused():
    made = []
    for rows in (5, 4):
        parameter = mx.gluon.Parameter("e.weight", shape=(rows, 2))
        parameter.initialize(mx.init.One())
        made.append(AdamW({"e.weight": parameter}))
    with pytest.raises(InputError, match=r"mean:e.weight is \(5, 2\), of this training \(4, 2\).*start anew"):
        made[1].load_state(made[0].state(), "trainer.states")


def test_optimizer_state_goes_on_bit_for_bit():
    rng = np.random.default_rng(2)
    gradients = [{n: rng.normal(size=p.shape) for n, p in parameters().items()} for _ in range(6)]

    def run(made, optimizer, steps):
        for t in steps:
            for name, p in made.items():
                p.list_grad()[0][:] = gradients[t][name]
            optimizer.step(0.01, 1.0, optimizer.gradients())
        return {name: p.data().asnumpy() for name, p in made.items()}

    first = parameters()
    whole = run(first, AdamW(first), range(6))
    second = parameters()
    optimizer = AdamW(second)
    run(second, optimizer, range(3))
    third = parameters(seed=9)
    for name, p in third.items():
        p.set_data(second[name].data())
    resumed = AdamW(third)
    resumed.load_state(optimizer.state())
    after = run(third, resumed, range(3, 6))
    assert all((whole[name] == after[name]).all() for name in whole)


class Quadratic:
    """loss = Σ over a batch of ½ Σ (w − x)²: the gradient of the mean is w − mean(x)."""

    def __init__(self, parameter):
        self._parameter = parameter

    def __call__(self, batch, detailed=False):
        difference = self._parameter.data().expand_dims(0) - mx.nd.array(batch)
        loss = 0.5 * (difference ** 2).sum()
        return Sums(loss.reshape(1), float(len(batch)), {"loss_again": loss})


def quadratic(clip, half=False, patience=10):
    parameter = mx.gluon.Parameter("w.weight", shape=(3,))
    parameter.initialize(mx.init.Zero())
    optimizer = SGD({"w.weight": parameter})
    return parameter, TrainingStep(Quadratic(parameter), optimizer, Workers(), clip, patience, half)


@pytest.mark.parametrize("micro", [1, 2, 4])
def test_step_averages_over_the_whole_batch_however_it_is_split(micro):
    data = np.array([[1, 2, 3], [3, 2, 1], [4, 0, 0], [0, 4, 4]], np.float32)
    parameter, step = quadratic(clip=0)
    for _ in range(2):  # the second step shows that gradients do not pile up
        result = step(np.split(data, len(data) // micro), 0.1)
    expected = np.zeros(3)
    for _ in range(2):
        norm = np.linalg.norm(expected - data.mean(0))
        expected = expected - 0.1 * (expected - data.mean(0))
    np.testing.assert_allclose(parameter.data().asnumpy(), expected, rtol=1e-6)
    assert result.grad_norm == pytest.approx(norm, rel=1e-5)
    assert result.loss == pytest.approx(result.metrics["loss_again"])


def test_clip_bounds_the_averaged_gradient():
    data = np.full((2, 3), 10.0, np.float32)
    parameter, step = quadratic(clip=1.0)
    result = step([data], 1.0)
    assert result.grad_norm == pytest.approx(math.sqrt(300), rel=1e-6)
    assert np.linalg.norm(parameter.data().asnumpy()) == pytest.approx(1.0, rel=1e-5)


def test_non_finite_steps_are_skipped_counted_and_end_the_run():
    parameter, step = quadratic(clip=1.0, patience=3)
    bad, good = np.array([[np.nan, 0, 0]], np.float32), np.ones((1, 3), np.float32)
    assert step([bad], 0.1).skipped and (parameter.data().asnumpy() == 0).all()
    assert not step([good], 0.1).skipped and step.skipped == 1 and step.skipped_in_a_row == 0
    after = parameter.data().asnumpy()
    step([bad], 0.1)
    step([bad], 0.1)
    with pytest.raises(NonFiniteError, match="3 steps in a row"):
        step([bad], 0.1)
    assert step.skipped == 4 and (parameter.data().asnumpy() == after).all()


def test_a_loss_that_is_not_finite_is_a_failure_at_any_scale():
    parameter, step = quadratic(clip=1.0, half=True, patience=3)
    scale, bad = step.scaler.scale, np.array([[np.nan, 0, 0]], np.float32)
    step([bad], 0.1)
    step([bad], 0.1)
    with pytest.raises(NonFiniteError, match="3 steps in a row"):
        step([bad], 0.1)
    assert step.scaler.scale == scale


def test_loss_scaler_halves_on_overflow_doubles_after_an_interval_and_fails_only_at_the_bottom():
    scaler = LossScaler(True, scale=4.0, interval=2)
    assert not scaler.update(True) and scaler.scale == 2.0
    scaler.update(False)
    scaler.update(False)
    assert scaler.scale == 4.0
    scaler.scale = 4 * scaler.least
    assert [scaler.update(True) for _ in range(3)] == [False, False, True] and scaler.scale == scaler.least
    assert LossScaler(False).scale == 1.0 and LossScaler(False).update(True)


def test_scaled_loss_gives_the_same_update():
    data = np.array([[1, 2, 3]], np.float32)
    plain, step = quadratic(clip=1.0)
    step([data], 0.1)
    scaled, half_step = quadratic(clip=1.0, half=True)
    half_step([data], 0.1)
    np.testing.assert_allclose(scaled.data().asnumpy(), plain.data().asnumpy(), rtol=1e-6)


def test_gradient_norm_over_all_arrays():
    arrays = [mx.nd.array([[3.0, 0.0]]), mx.nd.array([4.0]), mx.nd.array([12.0], dtype="float16")]
    assert gradient_norm(arrays) == pytest.approx(13.0)
    assert gradient_norm([mx.nd.array([np.inf])]) == math.inf


def test_half_precision_masters_are_resumed():
    def made():
        parameter = mx.gluon.Parameter("w.weight", shape=(3,), dtype="float16")
        parameter.initialize(mx.init.One())
        return parameter, AdamW({"w.weight": parameter})

    def steps(parameter, optimizer, count):
        for _ in range(count):
            parameter.list_grad()[0][:] = mx.nd.array([1, -2, 3], dtype="float16")
            optimizer.step(1e-4, 1.0, optimizer.gradients())

    first, optimizer = made()
    steps(first, optimizer, 3)
    second, resumed = made()
    second.set_data(first.data())  # rounded, as in the checkpoint's model.safetensors
    resumed.load_state(optimizer.state())
    steps(first, optimizer, 9)
    steps(second, resumed, 9)
    assert (optimizer.masters["w.weight"].asnumpy() == resumed.masters["w.weight"].asnumpy()).all()
    assert (first.data().asnumpy() == second.data().asnumpy()).all()


def test_half_precision_parameters_keep_float32_masters():
    parameter = mx.gluon.Parameter("w.weight", shape=(1,), dtype="float16")
    parameter.initialize(mx.init.One())
    optimizer = SGD({"w.weight": parameter})
    for _ in range(16):  # each update alone is lost in half precision at 1
        parameter.list_grad()[0][:] = 1
        optimizer.step(1e-4, 1.0, optimizer.gradients())
    assert parameter.data().asnumpy()[0] == np.float16(1 - 16e-4)
    assert parameter.data().dtype == np.float16


# -- signals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ended_by, next_is_asked", [(None, True), (NonFiniteError("diverged"), True),
                                                     (StopRequested(), False), (KeyboardInterrupt(), False)])
def test_a_stop_that_nobody_acted_on_is_left_to_the_next_loop_in_the_main_thread(ended_by, next_is_asked):
    with contextlib.suppress(NonFiniteError, KeyboardInterrupt), StopSignals():
        os.kill(os.getpid(), signal.SIGTERM)
        if ended_by is not None:
            raise ended_by
    seen = []
    thread = threading.Thread(target=lambda: seen.append(StopSignals().__enter__().asked))
    thread.start()
    thread.join()
    asked = []
    for _ in range(2):
        with contextlib.suppress(StopRequested), StopSignals() as later:
            asked.append(later.asked)
            if later.asked:
                raise StopRequested
    assert (seen, asked) == ([False], [next_is_asked, False])


def test_a_command_forgets_what_was_asked_of_an_earlier_one():
    with StopSignals():
        os.kill(os.getpid(), signal.SIGTERM)
    assert run_command("x", lambda argv: 5) == 5
    with StopSignals() as later:
        assert not later.asked


@pytest.mark.parametrize("after, abandoned", [(1, True), (2, True), (3, False)])
def test_a_step_that_is_asked_to_stop_between_micro_batches_leaves_no_trace(after, abandoned):
    """At the paper's batch a step takes minutes: the user waits for a micro-batch, and the step is done again later."""
    weight = mx.gluon.Parameter("weight", shape=(2,))
    weight.initialize(mx.init.One())
    optimizer, seen = AdamW({"weight": weight}), []

    def objective(batch, detailed):
        seen.append(batch)
        return Sums((weight.data() * mx.nd.array(batch)).sum(), 1.0)

    batches = [np.array([1.0, 2.0])] * 3
    result = TrainingStep(objective, optimizer, Workers())(batches, 0.1, asked=lambda: len(seen) >= after)
    assert (result.abandoned, result.stop, len(seen)) == (abandoned, True, after)
    assert (weight.data().asnumpy() == 1).all() == abandoned and optimizer.updates == (0 if abandoned else 1)


@pytest.mark.parametrize("uneven, rehearsed", [(True, 37), (False, 8)])
def test_forecasts_look_at_a_batch_of_usual_length(uneven, rehearsed):
    """Where batches differ in length: the first has 8 tokens, the next fifteen 32 to 46, and the mean is 37.06."""
    loop = Loop(SimpleNamespace(start_step=0), None, None, None, Workers(), Cadence(100), learning_rate=None,
                batches=lambda step: [SimpleNamespace(input_ids=np.zeros((1, length)))
                                      for length in [8 if step == 0 else 31 + step]],
                tokens=len, evaluate=None, seed=0, description="training", uneven=uneven)
    assert [batch.input_ids.shape[1] for batch in loop._usual_batches()] == [rehearsed]


@pytest.mark.parametrize("slow", [True, False])
def test_how_long_a_run_takes_is_told_by_a_pass_or_by_its_first_steps(slow, tmp_path, monkeypatch, capsys):
    """By a pass before the first step where steps are slow; else by steps, whose update may outweigh the pass."""
    weight = mx.gluon.Parameter("weight", shape=(2,))
    weight.initialize(mx.init.One())
    clock = iter(range(10 ** 6))
    monkeypatch.setattr(training_loop.time, "perf_counter", lambda: next(clock) * 0.5)
    monkeypatch.setattr(TrainingStep, "rehearse", lambda self, batches: 40.0 if slow else 0.01)
    core = TrainingStep(lambda batch, detailed: Sums((weight.data() * mx.nd.array(batch)).sum(), 1.0),
                        SGD({"weight": weight}), Workers())
    run = SimpleNamespace(checkpoint=None, start_step=0, log=lambda *a: None, save_checkpoint=lambda *a, **k: None)
    loop = Loop(run, core, None, None, Workers(), Cadence(1000, log=500, evaluate=0, checkpoint=0),
                learning_rate=lambda step: 0.0, batches=lambda step: [np.ones(2)] * 2, tokens=lambda batch: 1,
                evaluate=None, seed=0, description="training")
    loop.train()
    said = [line for line in capsys.readouterr().out.splitlines() if " a step: " in line]
    if slow:
        assert said == ["about 80 s a step: 22 h 13 min for 1,000 steps, without evaluations"]
    else:  # the clock of this test goes on by half a second whenever it is read: once in four steps
        assert said == ["about 0.12 s a step: 2 min for 995 steps, without evaluations"]

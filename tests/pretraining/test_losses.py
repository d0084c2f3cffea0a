"""The losses against independent NumPy formulas in float64: value and gradient."""

import mxnet as mx
import numpy as np
import pytest

from bort_mx.pretraining.losses import distillation_loss, masked_lm_loss

RELATIVE = 1e-5


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def numpy_distillation(student, teacher, weights, tau):
    """Value and gradient by the student's logits: τ² Σ_n w_n CE_n / Σ w; the gradient is τ w_n (p_S − p_T) / Σ w."""
    p_student, p_teacher = softmax(student / tau), softmax(teacher / tau)
    value = tau ** 2 * (weights * -(p_teacher * np.log(p_student)).sum(-1)).sum() / weights.sum()
    return value, tau * weights[:, None] * (p_student - p_teacher) / weights.sum()


def numpy_masked_lm(logits, labels, weights):
    p, rows = softmax(logits), np.arange(len(labels))
    gradient = p.copy()
    gradient[rows, labels] -= 1
    return (weights * -np.log(p[rows, labels])).sum() / weights.sum(), weights[:, None] * gradient / weights.sum()


def with_gradient(function, logits, *others):
    logits = mx.nd.array(logits)
    logits.attach_grad()
    with mx.autograd.record():
        loss = function(logits, *others)
    loss.backward()
    return loss.asscalar(), logits.grad.asnumpy()


def problem(seed, positions=7, vocabulary=50):
    rng = np.random.default_rng(seed)
    student, teacher = rng.normal(0, 3, (2, positions, vocabulary)).astype(np.float32).astype(np.float64)
    weights = rng.permutation([0.0, 0.0] + [1.0] * (positions - 2))
    return student, teacher, rng.integers(0, vocabulary, positions), weights


@pytest.mark.parametrize("tau", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("seed", range(3))
def test_distillation_loss_and_gradient(seed, tau):
    student, teacher, _, weights = problem(seed)
    value, gradient = numpy_distillation(student, teacher, weights, tau)
    found, found_gradient = with_gradient(distillation_loss, student, mx.nd.array(teacher), mx.nd.array(weights), tau)
    assert found == pytest.approx(value, rel=RELATIVE)
    np.testing.assert_allclose(found_gradient, gradient, rtol=0, atol=RELATIVE * np.abs(gradient).max())
    assert np.abs(found_gradient).max() > 1e-3  # the released code's was about 1e-10 of the right one


@pytest.mark.parametrize("seed", range(3))
def test_masked_lm_loss_and_gradient(seed):
    logits, _, labels, weights = problem(seed)
    value, gradient = numpy_masked_lm(logits, labels, weights)
    found, found_gradient = with_gradient(masked_lm_loss, logits, mx.nd.array(labels), mx.nd.array(weights))
    assert found == pytest.approx(value, rel=RELATIVE)
    np.testing.assert_allclose(found_gradient, gradient, rtol=0, atol=RELATIVE * np.abs(gradient).max())


def test_the_teacher_gets_no_gradient():
    student, teacher, _, weights = problem(0)
    student, teacher = mx.nd.array(student), mx.nd.array(teacher)
    student.attach_grad()
    teacher.attach_grad()
    with mx.autograd.record():
        loss = distillation_loss(student, teacher, mx.nd.array(weights), 2.0)
    loss.backward()
    assert (teacher.grad.asnumpy() == 0).all() and (student.grad.asnumpy() != 0).any()


def test_equal_logits_give_the_teachers_entropy_and_no_gradient():
    _, teacher, _, weights = problem(1)
    p = softmax(teacher / 2.0)
    entropy = 4.0 * (weights * -(p * np.log(p)).sum(-1)).sum() / weights.sum()
    found, gradient = with_gradient(distillation_loss, teacher, mx.nd.array(teacher), mx.nd.array(weights), 2.0)
    assert found == pytest.approx(entropy, rel=RELATIVE)
    assert np.abs(gradient).max() < 1e-6


def test_half_precision_logits_are_computed_in_float32():
    student, teacher, labels, weights = problem(2)
    half = mx.nd.array(student, dtype="float16")
    value, _ = numpy_masked_lm(half.asnumpy().astype(np.float64), labels, weights)
    found = masked_lm_loss(half, mx.nd.array(labels), mx.nd.array(weights))
    assert found.dtype == np.float32 and found.asscalar() == pytest.approx(value, rel=RELATIVE)


def test_all_weights_zero_give_zero_not_nan():
    student, _, labels, weights = problem(3)
    assert masked_lm_loss(mx.nd.array(student), mx.nd.array(labels), mx.nd.zeros(len(weights))).asscalar() == 0

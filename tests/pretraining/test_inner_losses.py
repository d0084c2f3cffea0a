"""The losses of hidden states against independent NumPy formulas in float64: value and gradient."""

import itertools

import mxnet as mx
import numpy as np
import pytest

from bort_mx import compiled
from bort_mx.pretraining import compiled_relations
from bort_mx.pretraining.losses import attention_loss, embedding_loss, hidden_loss, mean_pooled, relation_loss

B, S = 3, 6
LENGTHS = np.array([6, 2, 4])


@pytest.fixture(params=["compiled", "composed"])
def form(request, monkeypatch):
    """Both forms of the relation loss: the loop in C, and MXNet's operators."""
    if request.param == "composed":
        monkeypatch.setattr(compiled_relations, "relations", lambda: None)
    elif compiled_relations.relations() is None:
        pytest.skip("no C compiler")
    return request.param


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def numpy_relations(student, teacher, heads, lengths=LENGTHS):
    """MiniLMv2 sequence by sequence and head by head: values (B,) and the gradient of their sum by the student's.

    dKL/d scores is softmax − target in each row; scores = X·Xᵀ/√d, so that dX = (G + Gᵀ)·X/√d.
    """
    values, gradient = np.zeros(len(lengths)), np.zeros_like(student)
    for b, part, h in itertools.product(range(len(lengths)), range(3), range(heads)):
        n = lengths[b]
        place, other = (place_of(states, part, h, heads) for states in (student, teacher))
        x, y = student[:n, b, place], teacher[:n, b, other]
        p, q = softmax(y @ y.T / np.sqrt(y.shape[1])), softmax(x @ x.T / np.sqrt(x.shape[1]))
        share = 1 / (3 * heads * n)
        values[b] += share * (p * np.log(p / q)).sum()
        g = share * (q - p) / np.sqrt(x.shape[1])
        gradient[:n, b, place] += (g + g.T) @ x
    return values, gradient


def place_of(states, part, h, heads):
    """Where head h of the queries (0), keys (1) or values (2) stands among 3H values."""
    H = states.shape[2] // 3
    d = H // heads
    return slice(part * H + h * d, part * H + (h + 1) * d)


def with_gradient(function, student, *others):
    student = mx.nd.array(student)
    student.attach_grad()
    with mx.autograd.record():
        values = function(student, *others)
        total = values.sum()
    total.backward()
    return values.asnumpy(), student.grad.asnumpy()


def states(seed, *widths):
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 1.5, (S, B, width)).astype(np.float32).astype(np.float64) for width in widths]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.usefixtures("form")
def test_relations_of_other_widths_and_their_gradient(seed, heads):
    student, teacher = states(seed, 3 * 8, 3 * 12)
    values, gradient = numpy_relations(student, teacher, heads)
    found, found_gradient = with_gradient(relation_loss, student, mx.nd.array(teacher), mx.nd.array(LENGTHS), heads)
    np.testing.assert_allclose(found, values, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found_gradient, gradient, rtol=0, atol=2e-5 * np.abs(gradient).max())
    assert values.min() > 0.1


@pytest.mark.parametrize("threads", [1, 3])
def test_relations_of_long_sequences_with_large_and_equal_scores(form, threads, monkeypatch):
    """Lengths about a multiple of the loop's width; scores beyond the range of exp; the same bits for all threads."""
    monkeypatch.setattr(compiled.runtime, "set_threads", lambda: threads)
    lengths, rng = np.array([1, 7, 8, 9, 40, 41]), np.random.default_rng(3)
    student, teacher = (rng.normal(0, scale, (41, 6, 3 * width)).astype(np.float32).astype(np.float64)
                        for scale, width in ((6.0, 20), (0.01, 28)))
    values, gradient = numpy_relations(student, teacher, 4, lengths)
    runs = [with_gradient(relation_loss, student, mx.nd.array(teacher), mx.nd.array(lengths), 4) for _ in range(2)]
    np.testing.assert_allclose(runs[0][0], values, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(runs[0][1], gradient, rtol=0, atol=2e-5 * np.abs(gradient).max())
    assert (runs[0][1] == runs[1][1]).all() and values.max() > 20
    if form == "compiled":
        monkeypatch.setattr(compiled.runtime, "set_threads", lambda: 2)
        alone = with_gradient(relation_loss, student, mx.nd.array(teacher), mx.nd.array(lengths), 4)
        assert (alone[0] == runs[0][0]).all() and (alone[1] == runs[0][1]).all()


def test_a_loss_in_a_sum_has_its_share_of_the_gradient():
    student, teacher = states(4, 24, 36)
    weights = np.array([0.5, -2.0, 0.0])
    _, gradient = numpy_relations(student, teacher, 2)
    student = mx.nd.array(student)
    student.attach_grad()
    with mx.autograd.record():
        total = (relation_loss(student * 1, mx.nd.array(teacher), mx.nd.array(LENGTHS), 2) * mx.nd.array(weights)).sum()
    total.backward()
    np.testing.assert_allclose(student.grad.asnumpy(), gradient * weights[:, None], rtol=0,
                               atol=2e-5 * np.abs(gradient).max())


@pytest.mark.usefixtures("form")
def test_relations_do_not_see_padding_and_vanish_for_equal_states():
    student, teacher = states(5, 24, 36)
    lengths = mx.nd.array(LENGTHS)
    before = relation_loss(mx.nd.array(student), mx.nd.array(teacher), lengths, 2).asnumpy()
    for b, n in enumerate(LENGTHS):
        student[n:, b], teacher[n:, b] = 50, -70
    after, gradient = with_gradient(relation_loss, student, mx.nd.array(teacher), lengths, 2)
    np.testing.assert_allclose(after, before, rtol=1e-5)
    assert all((gradient[n:, b] == 0).all() for b, n in enumerate(LENGTHS))
    same = relation_loss(mx.nd.array(student), mx.nd.array(student), lengths, 4).asnumpy()
    assert np.abs(same).max() < 1e-5


def test_hidden_states_and_their_gradient():
    student, teacher = states(1, 10, 10)
    values, gradient = np.zeros(B), np.zeros_like(student)
    for b, n in enumerate(LENGTHS):
        difference, scale = (student - teacher)[:n, b], (teacher[:n, b] ** 2).sum()
        values[b] = (difference ** 2).sum() / scale
        gradient[:n, b] = 2 * difference / scale
    found, found_gradient = with_gradient(hidden_loss, student, mx.nd.array(teacher), mx.nd.array(LENGTHS))
    np.testing.assert_allclose(found, values, rtol=1e-5)
    np.testing.assert_allclose(found_gradient, gradient, rtol=0, atol=1e-5 * np.abs(gradient).max())


def test_attention_scores_and_their_gradient():
    student, teacher = states(2, 3 * 8, 3 * 12)
    heads, values, gradient = 2, np.zeros(B), np.zeros_like(student)
    for b, h in itertools.product(range(B), range(heads)):
        n = LENGTHS[b]
        (q, k), (tq, tk) = ([of[:n, b, place_of(of, part, h, heads)] for part in (0, 1)] for of in (student, teacher))
        difference = q @ k.T / np.sqrt(q.shape[1]) - tq @ tk.T / np.sqrt(tq.shape[1])
        values[b] += (difference ** 2).mean() / heads
        g = 2 * difference / (n * n * heads) / np.sqrt(q.shape[1])
        gradient[:n, b, place_of(student, 0, h, heads)] += g @ k
        gradient[:n, b, place_of(student, 1, h, heads)] += g.T @ q
    found, found_gradient = with_gradient(attention_loss, student, mx.nd.array(teacher), mx.nd.array(LENGTHS), heads)
    np.testing.assert_allclose(found, values, rtol=1e-5)
    np.testing.assert_allclose(found_gradient, gradient, rtol=0, atol=1e-5 * np.abs(gradient).max())


def test_embeddings_pooled_and_compared():
    student, _ = states(3, 5, 5)
    target = np.random.default_rng(3).normal(size=(B, 5))
    pooled = np.stack([student[:n, b].mean(0) for b, n in enumerate(LENGTHS)])
    cosine = (pooled * target).sum(1) / np.linalg.norm(pooled, axis=1) / np.linalg.norm(target, axis=1)
    by_vector = -(target / np.linalg.norm(target, axis=1)[:, None] - cosine[:, None] * pooled / np.linalg.norm(
        pooled, axis=1)[:, None]) / np.linalg.norm(pooled, axis=1)[:, None]

    def loss(array):
        return embedding_loss(mean_pooled(array, mx.nd.array(LENGTHS)), mx.nd.array(target))

    found, gradient = with_gradient(loss, student)
    np.testing.assert_allclose(found, 1 - cosine, rtol=1e-5)
    for b, n in enumerate(LENGTHS):
        np.testing.assert_allclose(gradient[:n, b], np.tile(by_vector[b] / n, (n, 1)), atol=1e-6)
        assert (gradient[n:, b] == 0).all()

"""The losses of pre-training: pure functions of logits (paper §4; Hinton et al. 2015) and of hidden states.

Dimensions: N positions, V vocabulary size; B sequences, s tokens, H hidden size, R relation heads, E embedding size.
Arrays are MXNet's, of any float dtype; losses are computed in float32.
"""

import math

import mxnet as mx

from bort_mx import compiled
from bort_mx.models.encoder import MASKED_SCORE
from bort_mx.pretraining import compiled_relations
from bort_mx.training.cross_entropy import cross_entropy, distillation_cross_entropy


def distillation_loss(student_logits: mx.nd.NDArray, teacher_logits: mx.nd.NDArray, weights: mx.nd.NDArray,
                      temperature: float = 2.0, reduction: str = "mean") -> mx.nd.NDArray:
    """Scalar (1,): τ² · weighted mean over positions of CE(softmax(z_T/τ), softmax(z_S/τ)) (paper §4.2).

    Inputs: logits of student and teacher, (N, V) each; weights (N,), 1 at a masked position and 0 at padding; or (…, V)
    and (…).
    With reduction "sum" it returns the weighted sum. Training uses this: it adds up the micro-batches of all workers,
    and divides once by the weight of the whole batch.
    """
    return _reduced(distillation_cross_entropy(student_logits, teacher_logits, temperature), weights, reduction)


def masked_lm_loss(logits: mx.nd.NDArray, labels: mx.nd.NDArray, weights: mx.nd.NDArray,
                   reduction: str = "mean") -> mx.nd.NDArray:
    """Scalar (1,): weighted mean of the cross-entropy, or its weighted sum.

    Inputs: logits (N, V), labels (N,), weights (N,), or (…, V), (…), (…); `reduction` as in `distillation_loss`.
    """
    return _reduced(cross_entropy(logits, labels), weights, reduction)


def relation_loss(student: mx.nd.NDArray, teacher: mx.nd.NDArray, lengths: mx.nd.NDArray,
                  heads: int) -> mx.nd.NDArray:
    """Per sequence: how far the student's self-attention relations are from the teacher's (Wang et al. 2020, MiniLMv2).

    Queries, keys and values are each cut into R relation heads of width d_r. For each head X (s, d_r), the relations
    are softmax(X·Xᵀ/√d_r) over the tokens that are not padding. The loss is KL(teacher ‖ student), the mean over the
    three, the heads, and the tokens that are not padding.

    Inputs: queries, keys and values side by side, (s, B, 3H); H may differ between student and teacher, and R must
    divide both. lengths (B,), at least 1; `heads` is R. No gradient flows into the teacher's. Output: (B,).
    """
    student, teacher, lengths = _float32(student), _float32(teacher), _float32(lengths)
    if compiled.fits(student, teacher, lengths) and compiled_relations.relations() is not None:
        return _compiled_relation_loss(student, teacher, lengths, heads)
    return _composed_relation_loss(student, teacher, lengths, heads)


def hidden_loss(student: mx.nd.NDArray, teacher: mx.nd.NDArray, lengths: mx.nd.NDArray) -> mx.nd.NDArray:
    """Per sequence: Σ‖student − teacher‖² / Σ‖teacher‖², sums over the tokens that are not padding.

    This is the error of TinyBERT's hidden states (Jiao et al. 2019). [I] It is divided by the teacher's mean square, so
    that 1 means as bad as zeros, whatever the teacher's scale.

    Inputs: states (s, B, H), the student's projected to the teacher's H; lengths (B,). Output: (B,).
    """
    with mx.autograd.pause():
        kept = (1 - _padding(lengths, student.shape[0])).transpose().expand_dims(2)  # (s, B, 1)
        squares = mx.nd.broadcast_mul(mx.nd.square(_float32(teacher)), kept).sum(axis=(0, 2))  # (B,)
        scale = mx.nd.maximum(squares, 1e-12)
        weight = mx.nd.broadcast_like(mx.nd.broadcast_div(kept, scale.reshape((1, -1, 1))), teacher, lhs_axes=(2,),
                                      rhs_axes=(2,))  # (s, B, H)
    difference = _float32(student) - mx.nd.BlockGrad(_float32(teacher))
    return _dot_a_sequence((difference * weight).swapaxes(0, 1), difference.swapaxes(0, 1), lengths)


def attention_loss(student: mx.nd.NDArray, teacher: mx.nd.NDArray, lengths: mx.nd.NDArray,
                   heads: int) -> mx.nd.NDArray:
    """Per sequence: mean squared error of attention scores Q·Kᵀ/√d before the softmax (Jiao et al. 2019, TinyBERT).

    The mean is over heads and pairs of tokens that are not padding. Both models have the same number of heads.

    Inputs: queries, keys and values side by side, (s, B, 3H); H may differ. lengths (B,). Output: (B,).
    """
    with mx.autograd.pause():
        kept = 1 - _padding(lengths, student.shape[0])  # (B, s)
        share = mx.nd.batch_dot(kept.expand_dims(2), kept.expand_dims(1)) / (
            heads * mx.nd.square(lengths).reshape((-1, 1, 1)))  # (B, s, s)
        share = mx.nd.repeat(share, repeats=heads, axis=0)  # (B·A, s, s)
        target = _attention_scores(teacher, heads)
    difference = _attention_scores(student, heads) - target
    return _dot_a_sequence(difference * share, difference, lengths)


def embedding_loss(student: mx.nd.NDArray, teacher: mx.nd.NDArray) -> mx.nd.NDArray:
    """Per text: 1 − the cosine of the two embeddings. Inputs: (B, E) each. Output: (B,)."""
    student, teacher = _float32(student), mx.nd.BlockGrad(_float32(teacher))
    product = mx.nd.batch_dot(student.expand_dims(1), teacher.expand_dims(2)).reshape(-1)
    lengths = mx.nd.sqrt(mx.nd.square(student).sum(axis=1) * mx.nd.square(teacher).sum(axis=1))
    return 1 - product / mx.nd.maximum(lengths, 1e-12)


def sequence_means(values: mx.nd.NDArray, weights: mx.nd.NDArray) -> mx.nd.NDArray:
    """Weighted mean of each row; 0 where all its weights are 0. Inputs: (B, M) each. Output: (B,)."""
    return (values * weights).sum(axis=1) / mx.nd.maximum(weights.sum(axis=1), 1e-12)


def mean_pooled(states: mx.nd.NDArray, lengths: mx.nd.NDArray) -> mx.nd.NDArray:
    """Mean of the hidden states of the tokens that are not padding. Inputs: (s, B, H), (B,). Output: (B, H)."""
    with mx.autograd.pause():
        share = (1 - _padding(lengths, states.shape[0])) / lengths.reshape((-1, 1))  # (B, s)
    return mx.nd.batch_dot(share.expand_dims(1), _float32(states).swapaxes(0, 1)).reshape((0, -1))


def _compiled_relation_loss(student, teacher, lengths, heads):
    """`relation_loss` by the compiled loop."""
    with mx.autograd.pause():
        found, gradient = compiled_relations.loss_and_gradient(
            compiled_relations.relations(), student, teacher, lengths, 3 * heads)
        found, gradient = found.mean(axis=1), (gradient / (3 * heads)).swapaxes(0, 1)
    # A product with the gradient has this gradient. Less itself it is 0, and leaves the loss.
    product = _dot_a_sequence(gradient, student.swapaxes(0, 1), lengths)
    return found + (product - mx.nd.BlockGrad(product))


def _composed_relation_loss(student, teacher, lengths, heads):
    """`relation_loss` by MXNet's operators."""
    with mx.autograd.pause():
        length = student.shape[0]
        padding = _padding(lengths, length)  # (B, s)
        row = mx.nd.repeat(padding * MASKED_SCORE, repeats=3 * heads, axis=0).expand_dims(1)  # (B·3R, 1, s)
        logs = _log_relations(teacher, row, heads)  # (B·3R, s, s)
        # Every term gets its weight in the means here. The student's part is then one dot product a sequence.
        share = (1 - padding) / (3 * heads * lengths.reshape((-1, 1)))  # (B, s)
        share = mx.nd.repeat(share, repeats=3 * heads, axis=0).expand_dims(2)  # (B·3R, s, 1)
        target = mx.nd.broadcast_mul(mx.nd.exp(logs), share)
        entropy = _dot_a_sequence(target, logs, lengths)
    return entropy - _dot_a_sequence(target, _log_relations(student, row, heads), lengths)


def _log_relations(projected: mx.nd.NDArray, row: mx.nd.NDArray, heads: int) -> mx.nd.NDArray:
    """Projections (s, B, 3H) and the scores at padding (B·3R, 1, s) → the logarithms of the relations (B·3R, s, s)."""
    length, _, width = projected.shape
    size = width // (3 * heads)  # d_r
    vectors = _float32(projected).reshape((length, -1, size)).swapaxes(0, 1)  # (B·3R, s, d_r)
    scores = mx.nd.batch_dot(vectors * (1 / math.sqrt(size)), vectors, transpose_b=True)
    return mx.nd.log_softmax(mx.nd.broadcast_add(scores, row), axis=-1)


def _attention_scores(projected: mx.nd.NDArray, heads: int) -> mx.nd.NDArray:
    """Projections (s, B, 3H) → Q·Kᵀ/√d, (B·A, s, s)."""
    length, _, width = projected.shape
    size = width // (3 * heads)
    queries, keys = (_float32(projected.slice_axis(axis=2, begin=i * width // 3, end=(i + 1) * width // 3)).reshape(
        (length, -1, size)).swapaxes(0, 1) for i in (0, 1))  # (B·A, s, d)
    return mx.nd.batch_dot(queries * (1 / math.sqrt(size)), keys, transpose_b=True)


def _dot_a_sequence(one: mx.nd.NDArray, other: mx.nd.NDArray, lengths: mx.nd.NDArray) -> mx.nd.NDArray:
    """The sum of products over all values of each sequence, (B,). A dot product is quicker than a sum over axes."""
    rows = lengths.shape[0]
    return mx.nd.batch_dot(one.reshape((rows, 1, -1)), other.reshape((rows, -1, 1))).reshape(-1)


def _padding(lengths: mx.nd.NDArray, length: int) -> mx.nd.NDArray:
    """(B, s): 1 at padding, else 0."""
    positions = mx.nd.arange(length, ctx=lengths.context).reshape((1, -1))
    return mx.nd.broadcast_greater_equal(positions, lengths.reshape((-1, 1)))


def _float32(array: mx.nd.NDArray) -> mx.nd.NDArray:
    return array.astype("float32", copy=False)


def _reduced(values: mx.nd.NDArray, weights: mx.nd.NDArray, reduction: str) -> mx.nd.NDArray:
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: expected 'mean' or 'sum'")
    weights = weights.astype("float32", copy=False)
    total = (values * weights).sum()
    return total if reduction == "sum" else total / mx.nd.maximum(weights.sum(), 1e-12)

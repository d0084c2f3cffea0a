"""The losses of pre-training. They are pure functions of logits (paper §4; Hinton et al. 2015).

Dimensions: N positions, V vocabulary size. Arrays are MXNet's, of any float dtype; losses are computed in float32.
"""

import mxnet as mx


def distillation_cross_entropy(student_logits: mx.nd.NDArray, teacher_logits: mx.nd.NDArray,
                               temperature: float) -> mx.nd.NDArray:
    """Per position: τ²·CE(softmax(z_T/τ), softmax(z_S/τ)) = −τ²·Σ_v p_T(v) log p_S(v).

    Inputs: logits of student and teacher (N, V); no gradient flows into the teacher's. Output: (N,).
    The factor τ² makes the size of the gradient independent of the temperature.
    """
    # Divide by τ first: log_softmax's own temperature argument is several times slower on CPUs.
    target = mx.nd.softmax(_scaled(mx.nd.BlockGrad(teacher_logits), temperature), axis=-1)  # (N, V)
    logs = mx.nd.log_softmax(_scaled(student_logits, temperature), axis=-1)  # (N, V)
    # The sum over V is a batched dot product: it needs no further (N, V) array.
    products = mx.nd.batch_dot(target.expand_dims(1), logs.expand_dims(2))  # (N, 1, 1)
    return products.reshape(-1) * -(temperature ** 2)


def cross_entropy(logits: mx.nd.NDArray, labels: mx.nd.NDArray) -> mx.nd.NDArray:
    """Per position: −log softmax(z)[label]. Inputs: logits (N, V), labels (N,). Output: (N,)."""
    logs = mx.nd.log_softmax(_scaled(logits, 1.0), axis=-1)  # (N, V)
    return -mx.nd.pick(logs, labels, axis=-1)


def distillation_loss(student_logits: mx.nd.NDArray, teacher_logits: mx.nd.NDArray, weights: mx.nd.NDArray,
                      temperature: float = 2.0, reduction: str = "mean") -> mx.nd.NDArray:
    """Scalar (1,): τ² · weighted mean over positions of CE(softmax(z_T/τ), softmax(z_S/τ)) (paper §4.2).

    Inputs: logits of student and teacher, (N, V) each; weights (N,), 1 at a masked position and 0 at padding.
    With reduction "sum" it returns the weighted sum. Training uses this: it adds up the micro-batches of all workers,
    and divides once by the weight of the whole batch.
    """
    return _reduced(distillation_cross_entropy(student_logits, teacher_logits, temperature), weights, reduction)


def masked_lm_loss(logits: mx.nd.NDArray, labels: mx.nd.NDArray, weights: mx.nd.NDArray,
                   reduction: str = "mean") -> mx.nd.NDArray:
    """Scalar (1,): weighted mean of the cross-entropy, or its weighted sum.

    Inputs: logits (N, V), labels (N,), weights (N,); `reduction` as in `distillation_loss`.
    """
    return _reduced(cross_entropy(logits, labels), weights, reduction)


def _reduced(values: mx.nd.NDArray, weights: mx.nd.NDArray, reduction: str) -> mx.nd.NDArray:
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: expected 'mean' or 'sum'")
    weights = weights.astype("float32", copy=False)
    total = (values * weights).sum()
    return total if reduction == "sum" else total / mx.nd.maximum(weights.sum(), 1e-12)


def _scaled(logits: mx.nd.NDArray, temperature: float) -> mx.nd.NDArray:
    logits = logits.astype("float32", copy=False)
    return logits if temperature == 1 else logits * (1.0 / temperature)


def number_right(scores: mx.nd.NDArray, labels: mx.nd.NDArray, weights: mx.nd.NDArray) -> mx.nd.NDArray:
    """Sum of the weights of the rows whose highest score is at the label; no gradient flows through it.

    On a CPU NumPy finds the highest score: MXNet's argmax takes three times as long, a tenth of a training step at V =
    50,265.

    Inputs: scores (N, V) float32, labels (N,), weights (N,). Output: (1,).
    """
    with mx.autograd.pause():
        best = scores.argmax(axis=-1) if scores.ctx.device_type == "gpu" else mx.nd.array(
            scores.asnumpy().argmax(axis=-1), ctx=scores.ctx, dtype="float32")  # (N,)
        return ((best == labels) * weights).sum()

"""The cross-entropies that pre-training and fine-tuning share, and how often a model is right.

Dimensions: N rows (masked positions, or examples), V classes (tokens of the vocabulary, or labels). Arrays are MXNet's,
of any float dtype; losses are computed in float32.

The gradient p − target is written out. MXNet's own gradients of pick and log_softmax fill and read several further
arrays of the logits' size: for V = 50,265 a fifth of a small model's step. These need one, which the forward pass
leaves.
"""

import mxnet as mx


def cross_entropy(logits: mx.nd.NDArray, labels: mx.nd.NDArray) -> mx.nd.NDArray:
    """Per row: −log softmax(z)[label]. Inputs: logits (N, V), labels (N,), or (…, V), (…). Output: as labels."""
    return HardCrossEntropy()(_scaled(logits, 1.0), labels)


def distillation_cross_entropy(student_logits: mx.nd.NDArray, teacher_logits: mx.nd.NDArray,
                               temperature: float) -> mx.nd.NDArray:
    """Per position: τ²·CE(softmax(z_T/τ), softmax(z_S/τ)) = −τ²·Σ_v p_T(v) log p_S(v).

    Inputs: logits of student and teacher (N, V), or (…, V); no gradient flows into the teacher's. Output: (N,), or (…).
    The factor τ² makes the size of the gradient independent of the temperature.
    """
    # Divide by τ first: log_softmax's own temperature argument is several times slower on CPUs.
    with mx.autograd.pause():
        target = mx.nd.softmax(_scaled(teacher_logits, temperature), axis=-1)  # (N, V)
    return SoftCrossEntropy()(_scaled(student_logits, temperature), target) * temperature ** 2


def number_right(scores: mx.nd.NDArray, labels: mx.nd.NDArray, weights: mx.nd.NDArray) -> mx.nd.NDArray:
    """Sum of the weights of the rows whose highest score is at the label; no gradient flows through it.

    Inputs: scores (N, V) float32, labels (N,), weights (N,). Output: (1,).
    """
    with mx.autograd.pause():
        return (rows_right(scores, labels) * weights).sum()


def rows_right(scores: mx.nd.NDArray, labels: mx.nd.NDArray) -> mx.nd.NDArray:
    """1 for a row whose highest score is at the label, else 0; no gradient flows through it.

    On a CPU NumPy finds the highest score: MXNet's argmax takes three times as long, a tenth of a training step at V =
    50,265.

    Inputs: scores (N, V) float32, labels (N,). Output: (N,).
    """
    with mx.autograd.pause():
        best = scores.argmax(axis=-1) if scores.ctx.device_type == "gpu" else mx.nd.array(
            scores.asnumpy().argmax(axis=-1), ctx=scores.ctx, dtype="float32")  # (N,)
        return best == labels


class HardCrossEntropy(mx.autograd.Function):
    """Per row: −log softmax(z)[label]. Inputs: logits (…, V) float32, labels (…). Output: (…). Called once."""

    def forward(self, logits: mx.nd.NDArray, labels: mx.nd.NDArray) -> mx.nd.NDArray:
        """The losses."""
        self._logs, self._labels = mx.nd.log_softmax(logits, axis=-1), labels
        return -mx.nd.pick(self._logs, labels, axis=-1)

    def backward(self, gradient: mx.nd.NDArray):
        """(softmax(z) − onehot(label)) times each row's gradient; none for the labels."""
        shape, labels = self._logs.shape, self._labels.reshape(-1)
        p = _probabilities(self)
        p[mx.nd.arange(len(p), ctx=p.context), labels] = mx.nd.pick(p, labels, axis=-1) - 1
        return _times_rows(p, gradient).reshape(shape), mx.nd.zeros_like(self._labels)


class SoftCrossEntropy(mx.autograd.Function):
    """Per row: −Σ_v target(v)·log softmax(z)(v). Inputs: logits and target (…, V) float32; each target sums up to 1.

    Output: (…). No gradient flows into the target. Called once.
    """

    def forward(self, logits: mx.nd.NDArray, target: mx.nd.NDArray) -> mx.nd.NDArray:
        """The losses. The sum over V is a batched dot product: it needs no further array of that size."""
        self._logs, self._target = mx.nd.log_softmax(logits, axis=-1), target
        width = logits.shape[-1]
        products = mx.nd.batch_dot(target.reshape((-1, 1, width)), self._logs.reshape((-1, width, 1)))
        return -products.reshape(logits.shape[:-1])

    def backward(self, gradient: mx.nd.NDArray):
        """(softmax(z) − target) times each row's gradient; zeros for the target, whose array is used for them."""
        shape, target = self._logs.shape, self._target
        p = _probabilities(self)
        mx.nd.elemwise_sub(p, target.reshape(p.shape), out=p)
        return _times_rows(p, gradient).reshape(shape), mx.nd.zeros_like(target, out=target)


def _probabilities(function) -> mx.nd.NDArray:
    """The softmax (N, V) in the place of its logarithms, which are then gone."""
    logs, function._logs = function._logs, None
    logs = logs.reshape((-1, logs.shape[-1]))
    # The softmax of log-probabilities is the probabilities; MXNet's exp takes four times as long.
    return mx.nd.softmax(logs, axis=-1, out=logs)


def _times_rows(array: mx.nd.NDArray, factors: mx.nd.NDArray) -> mx.nd.NDArray:
    """Each row of an (N, V) times its factor, in place."""
    return mx.nd.broadcast_mul(array, factors.reshape((-1, 1)), out=array)


def _scaled(logits: mx.nd.NDArray, temperature: float) -> mx.nd.NDArray:
    logits = logits.astype("float32", copy=False)
    return logits if temperature == 1 else logits * (1.0 / temperature)

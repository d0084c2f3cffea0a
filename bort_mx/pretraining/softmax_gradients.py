"""Cross-entropies of a softmax over many classes, with the gradient p − target written out.

MXNet's own gradients of pick and log_softmax fill and read several further arrays of the logits' size: for V = 50,265 a
fifth of a small model's step. These need one, which the forward pass leaves.
"""

import mxnet as mx


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
    return mx.nd.exp(logs, out=logs)


def _times_rows(array: mx.nd.NDArray, factors: mx.nd.NDArray) -> mx.nd.NDArray:
    """Each row of an (N, V) times its factor, in place."""
    return mx.nd.broadcast_mul(array, factors.reshape((-1, 1)), out=array)

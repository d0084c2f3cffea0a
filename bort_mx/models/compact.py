"""Training with the part of the vocabulary that a training set has.

Dimensions: V vocabulary, T tokens of the training set, H hidden size.
"""

import mxnet as mx
import numpy as np

from bort_mx.models.bert import BERT, WORD_EMBEDDING, parameters_of


class CompactVocabulary:
    """A second body for a model, to train it in: its word embedding has the rows of some tokens, all else is shared.

    The gradients of all other rows are 0 in every step, so that decay alone changes them: what is summed over workers,
    clipped, updated and kept as state for tokens that never occur is spared. The result is that of training the model
    itself, except that the others' decay is taken off at once when it is due, and so rounded once.

    Args:
        model: float32; its own word embedding has no gradient from now on, and is what it should be after `write_back`.
        tokens: (T,) the ids that occur, ascending.
    Attributes:
        model: takes indices of `tokens` where the model takes ids.
        tokens: as given.
    """

    def __init__(self, model: BERT, tokens: np.ndarray):
        self._whole, self.tokens = parameters_of(model)[WORD_EMBEDDING], tokens
        shared = mx.gluon.ParameterDict(model.prefix)
        shared.update({name: p for name, p in model.collect_params().items() if p is not self._whole})
        self.model = BERT(model.config.replace(vocab_size=len(tokens)), prefix=model.prefix, params=shared)
        self._part = parameters_of(self.model)[WORD_EMBEDDING]
        self._part.initialize(mx.init.Zero(), ctx=self._whole.list_ctx())
        self._rows = mx.nd.array(tokens, dtype="int32", ctx=self._whole.list_ctx()[0])
        self._part.set_data(mx.nd.take(self._whole.list_data()[0], self._rows))
        self.model.hybridize(static_alloc=True)
        self._whole.grad_req = "null"

    def write_back(self, kept: float = 1.0) -> None:
        """Put the tokens' rows into the model, and multiply all others by `kept`."""
        whole = self._whole.list_data()[0]
        if kept != 1:
            mx.nd.sgd_update(whole, whole, lr=1 - kept, wd=0.0, out=whole)  # w − (1 − kept)·w: kept is near 1
        mx.nd._internal._scatter_set_nd(  # what whole[rows] = … ends in, without its copies
            lhs=whole, rhs=self._part.list_data()[0], indices=self._rows.reshape((1, -1)), shape=whole.shape, out=whole)

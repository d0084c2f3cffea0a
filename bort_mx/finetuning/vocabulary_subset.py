"""Training with the part of the vocabulary that a training set has.

The gradients of all other tokens' rows of the word embedding are 0 in every step, so that decay alone changes them.
What is summed over workers, clipped, updated and kept as state for tokens that never occur is spared; the result is
that of training the model itself, but for rounding, as the other rows' decay is collected and taken off at once.

Dimensions: V vocabulary, T tokens of the training set, H hidden size, B examples, s tokens of the longest.
"""

import contextlib
import dataclasses
from typing import Callable, Dict, Iterator, List, NamedTuple, Sequence

import mxnet as mx
import numpy as np

from bort_mx.data.batches import TextBatch
from bort_mx.finetuning.objective import FineTuningObjective
from bort_mx.models.bert import BERT, WORD_EMBEDDING, parameters_of
from bort_mx.training.optimizers import Optimizer, OptimizerSettings, build_optimizer

MOST_TOKENS = 0.75
"""Up to this share of the vocabulary the second embedding takes less memory than it spares: V + 4T < 4V."""
KEPT, OTHERS = "kept", "other rows"


class Trainee(NamedTuple):
    """What is trained of a model, and how."""

    objective: FineTuningObjective
    optimizer: Optimizer
    """Its `settle` and `settled` make the model itself what it is by now."""
    translate: Callable[[TextBatch], TextBatch]
    """To be done to a batch for the objective."""


def trainee_of(model: BERT, tokens: np.ndarray, settings: OptimizerSettings, is_regression: bool,
               ctx: mx.Context) -> Trainee:
    """A classifier with the word embedding of the tokens (T,) only; or, where these are most of all, as it is."""
    if model.encoder.dtype != "float32" or len(tokens) > MOST_TOKENS * model.config.vocab_size:
        parameters_of(model)[WORD_EMBEDDING].grad_req = "write"  # after a training with few tokens it has none
        objective = FineTuningObjective(model, is_regression, ctx)
        return Trainee(objective, build_optimizer(parameters_of(model), settings), lambda batch: batch)
    subset = VocabularySubset(model, tokens)
    objective = FineTuningObjective(subset.model, is_regression, ctx)
    optimizer = SubsetOptimizer(build_optimizer(parameters_of(subset.model), settings), subset)
    return Trainee(objective, optimizer, subset.translate)


class VocabularySubset:
    """A second body for a classifier: a word embedding (T, H) of its own, and every other parameter shared.

    Args:
        model: a classifier in float32; its word embedding has no gradient from now on.
        tokens: (T,) the ids that occur, ascending.
    Attributes:
        model: takes indices of the tokens where the model takes ids.
    """

    def __init__(self, model: BERT, tokens: np.ndarray):
        self._whole, self._tokens = parameters_of(model)[WORD_EMBEDDING], tokens
        shared = mx.gluon.ParameterDict(model.prefix)
        shared.update({name: p for name, p in model.collect_params().items() if p is not self._whole})
        self.model = BERT(model.config.replace(vocab_size=len(tokens)), prefix=model.prefix, params=shared)
        self._part = parameters_of(self.model)[WORD_EMBEDDING]
        self._part.initialize(mx.init.Zero(), ctx=self._whole.list_ctx())
        self._rows = mx.nd.array(tokens, dtype="int32", ctx=self._whole.list_ctx()[0])
        self._part.set_data(mx.nd.take(self.embedding, self._rows))
        self.model.hybridize(static_alloc=True)
        self._whole.grad_req = "null"

    @property
    def embedding(self) -> mx.nd.NDArray:
        """The model's word embedding (V, H)."""
        return self._whole.list_data()[0]

    @property
    def other_rows(self) -> np.ndarray:
        """Of (V,) ids, which are none of the tokens."""
        return ~np.isin(np.arange(self.embedding.shape[0]), self._tokens)

    def translate(self, batch: TextBatch) -> TextBatch:
        """The batch with indices for ids (B, s).

        Raises:
            ValueError: an id that is none of the tokens.
        """
        indices = np.minimum(np.searchsorted(self._tokens, batch.input_ids), len(self._tokens) - 1)
        strange = batch.input_ids[self._tokens[indices] != batch.input_ids]
        if strange.size:
            raise ValueError(f"token {strange[0]} is none of the {len(self._tokens)} of the training set")
        return dataclasses.replace(batch, input_ids=indices)

    def write_back(self, kept: float) -> None:
        """Put the tokens' rows into the model's word embedding, and multiply all others by `kept`."""
        whole = self.embedding
        if kept != 1:
            mx.nd.sgd_update(whole, whole, lr=1 - kept, wd=0.0, out=whole)  # w − (1 − kept)·w: in float32 kept may be 1
        mx.nd._internal._scatter_set_nd(  # what whole[rows] = … ends in, without its copies
            lhs=whole, rhs=self._part.list_data()[0], indices=self._rows.reshape((1, -1)), shape=whole.shape, out=whole)


class SubsetOptimizer(Optimizer):
    """The optimizer of a second body; it owes the model the decay of the rows that this body lacks.

    Args:
        inner: of the second body's parameters.
        subset: the second body.
    """

    def __init__(self, inner: Optimizer, subset: VocabularySubset):
        self._inner, self._subset = inner, subset
        self.names, self.parameters, self.masters = inner.names, inner.parameters, inner.masters
        self.weight_decay = inner.weight_decay
        self._kept = 1.0  # what decay has left of the other rows since they were settled

    def weights(self) -> List[mx.nd.NDArray]:
        """See `Optimizer`."""
        return self._inner.weights()

    def gradients(self) -> List[mx.nd.NDArray]:
        """See `Optimizer`."""
        return self._inner.gradients()

    def step(self, learning_rate: float, scale: float, gradients: Sequence[mx.nd.NDArray]) -> None:
        """See `Optimizer`."""
        self._inner.step(learning_rate, scale, gradients)
        self._kept *= 1 - learning_rate * self.weight_decay

    def settle(self) -> None:
        """See `Optimizer`."""
        self._subset.write_back(self._kept)
        self._kept = 1.0

    @contextlib.contextmanager
    def settled(self) -> Iterator[None]:
        """See `Optimizer`."""
        before = None if self._kept == 1 else self._subset.embedding.copy()
        self._subset.write_back(self._kept)
        try:
            yield
        finally:
            if before is not None:
                before.copyto(self._subset.embedding)

    def state(self) -> Dict[str, np.ndarray]:
        """See `Optimizer`; with what is owed, and the rows that owe it as they were."""
        if self._kept == 1:
            return self._inner.state()
        others = self._subset.embedding.asnumpy()[self._subset.other_rows]
        return {**self._inner.state(), KEPT: np.array([self._kept]), OTHERS: others}

    def load_state(self, arrays: Dict[str, np.ndarray], source: str = "optimizer state") -> None:
        """See `Optimizer`."""
        self._kept = 1.0
        self._inner.load_state({name: array for name, array in arrays.items() if name not in (KEPT, OTHERS)}, source)
        if KEPT in arrays:
            self._kept, whole = float(arrays[KEPT][0]), self._subset.embedding.asnumpy()
            whole[self._subset.other_rows] = arrays[OTHERS]
            self._subset.embedding[:] = whole

"""Training with only the part of the vocabulary that occurs in the training set.

The rows of the word embedding for all other tokens have gradient 0 in every step: only weight decay changes them. So
training uses a small embedding that has no such rows. This saves their share of summing over workers, clipping,
updating and optimizer state. The decay of the other rows is collected as one factor, and applied when it is needed.
The result equals that of training the whole model, except for rounding.

Dimensions: V vocabulary size, T tokens in the training set, H hidden size, B examples, s tokens of the longest.
"""

import contextlib
import dataclasses
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

import mxnet as mx
import numpy as np

from bort_mx.data.batches import TextBatch
from bort_mx.distributed import Workers
from bort_mx.finetuning.objective import FineTuningObjective, SoftLabels
from bort_mx.finetuning.target_unit import output_layer
from bort_mx.models.bert import BERT, WORD_EMBEDDING, parameters_of
from bort_mx.training.optimizers import Optimizer, OptimizerSettings, build_optimizer

MOST_TOKENS = 0.75
"""Largest share of the vocabulary for which the second embedding saves memory: V + 4T < 4V, hence T < 3V/4. Weights,
gradient and two AdamW moments take 4 arrays per row that is trained; the original needs 1 if it is not trained."""
KEPT, OTHERS = "kept", "other rows"


class Trainee(NamedTuple):
    """The part of a model that is trained, and its optimizer."""

    objective: FineTuningObjective
    optimizer: Optimizer
    """Its `settle` and `settled` bring the whole model up to date."""
    translate: Callable[[TextBatch], TextBatch]
    """Converts a batch for the objective."""


def trainee_of(model: BERT, tokens: np.ndarray, settings: OptimizerSettings, is_regression: bool,
               ctx: mx.Context, soft: Optional[SoftLabels] = None, deviation: float = 1.0) -> Trainee:
    """Train a classifier with the word embedding of the tokens (T,) only; or as it is, if most tokens occur.

    `is_regression`, `ctx`, `soft` and `deviation` are those of `FineTuningObjective`.
    """
    if model.encoder.dtype != "float32" or len(tokens) > MOST_TOKENS * model.config.vocab_size:
        # A former training with few tokens may have switched its gradient off.
        parameters_of(model)[WORD_EMBEDDING].grad_req = "write"
        objective = FineTuningObjective(model, is_regression, ctx, soft, deviation)
        return Trainee(objective, _optimizer(model, settings, deviation), lambda batch: batch)
    subset = VocabularySubset(model, tokens)
    objective = FineTuningObjective(subset.model, is_regression, ctx, soft, deviation)
    optimizer = SubsetOptimizer(_optimizer(subset.model, settings, deviation), subset)
    return Trainee(objective, optimizer, subset.translate)


def _optimizer(model: BERT, settings: OptimizerSettings, deviation: float) -> Optimizer:
    made = build_optimizer(parameters_of(model), settings)
    made.units = dict.fromkeys(output_layer(model), deviation)
    return made


class VocabularySubset:
    """A second classifier, with its own word embedding (T, H). All other parameters are shared with the first.

    Args:
        model: a classifier in float32. Its word embedding has no gradient from now on.
        tokens: (T,) the ids that occur, ascending.
    Attributes:
        model: the second classifier. Its inputs are indices into `tokens` instead of ids.
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
        """The word embedding (V, H) of the first classifier."""
        return self._whole.list_data()[0]

    @property
    def other_rows(self) -> np.ndarray:
        """Mask over (V,) ids: True for those not in `tokens`."""
        return ~np.isin(np.arange(self.embedding.shape[0]), self._tokens)

    def translate(self, batch: TextBatch) -> TextBatch:
        """Replace the ids (B, s) of a batch by indices.

        Raises:
            ValueError: an id is not in `tokens`.
        """
        # searchsorted gives the place where an id would be; the comparison below checks that it is there.
        indices = np.minimum(np.searchsorted(self._tokens, batch.input_ids), len(self._tokens) - 1)
        strange = batch.input_ids[self._tokens[indices] != batch.input_ids]
        if strange.size:
            raise ValueError(f"token {strange[0]} is not among the {len(self._tokens)} tokens of the training set")
        return dataclasses.replace(batch, input_ids=indices)

    def write_back(self, kept: float) -> None:
        """Copy the trained rows into the first classifier's word embedding, and multiply all other rows by `kept`."""
        whole = self.embedding
        if kept != 1:
            # As a step of SGD: w − (1 − kept)·w. In float32, kept itself could round to 1.
            mx.nd.sgd_update(whole, whole, lr=1 - kept, wd=0.0, out=whole)
        mx.nd._internal._scatter_set_nd(  # the operator behind whole[rows] = …, without the copies that it makes
            lhs=whole, rhs=self._part.list_data()[0], indices=self._rows.reshape((1, -1)), shape=whole.shape, out=whole)


class SubsetOptimizer(Optimizer):
    """The optimizer of a second classifier. It also collects the decay of the rows that this classifier lacks.

    Args:
        inner: optimizer of the second classifier's parameters.
        subset: the second classifier.
    """

    def __init__(self, inner: Optimizer, subset: VocabularySubset):
        self._inner, self._subset = inner, subset
        self.names, self.parameters, self.masters = inner.names, inner.parameters, inner.masters
        self.weight_decay = inner.weight_decay
        self._kept = 1.0  # Π(1 − lr·λ) since the last `settle`: the decay still to be applied to the other rows

    def agree(self, workers: Workers) -> None:
        """See `Optimizer`."""
        self._inner.agree(workers)

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
        """See `Optimizer`. Applies the collected decay to the model."""
        self._subset.write_back(self._kept)
        self._kept = 1.0

    @contextlib.contextmanager
    def settled(self) -> Iterator[None]:
        """See `Optimizer`. The whole embedding is restored afterwards, so that saving does not change rounding."""
        before = None if self._kept == 1 else self._subset.embedding.copy()
        self._subset.write_back(self._kept)
        try:
            yield
        finally:
            if before is not None:
                before.copyto(self._subset.embedding)

    def state(self) -> Dict[str, np.ndarray]:
        """See `Optimizer`. It also holds the decay still to be applied, and the other rows without it."""
        if self._kept == 1:
            return self._inner.state()
        # The checkpoint's weights are settled, so the rows before decay must be saved here.
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

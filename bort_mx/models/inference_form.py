"""A model's form for inference: the weights of queries, keys and values are joined once, and not in every call.

Dimensions: s length, B batch, M selected positions, H hidden size, A attention heads.
"""

from typing import Dict, Iterator, Tuple

import mxnet as mx
import numpy as np

from bort_mx.models.bert import BERT
from bort_mx.models.encoder import SelectedTokensAttention, SelfAttention, attended, attended_by, joined, project

PARTS = {False: ("query", "key", "value"), True: ("key", "value")}
"""Whether queries are of selected tokens only: the projections that are joined."""


class _Joined:
    """What both kinds share. The attention that is replaced gives its parameters up."""

    def _take(self, of: SelfAttention) -> None:
        mx.gluon.HybridBlock.__init__(self, prefix=of.prefix)  # the parents' constructors make the parts' parameters
        self._num_heads, self.units = of._num_heads, of.units
        parts = PARTS[isinstance(of, SelectedTokensAttention)]
        weights, biases = ([getattr(of, f"{part}_{kind}").data() for part in parts] for kind in ("weight", "bias"))
        for name, array in zip(("joined_weight", "joined_bias"), joined(mx.nd, self._num_heads, weights, biases)):
            parameter = self.params.get(name, shape=array.shape, dtype=array.dtype, grad_req="null")
            parameter.initialize(mx.init.Zero(), ctx=array.context)
            parameter.set_data(array)
            setattr(self, name, parameter)


class JoinedAttention(_Joined, SelfAttention):
    """`SelfAttention` for inference."""

    def __init__(self, of: SelfAttention):
        self._take(of)

    def hybrid_forward(self, F, qkv, mask, joined_weight, joined_bias):
        """States (s, B, H), mask (B·A, s, s) → context (s, B, H) and attention weights (B·A, s, s)."""
        return attended(F, project(F, qkv, joined_weight, joined_bias, 3 * self.units), mask, self._num_heads)


class JoinedSelectedTokensAttention(_Joined, SelectedTokensAttention):
    """`SelectedTokensAttention` for inference."""

    def __init__(self, of: SelectedTokensAttention):
        self._take(of)
        self.params.update({parameter.name: parameter for parameter in (of.query_weight, of.query_bias)})
        self.query_weight, self.query_bias = of.query_weight, of.query_bias

    def hybrid_forward(self, F, states, queries, mask, joined_weight, joined_bias, query_weight, query_bias):
        """States (s, B, H), the selected ones of them (M, B, H), mask (B·A, M, s) → context (M, B, H)."""
        query = project(F, queries, query_weight, query_bias, self.units)
        projected = project(F, states, joined_weight, joined_bias, 2 * self.units)
        return attended_by(F, query, projected, mask, self._num_heads)


def set_for_inference(model: BERT) -> None:
    """Bring a model into this form. It computes the same, and cannot be trained any more.

    For one short text of Bort this saves a tenth of the time. The values are those of before, bit for bit.
    """
    for cell in model.encoder.transformer_cells:
        selects = isinstance(cell.attention_cell, SelectedTokensAttention)
        cell.attention_cell = (JoinedSelectedTokensAttention if selects else JoinedAttention)(cell.attention_cell)
    model.hybridize(static_alloc=True)


def separate(model: BERT, tensors: Dict[str, np.ndarray]) -> Iterator[Tuple[str, np.ndarray]]:
    """The tensors of a model by the names that it has outside of this form, so that it is saved as it was read."""
    heads = model.config.architecture.num_heads
    for name, tensor in tensors.items():
        start, is_joined, kind = name.partition("proj_joined.")
        if not is_joined:
            yield name, tensor
            continue
        parts = PARTS[f"{start}proj_query.weight" in tensors]
        rows = tensor.reshape(heads, len(parts), -1, *tensor.shape[1:])  # (A, parts, H/A, …)
        for number, part in enumerate(parts):
            yield f"{start}proj_{part}.{kind}", rows[:, number].reshape(-1, *tensor.shape[1:])

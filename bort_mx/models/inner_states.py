"""What a BERT computes on its way: the queries, keys and values of a layer, and the hidden states behind layers.

Dimensions: B batch, s length, H hidden size, D layers. Layers count from 1; layer 0 is the embedding.
"""

import warnings
from typing import List, Sequence

import mxnet as mx
from mxnet.gluon import HybridBlock

from bort_mx.models.bert import BERT


class InnerStates(HybridBlock):
    """A model's inner values. It shares the model's parameters, and computes no layer that nothing asks for.

    Args:
        model: the model, with any head; the head is not computed.
        projected: layers whose queries, keys and values are returned.
        hidden: layers whose output is returned.
    Inputs:
        input_ids (B, s); valid_length (B,).
    Outputs:
        a list: for each layer of `projected` the queries, keys and values side by side (s, B, 3H), then for each layer
        of `hidden` its hidden states (s, B, H). At padding the values mean nothing.
    """

    def __init__(self, model: BERT, projected: Sequence[int] = (), hidden: Sequence[int] = ()):
        super().__init__(prefix="inner_")
        self.model, self._projected, self._hidden, self._composed = model, tuple(projected), tuple(hidden), False
        self.hybridize(static_alloc=True)

    def __call__(self, input_ids, valid_length) -> List[mx.nd.NDArray]:
        """As `BERT.__call__`, this picks the LayerNorm that is fast for the pass; changing it compiles the graph again.
        """
        model = self.model
        training = mx.autograd.is_training() and input_ids.context.device_type == "cpu"
        composed = training and model.encoder.dtype == "float32"
        model._compose_norms(composed)
        if composed != self._composed:
            self._composed = composed
            self.hybridize(static_alloc=True)
        token_types = mx.nd.zeros_like(input_ids) if model.config.token_types else None
        with warnings.catch_warnings():
            # Gluon warns of parameters that the graph lacks: here those of the head and of the layers left out.
            warnings.filterwarnings("ignore", message=".*is not used by any computation")
            found = super().__call__(input_ids, valid_length, token_types)
        return list(found) if isinstance(found, (list, tuple)) else [found]

    def hybrid_forward(self, F, input_ids, valid_length, token_types=None):
        """See the class."""
        model, encoder = self.model, self.model.encoder
        embedded = model.word_embed(input_ids)  # (B, s, H)
        if token_types is not None:
            embedded = embedded + model.token_type_embed(token_types)
        inputs = F.swapaxes(embedded, 0, 1)  # (s, B, H)
        states = encoder.embedded(F, inputs, encoder.position_weight.var())
        row = encoder.padding_row(F, inputs, F.cast(valid_length, "float32"))  # (B·A, 1, s)
        mask = F.cast(F.broadcast_like(row, row, lhs_axes=(1,), rhs_axes=(2,)), encoder.dtype)  # (B·A, s, s)
        projected, hidden = {}, {0: states}
        deepest = max((0, *self._hidden, *(layer - 1 for layer in self._projected)))
        for number, cell in enumerate(encoder.transformer_cells, start=1):
            if number in self._projected:
                projected[number] = _projections(F, cell.attention_cell, states)
            if number > deepest:
                break
            hidden[number] = states = encoder.layer(F, cell, states, mask)
        return [*(projected[layer] for layer in self._projected), *(hidden[layer] for layer in self._hidden)]


def _projections(F, attention, states):
    """Queries, keys and values (s, B, 3H) of states (s, B, H), by the weights of an attention cell."""
    named = [getattr(attention, name) for name in (
        "query_weight", "key_weight", "value_weight", "query_bias", "key_bias", "value_bias")]
    weights = [parameter.var() for parameter in named]
    return F.FullyConnected(states, F.concat(*weights[:3], dim=0), F.concat(*weights[3:], dim=0),
                            num_hidden=3 * named[0].shape[0], flatten=False)

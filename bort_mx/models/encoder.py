"""GluonNLP's BERT encoder with a cheaper padding mask and RoBERTa's order of LayerNorm and dropout.

Dimensions: B batch, s length, H hidden size, A attention heads.
"""

from typing import List

import mxnet as mx
from gluonnlp.model.bert import BERTEncoder, DotProductSelfAttentionCell

from bort_mx.models.normalization import LayerNorm

MASKED_SCORE = -1e4  # exp underflows to 0 in fp32 and fp16 alike, and fp16 can hold it


class SelfAttention(DotProductSelfAttentionCell):
    """GluonNLP's fused self-attention, with an additive mask in place of its lengths.

    GluonNLP hands the lengths to softmax(use_length=True), which runs on one core: adding a mask and taking the plain
    softmax is faster and gives the same weights. The mask comes in the scores' full shape, as the gradient of an
    addition that broadcasts is a reduction, several times slower than all the rest of the softmax.
    """

    def hybrid_forward(self, F, qkv, mask, query_bias, key_bias, value_bias, query_weight, key_weight, value_weight):
        """(s, B, H) and an additive mask (B·A, s, s) → context (s, B, H) and attention weights (B·A, s, s)."""
        weight = F.concat(*(w.reshape(shape=(self._num_heads, -1, 0), reverse=True)
                            for w in (query_weight, key_weight, value_weight)), dim=-2)  # (A, 3H/A, H)
        bias = F.stack(*(b.reshape(shape=(self._num_heads, -1), reverse=True)
                         for b in (query_bias, key_bias, value_bias)), axis=1)  # (A, 3, H/A)
        projected = F.FullyConnected(data=qkv, weight=weight.reshape(shape=(-1, 0), reverse=True),
                                     bias=bias.reshape(-1), num_hidden=3 * self.units, flatten=False)  # (s, B, 3H)
        scores = F.contrib.interleaved_matmul_selfatt_qk(projected, heads=self._num_heads)  # (B·A, s, s)
        weights = self.dropout_layer(F.softmax(scores + mask, axis=-1))
        context = F.contrib.interleaved_matmul_selfatt_valatt(projected, weights, heads=self._num_heads)  # (s, B, H)
        return context, weights


class FirstTokenAttention(SelfAttention):
    """The same attention with the first token's query alone: all that a classifier needs of the last layer."""

    def hybrid_forward(self, F, qkv, mask, query_bias, key_bias, value_bias, query_weight, key_weight, value_weight):
        """(s, B, H) and an additive mask (B·A, s, s) → context (1, B, H) and attention weights (B·A, 1, s)."""
        weight = F.concat(*(w.reshape(shape=(self._num_heads, -1, 0), reverse=True)
                            for w in (key_weight, value_weight)), dim=-2)  # (A, 2H/A, H)
        bias = F.stack(*(b.reshape(shape=(self._num_heads, -1), reverse=True)
                         for b in (key_bias, value_bias)), axis=1)  # (A, 2, H/A)
        projected = F.FullyConnected(data=qkv, weight=weight.reshape(shape=(-1, 0), reverse=True),
                                     bias=bias.reshape(-1), num_hidden=2 * self.units, flatten=False)  # (s, B, 2H)
        query = F.FullyConnected(data=_first(F, qkv), weight=query_weight, bias=query_bias, num_hidden=self.units,
                                 flatten=False)  # (1, B, H)
        scores = F.contrib.interleaved_matmul_encdec_qk(query, projected, heads=self._num_heads)  # (B·A, 1, s)
        weights = self.dropout_layer(F.softmax(scores + F.slice_axis(mask, axis=1, begin=0, end=1), axis=-1))
        context = F.contrib.interleaved_matmul_encdec_valatt(projected, weights, heads=self._num_heads)
        return context, weights


class Encoder(BERTEncoder):
    """Positions, LayerNorm, dropout and D post-LN layers (paper App. A; Devlin et al. 2018).

    Parameters have GluonNLP's names. Unlike GluonNLP 0.10, dropout follows the embedding's LayerNorm, as in BERT,
    RoBERTa and Hugging Face.

    Args:
        first_token_only: give the first token's state alone; of the last layer only its keys and values are computed
            for all tokens.
    """

    def __init__(self, num_heads: int, first_token_only: bool = False, **options):
        super().__init__(num_heads=num_heads, **options)
        self._num_heads, self._dtype, self._first_token_only = num_heads, "float32", first_token_only
        H, I = self._units, options["hidden_size"]  # (GluonNLP's hidden_size is the paper's I)
        with self.name_scope():
            self.layer_norm = LayerNorm(H, self._layer_norm_eps)
        for cell in self.transformer_cells:
            with cell.name_scope():
                last = first_token_only and cell is self.transformer_cells[-1]
                cell.attention_cell = (FirstTokenAttention if last else SelfAttention)(H, num_heads,
                                                                                       dropout=self._dropout)
                cell.layer_norm, cell.ffn.layer_norm = (LayerNorm(H, self._layer_norm_eps) for _ in range(2))
            for weight in (cell.attention_cell.query_weight, cell.attention_cell.key_weight,
                           cell.attention_cell.value_weight, cell.proj.weight):
                weight.shape = (H, H)
            cell.ffn.ffn_1.weight.shape, cell.ffn.ffn_2.weight.shape = (I, H), (H, I)

    def hybrid_forward(self, F, inputs, valid_length, position_weight):
        """Embeddings (s, B, H) and lengths (B,) → hidden states (s, B, H), zero at padding; or the first's alone."""
        positions = F.contrib.arange_like(inputs, axis=0)  # (s,)
        everywhere = F.broadcast_like(F.expand_dims(positions, axis=1), inputs, lhs_axes=(1,), rhs_axes=(1,))  # (s, B)
        states = self.layer_norm(inputs + F.Embedding(everywhere, position_weight, self._max_length, self._units))
        if self._dropout:
            states = self.dropout_layer(states)
        padding = F.broadcast_greater_equal(F.reshape(F.cast(positions, "float32"), shape=(1, -1)),
                                            F.reshape(valid_length, shape=(-1, 1)))  # (B, s)
        mask = F.expand_dims(F.repeat(padding * MASKED_SCORE, repeats=self._num_heads, axis=0), axis=1)  # (B·A, 1, s)
        mask = F.cast(F.broadcast_like(mask, mask, lhs_axes=(1,), rhs_axes=(2,)), self._dtype)  # (B·A, s, s)
        cells = list(self.transformer_cells)
        for cell in cells[:-1] if self._first_token_only else cells:
            states, _ = cell(states, mask)
        if self._first_token_only:
            return self._last_layer(F, cells[-1], states, mask)
        return F.SequenceMask(states, sequence_length=valid_length, use_sequence_length=True, axis=0)

    def _last_layer(self, F, cell, states, mask):
        """GluonNLP's layer for the first token: (s, B, H) → (1, B, H)."""
        context, _ = cell.attention_cell(states, mask)
        context = cell.proj(context)
        if self._dropout:
            context = cell.dropout_layer(context)
        return cell.ffn(cell.layer_norm(context + _first(F, states)))

    def norms(self) -> List[LayerNorm]:
        """Every LayerNorm of the encoder."""
        inner = [norm for cell in self.transformer_cells for norm in (cell.layer_norm, cell.ffn.layer_norm)]
        return [self.layer_norm, *inner]

    @property
    def dtype(self) -> str:
        """The type of the parameters."""
        return str(self._dtype)

    def cast(self, dtype):
        """Cast the parameters, and remember the type for the mask, which no operator casts by itself."""
        self._dtype = dtype
        super().cast(dtype)

    def __call__(self, inputs, valid_length):
        return mx.gluon.HybridBlock.__call__(self, inputs, valid_length)


def _first(F, states):
    return F.slice_axis(states, axis=0, begin=0, end=1)

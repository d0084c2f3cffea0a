"""GluonNLP's BERT encoder with a cheaper padding mask and RoBERTa's order of LayerNorm and dropout.

Dimensions: B batch, s length, M selected tokens, H hidden size, A attention heads.
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


class SelectedTokensAttention(SelfAttention):
    """The same attention with the queries of some tokens alone: all that a head at these tokens needs of a layer."""

    def __call__(self, states, queries, mask):
        return mx.gluon.HybridBlock.__call__(self, states, queries, mask)

    def hybrid_forward(self, F, states, queries, mask, query_bias, key_bias, value_bias, query_weight, key_weight,
                       value_weight):
        """(s, B, H), of these the selected (M, B, H), and an additive mask (B·A, M, s) → context (M, B, H)."""
        weight = F.concat(*(w.reshape(shape=(self._num_heads, -1, 0), reverse=True)
                            for w in (key_weight, value_weight)), dim=-2)  # (A, 2H/A, H)
        bias = F.stack(*(b.reshape(shape=(self._num_heads, -1), reverse=True)
                         for b in (key_bias, value_bias)), axis=1)  # (A, 2, H/A)
        projected = F.FullyConnected(data=states, weight=weight.reshape(shape=(-1, 0), reverse=True),
                                     bias=bias.reshape(-1), num_hidden=2 * self.units, flatten=False)  # (s, B, 2H)
        query = F.FullyConnected(data=queries, weight=query_weight, bias=query_bias, num_hidden=self.units,
                                 flatten=False)  # (M, B, H)
        scores = F.contrib.interleaved_matmul_encdec_qk(query, projected, heads=self._num_heads)  # (B·A, M, s)
        weights = self.dropout_layer(F.softmax(scores + mask, axis=-1))
        return F.contrib.interleaved_matmul_encdec_valatt(projected, weights, heads=self._num_heads)


class Encoder(BERTEncoder):
    """Positions, LayerNorm, dropout and D post-LN layers (paper App. A; Devlin et al. 2018).

    Parameters have GluonNLP's names. Unlike GluonNLP 0.10, dropout follows the embedding's LayerNorm, as in BERT,
    RoBERTa and Hugging Face.

    Args:
        selects: take the positions whose states are wanted, and of the last layer compute only the keys and values for
            all tokens. An MLM loss at 15 % of the tokens thus saves 59 % of that layer's multiply-adds (Bort, s = 512).
    """

    def __init__(self, num_heads: int, selects: bool = False, **options):
        super().__init__(num_heads=num_heads, **options)
        self._num_heads, self._dtype, self._selects = num_heads, "float32", selects
        H, I = self._units, options["hidden_size"]  # (GluonNLP's hidden_size is the paper's I)
        with self.name_scope():
            self.layer_norm = LayerNorm(H, self._layer_norm_eps)
        for cell in self.transformer_cells:
            with cell.name_scope():
                last = selects and cell is self.transformer_cells[-1]
                kind = SelectedTokensAttention if last else SelfAttention
                cell.attention_cell = kind(H, num_heads, dropout=self._dropout, prefix="attention_")
                cell.layer_norm, cell.ffn.layer_norm = (LayerNorm(H, self._layer_norm_eps) for _ in range(2))
            for weight in (cell.attention_cell.query_weight, cell.attention_cell.key_weight,
                           cell.attention_cell.value_weight, cell.proj.weight):
                weight.shape = (H, H)
            cell.ffn.ffn_1.weight.shape, cell.ffn.ffn_2.weight.shape = (I, H), (H, I)

    def hybrid_forward(self, F, inputs, valid_length, selected=None, position_weight=None):
        """Embeddings (s, B, H), lengths (B,) and, if it selects, positions (B, M) → hidden states.

        (s, B, H) or, at the positions selected, (M, B, H); zero at padding.
        """
        positions = F.contrib.arange_like(inputs, axis=0)  # (s,)
        everywhere = F.broadcast_like(F.expand_dims(positions, axis=1), inputs, lhs_axes=(1,), rhs_axes=(1,))  # (s, B)
        states = self.layer_norm(inputs + F.Embedding(everywhere, position_weight, self._max_length, self._units))
        if self._dropout:
            states = self.dropout_layer(states)
        padding = F.broadcast_greater_equal(F.reshape(F.cast(positions, "float32"), shape=(1, -1)),
                                            F.reshape(valid_length, shape=(-1, 1)))  # (B, s)
        row = F.expand_dims(F.repeat(padding * MASKED_SCORE, repeats=self._num_heads, axis=0), axis=1)  # (B·A, 1, s)
        mask = F.cast(F.broadcast_like(row, row, lhs_axes=(1,), rhs_axes=(2,)), self._dtype)  # (B·A, s, s)
        cells = list(self.transformer_cells)
        for cell in cells[:-1] if self._selects else cells:
            states, _ = cell(states, mask)
        if self._selects:
            mask = F.cast(F.broadcast_like(row, selected, lhs_axes=(1,), rhs_axes=(1,)), self._dtype)  # (B·A, M, s)
            states = self._last_layer(F, cells[-1], states, _gather(F, states, selected), mask)
            kept = F.broadcast_lesser(F.cast(selected, "float32"), F.reshape(valid_length, shape=(-1, 1)))  # (B, M)
            return F.broadcast_mul(states, F.cast(F.expand_dims(F.transpose(kept), axis=2), self._dtype))
        return F.SequenceMask(states, sequence_length=valid_length, use_sequence_length=True, axis=0)

    def _last_layer(self, F, cell, states, selected, mask):
        """GluonNLP's layer at the selected tokens: (s, B, H), of these (M, B, H), mask (B·A, M, s) → (M, B, H)."""
        context = cell.proj(cell.attention_cell(states, selected, mask))
        if self._dropout:
            context = cell.dropout_layer(context)
        return cell.ffn(cell.layer_norm(context + selected))

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

    def __call__(self, inputs, valid_length, selected=None):
        return mx.gluon.HybridBlock.__call__(self, inputs, valid_length, selected)


def _gather(F, states, positions):
    """Hidden states (s, B, H) at positions (B, M) → (M, B, H)."""
    positions = F.transpose(F.cast(positions, "float32"))  # (M, B)
    rows = F.expand_dims(F.contrib.arange_like(positions, axis=1), axis=0)  # (1, B)
    return F.gather_nd(states, F.stack(positions, F.broadcast_like(rows, positions), axis=0))

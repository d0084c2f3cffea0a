"""GluonNLP's BERT encoder, with a faster padding mask and with RoBERTa's order of LayerNorm and dropout.

Dimensions: B batch, s length, M selected positions, H hidden size, A attention heads, I intermediate size.
"""

from typing import List

import mxnet as mx
from gluonnlp.model.bert import BERTEncoder, DotProductSelfAttentionCell

from bort_mx.models.normalization import LayerNorm

ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "approx_gelu", "relu": "relu"}
"""`ModelConfig.activation` → GluonNLP's name."""
MASKED_SCORE = -1e4  # exp(−1e4) is 0 in float32 and float16, and float16 can represent −1e4 (but not −1e9)


class SelfAttention(DotProductSelfAttentionCell):
    """GluonNLP's fused self-attention, with an additive mask instead of sequence lengths.

    GluonNLP passes lengths to softmax(use_length=True), which uses one core only. Adding a mask before a plain softmax
    is faster and gives the same weights. The mask has the full shape of the scores: with a smaller mask the addition
    would broadcast, and the gradient of a broadcast is a slow reduction.
    """

    def hybrid_forward(self, F, qkv, mask, query_bias, key_bias, value_bias, query_weight, key_weight, value_weight):
        """States (s, B, H), mask (B·A, s, s) → context (s, B, H) and attention weights (B·A, s, s)."""
        weight, bias = joined(F, self._num_heads, (query_weight, key_weight, value_weight),
                              (query_bias, key_bias, value_bias))  # (3H, H), (3H,)
        projected = project(F, qkv, weight, bias, 3 * self.units)  # (s, B, 3H)
        return attended(F, projected, mask, self._num_heads, self.dropout_layer)


class SelectedTokensAttention(SelfAttention):
    """The same attention, but with queries of selected tokens only. A head that reads these tokens needs no others."""

    def __call__(self, states, queries, mask):
        # Skips GluonNLP's __call__, which takes other arguments.
        return mx.gluon.HybridBlock.__call__(self, states, queries, mask)

    def hybrid_forward(self, F, states, queries, mask, query_bias, key_bias, value_bias, query_weight, key_weight,
                       value_weight):
        """States (s, B, H), the selected ones of them (M, B, H), mask (B·A, M, s) → context (M, B, H)."""
        # Keys and values of all tokens. Queries are projected separately.
        weight, bias = joined(F, self._num_heads, (key_weight, value_weight), (key_bias, value_bias))  # (2H, H), (2H,)
        projected = project(F, states, weight, bias, 2 * self.units)  # (s, B, 2H)
        query = project(F, queries, query_weight, query_bias, self.units)  # (M, B, H)
        return attended_by(F, query, projected, mask, self._num_heads, self.dropout_layer)


def joined(F, heads: int, weights, biases):
    """k weights (H, H) and biases (H,) as one of each, (kH, H) and (kH,), for one projection.

    The fused operators expect, for each head, its query, key and value rows next to each other.
    """
    weight = F.concat(*(w.reshape(shape=(heads, -1, 0), reverse=True) for w in weights), dim=-2)  # (A, kH/A, H)
    bias = F.stack(*(b.reshape(shape=(heads, -1), reverse=True) for b in biases), axis=1)  # (A, k, H/A)
    return weight.reshape(shape=(-1, 0), reverse=True), bias.reshape(-1)


def project(F, states, weight, bias, units: int):
    """States (…, H), weight (units, H), bias (units,) → (…, units)."""
    return F.FullyConnected(data=states, weight=weight, bias=bias, num_hidden=units, flatten=False)


def attended(F, projected, mask, heads: int, dropout=lambda weights: weights):
    """Joined projections (s, B, 3H), mask (B·A, s, s) → context (s, B, H), attention weights (B·A, s, s)."""
    scores = F.contrib.interleaved_matmul_selfatt_qk(projected, heads=heads)  # (B·A, s, s)
    # A masked score falls to about −1e4, so its weight after the softmax is 0.
    weights = dropout(F.softmax(scores + mask, axis=-1))
    return F.contrib.interleaved_matmul_selfatt_valatt(projected, weights, heads=heads), weights


def attended_by(F, query, projected, mask, heads: int, dropout=lambda weights: weights):
    """Queries (M, B, H), keys and values (s, B, 2H), mask (B·A, M, s) → context (M, B, H)."""
    scores = F.contrib.interleaved_matmul_encdec_qk(query, projected, heads=heads)  # (B·A, M, s)
    weights = dropout(F.softmax(scores + mask, axis=-1))
    return F.contrib.interleaved_matmul_encdec_valatt(projected, weights, heads=heads)


class Encoder(BERTEncoder):
    """Position embedding, LayerNorm, dropout and D post-LN layers (paper App. A; Devlin et al. 2018).

    Parameters have GluonNLP's names. Dropout follows the embedding's LayerNorm, as in BERT, RoBERTa and Hugging Face;
    GluonNLP 0.10 has no dropout there.

    Args:
        selects: return states at given positions only. The last layer then computes keys and values for all tokens,
            but everything else at these positions only. For an MLM loss at 15 % of the tokens, this saves 59 % of that
            layer's multiply-adds (Bort, s = 512).
    """

    def __init__(self, num_heads: int, selects: bool = False, **options):
        super().__init__(num_heads=num_heads, **options)
        self._num_heads, self._dtype, self._selects = num_heads, "float32", selects
        H, I = self._units, options["hidden_size"]  # GluonNLP's hidden_size is the paper's I
        with self.name_scope():
            self.layer_norm = LayerNorm(H, self._layer_norm_eps)
        for cell in self.transformer_cells:
            with cell.name_scope():
                last = selects and cell is self.transformer_cells[-1]
                kind = SelectedTokensAttention if last else SelfAttention
                cell.attention_cell = kind(H, num_heads, dropout=self._dropout, prefix="attention_")
                cell.layer_norm, cell.ffn.layer_norm = (LayerNorm(H, self._layer_norm_eps) for _ in range(2))
            # GluonNLP leaves input sizes open until the first call; fixing them lets weights be set before it.
            for weight in (cell.attention_cell.query_weight, cell.attention_cell.key_weight,
                           cell.attention_cell.value_weight, cell.proj.weight):
                weight.shape = (H, H)
            cell.ffn.ffn_1.weight.shape, cell.ffn.ffn_2.weight.shape = (I, H), (H, I)

    def hybrid_forward(self, F, inputs, valid_length, selected=None, position_weight=None):
        """Embeddings (s, B, H), lengths (B,) and, if `selects`, positions (B, M) → hidden states, zero at padding.

        Their shape is (s, B, H); if `selects`, it is (M, B, H).
        """
        states, row = self.embedded(F, inputs, position_weight), self.padding_row(F, inputs, valid_length)
        mask = F.cast(F.broadcast_like(row, row, lhs_axes=(1,), rhs_axes=(2,)), self._dtype)  # (B·A, s, s)
        cells = list(self.transformer_cells)
        for cell in cells[:-1] if self._selects else cells:
            states, _ = cell(states, mask)
        if self._selects:
            # The last layer has M queries instead of s, so its mask has another shape.
            mask = F.cast(F.broadcast_like(row, selected, lhs_axes=(1,), rhs_axes=(1,)), self._dtype)  # (B·A, M, s)
            states = self._last_layer(F, cells[-1], states, _gather(F, states, selected), mask)
            # Selected positions at padding give 0, as SequenceMask does below.
            kept = F.broadcast_lesser(F.cast(selected, "float32"), F.reshape(valid_length, shape=(-1, 1)))  # (B, M)
            return F.broadcast_mul(states, F.cast(F.expand_dims(F.transpose(kept), axis=2), self._dtype))
        return F.SequenceMask(states, sequence_length=valid_length, use_sequence_length=True, axis=0)

    def embedded(self, F, inputs, position_weight):
        """Embeddings of words (s, B, H) → with those of positions, LayerNorm and dropout, (s, B, H)."""
        # Positions are computed from the input's shape, so that one graph serves every length.
        positions = F.contrib.arange_like(inputs, axis=0)  # (s,)
        everywhere = F.broadcast_like(F.expand_dims(positions, axis=1), inputs, lhs_axes=(1,), rhs_axes=(1,))  # (s, B)
        states = self.layer_norm(inputs + F.Embedding(everywhere, position_weight, self._max_length, self._units))
        return self.dropout_layer(states) if self._dropout else states

    def padding_row(self, F, inputs, valid_length):
        """Embeddings (s, B, H) and lengths (B,) → `MASKED_SCORE` at padding, else 0: (B·A, 1, s)."""
        positions = F.contrib.arange_like(inputs, axis=0)  # (s,)
        # 1 where a position is at or beyond the sequence's length, that is, at padding.
        padding = F.broadcast_greater_equal(F.reshape(F.cast(positions, "float32"), shape=(1, -1)),
                                            F.reshape(valid_length, shape=(-1, 1)))  # (B, s)
        return F.expand_dims(F.repeat(padding * MASKED_SCORE, repeats=self._num_heads, axis=0), axis=1)

    def layer(self, F, cell, states, mask):
        """One layer at all tokens, whichever kind of attention it has: states (s, B, H), mask (B·A, s, s)."""
        if isinstance(cell.attention_cell, SelectedTokensAttention):
            return self._last_layer(F, cell, states, states, mask)
        return cell(states, mask)[0]

    def _last_layer(self, F, cell, states, selected, mask):
        """One layer at the selected tokens: states (s, B, H), selected (M, B, H), mask (B·A, M, s) → (M, B, H)."""
        context = cell.proj(cell.attention_cell(states, selected, mask))
        if self._dropout:
            context = cell.dropout_layer(context)
        # Post-LN: the residual is added first, then normalised.
        return cell.ffn(cell.layer_norm(context + selected))

    def norms(self) -> List[LayerNorm]:
        """All LayerNorms of the encoder."""
        inner = [norm for cell in self.transformer_cells for norm in (cell.layer_norm, cell.ffn.layer_norm)]
        return [self.layer_norm, *inner]

    @property
    def dtype(self) -> str:
        """The parameters' type."""
        return str(self._dtype)

    def cast(self, dtype):
        """Cast the parameters. The mask is cast in `hybrid_forward`, which needs to know the type."""
        self._dtype = dtype
        super().cast(dtype)

    def __call__(self, inputs, valid_length, selected=None):
        return mx.gluon.HybridBlock.__call__(self, inputs, valid_length, selected)


def _gather(F, states, positions):
    """Hidden states (s, B, H) at positions (B, M) → (M, B, H)."""
    positions = F.transpose(F.cast(positions, "float32"))  # (M, B)
    rows = F.expand_dims(F.contrib.arange_like(positions, axis=1), axis=0)  # (1, B)
    return F.gather_nd(states, F.stack(positions, F.broadcast_like(rows, positions), axis=0))

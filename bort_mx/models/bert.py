"""BERT with any architecture <D, A, H, I> and one head: none, masked language model (MLM), or classifier.

Dimensions: B batch, s length, M masked positions, H hidden size, V vocabulary size, S number of positions.
"""

import collections
from typing import Dict

import mxnet as mx
import numpy as np
from gluonnlp.model.block import GELU
from mxnet.gluon import HybridBlock, nn

from bort_mx.models.config import ModelConfig
from bort_mx.models.encoder import ACTIVATIONS, Encoder
from bort_mx.models.normalization import LayerNorm


class BERT(HybridBlock):
    """Embeddings, encoder and one head. `build_model` builds it. Parameters have GluonNLP's names.

    Inputs:
        input_ids (B, s); valid_length (B,), None: no padding; masked_positions (B, M), for the mlm head only, None:
        every position; token_types (B, s), for models with token types only, None: all 0. Any numeric dtype.
    Outputs:
        encoder: hidden states (B, s, H), zero at padding. mlm: logits (B, M, V). classifier: (B, num_labels).
    """

    def __init__(self, config: ModelConfig, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        self.embedding_tensors: Dict[str, np.ndarray] = {}  # of config.embedding's dense layers
        D, A, H, I = config.architecture.as_tuple()
        with self.name_scope():
            # GluonNLP's `hidden_size` is the paper's I, and its `units` is H.
            self.encoder = Encoder(num_layers=D, num_heads=A, units=H, hidden_size=I, dropout=config.dropout,
                                   max_length=config.num_positions, layer_norm_eps=config.layer_norm_eps,
                                   selects=config.head == "mlm" or config.reads_first,
                                   activation=ACTIVATIONS[config.activation])
            self.word_embed = nn.HybridSequential(prefix="word_embed_")
            with self.word_embed.name_scope():
                self.word_embed.add(nn.Embedding(config.vocab_size, H))
            if config.token_types:
                self.token_type_embed = nn.HybridSequential(prefix="token_type_embed_")
                with self.token_type_embed.name_scope():
                    self.token_type_embed.add(nn.Embedding(config.token_types, H))
            if config.head == "mlm":
                self.decoder = self._mlm_decoder(config, H)
            if config.head == "classifier":
                if config.pooler:
                    self.pooler = nn.Dense(H, in_units=H, flatten=False, activation="tanh", prefix="pooler_")
                self.classifier = self._classifier(config, H)

    def _mlm_decoder(self, config: ModelConfig, H: int) -> nn.HybridSequential:
        """Dense(H) → activation → LayerNorm → output layer. Its weight is the word embedding's; its bias is its own."""
        activation = {"gelu": GELU, "gelu_tanh": lambda: GELU(approximate=True), "relu": lambda: nn.Activation("relu")}
        decoder = nn.HybridSequential(prefix="decoder_")
        with decoder.name_scope():
            decoder.add(nn.Dense(H, in_units=H, flatten=False), activation[config.mlm_activation](),
                        LayerNorm(H, config.layer_norm_eps),
                        nn.Dense(config.vocab_size, in_units=H, flatten=False, params=self.word_embed[0].params))
        return decoder

    @staticmethod
    def _classifier(config: ModelConfig, H: int) -> nn.HybridSequential:
        """Dropout and one linear layer on the first token (paper §5.1) or what else `config.pooling` says, or two
        linear layers with `extra_layer`.
        """
        read = config.classifier_inputs
        classifier = nn.HybridSequential(prefix="classifier_")
        with classifier.name_scope():
            classifier.add(nn.Dropout(config.dropout))
            if config.extra_layer:
                classifier.add(nn.Dense(H, in_units=read, flatten=False), nn.Dropout(config.dropout))
                read = H
            classifier.add(nn.Dense(config.num_labels, in_units=read, flatten=False))
        return classifier

    @property
    def context(self) -> mx.Context:
        """The (first) device of its weights."""
        return self.word_embed[0].weight.list_ctx()[0]

    def __call__(self, input_ids, valid_length=None, masked_positions=None, token_types=None):
        """Fill in the optional inputs, so that one compiled graph serves every call.

        Training and inference use different LayerNorms (see `LayerNorm.composed`). When a call switches between the
        two, the graph is compiled again.
        """
        training = mx.autograd.is_training() and input_ids.context.device_type == "cpu"
        self._compose_norms(training and self.encoder.dtype == "float32")
        if valid_length is None:
            valid_length = mx.nd.full((input_ids.shape[0],), input_ids.shape[1], ctx=input_ids.context)
        if self.config.head != "mlm":
            masked_positions = None
        elif masked_positions is None:
            # No positions given: take all of them, 0 to s − 1 in every row.
            masked_positions = mx.nd.broadcast_to(
                mx.nd.arange(input_ids.shape[1], ctx=input_ids.context).reshape((1, -1)), shape=input_ids.shape)
        if not self.config.token_types:
            token_types = None
        elif token_types is None:
            token_types = mx.nd.zeros(input_ids.shape, ctx=input_ids.context)
        return super().__call__(input_ids, valid_length, masked_positions, token_types)

    def _compose_norms(self, composed: bool) -> None:
        head = self.decoder if self.config.head == "mlm" else ()
        norms = self.encoder.norms() + [block for block in head if isinstance(block, LayerNorm)]
        if norms[0].composed != composed:
            # Hybridizing again drops the compiled graph, which was built with the other LayerNorm.
            for norm in norms:
                norm.composed = composed
            self.hybridize(self._active, static_alloc=True)

    def hybrid_forward(self, F, input_ids, valid_length, masked_positions=None, token_types=None):
        """See the class for inputs and outputs."""
        embedded = self.word_embed(input_ids)  # (B, s, H)
        if token_types is not None:
            embedded = embedded + self.token_type_embed(token_types)
        selected = masked_positions
        if self.config.reads_first:
            selected = F.zeros_like(F.slice_axis(input_ids, axis=1, begin=0, end=1))  # (B, 1): the first token
        valid_length = F.cast(valid_length, "float32")
        states = self.encoder(F.swapaxes(embedded, 0, 1), valid_length, selected)  # (s or M, B, H)
        if self.config.head == "mlm":
            return self.decoder(F.swapaxes(states, 0, 1))  # (B, M, V): the full (B, s, V) logits are never built
        if self.config.reads_first:
            first = F.squeeze(states, axis=0)  # (1, B, H) → (B, H)
            return self.classifier(self.pooler(first) if self.config.pooler else first)  # (B, num_labels)
        if self.config.head == "classifier":
            return self.classifier(self._means(F, states, valid_length, token_types))
        return F.swapaxes(states, 0, 1)  # (B, s, H)

    def _means(self, F, states, valid_length, token_types):
        """What a classifier reads that does not read the first token: hidden states (s, B, H) that are 0 at padding,
        lengths (B,), token types (B, s) → (B, H or 4H); see `ModelConfig.pooling`.
        """
        places = F.contrib.arange_like(states, axis=0)  # (s,)
        kept = F.broadcast_lesser(F.reshape(F.cast(places, "float32"), shape=(1, -1)),
                                  F.reshape(valid_length, shape=(-1, 1)))  # (B, s): 1 at tokens, 0 at padding
        if self.config.pooling == "mean":
            return self._mean(F, states, kept)
        second = F.cast(token_types, "float32") * kept  # 1 at the tokens of the second text
        u, v = (self._mean(F, states, own) for own in (kept - second, second))
        return F.concat(u, v, F.abs(u - v), u * v, dim=1)

    def _mean(self, F, states, own):
        """Mean of hidden states (s, B, H) over the tokens where own (B, s) is 1, brought to a mean square of 1 (B, H).
        A text that was cut off whole has no token; its mean is 0.
        """
        own = F.expand_dims(F.transpose(own), axis=2)  # (s, B, 1)
        total = F.sum(F.broadcast_mul(F.cast(states, "float32"), own), axis=0)  # (B, H)
        mean = F.broadcast_div(total, F.maximum(F.sum(own, axis=0), 1))
        square = F.maximum(F.mean(F.square(mean), axis=1, keepdims=True), LEAST_SQUARE)
        return F.cast(F.broadcast_mul(mean, F.rsqrt(square)), self.encoder.dtype)


LEAST_SQUARE = 1e-12
"""A smaller mean square of a mean of hidden states is taken for this."""
WORD_EMBEDDING = "word_embed.0.weight"
"""Name of the word embedding in `parameters_of`."""


def parameters_of(model: BERT) -> Dict[str, mx.gluon.Parameter]:
    """The model's parameters by GluonNLP's names, such as "encoder.transformer_cells.0.proj.weight". Tied ones occur
    once.
    """
    seen, result = set(), collections.OrderedDict()
    named = model._collect_params_with_prefix()
    for name in sorted(named, key=lambda n: (n.startswith("decoder"), n)):  # the tied weight keeps the embedding's name
        if id(named[name]) not in seen:
            seen.add(id(named[name]))
            result[name] = named[name]
    return result

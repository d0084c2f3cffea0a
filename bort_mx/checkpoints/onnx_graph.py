"""The ONNX graph of a model, built node by node.

Each pattern of nodes is the one that PyTorch's exporter makes of Hugging Face's BERT, because ONNX Runtime's
optimizers look for exactly that: Attention, SkipLayerNormalization, BiasGelu and EmbedLayerNormalization.

Dimensions: B batch, s length, H hidden size, A attention heads, V vocabulary size, S positions.
"""

import math
from typing import List, Optional

import numpy as np
import onnx
from onnx import TensorProto, helper

from bort_mx.checkpoints.onnx_model import input_names
from bort_mx.checkpoints.onnx_nodes import NATIVE_LAYER_NORM, Nodes
from bort_mx.checkpoints.quantization import Quantization
from bort_mx.checkpoints.weights import Weights, check_fit
from bort_mx.errors import InputError
from bort_mx.models.bert import LEAST_SQUARE
from bort_mx.sentence_embedding import NORMALIZE, TENSORS, SentenceEmbedding

OPSETS = range(13, 20)
AXES_AS_INPUT = 18
"""From this opset on ReduceMax takes its axes as an input, and ReduceMean, which only older opsets use here."""
MASKED = -10000.0
BATCH, SEQUENCE = "batch_size", "sequence_length"
SENTENCE = "sentence_embedding"
OUTPUTS = {"encoder": "last_hidden_state", "mlm": "logits", "classifier": "logits"}
IR_VERSION = 8


def build(weights: Weights, opset: int = NATIVE_LAYER_NORM, int8: Optional[Quantization] = None,
          dense_inputs: bool = False) -> onnx.ModelProto:
    """The graph of weights with the head of their configuration.

    Inputs (int64): input_ids (B, s); attention_mask (B, s), 1 for tokens and 0 for padding; and token_type_ids (B, s)
    where the model has more than one token type. Output (float32): last_hidden_state (B, s, H), zero at padding; logits
    (B, s, V) of an MLM; or logits (B, num_labels) of a classifier. An encoder whose configuration has an embedding has
    a second output, sentence_embedding (B, E).

    Args:
        weights: what some reader gave.
        opset: the version of ONNX's operators.
        int8: store the matrices in 8 bits, with one scale for each output, and quantize what they multiply: dynamically
            as it comes, or statically over given ranges (as QuantizeLinear and DequantizeLinear around a MatMul).
        dense_inputs: add an output with the input of each dense layer of `quantization.CALIBRATED`, of its name.
    Raises:
        InputError: an opset that is not supported, or tensors that do not fit the configuration.
    """
    if opset not in OPSETS:
        raise InputError(f"--opset {opset}: must be {OPSETS[0]} to {OPSETS[-1]}")
    check_fit(weights.tensors, weights.config, weights.source)
    return _Graph(weights, opset, int8).model(dense_inputs)


class _Graph(Nodes):
    """The parts of the model."""

    def model(self, dense_inputs: bool) -> onnx.ModelProto:
        """The whole model; see `build`."""
        states = self._encoder()
        head = {"encoder": self._identity, "mlm": self._mlm, "classifier": self._classifier}[self._config.head]
        head(states)
        outputs = [self._output()]
        if self._config.embedding is not None:
            size = self._config.embedding.size(self._config.architecture.hidden_size)
            outputs.append(helper.make_tensor_value_info(SENTENCE, TensorProto.FLOAT, [BATCH, size]))
            self._sentence_embedding(OUTPUTS["encoder"], self._config.embedding)
        for module, x in self._dense_inputs.items() if dense_inputs else ():
            outputs.append(helper.make_tensor_value_info(self._add("Identity", x, name=module), TensorProto.FLOAT,
                                                         [None] * 3))
        graph = helper.make_graph(self._nodes, "bort_mx", self._inputs(), outputs, list(self._initializers.values()))
        model = helper.make_model(graph, producer_name="bort_mx", ir_version=IR_VERSION,
                                  opset_imports=[helper.make_opsetid("", self._opset)])
        return model

    # -- inputs and outputs --------------------------------------------------------------------------------

    def _inputs(self) -> List[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, TensorProto.INT64, [BATCH, SEQUENCE])
                for name in input_names(self._config)]

    def _output(self) -> onnx.ValueInfoProto:
        shape = {"encoder": [BATCH, SEQUENCE, self._config.architecture.hidden_size],
                 "mlm": [BATCH, SEQUENCE, self._config.vocab_size], "classifier": [BATCH, self._config.num_labels]}
        head = self._config.head
        return helper.make_tensor_value_info(OUTPUTS[head], TensorProto.FLOAT, shape[head])

    # -- layers ----------------------------------------------------------------------------------------------------

    def _embeddings(self) -> str:
        """Word, token type and position (B, s, H), normalised."""
        length = self._add("Gather", self._add("Shape", "input_ids"), self._constant(1, np.int64), axis=0)
        every = self._keep("position_ids", np.arange(self._config.num_positions, dtype=np.int64)[None])  # (1, S)
        positions = self._add("Slice", every, self._ints(0), self._add("Unsqueeze", length, self._ints(0)),
                              self._ints(1), self._ints(1))  # (1, s)
        embedded = self._word_embedding()  # (B, s, H)
        if self._config.token_types > 1:
            types = self._add("Gather", self._weight("token_type_embed.0.weight"), "token_type_ids")
            embedded = self._add("Add", embedded, types)
        elif self._config.token_types:
            embedded = self._add("Add", embedded, self._weight("token_type_embed.0.weight"))
        embedded = self._add("Add", embedded, self._add("Gather", self._weight("encoder.position_weight"), positions))
        return self._layer_norm(embedded, "encoder.layer_norm")

    def _word_embedding(self) -> str:
        name = "word_embed.0.weight"
        if self._int8 is None:
            return self._add("Gather", self._weight(name), "input_ids")
        matrix, scales = self._weight_int8(name, transposed=False, multiplied=self._config.head == "mlm")
        rows = self._add("Cast", self._add("Gather", matrix, "input_ids"), to=TensorProto.FLOAT)
        scale = self._add("Unsqueeze", self._add("Gather", scales, "input_ids"), self._ints(2))  # (B, s, 1)
        return self._add("Mul", rows, scale)

    def _encoder(self) -> str:
        """Hidden states (B, s, H)."""
        expanded = self._add("Unsqueeze", self._add("Unsqueeze", "attention_mask", self._ints(1)), self._ints(2))
        kept = self._add("Cast", expanded, to=TensorProto.FLOAT)  # (B, 1, 1, s)
        mask = self._add("Mul", self._add("Sub", self._number(1.0), kept), self._number(MASKED))
        states = self._embeddings()
        D, first_only = self._config.architecture.num_layers, self._config.reads_first
        for i in range(D):
            states = self._layer(states, mask, f"encoder.transformer_cells.{i}", first_only and i == D - 1)
        return states

    def _layer(self, states: str, mask: str, cell: str, first_only: bool) -> str:
        """A layer (B, s, H). With first_only all but keys and values is of the first token alone: (B, 1, H)."""
        asking = states
        if first_only:
            asking = self._add("Slice", states, self._ints(0), self._ints(1), self._ints(1))
        context = self._dense(self._attention(asking, states, mask, f"{cell}.attention_cell"), f"{cell}.proj")
        attended = self._layer_norm(self._add("Add", context, asking), f"{cell}.layer_norm")
        inner = self._activated(self._config.activation, self._dense(attended, f"{cell}.ffn.ffn_1"))  # (B, s, I)
        return self._layer_norm(self._add("Add", self._dense(inner, f"{cell}.ffn.ffn_2"), attended),
                                f"{cell}.ffn.layer_norm")

    def _attention(self, asking: str, states: str, mask: str, cell: str) -> str:
        """Context of the asking states (B, s or 1, H) among hidden states (B, s, H), additive mask (B, 1, 1, s)."""
        A, H = self._config.architecture.num_heads, self._config.architecture.hidden_size
        heads = self._ints(0, 0, A, H // A)

        def project(x: str, name: str, order: List[int]) -> str:
            split = self._add("Reshape", self._dense(x, f"{cell}.proj_{name}"), heads)
            return self._add("Transpose", split, perm=order)

        query, key = project(asking, "query", [0, 2, 1, 3]), project(states, "key", [0, 2, 3, 1])
        value = project(states, "value", [0, 2, 1, 3])
        scores = self._add("Div", self._add("MatMul", query, key), self._number(math.sqrt(H // A)))  # (B, A, s, s)
        weights = self._add("Softmax", self._add("Add", scores, mask), axis=-1)
        context = self._add("Transpose", self._add("MatMul", weights, value), perm=[0, 2, 1, 3])  # (B, s, A, H/A)
        return self._add("Reshape", context, self._ints(0, 0, H))

    # -- heads -----------------------------------------------------------------------------------------------------

    def _without_padding(self, states: str, name: Optional[str] = None) -> str:
        """Hidden states with zeros at padding, as the MXNet model gives them."""
        kept = self._add("Cast", self._add("Unsqueeze", "attention_mask", self._ints(2)), to=TensorProto.FLOAT)
        return self._add("Mul", states, kept, name=name)  # (B, s, H)

    def _identity(self, states: str) -> str:
        return self._without_padding(states, name=OUTPUTS["encoder"])

    def _mlm(self, states: str) -> str:
        """Logits (B, s, V): dense, activation, LayerNorm, and the word embedding as decoder."""
        x = self._dense(self._without_padding(states), "decoder.0")
        x = self._layer_norm(self._activated(self._config.mlm_activation, x), "decoder.2")
        return self._add("Add", self._decode(x), self._weight("decoder.3.bias"), name=OUTPUTS["mlm"])

    def _decode(self, x: str) -> str:
        """x times the word embedding, which is stored once: ONNX Runtime transposes it when it loads the file."""
        name = "word_embed.0.weight"
        if self._int8 is not None:
            matrix, scales = self._weight_int8(name, transposed=False)
            return self._matmul_int8(x, self._add("Transpose", matrix, perm=[1, 0]), scales)
        return self._add("MatMul", x, self._add("Transpose", self._weight(name), perm=[1, 0]))

    def _classifier(self, states: str) -> str:
        """Logits (B, num_labels) of what the configuration's pooling says."""
        if self._config.reads_first:
            x = self._add("Gather", states, self._constant(0, np.int64), axis=1)  # (B, H)
        else:
            x = self._means(states)
        if self._config.pooler:
            x = self._add("Tanh", self._dense(x, "pooler"))
        if self._config.extra_layer:
            x = self._dense(x, "classifier.1")
        last = "classifier.3" if self._config.extra_layer else "classifier.1"
        return self._dense(x, last, name=OUTPUTS["classifier"])

    def _means(self, states: str) -> str:
        """What `ModelConfig.pooling` says of hidden states (B, s, H): (B, H or 4H)."""
        kept = self._add("Cast", "attention_mask", to=TensorProto.FLOAT)  # (B, s)
        if self._config.pooling == "mean":
            return self._mean(states, kept)
        second = self._add("Mul", self._add("Cast", "token_type_ids", to=TensorProto.FLOAT), kept)
        u, v = self._mean(states, self._add("Sub", kept, second)), self._mean(states, second)
        return self._add("Concat", u, v, self._add("Abs", self._add("Sub", u, v)), self._add("Mul", u, v), axis=1)

    def _mean(self, states: str, own: str) -> str:
        """Mean over the tokens where own (B, s) is 1, brought to a mean square of 1: (B, H)."""
        weighted = self._add("Mul", states, self._add("Unsqueeze", own, self._ints(2)))
        count = self._add("Max", self._add("ReduceSum", own, self._ints(1), keepdims=1), self._number(1.0))  # (B, 1)
        mean = self._add("Div", self._add("ReduceSum", weighted, self._ints(1), keepdims=0), count)
        squares = self._add("ReduceSum", self._add("Mul", mean, mean), self._ints(1), keepdims=1)
        square = self._add("Div", squares, self._number(float(self._config.architecture.hidden_size)))
        return self._add("Div", mean, self._add("Sqrt", self._add("Max", square, self._number(LEAST_SQUARE))))

    # -- the embedding of a text -------------------------------------------------------------------------------------

    def _sentence_embedding(self, states: str, embedding: SentenceEmbedding) -> None:
        """`sentence_embedding.embedded` of hidden states (B, s, H) that are 0 at padding."""
        mask = self._add("Cast", "attention_mask", to=TensorProto.FLOAT)  # (B, s)
        count = self._add("ReduceSum", mask, self._ints(1), keepdims=1)  # (B, 1)
        parts = [self._pooled(name, states, mask, count) for name in embedding.pooling]
        x = self._add("Concat", *parts, axis=1)
        for i, (kind, _) in enumerate(embedding.steps):
            if kind == NORMALIZE:
                length = self._add("Sqrt", self._add("ReduceSum", self._add("Mul", x, x), self._ints(1), keepdims=1))
                x = self._add("Div", x, self._add("Max", length, self._number(1e-12)))
                continue
            transposed = self._keep(f"{TENSORS}{i}.weight.T", self._weights.float32(f"{TENSORS}{i}.weight").T)
            x = self._add("Add", self._add("MatMul", x, transposed), self._weight(f"{TENSORS}{i}.bias"))
            x = self._activated(kind, x)
        self._add("Identity", x, name=SENTENCE)

    def _pooled(self, name: str, states: str, mask: str, count: str) -> str:
        """One vector a text (B, H)."""
        if name == "first":
            return self._add("Gather", states, self._constant(0, np.int64), axis=1)
        if name == "max":
            far = self._add("Mul", self._add("Sub", self._add("Unsqueeze", mask, self._ints(2)), self._number(1.0)),
                            self._number(1e30))  # −1e30 at padding, (B, s, 1)
            kept = self._add("Add", states, far)
            if self._opset >= AXES_AS_INPUT:
                return self._add("ReduceMax", kept, self._ints(1), keepdims=0)
            return self._add("ReduceMax", kept, axes=[1], keepdims=0)
        if name in ("weighted_mean", "last"):
            places = self._add("CumSum", mask, self._constant(1, np.int64))  # 1, 2, 3 …; then the count, at padding
            if name == "last":
                places = self._add("Cast", self._add("Equal", places, count), to=TensorProto.FLOAT)
            weights = self._add("Mul", places, mask)  # (B, s)
            total = self._add("ReduceSum", self._add("Mul", states, self._add("Unsqueeze", weights, self._ints(2))),
                              self._ints(1), keepdims=0)
            return self._add("Div", total, self._add("ReduceSum", weights, self._ints(1), keepdims=1))
        total = self._add("ReduceSum", states, self._ints(1), keepdims=0)
        return self._add("Div", total, count if name == "mean" else self._add("Sqrt", count))

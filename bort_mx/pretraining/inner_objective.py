"""The objective of a distillation that looks inside the teacher: a weighted sum of losses, by sequence.

Dimensions: B sequences, s tokens, M masked positions per sequence, H hidden size, E embedding size.
"""

import collections.abc
import math
import pathlib
from typing import Dict, List, Mapping, Optional, Tuple

import mxnet as mx
import numpy as np

from bort_mx import random
from bort_mx.devices import to_device
from bort_mx.models.bert import BERT
from bort_mx.models.inner_states import InnerStates
from bort_mx.pretraining import losses
from bort_mx.pretraining.options import OF_OUTPUTS
from bort_mx.pretraining.teacher_cache import TeacherCache
from bort_mx.sentence_embedding import NORMALIZE, TENSORS, SentenceEmbedding, embedded
from bort_mx.training.cross_entropy import cross_entropy, distillation_cross_entropy, rows_right
from bort_mx.training.step import Sums

DENSE = f"{TENSORS}0."
"""How the names of the tensors begin that take the student's pooled states to the teacher's embedding size."""


def pairs_of_layers(students: int, teacher_layer: int, every: bool) -> List[Tuple[int, int]]:
    """Layers whose states are compared, as (student's, teacher's): the last, or all at equal distances (TinyBERT).

    Args:
        students: number of the student's layers.
        teacher_layer: the teacher's layer that stands for the student's last.
        every: compare the embeddings (layer 0) and every layer of the student, none of which has the teacher's
            embeddings, also if it has twice as many layers.
    """
    if not every:
        return [(students, teacher_layer)]
    return [(0, 0)] + [(layer, max(1, round(layer * teacher_layer / students))) for layer in range(1, students + 1)]


class InnerObjective:
    """loss = Σ weight · loss, each the mean over sequences of a mean within the sequence.

    Args:
        model: the student, with an MLM head if a loss is of `OF_OUTPUTS`.
        teacher: the teacher, likewise; None if no loss needs it.
        weights: name of a loss (`LOSSES`) → its weight.
        relation_heads: number of relation heads.
        teacher_layer: the teacher's layer for relations, and the one that stands for the student's last.
        every_layer: hidden and attention: compare all layers, not only the last.
        temperature: τ of kd.
        units: the teacher's hidden units that the student starts with (H_S,); the projections then begin with these.
        seed: of the projections' initial weights.
        ctx: the device.

    Attributes:
        parameters: what is learnt beside the model, by name: the projections to the teacher's widths.
        cache: set it to look up the teacher's states.
    """

    def __init__(self, model: BERT, teacher: Optional[BERT], weights: Mapping[str, float], relation_heads: int = 1,
                 teacher_layer: Optional[int] = None, every_layer: bool = False, temperature: float = 2.0,
                 units: Optional[np.ndarray] = None, seed: int = 0, ctx: Optional[mx.Context] = None):
        self._model, self._teacher, self._weights, self._ctx = model, teacher, dict(weights), ctx or mx.cpu()
        self._heads, self._temperature = relation_heads, temperature
        own = model.config.architecture
        theirs = teacher.config.architecture if teacher is not None else own
        self._layer = teacher_layer or theirs.num_layers
        self._pairs = pairs_of_layers(own.num_layers, self._layer, every_layer) if "hidden" in weights else []
        self._scores = [(mine, other) for mine, other in pairs_of_layers(own.num_layers, self._layer, every_layer)
                        if mine] if "attention" in weights else []
        self._asked = (self._layers(own.num_layers, 0, "embeddings" in weights or self._masked),
                       self._layers(theirs.num_layers, 1, "embeddings" in weights or "kd" in weights))
        self._inner = InnerStates(model, *self._asked[0])
        self._teachers = InnerStates(teacher, *self._asked[1]) if teacher is not None else None
        self.cache: Optional[TeacherCache] = None
        self.parameters = self._projections(own.hidden_size, theirs.hidden_size, units, seed)

    @property
    def names(self) -> List[str]:
        """Names of the metrics that an evaluation sums."""
        return [f"{name}_loss" for name in self._weights] + (["mlm_accuracy"] if self._masked else [])

    @property
    def _masked(self) -> bool:
        return any(name in self._weights for name in OF_OUTPUTS)

    def _layers(self, last: int, side: int, at_last: bool) -> Tuple[List[int], List[int]]:
        """The layers to ask a model for: projections, and hidden states. `side` is 0 for the student, 1 the teacher."""
        projected = {pair[side] for pair in self._scores}
        projected |= {(last, self._layer)[side]} if "relations" in self._weights else set()
        hidden = {pair[side] for pair in self._pairs} | ({last} if at_last else set())
        return sorted(projected), sorted(hidden)

    def _projections(self, own: int, theirs: int, units: Optional[np.ndarray],
                     seed: int) -> Dict[str, mx.gluon.Parameter]:
        """Learnt maps from the student's width to the teacher's."""
        shapes = {f"projection.{mine}.weight": (theirs, own) for mine, _ in self._pairs if own != theirs}
        if "embeddings" in self._weights:
            width = embedding_of(self._teacher).size(theirs)
            shapes.update({f"{DENSE}weight": (width, own), f"{DENSE}bias": (width,)})
        made = {}
        for name, shape in shapes.items():
            values = self._model.embedding_tensors.get(name)  # a run that is resumed or continued has them already
            if values is None or values.shape != shape:
                values = _first(name, shape, units, seed)
            made[name] = mx.gluon.Parameter(name, shape=shape, init=mx.init.Zero())
            made[name].initialize(ctx=self._ctx)
            made[name].set_data(mx.nd.array(values))
        if "embeddings" in self._weights:
            self._model.embedding_tensors = _Live({n: p for n, p in made.items() if n.startswith(TENSORS)})
        return made

    def __call__(self, batch, detailed: bool = False) -> Sums:
        """Sums over the sequences of a `bort_mx.data.masking.Batch`, and their number.

        Empty rows do not count; where a loss is at masked positions, nor do those without any.
        """
        ids, lengths = (to_device(a, self._ctx) for a in (batch.input_ids, batch.valid_length))  # (B, s), (B,)
        counted = batch.counted(self._masked)
        rows = to_device(counted, self._ctx)  # (B,)
        mine = self._named(self._asked[0], self._inner(ids, lengths))
        theirs = None
        if self._teachers is not None:
            with mx.autograd.pause(train_mode=False):
                theirs = self._named(self._asked[1], self.cache(batch, ids, lengths) if self.cache is not None
                                     else self._teachers(ids, lengths))
        found = {}
        if self._masked:
            found.update(self._of_outputs(batch, mine, theirs, detailed))
        for name in self._weights:
            if name not in OF_OUTPUTS:
                found[name] = getattr(self, "_" + name)(mine, theirs, lengths)
        metrics = {f"{name}_loss": (found[name] * rows).sum() for name in self._weights}
        loss = sum(weight * metrics[f"{name}_loss"] for name, weight in self._weights.items())
        if "accuracy" in found:
            metrics["mlm_accuracy"] = (found["accuracy"] * rows).sum()
        return Sums(loss, float(counted.sum()), metrics)

    def keep_teacher(self, seq_len: int, gigabytes: float, folder: pathlib.Path, most: int,
                     resumes: bool) -> TeacherCache:
        """Have the teacher's states looked up; see `TeacherCache`."""
        width, asked = self._teacher.config.architecture.hidden_size, self._asked[1]
        widths = [3 * width] * len(asked[0]) + [width] * len(asked[1])
        self.cache = TeacherCache(self._teachers, widths, seq_len, gigabytes, folder, most, resumes)
        return self.cache

    @staticmethod
    def _named(asked, arrays) -> Dict[Tuple[str, int], mx.nd.NDArray]:
        """("projected" or "hidden", layer) → its array."""
        keys = [("projected", layer) for layer in asked[0]] + [("hidden", layer) for layer in asked[1]]
        return dict(zip(keys, arrays))

    def _relations(self, mine, theirs, lengths):
        last = self._model.config.architecture.num_layers
        return losses.relation_loss(mine["projected", last], theirs["projected", self._layer], lengths, self._heads)

    def _attention(self, mine, theirs, lengths):
        heads = self._model.config.architecture.num_heads
        parts = [losses.attention_loss(mine["projected", own], theirs["projected", other], lengths, heads)
                 for own, other in self._scores]
        return sum(parts) / len(parts)

    def _hidden(self, mine, theirs, lengths):
        parts = []
        for own, other in self._pairs:
            states, projection = mine["hidden", own], self.parameters.get(f"projection.{own}.weight")
            if projection is not None:
                states = mx.nd.FullyConnected(states, projection.data(self._ctx), no_bias=True, flatten=False,
                                              num_hidden=projection.shape[0])
            parts.append(losses.hidden_loss(states, theirs["hidden", other], lengths))
        return sum(parts) / len(parts)

    def _embeddings(self, mine, theirs, lengths):
        states = mine["hidden", self._model.config.architecture.num_layers]
        weight, bias = (self.parameters[DENSE + leaf].data(self._ctx) for leaf in ("weight", "bias"))
        pooled = losses.mean_pooled(states, lengths)  # (B, H)
        own = mx.nd.FullyConnected(pooled, weight, bias, num_hidden=weight.shape[0])  # (B, E)
        with mx.autograd.pause():
            of = theirs["hidden", self._teacher.config.architecture.num_layers].asnumpy().swapaxes(0, 1)  # (B, s, H)
            counts = lengths.asnumpy()
            of = of * (np.arange(of.shape[1])[None] < counts[:, None])[:, :, None]  # zero at padding
            target = embedded(embedding_of(self._teacher), self._teacher.embedding_tensors, of, counts)
        return losses.embedding_loss(own, to_device(target, self._ctx))

    def _of_outputs(self, batch, mine, theirs, detailed: bool) -> Dict[str, mx.nd.NDArray]:
        """Losses at the masked positions, and the accuracy there if `detailed`: (B,) each."""
        positions, labels, weights = (to_device(a, self._ctx) for a in (
            batch.masked_positions, batch.labels, batch.weights))  # (B, M)
        shape = batch.labels.shape
        logits = self._logits(self._model, mine, positions)  # (N, V)
        values = {}
        if "mlm" in self._weights:
            values["mlm"] = cross_entropy(logits, labels.reshape(-1))
        if "kd" in self._weights:
            with mx.autograd.pause(train_mode=False):
                target = self._logits(self._teacher, theirs, positions)
            values["kd"] = distillation_cross_entropy(logits, target, self._temperature)
        if detailed:
            values["accuracy"] = rows_right(logits, labels.reshape(-1))
        return {name: losses.sequence_means(value.reshape(shape), weights) for name, value in values.items()}

    @staticmethod
    def _logits(model: BERT, states, positions) -> mx.nd.NDArray:
        """Logits (B·M, V) of a model's head at positions (B, M)."""
        last = states["hidden", model.config.architecture.num_layers]  # (s, B, H)
        B = last.shape[1]
        rows = mx.nd.arange(B, ctx=last.context).reshape((-1, 1))
        numbers = mx.nd.broadcast_add(positions * B, rows).reshape(-1)  # (N,): the row of position and sequence
        return model.decoder(mx.nd.take(last.reshape((-1, last.shape[2])), numbers)).astype("float32", copy=False)


def embedding_of(teacher: BERT) -> SentenceEmbedding:
    """How the teacher embeds a text, as its files say; otherwise the mean of its hidden states [I]."""
    return teacher.config.embedding or SentenceEmbedding(("mean",), ((NORMALIZE, 0),))


def embedding_like(teacher: BERT, max_tokens: int) -> SentenceEmbedding:
    """How a student of `embeddings` embeds: the mean of its states, one dense layer to the teacher's size, length 1.

    What the teacher does to a text before its tokenizer is not done to the text of training, so the student does not do
    it either.
    """
    size = embedding_of(teacher).size(teacher.config.architecture.hidden_size)
    return SentenceEmbedding(("mean",), (("identity", size), (NORMALIZE, 0)), max_tokens)


def left_out_of_texts(teacher: BERT, longest: int) -> List[str]:
    """What the teacher's embedding does to texts and a training on sequences of `longest` tokens does not, in words."""
    theirs = embedding_of(teacher)
    return [*([f"prompt {theirs.prompt!r}"] if theirs.prompt else []),
            *(["lower-casing"] if theirs.lower_case else []),
            *([f"at most {theirs.max_tokens} tokens"] if (theirs.max_tokens or longest) < longest else [])]


def _first(name: str, shape: Tuple[int, ...], units: Optional[np.ndarray], seed: int) -> np.ndarray:
    """First values of a projection (H_T, H_S) or of a dense layer (E, H_S)."""
    if len(shape) == 1:
        return np.zeros(shape)
    if units is not None and len(units) == shape[1]:
        return np.eye(max(shape[0], int(units.max()) + 1))[:shape[0], units]
    return random.generator(seed, "initial " + name).standard_normal(shape) / math.sqrt(shape[1])


class _Live(collections.abc.Mapping):
    """Arrays of parameters as they are now: a checkpoint takes them from here."""

    def __init__(self, parameters: Mapping[str, mx.gluon.Parameter]):
        self._parameters = parameters

    def __getitem__(self, name: str) -> np.ndarray:
        return self._parameters[name].list_data()[0].asnumpy()

    def __iter__(self):
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)

"""Replaced-token detection (Clark et al. 2020, ELECTRA), for those without a teacher.

A small generator with an MLM head fills the masks by drawing from its distribution. The model learns to tell, at every
token, whether it was replaced. Afterwards the generator is not needed: the model is an encoder as any other.

Dimensions: B sequences, s tokens, M masked positions per sequence, V vocabulary size, H hidden size.
"""

import dataclasses
import math
from typing import Dict, List, Optional, Tuple

import mxnet as mx
import numpy as np
from gluonnlp.model.block import GELU
from mxnet.gluon import nn

from bort_mx import random
from bort_mx.devices import to_device
from bort_mx.models.bert import BERT, parameters_of
from bort_mx.models.build import build_from_config
from bort_mx.models.initialization import standard_deviation
from bort_mx.models.inner_states import InnerStates
from bort_mx.pretraining import losses
from bort_mx.training.cross_entropy import cross_entropy
from bort_mx.training.step import Sums

GENERATOR, DETECTOR = "generator.", "detector."
"""How the names of their parameters begin in a checkpoint's states."""


def build_generator(model: BERT, seed: int, ctx: mx.Context) -> BERT:
    """The generator: a quarter of the model's layers and neurons (at least 1), and the model's embeddings themselves.

    [I] The original generator is narrower, with a projection behind the embeddings. Here it has the model's width.
    """
    own = model.config.architecture
    small = dataclasses.replace(own, num_layers=max(1, own.num_layers // 4),
                                intermediate_size=max(1, own.intermediate_size // 4))
    config = model.config.replace(architecture=small, head="mlm", embedding=None)
    generator = build_from_config(config, seed=random.derive_seed(seed, "generator", bits=32), ctx=ctx)
    generator.word_embed = model.word_embed
    if config.token_types:
        generator.token_type_embed = model.token_type_embed
    # The decoder's output layer is tied to the embedding, so it must be that of the model.
    old, new = generator.decoder, generator._mlm_decoder(generator.config, own.hidden_size)
    for before, after in zip(old, new):
        for name, parameter in after._reg_params.items():
            if parameter is not model.word_embed[0].weight:
                parameter.initialize(mx.init.Zero(), ctx=ctx)
                parameter.set_data(before._reg_params[name].list_data()[0])
    generator.decoder = new
    generator.hybridize(static_alloc=True)
    return generator


def replaced_loss(scores: mx.nd.NDArray, replaced: mx.nd.NDArray, kept: mx.nd.NDArray) -> mx.nd.NDArray:
    """Per sequence: mean binary cross-entropy over the tokens that are not padding.

    Inputs, (B, s) each: scores, positive where a token is taken for a replaced one; replaced, 1 or 0; kept, 1 or 0.
    Output: (B,).
    """
    # log(1 + e^x) − y·x, computed so that no exponential overflows.
    values = mx.nd.relu(scores) - scores * replaced + mx.nd.log1p(mx.nd.exp(-mx.nd.abs(scores)))
    return losses.sequence_means(values, kept)


def draw(probabilities: mx.nd.NDArray, uniform: np.ndarray) -> np.ndarray:
    """One id of each distribution, by inverting its cumulative sum.

    MXNet's cumulative sums over a whole vocabulary take long, so that a block of about √V ids is found first.

    Inputs: probabilities (N, V); uniform (N,) in [0, 1). Output: (N,) int64 in [0, V).
    """
    number, size = probabilities.shape
    width = math.isqrt(size - 1) + 1  # with a padding of at least 1, as MXNet has no arrays without columns
    padding = mx.nd.zeros((number, width - size % width), ctx=probabilities.ctx)
    blocks = mx.nd.concat(probabilities, padding, dim=1).reshape((-1, width))
    sums = mx.nd.dot(blocks, mx.nd.ones((width, 1), ctx=probabilities.ctx)).asnumpy().reshape(number, -1)
    block, rest = _first_above(sums, uniform * sums.sum(axis=1))
    rows = mx.nd.array(np.arange(number) * sums.shape[1] + block, ctx=probabilities.ctx, dtype="int32")
    place, _ = _first_above(blocks.take(rows).asnumpy(), rest)
    return block * width + place


def _first_above(shares: np.ndarray, level: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Where the cumulative sum of shares (N, K) passes a level (N,), by row, and what of the level is left there.

    Never a share of 0, whatever the sums are rounded to.
    """
    sums, last = np.cumsum(shares, axis=1), shares.shape[1] - 1 - (shares[:, ::-1] > 0).argmax(axis=1)
    found = np.minimum((sums <= level[:, None]).sum(axis=1), last)
    rows = np.arange(len(level))
    return found, level - sums[rows, found] + shares[rows, found]


class ReplacedTokens:
    """loss = MLM of the generator + weight · `replaced_loss`, each the mean over sequences.

    Args:
        model: the model that detects; no head.
        generator: see `build_generator`.
        weight: of the detection; the original's is 50.
        seed: of the detector's initial weights.
        ctx: the device.

    Attributes:
        parameters: those of the generator, except the shared ones, and of the detector, by name.
    """

    def __init__(self, model: BERT, generator: BERT, weight: float = 50.0, seed: int = 0,
                 ctx: Optional[mx.Context] = None):
        self._generator, self._weight, self._ctx = generator, weight, ctx or mx.cpu()
        own = model.config.architecture
        self._layers = own.num_layers
        self._inner = InnerStates(model, (), [own.num_layers])
        self._detector = nn.HybridSequential(prefix="detector_")
        self._detector.add(nn.Dense(own.hidden_size, in_units=own.hidden_size, flatten=False), GELU(),
                           nn.Dense(1, in_units=own.hidden_size, flatten=False))
        self._detector.initialize(mx.init.Zero(), ctx=self._ctx)
        self._detector.hybridize()
        detecting = {DETECTOR + name: p for name, p in self._detector._collect_params_with_prefix().items()}
        for name, parameter in detecting.items():
            if name.endswith("weight"):
                rng = random.generator(seed, "initial " + name)
                parameter.set_data(mx.nd.array(rng.standard_normal(parameter.shape) * standard_deviation(
                    own.hidden_size)))
        shared = {id(p) for p in parameters_of(model).values()}
        generating = {GENERATOR + name: p for name, p in parameters_of(generator).items() if id(p) not in shared}
        self.parameters: Dict[str, mx.gluon.Parameter] = {**generating, **detecting}

    @property
    def names(self) -> List[str]:
        """Names of the metrics that an evaluation sums."""
        return ["generator_loss", "replaced_loss", "replaced_accuracy"]

    def __call__(self, batch, detailed: bool = False) -> Sums:
        """Sums over the sequences of a `bort_mx.data.masking.Batch`, and their number.

        Empty rows do not count, nor those in which nothing is masked.

        What the generator draws follows from the batch's `draws`, so that it does not depend on how a step's sequences
        are shared among micro-batches and workers.
        """
        ids, lengths, positions, labels, weights = (to_device(a, self._ctx) for a in (
            batch.input_ids, batch.valid_length, batch.masked_positions, batch.labels, batch.weights))
        counted = batch.counted(masked=True)
        rows = to_device(counted, self._ctx)  # (B,)
        logits = self._generator(ids, lengths, positions).astype("float32", copy=False)  # (B, M, V)
        generator = losses.sequence_means(cross_entropy(logits, labels), weights)
        with mx.autograd.pause():
            filled, replaced, kept = self._fill(batch, mx.nd.softmax(logits.reshape((-1, logits.shape[-1])), axis=-1))
        states, = self._inner(filled, lengths)  # (s, B, H)
        scores = self._detector(states).reshape((0, -1)).transpose()  # (B, s)
        detector = replaced_loss(scores, replaced, kept)
        metrics = {"generator_loss": (generator * rows).sum(), "replaced_loss": (detector * rows).sum()}
        if detailed:
            with mx.autograd.pause():
                right = losses.sequence_means((scores > 0) == replaced, kept)
                metrics["replaced_accuracy"] = (right * rows).sum()
        loss = metrics["generator_loss"] + self._weight * metrics["replaced_loss"]
        return Sums(loss, float(counted.sum()), metrics)

    def _fill(self, batch, probabilities: mx.nd.NDArray):
        """The sequences with what the generator draws at masked positions, where it differs, and what is no padding.

        A drawn token that is the original one counts as original.
        """
        drawn = draw(probabilities, batch.draws.reshape(-1)).reshape(batch.labels.shape)  # (B, M)
        places = batch.weights > 0
        number = np.nonzero(places)[0]
        filled = batch.input_ids.copy()
        filled[number, batch.masked_positions[places]] = drawn[places]
        replaced = np.zeros(filled.shape, np.float32)
        replaced[number, batch.masked_positions[places]] = drawn[places] != batch.labels[places]
        kept = np.arange(filled.shape[1])[None] < batch.valid_length[:, None]
        return (to_device(a, self._ctx) for a in (filled, replaced, kept))

"""Initial weights as functions of (seed, parameter name).

They depend neither on MXNet's generators nor on the order in which parameters are built. In this file and elsewhere in
this room, [I] marks our interpretation where the paper does not say.
"""

import math
from typing import Iterable, Optional

import mxnet as mx
import numpy as np

from bort_mx import random
from bort_mx.models.bert import parameters_of


def standard_deviation(hidden_size: int) -> float:
    """Standard deviation of the initial weights: 0.02·√(768/H), and 0.02 (as in BERT and RoBERTa) for H ≥ 768.

    [I] The paper does not state it. With 0.02 at a small H, a layer's output is much smaller than its residual, and a
    small model predicts little more than word frequencies for hundreds of steps. With this scaling, attention scores
    and logits start with the same spread as those of BERT-base.
    """
    return 0.02 * math.sqrt(max(1.0, 768 / hidden_size))


def initialize(model, seed: int, names: Optional[Iterable[str]] = None) -> None:
    """Set weights to N(0, `standard_deviation`²), biases to 0, LayerNorm to 1 and 0, the classifier to U(−½, ½) (§5.1).

    Args:
        model: a `BERT` whose parameters have memory.
        seed: the run's seed.
        names: the parameters to set, for example those missing in a checkpoint; default: all.
    """

    deviation = standard_deviation(model.config.architecture.hidden_size)
    wanted = None if names is None else set(names)
    for name, parameter in parameters_of(model).items():
        if wanted is None or name in wanted:
            parameter.set_data(mx.nd.array(_values(name, parameter.shape, seed, deviation), dtype=parameter.dtype))


def _values(name: str, shape, seed: int, deviation: float) -> np.ndarray:
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "gamma":
        return np.ones(shape, np.float32)
    if leaf in ("bias", "beta"):
        return np.zeros(shape, np.float32)
    rng = random.generator(seed, "initial " + name)
    if name.startswith("classifier."):
        return rng.uniform(-0.5, 0.5, shape).astype(np.float32)
    return rng.standard_normal(shape, np.float32) * np.float32(deviation)

"""Table 1's protocol of inference speed (paper §3.3): one element of s tokens, batch 1, the mean over many trials.

[P] "a single element of length s = 512 drawn randomly from a dataset; and averaged across 6,250 trials", on a CPU.
[I] The element is drawn once, so that all architectures and trials get the same. Of packed sequences, which may be
shorter than s, as many are put together as give s tokens. The architectures take turns, so that other work on the
machine slows all of them alike.
"""

import time
from typing import Dict, List, NamedTuple, Optional, Sequence

import mxnet as mx
import numpy as np

from bort_mx import random
from bort_mx.architecture import Architecture
from bort_mx.data.packing import PackedSequences
from bort_mx.data.shards import TokenShards
from bort_mx.devices import to_device
from bort_mx.errors import InputError
from bort_mx.models.build import build_from_config
from bort_mx.models.config import ModelConfig
from bort_mx.search.surrogates import UNTIMED_PASSES


class Timed(NamedTuple):
    """Seconds of an architecture's trials."""

    architecture: Architecture
    seconds: np.ndarray
    """(trials,)."""

    def summary(self) -> Dict[str, float]:
        """Mean, as in the paper; the median and quartiles tell how steady the machine was."""
        quarter, median, three_quarters = np.percentile(self.seconds, [25, 50, 75])
        return {"mean_s": float(self.seconds.mean()), "median_s": float(median), "quartile_1_s": float(quarter),
                "quartile_3_s": float(three_quarters)}


def draw_element(data: Optional[str], length: int, seed: int, vocab_size: int) -> np.ndarray:
    """An element of s tokens, (1, s): drawn from prepared data, or random ids.

    Args:
        data: a folder of prepared data; None for random ids.
        length: s.
        seed: of the draw.
        vocab_size: V, for random ids.
    Raises:
        InputError: no such data, or they have fewer than s tokens.
    """
    rng = random.generator(seed, "latency element")
    if data is None:
        return rng.integers(0, vocab_size, (1, length))
    shards = TokenShards(data, "train")
    tokenizer = shards.tokenizer()
    packed = PackedSequences(shards, length, tokenizer.bos_id, tokenizer.eos_id)
    start, ids = int(rng.integers(len(packed))), np.zeros(0, np.int64)
    for k in range(len(packed)):
        if len(ids) >= length:
            break
        ids = np.concatenate([ids, packed[(start + k) % len(packed)]])
    if len(ids) < length:
        raise InputError(f"--data {data}: its training split has {len(ids)} tokens; an element needs {length}: give "
                         "more text, or a smaller --seq-len")
    return ids[np.newaxis, :length]


def time_trials(architectures: Sequence[Architecture], element: np.ndarray, vocab_size: int, trials: int,
                ctx: mx.Context) -> List[Timed]:
    """Time the forward pass of embedding and encoder, `trials` times each, after two untimed passes.

    Args:
        architectures: with random weights, as values do not change the time.
        element: (1, s) ids below `vocab_size`.
        vocab_size: V.
        trials: timed passes of each architecture.
        ctx: the device.
    """
    models = [build_from_config(ModelConfig(architecture, vocab_size, "encoder", num_positions=element.shape[1]),
                                seed=0, ctx=ctx, gradients=False) for architecture in architectures]
    ids = to_device(element, ctx)
    seconds = np.zeros((trials, len(models)))
    for trial in range(-UNTIMED_PASSES, trials):
        for number, model in enumerate(models):
            mx.nd.waitall()
            start = time.perf_counter()
            model(ids).wait_to_read()
            if trial >= 0:
                seconds[trial, number] = time.perf_counter() - start
    return [Timed(architecture, seconds[:, number]) for number, architecture in enumerate(architectures)]

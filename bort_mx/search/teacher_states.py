"""The teacher's share of a search: one forward pass a batch, whatever the number of candidates.

Kept are T's last hidden states at the masked positions, H values each, not its V logits; T's head is applied to them
anew for every candidate.

Dimensions: K micro-batches, B sequences in one, s tokens, M masked positions a sequence, H hidden size of T, V
vocabulary.
"""

import dataclasses
import os
import pathlib
import shutil
from typing import List, Optional, Sequence

import mxnet as mx
import numpy as np
from mxnet.gluon import nn

from bort_mx.data.masking import Batch, MaskedBatches
from bort_mx.devices import to_device
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.models.bert import BERT
from bort_mx.progress import Progress

FILE = "teacher_states.npy"


@dataclasses.dataclass(frozen=True)
class NumberedBatch:
    """A micro-batch, and where T's states for it are kept."""

    index: int
    """From 0, over training and evaluation."""
    batch: Batch
    """(B, s) ids and what is masked in them."""


@dataclasses.dataclass(frozen=True)
class SearchBatches:
    """The sequences of a search, the same for every candidate."""

    training: List[List[NumberedBatch]]
    """For each of the n steps, the micro-batches of its batch."""
    evaluation: List[NumberedBatch]
    """The evaluation lines; rows beyond the last have weight 0."""
    lines: int
    """Number of evaluation lines."""

    @classmethod
    def draw(cls, training: MaskedBatches, validation: MaskedBatches, steps: int, batch_size: int, micro: int,
             lines: int) -> "SearchBatches":
        """The first `steps` batches of training, in micro-batches of `micro` sequences, and the evaluation lines.

        A validation split of fewer sequences gives them all; `lines` of the result says how many.
        """
        per_step = batch_size // micro
        drawn = [[NumberedBatch(step * per_step + i, training.at(step, batch_size, i, per_step))
                  for i in range(per_step)] for step in range(steps)]
        held_out = [NumberedBatch(steps * per_step + i, batch)
                    for i, batch in enumerate(validation.evaluation(micro, limit=lines))]
        return cls(drawn, held_out, min(lines, len(validation)))

    @property
    def all(self) -> List[NumberedBatch]:
        """Every micro-batch, in the order of the indices."""
        return [*(batch for step in self.training for batch in step), *self.evaluation]


class TeacherStates:
    """T's hidden states and its head.

    Args:
        states: (K, B, M, H) float32, in memory or memory-mapped.
        head: T's MLM head, (N, H) → (N, V).
        ctx: the device.
        passes: forward passes of T that were made for it, over all workers.
    """

    def __init__(self, states: np.ndarray, head, ctx: mx.Context, passes: int):
        self._states, self._head, self._ctx, self.passes = states, head, ctx, passes

    def logits(self, index: int) -> mx.nd.NDArray:
        """T's logits (B·M, V) at the masked positions of a micro-batch, constants to the gradient."""
        states = to_device(self._states[index].reshape(-1, self._states.shape[-1]), self._ctx)  # (B·M, H)
        with mx.autograd.pause(train_mode=False):
            return self._head(states)


def states_shape(batches: SearchBatches, hidden_size: int) -> tuple:
    """(K, B, M, H) of the states of all batches."""
    return (len(batches.all), *batches.evaluation[0].batch.masked_positions.shape, hidden_size)


def place_of_states(shape: Sequence[int], directory: os.PathLike, limit: int,
                    workers: Workers) -> Optional[pathlib.Path]:
    """Where the states are to be kept: None for memory, which one worker uses up to `limit` bytes; else a file.

    Several workers always share a file: each makes its part of it. It lies in the output directory, which they share.

    Raises:
        InputError: the disk has no room for it.
    """
    size = _bytes(shape)
    if workers.size == 1 and size <= limit:
        return None
    path = pathlib.Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path).free
    if size > free:
        raise InputError(f"{path}: T's hidden states need {size / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free; "
                         "take fewer --evaluation-lines, --steps or a smaller --batch-size, or another --output-dir")
    return path / FILE


def describe_states(shape: Sequence[int], path: Optional[pathlib.Path]) -> str:
    """The stated size: what is kept, how large it is and where."""
    K, B, M, H = shape
    where = "in memory" if path is None else f"in {path}"
    return (f"T's hidden states: {K} forward passes of {B} sequences, {M} masked positions each, {H} values: "
            f"{_bytes(shape) / 1e6:,.1f} MB {where}")


def run_teacher(teacher: BERT, batches: SearchBatches, path: Optional[pathlib.Path], workers: Workers,
                ctx: mx.Context) -> TeacherStates:
    """Run T once on every micro-batch, each worker on its share of them.

    Args:
        teacher: T with its MLM head; its encoder can be released afterwards, the result keeps the head alone.
        batches: all that the search will use.
        path: see `place_of_states`.
        workers: those that share the passes.
        ctx: the device.
    """
    shape = states_shape(batches, teacher.config.architecture.hidden_size)
    states = _allocate(shape, path, workers)
    headless = _without_decoder(teacher)
    mine = batches.all[workers.rank::workers.size]
    with Progress(len(mine), "teacher", "pass", workers.is_first) as progress:
        for numbered in mine:
            states[numbered.index] = masked_states(headless, numbered.batch, ctx)
            progress.update()
    if path is not None:
        states.flush()
    passes = sum(workers.gather(len(mine), "search.teacher passes"))  # and nobody reads before all have written
    return TeacherStates(states, teacher.decoder, ctx, passes)


def masked_states(headless: BERT, batch: Batch, ctx: mx.Context) -> np.ndarray:
    """Last hidden states (B, M, H) at the masked positions of a batch."""
    ids, lengths, positions = (to_device(a, ctx) for a in (
        batch.input_ids, batch.valid_length, batch.masked_positions))
    return headless(ids, lengths, positions).asnumpy()


def _without_decoder(teacher: BERT) -> BERT:
    """T on the same weights, which need no gradients, with its states at the masked positions for output."""
    states = BERT(teacher.config, prefix=teacher.prefix, params=teacher.collect_params())
    states.decoder = nn.HybridSequential(prefix="decoder_")
    teacher.collect_params().setattr("grad_req", "null")  # frees the gradients' memory
    states.hybridize(static_alloc=True)
    return states


def _allocate(shape: Sequence[int], path: Optional[pathlib.Path], workers: Workers) -> np.ndarray:
    """The array to fill: worker 0 makes the file, the others open it."""
    if path is None:
        return np.empty(shape, np.float32)
    made = np.lib.format.open_memmap(path, "w+", np.float32, tuple(shape)) if workers.is_first else None
    workers.gather(None, "search.teacher file")
    return made if made is not None else np.lib.format.open_memmap(path, "r+")


def _bytes(shape: Sequence[int]) -> int:
    return 4 * int(np.prod(shape, dtype=np.int64))

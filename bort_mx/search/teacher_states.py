"""The teacher T's part in a search: one forward pass per batch, for any number of candidates.

T's last hidden states at the masked positions are stored. These are H values per position, far fewer than the V logits.
For every candidate, T's head computes the logits again from the stored states.

Dimensions: K micro-batches, B sequences in each, s tokens, M masked positions per sequence, N = B·M, H hidden size of
T, V vocabulary size.
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
from bort_mx.io.array_file import new_array
from bort_mx.models.bert import BERT
from bort_mx.progress import Progress

FILE = "teacher_states.npy"


@dataclasses.dataclass(frozen=True)
class NumberedBatch:
    """A micro-batch, and the index under which T's states for it are stored."""

    index: int
    """Counts from 0, over training and evaluation."""
    batch: Batch
    """Token ids (B, s) and their masked positions."""


@dataclasses.dataclass(frozen=True)
class SearchBatches:
    """The sequences used in a search. They are the same for every candidate."""

    training: List[List[NumberedBatch]]
    """For each of the n steps, the micro-batches of its batch."""
    evaluation: List[NumberedBatch]
    """The micro-batches of the evaluation lines. Rows after the last line have weight 0."""
    lines: int
    """Number of evaluation lines (sequences)."""

    @classmethod
    def draw(cls, training: MaskedBatches, validation: MaskedBatches, steps: int, batch_size: int, micro: int,
             lines: int) -> "SearchBatches":
        """Take the first `steps` batches of training, in micro-batches of `micro` sequences, and the evaluation lines.

        If the validation split has fewer sequences, all are used; `lines` of the result is their number.
        """
        per_step = batch_size // micro
        drawn = [[NumberedBatch(step * per_step + i, training.at(step, batch_size, i, per_step))
                  for i in range(per_step)] for step in range(steps)]
        # Evaluation continues the numbering, so that one array can hold the states of both.
        held_out = [NumberedBatch(steps * per_step + i, batch)
                    for i, batch in enumerate(validation.evaluation(micro, limit=lines))]
        return cls(drawn, held_out, min(lines, len(validation)))

    @property
    def all(self) -> List[NumberedBatch]:
        """All micro-batches, in the order of their indices."""
        return [*(batch for step in self.training for batch in step), *self.evaluation]


class TeacherStates:
    """T's stored hidden states, and its head.

    Args:
        states: (K, B, M, H) float32, in memory or memory-mapped.
        head: T's MLM head, (N, H) → (N, V).
        ctx: the device.
        passes: number of forward passes of T, over all workers.
    """

    def __init__(self, states: np.ndarray, head, ctx: mx.Context, passes: int):
        self._states, self._head, self._ctx, self.passes = states, head, ctx, passes

    def logits(self, index: int) -> mx.nd.NDArray:
        """T's logits (N, V) at the masked positions of a micro-batch. No gradient flows into them."""
        states = to_device(self._states[index].reshape(-1, self._states.shape[-1]), self._ctx)  # (N, H)
        with mx.autograd.pause(train_mode=False):
            return self._head(states)


def states_shape(batches: SearchBatches, hidden_size: int) -> tuple:
    """The shape (K, B, M, H) of all batches' states."""
    return (len(batches.all), *batches.evaluation[0].batch.masked_positions.shape, hidden_size)


def place_of_states(shape: Sequence[int], directory: os.PathLike, limit: int,
                    workers: Workers) -> Optional[pathlib.Path]:
    """Where to store the states: None for memory, otherwise a file in the output directory.

    One worker alone uses memory if the states need at most `limit` bytes. Several workers always share a file, because
    each writes a part of it.

    Raises:
        InputError: the disk has not enough free space.
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
    """One line for the user: what is stored, its size and its place."""
    K, B, M, H = shape
    where = "in memory" if path is None else f"in {path}"
    return (f"T's hidden states: {K} forward passes of {B} sequences, {M} masked positions each, {H} values: "
            f"{_bytes(shape) / 1e6:,.1f} MB {where}")


def run_teacher(teacher: BERT, batches: SearchBatches, path: Optional[pathlib.Path], workers: Workers,
                ctx: mx.Context) -> TeacherStates:
    """Run T once on every micro-batch; the workers share the batches.

    Args:
        teacher: T with its MLM head. Its encoder may be released afterwards; the result needs the head only.
        batches: all batches of the search.
        path: see `place_of_states`.
        workers: the workers that share the passes.
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
    # This also waits: no worker may read before all have written.
    passes = sum(workers.gather(len(mine), "search.teacher passes"))
    return TeacherStates(states, teacher.decoder, ctx, passes)


def masked_states(headless: BERT, batch: Batch, ctx: mx.Context) -> np.ndarray:
    """T's last hidden states (B, M, H) at the masked positions of a batch."""
    ids, lengths, positions = (to_device(a, ctx) for a in (
        batch.input_ids, batch.valid_length, batch.masked_positions))
    return headless(ids, lengths, positions).asnumpy()


def _without_decoder(teacher: BERT) -> BERT:
    """T with the same weights, but without its head: the output is the hidden states at the masked positions."""
    states = BERT(teacher.config, prefix=teacher.prefix, params=teacher.collect_params())
    # An empty decoder returns its input.
    states.decoder = nn.HybridSequential(prefix="decoder_")
    teacher.collect_params().setattr("grad_req", "null")  # frees the gradients' memory
    states.hybridize(static_alloc=True)
    return states


def _allocate(shape: Sequence[int], path: Optional[pathlib.Path], workers: Workers) -> np.ndarray:
    """Allocate the array of states. Worker 0 creates the file; the others open it.

    Raises:
        OSError: the disk is full.
    """
    if path is None:
        return np.empty(shape, np.float32)
    made = new_array(path, shape) if workers.is_first else None
    workers.wait("search.teacher file")  # the others wait until the file exists
    return made if made is not None else np.lib.format.open_memmap(path, "r+")


def _bytes(shape: Sequence[int]) -> int:
    return 4 * int(np.prod(shape, dtype=np.int64))  # float32 has 4 bytes

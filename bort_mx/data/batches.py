"""Training and evaluation batches of encoded examples: of similar length together, padded to their longest.

Every batch is a function of (seed, step, rank), so a resumed run and any number of workers see the same ones.

Dimensions: N examples, B examples of a micro-batch, s tokens of its longest.
"""

import dataclasses
import functools
from typing import Iterator, List, Sequence

import numpy as np

from bort_mx import random
from bort_mx.data.encoding import EncodedExamples

CHUNK = 50
"""So many batches' worth of shuffled examples are sorted by length together."""
NOBODY = -1
"""In place of an example, where the last batch of an epoch is not full."""


@dataclasses.dataclass
class TextBatch:
    """Some examples, padded."""

    input_ids: np.ndarray
    """(B, s)."""
    valid_length: np.ndarray
    """(B,) tokens of each."""
    token_types: np.ndarray
    """(B, s)."""
    targets: np.ndarray
    """(B,) label indices, or numbers in a regression."""
    weights: np.ndarray
    """(B,) 1, or 0 for a row that only fills the batch."""
    rows: np.ndarray
    """(B,) which examples these are; `NOBODY` for a filling row."""

    @property
    def num_tokens(self) -> int:
        """Tokens, padding and filling rows not counted."""
        return int((self.valid_length * self.weights).sum())


class Batches:
    """Batches of a set of examples.

    Args:
        encoded: N examples.
        targets: (N,); see `TextBatch`.
        pad_id: fills up the shorter ones.
    """

    def __init__(self, encoded: EncodedExamples, targets: Sequence[float], pad_id: int):
        self._encoded, self._pad_id = encoded, pad_id
        self._targets = np.asarray(targets, np.float32)
        self._lengths = np.array([len(ids) for ids in encoded.ids])

    def __len__(self) -> int:
        return len(self._lengths)

    def make(self, rows: np.ndarray) -> TextBatch:
        """The examples `rows` (B,) as one micro-batch; `NOBODY` becomes a row of weight 0."""
        members = np.where(rows == NOBODY, 0, rows)
        lengths = np.where(rows == NOBODY, 1, self._lengths[members])
        ids = np.full((len(rows), lengths.max()), self._pad_id, np.int32)
        types = np.zeros_like(ids)
        for row, (example, length) in enumerate(zip(members, lengths)):
            ids[row, :length] = self._encoded.ids[example][:length]
            types[row, :length] = self._encoded.token_types[example][:length]
        return TextBatch(ids, lengths, types, self._targets[members], (rows != NOBODY).astype(np.float32), rows)

    def tokens(self) -> np.ndarray:
        """The distinct ids that a batch may hold, ascending."""
        found = {self._pad_id}
        for ids in self._encoded.ids:
            found.update(ids)
        return np.array(sorted(found), np.int32)

    def evaluation(self, size: int, rank: int = 0, workers: int = 1) -> Iterator[TextBatch]:
        """A worker's batches of a pass over all examples, at most `size` at a time, the longest first."""
        size = max(1, min(size, len(self)))  # not by the workers: scores are the same bits for any number of them
        order = filled(np.argsort(-self._lengths, kind="stable"), size)
        for begin in range(rank * size, len(order), workers * size):
            yield self.make(order[begin:begin + size])


class TrainingBatches(Batches):
    """Batches of epochs, each in another order.

    Args:
        encoded, targets, pad_id: see `Batches`.
        batch_size: of the global batch.
        seed: of the order.
        group_by_length: sort chunks of the shuffled examples by length, then shuffle the batches.
    """

    def __init__(self, encoded: EncodedExamples, targets: Sequence[float], pad_id: int, batch_size: int, seed: int,
                 group_by_length: bool = True):
        super().__init__(encoded, targets, pad_id)
        self._batch_size, self._seed, self._grouped = batch_size, seed, group_by_length
        self._epoch = functools.lru_cache(maxsize=1)(self._order)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch; the last one made may be smaller."""
        return -(-len(self) // self._batch_size)

    def at(self, step: int, rank: int, workers: int, micro: int) -> List[TextBatch]:
        """A worker's micro-batches at a step (from 0): at least one, with at most `micro` rows each.

        A micro-batch of filling rows alone is left out, unless the worker has no other.
        """
        epoch, number = divmod(step, self.steps_per_epoch)
        share = min(self._batch_size // workers, -(-len(self) // workers))  # of a batch larger than the set, the set's
        rows = filled(self._epoch(epoch)[number], share * workers)[rank * share:(rank + 1) * share]
        parts = [rows[i:i + micro] for i in range(0, share, micro)]
        return [self.make(part) for part in parts if (part != NOBODY).any()] or [self.make(parts[0])]

    def _order(self, epoch: int) -> List[np.ndarray]:
        """The examples of each batch of an epoch."""
        rng = random.generator(self._seed, "order of examples", epoch)
        shuffled = rng.permutation(len(self))
        if not self._grouped:
            return _cut(shuffled, self._batch_size)
        return batches_of_similar_length(shuffled, self._lengths, self._batch_size, rng)


def batches_of_similar_length(shuffled: np.ndarray, lengths: np.ndarray, batch_size: int,
                              rng: np.random.Generator) -> List[np.ndarray]:
    """Sort chunks of a random order by length, cut them into batches, and shuffle these.

    Args:
        shuffled: (N,) numbers of examples.
        lengths: (N,) tokens of each example.
    """
    chunks = _cut(shuffled, CHUNK * batch_size)
    batches = [batch for chunk in chunks
               for batch in _cut(chunk[np.argsort(lengths[chunk], kind="stable")], batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def filled(rows: np.ndarray, size: int) -> np.ndarray:
    """Rows with `NOBODY` added up to a multiple of `size`."""
    return np.concatenate([rows, np.full(-len(rows) % size, NOBODY, rows.dtype)])


def _cut(rows: np.ndarray, size: int) -> List[np.ndarray]:
    return [rows[i:i + size] for i in range(0, len(rows), size)]

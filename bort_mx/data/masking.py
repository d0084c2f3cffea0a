"""Dynamic masking (paper section 4, after BERT and RoBERTa) and batches as a function of the step.

Nothing here has state that a resumed run would have to restore: which sequences a step takes, in which order, and what
is masked in them follow from (seed, step) by arithmetic and keyed random numbers.

B batch   s sequence length   M most masked positions in a sequence   V vocabulary   n a sequence's tokens
"""

import dataclasses
import math
from typing import Dict, Iterable, Iterator, Optional, Tuple

import numpy as np

from bort_mx.data.batches import batches_of_similar_length
from bort_mx.data.packing import PackedSequences
from bort_mx.data.shards import TokenShards
from bort_mx.data.tokenizers import Tokenizer
from bort_mx.errors import InputError
from bort_mx.random import generator

ROUND = 8
"""Batches of sequences that are not packed have a multiple of this length (or s), as every other is compiled anew."""
MASKED, REPLACED = 0.8, 0.1  # of the chosen tokens; the remaining tenth stays as it is


class MaskingVocabulary:
    """What masking needs to know about a vocabulary.

    Args:
        vocab_size: V.
        mask_id: what a masked token becomes.
        special_ids: ids that are never masked and never drawn as a random replacement.

    Attributes:
        maskable: (V,) bool.
        ordinary: the ids that are not special.
    """

    def __init__(self, vocab_size: int, mask_id: int, special_ids: Iterable[int]):
        self.vocab_size, self.mask_id = vocab_size, mask_id
        self.maskable = np.ones(vocab_size, bool)
        self.maskable[sorted(special_ids)] = False
        self.ordinary = np.flatnonzero(self.maskable).astype(np.int32)

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "MaskingVocabulary":
        """The one of a tokenizer."""
        return cls(tokenizer.vocab_size, tokenizer.mask_id, tokenizer.special_ids)


def max_masked(seq_len: int, probability: float = 0.15) -> int:
    """M: the most masked positions in a sequence of `seq_len` ids, of which at least two are special."""
    return max(1, math.ceil(round(probability * (seq_len - 2), 9)))


def mask_tokens(ids: np.ndarray, rng: np.random.Generator, vocabulary: MaskingVocabulary,
                probability: float = 0.15, least: int = 0) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mask a sequence: choose 15 % of its ordinary tokens. 80 % of these become the mask.

    Another 10 % become a random token, and the remaining 10 % stay.

    [I] The number chosen is probability * (maskable tokens), rounded up or down at random so that its mean is exact.
    The share of the sequence is thus steady, and bounded by `max_masked`, which gives batches one static shape.

    Args:
        ids: (n,) a sequence with its special tokens; not changed.
        rng: where the randomness comes from; the same state gives the same mask.
        vocabulary: which ids are special, and the mask's id.
        probability: the share to choose.
        least: choose so many at least, where there are as many.

    Returns:
        masked ids (n,) int32; the chosen positions (m,) int32, ascending; the original ids there (m,) int32.
    """
    masked = np.array(ids, np.int32)
    candidates = np.flatnonzero(vocabulary.maskable[masked])
    expected = round(probability * len(candidates), 9)
    chosen = max(min(int(expected + rng.random()), math.ceil(expected)), min(least, len(candidates)))
    draws = rng.random(len(candidates))
    picked = np.argpartition(draws, chosen - 1)[:chosen] if chosen else np.empty(0, np.int64)
    positions = np.sort(candidates[picked])
    labels = masked[positions]
    action = rng.random(chosen)
    replacement = vocabulary.ordinary[rng.integers(0, len(vocabulary.ordinary), chosen)]
    masked[positions] = np.where(action < MASKED, vocabulary.mask_id,
                                 np.where(action < MASKED + REPLACED, replacement, labels))
    return masked, positions.astype(np.int32), labels


@dataclasses.dataclass
class Batch:
    """Masked sequences in arrays. Packed ones have the same shape in all batches; others are as long as is needed."""

    input_ids: np.ndarray
    """(B, s) int32, padded with the pad id."""
    valid_length: np.ndarray
    """(B,) int32, ids that are not padding; at least 1."""
    masked_positions: np.ndarray
    """(B, M) int32, ascending, 0 where there is none."""
    labels: np.ndarray
    """(B, M) int32, the original ids at the masked positions, 0 where there is none."""
    weights: np.ndarray
    """(B, M) float32, 1 for a masked position, 0 where there is none."""
    numbers: Optional[np.ndarray] = None
    """(B,) int64, which of the training sequences these are; -1 for others, None if it is not known."""
    draws: Optional[np.ndarray] = None
    """(B, M) float32, uniform in [0, 1), by which a generator draws a token there (`pretraining.replaced_tokens`): a
    function of the sequence and its mask, whoever computes it. None if it is not known."""

    @property
    def num_tokens(self) -> int:
        """Ids that are not padding."""
        return int(self.valid_length.sum())

    def counted(self, masked: bool) -> np.ndarray:
        """(B,) bool: rows that hold a sequence; if `masked`, one in which a position is masked."""
        rows = self.valid_length > 1  # an empty row has one token
        return rows & (self.weights.sum(axis=1) > 0) if masked else rows


class MaskedBatches:
    """Batches of masked sequences, by step number.

    Every epoch goes through all sequences in an order of its own, and masks them anew. Sample number k (step *
    batch_size + j) is the (k mod q)-th of epoch k // q, so batches run on across the end of an epoch and no sequence
    is left out.

    Args:
        shards: a split of prepared text.
        tokenizer: its vocabulary.
        seq_len: s.
        seed: the run's seed.
        probability: share of the tokens to mask.
        packed: see `PackedSequences`. If not, sequences of similar length come together, batches are as long as their
            longest sequence, rounded up to `ROUND`, and at least one token is masked if any is to be, as in BERT.

    Raises:
        InputError: the text was prepared with another vocabulary.
    """

    def __init__(self, shards: TokenShards, tokenizer: Tokenizer, seq_len: int, seed: int, probability: float = 0.15,
                 packed: bool = True):
        prepared = shards.manifest["vocabulary"]
        if prepared["sha256"] != tokenizer.digest:
            raise InputError(f"{shards.directory}: the text was prepared with another vocabulary ({prepared['kind']}, "
                             f"{prepared['size']} tokens) than the one given ({tokenizer.kind}, {tokenizer.vocab_size} "
                             "tokens); prepare it again with --tokenizer, or give the vocabulary it was prepared with")
        self.sequences = PackedSequences(shards, seq_len, tokenizer.bos_id, tokenizer.eos_id, packed)
        self.vocabulary = MaskingVocabulary.of(tokenizer)
        self.pad_id, self.bos_id = tokenizer.pad_id, tokenizer.bos_id
        self.seq_len, self.seed, self.probability, self.packed = seq_len, seed, probability, packed
        self.max_masked = max_masked(seq_len, probability)
        self._orders: Dict[Tuple[int, int], np.ndarray] = {}
        self._limit: Optional[int] = None

    def __len__(self) -> int:
        return len(self.sequences) if self._limit is None else min(self._limit, len(self.sequences))

    def restrict(self, limit: int) -> None:
        """From now on, take only the first `limit` sequences of the text."""
        self._limit = limit
        self._orders.clear()

    def epoch_of(self, step: int, batch_size: int) -> int:
        """The epoch that the first sample of a step belongs to."""
        return step * batch_size // len(self)

    def at(self, step: int, batch_size: int, rank: int = 0, size: int = 1) -> Batch:
        """A rank's share of the global batch of a step.

        Args:
            step: from 0.
            batch_size: sequences in the global batch.
            rank, size: this worker and the number of workers; rank r takes the r-th of `size` equal parts.

        Raises:
            InputError: batch_size is not divisible by size.
        """
        share = _share(batch_size, size)
        batch = self._empty(share)
        first = step * batch_size + rank * share
        for row, number in enumerate(range(first, first + share)):
            epoch, place = divmod(number, len(self))
            index = int(self._order(epoch, batch_size)[place])
            self._fill(batch, row, index, generator(self.seed, "mask", epoch, index))
            batch.numbers[row] = index
        return self._trimmed(batch)

    def sample(self, count: int) -> Batch:
        """Some sequences from everywhere, masked: `count`, or all if there are fewer and they are not packed."""
        if self.packed:
            return self.at(0, count)
        drawn = generator(self.seed, "sample").permutation(len(self))[:count]
        batch = self._empty(len(drawn))
        for row, index in enumerate(drawn):
            self._fill(batch, row, int(index), generator(self.seed, "evaluation", int(index)))
        return self._trimmed(batch)

    def evaluation(self, batch_size: int, rank: int = 0, size: int = 1, limit: Optional[int] = None) -> Iterator[Batch]:
        """All sequences once, in their order, under masks that never change.

        Every rank gets the same number of batches; what is beyond the end is rows of weight 0.

        Args:
            batch_size: sequences in the global batch.
            rank, size: as in `at`.
            limit: stop after this many sequences.
        """
        share = _share(batch_size, size)
        count = len(self) if limit is None else min(limit, len(self))
        for begin in range(0, count, batch_size):
            batch = self._empty(share)
            first = begin + rank * share
            for row, index in enumerate(range(first, min(first + share, count))):
                self._fill(batch, row, index, generator(self.seed, "evaluation", index))
            yield self._trimmed(batch)

    def _empty(self, rows: int) -> Batch:
        ids = np.full((rows, self.seq_len), self.pad_id, np.int32)
        ids[:, 0] = self.bos_id  # a row that stays empty still has one token to attend to
        shape = (rows, self.max_masked)
        return Batch(ids, np.ones(rows, np.int32), np.zeros(shape, np.int32), np.zeros(shape, np.int32),
                     np.zeros(shape, np.float32), np.full(rows, -1, np.int64), np.zeros(shape, np.float32))

    def _fill(self, batch: Batch, row: int, index: int, rng: np.random.Generator) -> None:
        ids, positions, labels = mask_tokens(self.sequences[index], rng, self.vocabulary, self.probability,
                                             least=int(self.probability > 0 and not self.packed))
        batch.input_ids[row, :len(ids)] = ids
        batch.valid_length[row] = len(ids)
        batch.masked_positions[row, :len(positions)] = positions
        batch.labels[row, :len(labels)] = labels
        batch.weights[row, :len(labels)] = 1
        batch.draws[row, :len(labels)] = rng.random(len(labels), np.float32)

    def _trimmed(self, batch: Batch) -> Batch:
        """A batch without the columns that are padding in all rows; its length is a multiple of `ROUND`, or s."""
        if self.packed:
            return batch
        longest = -(-int(batch.valid_length.max()) // ROUND) * ROUND
        return dataclasses.replace(batch, input_ids=batch.input_ids[:, :longest])

    def _order(self, epoch: int, batch_size: int) -> np.ndarray:
        """The sequences of an epoch: in random order, or in random batches of similar length."""
        key = (epoch, batch_size)
        if key not in self._orders:
            if len(self._orders) > 1:  # a batch spans two epochs at most, unless it is larger than the data
                self._orders.clear()
            rng = generator(self.seed, "order", epoch)
            order = rng.permutation(len(self))
            if not self.packed:
                order = self._grouped(order, -epoch * len(self) % batch_size, batch_size, rng)
            self._orders[key] = order
        return self._orders[key]

    def _grouped(self, order: np.ndarray, first: int, batch_size: int, rng: np.random.Generator) -> np.ndarray:
        """An order whose batches hold sequences of similar length, but for those that begin or end in another epoch.

        Args:
            order: the sequences of an epoch in random order.
            first: how many of them complete the last batch of the epoch before.
        """
        first = min(first, len(order))
        last = first + (len(order) - first) // batch_size * batch_size
        inner = batches_of_similar_length(order[first:last], self.sequences.lengths, batch_size, rng)
        return np.concatenate([order[:first], *inner, order[last:]])


def _share(batch_size: int, size: int) -> int:
    if batch_size < 1 or batch_size % size:
        raise InputError(f"batch size {batch_size} cannot be divided equally over {size} workers")
    return batch_size // size

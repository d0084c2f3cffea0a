"""Sentences made into sequences: packed, as RoBERTa's FULL-SENTENCES, or one each. A number is enough to build one.

[I] The paper says "sequences of at most 512 tokens"; packing them full of whole sentences is RoBERTa's way.
A sequence is `<s> sentence </s> sentence </s> …`: as many whole sentences as fit. A sentence longer than s - 2 is cut
into pieces of that length, each treated as a sentence. Sentences that are not packed have a sequence each.

unit = a sentence, or a piece of a long one   q sequences   s sequence length
"""

from typing import Iterable, List

import numpy as np

from bort_mx.data.shards import TokenShards

CHUNK = 1 << 20  # sentences looked at at once, which bounds the memory of planning


class PackedSequences:
    """The sequences of a split: `packed[k]` is an int32 array of at most `seq_len` ids, special tokens included.

    Where sequences begin is computed once, from the lengths, and kept at 8 bytes a sequence.

    Args:
        shards: the sentences.
        seq_len: s, at least 3.
        bos_id, eos_id: ids of `<s>` and `</s>`.
        packed: False for sequences of one unit each.

    Attributes:
        lengths: ids of every sequence, special tokens included: (q,). Known if they are not packed.
        fill: mean share of a sequence that is not padding.
        cut_sentences: sentences longer than s - 2, cut into pieces.
    """

    def __init__(self, shards: TokenShards, seq_len: int, bos_id: int, eos_id: int, packed: bool = True):
        if seq_len < 3:
            raise ValueError(f"seq_len must be at least 3, not {seq_len}")
        self.shards, self.seq_len, self.bos_id, self.eos_id = shards, seq_len, bos_id, eos_id
        self.cut_sentences = units = 0
        for lengths in shards.length_chunks(CHUNK):
            self.cut_sentences += int(np.count_nonzero(lengths > seq_len - 2))
            units += int(np.sum((lengths - 1) // (seq_len - 2) + 1))
        # (q + 1,) in the stream of all tokens
        self._starts = sequence_starts(shards.length_chunks(CHUNK), seq_len, packed)
        self.lengths = None if packed else np.diff(self._starts) + 2
        self.fill = (len(self) + shards.num_tokens + units) / (len(self) * seq_len)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, number: int) -> np.ndarray:
        if not 0 <= number < len(self):
            raise IndexError(f"sequence {number} of {len(self)}")
        start, stop = int(self._starts[number]), int(self._starts[number + 1])
        ends = self.shards.sentence_ends(start, stop) - start
        if not len(ends) or ends[-1] != stop - start:
            ends = np.append(ends, stop - start)  # a piece of a long sentence ends where the sequence does
        ids = np.full(1 + stop - start + len(ends), self.eos_id, np.int32)
        ids[0] = self.bos_id
        keep = np.ones(len(ids), bool)
        keep[0] = False
        keep[ends + np.arange(1, len(ends) + 1)] = False
        ids[keep] = self.shards.tokens(start, stop)
        return ids


def sequence_starts(chunks: Iterable[np.ndarray], seq_len: int, packed: bool = True) -> np.ndarray:
    """First token of every sequence in the stream of all tokens, and the stream's length at the end.

    Greedy: a sequence takes units while they fit, each costing its length + 1, `<s>` costing 1.

    Args:
        chunks: the sentences' lengths, all at least 1, in arrays of any size.
        seq_len: s.
        packed: False: a sequence takes one unit.

    Returns:
        (q + 1,) int64.
    """
    starts: List[np.ndarray] = []
    token = 0  # stream position of the sequence still open
    open_units = np.empty(0, np.int64)
    for lengths in chunks:
        units = np.concatenate([open_units, _units(lengths, seq_len - 2)])
        firsts = _greedy(units, seq_len - 1) if packed else np.arange(len(units))
        positions = np.concatenate([[0], np.cumsum(units)])
        starts.append(token + positions[firsts[:-1]])
        token += int(positions[firsts[-1]])
        open_units = units[firsts[-1]:]  # may go on in the next chunk
    return np.concatenate([*starts, [token, token + int(open_units.sum())]]).astype(np.int64)


def _units(lengths: np.ndarray, longest: int) -> np.ndarray:
    """Lengths of the sentences with those above `longest` cut into pieces, int64."""
    lengths = lengths.astype(np.int64)
    pieces = (lengths - 1) // longest + 1
    units = np.full(int(pieces.sum()), longest, np.int64)
    units[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * longest
    return units


def _greedy(units: np.ndarray, capacity: int) -> np.ndarray:
    """Index of the first unit of every sequence.

    One vectorised search finds, for every unit, where a sequence that begins there would end. Then follow that chain.
    """
    costs = np.concatenate([[0], np.cumsum(units + 1)])
    following = (np.searchsorted(costs, costs[:-1] + capacity, "right") - 1).tolist()
    firsts, unit, count = [], 0, len(units)
    while unit < count:
        firsts.append(unit)
        unit = following[unit]
    return np.asarray(firsts, np.int64)

"""Buckets: encoded sentences that share the leading bits of their hash, as chunks of bytes.

A chunk is: number of sentences and of tokens (2 int64), hashes (2 uint64 each), lengths (int32), ids (uint16).
"""

import math
import struct
from typing import Iterable, Tuple

import numpy as np

from bort_mx.data.shards import TOKEN

BUCKET = 8 << 20  # bytes of text that fill one bucket
MOST_BITS = 12


def bucket_bits(size: int) -> int:
    """Leading bits of the hash that number the buckets, for so many bytes of text."""
    return min(MOST_BITS, max(0, math.ceil(math.log2(max(size, 1) / BUCKET))))


def gather(ids: np.ndarray, lengths: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Ids of sentences, one after another, in a new order. `order` may also leave sentences out."""
    starts = np.cumsum(lengths) - lengths
    taken = lengths[order]
    place = np.cumsum(taken) - taken
    return ids[np.repeat(starts[order] - place, taken) + np.arange(int(taken.sum()))]


def pack_chunk(hashes: np.ndarray, lengths: np.ndarray, ids: np.ndarray) -> bytes:
    """A chunk of a bucket: hashes (n, 2), lengths (n,) and all ids of n sentences."""
    header = struct.pack("<qq", len(lengths), len(ids))
    return b"".join([header, hashes.tobytes(), lengths.astype("<i4").tobytes(), ids.tobytes()])


def unpack_chunks(runs: Iterable[Tuple[int, bytes]]) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All chunks of a bucket, each run with the number of its corpus: hashes (n, 2), lengths (n,), ids, corpus (n,)."""
    parts = [(np.empty(0, "<u8"), np.empty(0, "<i4"), np.empty(0, TOKEN), np.empty(0, np.int64))]
    for corpus, data in runs:
        place = 0
        while place < len(data):
            sentences, tokens = struct.unpack_from("<qq", data, place)
            place += 16
            part = []
            for dtype, count in (("<u8", 2 * sentences), ("<i4", sentences), (TOKEN, tokens)):
                part.append(np.frombuffer(data, dtype, count, place))
                place += part[-1].nbytes
            parts.append((*part, np.full(sentences, corpus, np.int64)))
    hashes, lengths, ids, corpora = map(np.concatenate, zip(*parts))
    return hashes.reshape(-1, 2), lengths.astype(np.int64), ids, corpora

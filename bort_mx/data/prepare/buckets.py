"""Buckets: files of encoded sentences that share the leading bits of their hash. The first pass fills them.

A bucket is a sequence of chunks: number of sentences and of tokens (2 int64), hashes (2 uint64 each), lengths (int32),
ids (uint16).
"""

import collections
import math
import pathlib
import struct
from typing import Counter, Dict, List, Tuple

import numpy as np

from bort_mx.data.shards import TOKEN

BUCKET = 8 << 20  # bytes of text that fill one bucket
BUFFERS = 32 << 20  # bytes of all buckets held back for longer writes


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


def unpack_chunks(data: bytes) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All chunks of a bucket: hashes (n, 2), lengths (n,), ids."""
    parts, place = [], 0
    while place < len(data):
        sentences, tokens = struct.unpack_from("<qq", data, place)
        place += 16
        part = []
        for dtype, count in (("<u8", 2 * sentences), ("<i4", sentences), (TOKEN, tokens)):
            part.append(np.frombuffer(data, dtype, count, place))
            place += part[-1].nbytes
        parts.append(part)
    hashes, lengths, ids = map(np.concatenate, zip(*parts))
    return hashes.reshape(-1, 2), lengths.astype(np.int64), ids


class Buckets:
    """Files of sentences that share the leading bits of their hash.

    Args:
        work: where to make them.
        size: bytes of text to come, about; decides how many.
    """

    def __init__(self, work: pathlib.Path, size: int):
        self.bits = min(12, max(0, math.ceil(math.log2(max(size, 1) / BUCKET))))
        self.paths = [work / f"bucket-{number:04d}" for number in range(1 << self.bits)]
        self._held: Dict[int, List[bytes]] = collections.defaultdict(list)
        self._bytes: Counter[int] = collections.Counter()

    def add(self, bucket: int, data: bytes) -> None:
        """Append to a bucket. Data is held back until the bucket's share of the buffers is full."""
        self._held[bucket].append(data)
        self._bytes[bucket] += len(data)
        if self._bytes[bucket] > BUFFERS >> self.bits:
            self._write(bucket)

    def flush(self) -> None:
        """Write what is held back."""
        for bucket in sorted(self._held):
            self._write(bucket)

    def _write(self, bucket: int) -> None:
        with open(self.paths[bucket], "ab") as file:
            file.writelines(self._held.pop(bucket))
        del self._bytes[bucket]

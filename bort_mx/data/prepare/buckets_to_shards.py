"""The second pass of `prepare`: each bucket is sorted by hash, freed of duplicates, and written to shards."""

import contextlib
import pathlib
from typing import Dict, Tuple

import numpy as np

from bort_mx.data.prepare.buckets import Buckets, gather, unpack_chunks
from bort_mx.data.prepare.processes import map_in_order
from bort_mx.data.prepare.shard_writer import ShardWriter
from bort_mx.data.shards import SPLITS
from bort_mx.progress import Progress

FEW = 1000  # below this many sentences chance could leave a split empty: they are dealt out instead


def write_shards(work: pathlib.Path, buckets: Buckets, sentences: int, shard_tokens: int,
                 workers: int) -> Tuple[Dict[str, ShardWriter], int]:
    """Shuffle, deduplicate and split what is in the buckets, which are deleted on the way.

    Args:
        work: the directory that gets a folder for each split.
        buckets: filled ones.
        sentences: how many they hold.
        shard_tokens: tokens in a shard, about.
        workers: processes.

    Returns:
        Split → its finished shards; and the number of duplicates dropped.
    """
    dealt, duplicates = sentences < FEW, 0
    items = [tuple(buckets.paths)] if dealt else [(path,) for path in buckets.paths]
    writers = {name: ShardWriter(work, name, shard_tokens) for name in SPLITS}
    size = sum(path.stat().st_size for path in buckets.paths if path.exists())
    workers = workers if len(items) > 8 else 1  # few are done before a process starts
    results = map_in_order(BucketSorter, (dealt,), items, workers)
    with contextlib.closing(results), Progress(size, "Shuffling", "B") as progress:
        for paths, (parts, dropped) in results:
            duplicates += dropped
            for name, part in parts.items():
                writers[name].add(*part)
            for path in paths:
                if path.exists():
                    progress.update(path.stat().st_size)
                    path.unlink()
    for writer in writers.values():
        writer.finish()
    return writers, duplicates


class BucketSorter:
    """Bucket files → unique sentences in the order of their hashes, by split. Every worker process has one.

    Args:
        dealt: deal the sentences out to the splits instead of going by their hashes.
    """

    def __init__(self, dealt: bool):
        self._dealt = dealt

    def __call__(self, paths: Tuple[pathlib.Path, ...]) -> Tuple[Dict[str, Tuple[np.ndarray, np.ndarray]], int]:
        """Lengths and ids for every split, and the number of duplicates dropped."""
        data = b"".join([path.read_bytes() for path in paths if path.exists()])
        if not data:
            return {}, 0
        hashes, lengths, ids = unpack_chunks(data)
        order = np.lexsort((hashes[:, 1], hashes[:, 0]))
        ordered = hashes[order]
        fresh = np.ones(len(order), bool)
        fresh[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        order = order[fresh]
        tenth = np.arange(len(order)) % 10 if self._dealt else (hashes[order, 1] % np.uint64(10)).astype(np.int64)
        result = {}
        for name, chosen in (("train", (tenth != 1) & (tenth != 2)), ("validation", tenth == 1), ("test", tenth == 2)):
            result[name] = lengths[order[chosen]], gather(ids, lengths, order[chosen])
        return result, int(len(fresh) - fresh.sum())

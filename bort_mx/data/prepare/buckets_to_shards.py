"""The second pass of `prepare`: each bucket is sorted by hash, freed of duplicates, split, and written to shards."""

import dataclasses
import pathlib
from typing import Dict, Iterator, List, Mapping, Tuple

import numpy as np

from bort_mx.data.prepare.buckets import gather, unpack_chunks
from bort_mx.data.prepare.parts import PartWriter, read_bucket
from bort_mx.data.prepare.shard_writer import ShardWriter
from bort_mx.data.shards import SPLITS, TOKEN

FEW = 1000  # below this many sentences chance could leave a split empty: they are dealt out instead
HELD_OUT = "held out "  # and the corpus's name: a fourth split


@dataclasses.dataclass(frozen=True)
class SortSettings:
    """What the tasks of the second pass share."""

    folder: pathlib.Path
    """Where the first pass has written, and where to write."""
    parts: Tuple[Tuple[str, int], ...]
    """Name of each partition and the number of its corpus."""
    corpora: Tuple[str, ...]
    """Names of the corpora, in order: of equal sentences the one of the first corpus is kept."""
    dealt: bool
    """Deal the sentences out to the splits instead of going by their hashes."""
    held_out: Tuple[Tuple[int, Tuple[int, int]], ...] = ()
    """(corpus, hash): its sentences up to this hash are held out of all splits."""


def bucket_name(buckets: Tuple[int, ...]) -> str:
    """Of the files of a task of the second pass."""
    return f"sorted-{buckets[0]:04d}"


def read_chunks(settings: SortSettings, buckets: Tuple[int, ...]) -> Iterator[Tuple[int, bytes]]:
    """(corpus, chunks) of some buckets."""
    for bucket in buckets:
        for name, corpus in settings.parts:
            for data in read_bucket(settings.folder, name, bucket):
                yield corpus, data


class BucketSorter:
    """Buckets → unique sentences in the order of their hashes, by split, in a file; and its record."""

    def __init__(self, settings: SortSettings):
        self._settings = settings

    def __call__(self, buckets: Tuple[int, ...]) -> dict:
        """Sort, free of duplicates and split."""
        settings = self._settings
        hashes, lengths, ids, corpora = unpack_chunks(read_chunks(settings, buckets))
        order = np.lexsort((corpora, hashes[:, 1], hashes[:, 0]))
        ordered = hashes[order]
        fresh = np.ones(len(order), bool)
        fresh[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        held = self._held_out(ordered, corpora[order], fresh)
        duplicates = np.bincount(corpora[order[~fresh]], minlength=len(settings.corpora))
        order = order[fresh]
        tenth = np.arange(len(order)) % 10 if settings.dealt else (hashes[order, 1] % np.uint64(10)).astype(np.int64)
        tenth[held >= 0] = -1
        chosen = {"train": tenth > 2, "validation": tenth == 1, "test": tenth == 2}
        chosen["train"] |= tenth == 0
        for corpus, _ in settings.held_out:
            chosen[HELD_OUT + settings.corpora[corpus]] = held == corpus
        return self._write(buckets, {name: order[mask] for name, mask in chosen.items()}, lengths, ids, corpora,
                           duplicates)

    def _held_out(self, hashes: np.ndarray, corpora: np.ndarray, fresh: np.ndarray) -> np.ndarray:
        """The corpus that each unique sentence is held out for, -1 for none; copies elsewhere are held out as well."""
        group = np.cumsum(fresh) - 1
        held = np.full(int(fresh.sum()), -1)
        unique = hashes[fresh]
        for corpus, (first, second) in reversed(self._settings.held_out):
            of_corpus = np.zeros(len(held), bool)
            of_corpus[group[corpora == corpus]] = True
            below = (unique[:, 0] < np.uint64(first)) | (unique[:, 0] == np.uint64(first)) & (
                unique[:, 1] <= np.uint64(second))
            held[of_corpus & below] = corpus
        return held

    def _write(self, buckets: Tuple[int, ...], orders: Mapping[str, np.ndarray], lengths: np.ndarray, ids: np.ndarray,
               corpora: np.ndarray, duplicates: np.ndarray) -> dict:
        names, sizes, kept = self._settings.corpora, {}, {}
        with PartWriter(self._settings.folder, bucket_name(buckets)) as writer:
            for name, order in orders.items():
                chosen = gather(ids, lengths, order)
                writer.write(lengths[order].astype("<i4").tobytes())
                writer.write(chosen.tobytes())
                sizes[name] = [len(order), len(chosen)]
                sentences = np.bincount(corpora[order], minlength=len(names)).tolist()
                tokens = np.bincount(corpora[order], weights=lengths[order], minlength=len(names)).astype(int).tolist()
                kept[name] = {corpus: pair for corpus, *pair in zip(names, sentences, tokens)}
            return writer.finish({"sizes": sizes, "kept": kept, "duplicates": dict(zip(names, duplicates.tolist()))})


def read_sorted(folder: pathlib.Path, name: str, sizes: Mapping[str, List[int]]) -> Iterator[
        Tuple[str, np.ndarray, np.ndarray]]:
    """(split, lengths, ids) of a task of the second pass."""
    with open(folder / f"{name}.bin", "rb") as file:
        for split, (sentences, tokens) in sizes.items():
            lengths = np.frombuffer(file.read(4 * sentences), "<i4").astype(np.int64)
            yield split, lengths, np.frombuffer(file.read(TOKEN.itemsize * tokens), TOKEN)


def write_shards(folder: pathlib.Path, work: pathlib.Path, records: Mapping[Tuple[int, ...], dict],
                 shard_tokens: int) -> Tuple[Dict[str, ShardWriter], Dict[str, List[np.ndarray]]]:
    """Write what the second pass has sorted, bucket after bucket.

    Args:
        folder: holds the sorted buckets.
        work: gets a folder for each split.
        records: of all tasks of the second pass.
        shard_tokens: tokens in a shard, about.

    Returns:
        Split → its finished shards; and corpus → the ids of each sentence that is held out.
    """
    writers = {name: ShardWriter(work, name, shard_tokens) for name in SPLITS}
    held_out: Dict[str, List[np.ndarray]] = {}
    for buckets in sorted(records):
        for split, lengths, ids in read_sorted(folder, bucket_name(buckets), records[buckets]["sizes"]):
            if split in writers:
                writers[split].add(lengths, ids)
            else:
                held_out.setdefault(split[len(HELD_OUT):], []).extend(np.split(ids, np.cumsum(lengths)[:-1])
                                                                      if len(lengths) else [])
    for writer in writers.values():
        writer.finish()
    return writers, held_out

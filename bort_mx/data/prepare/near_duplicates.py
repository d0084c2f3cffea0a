"""Near duplicates of documents, by MinHash (Broder, 1997): found before the first pass, which leaves them out.

Each document of twenty words or more gets a signature of 128 minima over its word trigrams, by rensa. Signatures are
cut into bands; documents that agree in a band are compared by the share of equal minima, an estimate of the Jaccard
similarity of their trigrams. Of documents that are similar enough the first in the plan is kept. So the result depends
on the files alone.

Beside rensa, datasketch was measured: docs/experiments/corpora.md.
"""

import pathlib
from typing import Dict, FrozenSet, Iterator, List, Sequence, Set, Tuple

import numpy as np

from bort_mx.data.corpora.readers import CORPORA
from bort_mx.data.corpora.source import Reading, Source
from bort_mx.data.prepare.parts import PartWriter
from bort_mx.data.prepare.plan import DATA, Partition, placed
from bort_mx.errors import InputError

MINIMA, BANDS = 128, 16  # bands of 8: documents of similarity 0.7 agree in one with a chance of 0.61, of 0.8 with 0.95
FEWEST_WORDS, SHINGLE, SEED = 20, 3, 1
SIGNATURE = np.dtype("<u4")


def signature(text: str) -> np.ndarray:
    """(128,) uint32: the minima of a document's word trigrams, in lower case.

    Raises:
        InputError: rensa is not installed.
    """
    try:
        import rensa
    except ImportError:
        raise InputError("--near-duplicates: rensa is not installed; pip install 'bort-mx[corpora]'") from None
    words = text.lower().split()
    minima = rensa.RMinHash(num_perm=MINIMA, seed=SEED)
    minima.update([" ".join(words[place:place + SHINGLE]) for place in range(len(words) - SHINGLE + 1)])
    return np.array(minima.digest(), SIGNATURE)


def sign_documents(folder: pathlib.Path, reading: Reading, base: pathlib.Path, partition: Partition) -> dict:
    """Write numbers and signatures of a partition's documents to a file; returns its record.

    Args:
        folder: where to write.
        reading: how to read.
        base: what relative paths of input files begin at.
        partition: what to read.
    """
    signed = number = 0
    with PartWriter(folder, signed_name(partition)) as writer:
        for piece in partition.pieces if partition.corpus != DATA else ():
            for text in kept_documents(partition.corpus, Source(placed(base, piece), reading)):
                if text.count(" ") + text.count("\n") + 1 >= FEWEST_WORDS and len(text.split()) >= FEWEST_WORDS:
                    writer.write(np.array([number], SIGNATURE).tobytes() + signature(text).tobytes())
                    signed += 1
                number += 1
        return writer.finish({"documents": signed})


def kept_documents(corpus: str, source: Source) -> Iterator[str]:
    """The documents that are numbered."""
    return (text for text in CORPORA[corpus].documents(source) if text.strip())


def signed_name(partition: Partition) -> str:
    """Of the files with a partition's signatures."""
    return f"signed-{partition.number:05d}"


def write_near_duplicates(folder: pathlib.Path, partitions: Sequence[Partition], records: Dict[Partition, dict],
                          threshold: float) -> int:
    """Find the documents to leave out, and write their numbers, for `left_out`.

    Memory: 16 bytes a document; signatures are read from the disk where they are compared.

    Returns:
        How many.
    """
    ordered = [part for part in partitions if records[part]["documents"]]
    rows = [np.memmap(folder / f"{signed_name(part)}.bin", SIGNATURE, "r").reshape(-1, MINIMA + 1) for part in ordered]
    ends = np.cumsum([len(part) for part in rows])
    dropped = _similar(rows, ends, threshold)
    by_part: Dict[int, List[int]] = {}
    for document in sorted(dropped):
        part, row = _place(ends, document)
        by_part.setdefault(part, []).append(int(rows[part][row, 0]))
    for part, numbers in by_part.items():
        np.save(folder / f"{ordered[part].name}.near.npy", np.array(numbers, np.int64))
    return len(dropped)


def left_out(folder: pathlib.Path, partition: Partition) -> FrozenSet[int]:
    """Numbers of the documents that the first pass leaves out of a partition."""
    path = folder / f"{partition.name}.near.npy"
    return frozenset(np.load(path).tolist()) if path.is_file() else frozenset()


def _similar(rows: Sequence[np.ndarray], ends: np.ndarray, threshold: float) -> Set[int]:
    """Documents that are similar to one before them with which they agree in a band."""
    dropped: Set[int] = set()
    width = MINIMA // BANDS
    mix = np.random.default_rng(SEED).integers(1, 1 << 63, width, np.uint64) | np.uint64(1)
    for band in range(BANDS):
        keys = [(part[:, 1 + band * width:1 + (band + 1) * width].astype(np.uint64) * mix).sum(axis=1, dtype=np.uint64)
                for part in rows]
        keys = np.concatenate(keys) if keys else np.empty(0, np.uint64)
        order = np.argsort(keys, kind="stable")  # equal keys stay in the order of the plan
        first = np.flatnonzero(np.diff(keys[order], prepend=~keys[order[:1]]))
        sizes = np.diff(first, append=len(order))
        for start, size in zip(first[sizes > 1], sizes[sizes > 1]):
            _compare(rows, ends, order[start:start + size].tolist(), threshold, dropped)
    return dropped


def _compare(rows: Sequence[np.ndarray], ends: np.ndarray, group: List[int], threshold: float,
             dropped: Set[int]) -> None:
    part, row = _place(ends, group[0])
    first = rows[part][row, 1:]
    for document in group[1:]:
        if document not in dropped:
            part, row = _place(ends, document)
            if (rows[part][row, 1:] == first).mean() >= threshold:
                dropped.add(document)


def _place(ends: np.ndarray, document: int) -> Tuple[int, int]:
    """Partition and row of a document, numbered through."""
    part = int(np.searchsorted(ends, document, "right"))
    return part, document - (int(ends[part - 1]) if part else 0)

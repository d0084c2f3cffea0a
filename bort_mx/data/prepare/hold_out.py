"""Sentences held out of a corpus: those with the lowest hashes, so that a worker need not know the others."""

import pathlib
from typing import Dict, List, Sequence, Tuple

import numpy as np

from bort_mx.data.prepare.buckets import unpack_chunks
from bort_mx.data.prepare.buckets_to_shards import SortSettings, read_chunks
from bort_mx.data.tokenizers import Tokenizer
from bort_mx.errors import InputError
from bort_mx.io import files

FOLDER = "hold-out"


def parse_hold_out(entries: Sequence[str], corpora: Sequence[str]) -> Dict[str, int]:
    """Corpus → number of sentences, from "bookcorpus=11828".

    Raises:
        InputError: no number, or a corpus that is not among those prepared.
    """
    wanted = {}
    for entry in entries:
        name, _, number = entry.partition("=")
        if not number.isdigit() or not int(number):
            raise InputError(f"--hold-out {entry}: expected CORPUS=NUMBER, as in bookcorpus=11828")
        if name not in corpora:
            raise InputError(f"--hold-out {entry}: {name!r} is not among the corpora given by --corpus")
        wanted[name] = int(number)
    return wanted


def choose(settings: SortSettings, wanted: Dict[str, int], buckets: int) -> Tuple[Tuple[int, Tuple[int, int]], ...]:
    """(corpus, the highest hash that is held out) for each corpus; only as many buckets are read as are needed.

    Raises:
        InputError: a corpus has no more sentences than are wanted.
    """
    chosen = []
    for name, number in wanted.items():
        corpus, found = settings.corpora.index(name), [np.empty((0, 2), np.uint64)]
        for bucket in range(buckets):
            chunks = [(one, data) for one, data in read_chunks(settings, (bucket,)) if one == corpus]
            found.append(np.unique(unpack_chunks(chunks)[0], axis=0))  # in the order of the hashes
            if sum(map(len, found)) > number:
                break
        hashes = np.concatenate(found)
        if len(hashes) <= number:
            raise InputError(f"--hold-out {name}={number}: the corpus has {len(hashes):,} different sentences; hold "
                             "out fewer")
        chosen.append((corpus, (int(hashes[number - 1, 0]), int(hashes[number - 1, 1]))))
    return tuple(chosen)


def write_held_out(work: pathlib.Path, held_out: Dict[str, List[np.ndarray]], tokenizer: Tokenizer) -> Dict[str, dict]:
    """hold-out/CORPUS.txt, a sentence a line, decoded from its tokens.

    Returns:
        Name → size and SHA-256 of each file.
    """
    written = {}
    for name, sentences in held_out.items():
        path = work / FOLDER / f"{name}.txt"
        files.write_text(path, "".join(f"{tokenizer.decode(ids)}\n" for ids in sentences))
        written[f"{FOLDER}/{path.name}"] = {"bytes": path.stat().st_size, "sha256": files.sha256(path)}
    return written

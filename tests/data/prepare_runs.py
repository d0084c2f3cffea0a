"""What tests of `prepare` share: text, and what a run has written."""

import hashlib
import pathlib
import random

from bort_mx.data import TokenShards
from bort_mx.data.shards import SPLITS

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOUNS = ["river", "stone", "cloud", "garden", "letter", "engine", "window", "doctor", "picture", "winter"]


def sentences(count, seed=0):
    rng = random.Random(seed)
    return [f"The {rng.choice(NOUNS)} of {rng.choice(NOUNS)} number {i} saw a {rng.choice(NOUNS)}."
            for i in range(count)]


def texts(directory):
    """All sentences of every split, decoded."""
    found = {}
    for split in SPLITS:
        shards = TokenShards(directory, split)
        tokenizer = shards.tokenizer()
        found[split] = [tokenizer.decode(shards[i]) for i in range(len(shards))]
    return found


def tree_hash(directory):
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(directory.rglob("*")) if path.is_file()}

"""Random numbers as functions of (seed, purpose, index). A resumed run therefore draws the same numbers again."""

import hashlib

import numpy as np


def derive_seed(seed: int, purpose: str, *indices: int, bits: int = 128) -> int:
    """Derive a seed of `bits` bits that depends on all arguments and on nothing else.

    Args:
        seed: the run's seed.
        purpose: what the numbers are for, e.g. "masking".
        indices: step, epoch, sequence number and so on.
    """
    text = ":".join([str(int(seed)), purpose, *(str(int(i)) for i in indices)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=bits // 8).digest(), "little")


def generator(seed: int, purpose: str, *indices: int) -> np.random.Generator:
    """A NumPy random generator for (seed, purpose, indices)."""
    return np.random.Generator(np.random.Philox(key=derive_seed(seed, purpose, *indices)))


def seed_mxnet(seed: int, purpose: str, *indices: int) -> None:
    """Seed MXNet's own generators (dropout, initialisers).

    MXNet's generator state cannot be saved. Every step therefore sets a new seed.
    """
    import mxnet as mx

    mx.random.seed(derive_seed(seed, purpose, *indices, bits=32) & 0x7FFFFFFF)  # MXNet takes 31 bits

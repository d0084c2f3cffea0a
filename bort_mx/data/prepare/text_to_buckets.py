"""The first pass of `prepare`: blocks of text are cleaned, split, hashed and tokenised, and put into buckets."""

import collections
import contextlib
import dataclasses
import hashlib
import itertools
import os
from typing import Counter, Iterator, List, Tuple

import numpy as np

from bort_mx.data.corpora.formats import block_sentences
from bort_mx.data.corpora.text_files import Block, TextFile
from bort_mx.data.prepare.buckets import Buckets, gather, pack_chunk
from bort_mx.data.prepare.processes import map_in_order
from bort_mx.data.shards import TOKEN
from bort_mx.data.tokenizers import load_tokenizer
from bort_mx.progress import Progress
from bort_mx.random import derive_seed

ENCODE = 2000  # sentences tokenised at once: the Rust library's result objects take some 200 bytes a token


def fill_buckets(buckets: Buckets, texts: List[TextFile], tokenizer: os.PathLike, seed: int, min_words: int,
                 workers: int, threads: int) -> Counter[str]:
    """Encode all text into the buckets.

    Args:
        buckets: empty ones.
        texts: the files to read.
        tokenizer: the directory of the vocabulary.
        seed: of the shuffle and the split.
        min_words: sentences of fewer words are dropped, and counted.
        workers: processes.
        threads: threads of each process.

    Returns:
        Counts of sentences, unknown tokens, lines, and of everything dropped.

    Raises:
        InputError: a file cannot be read, is no text, not UTF-8, or a damaged gzip.
    """
    counts: Counter[str] = collections.Counter()
    size = sum(text.path.stat().st_size for text in texts)
    blocks = itertools.chain.from_iterable(text.blocks() for text in texts)
    arguments = (str(tokenizer), seed, min_words, buckets.bits)
    results = map_in_order(BlockEncoder, arguments, blocks, workers, threads)
    with contextlib.closing(results), Progress(size, "Preparing", "B") as progress:
        for block, encoded in results:
            counts.update(encoded.counts)
            for bucket, data in encoded.chunks:
                buckets.add(bucket, data)
            progress.update(block.disk)
    buckets.flush()
    counts["cut_lines"] = sum(text.cut_lines for text in texts)
    return counts


@dataclasses.dataclass
class EncodedBlock:
    """What a worker makes of a block."""

    chunks: List[Tuple[int, bytes]]  # (bucket, its sentences)
    counts: Counter[str]


class BlockEncoder:
    """Block → sentences → hashes and ids, sorted into buckets. Every worker process has one.

    Args:
        directory: the tokenizer's.
        seed: of the shuffle and the split; it salts the hash.
        min_words: sentences of fewer words are dropped.
        bits: leading bits of the hash that number the buckets.
    """

    def __init__(self, directory: str, seed: int, min_words: int, bits: int):
        self._tokenizer = load_tokenizer(directory)
        self._salt = derive_seed(seed, "prepare").to_bytes(16, "little")
        self._min_words, self._bits = min_words, bits

    def __call__(self, block: Block) -> EncodedBlock:
        """Clean, hash and encode a block."""
        sentences, counts = block_sentences(block)
        if self._min_words > 1:
            long_enough = [sentence for sentence in sentences if sentence.count(" ") + 1 >= self._min_words]
            counts["too_short"], sentences = len(sentences) - len(long_enough), long_enough
        lengths, ids = self._encode(sentences)
        hashes, has_tokens = self._hashes(sentences), lengths > 0
        counts["without_tokens"] = int(len(lengths) - has_tokens.sum())
        counts["sentences"] = int(has_tokens.sum())
        counts["unknown_tokens"] = int(np.count_nonzero(ids == self._tokenizer.unk_id))
        return EncodedBlock(list(self._chunks(hashes[has_tokens], lengths[has_tokens], ids)), counts)

    def _encode(self, sentences: List[str]) -> Tuple[np.ndarray, np.ndarray]:
        lengths, ids = [np.empty(0, np.int64)], [np.empty(0, TOKEN)]
        for start in range(0, len(sentences), ENCODE):
            encoded = self._tokenizer.encode_plain(sentences[start:start + ENCODE])
            lengths.append(np.fromiter(map(len, encoded), np.int64, len(encoded)))
            ids.append(np.fromiter(itertools.chain.from_iterable(encoded), TOKEN, int(lengths[-1].sum())))
        return np.concatenate(lengths), np.concatenate(ids)

    def _hashes(self, sentences: List[str]) -> np.ndarray:
        """(n, 2) uint64: the leading and the trailing half of each sentence's hash."""
        salt, blake2b = self._salt, hashlib.blake2b
        digests = b"".join([blake2b(s.encode(), digest_size=16, salt=salt).digest() for s in sentences])
        return np.frombuffer(digests, ">u8").reshape(-1, 2).astype("<u8")

    def _chunks(self, hashes: np.ndarray, lengths: np.ndarray, ids: np.ndarray) -> Iterator[Tuple[int, bytes]]:
        bucket = (hashes[:, 0] >> np.uint64(64 - self._bits)).astype(np.int64) if self._bits else np.zeros(
            len(hashes), np.int64)
        order = np.argsort(bucket, kind="stable")
        ids = gather(ids, lengths, order)
        hashes, lengths, bucket = hashes[order], lengths[order], bucket[order]
        token_ends = np.cumsum(lengths)
        bounds = np.flatnonzero(np.diff(bucket, prepend=-1)).tolist() + [len(bucket)]
        for start, stop in zip(bounds, bounds[1:]):
            first = token_ends[start] - lengths[start]
            chunk = pack_chunk(hashes[start:stop], lengths[start:stop], ids[first:token_ends[stop - 1]])
            yield int(bucket[start]), chunk

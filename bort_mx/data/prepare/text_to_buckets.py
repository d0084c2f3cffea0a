"""The first pass of `prepare`: a partition of the text is read, cleaned, split, hashed and tokenised, by bucket."""

import collections
import dataclasses
import functools
import hashlib
import itertools
import pathlib
from typing import Counter, Dict, FrozenSet, Iterator, List, Optional, Tuple

import numpy as np

from bort_mx.data.corpora.formats import block_sentences
from bort_mx.data.corpora.source import Reading, Source
from bort_mx.data.corpora.text_files import BLOCK, TextFile
from bort_mx.data.prepare.buckets import gather, pack_chunk
from bort_mx.data.prepare.near_duplicates import kept_documents, left_out
from bort_mx.data.prepare.parts import PartWriter
from bort_mx.data.prepare.plan import DATA, Partition, placed
from bort_mx.data.prepare.remembered_words import RememberedWords, packed, splits_at_spaces
from bort_mx.data.text import clean_sentences
from bort_mx.data.tokenizers import Tokenizer, load_tokenizer
from bort_mx.io import files
from bort_mx.random import derive_seed

ENCODE = 2000  # sentences tokenised at once: the Rust library's result objects take some 200 bytes a token
RUN = 32 << 20  # bytes of encoded sentences that a task holds


@dataclasses.dataclass(frozen=True)
class EncodeSettings:
    """What the tasks of the first pass share."""

    folder: pathlib.Path
    """Where to write."""
    tokenizer: pathlib.Path
    """The directory of the vocabulary."""
    vocabulary: str
    """Its SHA-256."""
    seed: int
    """Of the shuffle and the split; it salts the hash."""
    min_words: int
    """Sentences of fewer words are dropped."""
    bits: int
    """Leading bits of the hash that number the buckets."""
    text_format: str
    text_column: str
    reading: Reading
    base: pathlib.Path = pathlib.Path()
    """What relative paths of input files begin at; empty: the folder that the process works in."""


class PartitionEncoder:
    """Partition → its files between the passes, and its record: counts, input files and problems."""

    def __init__(self, settings: EncodeSettings):
        self._settings = settings

    def __call__(self, partition: Partition) -> dict:
        """Read, clean, hash and encode a partition; write what comes out.

        Raises:
            InputError: a file cannot be read, or is damaged and has to be whole.
        """
        settings, counts = self._settings, collections.Counter()
        encoder, buckets = SentenceEncoder(settings), 1 << settings.bits
        held: Dict[int, List[bytes]] = collections.defaultdict(list)
        size, inputs, problems = 0, {}, []
        with PartWriter(settings.folder, partition.name) as writer:
            for sentences, read in self._read(partition, inputs, problems):
                counts.update(read)
                for bucket, data in encoder.chunks(sentences, counts):
                    held[bucket].append(data)
                    size += len(data)
                if size > RUN:
                    writer.write_run(held, buckets)
                    held.clear()
                    size = 0
            writer.write_run(held, buckets)
            return writer.finish({"counts": dict(counts), "inputs": inputs, "problems": problems}, buckets)

    def _read(self, partition: Partition, inputs: Dict[str, dict],
              problems: List[str]) -> Iterator[Tuple[List[str], Counter[str]]]:
        """Clean sentences with the counts of what was read for them."""
        numbers, dropped = itertools.count(), left_out(self._settings.folder, partition)
        for given in partition.pieces:
            piece = placed(self._settings.base, given)
            if partition.corpus == DATA:
                file = TextFile(piece.path, partition.format or self._settings.text_format, self._settings.text_column)
                yield from map(block_sentences, file.blocks(piece))
                yield [], collections.Counter(cut_lines=file.cut_lines)
                read_as = file.read_as
            else:
                source = Source(piece, self._settings.reading)
                yield from _corpus_sentences(partition.corpus, source, numbers, dropped)
                yield [], source.counts
                problems += source.problems
                read_as = partition.corpus
            if piece.start == 0 and piece.share[0] == 0:
                path = pathlib.Path(piece.path)
                inputs[given.path] = {"bytes": path.stat().st_size, "sha256": files.sha256(path), "read_as": read_as}


def _corpus_sentences(name: str, source: Source, numbers: Iterator[int],
                      dropped: FrozenSet[int]) -> Iterator[Tuple[List[str], Counter[str]]]:
    """Sentences of the documents whose numbers are not among those dropped as near duplicates."""
    held, size = [], 0
    for document in itertools.chain(kept_documents(name, source), [None]):
        if document and next(numbers) in dropped:
            source.counts["documents_kept"] -= 1
            source.drop("near_duplicate")
        elif document:
            held.append(document)
            size += len(document)
        if held and (size >= BLOCK or document is None):
            yield clean_sentences("\n".join([*held, ""]), documents=not source.sentences)
            held, size = [], 0


@functools.lru_cache(maxsize=1)
def _tokenizer(directory: pathlib.Path, digest: str) -> Tokenizer:
    """A vocabulary, loaded once in each process."""
    return load_tokenizer(directory)


@functools.lru_cache(maxsize=1)
def _words(directory: pathlib.Path, digest: str) -> Optional[RememberedWords]:
    """A process's memory of the vocabulary's words, where that is possible."""
    tokenizer = _tokenizer(directory, digest)
    return RememberedWords(tokenizer) if splits_at_spaces(tokenizer) else None


class SentenceEncoder:
    """Sentences → hashes and ids, sorted into buckets."""

    def __init__(self, settings: EncodeSettings):
        self._tokenizer = _tokenizer(settings.tokenizer, settings.vocabulary)
        self._words = _words(settings.tokenizer, settings.vocabulary)
        self._salt = derive_seed(settings.seed, "prepare").to_bytes(16, "little")
        self._min_words, self._bits = settings.min_words, settings.bits

    def chunks(self, sentences: List[str], counts: Counter[str]) -> Iterator[Tuple[int, bytes]]:
        """(bucket, its sentences as a chunk); what is dropped is counted."""
        counts["sentences_in"] += len(sentences)
        if self._min_words > 1:
            long_enough = [sentence for sentence in sentences if sentence.count(" ") + 1 >= self._min_words]
            counts["too_short"] += len(sentences) - len(long_enough)
            sentences = long_enough
        if not sentences:
            return
        lengths, ids = self._encode(sentences)
        hashes, has_tokens = self._hashes(sentences), lengths > 0
        counts["without_tokens"] += int(len(lengths) - has_tokens.sum())
        counts["sentences"] += int(has_tokens.sum())
        counts["unknown_tokens"] += int(np.count_nonzero(ids == self._tokenizer.unk_id))
        yield from self._chunks(hashes[has_tokens], lengths[has_tokens], ids)

    def _encode(self, sentences: List[str]) -> Tuple[np.ndarray, np.ndarray]:
        encoded = [packed([])]
        for start in range(0, len(sentences), ENCODE):
            some = sentences[start:start + ENCODE]
            encoded.append(self._words.encode(some) if self._words else packed(self._tokenizer.encode_plain(some)))
        lengths, ids = zip(*encoded)
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

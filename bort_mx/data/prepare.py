"""`python -m bort_mx prepare`: text files to shuffled, deduplicated, split, tokenised shards, in bounded memory.

One number decides everything about a sentence: a 128-bit hash of its characters, salted with the seed.

    text ─ blocks ─▶ workers: clean, split, hash, tokenise ─▶ buckets by the hash's leading bits   (first pass)
    bucket ─▶ workers: sort by hash, drop equal neighbours ─▶ train | validation | test shards      (second pass)

Sorting by the hash is a shuffle of the whole corpus (buckets in order, each sorted), equal sentences meet in one bucket
whatever file they come from, and the last bits pick the split: a sentence lands in the same split in every corpus
prepared with the same seed, so that texts prepared apart do not leak into each other's validation. As nothing depends
on when a sentence was seen, the bytes do not depend on the number of workers, or on the order of files.
"""

import collections
import concurrent.futures
import concurrent.futures.process
import contextlib
import dataclasses
import fcntl
import hashlib
import itertools
import math
import multiprocessing
import os
import pathlib
import platform
import shutil
import signal
import struct
import sys
import threading
from typing import Any, Callable, Counter, Dict, Iterable, Iterator, List, Literal, Optional, Tuple

import numpy as np
import tokenizers

import bort_mx
from bort_mx.data.corpora import text_files
from bort_mx.data.shards import FORMAT, MANIFEST, OFFSET, SPLITS, TOKEN, TOKENIZER, VERSION
from bort_mx.data.tokenizers import Tokenizer, load_tokenizer, train_sentencepiece
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.options import at_least, parse_options
from bort_mx.progress import Progress
from bort_mx.random import derive_seed

WORK = ".bort-mx-prepare"  # unfinished work, inside the output directory; also the mark of an interrupted run
ENCODE = 2000  # sentences tokenised at once: the Rust library's result objects take some 200 bytes a token
BUCKET = 8 << 20  # bytes of text that fill one bucket
BUFFERS = 32 << 20  # bytes of all buckets held back for longer writes
FEW = 1000  # below this many sentences chance could leave a split empty: they are dealt out instead
MOST_PROCESSES = 6  # each holds a vocabulary (about 110 MB); further cores serve as threads of these
SMALL = 4 << 20  # bytes of input up to which starting processes takes longer than the work


@dataclasses.dataclass
class PrepareOptions:
    """Options of `python -m bort_mx prepare`."""

    data: List[str]
    """Text files or folders (searched recursively), UTF-8, plain or gzip, one sentence or one document a line."""

    output_dir: str
    """Directory to write; new, empty, or an earlier output of prepare, which is replaced once the new one is whole."""

    tokenizer: Optional[str] = None
    """Vocabulary: a directory with vocab.json and merges.txt, vocab.txt or sentencepiece.model, or one such file."""

    train_vocab: Optional[int] = None
    """Instead of --tokenizer: train a SentencePiece vocabulary of this many tokens on the text."""

    workers: int = 0
    """Processes; 0 means one a core, at most 6, with the further cores shared among them."""

    seed: int = 0
    """Seed of the shuffle and the split."""

    format: Literal["auto", "sentences", "documents"] = "auto"
    """What a line is; auto judges each file by its beginning: documents if it has 1.3 sentences a line or more."""

    min_words: int = 1
    """Sentences of fewer words are dropped, and counted."""

    shard_tokens: int = 64_000_000
    """Tokens in a shard, about (2 bytes each)."""

    vocab_sample: int = 16
    """Megabytes of text, taken evenly from all of it, to train a vocabulary on."""

    def __post_init__(self):
        if not self.data:
            raise InputError("--data: give at least one text file or folder")
        if (self.tokenizer is None) == (self.train_vocab is None):
            given = "both were given" if self.tokenizer else "neither was given"
            raise InputError(f"give either --tokenizer DIR or --train-vocab N; {given}")
        at_least(self, 0, "workers")
        at_least(self, 1, "min_words", "shard_tokens", "vocab_sample")
        if self.train_vocab is not None and not 300 <= self.train_vocab <= 65536:
            raise InputError(f"--train-vocab must be from 300 (256 bytes, special tokens and some pieces) to 65536 "
                             f"(ids are stored in 16 bits), not {self.train_vocab}")


def main(argv: Optional[List[str]] = None) -> int:
    """The command; returns the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop as on Ctrl-C, and clean up
    output = ""
    try:
        options = parse_options(PrepareOptions, argv, "bort-mx prepare", "Turn text files into token shards.")
        output = options.output_dir
        manifest = prepare(options)
    except InputError as error:
        print(f"bort-mx prepare: error: {error}", file=sys.stderr)
        return 2
    except (OSError, concurrent.futures.process.BrokenProcessPool) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        print(f"bort-mx prepare: failed: {output}: {said}; nothing was written", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bort-mx prepare: stopped; nothing was written", file=sys.stderr)
        return 130
    print(summary(manifest))
    return 0


def summary(manifest: dict) -> str:
    """What was prepared and what was dropped, in a few lines."""
    dropped = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in manifest["dropped"].items() if count)
    lines = [f"{name}: {split['sentences']:,} sentences, {split['tokens']:,} tokens"
             for name, split in manifest["splits"].items()]
    lines.append(f"vocabulary: {manifest['vocabulary']['kind']}, {manifest['vocabulary']['size']:,} tokens, "
                 f"{manifest['counts']['unknown_tokens']:,} unknown in the text")
    return "\n".join([*lines, f"dropped: {dropped or 'nothing'}"])


def prepare(options: PrepareOptions) -> dict:
    """Prepare text as the options say and return the manifest.

    The output directory gets its manifest last: without one, nothing is prepared. A run that is killed leaves no
    manifest (or the earlier run's whole output), and the next run starts anew.

    Raises:
        InputError: bad options; a file missing, not text, not UTF-8 or a damaged gzip; no text at all; an unusable
            vocabulary; an output directory with other files in it.
    """
    paths, hidden = text_files.list_files(options.data)
    output = pathlib.Path(options.output_dir)
    with _Claim(output, options.data) as work:
        tokenizer = _vocabulary(options, paths)
        tokenizer.save(work / TOKENIZER)
        size = sum(_text_size(path) for path in paths)
        buckets = _Buckets(work, size)
        workers, threads = _processes(options.workers, size)
        counts, inputs = _first_pass(options, paths, work, buckets, workers, threads)
        counts["hidden_files"] = hidden
        if not counts["sentences"]:
            raise InputError(f"{', '.join(options.data)}: no text in {len(paths)} file(s), nothing to prepare")
        writers = _second_pass(options, work, buckets, workers, counts)
        manifest = _manifest(options, tokenizer, inputs, counts, work, writers)
        _publish(work, output, manifest)
    return manifest


# -- the output directory ----------------------------------------------------------------------------------------


class _Claim:
    """The working directory inside `output`, for one process at a time; gone at the end, however that comes."""

    def __init__(self, output: pathlib.Path, data: List[str]):
        self._output, self._work = output, output / WORK
        for folder in map(pathlib.Path, data):
            if folder.is_dir() and folder.resolve() in (output.resolve(), *output.resolve().parents):
                raise InputError(f"{output}: the output directory lies inside the data folder {folder}")
        _refuse_foreign(output)

    def __enter__(self) -> pathlib.Path:
        self._new = not self._output.exists()
        self._work.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self._work, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise InputError(f"{self._output}: another prepare is writing there") from None
        for left_over in self._work.iterdir():
            shutil.rmtree(left_over) if left_over.is_dir() else left_over.unlink()
        return self._work

    def __exit__(self, *exception: Any) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        os.close(self._lock)
        if self._new and not any(self._output.iterdir()):
            self._output.rmdir()


def _refuse_foreign(output: pathlib.Path) -> None:
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: not a directory")
    if not output.exists() or (output / WORK).exists() or not any(output.iterdir()):
        return
    manifest = files.read_json(output / MANIFEST) if (output / MANIFEST).is_file() else None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{output}: has files in it that prepare did not write; give a new or empty directory")


def _publish(work: pathlib.Path, output: pathlib.Path, manifest: dict) -> None:
    """Put the finished parts in place of an earlier output; the manifest, which makes them valid, comes last."""
    files.write_json(work / MANIFEST, manifest)  # now, as a disk that is full must leave the earlier output whole
    (output / MANIFEST).unlink(missing_ok=True)
    for name in (*SPLITS, TOKENIZER):
        shutil.rmtree(output / name, ignore_errors=True)
        os.replace(work / name, output / name)
    files.sync_directory(output)
    os.replace(work / MANIFEST, output / MANIFEST)
    files.sync_directory(output)


# -- the vocabulary ----------------------------------------------------------------------------------------------


def _vocabulary(options: PrepareOptions, paths: List[pathlib.Path]) -> Tokenizer:
    if options.train_vocab is not None:
        return train_sentencepiece(_sample(options, paths), options.train_vocab, ", ".join(options.data))
    tokenizer = load_tokenizer(options.tokenizer)
    if tokenizer.vocab_size > 1 << 16:
        raise InputError(f"{options.tokenizer}: {tokenizer.vocab_size:,} tokens; ids are stored in 16 bits, "
                         "so a vocabulary may have 65,536 at most")
    return tokenizer


def _sample(options: PrepareOptions, paths: List[pathlib.Path], run: int = 1 << 16) -> Iterator[str]:
    """Sentences of about `vocab_sample` MB of text in runs of at least 64 kB, evenly spread over the files."""
    total = sum(_text_size(path) for path in paths)
    share, due = min(1.0, options.vocab_sample * 1e6 / max(total, 1)), float(run)
    with Progress(sum(path.stat().st_size for path in paths), "Reading for the vocabulary", "B") as progress:
        for block in _blocks(text_files.TextFile(path, options.format) for path in paths):
            due += share * len(block.data)
            if share == 1 or due >= run:
                end = len(block.data) if share == 1 else block.data.find(b"\n", int(due)) + 1 or len(block.data)
                due -= end
                yield from text_files.block_sentences(dataclasses.replace(block, data=block.data[:end]))[0]
            progress.update(block.disk)


# -- first pass: text to buckets ---------------------------------------------------------------------------------


@dataclasses.dataclass
class _Encoded:
    """What a worker makes of a block."""

    chunks: List[Tuple[int, bytes]]  # (bucket, its sentences)
    counts: Counter[str]


class _Encoder:
    """Block → sentences → hashes and ids, sorted into buckets; one in every worker process.

    Args:
        directory: the tokenizer's.
        seed, min_words: as in the options.
        bits: leading bits of the hash that number the buckets.
    """

    def __init__(self, directory: str, seed: int, min_words: int, bits: int):
        self._tokenizer = load_tokenizer(directory)
        self._salt = derive_seed(seed, "prepare").to_bytes(16, "little")
        self._min_words, self._bits = min_words, bits

    def __call__(self, block: text_files.Block) -> _Encoded:
        sentences, counts = text_files.block_sentences(block)
        if self._min_words > 1:
            long_enough = [sentence for sentence in sentences if sentence.count(" ") + 1 >= self._min_words]
            counts["too_short"], sentences = len(sentences) - len(long_enough), long_enough
        lengths, ids = self._encode(sentences)
        hashes, has_tokens = self._hashes(sentences), lengths > 0
        counts["without_tokens"] = int(len(lengths) - has_tokens.sum())
        counts["sentences"] = int(has_tokens.sum())
        counts["unknown_tokens"] = int(np.count_nonzero(ids == self._tokenizer.unk_id))
        return _Encoded(list(self._chunks(hashes[has_tokens], lengths[has_tokens], ids)), counts)

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
        ids = _gather(ids, lengths, order)
        hashes, lengths, bucket = hashes[order], lengths[order], bucket[order]
        token_ends = np.cumsum(lengths)
        bounds = np.flatnonzero(np.diff(bucket, prepend=-1)).tolist() + [len(bucket)]
        for start, stop in zip(bounds, bounds[1:]):
            first = token_ends[start] - lengths[start]
            yield int(bucket[start]), _pack(hashes[start:stop], lengths[start:stop], ids[first:token_ends[stop - 1]])


def _gather(ids: np.ndarray, lengths: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Concatenated ids of sentences in a new order (or of some of them)."""
    starts = np.cumsum(lengths) - lengths
    taken = lengths[order]
    place = np.cumsum(taken) - taken
    return ids[np.repeat(starts[order] - place, taken) + np.arange(int(taken.sum()))]


def _pack(hashes: np.ndarray, lengths: np.ndarray, ids: np.ndarray) -> bytes:
    header = struct.pack("<qq", len(lengths), len(ids))
    return b"".join([header, hashes.tobytes(), lengths.astype("<i4").tobytes(), ids.tobytes()])


def _unpack(data: bytes) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
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


class _Buckets:
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
        """Append to a bucket, at the latest when its share of the buffers is full."""
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


def _first_pass(options: PrepareOptions, paths: List[pathlib.Path], work: pathlib.Path, buckets: _Buckets,
                workers: int, threads: int) -> Tuple[Counter[str], List[dict]]:
    """Fill the buckets; returns the counts, and name, size and hash of every input file."""
    texts = [text_files.TextFile(path, options.format) for path in paths]
    arguments = (str(work / TOKENIZER), options.seed, options.min_words, buckets.bits)
    counts: Counter[str] = collections.Counter()
    size = sum(path.stat().st_size for path in paths)
    results = _in_order(_Encoder, arguments, _blocks(texts), workers, threads)
    with contextlib.closing(results), Progress(size, "Preparing", "B") as progress:
        for block, encoded in results:
            counts.update(encoded.counts)
            for bucket, data in encoded.chunks:
                buckets.add(bucket, data)
            progress.update(block.disk)
    buckets.flush()
    counts["cut_lines"] = sum(text.cut_lines for text in texts)
    inputs = [{"path": str(text.path), "bytes": text.position, "sha256": text.digest} for text in texts]
    return counts, sorted(inputs, key=lambda entry: entry["path"])


def _blocks(texts: Iterable[text_files.TextFile]) -> Iterator[text_files.Block]:
    for text in texts:
        yield from text.blocks()


# -- second pass: buckets to shards ------------------------------------------------------------------------------


class _Finisher:
    """Bucket files → unique sentences in the order of their hashes, by split; one in every worker process.

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
        hashes, lengths, ids = _unpack(data)
        order = np.lexsort((hashes[:, 1], hashes[:, 0]))
        ordered = hashes[order]
        fresh = np.ones(len(order), bool)
        fresh[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        order = order[fresh]
        tenth = np.arange(len(order)) % 10 if self._dealt else (hashes[order, 1] % np.uint64(10)).astype(np.int64)
        result = {}
        for name, chosen in (("train", (tenth != 1) & (tenth != 2)), ("validation", tenth == 1), ("test", tenth == 2)):
            result[name] = lengths[order[chosen]], _gather(ids, lengths, order[chosen])
        return result, int(len(fresh) - fresh.sum())


class _SplitWriter:
    """Shards of one split, written one after another.

    Attributes:
        shards: name, sentences and tokens of each finished shard.
        files: size and SHA-256 of each finished file, by "split/name".
    """

    def __init__(self, work: pathlib.Path, split: str, shard_tokens: int):
        self._directory, self._split, self._limit = work / split, split, shard_tokens
        self._directory.mkdir()
        self._files: Dict[str, Any] = {}
        self._end = self._sentences = 0
        self.shards: List[dict] = []
        self.files: Dict[str, dict] = {}

    def add(self, lengths: np.ndarray, ids: np.ndarray) -> None:
        """Append sentences, opening a new shard where the present one is full."""
        ends = np.cumsum(lengths)
        start = 0
        while start < len(lengths):
            done = int(ends[start] - lengths[start])
            stop = max(start + 1, int(np.searchsorted(ends, done + self._limit - self._end, "right")))
            self._append(ends[start:stop] - done, ids[done:int(ends[stop - 1])])
            start = stop
            if self._end >= self._limit or start < len(lengths):
                self.finish()

    def _append(self, ends: np.ndarray, ids: np.ndarray) -> None:
        if not self._files:
            name = f"shard-{len(self.shards):05d}"
            self._files = {kind: _HashedFile(self._directory / f"{name}.{kind}") for kind in ("bin", "idx")}
            self._files["idx"].write(np.zeros(1, OFFSET).tobytes())
        self._files["bin"].write(ids.tobytes())
        self._files["idx"].write((ends + self._end).astype(OFFSET).tobytes())
        self._end += int(ends[-1])
        self._sentences += len(ends)

    def finish(self) -> None:
        """Close the present shard."""
        if not self._files:
            return
        for file in self._files.values():
            self.files[f"{self._split}/{file.name}"] = file.close()
        self.shards.append({"name": f"shard-{len(self.shards):05d}", "sentences": self._sentences, "tokens": self._end})
        self._files, self._end, self._sentences = {}, 0, 0


class _HashedFile:
    """A new file whose size and hash are known when it is closed (and synced)."""

    def __init__(self, path: pathlib.Path):
        self.name, self._size, self._hash = path.name, 0, hashlib.sha256()
        self._file = open(path, "xb")

    def write(self, data: bytes) -> None:
        """Append."""
        self._file.write(data)
        self._hash.update(data)
        self._size += len(data)

    def close(self) -> dict:
        """Sync and close it; its size and hash, for the manifest."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return {"bytes": self._size, "sha256": self._hash.hexdigest()}


def _second_pass(options: PrepareOptions, work: pathlib.Path, buckets: _Buckets, workers: int,
                 counts: Counter[str]) -> Dict[str, _SplitWriter]:
    dealt = counts["sentences"] < FEW
    items = [tuple(buckets.paths)] if dealt else [(path,) for path in buckets.paths]
    writers = {name: _SplitWriter(work, name, options.shard_tokens) for name in SPLITS}
    size = sum(path.stat().st_size for path in buckets.paths if path.exists())
    results = _in_order(_Finisher, (dealt,), items, workers if len(items) > 8 else 1)  # few are done before it starts
    with contextlib.closing(results), Progress(size, "Shuffling", "B") as progress:
        for paths, (parts, duplicates) in results:
            counts["duplicates"] += duplicates
            for name, part in parts.items():
                writers[name].add(*part)
            for path in paths:
                if path.exists():
                    progress.update(path.stat().st_size)
                    path.unlink()
    for writer in writers.values():
        writer.finish()
    return writers


def _manifest(options: PrepareOptions, tokenizer: Tokenizer, inputs: List[dict], counts: Counter[str],
              work: pathlib.Path, writers: Dict[str, _SplitWriter]) -> dict:
    """Everything about the output that does not depend on where or by how many workers it was made."""
    hashed = {name: entry for writer in writers.values() for name, entry in writer.files.items()}
    for path in sorted((work / TOKENIZER).iterdir()):
        hashed[f"{TOKENIZER}/{path.name}"] = {"bytes": path.stat().st_size, "sha256": files.sha256(path)}
    kept = {"seed": options.seed, "format": options.format, "min_words": options.min_words,
            "shard_tokens": options.shard_tokens, "train_vocab": options.train_vocab,
            "vocab_sample": options.vocab_sample}
    dropped = ("duplicates", "too_short", "without_tokens", "blank_lines", "control_characters", "hidden_files")
    return {
        "format": FORMAT, "version": VERSION, "options": kept,
        "versions": {"bort_mx": bort_mx.__version__, "tokenizers": tokenizers.__version__, "numpy": np.__version__,
                     "python": platform.python_version()},
        "vocabulary": {"kind": tokenizer.kind, "size": tokenizer.vocab_size, "sha256": tokenizer.digest},
        "inputs": inputs,
        "counts": {name: counts[name] for name in ("lines", "sentences", "unknown_tokens", "cut_lines")},
        "dropped": {name: counts[name] for name in dropped},
        "splits": {name: {"sentences": sum(shard["sentences"] for shard in writer.shards),
                          "tokens": sum(shard["tokens"] for shard in writer.shards),
                          "shards": writer.shards} for name, writer in writers.items()},
        "files": hashed}


# -- processes ---------------------------------------------------------------------------------------------------


def _processes(asked: int, size: int) -> Tuple[int, int]:
    """Number of processes, and of threads in each."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = asked or (1 if size < SMALL else min(cores, MOST_PROCESSES))
    return workers, max(1, -(-cores // workers))


def _in_order(factory: Callable, arguments: tuple, items: Iterable, workers: int,
              threads: int = 1) -> Iterator[Tuple[Any, Any]]:
    """Yield (item, factory(*arguments)(item)) in the order of the items, computed by `workers` processes.

    With one worker the work is done here. Else processes are spawned, never forked: the caller may have MXNet's
    threads running. Only some items for each worker are under way at any time.
    """
    if workers == 1:
        function = factory(*arguments)
        for item in items:
            yield item, function(item)
        return
    pool = concurrent.futures.ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker,
                                                  (factory, arguments, threads))
    try:
        under_way: collections.deque = collections.deque()
        for item in items:
            under_way.append((item, pool.submit(_work, item)))
            if len(under_way) > 3 * workers:
                item, future = under_way.popleft()
                yield item, future.result()
        for item, future in under_way:
            yield item, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_function: Optional[Callable] = None  # of this worker process


def _start_worker(factory: Callable, arguments: tuple, threads: int) -> None:
    global _function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    _function = factory(*arguments)


def _end_with_parent() -> None:
    """A parent that was killed cannot stop its workers."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _work(item: Any) -> Any:
    return _function(item)


def _text_size(path: pathlib.Path) -> int:
    """Bytes of text in a file; a compressed one is taken to hold four times its size."""
    return path.stat().st_size * (4 if path.suffix == ".gz" else 1)


if __name__ == "__main__":
    sys.exit(main())

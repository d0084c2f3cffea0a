"""`python -m bort_mx prepare`: text files to shuffled, deduplicated, split, tokenised shards.

`bort_mx.data.prepare` holds the stages and says how they work. This file holds the options, the messages, and
`prepare`, which puts the stages together.
"""

import collections
import concurrent.futures.process
import dataclasses
import pathlib
import signal
import sys
from typing import List, Literal, Optional

from bort_mx.commands.last_lines import say_last
from bort_mx.data.corpora.formats import FORMATS
from bort_mx.data.corpora.text_files import AUTO, TextFile, list_files, text_bytes
from bort_mx.data.prepare.buckets import Buckets
from bort_mx.data.prepare.buckets_to_shards import write_shards
from bort_mx.data.prepare.manifest import make_manifest
from bort_mx.data.prepare.output_directory import Claim, publish
from bort_mx.data.prepare.processes import processes_and_threads
from bort_mx.data.prepare.text_to_buckets import fill_buckets
from bort_mx.data.prepare.vocabulary import load_vocabulary, sample_sentences
from bort_mx.data.shards import TOKENIZER
from bort_mx.data.tokenizers import train_sentencepiece
from bort_mx.errors import InputError
from bort_mx.io.output import BAD_PLACE
from bort_mx.options import at_least, parse_options

DECIDES_THE_BYTES = ("seed", "format", "text_column", "min_words", "shard_tokens", "train_vocab", "vocab_sample")
"""The options that the manifest records."""


@dataclasses.dataclass
class PrepareOptions:
    """Options of `python -m bort_mx prepare`."""

    data: List[str]
    """Text files or folders (searched recursively), in UTF-8, plain or .gz, .bz2, .xz. Of .csv, .tsv and JSON lines the
    texts of one column are read."""

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

    format: Literal[(AUTO, *FORMATS)] = "auto"
    """What a line is. auto judges each file by its beginning: wrapped if lines were broken at a width (they are joined
    to paragraphs), else documents if it has 1.3 sentences a line or more, else sentences."""

    text_column: str = "text"
    """Column of .csv, .tsv and JSON lines that holds the text."""

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
    except OSError as error:
        if error.errno in BAD_PLACE:  # the user's to choose otherwise: `bort_mx.cli` tells it
            raise
        print(f"bort-mx prepare: failed: {output}: {error.strerror or error}; nothing was written", file=sys.stderr)
        return 1
    except concurrent.futures.process.BrokenProcessPool as error:
        print(f"bort-mx prepare: failed: {output}: {error}; nothing was written", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bort-mx prepare: stopped; nothing was written", file=sys.stderr)
        return 130
    print(summary(manifest))
    say_last(output, "pretrain", "--data", output)
    return 0


def summary(manifest: dict) -> str:
    """What was prepared and what was dropped, in a few lines."""
    dropped = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in manifest["dropped"].items() if count)
    lines = [f"{name}: {split['sentences']:,} sentences, {split['tokens']:,} tokens"
             for name, split in manifest["splits"].items()]
    lines.append(f"vocabulary: {manifest['vocabulary']['kind']}, {manifest['vocabulary']['size']:,} tokens, "
                 f"{manifest['counts']['unknown_tokens']:,} unknown in the text")
    kinds = collections.Counter(entry["read_as"] for entry in manifest["inputs"])
    lines.append("read as: " + "; ".join(f"{name} ({count} file{'s' if count > 1 else ''})"
                                         for name, count in sorted(kinds.items())))
    return "\n".join([*lines, f"dropped: {dropped or 'nothing'}"])


def prepare(options: PrepareOptions) -> dict:
    """Prepare text as the options say and return the manifest.

    The output directory gets its manifest last: without one, nothing is prepared. A run that is killed leaves no
    manifest, or the earlier run's whole output. The next run starts anew.

    Raises:
        InputError: bad options; a file missing, not text, not UTF-8 or a damaged gzip; no text at all; an unusable
            vocabulary; an output directory with other files in it.
    """
    paths, hidden = list_files(options.data)
    sources = ", ".join(options.data)
    with Claim(pathlib.Path(options.output_dir), options.data) as work:
        if options.train_vocab is None:
            tokenizer = load_vocabulary(options.tokenizer)
        else:
            sample = sample_sentences(paths, options.format, options.vocab_sample, options.text_column)
            tokenizer = train_sentencepiece(sample, options.train_vocab, sources)
        tokenizer.save(work / TOKENIZER)
        size = sum(text_bytes(path) for path in paths)
        workers, threads = processes_and_threads(options.workers, size)
        buckets = Buckets(work, size)
        texts = [TextFile(path, options.format, options.text_column) for path in paths]
        counts = fill_buckets(buckets, texts, work / TOKENIZER, options.seed, options.min_words, workers, threads)
        if not counts["sentences"]:
            raise InputError(f"{sources}: no text in {len(paths)} file(s), nothing to prepare")
        writers, duplicates = write_shards(work, buckets, counts["sentences"], options.shard_tokens, workers)
        counts.update(hidden_files=hidden, duplicates=duplicates)
        made_with = {name: getattr(options, name) for name in DECIDES_THE_BYTES}
        manifest = make_manifest(made_with, tokenizer, texts, counts, work, writers)
        publish(work, pathlib.Path(options.output_dir), manifest)
    return manifest

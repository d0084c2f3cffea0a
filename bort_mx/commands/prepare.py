"""`python -m bort_mx prepare`: text files to shuffled, deduplicated, split, tokenised shards.

`bort_mx.data.prepare` holds the stages and says how they work. This file holds the options, the messages, and
`prepare`, which puts the stages together.
"""

import collections
import dataclasses
import pathlib
import re
import signal
import sys
from typing import Any, ClassVar, Dict, Iterator, List, Literal, Optional, Sequence, Tuple

from bort_mx.commands.last_lines import say_first, say_last
from bort_mx.commands.small_pretraining import on_shards, student_of
from bort_mx.data.corpora.formats import FORMATS
from bort_mx.data.corpora.source import Reading
from bort_mx.data.corpora.text_files import AUTO
from bort_mx.data.prepare.buckets import bucket_bits
from bort_mx.data.prepare.buckets_to_shards import write_shards
from bort_mx.data.prepare.hold_out import FOLDER, parse_hold_out, write_held_out
from bort_mx.data.prepare.manifest import make_manifest
from bort_mx.data.prepare.output_directory import Claim, parts_of_this_plan, publish
from bort_mx.data.prepare.passes import both_passes
from bort_mx.data.prepare.plan import DATA, Input, Partition, list_inputs, make_plan, text_size
from bort_mx.data.prepare.plan import partitions as cut
from bort_mx.data.prepare.tally import by_corpus, table
from bort_mx.data.prepare.text_to_buckets import EncodeSettings
from bort_mx.data.prepare.vocabulary import load_vocabulary, sample_documents, sample_sentences, trained_vocabulary
from bort_mx.data.prepare.workers import Workers, processes_and_threads
from bort_mx.data.shards import TOKENIZER
from bort_mx.data.tokenizers import Tokenizer
from bort_mx.errors import InputError, RunError
from bort_mx.io.output import BAD_PLACE
from bort_mx.options import at_least, check, parse_options, within

DECIDES_THE_BYTES = ("seed", "format", "text_column", "min_words", "shard_tokens", "train_vocab", "vocab_sample")
"""The options that the manifest records."""
OF_CORPORA = ("corpus", "from_date", "to_date", "hold_out", "near_duplicates")
"""Those that it records where corpora are given."""
REPEATED = ("--corpus", "--hold-out")
DATE = re.compile(r"\d{4}-\d\d(?:-\d\d)?")
SHORT = {"--from": "--from-date", "--to": "--to-date"}


@dataclasses.dataclass
class PrepareOptions:
    """Options of `python -m bort_mx prepare`."""

    EITHER: ClassVar[Tuple[Tuple[str, ...], ...]] = (("tokenizer", "train_vocab"),)

    data: List[str] = dataclasses.field(default_factory=list)
    """Text files or folders (searched recursively), in UTF-8, plain or .gz, .bz2, .xz. Of .csv, .tsv and JSON lines the
    texts of one column are read."""

    output_dir: Optional[str] = None
    """Directory to write; new, empty, or an earlier output of prepare, which is replaced once the new one is whole."""

    tokenizer: Optional[str] = None
    """Vocabulary: a directory with vocab.json and merges.txt, vocab.txt or sentencepiece.model, or one such file; a
    checkpoint, the output folder of a run, or a name on the Hugging Face Hub, for the vocabulary of that model."""

    train_vocab: Optional[int] = None
    """Instead of --tokenizer: train a SentencePiece vocabulary of this many tokens on the text."""

    corpus: List[str] = dataclasses.field(default_factory=list)
    """NAME=PATH, once or more: a corpus in the form it is published in, a file or a folder. Names: wikipedia,
    wiktionary, openwebtext, urbandictionary, one_billion_words, cc_news, bookcorpus, text (see docs/corpora.md). What
    cannot be read is named, dropped and counted."""

    strict: bool = False
    """Stop at damage in a corpus's files, instead of keeping what was read before it."""

    from_date: Optional[str] = None
    """First date of CC-News (--from, for short): YYYY-MM or YYYY-MM-DD. Without it: 2016-09."""

    to_date: Optional[str] = None
    """Last date of CC-News (--to, for short). Without it: 2019-02, to its last day."""

    hold_out: List[str] = dataclasses.field(default_factory=list)
    """CORPUS=NUMBER: write so many sentences of a corpus to hold-out/CORPUS.txt, and keep them out of all splits. The
    paper's search evaluates on bookcorpus=11828."""

    near_duplicates: Optional[float] = None
    """Leave out documents of corpora that are as similar as this, or more, to one before them: the Jaccard similarity
    of their word trigrams, estimated by MinHash. 0.8 is usual. Without it: only equal sentences are dropped."""

    scheduler: Optional[str] = None
    """What runs the tasks. Without it: processes of this program. local means Dask's LocalCluster; or the address of a
    Dask scheduler, tcp://HOST:8786, whose workers see the same files."""

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
        if not self.output_dir:
            raise InputError("--output-dir must be given; see --help")
        if not self.data and not self.corpus:
            raise InputError("--data: give at least one text file or folder, or --corpus NAME=PATH")
        check(self, ("from_date", "to_date"), lambda value: not value or DATE.fullmatch(value),
              "must be YYYY-MM or YYYY-MM-DD")
        corpora = [entry.partition("=")[0] for entry in self.corpus]
        parse_hold_out(self.hold_out, corpora)
        if self.near_duplicates is not None and not corpora:
            raise InputError(f"--near-duplicates {self.near_duplicates}: compares the documents of corpora; give some "
                             "by --corpus NAME=PATH")
        if (self.from_date or self.to_date) and "cc_news" not in corpora:
            raise InputError("--from and --to are dates of CC-News; give it by --corpus cc_news=PATH, or leave them "
                             "out")
        if (self.tokenizer is None) == (self.train_vocab is None):
            given = "both were given" if self.tokenizer else "neither was given"
            raise InputError(f"give either --tokenizer NAME|DIR or --train-vocab N; {given}")
        within(self, "(0, 1]", "near_duplicates")
        at_least(self, 0, "workers")
        at_least(self, 1, "min_words", "shard_tokens", "vocab_sample")
        if self.train_vocab is not None and not 300 <= self.train_vocab <= 65536:
            raise InputError(f"--train-vocab must be from 300 (256 bytes, special tokens and some pieces) to 65536 "
                             f"(ids are stored in 16 bits), not {self.train_vocab}")

    @property
    def reading(self) -> Reading:
        """How corpora are read."""
        return Reading(self.strict, self.from_date or "", self.to_date or "")

    @property
    def given(self) -> List[str]:
        """Files and folders as they were given."""
        return [*self.data, *(entry.partition("=")[2] for entry in self.corpus)]

    @property
    def decides_the_bytes(self) -> Dict[str, Any]:
        """The options that the manifest records."""
        return {name: getattr(self, name) for name in (*DECIDES_THE_BYTES, *(OF_CORPORA if self.corpus else ()))}

    def plan(self, partitions: Sequence[Partition], vocabulary: Optional[Tokenizer]) -> dict:
        """Everything that decides the bytes. A run goes on from the work of another if their plans are equal."""
        return make_plan({**self.decides_the_bytes, "strict": self.strict,
                          "tokenizer": vocabulary.digest if vocabulary else None}, partitions)


def joined(argv: Sequence[str]) -> List[str]:
    """Arguments with the values of repeated options behind the first, and short names spelled out."""
    words: List[str] = []
    for word in argv:
        name, equals, value = word.partition("=")
        name = SHORT.get(name, name)
        words += [name, value] if equals and name in REPEATED else [name + equals + value]
    groups: List[List[str]] = [[]]  # each an option with its values
    for word in words:
        first = next((group for group in groups if group[:1] == [word] and word in REPEATED), None)
        if first is not None:
            groups.append(first)  # what follows goes to it
        elif word.startswith("--"):
            groups.append([word])
        else:
            groups[-1].append(word)
    seen = {id(group): group for group in groups}
    return [word for group in seen.values() for word in group]


def main(argv: Optional[List[str]] = None) -> int:
    """The command; returns the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop as on Ctrl-C, and clean up
    output = ""
    try:
        options = parse_options(PrepareOptions, joined(sys.argv[1:] if argv is None else argv), "bort-mx prepare",
                                "Turn text files into token shards.")
        output = options.output_dir
        say_first(f"preparing {', '.join(options.given)} into {output}")
        manifest = prepare(options)
    except InputError as error:
        print(f"bort-mx prepare: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno in BAD_PLACE:  # the user's to choose otherwise: `bort_mx.cli` tells it
            raise
        print(f"bort-mx prepare: failed: {output}: {error.strerror or error}; nothing was written", file=sys.stderr)
        return 1
    except RunError as error:
        print(f"bort-mx prepare: failed: {output}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        raise KeyboardInterrupt("by the user; what is finished is kept") from None
    print(summary(manifest))
    say_last(output, *on_shards(output, options.tokenizer), instead=student_of(output, options.tokenizer),
             note="a small model from it, in an hour")
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
    lines.append(f"dropped: {dropped or 'nothing'}")
    if "corpora" in manifest:
        lines.append(table(manifest["corpora"]))
    return "\n".join(lines)


def prepare(options: PrepareOptions) -> dict:
    """Prepare text as the options say and return the manifest.

    The output directory gets its manifest last: without one, nothing is prepared. A run that is stopped or killed
    leaves what it has finished in a folder of its own there, and the same command goes on from it, to the same bytes.

    Raises:
        InputError: bad options; a file missing, or not text, or damaged; no text at all; an unusable vocabulary; an
            output directory with other files in it.
        RunError: workers died again and again.
    """
    inputs, hidden = list_inputs(options.data, options.corpus)
    with Claim(pathlib.Path(options.output_dir), options.given) as work:
        partitions = cut(inputs, options.format, options.text_column)
        given = load_vocabulary(options.tokenizer) if options.tokenizer else None
        folder, resumed = parts_of_this_plan(work, options.plan(partitions, given))
        if resumed:
            print(f"going on with what is finished in {work}", flush=True)
        sample = _sample(inputs, options.reading, options.format, options.text_column, options.vocab_sample)
        tokenizer = given or trained_vocabulary(folder / TOKENIZER, sample, options.train_vocab,
                                                ", ".join(options.given))
        tokenizer.save(work / TOKENIZER)
        size = text_size(inputs)
        workers, threads = processes_and_threads(options.workers, size)
        settings = EncodeSettings(folder.absolute(), (work / TOKENIZER).absolute(), tokenizer.digest, options.seed,
                                  options.min_words, bucket_bits(size), options.format, options.text_column,
                                  options.reading, pathlib.Path.cwd() if options.scheduler else pathlib.Path())
        with Workers(options.scheduler or "", workers, threads) as pool:
            passed = both_passes(partitions, settings, options.hold_out, options.near_duplicates, pool)
        if not passed.sentences:
            raise InputError(f"{', '.join(options.given)}: no text in {sum(len(entry.paths) for entry in inputs)} "
                             "file(s), nothing to prepare")
        writers, held_out = write_shards(folder, work, passed.sorted, options.shard_tokens)
        manifest = make_manifest(options.decides_the_bytes, tokenizer, passed.inputs, passed.counts(hidden), work,
                                 writers)
        if options.corpus:
            manifest.update(corpora=by_corpus(passed.corpora, passed.by_corpus, list(passed.sorted.values())),
                            problems=passed.problems)
            manifest["files"].update(write_held_out(work, held_out, tokenizer))
        publish(work, pathlib.Path(options.output_dir), manifest, (FOLDER,))
    return manifest


def _sample(inputs: List[Input], reading: Reading, text_format: str, text_column: str,
            megabytes: int) -> Iterator[str]:
    """Sentences to train a vocabulary on."""
    of_data = [path for entry in inputs if entry.corpus == DATA for path in entry.paths]
    if of_data:
        yield from sample_sentences(of_data, text_format, megabytes, text_column)
    yield from sample_documents([entry for entry in inputs if entry.corpus != DATA], reading, megabytes)

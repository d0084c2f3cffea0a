"""The vocabulary of `prepare`: loaded, or trained on a sample of the text."""

import dataclasses
import itertools
import os
import pathlib
from typing import Iterable, Iterator, List

from bort_mx.data.corpora.formats import block_sentences
from bort_mx.data.corpora.readers import CORPORA
from bort_mx.data.corpora.source import Piece, Reading, Source
from bort_mx.data.corpora.text_files import TextFile, text_bytes
from bort_mx.data.prepare.plan import Input
from bort_mx.data.text import clean_sentences
from bort_mx.data.tokenizers import Tokenizer, load_tokenizer, train_sentencepiece
from bort_mx.errors import InputError
from bort_mx.io.output import whole_folder
from bort_mx.progress import Progress

MOST_TOKENS = 1 << 16  # ids are stored in 16 bits
RUN = 1 << 16  # bytes of text that a sample takes at a time, at least


def load_vocabulary(path: os.PathLike) -> Tokenizer:
    """A vocabulary whose ids fit in the shards.

    Raises:
        InputError: no vocabulary there, a damaged one, or one of more than 65,536 tokens.
    """
    tokenizer = load_tokenizer(path)
    if tokenizer.vocab_size > MOST_TOKENS:
        raise InputError(f"{path}: {tokenizer.vocab_size:,} tokens; ids are stored in 16 bits, "
                         "so a vocabulary may have 65,536 at most")
    return tokenizer


def sample_sentences(paths: List[pathlib.Path], text_format: str, megabytes: int,
                     text_column: str = "text") -> Iterator[str]:
    """Sentences of about so many MB of text, in runs of at least 64 kB, evenly spread over the files."""
    total = sum(text_bytes(path) for path in paths)
    share, due = min(1.0, megabytes * 1e6 / max(total, 1)), float(RUN)
    blocks = itertools.chain.from_iterable(TextFile(path, text_format, text_column).blocks() for path in paths)
    with Progress(sum(path.stat().st_size for path in paths), "Reading for the vocabulary", "B") as progress:
        for block in blocks:
            due += share * len(block.data)
            if share == 1 or due >= RUN:
                end = len(block.data) if share == 1 else block.data.find(b"\n", int(due)) + 1 or len(block.data)
                due -= end
                yield from block_sentences(dataclasses.replace(block, data=block.data[:end]))[0]
            progress.update(block.disk)


def trained_vocabulary(folder: pathlib.Path, sample: Iterator[str], size: int, sources: str) -> Tokenizer:
    """A SentencePiece vocabulary trained on a sample; a run that goes on takes the one that it has trained before.

    Args:
        folder: where to keep it.
        sample: sentences, read only if it has to be trained.
        size: its tokens.
        sources: names of files, for errors.
    """
    if not folder.is_dir():
        with whole_folder(folder) as temporary:
            train_sentencepiece(sample, size, sources).save(temporary)
    return load_tokenizer(folder)


def sample_documents(inputs: Iterable[Input], reading: Reading, megabytes: int) -> Iterator[str]:
    """Sentences of corpora: of each file its share of about so many MB, from its beginning."""
    sizes = {(entry.corpus, path): path.stat().st_size for entry in inputs for path in entry.paths}
    for (corpus, path), size in sizes.items():
        quota = megabytes * 1e6 * size / max(1, sum(sizes.values()))
        for document in CORPORA[corpus].documents(Source(Piece(str(path)), reading)):
            quota -= len(document)
            yield from clean_sentences(document + "\n", documents=True)[0] if document.strip() else ()
            if quota < 0:
                break

"""The vocabulary of `prepare`: loaded, or trained on a sample of the text."""

import dataclasses
import itertools
import os
import pathlib
from typing import Iterator, List

from bort_mx.data.corpora.formats import block_sentences
from bort_mx.data.corpora.text_files import TextFile, text_bytes
from bort_mx.data.tokenizers import Tokenizer, load_tokenizer
from bort_mx.errors import InputError
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

"""The tokenizer whose files lie beside a checkpoint's weights."""

import logging
import pathlib
from typing import Optional

from bort_mx.data.tokenizers import Tokenizer, load_tokenizer
from bort_mx.errors import InputError

PADDING = 255
"""Most rows of a model's table beyond its vocabulary: some libraries round up to a multiple of 8 to 256."""
logger = logging.getLogger(__name__)


def read_tokenizer(path: pathlib.Path, vocab_size: int) -> Optional[Tokenizer]:
    """The tokenizer of a directory. Where the directory has no vocabulary: None, and a warning.

    Raises:
        InputError: a damaged vocabulary, or one that is not of the model: with more ids than its `vocab_size`,
            or with so many fewer that it must be cut off.
    """
    tokenizer = find_tokenizer(path)
    if tokenizer is None:
        logger.warning("%s: no vocabulary here (vocab.json and merges.txt, vocab.txt or sentencepiece.model): no "
                       "tokenizer", path)
    elif tokenizer.vocab_size > vocab_size:
        raise InputError(f"{path}: the tokenizer has {tokenizer.vocab_size} ids and the model {vocab_size}; put "
                         "the model's own tokenizer beside it")
    elif vocab_size - tokenizer.vocab_size > PADDING:
        raise InputError(f"{path}: the tokenizer has {tokenizer.vocab_size:,} ids and the model {vocab_size:,}; is its "
                         "vocabulary a download that broke off? Fetch it again")
    return tokenizer


def find_tokenizer(path: pathlib.Path) -> Optional[Tokenizer]:
    """The tokenizer of a directory, or None where it has no vocabulary.

    Raises:
        InputError: a damaged vocabulary.
    """
    found = {entry.name for entry in path.iterdir()}
    whole = {"vocab.json", "merges.txt"} <= found or found & {"vocab.txt", "tokenizer.json", "encoder.json"}
    return load_tokenizer(path) if whole or any(name.endswith((".model", ".spm")) for name in found) else None

"""The tokenizer whose files lie beside a checkpoint's weights."""

import logging
import pathlib
from typing import Optional

from bort_mx.data.tokenizers import Tokenizer, load_tokenizer
from bort_mx.errors import InputError

logger = logging.getLogger(__name__)


def read_tokenizer(path: pathlib.Path, vocab_size: int) -> Optional[Tokenizer]:
    """The tokenizer of a directory. Where the directory has no vocabulary: None, and a warning.

    Raises:
        InputError: a damaged vocabulary, or one with more ids than the model's `vocab_size`.
    """
    tokenizer = find_tokenizer(path)
    if tokenizer is None:
        logger.warning("%s: no vocabulary here (vocab.json and merges.txt, vocab.txt or sentencepiece.model): no "
                       "tokenizer", path)
    elif tokenizer.vocab_size > vocab_size:
        raise InputError(f"{path}: the tokenizer has {tokenizer.vocab_size} ids and the model {vocab_size}; put "
                         "the model's own tokenizer beside it")
    return tokenizer


def find_tokenizer(path: pathlib.Path) -> Optional[Tokenizer]:
    """The tokenizer of a directory, or None where it has no vocabulary.

    Raises:
        InputError: a damaged vocabulary.
    """
    found = {entry.name for entry in path.iterdir()}
    whole = {"vocab.json", "merges.txt"} <= found or found & {"vocab.txt", "tokenizer.json", "encoder.json"}
    return load_tokenizer(path) if whole or any(name.endswith((".model", ".spm")) for name in found) else None

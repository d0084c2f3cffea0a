"""The manifest of prepared text: what made it, counts, and size and hash of every file."""

import pathlib
import platform
from typing import Any, Counter, Dict, Mapping

import numpy as np
import tokenizers

import bort_mx
from bort_mx.data.prepare.shard_writer import ShardWriter
from bort_mx.data.shards import FORMAT, TOKENIZER, VERSION
from bort_mx.data.tokenizers import Tokenizer
from bort_mx.io import files

COUNTED = ("lines", "sentences", "unknown_tokens", "cut_lines")
DROPPED = ("duplicates", "too_short", "without_tokens", "blank_lines", "control_characters", "hidden_files")


def make_manifest(made_with: Mapping[str, Any], tokenizer: Tokenizer, inputs: Mapping[str, dict], counts: Counter[str],
                  work: pathlib.Path, writers: Dict[str, ShardWriter]) -> dict:
    """Everything about the output that does not depend on how many workers made it. Of places it has the inputs' alone.

    Args:
        made_with: the options that decide the bytes.
        tokenizer: the vocabulary.
        inputs: path → size, SHA-256 and reader of each input file.
        counts: of both passes.
        work: the directory that holds the vocabulary's folder.
        writers: split → its finished shards.
    """
    hashed = {name: entry for writer in writers.values() for name, entry in writer.files.items()}
    for path in sorted((work / TOKENIZER).iterdir()):
        hashed[f"{TOKENIZER}/{path.name}"] = {"bytes": path.stat().st_size, "sha256": files.sha256(path)}
    return {
        "format": FORMAT, "version": VERSION, "options": dict(made_with),
        "versions": {"bort_mx": bort_mx.__version__, "tokenizers": tokenizers.__version__, "numpy": np.__version__,
                     "python": platform.python_version()},
        "vocabulary": {"kind": tokenizer.kind, "size": tokenizer.vocab_size, "sha256": tokenizer.digest},
        "inputs": [{"path": path, **inputs[path]} for path in sorted(inputs)],
        "counts": {name: counts[name] for name in COUNTED},
        "dropped": {name: counts[name] for name in DROPPED},
        "splits": {name: {"sentences": sum(shard["sentences"] for shard in writer.shards),
                          "tokens": sum(shard["tokens"] for shard in writer.shards),
                          "shards": writer.shards} for name, writer in writers.items()},
        "files": hashed}

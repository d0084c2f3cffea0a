"""Where the vocabulary of what an option names stands: of a checkpoint, of a run, of prepared shards."""

import os
import pathlib
from typing import Iterator

from bort_mx import hub
from bort_mx.io import files

OF_WEIGHTS = (".safetensors", ".bin", ".pt", ".params", ".onnx")
"""Files beside which a vocabulary stands."""


def vocabulary_place(name: os.PathLike) -> pathlib.Path:
    """The file or folder with the vocabulary, for everything that an option for a checkpoint takes.

    Args:
        name: a vocabulary; a checkpoint of any format; the output folder of a run or of `bort-mx prepare`; a name on
            the Hugging Face Hub.
    Raises:
        InputError: a name of the Hub that is not to be had; a damaged modules.json.
    """
    path = hub.find(name, weights=False)
    if path.is_file():
        return path.parent if path.suffix in OF_WEIGHTS else path
    return next((place for place in _below(path) if place.is_dir()), path)


def _below(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Folders below one without a vocabulary: of shards, of a run's checkpoints, of sentence-transformers."""
    if (path / "manifest.json").is_file():  # of shards, or of a checkpoint, which has no such folder
        yield path / "tokenizer"
    for run in (path, *sorted(path.glob("seed-*"))):  # all checkpoints of a run have one vocabulary
        yield from sorted(config.parent for config in run.glob("checkpoints/*/tokenizer_config.json"))
    if (path / "modules.json").is_file() and not any(path.glob("*vocab*")) and not (path / "tokenizer.json").is_file():
        modules = files.read_json(path / "modules.json")
        first = modules[0] if isinstance(modules, list) and modules else None
        below = first.get("path") if isinstance(first, dict) else None
        if isinstance(below, str) and pathlib.PurePath(below).name == below:
            yield path / below

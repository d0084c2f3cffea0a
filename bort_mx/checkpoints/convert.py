"""A checkpoint of any format that is read, written in another."""

import os
import pathlib
from typing import Callable, Dict, Optional

from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints import gluonnlp, huggingface, huggingface_tokenizer, sentence_transformers
from bort_mx.checkpoints.model_card import model_card
from bort_mx.checkpoints.weights import Weights, check_fit
from bort_mx.io import files
from bort_mx.io.output import new_folder, whole_folder, writing


def convert(weights: Weights, destination: os.PathLike, to: str, license_name: Optional[str] = None) -> None:
    """Write weights in another format, whole or not at all.

    Args:
        weights: what a reader gave (`bort_mx.checkpoints.read`).
        destination: a folder that is not there or is empty.
        to: a name of `WRITERS`.
        license_name: the licence for the model card of "hf"; see `model_card`.
    Raises:
        InputError: something stands at `destination`, or it cannot be written; tensors that do not fit their
            configuration.
    """
    check_fit(weights.tensors, weights.config, weights.source)
    with writing(destination), whole_folder(new_folder(destination), replace=False) as temporary:
        WRITERS[to](temporary, weights)
        if to == "hf":
            files.write_text(temporary / "README.md", model_card(weights, license_name))


def _write_ours(directory: pathlib.Path, weights: Weights) -> None:
    tensors = {name: weights.float32(name) for name in weights.tensors}
    checkpoint_directory.write_files(directory, tensors, weights.tokenizer, weights.config)


def _write_gluon(directory: pathlib.Path, weights: Weights) -> None:
    gluonnlp.write(directory, weights)
    if weights.tokenizer is not None:
        weights.tokenizer.save(directory)


def _write_hugging_face(directory: pathlib.Path, weights: Weights) -> None:
    huggingface.write(directory, weights)
    if weights.tokenizer is not None:
        huggingface_tokenizer.write(directory, weights.tokenizer, weights.config.longest)
    if weights.config.embedding is not None:
        sentence_transformers.write(directory, weights)


WRITERS: Dict[str, Callable[[pathlib.Path, Weights], None]] = {
    "bort-mx": _write_ours,
    "gluon": _write_gluon,
    "hf": _write_hugging_face,
}
"""By name of the format: a function that writes weights into an empty folder. The command takes these names in --to."""

"""A checkpoint of any format that is read, written in another."""

import json
import os
import pathlib
from typing import Callable, Dict

from bort_mx import provenance
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints import gluonnlp, huggingface, huggingface_tokenizer, sentence_transformers
from bort_mx.checkpoints.weights import Weights, check_fit
from bort_mx.io import files
from bort_mx.io.output import new_folder, whole_folder, writing

_TASKS = {"encoder": ("feature-extraction", "AutoModel"), "mlm": ("fill-mask", "AutoModelForMaskedLM"),
          "classifier": ("text-classification", "AutoModelForSequenceClassification")}
_LINEAR_CLASSIFIER = ("Its classifier is one linear layer. As this family has a tanh before its last, it is stored as "
                      "tanh(εx)/ε with ε = 2⁻¹⁶, which differs by about the rounding of float32. Run it in float32 "
                      "or bfloat16: half precision (float16) has not the exponents for it.")


def convert(weights: Weights, destination: os.PathLike, to: str) -> None:
    """Write weights in another format, whole or not at all.

    Args:
        weights: what a reader gave (`bort_mx.checkpoints.read`).
        destination: a folder that is not there or is empty.
        to: a name of `WRITERS`.
    Raises:
        InputError: something stands at `destination`, or it cannot be written; tensors that do not fit their
            configuration.
    """
    check_fit(weights.tensors, weights.config, weights.source)
    with writing(destination), whole_folder(new_folder(destination), replace=False) as temporary:
        WRITERS[to](temporary, weights)


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
    files.write_text(directory / "README.md", model_card(weights))


WRITERS: Dict[str, Callable[[pathlib.Path, Weights], None]] = {
    "bort-mx": _write_ours,
    "gluon": _write_gluon,
    "hf": _write_hugging_face,
}
"""By name of the format: a function that writes weights into an empty folder. The command takes these names in --to."""


def model_card(weights: Weights) -> str:
    """A README.md for the Hub: what the model is, how to load it, and the run that it comes from."""
    config = weights.config
    source = pathlib.Path(os.path.abspath(weights.source))
    D, A, H, I = config.architecture.as_tuple()
    size = config.architecture.parameters(config.vocab_size, config.num_positions)
    task, auto = _TASKS[config.head]
    sections = [
        f"---\nlibrary_name: transformers\npipeline_tag: {task}\ntags:\n- bort\n- bort_mx\n---", f"# {_title(source)}",
        f"A `{config.family}` model with {D} layers, {A} attention heads, hidden size {H} and intermediate size {I}: "
        f"{size:,} parameters by eq. 13 of arXiv 2010.10499. Converted by bort_mx.",
        *([_LINEAR_CLASSIFIER] if config.head == "classifier" and not config.pooler else []),
        f"```python\nfrom transformers import {auto}, AutoTokenizer\n\n"
        f"model = {auto}.from_pretrained(\"this folder\")\n"
        f"tokenizer = AutoTokenizer.from_pretrained(\"this folder\")\n```",
        "## Provenance", _json_block("Converted by", provenance.provenance()),
        *(_json_block(title, value) for title, value in _run_of(source).items())]
    return "\n\n".join(sections) + "\n"


def _title(source: pathlib.Path) -> str:
    """The name of the run that a checkpoint belongs to, else its own."""
    return source.parent.parent.name if source.parent.name == checkpoint_directory.CHECKPOINTS else source.name


def _run_of(source: pathlib.Path) -> Dict[str, Dict]:
    """What the run that wrote a checkpoint of ours says of itself: its options and versions, its step, its results."""
    if not checkpoint_directory.is_checkpoint(source):
        return {"Converted from": {"format": "not a checkpoint of bort_mx; its training is not known here"}}
    places = {"Progress of the checkpoint": source / checkpoint_directory.PROGRESS}
    # Elsewhere, what lies two folders up belongs to something else.
    if source.parent.name == checkpoint_directory.CHECKPOINTS:
        run = source.parent.parent
        places.update({"Run": run / checkpoint_directory.CONFIG, "Results of the run": run / "results.json"})
    return {title: files.read_json(path) for title, path in places.items() if path.is_file()}


def _json_block(title: str, value: Dict) -> str:
    return f"{title}:\n\n```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```"

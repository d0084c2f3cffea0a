"""Read a checkpoint of any known format, and build the model from it.

A new format is a file with a `Format` (see `weights.py`) and one line in `FORMATS`.
"""

import hashlib
import logging
import os
import pathlib
from typing import Any, Dict, List, Optional, Tuple

from bort_mx import hub
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints import fairseq, gluonnlp, huggingface, sentence_transformers, tensor_names
from bort_mx.checkpoints.huggingface_files import OF_OTHERS
from bort_mx.checkpoints.recorded_run import json_object
from bort_mx.checkpoints.weights import Format, Weights, check_shapes
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.io.near_names import missing
from bort_mx.models.bert import BERT, parameters_of
from bort_mx.models.build import build_from_config
from bort_mx.models.config import ModelConfig
from bort_mx.models.initialization import initialize

FORMATS: List[Format] = [  # asked in this order: the first that recognises a path reads it
    checkpoint_directory.FORMAT,
    sentence_transformers.FORMAT,
    huggingface.FORMAT,
    fairseq.FORMAT,
    gluonnlp.FORMAT,
]
logger = logging.getLogger(__name__)


# -- reading -----------------------------------------------------------------------------------------------------


def read(path: os.PathLike, num_heads: Optional[int] = None) -> Weights:
    """Read a checkpoint of any format in `FORMATS`.

    Args:
        path: one of
            - a checkpoint directory of ours;
            - the output directory of a run. The best epoch is read if the run fine-tuned, else the newest checkpoint;
              of several seeds, that of the best seed. Damaged checkpoints are passed over with a warning;
            - a Hugging Face directory of the families roberta, bert and bort, or one of sentence-transformers;
            - fairseq's model.pt, GluonNLP's .params, or a directory with one of them;
            - a name on the Hugging Face Hub.
        num_heads: A, for fairseq and GluonNLP, whose files may not say it.
    Raises:
        InputError: no such checkpoint, no known format, a damaged or hostile file, or a file with another A.
    """
    if num_heads is not None and num_heads < 1:
        raise InputError(f"num_heads is {num_heads}; it must be at least 1")
    try:
        weights = _read(path, num_heads)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{error.filename or path}: cannot be read ({error.strerror or error})") from None
    except (RecursionError, ValueError) as error:  # JSON nested without end, or a number of too many digits
        raise InputError(f"{path}: damaged ({' '.join(str(error).split())[:100]}); fetch or copy it again") from None
    found = weights.config.architecture.num_heads
    if num_heads not in (None, found):
        raise InputError(f"{weights.source}: has {found} heads by its configuration, not {num_heads}")
    return weights


def _read(path: os.PathLike, num_heads: Optional[int]) -> Weights:
    """As `read`; errors of Python's own may leave it."""
    path = hub.find(path)
    if not path.exists():
        raise InputError(missing(path, "no such file or directory"))
    path = checkpoint_directory.of_output(path) or path
    form = _format_of(path)
    if form is None and path.is_dir():  # perhaps of a format that is one file
        path = _single_file(path)
        form = _format_of(path)
    if form is None:
        _refuse_search(path)
        *most, last = [form.name for form in FORMATS]
        raise InputError(f"{path}: not a checkpoint{_what_it_holds(path)}; known are {', '.join(most)} and {last}")
    return form.read(path, num_heads)


def _refuse_search(path: pathlib.Path) -> None:
    """Raises InputError for the folder of a search, whose winner is an architecture without weights."""
    options = json_object(path / checkpoint_directory.CONFIG).get("options")
    if not isinstance(options, dict) or not {"epsilon", "representative"} <= set(options):
        return
    teacher = options.get("teacher") or path / "teacher"
    raise InputError(f"{path}: this is a search, not a model; pre-train its winner by run_pretraining.py "
                     f"--architecture {path / checkpoint_directory.RESULTS} --teacher {teacher} --data SHARDS, and "
                     "give the folder of that run")


def _what_it_holds(path: pathlib.Path) -> str:
    """Words on a folder that is no checkpoint: files of other programs, or checkpoints one folder below."""
    if not path.is_dir():
        return ""
    found = [f"{name} is {what}" for name, what in OF_OTHERS.items() if (path / name).is_file()]
    below = sorted(place.name for place in path.iterdir() if place.is_dir() and _format_of(place))
    found += [f"{', '.join(below[:5])} below it {'is one' if len(below) == 1 else 'are'}"] if below else []
    return f" ({'; '.join(found)})" if found else ""


def _format_of(path: pathlib.Path) -> Optional[Format]:
    return next((form for form in FORMATS if form.recognises(path)), None)


def _single_file(directory: pathlib.Path) -> pathlib.Path:
    """The one file of a directory that is a checkpoint, or the directory itself where there is none."""
    found = sorted(path for path in directory.iterdir() if path.is_file() and _format_of(path))
    if len(found) > 1:
        raise InputError(f"{directory}: which one is meant, {' or '.join(p.name for p in found)}? Give the file")
    return found[0] if found else directory


def fingerprint(path: os.PathLike) -> str:
    """SHA-256 over the files of a checkpoint that `read` reads: equal for the same model in the same format.

    Raises:
        InputError: nothing is there, or it cannot be read.
    """
    path = pathlib.Path(path)
    path = checkpoint_directory.of_output(path) or path
    digest = hashlib.sha256()
    try:
        if checkpoint_directory.is_checkpoint(path):
            parts = [path / checkpoint_directory.MANIFEST]  # it has the hashes of the others
        else:
            parts = _parts(path)
        for part in parts:
            digest.update(f"{part.name} {files.sha256(part)}\n".encode())
    except OSError as error:
        raise InputError(f"{error.filename or path}: cannot be read ({error.strerror or error})") from None
    return digest.hexdigest()


def _parts(path: pathlib.Path) -> List[pathlib.Path]:
    """Files of tensors, configuration and tokenizer of a foreign checkpoint; safetensors before other files."""
    suffixes = {suffix for form in FORMATS for suffix in form.suffixes}
    others = sentence_transformers.folders(path) if sentence_transformers.recognises(path) else []
    found: List[pathlib.Path] = []
    for folder in (path.parent if path.is_file() else path, *others):
        beside = sorted(part for part in folder.iterdir() if part.is_file())
        tensors = [path] if path.is_file() else (
            [part for part in beside if part.suffix == ".safetensors"]
            or [part for part in beside if part.suffix in suffixes])
        found += [*tensors, *(part for part in beside if part.suffix in (".json", ".txt", ".model", ".bpe"))]
    return found


# -- building ----------------------------------------------------------------------------------------------------


def load(path: os.PathLike, head: Optional[str] = None, *, seed: int = 0, num_heads: Optional[int] = None,
         **changes) -> Tuple[BERT, Any, ModelConfig]:
    """Load a model from a checkpoint of any format in `FORMATS`.

    Args:
        path: a checkpoint, or a name on the Hugging Face Hub; see `read`.
        head: "encoder", "mlm" or "classifier"; by default the one that the checkpoint holds. A head that the
            checkpoint lacks is initialised, and a warning names its tensors. A head not asked for is left out.
        seed: random seed for what is initialised.
        num_heads: A, for files that do not say it (see `read`).
        changes: further fields of `ModelConfig` to change, e.g. num_labels=3, dropout=0.
    Returns:
        the model, its tokenizer (None where the checkpoint has none), and the model's configuration.
        `model.initialized` lists the names of the tensors that were initialised.
    Raises:
        InputError: no such checkpoint, a damaged one, or tensors that do not fit.
    """
    weights = read(path, num_heads)
    model = assemble(weights, head, seed=seed, **changes)
    return model, weights.tokenizer, model.config


def assemble(weights: Weights, head: Optional[str] = None, *, seed: int = 0, **changes) -> BERT:
    """Build the model and set its weights; see `load`.

    Raises:
        InputError: tensors of the encoder are missing, unknown or of another shape; all kinds in one line.
    """
    config = weights.config.replace(**({"head": head} if head else {}), **changes)
    model = build_from_config(config, seed=None, gradients=False)
    parameters = parameters_of(model)
    shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    tensors = _taken(weights.tensors, shapes, config.pooling == weights.config.pooling)
    missing = sorted(name for name in shapes if name.startswith(tensor_names.HEADS) and name not in tensors)
    needed = {name: shape for name, shape in shapes.items() if name not in missing}
    check_shapes(tensors, needed, weights.source, f"the model {config.architecture}")
    for name in needed:
        parameters[name].set_data(weights.float32(name))
    initialize(model, seed, missing)
    model.collect_params().setattr("grad_req", "write")  # only now: filling needs room for a tensor beside the weights
    model.initialized = missing
    if config.embedding:
        model.embedding_tensors = {name: weights.float32(name) for name in config.embedding.shapes(
            config.architecture.hidden_size)}
    if missing:
        logger.warning("%s: %s", weights.source, _what_is_new(missing, [*shapes], config))
    return model


NEW_HEADS = {"pooler.": "pooler", "classifier.": "classifier", "decoder.": "MLM head"}
"""How the names of a head's tensors begin → what it is called."""


def _what_is_new(missing: List[str], names: List[str], config: ModelConfig) -> str:
    """What is initialised: whole heads in words, single tensors by name.

    Args:
        missing: the tensors that the checkpoint lacks.
        names: all tensors of the model.
        config: the model's.
    """
    heads = {start: [name for name in names if name.startswith(start)] for start in NEW_HEADS}
    new = [start for start, of_head in heads.items() if of_head and set(of_head) <= set(missing)]
    others = [name for name in missing if not name.startswith(tuple(new))]
    if others:
        return f"initialised, as the checkpoint lacks them: {', '.join(missing)}"
    outputs = "" if "classifier." not in new else (
        f" for {config.num_labels} labels" if config.num_labels > 1 else " for a number")
    return f"a new {' and '.join(NEW_HEADS[start] for start in new)}{outputs}, not trained yet"


def _taken(tensors: Dict[str, Any], shapes: Dict[str, Tuple[int, ...]], same_inputs: bool) -> Dict[str, Any]:
    """The tensors that a model takes: the encoder's; of heads those that it has; of a classifier those of its size, if
    it reads what it was trained to read (`same_inputs`).
    """
    def is_taken(name: str) -> bool:
        """Whether the model has a place for this tensor."""
        if not name.startswith(tensor_names.HEADS):
            return True
        fits = not name.startswith("classifier.") or (same_inputs and tuple(tensors[name].shape) == shapes.get(name))
        return name in shapes and fits

    return {name: tensor for name, tensor in tensors.items() if is_taken(name)}

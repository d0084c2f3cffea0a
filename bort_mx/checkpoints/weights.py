"""Weights read from any format, and the model made of them."""

import dataclasses
import hashlib
import logging
import os
import pathlib
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from bort_mx.checkpoints import lazy_tensor, tensor_names
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.models.bert import BERT, ModelConfig, build_from_config, parameters_of
from bort_mx.models.initialization import initialize

logger = logging.getLogger(__name__)


@dataclasses.dataclass
class Weights:
    """What a reader of some format hands on."""

    config: ModelConfig
    """The model that the tensors belong to, with the head they hold ("encoder" if they hold none)."""
    tensors: Dict[str, Any]
    """Tensors by GluonNLP's names (`bort_mx.models.parameters_of`): arrays, or `stored.StoredTensor`s, which stay in
    their file until they are asked for."""
    tokenizer: Any
    """A `bort_mx.data.tokenizers.Tokenizer`, or None where the files have none."""
    source: str
    """The path, for messages."""

    def float32(self, name: str) -> np.ndarray:
        """One tensor, contiguous, in float32.

        Raises:
            InputError: it holds values that are not finite, or not in float32.
        """
        with np.errstate(over="ignore"):  # said below
            values = lazy_tensor.float32(self.tensors[name])
        if values.size and not (np.isfinite(values.min()) and np.isfinite(values.max())):  # takes no memory
            raise InputError(f"{self.source}: {name} holds values that are not finite in float32; use other weights")
        return values


    def without_padding(self) -> "Weights":
        """These, with as many rows for the vocabulary as the tokenizer has ids: libraries that round the rows up to a
        multiple of 8 or 64 leave some that no id reaches.
        """
        size = self.config.vocab_size if self.tokenizer is None else self.tokenizer.vocab_size
        cut = {name: lazy_tensor.rows(self.tensors[name], 0, size)
               for name in tensor_names.BY_VOCABULARY if name in self.tensors}
        return dataclasses.replace(self, config=self.config.replace(vocab_size=size), tensors={**self.tensors, **cut})


def fingerprint(path: os.PathLike) -> str:
    """SHA-256 over those files of a checkpoint that `read` reads: the same model in the same format has the same.

    Raises:
        InputError: nothing is there, or it cannot be read.
    """
    from bort_mx.checkpoints import directory as checkpoint_directory

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
    """Weights, configuration and tokenizer files of a foreign checkpoint; of weights in two forms the safer one."""
    beside = sorted(part for part in (path.parent if path.is_file() else path).iterdir() if part.is_file())
    tensors = [path] if path.is_file() else (
        [part for part in beside if part.suffix == ".safetensors"]
        or [part for part in beside if part.suffix in (".bin", ".pt", ".params")])
    return [*tensors, *(part for part in beside if part.suffix in (".json", ".txt", ".model", ".bpe"))]


def read(path: os.PathLike, num_heads: Optional[int] = None) -> Weights:
    """Read a checkpoint of any format that this project knows, chosen by what is found.

    Args:
        path: a checkpoint directory of ours, or a run's output directory (its best epoch if it was fine-tuned, of
            several seeds that of the best one, else its newest checkpoint; damaged ones are passed over with a
            warning); a Hugging Face directory of the families roberta, bert and bort; fairseq's model.pt; GluonNLP's
            .params; a directory with one of the latter two; or a name on the Hugging Face Hub.
        num_heads: A, for fairseq and GluonNLP, whose files may not say it.
    Raises:
        InputError: no such checkpoint, not a known format, a damaged or hostile one, or one that says another A.
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
    from bort_mx.checkpoints import directory as checkpoint_directory
    from bort_mx.checkpoints import fairseq, gluonnlp, hub, huggingface

    if not os.path.exists(path) and hub.is_name(str(path)):
        path = hub.fetch(str(path))
    path = pathlib.Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or directory")
    path = checkpoint_directory.of_output(path) or path
    if checkpoint_directory.is_checkpoint(path):
        return checkpoint_directory.read(path)
    if huggingface.is_directory(path):
        return huggingface.read(path)
    file = _single_file(path) if path.is_dir() else path
    if file.suffix == ".params":
        return gluonnlp.read(file, num_heads)
    if file.suffix == ".pt":
        return fairseq.read(file, num_heads)
    if file.name in huggingface.WEIGHT_FILES:
        return huggingface.read(file.parent, file.name)
    raise InputError(f"{path}: not a checkpoint; known are a folder of bort_mx, a Hugging Face folder (config.json and "
                     f"{' or '.join(huggingface.WEIGHT_FILES)}), fairseq's model.pt and GluonNLP's .params")


def _single_file(directory: pathlib.Path) -> pathlib.Path:
    """The one .params or .pt file of a directory, or the directory itself where there is none."""
    found = sorted(p for p in directory.iterdir() if p.suffix in (".params", ".pt") and p.is_file())
    if len(found) > 1:
        raise InputError(f"{directory}: which one is meant, {' or '.join(p.name for p in found)}? Give the file")
    return found[0] if found else directory


def load(path: os.PathLike, head: Optional[str] = None, *, seed: int = 0, num_heads: Optional[int] = None,
         **changes) -> Tuple[BERT, Any, ModelConfig]:
    """Load a model from a checkpoint of any format that this project knows.

    Args:
        path: a checkpoint, or a name on the Hugging Face Hub; see `read`.
        head: "encoder", "mlm" or "classifier"; by default the one that the checkpoint holds. A head that it lacks is
            initialised from `seed`, and its tensors are named in a warning; a head not asked for is left out.
        seed: for what is initialised.
        num_heads: A, for files that do not say it (see `read`).
        changes: further fields of `ModelConfig` to change, e.g. num_labels=3, dropout=0.
    Returns:
        the model, its tokenizer (None where the checkpoint has none), and the model's configuration. What was
        initialised stands in `model.initialized`, a list of names.
    Raises:
        InputError: no such checkpoint, a damaged one, or tensors that do not fit.
    """
    weights = read(path, num_heads)
    model = assemble(weights, head, seed=seed, **changes)
    return model, weights.tokenizer, model.config


def assemble(weights: Weights, head: Optional[str] = None, *, seed: int = 0, **changes) -> BERT:
    """Build the model and set its weights; see `load`.

    Raises:
        InputError: tensors of the encoder missing, tensors of no known place, or a shape that does not fit; all listed.
    """
    config = weights.config.replace(**({"head": head} if head else {}), **changes)
    model = build_from_config(config, seed=None, gradients=False)
    parameters = parameters_of(model)
    missing, unknown, ill_shaped = _compare(weights.tensors, parameters, config)
    if unknown or ill_shaped or any(not _of_head(name) for name in missing):
        raise InputError(f"{weights.source}: the tensors do not fit the model {config.architecture}: "
                         + "; ".join(_problems(missing, unknown, ill_shaped, weights.tensors, parameters)))
    for name, parameter in parameters.items():
        if name not in missing:
            parameter.set_data(weights.float32(name))
    initialize(model, seed, missing)
    model.collect_params().setattr("grad_req", "write")  # only now: filling needs room for a tensor beside the weights
    model.initialized = sorted(missing)
    if missing:
        logger.warning("%s: initialised, as the checkpoint lacks them: %s", weights.source, ", ".join(sorted(missing)))
    return model


def _of_head(name: str) -> bool:
    return name.startswith(("decoder.", "classifier.", "pooler."))


def _compare(tensors, parameters, config: ModelConfig) -> Tuple[List[str], List[str], List[str]]:
    """Names missing, names of no place, and names of another shape. A head of another size counts as missing."""
    missing = [name for name in parameters if name not in tensors]
    unknown = [name for name in tensors if name not in parameters and not _of_head(name)]
    ill_shaped = []
    for name in set(tensors) & set(parameters):
        if tuple(tensors[name].shape) != tuple(parameters[name].shape):
            (missing if name.startswith("classifier.") else ill_shaped).append(name)
    return missing, unknown, ill_shaped


def _problems(missing, unknown, ill_shaped, tensors, parameters) -> List[str]:
    shapes = [f"{n} is {tuple(tensors[n].shape)}, not {tuple(parameters[n].shape)}" for n in sorted(ill_shaped)]
    rows = (("missing", sorted(n for n in missing if not _of_head(n))), ("unknown", sorted(unknown)),
            ("ill-shaped", shapes))
    return [f"{what}: {', '.join(names)}" for what, names in rows if names]


def tensors_digest(tensors: Mapping[str, Any], before: str = "", after: str = "", typed: bool = False) -> str:
    """SHA-256 over tensors by name, in float32: the same model has the same in whatever format it is stored.

    Args:
        tensors: arrays of NumPy or MXNet, or `lazy_tensor.StoredTensor`s; read one after another.
        before, after: what else is to be told apart, e.g. the configuration and the vocabulary.
        typed: keep each tensor's own type, and tell it.
    """
    total = hashlib.sha256(before.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        tensor = tensor.asnumpy() if hasattr(tensor, "asnumpy") else tensor
        tensor = tensor if typed else lazy_tensor.float32(tensor)
        total.update(name.encode() + (str(tensor.dtype).encode() if typed else b""))
        total.update(np.ascontiguousarray(tensor).tobytes())
    total.update(after.encode())
    return total.hexdigest()

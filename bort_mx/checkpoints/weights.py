"""Weights read from any format: the type, the digest of tensors, and the check whether tensors fit a model."""

import dataclasses
import hashlib
import math
import pathlib
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import numpy as np

from bort_mx.checkpoints import lazy_tensor, tensor_names
from bort_mx.errors import InputError
from bort_mx.models.config import ModelConfig


@dataclasses.dataclass
class Weights:
    """What the reader of a format returns."""

    config: ModelConfig
    """The model that the tensors belong to, with the head they hold ("encoder" if they hold none)."""
    tensors: Dict[str, Any]
    """Tensors by GluonNLP's names (`bort_mx.models.parameters_of`): arrays, or `lazy_tensor.StoredTensor`s, which stay
    in their file until they are asked for."""
    tokenizer: Any
    """A `bort_mx.data.tokenizers.Tokenizer`, or None where the files have none."""
    source: str
    """The path, for messages."""

    def float32(self, name: str) -> np.ndarray:
        """One tensor, contiguous, in float32.

        Raises:
            InputError: a value is not finite, or not in float32's range.
        """
        with np.errstate(over="ignore"):  # the error below says it
            values = lazy_tensor.float32(self.tensors[name])
        # Minimum and maximum are NaN or infinite if any value is; np.isfinite of all values would need their memory.
        if values.size and not (np.isfinite(values.min()) and np.isfinite(values.max())):
            raise InputError(f"{self.source}: {name} holds values that are not finite in float32; use other weights")
        return values

    def without_padding(self) -> "Weights":
        """The weights with one row of the vocabulary for each id of the tokenizer.

        Some libraries round the rows up to a multiple of 8 or 64. No id reaches the additional ones.
        """
        size = self.config.vocab_size if self.tokenizer is None else self.tokenizer.vocab_size
        cut = {name: lazy_tensor.rows(self.tensors[name], 0, size)
               for name in tensor_names.BY_VOCABULARY if name in self.tensors}
        return dataclasses.replace(self, config=self.config.replace(vocab_size=size), tensors={**self.tensors, **cut})


@dataclasses.dataclass(frozen=True)
class Format:
    """How checkpoints of a format are recognised and read. Each format offers one; `loading.FORMATS` lists them."""

    name: str
    """For messages: what such a checkpoint consists of."""
    recognises: Callable[[pathlib.Path], bool]
    """Whether an existing file or directory is of this format. It must not raise."""
    read: Callable[[pathlib.Path, Optional[int]], Weights]
    """(path, num_heads) → the weights. num_heads is A where the caller gave it; formats that say A may ignore it."""
    suffixes: Tuple[str, ...] = ()
    """Endings of files that hold tensors (".params"); `loading.fingerprint` covers such files of a directory."""


# -- the digest --------------------------------------------------------------------------------------------------


def tensors_digest(tensors: Mapping[str, Any], before: str = "", after: str = "", typed: bool = False) -> str:
    """SHA-256 over tensors: the same in whatever format they are stored.

    Hashed are `before`; for each name in sorted order the name, its type (if `typed`) and its bytes; then `after`.

    Args:
        tensors: by name: NumPy or MXNet arrays, or `lazy_tensor.StoredTensor`s. Each is read only when its turn comes.
        before: a text hashed first, e.g. the configuration.
        after: a text hashed last, e.g. the digest of the vocabulary.
        typed: hash each tensor in its own type, with that type's name; by default in float32.
    """
    digest = hashlib.sha256(before.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        tensor = tensor.asnumpy() if hasattr(tensor, "asnumpy") else tensor
        values = np.ascontiguousarray(tensor) if typed else lazy_tensor.float32(tensor)
        digest.update(name.encode() + (str(values.dtype).encode() if typed else b""))
        digest.update(values.data)
    digest.update(after.encode())
    return digest.hexdigest()


# -- whether tensors fit a model -----------------------------------------------------------------------------------


def check_fit(tensors: Mapping[str, Any], config: ModelConfig, source: str) -> None:
    """Check that tensors (by our names) fit the model that a configuration describes.

    Raises:
        InputError: tensors are missing, unknown, of another shape, or of whole numbers; all kinds in one line. Or the
            configuration holds a number that no model can have.
    """
    _check_numbers(config, source)
    check_depth(config.architecture.num_layers, tensors, source)
    shapes, of_heads = tensor_names.encoder_shapes(config), tensor_names.head_shapes(config)
    for head in tensor_names.HEADS:
        if any(name.startswith(head) for name in tensors):  # one tensor of a head needs the others
            shapes.update({name: shape for name, shape in of_heads.items() if name.startswith(head)})
    check_shapes(tensors, shapes, source, f"the model that its configuration describes (<D,A,H,I> "
                 f"{config.architecture}, {config.vocab_size} tokens, {config.num_positions} positions)")


def check_shapes(tensors: Mapping[str, Any], shapes: Mapping[str, Tuple[int, ...]], source: str, model: str) -> None:
    """Check that tensors are those that a model has, by name and shape, and that they hold floating-point numbers.

    Args:
        tensors: by our names.
        shapes: the model's: name → shape.
        source: the file, for the message.
        model: the model, for the message.
    Raises:
        InputError: they are not; the message says which, `tensor_names.LISTED` of each kind at most.
    """
    both = [name for name in shapes if name in tensors]
    problems: Dict[str, List[str]] = {
        "missing": [name for name in shapes if name not in tensors],
        "unknown": [name for name in tensors if name not in shapes],
        "ill-shaped": [f"{name} is {tuple(tensors[name].shape)}, not {shapes[name]}" for name in both
                       if tuple(tensors[name].shape) != shapes[name]],
        "no fractions": [f"{name} is {tensors[name].dtype}" for name in both if tensors[name].dtype.kind != "f"]}
    said = [f"{kind}: {tensor_names.listed(found)}" for kind, found in problems.items() if found]
    if said:
        raise InputError(f"{source}: the tensors do not fit {model}: {'; '.join(said)}")


def refuse_pooling(weights: Weights) -> None:
    """For formats of programs whose classifiers read the first token only.

    Raises:
        InputError: this one reads means.
    """
    if weights.config.pooling != "first":
        raise InputError(f"{weights.source}: its classifier reads means (--pooling {weights.config.pooling}); those of "
                         "transformers and GluonNLP read the first token and would answer otherwise; export it to ONNX "
                         "(bort-mx export), or fine-tune with --pooling first")


def check_depth(num_layers: int, tensors: Mapping[str, Any], source: str) -> None:
    """Refuse more layers than there are tensors, before anything is made for each layer.

    Raises:
        InputError: as said.
    """
    if num_layers > len(tensors):
        raise InputError(f"{source}: claims {num_layers} layers and has {len(tensors)} tensors")


def _check_numbers(config: ModelConfig, source: str) -> None:
    """Refuse values that a file may hold and that `ModelConfig` does not check."""
    epsilon = config.layer_norm_eps
    if isinstance(epsilon, bool) or not isinstance(epsilon, (int, float)) or not 0 < epsilon < math.inf:
        raise InputError(f"{source}: layer_norm_eps is {epsilon!r}; it must be a number above 0")
    for kind, fields in ((int, ("vocab_size", "num_positions", "num_labels", "token_types")),
                         (bool, ("pooler", "extra_layer"))):
        for field in fields:
            if type(getattr(config, field)) is not kind:
                raise InputError(f"{source}: {field} is {getattr(config, field)!r}; it must be {kind.__name__}")


def model_config(values: Dict, source: str) -> ModelConfig:
    """`ModelConfig.from_dict`; an error names the file `source`.

    Raises:
        InputError: unknown fields, or values that no model can have.
    """
    try:
        return ModelConfig.from_dict(values)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None

"""What runs a model: MXNet, or another engine that a file's name chooses.

An engine is a class in a file of its own and a row of `ENGINES`. Its class is made from a path and has what `Engine`
tells. Paths that no row is for are checkpoints, which MXNet runs.
B batch, s length, M masked positions.
"""

import importlib
import logging
import os
import pathlib
from typing import Any, Dict, List, Optional, Protocol, Tuple

import numpy as np

from bort_mx import machine
from bort_mx.errors import InputError

ENGINES: Dict[str, Tuple[str, str]] = {
    ".onnx": ("bort_mx.checkpoints.onnx_model", "OnnxModel"),  # ONNX Runtime
}
"""Suffix of a file's name: the module and the class that open and run it. Imported only when such a file is opened."""
ONNX_ENGINES: Dict[str, Tuple[str, str]] = {
    "onnxruntime": ENGINES[".onnx"],
    "openvino": ("bort_mx.checkpoints.openvino_model", "OpenVinoModel"),
    "openvino-bf16": ("bort_mx.checkpoints.openvino_model", "OpenVinoBfloat16Model"),
}
"""Names in `engine_choice` files: the same. `bort-mx export --auto` measures those that are installed."""
TENSORS_OF_HEAD = {"mlm": "decoder.", "classifier": "classifier."}
"""How the names of a head's tensors begin."""
logger = logging.getLogger(__name__)


class Engine(Protocol):
    """A model outside MXNet.

    Attributes:
        config: the model's configuration, `bort_mx.models.config.ModelConfig`; config.head is the only head it has.
        tokenizer: its tokenizer, or None.
    """

    config: Any
    tokenizer: Any

    def __call__(self, input_ids: np.ndarray, valid_length: np.ndarray, masked_positions: Optional[np.ndarray],
                 token_types: Optional[np.ndarray]) -> np.ndarray:
        """As `bort_mx.models.BERT`, with arrays: ids (B, s), lengths (B,), masked positions (B, M), types (B, s)."""


def open_with_engine(path: os.PathLike, head: Optional[str]) -> Tuple[Any, Any, List[str]]:
    """Open a model with the engine that its path chooses.

    Args:
        path: a checkpoint or file.
        head: the head that is asked for; None: the one that it holds.
    Returns:
        the model (a `BERT` or an `Engine`; None for a checkpoint that holds nothing of the head), its tokenizer or
        None, and the parts of the head that were not trained.
    Raises:
        InputError: no such checkpoint or file, or a damaged one.
    """
    row = ENGINES.get(pathlib.Path(path).suffix)
    if row is None:
        from bort_mx.checkpoints import assemble, read  # brings MXNet, which --help goes without

        weights = read(path)
        tensors = TENSORS_OF_HEAD.get(head or "")
        if tensors and not any(name.startswith(tensors) for name in weights.tensors):
            return None, weights.tokenizer, [str(head)]
        model = assemble(weights, head)
        return model, weights.tokenizer, model.initialized
    model = _open(path, row)
    return model, model.tokenizer, [] if head in (None, model.config.head) else [head]


def _open(path: os.PathLike, row: Tuple[str, str]) -> Any:
    """Open a file by the engine that is written beside it, or by the usual one."""
    from bort_mx.checkpoints import engine_choice  # brings MXNet, as above

    choice = engine_choice.read(path) if row is ENGINES.get(".onnx") else None
    name = "onnxruntime" if choice is None else choice["engine"]
    if name not in ONNX_ENGINES:
        raise InputError(f"{engine_choice.place(path)}: engine {name!r:.80}; known are {', '.join(ONNX_ENGINES)}")
    if choice is not None and choice.get("cpu") not in (None, "", describe_cpu()):
        logger.warning("%s: its engine was chosen on another CPU (%s); bort-mx export --auto measures on this one",
                       path, choice["cpu"])
    if choice is not None and name != "onnxruntime":
        try:
            return open_by(path, name)
        except InputError as error:
            logger.warning("%s: %s was the fastest where the file was made, but %s; it is run by ONNX Runtime", path,
                           name, error)
    return _class_of(row)(path)


def open_by(path: os.PathLike, name: str) -> Any:
    """Open an ONNX file by an engine of `ONNX_ENGINES`.

    Raises:
        InputError: the engine is not installed, or cannot read the file.
    """
    return _class_of(ONNX_ENGINES[name])(path)


def _class_of(row: Tuple[str, str]) -> Any:
    return getattr(importlib.import_module(row[0]), row[1])


def describe_cpu() -> str:
    """This machine's processor and what it has for 8-bit and bfloat16 products, in words."""
    return ", ".join([machine.cpu_name(), *(name for name, there in machine.instructions().items() if there)])


def forward(model: Any, ids: np.ndarray, lengths: np.ndarray, positions: Optional[np.ndarray] = None,
            types: Optional[np.ndarray] = None) -> np.ndarray:
    """The model's output, as an array.

    Args:
        model: a `BERT` or an `Engine`.
        ids: (B, s).
        lengths: (B,), how many of a row's ids are not padding.
        positions: masked positions (B, M) of a model with an MLM head.
        types: token types (B, s); None means all 0.
    """
    from bort_mx.models import BERT

    if not isinstance(model, BERT):
        return model(ids, lengths, positions, types)
    from bort_mx.devices import to_device  # loads MXNet

    given = (ids, lengths, positions, types)
    return model(*(None if values is None else to_device(values, model.context) for values in given)).asnumpy()

"""What runs a model: MXNet, or another engine that a file's name chooses.

An engine is a class in a file of its own and a row of `ENGINES`. Its class is made from a path and has what `Engine`
tells. Paths that no row is for are checkpoints, which MXNet runs.
B batch, s length, M masked positions.
"""

import importlib
import os
import pathlib
from typing import Any, Dict, List, Optional, Protocol, Tuple

import numpy as np

ENGINES: Dict[str, Tuple[str, str]] = {
    ".onnx": ("bort_mx.checkpoints.onnx_model", "OnnxModel"),  # ONNX Runtime
}
"""Suffix of a file's name: the module and the class that open and run it. Imported only when such a file is opened."""


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
        the model (a `BERT` or an `Engine`), its tokenizer or None, and the parts of the head that were not trained.
    Raises:
        InputError: no such checkpoint or file, or a damaged one.
    """
    row = ENGINES.get(pathlib.Path(path).suffix)
    if row is None:
        from bort_mx.checkpoints import load  # brings MXNet, which --help goes without

        model, tokenizer, _ = load(path, head)
        return model, tokenizer, model.initialized
    module, name = row
    model = getattr(importlib.import_module(module), name)(path)
    return model, model.tokenizer, [] if head in (None, model.config.head) else [head]


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
    import mxnet as mx

    context = next(iter(model.collect_params().values())).list_ctx()[0]
    given = (ids, lengths, positions, types)
    return model(*(None if values is None else mx.nd.array(values, ctx=context) for values in given)).asnumpy()

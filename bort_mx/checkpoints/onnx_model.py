"""An ONNX file that `bort-mx export` wrote, run by ONNX Runtime.

B batch, s length, M masked positions, V vocabulary size.
"""

import importlib
import json
import os
import pathlib
from types import ModuleType
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from bort_mx.checkpoints.quantization import CALIBRATED
from bort_mx.checkpoints.tokenizer_files import read_tokenizer
from bort_mx.checkpoints.weights import model_config
from bort_mx.errors import InputError
from bort_mx.io.near_names import missing
from bort_mx.models.config import ModelConfig
from bort_mx.runtime import set_threads

METADATA = "bort_mx"
"""Key of the file's metadata that holds the model's configuration as JSON."""


def input_names(config: ModelConfig) -> List[str]:
    """The inputs of a model's graph, in order."""
    return ["input_ids", "attention_mask", *(["token_type_ids"] if config.token_types > 1 else [])]


class OnnxModel:
    """Called as a `BERT` is, with arrays in place of MXNet's.

    Attributes:
        config: the model's configuration.
        tokenizer: from the files beside the model, or None.
        initialized: always empty; nothing in an exported file is untrained.

    Args:
        path: the file.
        threads: for the engine; as many as MXNet would use by default.
    Raises:
        InputError: no such file, not ONNX, or not written by `bort-mx export`; or onnxruntime is not installed.
    """

    def __init__(self, path: os.PathLike, threads: Optional[int] = None):
        optional_package(self.package)
        self.path = pathlib.Path(path)
        if not self.path.is_file():
            raise InputError(missing(self.path))
        try:
            self._open(threads or set_threads())
        except Exception as error:  # the C++ library's exceptions derive from Exception alone
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{self.path}: {self.engine} cannot read it ({reason})") from None
        self.config = self._read_config()
        self.initialized = []

    engine, package = "ONNX Runtime", "onnxruntime"

    def _open(self, threads: int) -> None:
        runtime = optional_package(self.package)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = runtime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])

    def _metadata(self) -> Optional[str]:
        return self._session.get_modelmeta().custom_metadata_map.get(METADATA)

    def _signature(self) -> Tuple[List[str], Any]:
        """Names of the inputs, and the first output's last dimension."""
        return [value.name for value in self._session.get_inputs()], self._session.get_outputs()[0].shape[-1]

    def _run(self, feed: Dict[str, np.ndarray], output: int) -> np.ndarray:
        return self._session.run(None, feed)[output]

    def _read_config(self) -> ModelConfig:
        text = self._metadata()
        if text is None:
            raise InputError(f"{self.path}: says nothing of its model; give a file that bort-mx export wrote")
        try:
            config = model_config(json.loads(text), str(self.path))
        except (json.JSONDecodeError, TypeError, RecursionError) as error:
            raise InputError(f"{self.path}: what it says of its model is damaged ({error})") from None
        width = {"encoder": config.architecture.hidden_size, "mlm": config.vocab_size, "classifier": config.num_labels}
        if self._signature() != (input_names(config), width[config.head]):
            raise InputError(f"{self.path}: has not the inputs and outputs of the model that it says it is")
        return config

    @property
    def tokenizer(self) -> Any:
        """The tokenizer whose files lie beside the model, or None."""
        return read_tokenizer(self.path.parent, self.config.vocab_size)

    def __call__(self, input_ids, valid_length=None, masked_positions=None, token_types=None) -> np.ndarray:
        """As `BERT`: ids (B, s), lengths (B,), positions (B, M) of an MLM, token types (B, s) → float32."""
        ids = np.asarray(input_ids, np.int64)  # (B, s)
        lengths = np.full(len(ids), ids.shape[1]) if valid_length is None else np.asarray(valid_length)
        mask = np.arange(ids.shape[1])[None] < lengths[:, None]
        result = self.run(ids, mask, token_types)
        if self.config.head == "mlm" and masked_positions is not None:
            result = np.take_along_axis(result, np.asarray(masked_positions, np.int64)[:, :, None], axis=1)  # (B, M, V)
        return result

    def embeddings(self, ids: np.ndarray, lengths: np.ndarray, token_types: Optional[np.ndarray]) -> np.ndarray:
        """Embeddings (B, E) of a model whose configuration has an embedding."""
        mask = np.arange(ids.shape[1])[None] < np.asarray(lengths)[:, None]
        return self.run(ids, mask, token_types, output=1)

    def dense_inputs(self, ids: np.ndarray, lengths: np.ndarray, types: Optional[np.ndarray]) -> Dict[str, np.ndarray]:
        """The inputs of dense layers by module, of a file that `onnx_graph.build` made with dense_inputs."""
        names = [value.name for value in self._session.get_outputs()]
        mask = np.arange(ids.shape[1])[None] < np.asarray(lengths)[:, None]
        return {name: values for name, values in zip(names, self.run(ids, mask, types, output=slice(None)))
                if name.startswith(CALIBRATED)}

    def run(self, ids: np.ndarray, mask: np.ndarray, token_types: Optional[np.ndarray] = None,
            output: int = 0) -> np.ndarray:
        """An output of the graph for ids (B, s), a mask (B, s) and token types (B, s) (None: all 0)."""
        types = np.zeros(ids.shape) if token_types is None else token_types
        feed: Dict[str, np.ndarray] = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        wanted = input_names(self.config)
        return self._run({name: np.asarray(feed[name], np.int64) for name in wanted}, output)


def optional_package(name: str) -> ModuleType:
    """Import onnx, onnxruntime or openvino, which bort_mx runs without.

    Raises:
        InputError: it is not installed, or does not work here; the message says how to get it.
    """
    # Else ONNX Runtime, from version 1.32 on, writes an id of the device into the home folder and sends reports on use.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        reason = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be imported ({error})"
        if name == "openvino":
            raise InputError(f"the engine openvino needs the package openvino, which {reason}; pip install "
                             "'bort-mx[openvino]'") from None
        raise InputError(f"ONNX files need the package {name}, which {reason}; run `make install` in a checkout, or "
                         "pip install 'bort-mx[onnx]'") from None

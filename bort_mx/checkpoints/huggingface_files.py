"""The files of weights in a Hugging Face directory: one file, or several with an index."""

import pathlib
from typing import Dict, Optional

from bort_mx.checkpoints import lazy_tensor, tensor_names, torch_file
from bort_mx.errors import InputError
from bort_mx.io import files

WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                "pytorch_model.bin.index.json")
"""In the order in which they are looked for."""
ADAPTER = "adapter_config.json"
"""Where it is there, transformers loads an adapter onto the weights."""
OF_OTHERS = {ADAPTER: "an adapter of peft, without its model; merge it (merge_and_unload) and save the whole model",
             "tf_model.h5": "TensorFlow's weights", "flax_model.msgpack": "Flax's weights", "rust_model.ot": "Rust's",
             "model.onnx": "an ONNX file of others"}
"""Files of weights that cannot be read, and what they are."""


def read_tensors(path: pathlib.Path, name: Optional[str]) -> Dict[str, lazy_tensor.Tensor]:
    """The tensors by the file's own names, from one file or several with an index.

    Args:
        path: the directory.
        name: the file to read; by default the first of `WEIGHT_FILES` that is there.
    Raises:
        InputError: no such file, a damaged one, an index that disagrees with its files, or an adapter beside them.
    """
    if (path / ADAPTER).is_file():
        raise InputError(f"{path / ADAPTER}: an adapter of peft (such as LoRA) belongs to these weights and cannot be "
                         "read; merge it into them (merge_and_unload) and save the whole model")
    name = name or next((name for name in WEIGHT_FILES if (path / name).is_file()), None)
    if name is None:
        raise InputError(f"{path}: none of {', '.join(WEIGHT_FILES)} is here")
    if not name.endswith(".index.json"):
        return _read_file(path / name)
    index = files.read_json(path / name)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not all(isinstance(shard, str) for shard in places.values()):
        raise InputError(f"{path / name}: no weight_map of tensor: file")
    shards = sorted(set(places.values()))
    outside = [shard for shard in shards if pathlib.PurePath(shard).name != shard]
    if outside:
        raise InputError(f"{path / name}: {outside[0]!r} is not the name of a file beside it")
    held = {shard: _read_file(path / shard) for shard in shards}
    tensors = {key: tensor for part in held.values() for key, tensor in part.items()}
    differing = sorted({(key, shard) for shard, part in held.items() for key in part} ^ set(places.items()))
    if differing:
        raise InputError(f"{path / name}: the files and the index disagree about "
                         f"{tensor_names.listed(sorted({key for key, _ in differing}))}")
    return tensors


def _read_file(path: pathlib.Path) -> Dict[str, lazy_tensor.Tensor]:
    if path.suffix == ".safetensors":
        return lazy_tensor.read_safetensors(path)
    value = torch_file.read(path)
    if isinstance(value, dict) and isinstance(value.get("state_dict"), dict):
        value = value["state_dict"]
    if not lazy_tensor.are_tensors(value):
        raise InputError(f"{path}: holds something else than a dictionary of tensors by name")
    return value

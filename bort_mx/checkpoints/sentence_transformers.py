"""Folders of sentence-transformers: modules.json, a Hugging Face folder, and the modules behind it; read and written.

The Hugging Face folder is the folder itself, or "0_Transformer" in older ones. A module's folder holds its config.json,
and a dense layer's its weights. What the modules do becomes `ModelConfig.embedding`.
"""

import dataclasses
import pathlib
from typing import Any, Dict, List, Tuple

import numpy as np
import safetensors.numpy

from bort_mx.checkpoints import huggingface, lazy_tensor, torch_file
from bort_mx.checkpoints.cross_encoder import OF_ALL
from bort_mx.checkpoints.huggingface_config import SENTENCE_CONFIG, text_settings
from bort_mx.checkpoints.weights import Format, Weights, check_fit
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.sentence_embedding import NORMALIZE, TENSORS, SentenceEmbedding

MODULES, CONFIG = "modules.json", "config.json"
OF_POOLING = {"cls": "first", "max": "max", "mean": "mean", "mean_sqrt_len": "mean_sqrt_len",
              "weightedmean": "weighted_mean", "lasttoken": "last"}
"""Their names of poolings → ours, in the order in which theirs stand side by side under the older keys."""
_KEYS = {"cls": "pooling_mode_cls_token", "max": "pooling_mode_max_tokens", "mean": "pooling_mode_mean_tokens",
         "mean_sqrt_len": "pooling_mode_mean_sqrt_len_tokens", "weightedmean": "pooling_mode_weightedmean_tokens",
         "lasttoken": "pooling_mode_lasttoken"}
_MODULES_OF_TORCH = {"identity": "linear.Identity", "tanh": "activation.Tanh", "relu": "activation.ReLU",
                     "gelu": "activation.GELU", "sigmoid": "activation.Sigmoid", "silu": "activation.SiLU"}
OF_ACTIVATION = {name.rsplit(".")[-1]: ours for ours, name in _MODULES_OF_TORCH.items()}


def recognises(path: pathlib.Path) -> bool:
    """Whether a path is a folder with modules.json, or such a folder's weights."""
    return path.is_dir() and (path / MODULES).is_file()


def read(path: pathlib.Path) -> Weights:
    """Read a folder.

    Raises:
        InputError: a module that is not known, or a setting of one; a damaged file; see `huggingface.read`.
    """
    path = pathlib.Path(path)
    (kind, place), *others = _modules(path)
    if kind != "Transformer":
        raise InputError(f"{path / MODULES}: begins with a module {kind}; only Transformer can be read")
    weights = huggingface.read(place)
    if not others:
        return weights
    H = weights.config.architecture.hidden_size
    embedding, tensors = _embedding(path, others, H)
    _, lower_case = text_settings(place)
    embedding = dataclasses.replace(embedding, max_tokens=weights.config.max_length, lower_case=lower_case)
    config = weights.config.replace(head="encoder", embedding=embedding)
    weights = dataclasses.replace(weights, config=config, tensors={**weights.tensors, **tensors}, source=str(path))
    check_fit(weights.tensors, config, str(path))
    return weights


FORMAT = Format("a folder of sentence-transformers (modules.json)", recognises, lambda path, _: read(path),
                suffixes=(".safetensors", ".bin"))


def folders(path: pathlib.Path) -> List[pathlib.Path]:
    """The modules' folders, beside the folder itself, that are there."""
    return [place for _, place in _modules(path) if place != path and place.is_dir()]


def _modules(path: pathlib.Path) -> List[Tuple[str, pathlib.Path]]:
    """The modules in order: the last word of their type, and their folder."""
    listed = files.read_json(path / MODULES)
    modules = []
    for entry in listed if isinstance(listed, list) else [None]:
        kind, place = (entry.get("type"), entry.get("path", "")) if isinstance(entry, dict) else (None, None)
        if not isinstance(kind, str) or not isinstance(place, str) or pathlib.PurePath(place).is_absolute() or (
                ".." in pathlib.PurePath(place).parts):
            raise InputError(f"{path / MODULES}: expected a list of modules with type and path, found {entry!r:.80}")
        modules.append((kind.rsplit(".", 1)[-1], path / place))
    if not modules:
        raise InputError(f"{path / MODULES}: lists no modules")
    return modules


def _embedding(path: pathlib.Path, modules: List[Tuple[str, pathlib.Path]],
               hidden_size: int) -> Tuple[SentenceEmbedding, Dict[str, Any]]:
    """What the modules behind the transformer do, and the tensors of their dense layers."""
    (kind, place), *others = modules
    if kind != "Pooling":
        raise InputError(f"{path / MODULES}: a module {kind} follows the transformer; only Pooling can be read")
    pooling = _pooling(place / CONFIG, hidden_size)
    steps: List[Tuple[str, int]] = []
    tensors: Dict[str, Any] = {}
    for kind, place in others:
        if kind == "Normalize":
            steps.append((NORMALIZE, 0))
        elif kind == "Dense":
            step, weight, bias = _dense(place)
            tensors.update({f"{TENSORS}{len(steps)}.weight": weight, f"{TENSORS}{len(steps)}.bias": bias})
            steps.append(step)
        else:
            raise InputError(f"{path / MODULES}: a module {kind}; known are Transformer, Pooling, Dense and Normalize")
    said = _object(path / OF_ALL) if (path / OF_ALL).is_file() else {}
    embedding = SentenceEmbedding(pooling, tuple(steps), **_prompt(said, path))
    kept, width = said.get("truncate_dim"), embedding.size(hidden_size)
    if kept is not None and (type(kept) is not int or kept < 1):
        raise InputError(f"{path / OF_ALL}: truncate_dim is {kept!r:.40}; it must be a whole number from 1")
    if kept is not None and kept < width:  # the first components alone, as a dense layer
        tensors.update({f"{TENSORS}{len(steps)}.weight": np.eye(kept, width, dtype=np.float32),
                        f"{TENSORS}{len(steps)}.bias": np.zeros(kept, np.float32)})
        embedding = dataclasses.replace(embedding, steps=(*steps, ("identity", kept)))
    return embedding, tensors


def _object(path: pathlib.Path) -> Dict:
    values = files.read_json(path)
    if not isinstance(values, dict):
        raise InputError(f"{path}: not a JSON object")
    return values


def _pooling(path: pathlib.Path, hidden_size: int) -> Tuple[str, ...]:
    """The poolings, in the order in which they stand side by side."""
    values = _object(path)
    mode = values.get("pooling_mode")
    named = [mode] if isinstance(mode, str) else list(mode or [])
    unknown = [name for name in named if name not in OF_POOLING]
    if not named:
        named = [name for name, key in _KEYS.items() if values.get(key, name == "mean")]
        unknown = [key for key, value in values.items()
                   if key.startswith("pooling_mode_") and key not in _KEYS.values() and value]
    if unknown or not named:
        raise InputError(f"{path}: pooling {', '.join(map(str, unknown)) or 'is none'}; known are "
                         f"{', '.join(OF_POOLING)}")
    width = values.get("word_embedding_dimension", values.get("embedding_dimension", hidden_size))
    if width != hidden_size:
        raise InputError(f"{path}: word_embedding_dimension is {width!r:.40}, the transformer's is {hidden_size}")
    if values.get("include_prompt", True) is not True:
        raise InputError(f"{path}: include_prompt is {values['include_prompt']!r:.40}; only true can be read")
    return tuple(OF_POOLING[name] for name in named)


def _dense(place: pathlib.Path) -> Tuple[Tuple[str, int], lazy_tensor.Tensor, lazy_tensor.Tensor]:
    """A dense layer: (activation, outputs), weight and bias (0 where it has none)."""
    values = _object(place / CONFIG)
    name = str(values.get("activation_function", "Tanh")).rsplit(".", 1)[-1]
    if name not in OF_ACTIVATION:
        raise InputError(f"{place / CONFIG}: activation_function is {values['activation_function']!r:.80}; known are "
                         f"{', '.join(OF_ACTIVATION)}")
    file = next((place / name for name in ("model.safetensors", "pytorch_model.bin") if (place / name).is_file()), None)
    if file is None:
        raise InputError(f"{place}: has no model.safetensors and no pytorch_model.bin")
    tensors = lazy_tensor.read_safetensors(file) if file.suffix == ".safetensors" else torch_file.read(file)
    names = {"linear.weight", "linear.bias"} if values.get("bias", True) else {"linear.weight"}
    if not lazy_tensor.are_tensors(tensors) or set(tensors) != names:
        raise InputError(f"{file}: expected the tensors {', '.join(sorted(names))}")
    weight = tensors["linear.weight"]
    outputs = lazy_tensor.length(weight)
    return (OF_ACTIVATION[name], outputs), weight, tensors.get("linear.bias", np.zeros(outputs, np.float32))


def _prompt(values: Dict, path: pathlib.Path) -> Dict[str, str]:
    name, prompts = values.get("default_prompt_name"), values.get("prompts") or {}
    if name is None:
        return {}
    if not isinstance(prompts, dict) or not isinstance(prompts.get(name), str):
        raise InputError(f"{path / OF_ALL}: default_prompt_name is {name!r:.40}, which prompts lacks")
    return {"prompt": prompts[name]}


# -- writing -----------------------------------------------------------------------------------------------------


def write(directory: pathlib.Path, weights: Weights) -> None:
    """Write modules.json and the modules' folders beside the files of `huggingface.write`."""
    embedding, H = weights.config.embedding, weights.config.architecture.hidden_size
    theirs = {ours: name for name, ours in OF_POOLING.items()}
    ordered = [name for name in theirs if name in embedding.pooling]
    pooling = ({"pooling_mode": [theirs[name] for name in embedding.pooling]} if ordered != list(embedding.pooling)
               else {_KEYS[theirs[name]]: name in embedding.pooling for name in theirs})
    modules = [("Transformer", ""), ("Pooling", "1_Pooling")]
    (directory / "1_Pooling").mkdir()
    files.write_json(directory / "1_Pooling" / CONFIG, {"word_embedding_dimension": H, **pooling})
    width = H * len(embedding.pooling)
    for i, (kind, outputs) in enumerate(embedding.steps):
        name = "Normalize" if kind == NORMALIZE else "Dense"
        modules.append((name, f"{i + 2}_{name}"))
        place = directory / modules[-1][1]
        place.mkdir()
        if kind != NORMALIZE:
            _write_dense(place, kind, width, outputs, weights, f"{TENSORS}{i}.")
            width = outputs
    files.write_json(directory / MODULES, [
        {"idx": i, "name": str(i), "path": place, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, place) in enumerate(modules)])
    files.write_json(directory / SENTENCE_CONFIG, {
        "max_seq_length": embedding.max_tokens or weights.config.num_positions, "do_lower_case": embedding.lower_case})
    prompts = {"prompts": {"default": embedding.prompt}, "default_prompt_name": "default"} if embedding.prompt else {}
    files.write_json(directory / OF_ALL, {"__version__": {}, **(prompts or {"prompts": {},
                                                                            "default_prompt_name": None})})


def _write_dense(place: pathlib.Path, kind: str, width: int, outputs: int, weights: Weights, prefix: str) -> None:
    files.write_json(place / CONFIG, {"in_features": width, "out_features": outputs, "bias": True,
                                      "activation_function": f"torch.nn.modules.{_MODULES_OF_TORCH[kind]}"})
    safetensors.numpy.save_file({f"linear.{leaf}": weights.float32(f"{prefix}{leaf}") for leaf in ("weight", "bias")},
                                place / "model.safetensors", metadata={"format": "pt"})

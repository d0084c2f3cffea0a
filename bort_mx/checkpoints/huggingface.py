"""Hugging Face directories of the families roberta, bert and bort, read and written.

H hidden size, S positions, V vocabulary size.

Positions: RoBERTa's table begins with padding_idx + 1 rows that no token uses; ours has none of them. BERT's and
amazon/bort's begin at 0.

Classifiers: RoBERTa's is dense, tanh, out_proj on the first token and BERT's is pooler (dense, tanh), classifier; both
are our classifier with `pooler=True`. Ours without a pooler is one linear layer W x + b, which theirs cannot express.
It is written with dense = εI and out_proj = W/ε, ε = 2⁻¹⁶: scaling by a power of two is exact, and as
|tanh(y) − y| ≤ |y|³/3, every component of x is off by at most ε²|x|³/3 (`error_bound`), that is 8·10⁻¹¹|x|³ or
6·10⁻⁷ for |x| = 20, besides the rounding of tanh itself. Read back, W/ε·ε is W to the bit. It needs the exponents of
float32 or bfloat16: in half precision εx loses most of its digits and W/ε overflows.
"""

import logging
import math
import os
import pathlib
import re
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import safetensors.numpy

from bort_mx.checkpoints import huggingface_config, lazy_tensor, tensor_names
from bort_mx.checkpoints.cross_encoder import problem_type_of
from bort_mx.checkpoints.huggingface_config import MODEL_TYPES, names_of_outputs, number_of_labels
from bort_mx.checkpoints.huggingface_files import WEIGHT_FILES, read_tensors
from bort_mx.checkpoints.tokenizer_files import read_tokenizer
from bort_mx.checkpoints.weights import Format, Weights, check_depth, check_fit, refuse_pooling
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.models.config import ModelConfig

EPSILON = 2.0 ** -16
MARK = "bort_mx_classifier"
"""Key of config.json that says how a classifier of ours was written, so that it can be read back as it was."""

_COPIES = re.compile(r"embeddings\.(position|token_type)_ids|(lm_head|cls\.predictions)\.decoder\.(weight|bias)")
_BODY = ("embeddings.", "encoder.", "pooler.")
_WRAPPERS = re.compile(r"^((module|_orig_mod|model|auto_model|0)\.)+(?=[a-z])")
"""What data-parallel training, torch.compile, a trainer's class and sentence-transformers put before names."""
_HEAD_PREFIXES = ("lm_head.", "cls.", "classifier.")
_TIES = [*((f"{head}.decoder.weight", "embeddings.word_embeddings.weight") for head in ("lm_head", "cls.predictions")),
         *((f"{head}.decoder.bias", f"{head}.bias") for head in ("lm_head", "cls.predictions"))]
"""Names that one tensor has in a tied model; files may have both or either."""
logger = logging.getLogger(__name__)


# -- reading -----------------------------------------------------------------------------------------------------


def recognises(path: pathlib.Path) -> bool:
    """Whether `path` is one of Hugging Face's files of weights, or a directory with one of them."""
    if path.is_dir():
        return any((path / name).is_file() for name in WEIGHT_FILES)
    return path.name in WEIGHT_FILES


def read(path: os.PathLike) -> Weights:
    """Read a Hugging Face directory.

    Args:
        path: the directory, whose first file of `WEIGHT_FILES` is read; or that file of weights which is to be read.
    Raises:
        InputError: another family, a function that this model does not have (activation, positions), a configuration
            that disagrees with the tensors, a damaged file.
    """
    path, name = pathlib.Path(path), None
    if not path.is_dir():
        path, name = path.parent, path.name
    stored = tensor_names.renamed(read_tensors(path, name), lambda name: _WRAPPERS.sub("", name), str(path))
    values = huggingface_config.read_values(path / "config.json", stored)
    found = tensor_names.renamed(stored, _plain, str(path))
    config = huggingface_config.model_config(values, path / "config.json")
    config = huggingface_config.with_texts(config, values, path / "config.json")
    tensors, config = _ours(found, config, values, path)
    check_fit(tensors, config, str(path))
    return Weights(config, tensors, read_tokenizer(path, config.vocab_size), str(path))


FORMAT = Format(f"a Hugging Face folder (config.json and {' or '.join(WEIGHT_FILES)})", recognises,
                lambda path, _: read(path), suffixes=(".safetensors", ".bin"))


def _plain(name: str) -> str:
    """A name without "roberta.", "bert." or "bort.", and LayerNorm's old gamma and beta as weight and bias."""
    short = re.sub(r"^(roberta|bert|bort)\.", "", name)
    return re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", short))


def _ours(found: Dict, config: ModelConfig, values: Dict, path: pathlib.Path) -> Tuple[Dict, ModelConfig]:
    """The tensors by our names, and the configuration with the head that they hold."""
    check_depth(config.architecture.num_layers, found, str(path))
    found = _under_the_usual_name(found, values)
    style = "bert" if any(name.startswith("cls.") for name in found) else "roberta"
    tensors, rest = tensor_names.matched(found, tensor_names.hugging_face_names(config.architecture.num_layers, style))
    tensors = tensor_names.without_untied_decoder(tensors, _TIES, found, str(path))
    tensors = _with_our_positions(tensors, values, config, path)
    if config.token_types == 1 and _zero_token_type(tensors):
        del tensors["token_type_embed.0.weight"]  # RoBERTa's and Bort's one token type is 0: it adds nothing
        config = config.replace(token_types=0)
    head, said = _head(values, tensors, rest, path)
    if head == "classifier":
        tensors, rest, config = _with_our_classifier(tensors, {name: found[name] for name in rest}, config, values,
                                                     path)
    rest = [name for name in rest if not _COPIES.fullmatch(name)]
    unknown = [name for name in rest if name.startswith(_BODY)]
    if unknown:
        raise InputError(f"{path}: tensors of no known place: {tensor_names.listed(unknown)}; only "
                         f"{', '.join(MODEL_TYPES)} "
                         "with no head, an MLM head or a sequence classifier can be read")
    if rest:
        logger.warning("%s: left out, as this model has no such head: %s: %s", path, said, tensor_names.listed(rest))
    return tensors, _with_head(config, tensors)


def _under_the_usual_name(found: Dict, values: Dict) -> Dict:
    """The tensors, each tied one under its usual name, where a file has only the other.

    A decoder whose configuration says that it is not tied stays what it is, and one that is missing is no MLM head.
    """
    found, tied = dict(found), values.get("tie_word_embeddings", True) is not False
    for copy, original in _TIES:
        if copy in found and original not in found and (tied or copy.endswith("bias")):
            found[original] = found.pop(copy)
    head = next((name for name in ("lm_head.", "cls.predictions.") if f"{name}bias" in found), None)
    if head and not tied and f"{head}decoder.weight" not in found:
        logger.warning("the MLM head is left out: tie_word_embeddings is false and the file has no %sdecoder.weight",
                       head)
        found = {name: tensor for name, tensor in found.items() if not name.startswith(head)}
    return found


def _head(values: Dict, tensors: Dict, rest: List[str], path: pathlib.Path) -> Tuple[Optional[str], str]:
    """The head that config.json says, and words on it. Where it is silent, a sequence classifier is told by its layers.

    RoBERTa's has two. BERT's has one after the pooler, as a multiple-choice head has: a warning says what is guessed.
    """
    head, said = huggingface_config.head_of(values, path / "config.json")
    if head is None and "classifier.weight" in rest and "pooler.weight" in tensors:
        logger.warning("%s: taken as a sequence classifier, as its config.json has no architectures", path)
    if head is None and ("classifier.out_proj.weight" in rest or (
            "classifier.weight" in rest and "pooler.weight" in tensors)):
        return "classifier", said
    return head, said


def _with_head(config: ModelConfig, tensors: Dict) -> ModelConfig:
    """The head that the tensors hold, and BERT's pooler, which is trained and stands before its classifier."""
    if any(name.startswith("classifier.") for name in tensors):
        return config.replace(head="classifier")
    return config.replace(head="mlm" if "decoder.3.bias" in tensors else "encoder",
                          pooler=config.family == "bert" and "pooler.weight" in tensors)


def _zero_token_type(tensors: Dict) -> bool:
    tensor = tensors.get("token_type_embed.0.weight")
    return tensor is not None and lazy_tensor.length(tensor) == 1 and lazy_tensor.is_zero(tensor)


def _with_our_positions(tensors: Dict, values: Dict, config: ModelConfig, path: pathlib.Path) -> Dict:
    offset = huggingface_config.position_offset(values, path / "config.json")
    table = tensors.get("encoder.position_weight")
    if table is None or not offset:
        return tensors
    if len(table.shape) != 2 or table.shape[0] != config.num_positions + offset:
        raise InputError(f"{path}: the position table has {lazy_tensor.length(table)} rows, not "
                         f"{config.num_positions + offset} (max_position_embeddings)")
    return {**tensors, "encoder.position_weight": lazy_tensor.rows(table, offset, table.shape[0])}


def _with_our_classifier(tensors: Dict, rest: Dict, config: ModelConfig, values: Dict,
                         path: pathlib.Path) -> Tuple[Dict, List[str], ModelConfig]:
    """Move a sequence classifier from `rest` to our names."""
    outer = next((name for name in ("classifier.out_proj", "classifier") if f"{name}.weight" in rest), None)
    if outer is None:
        return tensors, list(rest), config
    dense = "classifier.dense" if outer == "classifier.out_proj" else None
    used = {f"{module}.{leaf}": rest.get(f"{module}.{leaf}") for module in (dense, outer) if module
            for leaf in ("weight", "bias")}
    absent = [name for name, tensor in used.items() if tensor is None]
    if absent:
        raise InputError(f"{path}: the classifier lacks {tensor_names.listed(absent)}")
    if dense:
        tensors = {**tensors, "pooler.weight": used[f"{dense}.weight"], "pooler.bias": used[f"{dense}.bias"]}
    tensors = {**tensors, "classifier.1.weight": used[f"{outer}.weight"], "classifier.1.bias": used[f"{outer}.bias"]}
    labels = lazy_tensor.length(tensors["classifier.1.bias"])
    said = number_of_labels(values)
    if said not in (None, labels):
        raise InputError(f"{path}: config.json names {said} labels, the classifier has {labels} outputs")
    names_of = names_of_outputs(values) if labels > 1 else None
    if names_of is None and labels > 1 and huggingface_config.names_labels(values):
        logger.warning("%s: id2label does not give each of the %d outputs a name of its own; numbers stand for them",
                       path / "config.json", labels)
    config = config.replace(head="classifier", num_labels=labels or config.num_labels,
                            pooler="pooler.weight" in tensors, labels=names_of and tuple(names_of),
                            problem_type=problem_type_of(values, path))
    tensors, config = _unscaled(tensors, config, values.get(MARK), path)
    return tensors, [name for name in rest if name not in used], config


def _unscaled(tensors: Dict, config: ModelConfig, mark: Any, path: pathlib.Path) -> Tuple[Dict, ModelConfig]:
    """Undo `_linear_as_tanh` where config.json says that it was done and the tensors bear it out."""
    if mark is None:
        return tensors, config
    H = config.architecture.hidden_size
    if not isinstance(mark, dict) or mark.get("epsilon") != EPSILON or "pooler.weight" not in tensors:
        raise InputError(f"{path / 'config.json'}: {MARK} is {mark!r}; this program writes {{'epsilon': {EPSILON}, …}}")
    weight, bias = (lazy_tensor.float32(tensors[f"pooler.{leaf}"]) for leaf in ("weight", "bias"))
    last = {"weight": lazy_tensor.float32(tensors["classifier.1.weight"]) * np.float32(EPSILON),
            "bias": tensors["classifier.1.bias"]}
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(("pooler.", "classifier."))}
    if mark.get("extra_layer"):
        extra = {"classifier.1.weight": weight / np.float32(EPSILON), "classifier.1.bias": bias / np.float32(EPSILON)}
        return ({**tensors, **extra, "classifier.3.weight": last["weight"], "classifier.3.bias": last["bias"]},
                config.replace(pooler=False, extra_layer=True))
    if not np.array_equal(weight, np.eye(H, dtype=np.float32) * np.float32(EPSILON)) or bias.any():
        raise InputError(f"{path}: fine-tuned elsewhere since it was converted (its dense layer is no longer ε·I); "
                         f"remove {MARK} from config.json to read it as a classifier with a pooler")
    return ({**tensors, "classifier.1.weight": last["weight"], "classifier.1.bias": last["bias"]},
            config.replace(pooler=False))


# -- writing -----------------------------------------------------------------------------------------------------


def write(directory: pathlib.Path, weights: Weights) -> None:
    """Write config.json and model.safetensors into an empty directory (tokenizer: `huggingface_tokenizer.write`).

    Raises:
        InputError: the tensors do not fit the configuration, or no model of theirs computes it.
    """
    check_fit(weights.tensors, weights.config, weights.source)
    refuse_pooling(weights)
    tensors, mark = _theirs(weights, huggingface_config.offset_of(weights))
    safetensors.numpy.save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    values = {**huggingface_config.values_of(weights), **({MARK: mark} if mark else {})}
    files.write_json(directory / "config.json", values)


def _theirs(weights: Weights, offset: int) -> Tuple[Dict[str, np.ndarray], Optional[Dict]]:
    """The tensors by Hugging Face's names, and the mark of a classifier written as tanh of a small multiple."""
    config, H = weights.config, weights.config.architecture.hidden_size
    ours = {name: weights.float32(name) for name in weights.tensors if _written(name, config)}
    positions = ours["encoder.position_weight"]
    ours["encoder.position_weight"] = np.concatenate([np.zeros((offset, H), np.float32), positions])
    if not config.token_types:
        ours["token_type_embed.0.weight"] = np.zeros((1, H), np.float32)  # their models always have one
    classifier, mark = _their_classifier(ours, config) if config.head == "classifier" else ({}, None)
    table = tensor_names.hugging_face_names(config.architecture.num_layers, config.family)
    prefix = "" if config.head == "encoder" else f"{config.family}."
    body = {name if name.startswith(_HEAD_PREFIXES) else prefix + name: ours[key] for key, name in table.items()
            if key in ours and not (classifier and key.startswith("pooler."))}
    return {**body, **classifier}, mark


def _written(name: str, config: ModelConfig) -> bool:
    """Whether a tensor belongs to what is written: no MLM head beside a classifier, as their models hold one head."""
    return not name.startswith({"classifier": ("decoder.",), "mlm": ("classifier.",)}.get(
        config.head, ("decoder.", "classifier.")))


def _their_classifier(ours: Dict, config: ModelConfig) -> Tuple[Dict[str, np.ndarray], Optional[Dict]]:
    """dense, tanh, out_proj (roberta) or pooler, tanh, classifier (bert) that compute ours; see the module."""
    epsilon, mark = np.float32(EPSILON), None
    last = "3" if config.extra_layer else "1"
    weight, bias = ours[f"classifier.{last}.weight"], ours[f"classifier.{last}.bias"]
    if config.pooler:
        dense = ours["pooler.weight"], ours["pooler.bias"]
        if config.extra_layer:
            weight, bias = _composed(ours)
    else:
        H = config.architecture.hidden_size
        dense = (ours["classifier.1.weight"], ours["classifier.1.bias"]) if config.extra_layer else (
            np.eye(H, dtype=np.float32), np.zeros(H, np.float32))
        dense, weight = tuple(tensor * epsilon for tensor in dense), weight / epsilon
        mark = {"epsilon": EPSILON, "extra_layer": config.extra_layer}
    inner, outer = (("classifier.dense", "classifier.out_proj") if config.family == "roberta"
                    else ("bert.pooler.dense", "classifier"))
    return {f"{inner}.weight": dense[0], f"{inner}.bias": dense[1],
            f"{outer}.weight": weight, f"{outer}.bias": bias}, mark


def _composed(ours: Dict) -> Tuple[np.ndarray, np.ndarray]:
    """Two linear layers as one (after a pooler there is no room for both), composed in double precision."""
    w1, b1, w2, b2 = (ours[f"classifier.{i}.{leaf}"].astype(np.float64) for i in (1, 3) for leaf in ("weight", "bias"))
    return (w2 @ w1).astype(np.float32), (w2 @ b1 + b2).astype(np.float32)


def error_bound(largest: float) -> float:
    """How far the tanh device moves a component of the first token's state that is at most `largest`: ε²|x|³/3."""
    return EPSILON ** 2 * math.pow(abs(largest), 3) / 3

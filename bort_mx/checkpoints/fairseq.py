"""fairseq's RoBERTa: model.pt, with dict.txt (and GPT-2's encoder.json and vocab.bpe) beside it.

Its position table begins with two rows that no token uses (padding_idx + 1). Older checkpoints hold the projections of
query, key and value as one tensor `in_proj_weight` of 3H rows. The number of heads and the activation are in the
options: `args`, an argparse.Namespace, or since 0.10.2 `cfg`, whose `model` is a Namespace or a dictionary. Only the
values of a Namespace are read (`torch_pickle.Namespace`).
"""

import logging
import os
import pathlib
import re
from typing import Any, Dict, Optional, Tuple

from bort_mx.checkpoints import lazy_tensor, tensor_names, torch_file
from bort_mx.checkpoints.tokenizer_files import read_tokenizer
from bort_mx.checkpoints.torch_pickle import Namespace
from bort_mx.checkpoints.weights import Format, Weights, check_depth, check_fit
from bort_mx.errors import InputError
from bort_mx.models.config import ModelConfig

OFFSET = 2
_BUFFERS = re.compile(r"sentence_encoder\.(version|embed_positions\._float_tensor)|lm_head\.weight")
logger = logging.getLogger(__name__)


def read(path: os.PathLike, num_heads: Optional[int] = None) -> Weights:
    """Read model.pt, and the vocabulary beside it.

    Args:
        path: the file.
        num_heads: A, where the file does not say it.
    Raises:
        InputError: the tensors are not RoBERTa's, or the file is damaged or hostile.
    """
    path = pathlib.Path(path)
    state, namespace = _parts(torch_file.read(path), path)
    found = _split(_without_prefix(state, path), path)
    _check_activation(namespace, path)
    matches = (re.match(r"sentence_encoder\.layers\.(\d+)\.", name) for name in found)
    layers = {int(match[1]) for match in matches if match}
    depth = max(layers, default=-1) + 1
    check_depth(depth, found, str(path))
    tensors, rest = tensor_names.matched(found, tensor_names.fairseq_names(depth))
    tensors, rest, head = _with_our_classifier(tensors, {name: found[name] for name in rest}, path)
    unknown = [name for name in rest if not _BUFFERS.fullmatch(name)]
    if unknown or "encoder.position_weight" not in tensors:
        raise InputError(f"{path}: not RoBERTa's tensors; unknown: {tensor_names.listed(unknown) or 'none'}")
    tied = [("lm_head.weight", "sentence_encoder.embed_tokens.weight")]
    tensors = tensor_names.without_untied_decoder(tensors, tied, found, str(path))
    if head["head"] == "mlm" and "decoder.3.bias" not in tensors:
        head = {"head": "encoder"}
    positions = tensors["encoder.position_weight"]
    if len(positions.shape) != 2 or positions.shape[0] <= OFFSET:
        raise InputError(f"{path}: the position table is of shape {tuple(positions.shape)}; "
                         f"{OFFSET} rows and those of the positions are due")
    tensors["encoder.position_weight"] = lazy_tensor.rows(positions, OFFSET, positions.shape[0])
    config = _config(tensors, namespace, num_heads, path).replace(**head)
    check_fit(tensors, config, str(path))
    return Weights(config, tensors, read_tokenizer(path.parent, config.vocab_size), str(path))


FORMAT = Format("fairseq's model.pt", lambda path: path.suffix == ".pt" and path.is_file(), read, suffixes=(".pt",))


def _parts(value: Any, path: pathlib.Path) -> Tuple[Dict, Dict]:
    """The tensors that a file holds, and the values of its namespace of options."""
    if not isinstance(value, dict) or not isinstance(value.get("model"), dict):
        raise InputError(f"{path}: no entry 'model' in it, which a checkpoint of fairseq has")
    state = value["model"]
    if not lazy_tensor.are_tensors(state):
        raise InputError(f"{path}: its entry 'model' holds something else than tensors by name")
    options = value.get("cfg") if isinstance(value.get("cfg"), dict) else {}
    said = [values.values if isinstance(values, Namespace) else values
            for values in (options.get("model"), value.get("args"))]
    return state, next((values for values in said if isinstance(values, dict) and values), {})


def _check_activation(namespace: Dict, path: pathlib.Path) -> None:
    """Refuse another activation than GELU. Where options are silent on it, fairseq's RoBERTa has GELU."""
    activation = namespace.get("activation_fn", "gelu")
    if activation not in ("gelu", "gelu_accurate_erf"):
        found = repr(activation[:50]) if isinstance(activation, str) else f"a {type(activation).__name__}"
        raise InputError(f"{path}: activation_fn is {found}; only 'gelu' can be read")
    if not namespace:
        logger.warning("%s: holds no options (args or cfg); its activation is taken to be GELU, RoBERTa's", path)


def _without_prefix(state: Dict, path: pathlib.Path) -> Dict:
    """The tensors without the prefix "decoder." or "encoder.", and with today's name of the embedding's LayerNorm."""
    def plain(name: str) -> str:
        short = re.sub(r"^(decoder|encoder)\.(?=sentence_encoder\.|lm_head\.)", "", name)
        return short.replace("sentence_encoder.layernorm_embedding.", "sentence_encoder.emb_layer_norm.")

    return tensor_names.renamed(state, plain, str(path))


def _split(state: Dict, path: pathlib.Path) -> Dict:
    """Split each fused projection of 3H rows into query, key and value."""
    result = {}
    for name, tensor in state.items():
        fused = re.fullmatch(r"(.*\.self_attn\.)in_proj_(weight|bias)", name)
        if not fused:
            result[name] = tensor
            continue
        third, left = divmod(lazy_tensor.length(tensor), 3)
        if left or not third:
            raise InputError(f"{path}: {name} has {lazy_tensor.length(tensor)} rows, not three times the hidden size")
        for i, letter in enumerate("qkv"):
            result[f"{fused[1]}{letter}_proj.{fused[2]}"] = lazy_tensor.rows(tensor, i * third, (i + 1) * third)
    return result


def _with_our_classifier(tensors: Dict, rest: Dict, path: pathlib.Path) -> Tuple[Dict, Dict, Dict]:
    """A classification head (dense, tanh, out_proj) becomes our pooler and classifier; also the fields of its model.

    Of several heads the first is taken, with a warning.
    """
    heads = sorted({name.split(".")[1] for name in rest if name.startswith("classification_heads.")})
    if not heads:
        return tensors, rest, {"head": "mlm" if "decoder.3.bias" in tensors else "encoder"}
    if heads[1:]:
        logger.warning("%s: left out, as this model has one: classification heads %s", path,
                       tensor_names.listed(heads[1:]))
    prefix = f"classification_heads.{heads[0]}."
    moved = {f"{ours}.{leaf}": rest[f"{prefix}{theirs}.{leaf}"]
             for ours, theirs in (("pooler", "dense"), ("classifier.1", "out_proj")) for leaf in ("weight", "bias")
             if f"{prefix}{theirs}.{leaf}" in rest}
    if len(moved) != 4:
        raise InputError(f"{path}: classification head {heads[0]} is not whole; it has {tensor_names.listed(moved)}")
    rest = {name: tensor for name, tensor in rest.items() if not name.startswith("classification_heads.")}
    return ({**tensors, **moved}, rest,
            {"head": "classifier", "pooler": True, "num_labels": lazy_tensor.length(moved["classifier.1.bias"])})


def _config(tensors: Dict, namespace: Dict, num_heads: Optional[int], path: pathlib.Path) -> ModelConfig:
    """The configuration: from the shapes of our tensors, and A and the dropout from fairseq's namespace of options."""
    said = namespace.get("encoder_attention_heads")
    heads = said if type(said) is int and said > 0 else num_heads
    architecture = tensor_names.architecture_of(tensors, heads, path)
    dropout = namespace.get("dropout", 0.1)
    return ModelConfig(architecture, vocab_size=tensors["word_embed.0.weight"].shape[0],
                       num_positions=tensors["encoder.position_weight"].shape[0],
                       dropout=float(dropout) if isinstance(dropout, (int, float)) else 0.1)

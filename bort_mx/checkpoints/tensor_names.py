"""The names of the same tensors in GluonNLP (ours), Hugging Face and fairseq, and the shapes that belong to them.

D layers, A heads, H hidden size, I intermediate size, V vocabulary size, S positions.
"""

import logging
import os
import re
import shlex
from typing import Callable, Dict, Iterable, List, Optional, Sequence, Tuple

from bort_mx.architecture import PRESETS, Architecture
from bort_mx.checkpoints import lazy_tensor
from bort_mx.errors import InputError
from bort_mx.models.config import ModelConfig

LISTED = 6
"""Names that an error lists at most; the others are counted."""
HEADS = ("pooler.", "decoder.", "classifier.", "embedding.")
"""How the names of a head's tensors begin; a checkpoint may lack a head."""
logger = logging.getLogger(__name__)
BY_VOCABULARY = ("word_embed.0.weight", "decoder.3.bias")
"""The tensors with a row for every id."""

# Module names of one encoder layer: GluonNLP, Hugging Face, fairseq.
_LAYER = (
    ("attention_cell.proj_query", "attention.self.query", "self_attn.q_proj"),
    ("attention_cell.proj_key", "attention.self.key", "self_attn.k_proj"),
    ("attention_cell.proj_value", "attention.self.value", "self_attn.v_proj"),
    ("proj", "attention.output.dense", "self_attn.out_proj"),
    ("layer_norm", "attention.output.LayerNorm", "self_attn_layer_norm"),
    ("ffn.ffn_1", "intermediate.dense", "fc1"),
    ("ffn.ffn_2", "output.dense", "fc2"),
    ("ffn.layer_norm", "output.LayerNorm", "final_layer_norm"),
)
_LAYER_NUMBER = re.compile(r"encoder\.transformer_cells\.(\d+)\.")
_LAYER_NORMS = {"layer_norm", "ffn.layer_norm", "encoder.layer_norm", "decoder.2"}
_MLM_HEADS = {
    "roberta": {"decoder.0": "lm_head.dense", "decoder.2": "lm_head.layer_norm", "decoder.3.bias": "lm_head.bias"},
    "bert": {"decoder.0": "cls.predictions.transform.dense", "decoder.2": "cls.predictions.transform.LayerNorm",
             "decoder.3.bias": "cls.predictions.bias"},
}


def hugging_face_names(num_layers: int, head_style: str) -> Dict[str, str]:
    """A table ours → Hugging Face's, without the prefix "roberta." or "bert.".

    Args:
        num_layers: D.
        head_style: "roberta" or "bert", which name the MLM head differently. Classifiers are not in the table: theirs
            have other layers, not only other names.
    """
    names = {"word_embed.0.weight": "embeddings.word_embeddings.weight",
             "encoder.position_weight": "embeddings.position_embeddings.weight",
             "token_type_embed.0.weight": "embeddings.token_type_embeddings.weight",
             **_module("encoder.layer_norm", "embeddings.LayerNorm", "encoder.layer_norm"),
             **_module("pooler", "pooler.dense")}
    for i in range(num_layers):
        for ours, theirs, _ in _LAYER:
            names.update(_module(f"encoder.transformer_cells.{i}.{ours}", f"encoder.layer.{i}.{theirs}", ours))
    return {**names, **_mlm_names(_MLM_HEADS[head_style])}


def fairseq_names(num_layers: int) -> Dict[str, str]:
    """A table ours → fairseq's for RoBERTa, without the prefix "decoder." or "encoder."."""
    names = {"word_embed.0.weight": "sentence_encoder.embed_tokens.weight",
             "encoder.position_weight": "sentence_encoder.embed_positions.weight",
             **_module("encoder.layer_norm", "sentence_encoder.emb_layer_norm", "encoder.layer_norm")}
    for i in range(num_layers):
        for ours, _, theirs in _LAYER:
            layer = f"sentence_encoder.layers.{i}"
            names.update(_module(f"encoder.transformer_cells.{i}.{ours}", f"{layer}.{theirs}", ours))
    return {**names, **_mlm_names(_MLM_HEADS["roberta"])}


def _module(ours: str, theirs: str, kind: str = "") -> Dict[str, str]:
    """A module's two tensors; GluonNLP calls a LayerNorm's gamma and beta."""
    leaves = ("gamma", "beta") if kind in _LAYER_NORMS else ("weight", "bias")
    return {f"{ours}.{leaves[0]}": f"{theirs}.weight", f"{ours}.{leaves[1]}": f"{theirs}.bias"}


def _mlm_names(modules: Dict[str, str]) -> Dict[str, str]:
    return {**_module("decoder.0", modules["decoder.0"]), **_module("decoder.2", modules["decoder.2"], "decoder.2"),
            "decoder.3.bias": modules["decoder.3.bias"]}


def encoder_shapes(config: ModelConfig) -> Dict[str, Tuple[int, ...]]:
    """The encoder's tensors, which every checkpoint must hold: name → shape."""
    D, _, H, I = config.architecture.as_tuple()
    shapes = {"word_embed.0.weight": (config.vocab_size, H), "encoder.position_weight": (config.num_positions, H),
              "encoder.layer_norm.gamma": (H,), "encoder.layer_norm.beta": (H,)}
    if config.token_types:
        shapes["token_type_embed.0.weight"] = (config.token_types, H)
    for i in range(D):
        for module, _, _ in _LAYER:
            outputs, inputs = (I if module == "ffn.ffn_1" else H), (I if module == "ffn.ffn_2" else H)
            weight, bias = _module(f"encoder.transformer_cells.{i}.{module}", "", module)
            shapes[weight] = (H,) if module in _LAYER_NORMS else (outputs, inputs)
            shapes[bias] = (outputs,)
    return shapes


def head_shapes(config: ModelConfig) -> Dict[str, Tuple[int, ...]]:
    """The heads' tensors: name → shape. A checkpoint holds a head whole or not at all."""
    H = config.architecture.hidden_size
    last, read = 3 if config.extra_layer else 1, config.classifier_inputs
    return {"pooler.weight": (H, H), "pooler.bias": (H,),
            "decoder.0.weight": (H, H), "decoder.0.bias": (H,), "decoder.2.gamma": (H,), "decoder.2.beta": (H,),
            "decoder.3.bias": (config.vocab_size,),
            **({"classifier.1.weight": (H, read), "classifier.1.bias": (H,)} if config.extra_layer else {}),
            f"classifier.{last}.weight": (config.num_labels, H if config.extra_layer else read),
            f"classifier.{last}.bias": (config.num_labels,),
            **(config.embedding.shapes(H) if config.embedding else {})}


def architecture_of(tensors: Dict, num_heads: Optional[int], source: os.PathLike) -> Architecture:
    """<D, A, H, I> read off the tensors' shapes, for formats that keep no configuration.

    Args:
        tensors: by our names; with a word embedding (V, H) and a first feed-forward layer (I, H).
        num_heads: A, which no shape tells.
        source: the file, for messages.
    Raises:
        InputError: the tensors hold no encoder, or A is not given.
    """
    first = "encoder.transformer_cells.0.ffn.ffn_1.weight"
    absent = [name for name in ("word_embed.0.weight", first) if name not in tensors or len(tensors[name].shape) != 2]
    if absent:
        raise InputError(f"{source}: no BERT in it, as {absent[0]} is missing or no matrix")
    D = 1 + max(int(match[1]) for match in map(_LAYER_NUMBER.match, tensors) if match)
    H, I = tensors["word_embed.0.weight"].shape[1], tensors[first].shape[0]
    if num_heads is None:
        raise InputError(f"{source}: does not say the number of heads, and no shape tells it{_known_heads(D, H, I)}; "
                         f"convert it once and use the new folder: bort-mx convert {shlex.quote(str(source))} "
                         "NEW_FOLDER --to bort-mx --num-heads A (in Python: load(…, num_heads=A))")
    return Architecture(D, num_heads, H, I)


def _known_heads(D: int, H: int, I: int) -> str:
    """Words on the presets of these sizes, or nothing."""
    known = [f"{name} has {a.num_heads}" for name, a in PRESETS.items()
             if (a.num_layers, a.hidden_size, a.intermediate_size) == (D, H, I)]
    return f" (of D={D}, H={H}, I={I}, {', '.join(known)})" if known else ""


def renamed(tensors: Dict, rename: Callable[[str], str], source: str) -> Dict:
    """The tensors under other names.

    Raises:
        InputError: two tensors get one name, so that one of them would be lost.
    """
    result, before = {}, {}
    for name, tensor in tensors.items():
        new = rename(name)
        if new in result:
            raise InputError(f"{source}: {before[new]} and {name} are two tensors for one place")
        result[new], before[new] = tensor, name
    return result


def without_untied_decoder(tensors: Dict, pairs: Sequence[Tuple[str, str]], found: Dict, source: str) -> Dict:
    """The tensors by our names, without the MLM head where its decoder is not the word embedding; a warning says so.

    Args:
        tensors: by our names.
        pairs: a copy's name and the original's, in the names of `found`.
        found: the file's tensors.
        source: the file.
    """
    for copy, original in pairs:
        if copy in found and original in found and not lazy_tensor.equal(found[copy], found[original]):
            logger.warning("%s: the MLM head is left out: %s differs from %s, and this model ties them", source, copy,
                           original)
            return {name: tensor for name, tensor in tensors.items() if not name.startswith("decoder.")}
    return tensors


def listed(names: Iterable[str]) -> str:
    """Names for a message: the first few in order, and how many more."""
    names = list(names)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def matched(tensors: Dict, table: Dict[str, str]) -> Tuple[Dict, List[str]]:
    """The tensors that a table ours → theirs has, by our names; and the names that it lacks."""
    inverse = {theirs: ours for ours, theirs in table.items()}
    return ({inverse[name]: tensor for name, tensor in tensors.items() if name in inverse},
            [name for name in tensors if name not in inverse])

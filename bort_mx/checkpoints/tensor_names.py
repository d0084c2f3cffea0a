"""The names of the same tensors in GluonNLP (ours), Hugging Face and fairseq, and the shapes they must have.

D layers, H hidden size, I intermediate size, V vocabulary size, S positions.
"""

import math
from typing import Callable, Dict, Iterable, List, Tuple

from bort_mx.errors import InputError
from bort_mx.models.bert import ModelConfig

LISTED = 6
"""As many names are listed in an error; the others are counted."""

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
_LAYER_NORMS = {"layer_norm", "ffn.layer_norm", "encoder.layer_norm", "decoder.2"}
_MLM_HEADS = {
    "roberta": {"decoder.0": "lm_head.dense", "decoder.2": "lm_head.layer_norm", "decoder.3.bias": "lm_head.bias"},
    "bert": {"decoder.0": "cls.predictions.transform.dense", "decoder.2": "cls.predictions.transform.LayerNorm",
             "decoder.3.bias": "cls.predictions.bias"},
}


def hugging_face_names(num_layers: int, head_style: str) -> Dict[str, str]:
    """Hugging Face's name of every tensor by ours, without the prefix "roberta." or "bert.".

    Args:
        num_layers: D.
        head_style: "roberta" or "bert", which name the MLM head differently. Classifiers are not here: theirs differ
            in form and not only in name.
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
    """fairseq's name of every tensor of RoBERTa by ours, without the prefix "decoder." or "encoder."."""
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


BY_VOCABULARY = ("word_embed.0.weight", "decoder.3.bias")
"""The tensors with a row for every id."""


def encoder_shapes(config: ModelConfig) -> Dict[str, Tuple[int, ...]]:
    """The shapes of the encoder's tensors, which every checkpoint must hold."""
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
    """The shapes of the tensors that a head may have; a checkpoint holds a head whole or not at all."""
    H = config.architecture.hidden_size
    last = 3 if config.extra_layer else 1
    return {"pooler.weight": (H, H), "pooler.bias": (H,),
            "decoder.0.weight": (H, H), "decoder.0.bias": (H,), "decoder.2.gamma": (H,), "decoder.2.beta": (H,),
            "decoder.3.bias": (config.vocab_size,),
            **({"classifier.1.weight": (H, H), "classifier.1.bias": (H,)} if config.extra_layer else {}),
            f"classifier.{last}.weight": (config.num_labels, H), f"classifier.{last}.bias": (config.num_labels,)}


def check(tensors: Dict, config: ModelConfig, source: str) -> None:
    """Compare tensors (by our names) with the model that a configuration describes.

    Raises:
        InputError: tensors missing, of no known place, of another shape, or of whole numbers; listed in one line. Or a
            number in the configuration that no model can have.
    """
    _check_numbers(config, source)
    check_depth(config.architecture.num_layers, tensors, source)
    must, may = encoder_shapes(config), head_shapes(config)
    for head in ("pooler.", "decoder.", "classifier."):
        if any(name.startswith(head) for name in tensors):
            must.update({name: shape for name, shape in may.items() if name.startswith(head)})
    missing = [name for name in must if name not in tensors]
    unknown = [name for name in tensors if name not in must]
    ill_shaped = [f"{name} is {tuple(tensors[name].shape)}, not {shape}" for name, shape in must.items()
                  if name in tensors and tuple(tensors[name].shape) != shape]
    integers = [f"{name} is {tensors[name].dtype}" for name in must
                if name in tensors and tensors[name].dtype.kind != "f"]
    problems = [f"{what}: {listed(found)}" for what, found in (
        ("missing", missing), ("unknown", unknown), ("ill-shaped", ill_shaped), ("no fractions", integers)) if found]
    if problems:
        raise InputError(f"{source}: the tensors do not fit the model that its configuration describes "
                         f"(<D,A,H,I> {config.architecture}, {config.vocab_size} tokens, {config.num_positions} "
                         f"positions): {'; '.join(problems)}")


def _check_numbers(config: ModelConfig, source: str) -> None:
    """Refuse what `ModelConfig` takes on trust, and a file may say."""
    epsilon = config.layer_norm_eps
    if isinstance(epsilon, bool) or not isinstance(epsilon, (int, float)) or not 0 < epsilon < math.inf:
        raise InputError(f"{source}: layer_norm_eps is {epsilon!r}; it must be a number above 0")
    for kind, fields in ((int, ("vocab_size", "num_positions", "num_labels", "token_types")),
                         (bool, ("pooler", "extra_layer"))):
        for field in fields:
            if type(getattr(config, field)) is not kind:
                raise InputError(f"{source}: {field} is {getattr(config, field)!r}; it must be {kind.__name__}")


def model_config(values: Dict, source: str) -> ModelConfig:
    """`ModelConfig.from_dict`, with the file's name in the error."""
    try:
        return ModelConfig.from_dict(values)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def renamed(tensors: Dict, rename: Callable[[str], str], source: str) -> Dict:
    """Tensors under other names.

    Raises:
        InputError: two that get the same name, as one of them would be lost.
    """
    result, before = {}, {}
    for name, tensor in tensors.items():
        new = rename(name)
        if new in result:
            raise InputError(f"{source}: {before[new]} and {name} are two tensors for one place")
        result[new], before[new] = tensor, name
    return result


def check_depth(num_layers: int, tensors: Dict, source: str) -> None:
    """Refuse a number of layers that no tensors stand behind, before anything is made for each of them.

    Raises:
        InputError: more layers than tensors.
    """
    if num_layers > len(tensors):
        raise InputError(f"{source}: claims {num_layers} layers and has {len(tensors)} tensors")


def listed(names: Iterable[str]) -> str:
    """Names for a message: the first few in order, and how many more."""
    names = list(names)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def matched(tensors: Dict, table: Dict[str, str]) -> Tuple[Dict, List[str]]:
    """Tensors renamed from theirs to ours by a table of ours → theirs, and the names that it does not have."""
    inverse = {theirs: ours for ours, theirs in table.items()}
    return ({inverse[name]: tensor for name, tensor in tensors.items() if name in inverse},
            [name for name in tensors if name not in inverse])

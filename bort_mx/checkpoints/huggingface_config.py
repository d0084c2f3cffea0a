"""config.json of Hugging Face: what a model of theirs is, read as our configuration and written from it."""

import logging
import pathlib
import re
from typing import Dict, Iterable, List, Optional, Tuple

from bort_mx.architecture import Architecture
from bort_mx.checkpoints.weights import Weights
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.models.config import PROBLEM_TYPES, ModelConfig, is_text

MODEL_TYPES = ("roberta", "bert", "bort", "xlm-roberta", "camembert")
_OFFSET_TYPES = ("roberta", "xlm-roberta", "camembert")
"""Their position tables begin with padding_idx + 1 rows that no token uses."""
CLASS_PREFIXES = {"Roberta": "roberta", "XLMRoberta": "xlm-roberta", "Camembert": "camembert", "Bert": "bert",
                  "Bort": "bort"}
OF_ACTIVATION = {"gelu": "gelu", "gelu_python": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh",
                 "gelu_fast": "gelu_tanh", "gelu_accurate": "gelu_tanh", "relu": "relu"}
"""hidden_act → ours. Of several names of one function, the first is written."""
OTHER_HEADS = {"ForNextSentencePrediction": "a next-sentence classifier",
               "ForTokenClassification": "a token classifier", "ForMultipleChoice": "a multiple-choice head",
               "ForQuestionAnswering": "a question-answering head"}
"""Ends of class names whose heads this program has not; their encoder can be read."""
_HEADS = {"Model": "encoder", "ForMaskedLM": "mlm", "ForPreTraining": "mlm", "ForSequenceClassification": "classifier",
          **dict.fromkeys(OTHER_HEADS, "other")}
_CLASSES = {"encoder": "Model", "mlm": "ForMaskedLM", "classifier": "ForSequenceClassification"}
_OF_BERT = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
            "max_position_embeddings", "type_vocab_size", "hidden_act")
TEXTS = "bort_mx_texts"
"""Key of config.json under which a classifier of ours says which text it cuts, and what its texts are called."""
SENTENCE_CONFIG = "sentence_bert_config.json"
"""sentence-transformers' file beside config.json: its longest text, and whether texts are lower-cased."""
_SENTENCE_CONFIGS = (SENTENCE_CONFIG, *(f"sentence_{name}_config.json" for name in (
    "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")))
"""Names of that file in older versions; the first that is there counts."""
logger = logging.getLogger(__name__)


# -- reading -----------------------------------------------------------------------------------------------------


def read_values(path: pathlib.Path, names: Iterable[str] = ()) -> Dict:
    """The values of a config.json, of a model that computes what ours does. They have a model_type.

    Args:
        path: the file.
        names: of the tensors; their prefix tells the family where the file has no model_type.
    Raises:
        InputError: no JSON object; another family; or a function that our model does not have (activation, positions).
    """
    values = files.read_json(path)
    if not isinstance(values, dict):
        raise InputError(f"{path}: not a JSON object")
    if values.get("model_type") is None:
        values = {**values, "model_type": _guessed_type(values, names, path)}
    _check_function(values, path)
    if values.get("auto_map"):
        logger.warning("%s: auto_map names code of the model's own, which is not run; read as %s of transformers", path,
                       values["model_type"])
    return values


def _guessed_type(values: Dict, names: Iterable[str], path: pathlib.Path) -> Optional[str]:
    """model_type by the class that architectures names, by the tensors' prefix, or bert by its own fields."""
    said, _ = _class_of(values, path)
    prefix = next((family for family in ("roberta", "bert") if any(name.startswith(f"{family}.") for name in names)),
                  None)
    of_bert = "bert" if all(key in values for key in _OF_BERT) else None
    found = CLASS_PREFIXES.get(said or "") or prefix or of_bert
    if found:
        logger.warning("%s: has no model_type; taken as %r, by %s", path, found, "architectures" if said else (
            "the names of its tensors" if prefix else "its fields, which are BERT's"))
    return found


def _class_of(values: Dict, path: pathlib.Path) -> Tuple[Optional[str], Optional[str]]:
    """The class that architectures names, as its two parts, e.g. ("Bert", "ForMaskedLM"); (None, None) without one."""
    said = values.get("architectures")
    if not said:
        return None, None
    name = said[0] if isinstance(said, list) else None
    found = [(prefix, name[len(prefix):]) for prefix in CLASS_PREFIXES
             if isinstance(name, str) and name.startswith(prefix) and name[len(prefix):] in _HEADS]
    if not found:
        raise InputError(f"{path}: architectures is {said!r:.100}; known are {', '.join(CLASS_PREFIXES)} with "
                         f"{', '.join(_HEADS)} at the end")
    return found[0]


def head_of(values: Dict, path: pathlib.Path) -> Tuple[Optional[str], str]:
    """The head that architectures says: encoder, mlm, classifier, or other; and words on it. None where it is silent.

    Raises:
        InputError: a class that is not known.
    """
    prefix, end = _class_of(values, path)
    if end is None:
        return None, "a head that no architectures in config.json names"
    return _HEADS[end], OTHER_HEADS.get(end, "a head") + f" ({prefix}{end})"


def _check_function(values: Dict, path: pathlib.Path) -> None:
    """Refuse a configuration whose model computes something else than ours."""
    wanted = {"model_type": MODEL_TYPES, "hidden_act": tuple(OF_ACTIVATION), "is_decoder": (False,),
              "position_embedding_type": ("absolute",), "add_cross_attention": (False,),
              "problem_type": (None, *PROBLEM_TYPES)}
    for key, known in wanted.items():
        value = values.get(key, None if key == "model_type" else known[0])
        if value not in known and not (key == "position_embedding_type" and value is None):
            raise InputError(f"{path}: {key} is {value!r:.80}; only {' or '.join(map(repr, known))} can be read")


def _family(values: Dict, path: pathlib.Path) -> str:
    """bert or roberta. Bort is of roberta: its model_type is "bort", or "bert" with RoBERTa's vocabulary or pad id.

    The MLM head of roberta has GELU always, the one of transformers' BERT and Bort what hidden_act says.
    """
    if values["model_type"] not in ("bert", "bort"):
        return "roberta"
    byte_level = (path / "vocab.json").is_file() and (path / "merges.txt").is_file()
    bort = values.get("type_vocab_size") == 1 and values.get("pad_token_id") == 1
    if values["model_type"] == "bort" or byte_level or bort:
        act = values.get("hidden_act", "gelu")
        if OF_ACTIVATION[act] != "gelu":
            raise InputError(f"{path / 'config.json'}: hidden_act is {act!r}; of Bort only 'gelu' can be read")
        return "roberta"
    return "bert"


def _number(values: Dict, key: str, path: pathlib.Path, default: Optional[int] = None) -> int:
    value = values.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"{path}: {key} is {value!r}; it must be a whole number")
    return value


def position_offset(values: Dict, path: pathlib.Path) -> int:
    """Rows of the position table before position 0: padding_idx + 1 of RoBERTa, else none."""
    if values["model_type"] not in _OFFSET_TYPES:
        return 0
    return (1 if values.get("pad_token_id") is None else _number(values, "pad_token_id", path)) + 1


def number_of_labels(values: Dict) -> Optional[int]:
    """How many labels config.json names; None where it says nothing of them."""
    return len(values["id2label"]) if isinstance(values.get("id2label"), dict) else values.get("num_labels")


def names_of_outputs(config: dict) -> Optional[List[str]]:
    """The labels of Hugging Face's id2label in order; None where it has none but LABEL_0, LABEL_1 …"""
    given = config.get("id2label")
    if not isinstance(given, dict) or not given or not all(str(i) in given for i in range(len(given))):
        return None
    labels = [given[str(i)] for i in range(len(given))]
    labels = [label if is_text(label) else str(label).lower() if type(label) in (bool, int, float) else None
              for label in labels]
    if None in labels or len(set(labels)) < len(labels):
        return None
    return None if labels == [f"LABEL_{i}" for i in range(len(labels))] else labels


def names_labels(config: Dict) -> bool:
    """Whether id2label has names other than LABEL_0, LABEL_1 …"""
    given = config.get("id2label")
    names = given.values() if isinstance(given, dict) else given if isinstance(given, list) else ()
    return not all(re.fullmatch(r"LABEL_\d+", str(name)) for name in names)


def with_texts(config: ModelConfig, values: Dict, path: pathlib.Path) -> ModelConfig:
    """The configuration with what the folder says of texts: their longest, the text that is cut, and the columns.

    sentence-transformers has its limit in sentence_bert_config.json, transformers in tokenizer_config.json, where a
    number above the model's positions means none.

    Raises:
        InputError: a limit that is no number of tokens.
    """
    limit, _ = text_settings(path.parent)
    texts = values.get(TEXTS)
    texts = texts if isinstance(texts, dict) else {}
    try:
        return config.replace(max_length=None if limit is None or limit >= config.num_positions else int(limit),
                              cut=texts.get("cut", "longest"), text_columns=texts.get("columns", ()))
    except InputError as error:
        raise InputError(f"{path}: {TEXTS}: {error}") from None


def text_settings(folder: pathlib.Path) -> Tuple[Optional[float], bool]:
    """The longest text in tokens, None where it is not said, and whether texts are lower-cased before the tokenizer.

    Raises:
        InputError: a limit that is no number of tokens, or a do_lower_case that is not true or false.
    """
    path = next((folder / name for name in _SENTENCE_CONFIGS if (folder / name).is_file()), folder / SENTENCE_CONFIG)
    values = files.read_json(path) if path.is_file() else {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: not a JSON object")
    lower = values.get("do_lower_case")
    if lower not in (None, True, False):
        raise InputError(f"{path}: do_lower_case is {lower!r:.40}; it must be true or false")
    limit = _limit(values, path, "max_seq_length")
    path = folder / "tokenizer_config.json"
    if limit is None and path.is_file():
        values = files.read_json(path)
        limit = _limit(values if isinstance(values, dict) else {}, path, "model_max_length")
    return limit, bool(lower)


def _limit(values: Dict, path: pathlib.Path, key: str) -> Optional[float]:
    limit = values.get(key)
    if limit is not None and (type(limit) not in (int, float) or not limit >= 3):
        raise InputError(f"{path}: {key} is {limit!r}; it must be a number of tokens, 3 or more")
    return limit


def model_config(values: Dict, path: pathlib.Path) -> ModelConfig:
    """Our configuration of a model of theirs. Only the tensors tell which head there is.

    Args:
        values: of config.json.
        path: the file; vocabularies beside it help to tell Bort from BERT.
    Raises:
        InputError: a number that is missing or that no model can have.
    """
    family = _family(values, path.parent)
    try:
        architecture = Architecture(*(_number(values, key, path) for key in (
            "num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size")))
        dropout = values.get("hidden_dropout_prob", 0.1)
        if values.get("attention_probs_dropout_prob", dropout) != dropout:
            logger.info("%s: hidden_dropout_prob %s serves for the attention too, whose own differs", path, dropout)
        vocab_size, positions = (_number(values, key, path) for key in ("vocab_size", "max_position_embeddings"))
        return ModelConfig(architecture, vocab_size, family=family,
                           num_positions=positions - position_offset(values, path),
                           token_types=_number(values, "type_vocab_size", path, 1 if family == "roberta" else 2),
                           layer_norm_eps=float(values.get("layer_norm_eps", 1e-12)), dropout=float(dropout),
                           activation=OF_ACTIVATION[values.get("hidden_act", "gelu")],
                           num_labels=number_of_labels(values) or 2)
    except (TypeError, ValueError) as error:
        raise InputError(f"{error}" if str(path) in str(error) else f"{path}: {error}") from None


# -- writing -----------------------------------------------------------------------------------------------------


def values_of(weights: Weights) -> Dict:
    """The values of config.json for weights of ours."""
    config, ids, offset = weights.config, _special_ids(weights), offset_of(weights)
    D, A, H, I = config.architecture.as_tuple()
    labels = config.labels or [f"LABEL_{i}" for i in range(config.num_labels)]
    values = {
        "model_type": config.family,
        "architectures": [("Roberta" if config.family == "roberta" else "Bert") + _CLASSES[config.head]],
        "num_hidden_layers": D, "num_attention_heads": A, "hidden_size": H, "intermediate_size": I,
        "vocab_size": config.vocab_size, "max_position_embeddings": config.num_positions + offset,
        "type_vocab_size": config.token_types or 1, "layer_norm_eps": config.layer_norm_eps,
        "hidden_act": next(theirs for theirs, ours in OF_ACTIVATION.items() if ours == config.activation),
        "hidden_dropout_prob": config.dropout, "attention_probs_dropout_prob": config.dropout,
        "position_embedding_type": "absolute", "initializer_range": 0.02, "tie_word_embeddings": True,
        "bos_token_id": ids["bos"], "pad_token_id": ids["pad"], "eos_token_id": ids["eos"], "torch_dtype": "float32",
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
    }
    if config.head == "classifier" and (config.problem_type or config.num_labels == 1):
        values["problem_type"] = config.problem_type or "regression"
    if config.text_columns or config.cut != "longest":
        values[TEXTS] = {"cut": config.cut, "columns": list(config.text_columns)}
    return values


def offset_of(weights: Weights) -> int:
    """Unused rows of the position table that RoBERTa's code expects before position 0: padding_idx + 1."""
    return _special_ids(weights)["pad"] + 1 if weights.config.family == "roberta" else 0


def _special_ids(weights: Weights) -> Dict[str, int]:
    """bos, pad and eos: the tokenizer's, or those of the family's own vocabulary."""
    if weights.tokenizer is not None:
        return {name: getattr(weights.tokenizer, f"{name}_id") for name in ("bos", "pad", "eos")}
    return {"bos": 0, "pad": 1, "eos": 2} if weights.config.family == "roberta" else {"bos": 101, "pad": 0, "eos": 102}

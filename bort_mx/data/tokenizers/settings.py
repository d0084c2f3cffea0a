"""What tokenizer_config.json says of a tokenizer, beside its vocabulary: honoured or refused by name.

A tokenizer.json has settings of its own. Where tokenizer_config.json says another value of do_lower_case,
strip_accents, tokenize_chinese_chars or add_prefix_space, transformers' classes of BERT and RoBERTa follow
tokenizer_config.json, and so does this program. The generic classes follow tokenizer.json.
"""

import copy
import json
import logging
import pathlib
from typing import Any, Dict, Iterator, Optional

from bort_mx.data.tokenizers.added_tokens import CONFIG
from bort_mx.errors import InputError
from bort_mx.io import files

GENERIC = ("PreTrainedTokenizer", "TokenizersBackend", "PythonBackend")
"""Classes that run a tokenizer.json as it stands, without "Fast" at the end."""
CLASSES = {
    "byte-bpe": ("RobertaTokenizer", "LongformerTokenizer", "BartTokenizer", "GPT2Tokenizer"),
    "wordpiece": ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MobileBertTokenizer",
                  "ConvBertTokenizer", "RetriBertTokenizer", "LayoutLMTokenizer"),
    "sentencepiece": (),
}
"""tokenizer_class of each kind of plain files. "Fast" at the end of a name means nothing."""
MODELS = {"xlm-roberta": "XLMRobertaTokenizer", "camembert": "CamembertTokenizer", "albert": "AlbertTokenizer"}
"""model_type of config.json whose class tells how a SentencePiece model is numbered."""
OWN_CODE = ("BertJapaneseTokenizer", "BertweetTokenizer", "PhobertTokenizer", "HerbertTokenizer", "CanineTokenizer",
            "RoCBertTokenizer")
"""Classes that cut texts by code of their own, before any vocabulary."""
_OF_BERT = {"do_lower_case": "lowercase", "strip_accents": "strip_accents",
            "tokenize_chinese_chars": "handle_chinese_chars"}
logger = logging.getLogger(__name__)


def check_class(directory: pathlib.Path, config: Dict, kind: Optional[str]) -> None:
    """Refuse a tokenizer whose class does more than its files say.

    Args:
        directory: the folder of the tokenizer, whose config.json may name the class too.
        config: the contents of tokenizer_config.json.
        kind: of the plain files that are to be read; None for a tokenizer.json.
    Raises:
        InputError: as said; the message names the class.
    """
    model = files.read_json(directory / "config.json") if (directory / "config.json").is_file() else {}
    model = model if isinstance(model, dict) else {}
    name, place = config.get("tokenizer_class"), directory / CONFIG
    if not name:
        name, place = model.get("tokenizer_class"), directory / "config.json"
    if not name and kind == "sentencepiece":
        name = MODELS.get(str(model.get("model_type")))
    code = config.get("auto_map")
    if config.get("truncation_side", "right") != "right":
        raise InputError(f"{directory / CONFIG}: truncation_side is {config['truncation_side']!r:.40}; here texts lose "
                         "their end, never their beginning")
    splitter = config.get("word_tokenizer_type")
    if splitter not in (None, "basic"):
        raise InputError(f"{directory / CONFIG}: word_tokenizer_type is {splitter!r}; texts are cut into words by a "
                         "program that this one does not have")
    if isinstance(code, dict) and code.get("AutoTokenizer"):
        raise InputError(f"{directory / CONFIG}: auto_map names code of the tokenizer's own, which is not run")
    if not name:
        return
    short = str(name)[:-4] if str(name).endswith("Fast") else str(name)
    if short in OWN_CODE or (kind is not None and short not in (*CLASSES[kind], *GENERIC)):
        advice = "" if short in OWN_CODE or kind is None else (
            "; put its tokenizer.json beside it: in transformers, AutoTokenizer.from_pretrained(…).save_pretrained(…) "
            "writes one")
        raise InputError(f"{place}: tokenizer_class is {str(name)!r:.80}, which this vocabulary's files do not tell "
                         f"whole{advice}")


def with_settings(program: Dict, config: Dict, path: pathlib.Path) -> Dict:
    """The contents of a tokenizer.json with the settings of tokenizer_config.json.

    Raises:
        InputError: a setting that the program's parts cannot have.
    """
    name = str(config.get("tokenizer_class") or "")
    generic = (name[:-4] if name.endswith("Fast") else name) in GENERIC
    program = {**program, **{part: copy.deepcopy(program.get(part)) for part in ("normalizer", "pre_tokenizer")}}
    for key, value in config.items():
        if key in _OF_BERT and value is not None:
            changed = _set_of_bert(program, key, value, path, generic)
        elif key == "add_prefix_space" and value is not None:
            changed = _set_prefix(program, value, path, generic)
        else:
            continue
        if changed:
            logger.warning("%s: %s is %s, as %s says; %s says otherwise", path.parent, key, json.dumps(value),
                           *((path.name, CONFIG) if generic else (CONFIG, path.name)))
    return program


def _set_of_bert(program: Dict, key: str, value: Any, path: pathlib.Path, generic: bool) -> bool:
    """Set a setting of BertNormalizer. True where the program said otherwise."""
    ours = next(_parts(program["normalizer"], "BertNormalizer"), None)
    if ours is not None:
        differs = ours.get(_OF_BERT[key]) != value
        if differs and not generic:
            ours[_OF_BERT[key]] = value
        return differs
    lowers = next(_parts(program["normalizer"], "Lowercase"), None) is not None
    if key == "do_lower_case" and not generic and value != lowers:
        raise InputError(f"{path.parent / CONFIG}: do_lower_case is {json.dumps(value)}, but the normalizer of "
                         f"{path.name} {'has' if lowers else 'has no'} lower-casing; make them agree")
    return False


def _set_prefix(program: Dict, value: Any, path: pathlib.Path, generic: bool) -> bool:
    """Set add_prefix_space of ByteLevel. True where the program said otherwise."""
    byte_level = next(_parts(program["pre_tokenizer"], "ByteLevel"), None)
    if byte_level is not None:
        differs = byte_level.get("add_prefix_space", True) != value
        if differs and not generic:
            byte_level["add_prefix_space"] = value
        return differs
    space = next(_parts(program["pre_tokenizer"], "Metaspace"), None)
    if space is not None and not generic:
        said = space.get("prepend_scheme", "always" if space.get("add_prefix_space", True) else "never")
        if (said != "never") != bool(value):
            raise InputError(f"{path.parent / CONFIG}: add_prefix_space is {json.dumps(value)}, but {path.name} says "
                             f"prepend_scheme {said!r}; make them agree")
    return False


def _parts(part: Any, kind: str) -> Iterator[Dict]:
    """The steps of a normalizer or pre-tokenizer that are of a kind."""
    if isinstance(part, dict):
        if part.get("type") == kind:
            yield part
        for step in [*(part.get("normalizers") or []), *(part.get("pretokenizers") or [])]:
            yield from _parts(step, kind)

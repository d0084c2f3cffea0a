"""A tokenizer of ours as the files that transformers' AutoTokenizer reads, with the same ids for the same text."""

import itertools
import json
import os
import pathlib
from typing import Any, Dict, List, Tuple

import tokenizers
from sentencepiece import sentencepiece_model_pb2
from tokenizers import decoders, models, normalizers, pre_tokenizers

from bort_mx.data.tokenizers import CONFIG, Tokenizer
from bort_mx.data.tokenizers.program import PROGRAM, ProgramTokenizer, template
from bort_mx.errors import InputError
from bort_mx.io import files

SPACE = "▁"
"""What SentencePiece writes for a space."""


def write(directory: os.PathLike, tokenizer: Tokenizer, max_length: int) -> None:
    """Write the vocabulary, tokenizer.json, tokenizer_config.json and special_tokens_map.json.

    Args:
        directory: where.
        tokenizer: the tokenizer.
        max_length: the longest sequence that the model takes, in tokens.
    Raises:
        InputError: a SentencePiece model of a kind that has no equal in `tokenizers`.
    """
    directory = pathlib.Path(directory)
    tokenizer.save(directory)
    config = files.read_json(directory / CONFIG)
    names = _special_tokens(tokenizer)
    program = tokenizer.program() if isinstance(tokenizer, ProgramTokenizer) else _sentencepiece(directory, tokenizer)
    files.write_text(directory / PROGRAM, json.dumps(program, ensure_ascii=False))
    files.write_json(directory / "special_tokens_map.json", names)
    entries = {token["content"]: {key: value for key, value in token.items() if key != "id"}
               for token in program["added_tokens"]}
    mask = entries[tokenizer.mask_token]
    typed = tokenizer.has_token_types and "model_input_names" not in config
    files.write_json(directory / CONFIG, {
        **config, **names, "mask_token": {"__type": "AddedToken", **mask} if mask["lstrip"] else tokenizer.mask_token,
        "tokenizer_class": config.get("tokenizer_class", "PreTrainedTokenizerFast"),
        "model_max_length": max_length, "clean_up_tokenization_spaces": False,
        "added_tokens_decoder": {str(token["id"]): entries[token["content"]] for token in program["added_tokens"]},
        "model_input_names": ["input_ids", *(["token_type_ids"] if typed else []), "attention_mask"]})


def _special_tokens(tokenizer: Tokenizer) -> Dict[str, str]:
    """transformers' names of the special tokens; its bos and eos are its cls and sep in both families."""
    kinds = ("bos", "eos", "pad", "unk", "mask")
    text = {name: tokenizer.id_to_token(getattr(tokenizer, f"{name}_id")) for name in kinds}
    names = {"cls_token": text["bos"], "sep_token": text["eos"], "pad_token": text["pad"], "unk_token": text["unk"],
             "mask_token": text["mask"]}
    return names if tokenizer.has_token_types else {"bos_token": text["bos"], "eos_token": text["eos"], **names}


# -- SentencePiece -------------------------------------------------------------------------------------------------


def _sentencepiece(directory: pathlib.Path, tokenizer: Tokenizer) -> Dict:
    """The program of a SentencePiece model. Its mask takes the space before it."""
    proto = _read_proto(directory / "sentencepiece.model")
    kinds = proto.trainer_spec
    if proto.trainer_spec.model_type == kinds.UNIGRAM:
        model = _unigram(proto)
    elif proto.trainer_spec.model_type == kinds.BPE:
        model = _bpe(proto)
    else:
        raise InputError(f"{directory}: a SentencePiece model of words or characters, which tokenizer.json cannot "
                         "express; only unigram and BPE can be converted")
    rust = tokenizers.Tokenizer(model)
    rust.normalizer = normalizers.Sequence(_normalizer_steps(proto.normalizer_spec))
    rust.pre_tokenizer = _spaces(proto.normalizer_spec)
    prefix = [decoders.Strip(" ", 1, 0)] if proto.normalizer_spec.add_dummy_prefix else []
    rust.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *prefix])
    symbols = [piece.piece for piece in proto.pieces if piece.type == piece.USER_DEFINED]
    rust.add_tokens([tokenizers.AddedToken(text, normalized=True, special=False) for text in symbols])
    five = {getattr(tokenizer, f"{name}_id") for name in ("bos", "eos", "pad", "unk", "mask")}
    rust.add_tokens([tokenizers.AddedToken(tokenizer.id_to_token(i), special=True, normalized=False,
                                           lstrip=i == tokenizer.mask_id) for i in sorted(five)])
    return {**json.loads(rust.to_str()), "post_processor": template(tokenizer, bert=False)}


def _read_proto(path: pathlib.Path) -> Any:
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(path.read_bytes())
    return proto


def _pieces(proto: Any) -> List[Tuple[str, float]]:
    """Pieces and scores by id; the mask follows the model's own pieces unless it is one of them."""
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    if not {"<mask>", "[MASK]"} & {text for text, _ in pieces}:
        pieces.append(("<mask>", 0.0))
    return pieces


def _has_bytes(proto: Any) -> bool:
    return any(piece.type == piece.BYTE for piece in proto.pieces)


def _unknown(proto: Any) -> int:
    return next(i for i, piece in enumerate(proto.pieces) if piece.type == piece.UNKNOWN)


def _unigram(proto: Any) -> models.Unigram:
    """Pieces that text cannot become (control, unused, bytes) keep their ids and get a score that loses every time."""
    pieces = _pieces(proto)
    usable = {i for i, piece in enumerate(proto.pieces) if piece.type in (piece.NORMAL, piece.USER_DEFINED)}
    vocab = [(text, score if i in usable else -1e4) for i, (text, score) in enumerate(pieces)]
    return models.Unigram(vocab, _unknown(proto), _has_bytes(proto))


def _bpe(proto: Any) -> models.BPE:
    """Merges are not in the file: a pair merges where its join is a piece, the pair with the best score first."""
    pieces = _pieces(proto)
    normal = {piece.piece: piece.score for piece in proto.pieces if piece.type in (piece.NORMAL, piece.USER_DEFINED)}
    merges = [(-score, text, (text[:cut], text[cut:])) for text, score in normal.items() for cut in range(1, len(text))
              if text[:cut] in normal and text[cut:] in normal]
    merges.sort(key=lambda merge: merge[0])
    vocab = {text: i for i, (text, _) in enumerate(pieces)}
    return models.BPE(vocab, [pair for _, _, pair in merges], unk_token=proto.pieces[_unknown(proto)].piece,
                      fuse_unk=True, byte_fallback=_has_bytes(proto))


def _normalizer_steps(spec: Any) -> List[normalizers.Normalizer]:
    """What is done to each stretch of text between special tokens. So none of it may depend on where it begins."""
    steps: List[List[normalizers.Normalizer]] = [
        [normalizers.Precompiled(spec.precompiled_charsmap)] if spec.precompiled_charsmap else [],
        [normalizers.Strip(left=not spec.add_dummy_prefix), normalizers.Replace(tokenizers.Regex(" {2,}"), " ")]
        if spec.remove_extra_whitespaces else [],
        [normalizers.Replace(" ", SPACE)] if spec.escape_whitespaces and not spec.remove_extra_whitespaces else [],
    ]
    return list(itertools.chain.from_iterable(steps))


def _spaces(spec: Any) -> pre_tokenizers.PreTokenizer:
    """SentencePiece's marks for spaces, and the one before the text, which no text after a special token gets.

    A model that keeps all spaces adds one before a space, too. Metaspace does not, so it is told that the text begins
    with something else: the text's own spaces are marks by then.
    """
    last = "first" if spec.add_dummy_prefix and spec.remove_extra_whitespaces else "never"
    marks = pre_tokenizers.Metaspace(SPACE, last, split=False)
    if not spec.add_dummy_prefix or spec.remove_extra_whitespaces:
        return marks
    return pre_tokenizers.Sequence([pre_tokenizers.Metaspace(" ", "first", split=False), marks])

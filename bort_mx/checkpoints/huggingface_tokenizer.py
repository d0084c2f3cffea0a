"""A tokenizer of ours as the files that transformers' AutoTokenizer reads, with the same ids for the same text."""

import itertools
import os
import pathlib
from typing import Any, Dict, List, Tuple

import tokenizers
from sentencepiece import sentencepiece_model_pb2
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from bort_mx.data.tokenizers import CONFIG, Tokenizer
from bort_mx.data.tokenizers.added_tokens import AddedToken
from bort_mx.errors import InputError
from bort_mx.io import files

SPACE = "▁"
"""What SentencePiece writes for a space."""
CLASSES = {"byte-bpe": "RobertaTokenizer", "wordpiece": "BertTokenizer", "sentencepiece": "PreTrainedTokenizerFast"}


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
    build = {"byte-bpe": _byte_bpe, "wordpiece": _wordpiece, "sentencepiece": _sentencepiece}[tokenizer.kind]
    rust = build(directory, config)
    names = _special_tokens(tokenizer)
    added = _added(tokenizer, names)
    rust.add_tokens([token.as_rust() for token in added])
    rust.post_processor = _template(tokenizer)
    with files.atomic_path(directory / "tokenizer.json") as temporary:
        rust.save(str(temporary))
    files.write_json(directory / "special_tokens_map.json", names)
    files.write_json(directory / CONFIG, {
        **config, **names, "mask_token": _mask_entry(tokenizer), "tokenizer_class": CLASSES[tokenizer.kind],
        "model_max_length": max_length, "clean_up_tokenization_spaces": False,
        "added_tokens_decoder": {str(token.id): {"content": token.content, **token.flags()} for token in added},
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"] if tokenizer.has_token_types
        else ["input_ids", "attention_mask"]})


def _special_tokens(tokenizer: Tokenizer) -> Dict[str, str]:
    """transformers' names of the special tokens; its bos and eos are its cls and sep in both families."""
    kinds = ("bos", "eos", "pad", "unk", "mask")
    text = {name: tokenizer.id_to_token(getattr(tokenizer, f"{name}_id")) for name in kinds}
    names = {"cls_token": text["bos"], "sep_token": text["eos"], "pad_token": text["pad"], "unk_token": text["unk"],
             "mask_token": text["mask"]}
    return names if tokenizer.has_token_types else {"bos_token": text["bos"], "eos_token": text["eos"], **names}


def _added(tokenizer: Tokenizer, names: Dict[str, str]) -> List[AddedToken]:
    """The special tokens and those that were added to the vocabulary, by id, in which order they must be added."""
    five = [AddedToken(text, tokenizer.token_to_id(text), special=True, normalized=False,
                       lstrip=_takes_space(tokenizer, text)) for text in dict.fromkeys(names.values())]
    return sorted([*five, *tokenizer.added], key=lambda token: token.id)


def _takes_space(tokenizer: Tokenizer, token: str) -> bool:
    """Whether a token takes the space before it, as the mask does except in WordPiece, which has no spaces."""
    return token == tokenizer.mask_token and not tokenizer.has_token_types


def _mask_entry(tokenizer: Tokenizer) -> Any:
    if not _takes_space(tokenizer, tokenizer.mask_token):
        return tokenizer.mask_token
    return {"__type": "AddedToken", "content": tokenizer.mask_token, "lstrip": True, "normalized": False,
            "rstrip": False, "single_word": False, "special": True}


def _template(tokenizer: Tokenizer) -> processors.TemplateProcessing:
    bos, eos = (tokenizer.id_to_token(i) for i in (tokenizer.bos_id, tokenizer.eos_id))
    second = f"$B:1 {eos}:1" if tokenizer.has_token_types else f"{eos}:0 $B:0 {eos}:0"
    return processors.TemplateProcessing(single=f"{bos} $A {eos}", pair=f"{bos}:0 $A:0 {eos}:0 {second}",
                                         special_tokens=[(bos, tokenizer.bos_id), (eos, tokenizer.eos_id)])


def _byte_bpe(directory: pathlib.Path, config: Dict) -> tokenizers.Tokenizer:
    rust = tokenizers.Tokenizer(models.BPE.from_file(str(directory / "vocab.json"), str(directory / "merges.txt")))
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=config.get("add_prefix_space", False))
    rust.decoder = decoders.ByteLevel()
    return rust


def _wordpiece(directory: pathlib.Path, config: Dict) -> tokenizers.Tokenizer:
    rust = tokenizers.Tokenizer(models.WordPiece.from_file(str(directory / "vocab.txt"), unk_token="[UNK]"))
    rust.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=config["tokenize_chinese_chars"], strip_accents=config["strip_accents"],
        lowercase=config["do_lower_case"])
    rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    rust.decoder = decoders.WordPiece()
    return rust


# -- SentencePiece -------------------------------------------------------------------------------------------------


def _sentencepiece(directory: pathlib.Path, config: Dict) -> tokenizers.Tokenizer:
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
    return rust


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

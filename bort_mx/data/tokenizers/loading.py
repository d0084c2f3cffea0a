"""From files to a tokenizer. The names of the files tell which layout it is."""

import logging
import os
import pathlib
from typing import Dict, List, Sequence, Tuple

from bort_mx.data.tokenizers.added_tokens import CONFIG, SINGLE_FILE, SPECIAL_MAP, object_in, read_added_tokens
from bort_mx.data.tokenizers.base import Tokenizer
from bort_mx.data.tokenizers.byte_bpe import ByteBPETokenizer
from bort_mx.data.tokenizers.places import vocabulary_place
from bort_mx.data.tokenizers.program import BERT_SPECIALS, ROBERTA_SPECIALS, ProgramTokenizer, kind_of, tokens_of
from bort_mx.data.tokenizers.sentencepiece import SentencePieceTokenizer
from bort_mx.data.tokenizers.settings import check_class, with_settings
from bort_mx.data.tokenizers.wordpiece import WordPieceTokenizer
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.io.near_names import missing

SENTENCEPIECE_NAMES = ("sentencepiece.model", "spiece.model", "spm.model", "sentencepiece.bpe.model",
                       "tokenizer.model", "spm")
_SPECIAL_NAMES = {"bos": ("cls_token", "bos_token"), "eos": ("sep_token", "eos_token"), "pad": ("pad_token",),
                  "unk": ("unk_token",), "mask": ("mask_token",)}
logger = logging.getLogger(__name__)

FLAGS = ("do_lower_case", "strip_accents", "tokenize_chinese_chars", "add_prefix_space")
"""Fields of tokenizer_config.json that are read and are true or false."""


def load_tokenizer(path: os.PathLike) -> Tokenizer:
    """Read a vocabulary from a directory, from one of its files, or from what else `vocabulary_place` finds it by.

    A directory may hold tokenizer.json, which is run as it stands; or, where that is absent, vocab.json + merges.txt,
    vocab.txt, a SentencePiece model, or fairseq's dict.txt + encoder.json + vocab.bpe. One written by `Tokenizer.save`
    says its kind in tokenizer_config.json. Of a Hugging Face directory, the settings of tokenizer_config.json are
    honoured or refused (see `bort_mx.data.tokenizers.settings`). Its added tokens are read from the four files that may
    name them (see `bort_mx.data.tokenizers.added_tokens`).

    Raises:
        InputError: no such path, no vocabulary in it, a damaged one, or a tokenizer of a class that cannot be read.
    """
    path = vocabulary_place(path)
    if not path.exists():
        raise InputError(f"{missing(path, 'no such file or directory')}; give a folder with vocab.json and "
                         "merges.txt, vocab.txt, or sentencepiece.model")
    directory = path if path.is_dir() else path.parent
    config = object_in(directory / CONFIG)
    odd = [name for name in FLAGS if not isinstance(config.get(name), (bool, type(None)))]
    if odd:
        raise InputError(f"{directory / CONFIG}: {odd[0]} is {config[odd[0]]!r:.60}; expected true or false")
    if path.is_file():
        return _load_file(path, config)
    return _load_directory(directory, config)


def _load_file(path: pathlib.Path, config: Dict) -> Tokenizer:
    if path.name == SINGLE_FILE:
        return _load_program(path, config)
    if path.suffix == ".json" or path.name == "merges.txt":
        return _load_directory(path.parent, config)
    if path.suffix in (".model", ".spm", ".vocab") or path.name in SENTENCEPIECE_NAMES:
        return _load_sentencepiece(path, config)
    return _load_wordpiece(path, config)


def _load_directory(directory: pathlib.Path, config: Dict) -> Tokenizer:
    names = {entry.name for entry in directory.iterdir()}
    kind = config.get("kind")
    models = [directory / name for name in SENTENCEPIECE_NAMES if name in names]
    models = models or sorted(directory / name for name in names if name.endswith((".model", ".spm")))
    if models and kind == "sentencepiece":  # ours, also where it was converted
        return _load_sentencepiece(models[0], config)
    if SINGLE_FILE in names:
        return _load_program(directory / SINGLE_FILE, config)
    if {"vocab.json", "merges.txt"} <= names and kind in (None, "byte-bpe"):
        return _load_byte_bpe(directory, config)
    if "vocab.txt" in names and kind in (None, "wordpiece"):
        return _load_wordpiece(directory / "vocab.txt", config)
    if models and kind is None:
        return _load_sentencepiece(models[0], config)
    if {"dict.txt", "encoder.json", "vocab.bpe"} <= names:
        return _load_fairseq(directory)
    raise InputError(f"{directory}: no vocabulary here; expected vocab.json and merges.txt, vocab.txt, "
                     "sentencepiece.model, fairseq's dict.txt, encoder.json and vocab.bpe, or tokenizer.json")


def _load_byte_bpe(directory: pathlib.Path, config: Dict) -> Tokenizer:
    check_class(directory, config, "byte-bpe")
    path = directory / "vocab.json"
    vocab = _read_vocab(path)
    merges = _read_merges(directory / "merges.txt")
    _check_reach(vocab, merges, directory / "merges.txt")
    return ByteBPETokenizer(vocab, merges, config.get("add_prefix_space", False),
                            str(path), read_added_tokens(directory, config, vocab))


def _load_wordpiece(path: pathlib.Path, config: Dict) -> Tokenizer:
    check_class(path.parent, config, "wordpiece")
    tokens = files.read_lines(path)
    lower = config.get("do_lower_case")
    if lower is None and _is_cased(tokens):
        logger.warning("%s: taken as cased, as it has upper-case letters and no %s says do_lower_case", path, CONFIG)
    added = read_added_tokens(path.parent, config, {token: i for i, token in enumerate(tokens)})
    return WordPieceTokenizer(tokens, not _is_cased(tokens) if lower is None else lower, config.get("strip_accents"),
                              config.get("tokenize_chinese_chars", True), str(path), added,
                              _says_types(path.parent, config))


def _load_sentencepiece(path: pathlib.Path, config: Dict) -> Tokenizer:
    """Read a SentencePiece model. It finds only its own symbols in a text, so further added tokens are refused."""
    if config.get("kind") is None:
        check_class(path.parent, config, "sentencepiece")
    tokenizer = SentencePieceTokenizer(path.read_bytes(), str(path))
    vocab = {tokenizer.id_to_token(i): i for i in range(tokenizer.vocab_size)}
    for token in read_added_tokens(path.parent, config, vocab):
        if vocab.get(token.content) != token.id:
            raise InputError(f"{path}: token {token.content!r} was added as id {token.id}; tokens added to a "
                             "SentencePiece vocabulary cannot be read, only those of the model itself")
    return tokenizer


def _load_fairseq(directory: pathlib.Path) -> Tokenizer:
    """fairseq numbers the lines of dict.txt after its four special tokens, and puts `<mask>` last."""
    encoder = _read_vocab(directory / "encoder.json")
    token_of = {str(index): token for token, index in encoder.items()}
    tokens = ["<s>", "<pad>", "</s>", "<unk>"]
    for number, line in enumerate(files.read_lines(directory / "dict.txt"), 1):
        symbol = line.rsplit(" ", 1)[0]
        token = token_of.get(symbol, symbol if symbol.startswith("madeupword") else None)
        if token is None:
            raise InputError(f"{directory / 'dict.txt'}:{number}: {symbol!r} is not a number of encoder.json")
        tokens.append(token)
    vocab = {token: i for i, token in enumerate([*tokens, "<mask>"])}
    merges = _read_merges(directory / "vocab.bpe")
    _check_reach(vocab, merges, directory / "vocab.bpe")
    return ByteBPETokenizer(vocab, merges, source=str(directory / "dict.txt"))


def _load_program(path: pathlib.Path, config: Dict) -> Tokenizer:
    """A tokenizer.json, with the settings, special tokens and added tokens that the files beside it tell of."""
    program = object_in(path)
    vocab = {token: i for i, token in tokens_of(program).items()}
    added = read_added_tokens(path.parent, config, vocab)
    if not vocab:
        raise InputError(f"{path}: not a tokenizer.json (no model with a vocabulary)")
    check_class(path.parent, config, None)
    program = with_settings(program, config, path)
    specials = _special_tokens(path.parent, config, {*vocab, *(token.content for token in added)}, kind_of(program))
    return ProgramTokenizer(program, specials, str(path), added, _says_types(path.parent, config))


def _says_types(directory: pathlib.Path, config: Dict) -> bool:
    """Whether the tokenizer's calls return token types, as model_input_names says.

    transformers 5 writes the class TokenizersBackend, which returns them only where model_input_names has them.
    """
    default = [] if config.get("tokenizer_class") == "TokenizersBackend" else ["token_type_ids"]
    inputs = config.get("model_input_names") or default
    if not isinstance(inputs, list):
        raise InputError(f"{directory / CONFIG}: model_input_names is {inputs!r}; expected a list of names")
    return "token_type_ids" in inputs


def _special_tokens(directory: pathlib.Path, config: Dict, known: set, kind: str) -> Dict[str, str]:
    """The five special tokens: as tokenizer_config.json or special_tokens_map.json say, else by their usual names."""
    said = {**object_in(directory / SPECIAL_MAP), **config}
    usual = (BERT_SPECIALS, ROBERTA_SPECIALS) if kind == "wordpiece" else (ROBERTA_SPECIALS, BERT_SPECIALS)
    found = {}
    for name, keys in _SPECIAL_NAMES.items():
        entries = [said[key].get("content") if isinstance(said[key], dict) else said[key]
                   for key in keys if said.get(key)]
        options = [*entries[:1], *(names[name] for names in usual)] if not entries else entries[:1]
        found[name] = next((token for token in options if isinstance(token, str) and token in known), options[0])
        if not isinstance(found[name], str):
            raise InputError(f"{directory / CONFIG}: {keys[0]} is {found[name]!r}; expected a token")
    return found


def _read_vocab(path: pathlib.Path) -> Dict[str, int]:
    vocab = files.read_json(path)
    if not isinstance(vocab, dict) or not all(type(index) is int for index in vocab.values()):
        raise InputError(f"{path}: expected one JSON object of token: id")
    if len(set(vocab.values())) < len(vocab):
        raise InputError(f"{path}: ids must run from 0 without gaps or repeats; two tokens have one id")
    return vocab


def _read_merges(path: pathlib.Path) -> List[Tuple[str, str]]:
    merges = []
    for number, line in enumerate(files.read_lines(path), 1):
        if (number == 1 and line.startswith("#version")) or not line:
            continue
        pair = tuple(line.split(" "))
        if len(pair) != 2:
            raise InputError(f"{path}:{number}: expected two tokens and one space, found {line!r}")
        merges.append(pair)
    return merges


def _check_reach(vocab: Dict[str, int], merges: Sequence[Tuple[str, str]], path: pathlib.Path) -> None:
    """Refuse merges that make only a part of the vocabulary: less than 99 % of the tokens of several bytes."""
    made = {first + second for first, second in merges}
    due = [token for token in vocab if len(token) > 1 and not token.startswith(("<", "madeupword"))]
    reached = sum(token in made for token in due)
    if len(due) - reached > max(32, 0.01 * len(due)):
        raise InputError(f"{path}: makes {reached:,} of the {len(due):,} tokens of several bytes that the vocabulary "
                         "has; is it a download that broke off? Fetch it again")


def _is_cased(tokens: Sequence[str]) -> bool:
    """A vocabulary with upper-case letters outside its special and unused tokens is cased."""
    return any(token != token.lower() for token in tokens if not token.startswith("["))

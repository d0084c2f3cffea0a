"""From files to a tokenizer. The names of the files tell which layout it is."""

import os
import pathlib
from typing import Any, Dict, List, Sequence, Tuple

from bort_mx.data.tokenizers.added_tokens import CONFIG, read_added_tokens
from bort_mx.data.tokenizers.base import Tokenizer, tokens_in_order
from bort_mx.data.tokenizers.byte_bpe import ByteBPETokenizer
from bort_mx.data.tokenizers.sentencepiece import SentencePieceTokenizer
from bort_mx.data.tokenizers.wordpiece import WordPieceTokenizer
from bort_mx.errors import InputError
from bort_mx.io import files

SENTENCEPIECE_NAMES = ("sentencepiece.model", "spiece.model", "spm.model", "sentencepiece.bpe.model",
                       "tokenizer.model", "spm")


def load_tokenizer(path: os.PathLike) -> Tokenizer:
    """Read a vocabulary from a directory, or from one of its files.

    A directory may hold vocab.json + merges.txt, vocab.txt, a SentencePiece model, fairseq's dict.txt + encoder.json
    + vocab.bpe, or, where none of these is there, tokenizer.json. One written by `Tokenizer.save` says its kind in
    tokenizer_config.json. A Hugging Face directory's casing is read from there too. Its added tokens are read from the
    four files that may name them (see `bort_mx.data.tokenizers.added_tokens`).

    Raises:
        InputError: no such path, no vocabulary in it, or a damaged one.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or directory; give a folder with vocab.json and merges.txt, "
                         "vocab.txt, or sentencepiece.model")
    directory = path if path.is_dir() else path.parent
    config = files.read_json(directory / CONFIG) if (directory / CONFIG).is_file() else {}
    if not isinstance(config, dict):
        raise InputError(f"{directory / CONFIG}: not a JSON object")
    if path.is_file():
        return _load_file(path, config)
    return _load_directory(directory, config)


def _load_file(path: pathlib.Path, config: dict) -> Tokenizer:
    if path.name == "tokenizer.json":
        return _load_tokenizer_json(path, config)
    if path.suffix == ".json" or path.name == "merges.txt":
        return _load_directory(path.parent, config)
    if path.suffix in (".model", ".spm", ".vocab") or path.name in SENTENCEPIECE_NAMES:
        return _load_sentencepiece(path, config)
    return _load_wordpiece(path, config)


def _load_directory(directory: pathlib.Path, config: dict) -> Tokenizer:
    names = {entry.name for entry in directory.iterdir()}
    kind = config.get("kind")
    models = [directory / name for name in SENTENCEPIECE_NAMES if name in names]
    models = models or sorted(directory / name for name in names if name.endswith((".model", ".spm")))
    if {"vocab.json", "merges.txt"} <= names and kind in (None, "byte-bpe"):
        return _load_byte_bpe(directory, config)
    if "vocab.txt" in names and kind in (None, "wordpiece"):
        return _load_wordpiece(directory / "vocab.txt", config)
    if models and kind in (None, "sentencepiece"):
        return _load_sentencepiece(models[0], config)
    if {"dict.txt", "encoder.json", "vocab.bpe"} <= names:
        return _load_fairseq(directory)
    if "tokenizer.json" in names:
        return _load_tokenizer_json(directory / "tokenizer.json", config)
    raise InputError(f"{directory}: no vocabulary here; expected vocab.json and merges.txt, vocab.txt, "
                     "sentencepiece.model, fairseq's dict.txt, encoder.json and vocab.bpe, or tokenizer.json")


def _load_byte_bpe(directory: pathlib.Path, config: dict) -> ByteBPETokenizer:
    path = directory / "vocab.json"
    vocab = _read_vocab(path)
    merges = _read_merges(directory / "merges.txt")
    _check_reach(vocab, merges, directory / "merges.txt")
    return ByteBPETokenizer(vocab, merges, config.get("add_prefix_space", False),
                            str(path), read_added_tokens(directory, config, vocab))


def _load_wordpiece(path: pathlib.Path, config: dict) -> WordPieceTokenizer:
    tokens = files.read_lines(path)
    added = read_added_tokens(path.parent, config, {token: i for i, token in enumerate(tokens)})
    return WordPieceTokenizer(tokens, config.get("do_lower_case", not _is_cased(tokens)), config.get("strip_accents"),
                              config.get("tokenize_chinese_chars", True), str(path), added)


def _load_sentencepiece(path: pathlib.Path, config: dict) -> SentencePieceTokenizer:
    """Read a SentencePiece model. It finds only its own symbols in a text, so further added tokens are refused."""
    tokenizer = SentencePieceTokenizer(path.read_bytes(), str(path))
    vocab = {tokenizer.id_to_token(i): i for i in range(tokenizer.vocab_size)}
    for token in read_added_tokens(path.parent, config, vocab):
        if vocab.get(token.content) != token.id:
            raise InputError(f"{path}: token {token.content!r} was added as id {token.id}; tokens added to a "
                             "SentencePiece vocabulary cannot be read, only those of the model itself")
    return tokenizer


def _load_fairseq(directory: pathlib.Path) -> ByteBPETokenizer:
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


def _load_tokenizer_json(path: pathlib.Path, config: dict) -> Tokenizer:
    """Vocabulary out of Hugging Face's single file."""
    content = files.read_json(path)
    try:
        model = content["model"]
        vocab, kind = model["vocab"], model.get("type") or ("BPE" if "merges" in model else "WordPiece")
        merges = model["merges"] if kind == "BPE" else []
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a tokenizer.json (no {error})") from None
    if kind not in ("BPE", "WordPiece"):
        raise InputError(f"{path}: a {kind} model; of tokenizer.json files BPE and WordPiece can be read, "
                         "for SentencePiece give the .model file")
    _check_vocab(vocab, path)
    added = read_added_tokens(path.parent, config, vocab)
    last = max(vocab.values(), default=-1)
    vocab = {**vocab, **{token.content: token.id for token in added if token.id < last}}  # they may fill gaps
    if kind == "BPE":
        pairs = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in merges]
        prefix = (content.get("pre_tokenizer") or {}).get("add_prefix_space", False)
        return ByteBPETokenizer(vocab, pairs, prefix, str(path), added)
    tokens, normalizer = tokens_in_order(vocab, str(path)), content.get("normalizer") or {}
    return WordPieceTokenizer(tokens, normalizer.get("lowercase", not _is_cased(tokens)),
                              normalizer.get("strip_accents"), normalizer.get("handle_chinese_chars", True),
                              str(path), added)


def _read_vocab(path: pathlib.Path) -> Dict[str, int]:
    vocab = files.read_json(path)
    _check_vocab(vocab, path)
    return vocab


def _check_vocab(vocab: Any, path: pathlib.Path) -> None:
    if not isinstance(vocab, dict) or not all(type(index) is int for index in vocab.values()):
        raise InputError(f"{path}: expected one JSON object of token: id")


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

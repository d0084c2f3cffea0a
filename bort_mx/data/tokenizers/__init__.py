"""Vocabularies: RoBERTa's byte-level BPE, BERT's WordPiece, SentencePiece; one interface for all three.

The work is done by `tokenizers` (Rust) and `sentencepiece` (C++). What stands here is what those leave to the caller:
finding the files, the special tokens, the pair formats, and a promise that text never turns into one of the five
special tokens unless the caller asks for it ("</s>" in a web page is four characters, not the end of a sentence).
Tokens that somebody added to the vocabulary are found in every text: that is what they were added for.
"""

import abc
import dataclasses
import hashlib
import io
import json
import os
import pathlib
import re
from typing import Any, Dict, FrozenSet, Iterable, Iterator, List, Optional, Sequence, Tuple

import sentencepiece
import tokenizers

from bort_mx.data.tokenizers.added_tokens import ADDED, CONFIG, AddedToken, read_added_tokens
from bort_mx.errors import InputError
from bort_mx.io import files

SENTENCEPIECE_NAMES = ("sentencepiece.model", "spiece.model", "spm.model", "sentencepiece.bpe.model",
                       "tokenizer.model", "spm")
ROBERTA_SPECIALS = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask>"}
BERT_SPECIALS = {"bos": "[CLS]", "pad": "[PAD]", "eos": "[SEP]", "unk": "[UNK]", "mask": "[MASK]"}


class Tokenizer(abc.ABC):
    """Text to ids and back.

    Attributes:
        kind: "byte-bpe", "wordpiece" or "sentencepiece".
        vocab_size: number of ids, special tokens included.
        bos_id, eos_id: `<s>` and `</s>`, or `[CLS]` and `[SEP]`.
        pad_id, unk_id, mask_id: the other special tokens.
        special_ids: the ids of those five and of added tokens that are special; they are never masked.
        added: the tokens added to the vocabulary, beside those five, by id.
        mask_token: the mask token as written in text, "<mask>" or "[MASK]".
        has_token_types: True where the second text of a pair has token type 1 (BERT).
    """

    kind: str
    has_token_types = False

    def __init__(self, tokens: Sequence[str], specials: Dict[str, str], source: str,
                 added: Sequence[AddedToken] = ()):
        self._own = len(tokens)  # ids beyond are of added tokens
        self._tokens = _with_added(tokens, added, source)
        self._ids = {token: i for i, token in enumerate(self._tokens)}
        missing = [token for token in specials.values() if token not in self._ids]
        if missing:
            raise InputError(f"{source}: the vocabulary lacks the special tokens {' '.join(missing)}; "
                             f"a {self.kind} vocabulary needs {' '.join(specials.values())}")
        self.vocab_size = len(self._tokens)
        self.bos_id, self.eos_id, self.pad_id, self.unk_id, self.mask_id = (
            self._ids[specials[name]] for name in ("bos", "eos", "pad", "unk", "mask"))
        self.mask_token = specials["mask"]
        five = frozenset(self._ids[token] for token in specials.values())
        self.added = tuple(token for token in sorted(added, key=lambda token: token.id) if token.id not in five)
        self.special_ids: FrozenSet[int] = five | {token.id for token in self.added if token.special}
        others = [re.escape(token) for name, token in specials.items() if name != "mask"]
        self._special_pattern = re.compile("|".join([f"({self._mask_regex()}", *others]) + ")")
        self._digest: Optional[str] = None

    # -- text to ids ---------------------------------------------------------------------------------------------

    def encode(self, text: str, text_pair: Optional[str] = None, recognise_specials: bool = True,
               max_length: Optional[int] = None) -> List[int]:
        """Ids of one text or of a pair, with special tokens.

        Args:
            text: any text.
            text_pair: a second text: `<s> A </s></s> B </s>`, or BERT's `[CLS] A [SEP] B [SEP]`.
            recognise_specials: read special tokens written in the text ("The <mask> of the function") as such, as
                transformers does by default; False reads them as plain characters.
            max_length: cut to this many ids, from the longer of the two texts first; None cuts nothing.
        """
        pairs = None if text_pair is None else [text_pair]
        return self.encode_batch([text], pairs, recognise_specials=recognise_specials, max_length=max_length)[0]

    def encode_batch(self, texts: Sequence[str], pairs: Optional[Sequence[str]] = None,
                     add_special_tokens: bool = True, recognise_specials: bool = False,
                     max_length: Optional[int] = None) -> List[List[int]]:
        """Ids of many texts, or of many pairs, in parallel.

        Args:
            texts: the (first) texts.
            pairs: the second texts, as many as `texts`.
            add_special_tokens: False gives the bare ids (of pairs, joined).
            recognise_specials: as in `encode`; off by default, because corpora are not addressed to the tokenizer.
            max_length: as in `encode`.
        """
        encode = self._encode_with_specials if recognise_specials else self.encode_plain
        first = encode(list(texts))
        second = encode(list(pairs)) if pairs is not None else [None] * len(first)
        if len(first) != len(second):
            raise ValueError(f"{len(first)} texts but {len(second)} pairs")
        return [self._join(a, b, add_special_tokens, max_length) for a, b in zip(first, second)]

    def _join(self, first: List[int], second: Optional[List[int]], specials: bool, limit: Optional[int]) -> List[int]:
        separator = [] if self.has_token_types else [self.eos_id]
        added = (2 if second is None else 3 + len(separator)) if specials else 0
        if limit is not None:
            first, second = _cut_longest_first(first, second, limit - added)
        if not specials:
            return first + (second or [])
        ids = [self.bos_id, *first, self.eos_id]
        return ids if second is None else [*ids, *separator, *second, self.eos_id]

    def token_types(self, ids: Sequence[int]) -> List[int]:
        """Token types of ids that `encode` gave: BERT's 0 up to the first [SEP] and 1 after it; all 0 elsewhere."""
        if not self.has_token_types or self.eos_id not in ids:
            return [0] * len(ids)
        first = list(ids).index(self.eos_id) + 1
        return [0] * first + [1] * (len(ids) - first)

    def token_type_ids(self, text: str, text_pair: Optional[str] = None, **options) -> List[int]:
        """Token types that belong to `encode(text, text_pair, **options)`."""
        return self.token_types(self.encode(text, text_pair, **options))

    def _encode_with_specials(self, texts: List[str]) -> List[List[int]]:
        pieces = [self._special_pattern.split(text) for text in texts]  # text, special token, text, …, text
        encoded = iter(self.encode_plain([piece for parts in pieces for piece in parts[::2]]))
        result = []
        for parts in pieces:
            ids = list(next(encoded))
            for token in parts[1::2]:
                ids += [self._ids.get(token, self.mask_id), *next(encoded)]
            result.append(ids)
        return result

    @abc.abstractmethod
    def encode_plain(self, texts: List[str]) -> List[List[int]]:
        """Ids of texts in which every character is just a character, but for the added tokens; none put around."""

    # -- ids to text ---------------------------------------------------------------------------------------------

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = True) -> str:
        """Text of ids.

        Raises:
            InputError: an id outside the vocabulary.
        """
        ids = [int(i) for i in ids]
        wrong = [i for i in ids if not 0 <= i < self.vocab_size]
        if wrong:
            raise InputError(f"id {wrong[0]} is outside the vocabulary of {self.vocab_size} ids")
        if skip_special_tokens:
            ids = [i for i in ids if i not in self.special_ids]
        as_they_are = self.special_ids.union(token.id for token in self.added)
        parts: List[str] = []
        run: List[int] = []
        for i in ids:
            if i in as_they_are:
                parts += [self._decode_plain(run), self._tokens[i]]
                run = []
            else:
                run.append(i)
        parts.append(self._decode_plain(run))
        return self._joint.join(part for part in parts if part)

    _joint = ""

    @abc.abstractmethod
    def _decode_plain(self, ids: List[int]) -> str:
        """Text of ids none of which is special or added."""

    def id_to_token(self, index: int) -> str:
        """The vocabulary's own spelling of an id."""
        return self._tokens[index]

    def token_to_id(self, token: str) -> int:
        """The id of a token in the vocabulary's own spelling, or the id of unknown."""
        return self._ids.get(token, self.unk_id)

    # -- files ---------------------------------------------------------------------------------------------------

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides which ids a text gets; equal for equal vocabularies however stored."""
        if self._digest is None:
            added = _canonical([dataclasses.astuple(token) for token in self.added]) if self.added else b""
            self._digest = hashlib.sha256(self._content() + added).hexdigest()
        return self._digest

    def save(self, directory: os.PathLike) -> List[str]:
        """Write the vocabulary under its standard names, and tokenizer_config.json.

        Returns:
            The names of the files written.
        """
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        names = self._save_files(directory)
        config = {**self._config(), "kind": self.kind, "mask_token": self.mask_token}
        if len(self._tokens) > self._own:
            files.write_json(directory / ADDED, {token: self._ids[token] for token in self._tokens[self._own:]})
            names = [*names, ADDED]
        if self.added:
            config["added_tokens_decoder"] = {str(t.id): {"content": t.content, **t.flags()} for t in self.added}
        files.write_json(directory / CONFIG, config)
        return [*names, CONFIG]

    @abc.abstractmethod
    def _content(self) -> bytes:
        """Canonical bytes of the vocabulary, for the digest."""

    @abc.abstractmethod
    def _save_files(self, directory: pathlib.Path) -> List[str]:
        """Write the vocabulary's files and return their names."""

    def _config(self) -> dict:
        return {}

    def _mask_regex(self) -> str:
        return re.escape(self.mask_token)

    def _find_added(self, rust: tokenizers.Tokenizer, added: Sequence[AddedToken]) -> None:
        """Have the library find the added tokens in texts; the five special ones, if among them, only get their ids."""
        found = {token.id for token in self.added}
        beyond = [token for token in added if token.id in found or token.id >= self._own]
        if beyond:
            rust.encode_special_tokens = True  # leaves those that are special to the library, the five, unread
            rust.add_tokens([dataclasses.replace(token, special=token.id not in found).as_rust()
                             for token in sorted(beyond, key=lambda token: token.id)])


class ByteBPETokenizer(Tokenizer):
    """RoBERTa's byte-level BPE (GPT-2's merges): lossless, cased, without unknown tokens.

    Args:
        vocab: token → id.
        merges: pairs of tokens, in the order of their rank.
        add_prefix_space: encode "word" as " word" at the beginning of a text.
        source: the file to name in errors.
        added: tokens added to the vocabulary, or of it, that are found in texts before the merges are applied.
    """

    kind = "byte-bpe"

    def __init__(self, vocab: Dict[str, int], merges: Sequence[Tuple[str, str]], add_prefix_space: bool = False,
                 source: str = "vocabulary", added: Sequence[AddedToken] = ()):
        super().__init__(_tokens_in_order(vocab, source), ROBERTA_SPECIALS, source, added)
        absent = set(tokenizers.pre_tokenizers.ByteLevel.alphabet()) - self._ids.keys()
        if absent:
            raise InputError(f"{source}: not a byte-level vocabulary, {len(absent)} of the 256 bytes have no token")
        self._merges, self._prefix = list(merges), bool(add_prefix_space)
        try:
            model = tokenizers.models.BPE(vocab, self._merges, unk_token=ROBERTA_SPECIALS["unk"])
        except Exception as error:  # the Rust library raises plain Exception for a merge that is not in the vocabulary
            raise InputError(f"{source}: vocabulary and merges do not match ({error})") from None
        self._rust = tokenizers.Tokenizer(model)
        self._rust.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=self._prefix)
        self._rust.decoder = tokenizers.decoders.ByteLevel()
        self._find_added(self._rust, added)

    def encode_plain(self, texts: List[str]) -> List[List[int]]:
        """As `Tokenizer`'s."""
        return [encoding.ids for encoding in self._rust.encode_batch_fast(texts, add_special_tokens=False)]

    def _decode_plain(self, ids: List[int]) -> str:
        return self._rust.decode(ids, skip_special_tokens=False)

    def _mask_regex(self) -> str:
        return r"\s*" + re.escape(self.mask_token)  # as in RoBERTa, the mask stands for a word with its space

    def _content(self) -> bytes:
        return _canonical([self.kind, self._tokens, [" ".join(pair) for pair in self._merges], self._prefix])

    def _save_files(self, directory: pathlib.Path) -> List[str]:
        own = {token: i for i, token in enumerate(self._tokens[:self._own])}
        files.write_text(directory / "vocab.json", json.dumps(own, ensure_ascii=False))
        lines = ["#version: 0.2", *(" ".join(pair) for pair in self._merges)]
        files.write_text(directory / "merges.txt", "\n".join(lines) + "\n")
        return ["vocab.json", "merges.txt"]

    def _config(self) -> dict:
        return {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": self._prefix}


class WordPieceTokenizer(Tokenizer):
    """BERT's WordPiece, cased or not.

    Args:
        tokens: the lines of vocab.txt.
        lower_case: fold case; accents are then stripped too unless `strip_accents` is False.
        strip_accents: None follows `lower_case`.
        chinese: put every CJK character in a word of its own.
        source: the file to name in errors.
        added: tokens added to the vocabulary, or of it, that are found in texts before they are cut into words.
    """

    kind = "wordpiece"
    has_token_types = True
    _joint = " "

    def __init__(self, tokens: Sequence[str], lower_case: bool = True, strip_accents: Optional[bool] = None,
                 chinese: bool = True, source: str = "vocabulary", added: Sequence[AddedToken] = ()):
        super().__init__(tokens, BERT_SPECIALS, source, added)
        if len(self._ids) != len(self._tokens):
            line = next(i for i, token in enumerate(self._tokens) if self._ids[token] != i) + 1
            raise InputError(f"{source}:{line}: token {self._tokens[line - 1]!r} stands twice in the vocabulary")
        self._lower, self._accents, self._chinese = bool(lower_case), strip_accents, bool(chinese)
        own = {token: i for i, token in enumerate(self._tokens[:self._own])}
        if BERT_SPECIALS["unk"] not in own:
            raise InputError(f"{source}: {BERT_SPECIALS['unk']} is an added token; a wordpiece "
                             "vocabulary must have it itself")
        model = tokenizers.models.WordPiece(own, unk_token=BERT_SPECIALS["unk"], max_input_chars_per_word=100)
        self._rust = tokenizers.Tokenizer(model)
        self._rust.normalizer = tokenizers.normalizers.BertNormalizer(
            clean_text=True, handle_chinese_chars=self._chinese, strip_accents=strip_accents, lowercase=self._lower)
        self._rust.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        self._rust.decoder = tokenizers.decoders.WordPiece()
        self._find_added(self._rust, added)

    def encode_plain(self, texts: List[str]) -> List[List[int]]:
        """As `Tokenizer`'s."""
        return [encoding.ids for encoding in self._rust.encode_batch_fast(texts, add_special_tokens=False)]

    def _decode_plain(self, ids: List[int]) -> str:
        return self._rust.decode(ids, skip_special_tokens=False)

    def _content(self) -> bytes:
        return _canonical([self.kind, self._tokens, self._lower, self._accents, self._chinese])

    def _save_files(self, directory: pathlib.Path) -> List[str]:
        files.write_text(directory / "vocab.txt", "\n".join(self._tokens[:self._own]) + "\n")
        return ["vocab.txt"]

    def _config(self) -> dict:
        return {"tokenizer_class": "BertTokenizer", "do_lower_case": self._lower, "strip_accents": self._accents,
                "tokenize_chinese_chars": self._chinese}


class SentencePieceTokenizer(Tokenizer):
    """A SentencePiece model; `<mask>` is the last id, beyond the model's own pieces unless it has one.

    The mask is kept out of the model because SentencePiece would recognise it in text.

    Args:
        model: the serialised model.
        source: the file to name in errors.
    """

    kind = "sentencepiece"

    def __init__(self, model: bytes, source: str = "vocabulary"):
        self._model = model
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
            size = self._processor.get_piece_size()
        except (RuntimeError, OSError) as error:
            raise InputError(f"{source}: not a SentencePiece model ({str(error).splitlines()[0]})") from None
        if not size:
            raise InputError(f"{source}: not a SentencePiece model (it has no pieces)")
        tokens = self._processor.id_to_piece(list(range(size)))
        mask = next((token for token in ("<mask>", "[MASK]") if token in tokens), "<mask>")
        if mask not in tokens:
            tokens.append(mask)
        super().__init__(tokens, {**self._model_specials(source), "mask": mask}, source)

    def _model_specials(self, source: str) -> Dict[str, str]:
        model = self._processor
        ids = {"bos": model.bos_id(), "pad": model.pad_id(), "eos": model.eos_id(), "unk": model.unk_id()}
        absent = [name for name, index in ids.items() if index < 0]
        if absent:
            raise InputError(f"{source}: the SentencePiece model has no {', '.join(absent)} token; "
                             "train one with --train-vocab")
        return {name: model.id_to_piece(index) for name, index in ids.items()}

    def encode_plain(self, texts: List[str]) -> List[List[int]]:
        """As `Tokenizer`'s."""
        return self._processor.encode(texts, num_threads=_threads(len(texts)))

    def _decode_plain(self, ids: List[int]) -> str:
        return self._processor.decode(ids)

    def _mask_regex(self) -> str:
        return r"\s*" + re.escape(self.mask_token)

    def _content(self) -> bytes:
        return self._model + b"\0" + self.mask_token.encode() + str(self.mask_id).encode()

    def _save_files(self, directory: pathlib.Path) -> List[str]:
        with files.atomic_path(directory / "sentencepiece.model") as temporary:
            temporary.write_bytes(self._model)
        return ["sentencepiece.model"]


# -- loading -----------------------------------------------------------------------------------------------------


def load_tokenizer(path: os.PathLike) -> Tokenizer:
    """Read a vocabulary from a directory, or from one of its files.

    A directory may hold vocab.json + merges.txt, vocab.txt, a SentencePiece model, fairseq's dict.txt + encoder.json
    + vocab.bpe, or, where none of these is there, tokenizer.json. One written by `Tokenizer.save` says its kind in
    tokenizer_config.json; a Hugging Face directory's casing is read from there too, and its added tokens from the four
    files that may tell of them (see `bort_mx.data.tokenizers.added_tokens`).

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
    return ByteBPETokenizer(vocab, _read_merges(directory / "merges.txt"), config.get("add_prefix_space", False),
                            str(path), read_added_tokens(directory, config, vocab))


def _load_wordpiece(path: pathlib.Path, config: dict) -> WordPieceTokenizer:
    tokens = files.read_lines(path)
    added = read_added_tokens(path.parent, config, {token: i for i, token in enumerate(tokens)})
    return WordPieceTokenizer(tokens, config.get("do_lower_case", not _is_cased(tokens)), config.get("strip_accents"),
                              config.get("tokenize_chinese_chars", True), str(path), added)


def _load_sentencepiece(path: pathlib.Path, config: dict) -> SentencePieceTokenizer:
    """SentencePiece finds its own symbols in a text and no others: tokens that were added beside them are refused."""
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
    return ByteBPETokenizer(vocab, _read_merges(directory / "vocab.bpe"), source=str(directory / "dict.txt"))


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
    tokens, normalizer = _tokens_in_order(vocab, str(path)), content.get("normalizer") or {}
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


def _with_added(tokens: Sequence[str], added: Sequence[AddedToken], source: str) -> List[str]:
    """The tokens by id, with those added beyond them.

    Raises:
        InputError: an added token's id is another token's, or leaves a gap; or it has another id in the vocabulary.
    """
    result, own = list(tokens), {token: i for i, token in enumerate(tokens)} if added else {}
    for token in sorted(added, key=lambda token: token.id):
        index, size = own.get(token.content, token.id), len(result)
        if index == token.id == size:
            result.append(token.content)
        elif index != token.id or index > size or result[index] != token.content:
            reason = (f"in the vocabulary it is {index}" if index != token.id else f"the next is {size}"
                      if index > size else f"that is {result[index]!r}")
            raise InputError(f"{source}: the added token {token.content!r} has id {token.id}, but {reason}; keep the "
                             "files of one tokenizer")
    return result


def _tokens_in_order(vocab: Dict[str, int], source: str) -> List[str]:
    tokens = sorted(vocab, key=vocab.__getitem__)
    gap = next((i for i, token in enumerate(tokens) if vocab[token] != i), None)
    if gap is not None:
        raise InputError(f"{source}: ids must run from 0 without gaps or repeats; token {tokens[gap]!r} has id "
                         f"{vocab[tokens[gap]]} where {gap} was due")
    return tokens


def _is_cased(tokens: Sequence[str]) -> bool:
    """A vocabulary with upper-case letters outside its special and unused tokens is cased."""
    return any(token != token.lower() for token in tokens if not token.startswith("["))


def _canonical(value: list) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _cut_longest_first(first: List[int], second: Optional[List[int]], room: int) -> Tuple[List[int], Optional[list]]:
    """Cut ids from the end of the longer text until both fit; of two equally long ones the second gives first."""
    if room < 0:
        raise ValueError("max_length leaves no room for the special tokens")
    if second is None:
        return first[:room], None
    if len(first) + len(second) <= room:
        return first, second
    keep_first = min(len(first), max(room - len(second), (room + 1) // 2))
    return first[:keep_first], second[:room - keep_first]


def _threads(texts: int) -> int:
    """Threads for SentencePiece: none for little work, and as told by the variable that the Rust library obeys."""
    if texts < 64 or os.environ.get("TOKENIZERS_PARALLELISM", "").lower() in ("false", "0", "off"):
        return 1
    return int(os.environ.get("RAYON_NUM_THREADS") or os.cpu_count() or 1)


# -- training ----------------------------------------------------------------------------------------------------


def train_sentencepiece(sentences: Iterable[str], vocab_size: int, source: str = "the text",
                        exact: bool = True) -> SentencePieceTokenizer:
    """Train a SentencePiece vocabulary on sentences: BPE over characters, with bytes for what it has not seen.

    Ids are laid out as RoBERTa's: `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3, then 256 bytes and the pieces, `<mask>`
    last. Text is taken as it is (no normalisation, spaces kept), so decoding is lossless, and nothing is unknown.
    BPE, because here it trains ten times faster than the unigram model, in half the memory, to the same length.
    The same sentences give the same vocabulary.

    Args:
        sentences: the text, one sentence each.
        vocab_size: number of ids, `<mask>` included.
        source: what to call the text in errors.
        exact: refuse a text that yields fewer pieces; False: make as many as it yields.

    Raises:
        InputError: no text, too little for that many pieces, or too many characters for so few.
    """
    model, failures = io.BytesIO(), []
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_nonempty(sentences, source, failures), model_writer=model, vocab_size=vocab_size - 1,
            model_type="bpe", byte_fallback=True, character_coverage=0.9998, normalization_rule_name="identity",
            remove_extra_whitespaces=False, max_sentence_length=1 << 20, num_threads=1, minloglevel=2,
            bos_id=0, pad_id=1, eos_id=2, unk_id=3, bos_piece="<s>", pad_piece="<pad>", eos_piece="</s>",
            unk_piece="<unk>", hard_vocab_limit=exact)
    except (RuntimeError, OSError) as error:
        if failures:  # the library buries what its iterator raises
            raise failures[0] from None
        reason = str(error).strip().splitlines()[-1][:200]
        raise InputError(f"{source}: cannot train a vocabulary of {vocab_size} tokens on it: {reason}") from None
    return SentencePieceTokenizer(model.getvalue(), "the trained vocabulary")


def _nonempty(sentences: Iterable[str], source: str, failures: List[InputError]) -> Iterator[str]:
    """The sentences that are not empty; an InputError on the way is left in `failures` too."""
    count = 0
    try:
        for sentence in sentences:
            if sentence:
                count += 1
                yield sentence
    except InputError as error:
        failures.append(error)
        raise
    if not count:
        raise InputError(f"{source}: holds no text to train a vocabulary on")

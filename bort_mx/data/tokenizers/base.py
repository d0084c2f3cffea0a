"""The interface of every vocabulary: text to ids and back, the special tokens, the pair formats, saving.

The work is done by `tokenizers` (Rust) and `sentencepiece` (C++). This file holds what those libraries leave to the
caller. One promise matters most: text never turns into one of the five special tokens unless the caller asks for it
("</s>" in a web page is four characters, not the end of a sentence). Tokens that were added to the vocabulary are found
in every text, because they were added for that.
"""

import abc
import dataclasses
import hashlib
import json
import os
import pathlib
from typing import Dict, FrozenSet, Iterable, List, Optional, Sequence, Tuple

from bort_mx.data.tokenizers.added_tokens import ADDED, CONFIG, AddedToken
from bort_mx.errors import InputError
from bort_mx.io import files


class Tokenizer(abc.ABC):
    """Text to ids and back.

    Attributes:
        kind: "byte-bpe", "wordpiece", "sentencepiece", or "words" for another tokenizer.json.
        vocab_size: number of ids, special tokens included.
        bos_id, eos_id: `<s>` and `</s>`, or `[CLS]` and `[SEP]`.
        pad_id, unk_id, mask_id: the other special tokens.
        special_ids: the ids of those five and of added tokens that are special; they are never masked.
        added: the tokens added to the vocabulary, beside those five, by id.
        mask_token: the mask token as written in text, "<mask>" or "[MASK]".
        has_token_types: True where the second text of a pair has token type 1 (BERT), unless its files say otherwise:
            see `gives_token_types`.
    """

    kind: str
    has_token_types = False

    def __init__(self, tokens: Sequence[str], specials: Dict[str, str], source: str,
                 added: Sequence[AddedToken] = (), own: Optional[int] = None):
        self._tokens = list(tokens)
        self._own = len(self._tokens) if own is None else own  # ids beyond are of added tokens
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
        self._digest: Optional[str] = None

    @property
    def gives_token_types(self) -> bool:
        """Whether the second text of a pair does have token type 1."""
        return self.has_token_types

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
            recognise_specials: as in `encode`. Off by default: a corpus may hold "<mask>" as plain text.
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
        """Token types of ids from `encode`. BERT: 0 up to the first [SEP] and 1 after it. Others: all 0."""
        if not self.has_token_types or self.eos_id not in ids:
            return [0] * len(ids)
        first = list(ids).index(self.eos_id) + 1
        return [0] * first + [1] * (len(ids) - first)

    def token_type_ids(self, text: str, text_pair: Optional[str] = None, **options) -> List[int]:
        """Token types that belong to `encode(text, text_pair, **options)`."""
        return self.token_types(self.encode(text, text_pair, **options))

    @abc.abstractmethod
    def _encode_with_specials(self, texts: List[str]) -> List[List[int]]:
        """As `encode_plain`, with special tokens that are written in the texts read as such."""

    def encode_around_masks(self, parts: Sequence[str]) -> List[int]:
        """Ids of a text that was cut at its masks, without special tokens around: each mask is one id.

        Special tokens written in the parts are read as plain characters.

        Args:
            parts: what stands before, between and after the masks, at least one text.
        """
        *before, last = parts
        first, *rest = [*(part.rstrip() for part in before), last]  # a mask stands for a word with its space
        ids = list(self.encode_plain([first])[0])
        for part in self.encode_continuation(rest):
            ids += [self.mask_id, *part]
        return ids

    def encode_continuation(self, texts: List[str]) -> List[List[int]]:
        """Ids of texts that go on after a special token; as `encode_plain`, but no text begins here."""
        return self.encode_plain(texts)

    @abc.abstractmethod
    def encode_plain(self, texts: List[str]) -> List[List[int]]:
        """Ids of texts, without special tokens around them. Only added tokens are recognised in a text."""

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
        """Text of ids; none of them is special or added."""

    def id_to_token(self, index: int) -> str:
        """The vocabulary's own spelling of an id."""
        return self._tokens[index]

    def token_to_id(self, token: str) -> int:
        """The id of a token in the vocabulary's own spelling, or the id of unknown."""
        return self._ids.get(token, self.unk_id)

    # -- files ---------------------------------------------------------------------------------------------------

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides which ids a text gets. Equal vocabularies have equal digests.

        How a special token takes the white space around it is left out, as texts of a corpus hold none.
        """
        if self._digest is None:
            added = canonical_bytes([dataclasses.astuple(token) for token in self.added]) if self.added else b""
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
        if self._said_added():
            config["added_tokens_decoder"] = {str(token.id): {"content": token.content, **token.flags()}
                                              for token in self._said_added()}
        files.write_json(directory / CONFIG, config)
        return [*names, CONFIG]

    def _said_added(self) -> Sequence[AddedToken]:
        """The added tokens that the files must tell of."""
        return self.added

    @abc.abstractmethod
    def _content(self) -> bytes:
        """Canonical bytes of the vocabulary, for the digest."""

    @abc.abstractmethod
    def _save_files(self, directory: pathlib.Path) -> List[str]:
        """Write the vocabulary's files and return their names."""

    def _config(self) -> dict:
        return {}


def canonical_bytes(value: list) -> bytes:
    """One spelling of a value as JSON, for a digest."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _cut_longest_first(first: List[int], second: Optional[List[int]], room: int) -> Tuple[List[int], Optional[list]]:
    """Cut ids from the end of the longer text until both fit. Of two equally long texts, the second is cut first."""
    if room < 0:
        raise ValueError("max_length leaves no room for the special tokens")
    if second is None:
        return first[:room], None
    if len(first) + len(second) <= room:
        return first, second
    keep_first = min(len(first), max(room - len(second), (room + 1) // 2))
    return first[:keep_first], second[:room - keep_first]

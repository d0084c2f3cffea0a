"""Tokens that were added to a vocabulary after it was trained, read from Hugging Face's files.

Four files may name them: `added_tokens.json` (token: id), `special_tokens_map.json` (which are special),
`tokenizer.json` (`added_tokens`) and `tokenizer_config.json` (`added_tokens_decoder`, `additional_special_tokens` or,
since transformers 5, `extra_special_tokens`). The files overlap. Ids must agree. Where two files say differently how a
token is found in a text, the later one in this order counts.
"""

import dataclasses
import pathlib
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from bort_mx.errors import InputError
from bort_mx.io import files

ADDED, SPECIAL_MAP, SINGLE_FILE, CONFIG = ("added_tokens.json", "special_tokens_map.json", "tokenizer.json",
                                           "tokenizer_config.json")
LISTS = ("additional_special_tokens", "extra_special_tokens")
_FLAGS = ("special", "lstrip", "rstrip", "single_word", "normalized")


@dataclasses.dataclass(frozen=True)
class AddedToken:
    """A token that is found in a text before the text is cut into pieces.

    Raises:
        InputError: no text, an id that is no whole number from 0, or a flag that is not true or false.
    """

    content: str
    """The token as it stands in a text."""
    id: int
    """Its id."""
    special: bool = False
    """Left out by `decode`, never masked."""
    lstrip: bool = False
    """Takes the white space before it."""
    rstrip: bool = False
    """Takes the white space after it."""
    single_word: bool = False
    """Not inside a word."""
    normalized: bool = True
    """Looked for in the normalized (lower-case) text."""

    def __post_init__(self):
        if not isinstance(self.content, str) or not self.content:
            raise InputError(f"added token {self.content!r}: must be a text that is not empty")
        if type(self.id) is not int or self.id < 0:
            raise InputError(f"added token {self.content!r}: its id is {self.id!r}; it must be a whole number from 0")
        for name in _FLAGS:
            if type(getattr(self, name)) is not bool:
                raise InputError(f"added token {self.content!r}: {name} is {getattr(self, name)!r}; it must be true or "
                                 "false")

    def flags(self) -> Dict[str, bool]:
        """The fields of an `added_tokens_decoder` entry, without `content`."""
        return {name: getattr(self, name) for name in _FLAGS}


def read_added_tokens(directory: pathlib.Path, config: Dict, vocab: Dict[str, int]) -> List[AddedToken]:
    """The tokens added to a vocabulary, by id, and those of them that it has already.

    Args:
        directory: the folder of the vocabulary.
        config: the contents of its tokenizer_config.json.
        vocab: the vocabulary, token → id.
    Raises:
        InputError: a file that is ill-formed, or two that give a token different ids, or two tokens one id.
    """
    specials = _special_contents(directory, config)
    found: Dict[str, Tuple[AddedToken, str]] = {}
    for token, source in (*_of_added_json(directory, specials), *_of_single_file(directory),
                          *_of_config(directory, config)):
        before = found.get(token.content)
        if before and before[0].id != token.id:
            raise InputError(f"{source}: token {token.content!r} has id {token.id}, and {before[0].id} in {before[1]}; "
                             "keep the files of one tokenizer")
        found[token.content] = token, source
    tokens = [token for token, _ in found.values()]
    tokens += _without_an_id([text for text in specials if text not in found], vocab, tokens)
    return sorted(tokens, key=lambda token: token.id)


def numbered(own: Dict[int, str], added: Sequence[AddedToken], source: str) -> List[str]:
    """All tokens by id: those of a vocabulary, and those added to it, which may fill its gaps.

    Raises:
        InputError: an added token whose id is another token's or leaves a gap, or that has another id in the
            vocabulary; an id that no token has.
    """
    tokens, ids = dict(own), {token: i for i, token in own.items()} if added else {}
    for token in sorted(added, key=lambda token: token.id):
        due, there = ids.get(token.content, token.id), tokens.setdefault(token.id, token.content)
        if due != token.id or there != token.content or token.id >= len(tokens):
            reason = (f"in the vocabulary it is {due}" if due != token.id else f"that is {there!r}"
                      if there != token.content else f"the next is {len(tokens) - 1}")
            raise InputError(f"{source}: the added token {token.content!r} has id {token.id}, but {reason}; keep the "
                             "files of one tokenizer")
    gap = next((i for i in range(len(tokens)) if i not in tokens), None)
    if gap is not None:
        raise InputError(f"{source}: ids must run from 0 without gaps or repeats; no token has id {gap}")
    return [tokens[i] for i in range(len(tokens))]


def _without_an_id(contents: Sequence[str], vocab: Dict[str, int], added: Sequence[AddedToken]) -> List[AddedToken]:
    """Special tokens listed without an id. They get the vocabulary's id or the next free one, as in transformers."""
    free = max([-1, *vocab.values(), *(token.id for token in added)]) + 1
    new = {text: free + i for i, text in enumerate(text for text in contents if text not in vocab)}
    return [AddedToken(text, vocab.get(text, new.get(text)), special=True, normalized=False) for text in contents]


def _special_contents(directory: pathlib.Path, config: Dict) -> List[str]:
    """Special tokens, other than mask, pad and so on, that tokenizer_config.json or the map lists."""
    said = [(config, directory / CONFIG)]
    if "added_tokens_decoder" not in config:
        said.append((object_in(directory / SPECIAL_MAP), directory / SPECIAL_MAP))
    found: Dict[str, None] = {}
    for values, source in said:
        for name in LISTS:
            for entry in _listed(values, name, source):
                found[_content(entry, f"{source}: {name}")] = None
    return list(found)


def _listed(values: Dict, name: str, source: pathlib.Path) -> List:
    """A list, or the values of an object of name: token, as transformers 5 may write it."""
    listed = values.get(name) or []
    if not isinstance(listed, (list, dict)):
        raise InputError(f"{source}: {name}: expected a list of tokens, found {listed!r}")
    return list(listed.values()) if isinstance(listed, dict) else listed


def _content(entry: Any, where: str) -> str:
    content = entry.get("content") if isinstance(entry, dict) else entry
    if not isinstance(content, str) or not content:
        raise InputError(f"{where}: expected tokens, found {entry!r}")
    return content


def _of_added_json(directory: pathlib.Path, specials: Sequence[str]) -> Iterator[Tuple[AddedToken, str]]:
    path = directory / ADDED
    for content, index in object_in(path).items():
        special = content in specials
        yield _token({"content": content, "special": special, "normalized": not special}, index, str(path)), str(path)


def _of_single_file(directory: pathlib.Path) -> Iterator[Tuple[AddedToken, str]]:
    path = directory / SINGLE_FILE
    for entry in _listed(object_in(path), "added_tokens", path):
        yield _token(entry, entry.get("id") if isinstance(entry, dict) else None, str(path)), str(path)


def _of_config(directory: pathlib.Path, config: Dict) -> Iterator[Tuple[AddedToken, str]]:
    source = f"{directory / CONFIG}: added_tokens_decoder"
    entries = config.get("added_tokens_decoder") or {}
    if not isinstance(entries, dict):
        raise InputError(f"{source}: expected id: token, found {entries!r}")
    for index, entry in entries.items():
        yield _token(entry, int(index) if index.isdecimal() else index, source), source


def _token(entry: Any, index: Optional[Any], source: str) -> AddedToken:
    """A token of a file's entry. By default `normalized` is the opposite of `special`, as in `tokenizers`."""
    if not isinstance(entry, dict) or "content" not in entry:
        raise InputError(f"{source}: expected tokens with their content, found {entry!r}")
    flags = {name: entry[name] for name in _FLAGS if name in entry}
    try:
        return AddedToken(entry["content"], index, **{"normalized": not flags.get("special", False), **flags})
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def object_in(path: pathlib.Path) -> Dict:
    """A JSON object; {} where there is no such file.

    Raises:
        InputError: no JSON, or something else than an object.
    """
    values = files.read_json(path) if path.is_file() else {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: not a JSON object")
    return values

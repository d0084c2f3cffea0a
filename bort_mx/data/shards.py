"""Prepared text on disk: splits of token shards, opened as arrays without reading them.

    OUT/manifest.json                  what made it, counts, size and SHA-256 of every file
    OUT/tokenizer/                     the vocabulary
    OUT/{train,validation,test}/shard-00000.bin     token ids, little-endian uint16, sentence after sentence
                               shard-00000.idx     where each sentence begins, little-endian int64, and the end
"""

import os
import pathlib
from typing import Iterator, List

import numpy as np

from bort_mx.data.tokenizers import Tokenizer, load_tokenizer
from bort_mx.errors import InputError
from bort_mx.io import files

FORMAT, VERSION = "bort_mx token shards", 1
SPLITS = ("train", "validation", "test")
TOKEN, OFFSET = np.dtype("<u2"), np.dtype("<i8")
MANIFEST, TOKENIZER = "manifest.json", "tokenizer"


def read_manifest(directory: os.PathLike) -> dict:
    """The manifest of prepared text.

    Raises:
        InputError: no such directory, no manifest in it, or another program's.
    """
    path = pathlib.Path(directory) / MANIFEST
    if not path.is_file():
        raise InputError(f"{directory}: no prepared text here (no {MANIFEST}); make it with "
                         "`python -m bort_mx prepare --data TEXT --output-dir DIR`")
    manifest = files.read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{path}: not a manifest of prepared text")
    if manifest.get("version") != VERSION:
        raise InputError(f"{path}: format version {manifest.get('version')}, this program reads {VERSION}; "
                         "prepare the text again")
    absent = [name for name in ("splits", "files", "vocabulary") if not isinstance(manifest.get(name), dict)]
    if absent:
        raise InputError(f"{path}: altered, its field {absent[0]!r} is missing or no object; prepare the text again")
    return manifest


class TokenShards:
    """One split of prepared text: `shards[i]` is sentence i, a 1-d array of uint16 ids without special tokens.

    Files are memory-mapped, so opening takes no memory and processes share the pages.

    Args:
        directory: the output directory of `prepare`.
        split: "train", "validation" or "test".
        verify: compare every file of the split with the SHA-256 in the manifest (sizes are always compared).

    Attributes:
        manifest: the whole manifest.
        num_tokens: tokens in this split.

    Raises:
        InputError: no such prepared text or split, an empty split, or a file missing, truncated or altered.
    """

    def __init__(self, directory: os.PathLike, split: str, verify: bool = True):
        self.directory, self.split = pathlib.Path(directory), split
        self.manifest = read_manifest(self.directory)
        if split not in self.manifest["splits"]:
            raise InputError(f"{self.directory}: no split {split!r}; there are {', '.join(self.manifest['splits'])}")
        names = self._shards_of(split)
        for name in names:
            self._check(f"{name}.bin", verify, TOKEN.itemsize)
            self._check(f"{name}.idx", verify, OFFSET.itemsize)
        self._tokens = [_mapped(self.directory / f"{name}.bin", TOKEN) for name in names]
        self._offsets = [_mapped(self.directory / f"{name}.idx", OFFSET) for name in names]
        for name, tokens, offsets in zip(names, self._tokens, self._offsets):
            _check_offsets(self.directory / f"{name}.idx", offsets, len(tokens), verify)
        self._first_sentence = np.cumsum([0] + [len(offsets) - 1 for offsets in self._offsets])
        self._first_token = np.cumsum([0] + [len(tokens) for tokens in self._tokens])
        self.num_tokens = int(self._first_token[-1])

    def _shards_of(self, split: str) -> List[str]:
        """Names of the split's shards, without the endings of their two files."""
        entry, path = self.manifest["splits"][split], self.directory / MANIFEST
        shards = entry.get("shards") if isinstance(entry, dict) else None
        names = [shard.get("name") if isinstance(shard, dict) else None
                 for shard in (shards if isinstance(shards, list) else [None])]
        if not all(isinstance(name, str) and pathlib.PurePath(name).name == name for name in names):
            raise InputError(f"{path}: altered, its split {split} does not name its shards; prepare the text again")
        if not entry.get("sentences") or not names:
            raise InputError(f"{self.directory}: the {split} split is empty, the text was too short; prepare more text")
        return [f"{split}/{name}" for name in names]

    def _check(self, name: str, verify: bool, itemsize: int) -> None:
        path, expected = self.directory / name, self.manifest["files"].get(name)
        if not isinstance(expected, dict) or not {"bytes", "sha256"} <= set(expected):
            raise InputError(f"{self.directory / MANIFEST}: names the shard {name} but not its size and hash; prepare "
                             "the text again")
        if not path.is_file():
            raise InputError(f"{path}: this shard is missing; prepare the text again")
        if path.stat().st_size != expected["bytes"]:
            raise InputError(f"{path}: truncated or altered, {path.stat().st_size:,} bytes where the manifest says "
                             f"{expected['bytes']!r}; prepare the text again")
        if not path.stat().st_size or path.stat().st_size % itemsize:
            raise InputError(f"{path}: damaged, {path.stat().st_size:,} bytes are no whole number of {itemsize}-byte "
                             "values; prepare the text again")
        if verify:
            found = files.sha256(path)
            if found != expected["sha256"]:
                raise InputError(f"{path}: altered, its SHA-256 is {found} where the manifest says "
                                 f"{expected['sha256']}; prepare the text again")

    def __len__(self) -> int:
        return int(self._first_sentence[-1])

    def __getitem__(self, index: int) -> np.ndarray:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sentence {index} of {len(self)}")
        index %= len(self)
        shard = int(np.searchsorted(self._first_sentence, index, "right")) - 1
        start, stop = self._offsets[shard][index - self._first_sentence[shard]:][:2]
        return self._tokens[shard][start:stop]

    @property
    def lengths(self) -> np.ndarray:
        """Lengths of all sentences in tokens, int32."""
        return np.concatenate([np.diff(offsets).astype(np.int32) for offsets in self._offsets])

    def length_chunks(self, size: int) -> Iterator[np.ndarray]:
        """The sentences' lengths in arrays of at most `size`, int64, without holding all of them."""
        for offsets in self._offsets:
            for begin in range(0, len(offsets) - 1, size):
                yield np.diff(offsets[begin:begin + size + 1])

    def sentence_ends(self, start: int, stop: int) -> np.ndarray:
        """Positions in (start, stop] of the token stream where a sentence ends, int64."""
        shard = int(np.searchsorted(self._first_token, start, "right")) - 1
        parts: List[np.ndarray] = []
        while shard < len(self._offsets) and self._first_token[shard] < stop:
            origin, offsets = self._first_token[shard], self._offsets[shard]
            first = max(1, int(np.searchsorted(offsets, start - origin, "right")))
            window = offsets[first:first + stop - start]  # every sentence has a token, so this holds them all
            parts.append(window[window <= stop - origin] + origin)
            shard += 1
        return np.concatenate(parts or [np.empty(0, np.int64)])

    def tokens(self, start: int, stop: int) -> np.ndarray:
        """Tokens start … stop-1 of the split's one long stream, across shards, uint16."""
        shard = int(np.searchsorted(self._first_token, start, "right")) - 1
        parts: List[np.ndarray] = []
        while start < stop:
            origin, end = self._first_token[shard], min(stop, self._first_token[shard + 1])
            parts.append(self._tokens[shard][start - origin:end - origin])
            start, shard = end, shard + 1
        return parts[0] if len(parts) == 1 else np.concatenate(parts or [np.empty(0, TOKEN)])

    def tokenizer(self) -> Tokenizer:
        """The vocabulary that the text was prepared with.

        Raises:
            InputError: it is missing or not the one in the manifest.
        """
        tokenizer = load_tokenizer(self.directory / TOKENIZER)
        if tokenizer.digest != self.manifest["vocabulary"].get("sha256"):
            raise InputError(f"{self.directory / TOKENIZER}: altered, not the vocabulary that the text was prepared "
                             "with; prepare the text again")
        return tokenizer


def _mapped(path: pathlib.Path, dtype: np.dtype) -> np.ndarray:
    """A file as a plain array, because slicing NumPy's memmap class costs ten times as much."""
    return np.memmap(path, dtype, "r").view(np.ndarray)


def _check_offsets(path: pathlib.Path, offsets: np.ndarray, tokens: int, every: bool) -> None:
    """Check where sentences begin: from 0, ascending, to the end of the shard's tokens.

    Args:
        path: the file, for errors.
        offsets: its content.
        tokens: number of tokens in the shard.
        every: also check that all ascend, which reads the whole file.
    Raises:
        InputError: they do not.
    """
    if offsets[0] != 0 or offsets[-1] != tokens or every and not _ascending(offsets):
        raise InputError(f"{path}: damaged, as its offsets do not ascend from 0 to the shard's {tokens:,} tokens; "
                         "prepare the text again")


def _ascending(offsets: np.ndarray, size: int = 1 << 20) -> bool:
    return all((np.diff(offsets[start:start + size + 1]) > 0).all() for start in range(0, len(offsets) - 1, size))

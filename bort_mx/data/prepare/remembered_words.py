"""Ids of many texts, faster than the library alone: it is asked once for each word, or for a part of many words.

A byte-level BPE and a WordPiece vocabulary encode what stands between two spaces for itself, so a text's ids are those
of its words, one after another. Most words of a corpus have been seen before, and most new ones are a known word with
another punctuation mark.
"""

import contextlib
import re
from typing import Dict, List, Optional, Set, Tuple

import numpy as np

from bort_mx.data.prepare.buckets import gather
from bort_mx.data.shards import TOKEN
from bort_mx.data.tokenizers.base import Tokenizer
from bort_mx.data.tokenizers.program import ProgramTokenizer

MOST = 1_000_000
"""Words that are remembered, and as many pieces; with more, all are forgotten. A word takes about 150 bytes."""
ASKED = 1000
"""Pieces that the library is asked for in one text: its answer for a text of one piece takes longer than the piece."""
WHITE = "".join(map(chr, [*range(0x09, 0x0e), *range(0x1c, 0x20), 0x85, 0xa0, 0x1680, *range(0x2000, 0x200b), 0x2028,
                          0x2029, 0x202f, 0x205f, 0x3000]))
"""All white space of Unicode and of Python, but the space."""
_FIRST = "\n"  # stands before the first word of a text, which has no space before it
_BYTE_BPE = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+")
"""How a byte-level BPE cuts ASCII words before it looks at its merges (GPT-2's rule): "word," is " word" and ","."""


def splits_at_spaces(tokenizer: Tokenizer) -> bool:
    """Whether a word's ids do not depend on the words around it: so it is of a plain vocabulary, without added tokens.

    A SentencePiece vocabulary may have pieces with a space inside.
    """
    return isinstance(tokenizer, ProgramTokenizer) and tokenizer.is_plain and not tokenizer.added


class RememberedWords:
    """Encodes texts as `tokenizer.encode_plain` does.

    Args:
        tokenizer: one that `splits_at_spaces`, of at most 65,536 tokens.
        most: number of words that are remembered.
    """

    def __init__(self, tokenizer: ProgramTokenizer, most: int = MOST):
        self._tokenizer, self._most = tokenizer, most
        self._words, self._pieces = _Known(), _Known()
        self._cut = _BYTE_BPE.findall if tokenizer.kind == "byte-bpe" else lambda word: [word]
        at_start, after_space = tokenizer.encode_plain(["a", " a"])
        self._lead = " " if at_start == after_space else ""  # what the library puts before a text
        self._mark = np.array(tokenizer.bos_id, TOKEN)  # begins a text's ids here; no plain text has this token

    def encode(self, texts: List[str]) -> Tuple[np.ndarray, np.ndarray]:
        """Lengths, (number of texts,) int64, and the ids of all texts in order, (sum of lengths,) TOKEN.

        A text with other white space than single spaces between words is left to the library.
        """
        if has_single_spaces(" ".join(texts)):  # of each text: at the ends of another one, two spaces would meet
            return self._of_words(texts)
        even = np.array(list(map(has_single_spaces, texts)), bool)
        place = np.argsort(np.concatenate([np.flatnonzero(even), np.flatnonzero(~even)]))
        lengths, ids = zip(self._of_words([text for text, is_even in zip(texts, even) if is_even]),
                           packed(self._tokenizer.encode_plain([t for t, is_even in zip(texts, even) if not is_even])))
        lengths = np.concatenate(lengths)
        return lengths[place], gather(np.concatenate(ids), lengths, place)

    def _of_words(self, texts: List[str]) -> Tuple[np.ndarray, np.ndarray]:
        """As `encode`, of texts with single spaces."""
        if not texts:
            return packed([])
        words = (_FIRST + f" {_FIRST}".join(texts)).split(" ")
        ids = list(map(self._words.__getitem__, words))
        if self._words.asked:
            self._learn(self._words.taken())
            place = -1
            with contextlib.suppress(ValueError):  # until none is left
                while True:
                    place = ids.index(None, place + 1)
                    ids[place] = self._words[words[place]]
        data = np.frombuffer(b"".join(ids), TOKEN)
        is_mark = data == self._mark
        return np.diff(np.flatnonzero(is_mark), append=len(data)) - 1, data[~is_mark]

    def _learn(self, new: List[str]) -> None:
        """Put the ids of new words together from those of their pieces; the library is asked for new pieces."""
        if len(self._words) + len(new) > self._most:
            self._words.clear()
        texts = [self._lead + word[1:] if word[0] == _FIRST else " " + word for word in new]
        cut = [self._cut(text) if text.isascii() else [text] for text in texts]
        found = [[self._pieces[piece] for piece in pieces] for pieces in cut]
        if self._pieces.asked:
            asked = self._pieces.taken()
            if len(self._pieces) + len(asked) > self._most:
                self._pieces.clear()
            for start in range(0, len(asked), ASKED):
                self._ask(asked[start:start + ASKED])
            found = [ids if None not in ids else [self._pieces[piece] if known is None else known
                                                  for known, piece in zip(ids, pieces)]
                     for ids, pieces in zip(found, cut)]
        mark = self._mark.tobytes()
        for word, ids in zip(new, found):
            self._words[word] = b"".join([mark, *ids] if word[0] == _FIRST else ids)

    def _ask(self, pieces: List[str]) -> None:
        """Ask for pieces, all in one text, a line each; where each one's ids begin, the offsets tell."""
        ids, begins = self._tokenizer.encode_with_begins("\n" + "\n".join(pieces))
        data, begins = np.array(ids, TOKEN), np.array(begins)
        sizes = np.fromiter(map(len, pieces), np.int64, len(pieces))
        stops = np.cumsum(sizes + 1)
        bounds = np.searchsorted(begins, [stops - sizes, stops]).T.tolist()
        for piece, (start, end) in zip(pieces, bounds):
            self._pieces[piece] = data[start:end].tobytes()


class _Known(Dict[str, Optional[bytes]]):
    """A text → its ids. One that is not known gives None, and is noted."""

    def __init__(self):
        super().__init__()
        self.asked: Set[str] = set()

    def __missing__(self, text: str) -> None:
        self.asked.add(text)

    def taken(self) -> List[str]:
        """The texts that were asked for and not known, once."""
        asked, self.asked = list(self.asked), set()
        return asked


def has_single_spaces(text: str) -> bool:
    """Whether a text has words, and single spaces between them as its only white space."""
    return bool(text) and not (text[0] == " " or text[-1] == " " or "  " in text or any(map(text.__contains__, WHITE)))


def packed(ids: List[List[int]]) -> Tuple[np.ndarray, np.ndarray]:
    """Lengths, int64, and all ids one after another, TOKEN."""
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    return lengths, np.concatenate([np.empty(0, TOKEN), *(np.array(row, TOKEN) for row in ids)])

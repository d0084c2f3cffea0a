"""Ids of many texts, faster than the library alone: it is asked once for each word.

A byte-level BPE and a WordPiece vocabulary encode what stands between two spaces for itself, so a text's ids are those
of its words, one after another. Most words of a corpus have been seen before.
"""

from typing import Dict, List, Set, Tuple

import numpy as np

from bort_mx.data.prepare.buckets import gather
from bort_mx.data.shards import TOKEN
from bort_mx.data.tokenizers.base import Tokenizer
from bort_mx.data.tokenizers.program import ProgramTokenizer

MOST = 1_000_000
"""Words that are remembered; with more, all are forgotten. A word takes about 150 bytes."""
ASKED = 1000
"""Words that the library is asked for in one text: its answer for a text of one word takes longer than the word."""
WHITE = "".join(map(chr, [*range(0x09, 0x0e), *range(0x1c, 0x20), 0x85, 0xa0, 0x1680, *range(0x2000, 0x200b), 0x2028,
                          0x2029, 0x202f, 0x205f, 0x3000]))
"""All white space of Unicode and of Python, but the space."""
_FIRST = "\n"  # stands before the first word of a text, which has no space before it


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
        self._known = _Known()

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
        ids = list(map(self._known.__getitem__, words))
        sizes = np.fromiter(map(len, ids), np.int64, len(ids))
        if self._known.asked:
            self._learn(self._known.taken())
            for i in np.flatnonzero(sizes == 0).tolist():
                ids[i] = self._known[words[i]]
                sizes[i] = len(ids[i])
        sizes //= TOKEN.itemsize
        counts = np.fromiter((text.count(" ") + 1 for text in texts), np.int64, len(texts))
        return np.add.reduceat(sizes, np.cumsum(counts) - counts), np.frombuffer(b"".join(ids), TOKEN)

    def _learn(self, new: List[str]) -> None:
        """Ask the library for words that are not known."""
        if len(self._known) + len(new) > self._most:
            self._known.clear()
        first = [word for word in new if word[0] == _FIRST]
        after = [word for word in new if word[0] != _FIRST]
        for word, ids in zip(first, self._tokenizer.encode_plain([word[1:] for word in first])):
            self._known[word] = np.array(ids, TOKEN).tobytes()
        for start in range(0, len(after), ASKED):
            self._learn_after(after[start:start + ASKED])

    def _learn_after(self, words: List[str]) -> None:
        """Ask for words that stand after a space, all in one text; where each one's ids begin, their offsets tell."""
        ids, begins = self._tokenizer.encode_with_begins("".join(f" {word}" for word in words))
        sizes = np.fromiter((len(word) + 1 for word in words), np.int64, len(words))
        ends = np.searchsorted(begins, np.cumsum(sizes)).tolist()
        data = np.array(ids, TOKEN)
        for word, start, end in zip(words, [0, *ends], ends):
            self._known[word] = data[start:end].tobytes()


class _Known(Dict[str, bytes]):
    """A word, with _FIRST before it or without → its ids. A word that is not known gives none, and is noted."""

    def __init__(self):
        super().__init__()
        self.asked: Set[str] = set()

    def __missing__(self, word: str) -> bytes:
        self.asked.add(word)
        return b""

    def taken(self) -> List[str]:
        """The words that were asked for and not known, once."""
        asked, self.asked = list(self.asked), set()
        return asked


def has_single_spaces(text: str) -> bool:
    """Whether a text has words, and single spaces between them as its only white space."""
    return bool(text) and not (text[0] == " " or text[-1] == " " or "  " in text or any(map(text.__contains__, WHITE)))


def packed(ids: List[List[int]]) -> Tuple[np.ndarray, np.ndarray]:
    """Lengths, int64, and all ids one after another, TOKEN."""
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    return lengths, np.concatenate([np.empty(0, TOKEN), *(np.array(row, TOKEN) for row in ids)])

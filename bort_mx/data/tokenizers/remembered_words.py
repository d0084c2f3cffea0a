"""Ids of many texts, faster than the library alone: it is asked once for each word.

A byte-level BPE and a WordPiece vocabulary encode what stands between two spaces for itself, so a text's ids are those
of its words, one after another. Most words of a corpus have been seen before.
"""

import itertools
from typing import Dict, Iterable, List, Set

from bort_mx.data.tokenizers.base import Tokenizer
from bort_mx.data.tokenizers.program import ProgramTokenizer

MOST = 500_000
"""Words that are remembered at the beginning of a text, and as many after a space; with more, all are forgotten. A word
takes about 150 bytes."""


def splits_at_spaces(tokenizer: Tokenizer) -> bool:
    """Whether a word's ids do not depend on the words around it: so it is of a plain vocabulary, without added tokens.

    A SentencePiece vocabulary may have pieces with a space inside.
    """
    return isinstance(tokenizer, ProgramTokenizer) and tokenizer.is_plain and not tokenizer.added


class RememberedWords:
    """Encodes texts as `tokenizer.encode_plain` does.

    Args:
        tokenizer: one that `splits_at_spaces`.
        most: number of words that are remembered, of each of the two kinds.
    """

    def __init__(self, tokenizer: Tokenizer, most: int = MOST):
        self._tokenizer, self._most = tokenizer, most
        self._first: Dict[str, List[int]] = {}  # words at the beginning of a text
        self._after: Dict[str, List[int]] = {}  # words after a space

    def encode_plain(self, texts: List[str]) -> List[List[int]]:
        """Ids of each text. One with other white space than single spaces between words is left to the library."""
        words = [text.split(" ") for text in texts]
        whole = [i for i, text in enumerate(texts) if len(words[i]) != len(text.split())]
        for i in whole:
            words[i] = []
        self._learn(self._first, {row[0] for row in words if row}, "")
        self._learn(self._after, set(itertools.chain.from_iterable(row[1:] for row in words)), " ")
        after, ids = self._after.__getitem__, []
        for row in words:
            ids.append([*self._first[row[0]], *itertools.chain.from_iterable(map(after, row[1:]))] if row else [])
        for i, of_text in zip(whole, self._tokenizer.encode_plain([texts[i] for i in whole])):
            ids[i] = of_text
        return ids

    def _learn(self, known: Dict[str, List[int]], words: Set[str], lead: str) -> None:
        """Ask the library for the words that are not known."""
        new: Iterable[str] = words.difference(known)
        if len(known) + len(new) > self._most:
            known.clear()
            new = words
        new = list(new)
        known.update(zip(new, self._tokenizer.encode_plain([lead + word for word in new])))

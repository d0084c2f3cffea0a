"""A text as words and the white space between them, and the words that must not be changed."""

import re
from typing import List, NamedTuple, Sequence, Tuple


class Word(NamedTuple):
    """A word of a text."""

    before: str
    """The white space before it."""
    text: str
    fixed: bool
    """True if it must stay as and where it is."""


def split_words(text: str, spans: Sequence[Tuple[int, int]] = ()) -> List[Word]:
    """A text as its words, those that touch one of the character spans fixed; white space at its end is left out."""
    words, end = [], 0
    for match in re.finditer(r"\S+", text):
        fixed = any(start < match.end() and match.start() < stop for start, stop in spans)
        words.append(Word(text[end: match.start()], match.group(), fixed))
        end = match.end()
    return words


def join(words: Sequence[Word]) -> str:
    """The text of the words, without white space at its start."""
    return "".join(word.before + word.text for word in words).lstrip()


def marked_spans(text: str, markers: Sequence[str]) -> List[Tuple[int, int]]:
    """The spans from the first to the second mark, the third to the fourth …; a last mark without partner alone."""
    spans = []
    for marker in markers:
        at = [match.start() for match in re.finditer(re.escape(marker), text)]
        spans += [(left, right + len(marker)) for left, right in zip(at[::2], at[1::2])]
        spans += [(left, left + len(marker)) for left in at[len(at) // 2 * 2:]]
    return spans


def free_words(words: Sequence[Word]) -> List[int]:
    """Positions of the words that may be changed."""
    return [i for i, word in enumerate(words) if not word.fixed]

"""Marks around words: WiC's target word and WSC's two spans (P1 §5.2: "a specialized token").

[I] The paper does not name the token. Taken here are "§" and, for WSC's pronoun, "¶", before and after the span with a
space on both sides: each is one token in RoBERTa's BPE (with and without a space before it) and in BERT's WordPiece,
and neither occurs in any text of WiC or WSC. So no vocabulary has to grow.
"""

import re
import string
from typing import Iterable, List, Tuple

MARKS = ("§", "¶")
Span = Tuple[int, int]


def mark_spans(text: str, spans: Iterable[Tuple[int, int, str]]) -> str:
    """Put a mark before and after each span. Spans are (start, end, mark) in characters; they may touch or nest."""
    inserts: List[Tuple[int, int, str]] = []
    for start, end, mark in spans:
        inserts += [(start, 1, mark), (end, 0, mark)]
    for position, _, mark in sorted(inserts, reverse=True):
        before, after = text[:position], text[position:]
        left = "" if not before or before[-1].isspace() else " "
        right = "" if not after or after[0].isspace() else " "
        text = f"{before}{left}{mark}{right}{after}"
    return text


def find_words(text: str, span: str, index: int) -> Tuple[Span, str]:
    """The characters of a span given as its text and the index of its first whitespace-separated word.

    WSC's files disagree with themselves in about one of eleven examples: other case, punctuation glued to the word or
    to the span, an index that is off. The rule: the words at the index, if they equal the span's up to case, outer
    punctuation and a possessive 's; else the nearest place where they do; else, if a word of the span is at the
    index, the official index counts.

    Returns:
        ((start, end), how): how is "" where the index and the words agree, else what was done.

    Raises:
        ValueError: the span is not in the text; the message says what is at the index.
    """
    words = [match.span() for match in re.finditer(r"\S+", text)]
    wanted = [_plain(word) for word in span.split()]
    found = [_plain(text[start:end]) for start, end in words]
    places = [at for at in range(len(words) - len(wanted) + 1) if found[at:at + len(wanted)] == wanted]
    here = found[index:index + len(wanted)] if 0 <= index < len(words) else []
    if index in places:
        return _trimmed(text, words[index][0], words[index + len(wanted) - 1][1], span), ""
    if places:
        at = min(places, key=lambda place: (abs(place - index), place))
        return _trimmed(text, words[at][0], words[at + len(wanted) - 1][1], span), "moved to where its words are"
    if wanted and len(here) == len(wanted) and set(here) & set(wanted):
        return _trimmed(text, words[index][0], words[index + len(wanted) - 1][1], span), "marked at its index"
    raise ValueError(f"word {index} is {' '.join(here)!r}, and {span!r} is nowhere in the text")


def _plain(word: str) -> str:
    word = word.lower().strip(string.punctuation)
    return word[:-2] if word.endswith("'s") else word


def _trimmed(text: str, start: int, end: int, span: str) -> Span:
    """Leave outside the marks what the words have around the span: "app's" → "app", "(him," → "him"."""
    inside = text[start:end].lower().find(" ".join(span.lower().split()))
    if inside >= 0:
        return start + inside, start + inside + len(" ".join(span.split()))
    while end > start + 1 and text[end - 1] in ".,;:!?\"":
        end -= 1
    return start, end

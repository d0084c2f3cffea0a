"""Mending the typos of MultiRC's texts, each kind counted.

[P] "MultiRC had a considerable amount of typos … we performed a minor cleaning operation prior to training, removing
the typos" (P1 §5.2). [I] Which ones is not said. These kinds can be found without a reader, and mended without a guess
at what was meant; questions that are ill-posed stay. Spaces are made single for all tasks (`bort_mx.data.text`).
"""

import collections
import re
from typing import Counter, Sequence, Tuple

from bort_mx.data.tasks.examples import Example, Examples

LOST = "\ufffd"
"""What stands where a character could not be read."""
_WORDS = "a|an|and|are|at|be|by|for|from|he|her|his|in|is|it|of|on|or|she|the|their|to|use|was|were|with"
"""Words that English does not repeat. "had had" and "that that" may be right."""


def _as_utf8(match: "re.Match[str]") -> str:
    """A character whose UTF-8 bytes were read as Latin-1."""
    try:
        return match.group().encode("latin-1").decode("utf-8")
    except UnicodeError:
        return match.group()


RULES: Sequence[Tuple[str, "re.Pattern[str]", object]] = (
    ("characters in a wrong encoding", re.compile("[\u00c2-\u00f4][\u0080-\u00bf]+"), _as_utf8),
    ("lost apostrophes", re.compile(rf"(?<=\w){LOST}+(?=\w)"), "'"),
    ("words given twice", re.compile(rf"\b({_WORDS}) \1\b", re.IGNORECASE), r"\1"),
    ("marks given twice", re.compile(r"([,?;:])\1+"), r"\1"),
    ("spaces before a mark", re.compile(r"(?<=\w) +(?=[,?;:!](?:\s|$)|\.(?:\s|$))"), ""),
    ("spaces missing after a sentence", re.compile(r"(?<=[a-z]{2})([.?!])(?=[A-Z][a-z])"), r"\1 "),
)
"""Kind of typo, its pattern, and what takes its place."""


def mended(text: str) -> Tuple[str, Counter[str]]:
    """A text without these typos, and how many of each kind it had."""
    found: Counter[str] = collections.Counter()
    for kind, pattern, instead in RULES:
        changed, count = pattern.subn(instead, text)
        if changed != text:
            found[kind] += count
        text = changed
    return text, found


def cleaned(examples: Examples) -> Examples:
    """The examples with mended texts; a note says how many typos of each kind, and in how many different texts."""
    texts = {text: mended(text) for text in dict.fromkeys(text for example in examples for text in example.texts)}
    total: Counter[str] = collections.Counter()
    for _, found in texts.values():
        total += found
    changed = sum(bool(found) for _, found in texts.values())
    note = f"typos mended in {changed} of {len(texts)} texts: " + (
        ", ".join(f"{count} {kind}" for kind, count in total.most_common()) or "none")
    kept: Sequence[Example] = [example._replace(texts=tuple(texts[text][0] for text in example.texts))
                               for example in examples]
    return Examples(kept, [*examples.notes, note])

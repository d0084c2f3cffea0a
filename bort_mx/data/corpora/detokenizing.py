"""Tokenised sentences as people write them: "won 't" → "won't", `" Go ! "` → `"Go!"`.

One Billion Words and Bookcorpus's sentence files come tokenised, in the manner of the Penn Treebank and of Moses.
sacremoses' detokeniser was measured beside this one (docs/experiments/corpora.md): it takes two to three times as
long and restores as many sentences.
"""

import itertools
import re

_LEFT = re.compile(r" (n't|[.,;:!?%)\]}\u2026\u201d](?![\w$])|\.{2,}|'(?:s|t|re|ve|ll|d|m|clock)\b)", re.IGNORECASE)
_SINGLE = re.compile(r"(?<!\S)' (\w(?:[^']|'\w)*?[\w.,!?]) '(?=[\s.,;:!?]|$)")
_PLURAL = re.compile(r"(?<=[sS]) '(?= (?!\w+ '))")
_RIGHT = re.compile(r"([(\[{\u201c$\u00a3\u20ac#]) ")
_SLASH = re.compile(r"(?<=\w) / (?=\w)")
_QUOTE = re.compile(r' ?" ?')


def detokenize(line: str) -> str:
    """A sentence of tokens, joined. Quotation marks open and close in turn."""
    text = line.replace("``", '"').replace("''", '"').replace(" @-@ ", "-").replace(" @,@ ", ",").replace(" @.@ ", ".")
    if " '" in text or text.startswith("' "):
        text = _PLURAL.sub("'", _SINGLE.sub(r"'\1'", text))
    text = _RIGHT.sub(r"\1", _LEFT.sub(r"\1", text))
    if " / " in text:
        text = _SLASH.sub("/", text)
    if '"' in text:
        turn = itertools.cycle((' "', '" '))
        text = _LEFT.sub(r"\1", _QUOTE.sub(lambda match: next(turn), text))
    return text.strip()

"""Plain text whose lines were broken at a width, as Project Gutenberg's: paragraphs stand between blank lines."""

import re

from bort_mx.data.corpora.corpus_format import CorpusFormat

WRAPPED_LINES = 0.8
"""Share of lines that the next line's first word would have made too long, from which on a text is wrapped."""
OPEN_LINES = 0.3
"""Share of those lines that do not end a sentence, from which on it is wrapped: lists and verses of one length are
not."""
WITHIN = 0.1
"""Share of lines within which a sentence ends and another begins, from which on it is wrapped: a list of sentences
without full stops, all of one length, is not."""
FEWEST = 8  # lines that another follows
WIDTHS = range(40, 121)  # characters
_ENDS = re.compile("[.!?\u2026\u3002\u0964:;][\"'\u201d\u2019)\\]_*]*$")
_INNER_END = re.compile("[.!?\u2026\u3002\u0964][\"'\u201d\u2019)\\]_*]*\\s+\\S")
_JOINT = re.compile(r"[^\S\n]*\n[^\S\n]*")
_BLANK = re.compile(r"\n[^\S\n]*\n\s*")
PARAGRAPH_END = re.compile(rb"\n[ \t\r]*\n")


def looks_wrapped(text: str) -> bool:
    """Whether lines were broken at a width.

    The width is the length that 98 % of the lines do not exceed; it must be 40 to 120 characters. The text is wrapped
    if 80 % of the lines that another line follows would exceed it with that line's first word, and 30 % of them do not
    end a sentence, and a sentence ends within 10 % of them. There must be 8 such lines.
    """
    lines = [line.strip() for line in text.split("\n")]
    lengths = sorted(len(line) for line in lines if line)
    followed = [(line, after) for line, after in zip(lines, lines[1:]) if line and after]
    if len(followed) < FEWEST or lengths[int(len(lengths) * 0.98)] not in WIDTHS:
        return False
    width = lengths[int(len(lengths) * 0.98)]
    full = [line for line, after in followed if len(line) + 1 + len(after.split(None, 1)[0]) > width]
    opened = sum(not _ENDS.search(line) for line in full)
    within = sum(bool(_INNER_END.search(line)) for line, _ in followed)
    return (within >= WITHIN * len(followed) and len(full) >= WRAPPED_LINES * len(followed)
            and opened >= OPEN_LINES * len(full))


def join_paragraphs(text: str, path: str) -> str:
    """A paragraph a line. A hyphen at the end of a line stays, and its word is joined."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "\n".join(_JOINT.sub(_joint, paragraph.strip()) for paragraph in _BLANK.split(text)) + "\n"


def _joint(match: "re.Match[str]") -> str:
    """What joins two lines: nothing within a word that has a hyphen there, else a space."""
    before, after = match.string[:match.start()][-2:], match.string[match.end():match.end() + 1]
    return "" if before[-1:] == "-" and before[:1].isalpha() and after.islower() else " "


WRAPPED = CorpusFormat(join_paragraphs, documents=True)

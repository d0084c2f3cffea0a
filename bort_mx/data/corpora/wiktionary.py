"""Wiktionary: pages-articles XML to its definitions of English words that are longer than ten words."""

import re
from typing import Iterator, List

from bort_mx.data.corpora.mediawiki_dump import articles
from bort_mx.data.corpora.source import Source
from bort_mx.data.corpora.time_limit import TooSlow, time_limit
from bort_mx.data.corpora.wikitext import WIKIPEDIA, inline, markup_left, tidy

FEWEST_WORDS = 11  # "longer than ten words"
_ENGLISH = re.compile(r"^==\s*English\s*==\s*$(.*?)(?=^==[^=]|\Z)", re.DOTALL | re.MULTILINE)
_DEFINITION = re.compile(r"^#+\s*([^\s#:*;].*)$", re.MULTILINE)


def _second(parts: List[str]) -> str:
    """{{l|en|word|shown}}: what is shown of a word of a language."""
    shown = [part for part in parts[1:3] if part]
    return shown[-1] if shown else ""


def _brackets(parts: List[str]) -> str:
    return f"({parts[0]})"


TEMPLATES = {
    **WIKIPEDIA, **dict.fromkeys(("l", "link", "m", "mention", "m+", "ll", "m-self", "l-self", "head", "term",
                                  "soplink", "syn of", "synonym of"), _second),
    **dict.fromkeys(("non-gloss definition", "non-gloss", "ngd", "n-g", "n-g-lite", "ng", "taxlink", "taxfmt", "vern",
                     "unsupported", "defdate-lite", "w2"), lambda parts: parts[0]),
    **dict.fromkeys(("gloss", "gl", "q", "i", "qualifier", "qual", "qf"), _brackets),
    "w": lambda parts: parts[-1], "pedlink": lambda parts: parts[-1], "smallcaps": lambda parts: parts[0],
    ",": lambda parts: ",", "alternative form of": lambda parts: f"Alternative form of {_second(parts)}",
    "alt form": lambda parts: f"Alternative form of {_second(parts)}",
}
"""Templates whose text belongs to a definition; labels, senses and dates of a definition go."""


def documents(source: Source) -> Iterator[str]:
    """The long English definitions of each page, one a line; those that are too short are counted as sentences."""
    for page in articles(source):
        try:
            with time_limit(source.reading.seconds):
                found = definitions(page.wikitext)
        except TooSlow:
            source.drop("too_slow")
            continue
        clean = [line for line in found if not markup_left(line)]
        source.counts["lines_dropped_markup"] += len(found) - len(clean)
        kept = [line for line in clean if len(line.split()) >= FEWEST_WORDS]
        source.counts["definitions_dropped_too_short"] += len(clean) - len(kept)
        if kept:
            yield source.keep("\n".join(kept))
        else:
            source.drop("no_long_definition" if found else "no_english_definition")


def definitions(wikitext: str) -> List[str]:
    """The English definitions of a page, without examples and quotations."""
    section = _ENGLISH.search(wikitext)
    lines = _DEFINITION.findall(section[1]) if section else []
    texts = (tidy(line) for line in inline("\n".join(lines), TEMPLATES).split("\n"))
    return [text for text in texts if any(map(str.isalpha, text))]

"""Bookcorpus: plain text books (a .txt or .epub.txt each, in folders or a tar), or its one-sentence-a-line files."""

import re
from typing import Iterator

from bort_mx.data.corpora.archives import is_tar
from bort_mx.data.corpora.detokenizing import detokenize
from bort_mx.data.corpora.lines import lines_of
from bort_mx.data.corpora.plain_text import joined, texts_of
from bort_mx.data.corpora.source import Source

_LINES = re.compile(r"books_large|books_in_sentences|sentences", re.IGNORECASE)
_HEADING = re.compile(r"^\s*#{1,6}\s.*$", re.MULTILINE)  # of Markdown, as the .epub.txt files have them
_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\([^()\n]*\)")
_ADDRESS = re.compile(r"<?\b(?:https?://|www\.)[^\s<>]+>?|<[\w.+-]+@[\w.-]+>")
_EMPHASIS = re.compile(r"(?<!\w)(\*{1,3}|_{1,3})(?=\S)([^*_\n]*?\S)\1(?!\w)")
_RULE = re.compile(r"^\s*(?:[*_\-=~#]\s*){3,}$", re.MULTILINE)


def documents(source: Source) -> Iterator[str]:
    """Each book, a paragraph a line; of the other form each sentence, its tokens joined again."""
    if _LINES.search(source.path.name) and not is_tar(source):
        source.sentences = True
        for line in lines_of(source):
            source.take()
            yield source.keep(detokenize(source.decode(line)))
    else:
        for text in texts_of(source, together=True):
            yield source.keep(book(text))


def book(text: str) -> str:
    """A book's paragraphs without Markdown's marks, headings and addresses."""
    text = _ADDRESS.sub("", _LINK.sub(r"\1", joined(text)))
    return _EMPHASIS.sub(r"\2", _RULE.sub("", _HEADING.sub("", text)))

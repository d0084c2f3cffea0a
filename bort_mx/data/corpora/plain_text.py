"""Plain text as a corpus: documents, sentences or hard-wrapped paragraphs, judged by the beginning of a file."""

import itertools
from typing import Iterator

from bort_mx.data.corpora.archives import is_tar, members
from bort_mx.data.corpora.lines import lines_of
from bort_mx.data.corpora.source import Source
from bort_mx.data.corpora.wrapped_lines import join_paragraphs, looks_wrapped
from bort_mx.data.text import JUDGED

MOST_TOGETHER = 32 << 20  # bytes of a text that is looked at as a whole; books have a few MB


def documents(source: Source) -> Iterator[str]:
    """A line is a document; of a hard-wrapped file a paragraph is."""
    for text in texts_of(source, together=is_wrapped(source.beginning())):
        yield source.keep(joined(text))


def texts_of(source: Source, together: bool) -> Iterator[str]:
    """The files of a tar; of another file all its text `together`, or each line (as of one cut into pieces)."""
    if is_tar(source):
        for _, data in source.mine(members(source)):
            source.take()
            yield source.decode(data)
    elif together and source.is_whole:
        yield from whole_texts(source)
    else:
        for line in lines_of(source):
            source.take()
            yield source.decode(line)


def whole_texts(source: Source) -> Iterator[str]:
    """A file as one text; a file of more than 32 MiB of text as several."""
    lines, size = [], 0
    for line in itertools.chain(lines_of(source), [None]):
        if line is None or size > MOST_TOGETHER:
            source.take()
            yield source.decode(b"\n".join(lines))
            lines, size = [], 0
        if line is not None:
            lines.append(line)
            size += len(line)


def joined(text: str) -> str:
    """A text with hard-wrapped paragraphs joined, if it is one."""
    return join_paragraphs(text, "") if looks_wrapped(text[:JUDGED].replace("\r\n", "\n")) else text


def is_wrapped(beginning: bytes) -> bool:
    """Whether the beginning of a file looks hard-wrapped."""
    return looks_wrapped(beginning[:JUDGED].decode("utf-8", "replace").replace("\r\n", "\n"))

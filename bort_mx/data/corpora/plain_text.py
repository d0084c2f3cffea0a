"""Plain text as a corpus: documents, sentences or hard-wrapped paragraphs, judged by the beginning of a file."""

import itertools
from typing import Iterator, Optional

from bort_mx.data.corpora.archives import members
from bort_mx.data.corpora.lines import lines_of
from bort_mx.data.corpora.source import Source
from bort_mx.data.corpora.wrapped_lines import join_paragraphs, looks_wrapped
from bort_mx.data.text import JUDGED

USTAR = slice(257, 262)
MOST_TOGETHER = 32 << 20  # bytes of a text that is looked at as a whole; books have a few MB


def documents(source: Source) -> Iterator[str]:
    """A line is a document; of a hard-wrapped file a paragraph is."""
    chunks = tar_chunks(source)
    if chunks is not None:
        for _, data in source.mine(members(source, chunks)):
            source.take()
            yield source.keep(joined(source.decode(data)))
    elif source.is_whole and is_wrapped(source.beginning()):
        for text in whole_texts(source):
            yield source.keep(joined(text))
    else:
        for line in lines_of(source):
            source.take()
            yield source.keep(source.decode(line))


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


def tar_chunks(source: Source) -> Optional[Iterator[bytes]]:
    """The chunks of a tar archive, None for another file."""
    return source.chunks() if source.beginning()[USTAR] == b"ustar" else None

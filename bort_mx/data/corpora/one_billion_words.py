"""One Billion Words: a tar.gz of shards, its folders, or single shards; a tokenised sentence a line, joined again."""

from typing import Iterator

from bort_mx.data.corpora.archives import members
from bort_mx.data.corpora.detokenizing import detokenize
from bort_mx.data.corpora.lines import lines_of
from bort_mx.data.corpora.plain_text import tar_chunks
from bort_mx.data.corpora.source import Source


def documents(source: Source) -> Iterator[str]:
    """Each sentence."""
    source.sentences = True
    for line in _lines(source):
        source.take()
        yield source.keep(detokenize(source.decode(line)))


def _lines(source: Source) -> Iterator[bytes]:
    chunks = tar_chunks(source)
    if chunks is None:
        yield from lines_of(source)
        return
    shards = (data for name, data in members(source, chunks) if "news.en" in name)
    yield from source.mine(line for data in shards for line in data.splitlines())

"""One Billion Words: a tar.gz of shards, its folders, or single shards; a tokenised sentence a line, joined again."""

from typing import Iterator

from bort_mx.data.corpora.archives import is_tar, streamed_members
from bort_mx.data.corpora.detokenizing import detokenize
from bort_mx.data.corpora.lines import lines_of, split_lines
from bort_mx.data.corpora.source import Source


def documents(source: Source) -> Iterator[str]:
    """Each sentence."""
    source.sentences = True
    for line in _lines(source):
        source.take()
        yield source.keep(detokenize(source.decode(line)))


def _lines(source: Source) -> Iterator[bytes]:
    if not is_tar(source):
        return lines_of(source)
    shards = (chunks for member, chunks in streamed_members(source) if "news.en" in member.name)  # some 40 MB each
    return source.mine(line for chunks in shards for line in split_lines(source, chunks))

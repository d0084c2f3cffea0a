"""OpenWebText: .tar of .xz subsets, one such subset, or JSON lines with a text each."""

from typing import Iterator

from bort_mx.data.corpora.archives import is_tar, members
from bort_mx.data.corpora.json_texts import json_lines
from bort_mx.data.corpora.source import Source


def documents(source: Source) -> Iterator[str]:
    """The text of each page, its lines as they are."""
    if not is_tar(source):
        yield from (source.keep(str(record.get("text") or "")) for record in json_lines(source))
        return
    for name, data in source.mine(members(source)):
        source.take()
        if name.endswith(".txt"):
            yield source.keep(source.decode(data))
        else:
            source.drop("not_a_text")

"""The table of corpora: their readers, and how their files are cut into pieces.

To add a corpus, write a file with a function `documents(source)` beside this one and add one line to `CORPORA`.
"""

import pathlib
from typing import Callable, Dict, Iterator, List, NamedTuple

from bort_mx.data.corpora import (
    bookcorpus,
    cc_news,
    one_billion_words,
    openwebtext,
    plain_text,
    urban_dictionary,
    wikipedia,
    wiktionary,
)
from bort_mx.data.corpora.archives import is_tar
from bort_mx.data.corpora.source import RECORD, Piece, Source, compression_of, starts_of_streams

MOST_SHARES = 4
"""Pieces of a file that cannot be entered in its middle: each decompresses all of it and reads its share of records."""


class Corpus(NamedTuple):
    """A corpus that `prepare --corpus NAME=PATH` reads."""

    documents: Callable[[Source], Iterator[str]]
    """A piece of a file → its documents; a line of a document is a paragraph, or a sentence."""
    expands: float
    """Bytes of text for each byte of (decompressed) input, about."""
    ranges: str = ""
    """Where a piece may begin: "lines" of plain files, "streams" of .bz2 (pages of plain XML), "records" of gzip."""


CORPORA: Dict[str, Corpus] = {
    "wikipedia": Corpus(wikipedia.documents, 0.5, "streams"),
    "wiktionary": Corpus(wiktionary.documents, 0.1, "streams"),
    "openwebtext": Corpus(openwebtext.documents, 1.0),
    "urbandictionary": Corpus(urban_dictionary.documents, 0.3),
    "one_billion_words": Corpus(one_billion_words.documents, 1.0, "lines"),
    "cc_news": Corpus(cc_news.documents, 0.05, "records"),
    "bookcorpus": Corpus(bookcorpus.documents, 1.0, "lines"),
    "text": Corpus(plain_text.documents, 1.0, "lines"),
}


def pieces(name: str, path: pathlib.Path, size: int) -> List[Piece]:
    """How a file is cut, so that no piece has much more than `size` bytes of the file. It depends on the file alone."""
    whole, ranges = path.stat().st_size, CORPORA[name].ranges
    with open(path, "rb") as file:
        compression = compression_of(file)
    size = max(size, RECORD) // (4 if compression else 1)  # compressed files hold more text
    parts = max(1, -(-whole // size))
    if parts == 1:
        return [Piece(str(path))]
    plain = not compression and not is_tar(Source(Piece(str(path))))
    if (ranges in ("lines", "streams") and plain or ranges == "streams" and starts_of_streams(path)
            or ranges == "records" and compression == "gzip" and path.name.endswith(".warc.gz")):
        bounds = [number * whole // parts for number in range(parts)]
        return [Piece(str(path), start, stop) for start, stop in zip(bounds, [*bounds[1:], None])]
    shares = min(parts, MOST_SHARES)
    return [Piece(str(path), share=(number, shares)) for number in range(shares)]

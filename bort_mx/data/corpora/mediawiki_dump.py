"""Pages of a MediaWiki dump (pages-articles XML, .bz2 of one or many streams), each parsed by itself."""

import dataclasses
from typing import Iterator
from xml.etree import ElementTree

from bort_mx.data.corpora.source import RECORD, Source

BEGIN, END = b"<page>", b"</page>"


@dataclasses.dataclass
class Page:
    """A page of the main namespace."""

    title: str
    wikitext: str


def articles(source: Source) -> Iterator[Page]:
    """Pages of this piece that are articles; redirects, other namespaces and broken pages are dropped, and counted."""
    for data in source.mine(_pages(source)):
        source.take()
        if len(data) > RECORD:
            source.drop("too_long")
            continue
        if not data.endswith(END):
            source.drop("broken_xml")
            continue
        if b"<ns>0</ns>" not in data[:4000] and b"<ns>" in data[:4000]:  # before its text is parsed
            source.drop("other_namespace")
            continue
        try:
            page = ElementTree.fromstring(source.decode(data))
        except ElementTree.ParseError:
            source.drop("broken_xml")
            continue
        text = page.findtext("revision/text") or ""
        if page.find("redirect") is not None or text[:20].lstrip().lower().startswith("#redirect"):
            source.drop("redirect")
        elif page.findtext("ns", "0") != "0":
            source.drop("other_namespace")
        else:
            yield Page(page.findtext("title") or "", text)


def _pages(source: Source) -> Iterator[bytes]:
    """`<page>…</page>`. A page whose end is missing comes without it; one that is too long is cut."""
    place, data, looked = 0, b"", 0  # place: of data's first byte in the stream
    for chunk in source.chunks():
        data += chunk
        while True:
            begin = data.find(BEGIN)
            if begin < 0:
                kept = min(len(data), len(BEGIN) - 1)
                place, data, looked = place + len(data) - kept, data[len(data) - kept:], 0
                if source.owned is not None and place >= source.owned:
                    return
                break
            if source.owned is not None and place + begin >= source.owned:
                return
            if begin:
                place, data, looked = place + begin, data[begin:], max(0, looked - begin)
            end = data.find(END, looked)
            following = data.find(BEGIN, max(len(BEGIN), looked), end if end >= 0 else len(data))
            if following >= 0:  # the page's end is missing
                yield data[:following]
                place, data, looked = place + following, data[following:], 0
            elif end >= 0:
                yield data[:end + len(END)]
                place, data, looked = place + end + len(END), data[end + len(END):], 0
            elif len(data) > RECORD + len(END):
                yield data
                place, data, looked = place + len(data), b"", 0
            else:
                looked = max(0, len(data) - len(END))
                break
    if data.startswith(BEGIN):
        yield data

"""What tests of corpora share: files of their kinds, and what a reader makes of them."""

import io
import re
import tarfile

from bort_mx.data.corpora.readers import CORPORA
from bort_mx.data.corpora.source import Piece, Reading, Source

MARKUP = re.compile(r"\[\[|\]\]|\{\{|\}\}|<ref|\|-|\{\||</?[a-zA-Z]+[^<>]*>|&(?:nbsp|amp|lt|gt|quot|#\d+);")


def read(corpus, path, **reading):
    """Documents of a file, and its source."""
    one = Source(Piece(str(path)), Reading(**reading))
    return [text for text in CORPORA[corpus].documents(one) if text.strip()], one


def reconciled(counts):
    """Whether in = kept + dropped."""
    dropped = sum(count for name, count in counts.items() if name.startswith("documents_dropped_"))
    return counts["documents_in"] == counts["documents_kept"] + dropped


def dropped(one):
    return {name[len("documents_dropped_"):]: count for name, count in one.counts.items()
            if name.startswith("documents_dropped_") and count}


def page(title, text, ns=0, extra=""):
    return (f"<page><title>{title}</title><ns>{ns}</ns>{extra}<revision><text xml:space=\"preserve\">{text}</text>"
            "</revision></page>\n")


def tar_of(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def record(body, date="2017-03-06", length=None, kind="response"):
    """A WARC record of a page; `length` lies about it."""
    content = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body
    head = (f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Date: {date}T04:02:06Z\r\nWARC-Target-URI: http://a.org/\r\n"
            f"WARC-Record-ID: <urn:uuid:a9c51e3e-0221-11e7-bf66-0242ac120005>\r\n"
            f"Content-Type: application/http; msgtype={kind}\r\nContent-Length: {length or len(content)}\r\n\r\n")
    return head.encode() + content + b"\r\n\r\n"


def news(number):
    """A page of news whose paragraphs tell its number."""
    paragraphs = "".join(f"<p>The council of town {number} met on Monday and voted for item {i} of its long list, "
                         "because the people there had asked for it again and again.</p>" for i in range(6))
    return (f"<html lang='en'><head><title>Town {number}</title></head><body><nav><a href='/'>Home</a></nav><article>"
            f"<h1>Town {number}</h1>{paragraphs}</article><footer>Imprint</footer></body></html>").encode()

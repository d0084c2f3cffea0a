"""Responses of a WARC file with pages of HTML. Each record is cut out first, so that one bad length costs one record.

FastWARC reads each record (warcio took twice as long, see docs/experiments/corpora.md). It does not tell a record that
is cut off, or whose Content-Length is wrong; the cutter does, by what follows the record.
"""

import dataclasses
import io
import re
from typing import Iterator, Optional, Tuple

from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.parse.encoding import bytes_to_str, detect_encoding

from bort_mx.data.corpora.source import RECORD, Source

LARGEST_PAGE = 4 << 20  # bytes of HTML
_BEGIN = re.compile(rb"WARC/[01]\.\d+\r?\n")
_NEXT = re.compile(rb"\r?\n\r?\nWARC/[01]\.\d+\r?\n")
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length:\s*(\d+)\s*\r?\n", re.IGNORECASE)


@dataclasses.dataclass
class Page:
    """A page that a crawler has fetched."""

    date: str
    """Of the crawl: 2017-03-06."""
    html: str


def pages(source: Source) -> Iterator[Page]:
    """The HTML pages of this piece; other records are no documents, broken ones are dropped, and counted."""
    for data, fault in source.mine(_records(source)):
        if fault:
            source.take()
            source.drop(fault)
            continue
        page, fault = _page(data)
        if page or fault:
            source.take()
        if fault:
            source.drop(fault)
        elif page:
            yield page


def _page(data: bytes) -> Tuple[Optional[Page], str]:
    """The page of a record, or what is wrong with it; neither, if it is no response of HTML."""
    try:
        for record in ArchiveIterator(io.BytesIO(data), record_types=WarcRecordType.response, parse_http=True):
            if not record.is_http or "html" not in (record.http_content_type or "html"):
                return None, ""
            if record.http_headers.status_code not in (200, None):
                return None, "http_error"
            body = record.reader.read(LARGEST_PAGE + 1)
            if len(body) > LARGEST_PAGE:
                return None, "too_long"
            encoding = record.http_charset or detect_encoding(body, from_html_meta=True)
            return Page(str(record.record_date)[:10], bytes_to_str(body, encoding)), ""
    except (OSError, ValueError, LookupError):
        return None, "broken_record"
    return None, ""


def _records(source: Source) -> Iterator[Tuple[bytes, str]]:
    """(A record's bytes, ""), or (b"", what is wrong with it)."""
    place, data = 0, b""
    source.begins_with = b"WARC/"
    chunks = source.chunks()
    ended = False
    while True:
        begin = _BEGIN.search(data)
        if begin is None:
            kept = min(len(data), 16) if not ended else 0
            if ended:
                return
            place, data = place + len(data) - kept, data[len(data) - kept:]
        else:
            if source.owned is not None and place + begin.start() >= source.owned:
                return
            place, data = place + begin.start(), data[begin.start():]
            end, fault = _end_of_record(data, ended)
            if end:
                yield (b"", fault) if fault else (data[:end], "")
                place, data = place + end, data[end:]
                continue
        chunk = next(chunks, b"")
        ended, data = not chunk, data + chunk


def _end_of_record(data: bytes, ended: bool) -> Tuple[int, str]:
    """Where a record ends, and what is wrong with it; 0 if more bytes are needed to tell."""
    header = _HEADER_END.search(data)
    length = _LENGTH.search(data, 0, header.end()) if header else None
    if header is None:
        return (len(data), "broken_record") if ended or len(data) > RECORD else (0, "")
    end = header.end() + int(length[1]) if length else 0
    if length and end <= RECORD:
        if len(data) < end + 24 and not ended:
            return 0, ""
        after = data[end:end + 24].lstrip(b"\r\n")
        if len(data) >= end and (not after or _BEGIN.match(after)):
            return end, ""
    fault = "too_long" if end > RECORD else "lying_length" if length else "broken_record"
    following = _NEXT.search(data, header.end() - 4)
    if following:
        return following.end() - len(following[0].lstrip(b"\r\n")), fault
    if ended:
        return len(data), "cut_off" if end > len(data) else fault
    return (len(data) - 16, fault) if len(data) > RECORD else (0, "")

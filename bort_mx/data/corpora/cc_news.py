"""CC-News: WARC files of its crawl, or news-please's JSON (files, JSON lines, or tars); English, within the dates."""

from typing import Any, Iterator, Mapping

from bort_mx.data.corpora.archives import is_tar, members
from bort_mx.data.corpora.json_texts import json_lines, json_object
from bort_mx.data.corpora.source import RECORD, Source
from bort_mx.data.corpora.time_limit import TooSlow, time_limit
from bort_mx.errors import InputError

FIRST, LAST = "2016-09", "2019-02"
JUDGED = 2000  # characters by which the language is told


def documents(source: Source) -> Iterator[str]:
    """The text of each article in English within the dates, a paragraph a line."""
    if is_tar(source):
        yield from _articles(source, _members(source))
        return
    beginning = source.beginning().lstrip(b"\xef\xbb\xbf \t\r\n")
    if beginning.startswith(b"WARC/"):
        yield from _pages(source)
    elif beginning.startswith(b"filedesc:"):
        source.problem("an ARC archive; CC-News comes as WARC")
    else:
        yield from _articles(source, _whole(source) if is_spread(beginning) else json_lines(source))


def is_spread(beginning: bytes) -> bool:
    """Whether a JSON object goes over many lines: its first does not end it."""
    first, ended, _ = beginning.partition(b"\n")
    return bool(ended) and first.rstrip().endswith((b"{", b",")) and not first.rstrip().endswith(b"},")


def within(source: Source, date: str) -> bool:
    """Whether a date lies within --from and --to; "2019-02" includes the whole month."""
    first, last = source.reading.from_date or FIRST, source.reading.to_date or LAST
    return date[:len(first)] >= first and date[:len(last)] <= last


def is_english(source: Source, text: str) -> bool:
    """Whether the beginning of a text is in English, by py3langid."""
    try:
        from py3langid import langid
    except ImportError as error:
        raise needs_extra(source, error) from None
    return langid.classify(text[:JUDGED])[0] == "en"


def needs_extra(source: Source, error: ImportError) -> InputError:
    """The error where a library is not installed."""
    return InputError(f"{source.path}: reading it needs {error.name}, which is not installed; pip install "
                      "'bort-mx[corpora]'")


def _members(source: Source) -> Iterator[Mapping[str, Any]]:
    for name, data in source.mine(members(source)):
        source.take()
        record = json_object(source, data) if name.endswith(".json") else source.drop("not_a_text")
        if record is not None:
            yield record


def _whole(source: Source) -> Iterator[Mapping[str, Any]]:
    """The article of a file with one JSON object over many lines."""
    if source.piece.share[0]:  # it is the first's
        return
    data = bytearray()
    for chunk in source.chunks():
        data += chunk
        if len(data) > RECORD:
            break
    source.take()
    record = json_object(source, bytes(data)) if len(data) <= RECORD else source.drop("too_long")
    if record is not None:
        yield record


def _articles(source: Source, records: Iterator[Mapping[str, Any]]) -> Iterator[str]:
    for record in records:
        text = str(record.get("maintext") or record.get("text") or "")
        date = str(record.get("date_publish") or record.get("date") or record.get("date_download") or "")[:10]
        language = record.get("language")
        if not text.strip():
            source.drop("no_text")
        elif not date:
            source.drop("no_date")
        elif not within(source, date):
            source.drop("date")
        elif language != "en" and (language or not is_english(source, text)):
            source.drop("language")
        else:
            yield source.keep(text)


def _pages(source: Source) -> Iterator[str]:
    try:
        from bort_mx.data.corpora.warc_records import pages
        from bort_mx.data.corpora.web_pages import text_of
    except ImportError as error:
        raise needs_extra(source, error) from None
    for page in pages(source):
        if not within(source, page.date):
            source.drop("date")
            continue
        try:
            with time_limit(source.reading.seconds):
                text = text_of(page.html) or ""
        except TooSlow:
            source.drop("too_slow")
            continue
        if text and not is_english(source, text):
            source.drop("language")
        else:
            yield source.keep(text)

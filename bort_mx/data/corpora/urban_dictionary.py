"""UrbanDictionary: CSV or JSON lines; definitions of 2011 to 2016 that are longer than ten words."""

import csv
import re
from typing import Any, Iterator, List, Mapping

from bort_mx.data.corpora.json_texts import json_lines
from bort_mx.data.corpora.lines import lines_of
from bort_mx.data.corpora.source import RECORD, Source

FEWEST_WORDS, FIRST_YEAR, LAST_YEAR = 11, 2011, 2016
_YEAR = re.compile(r"\b((?:19|20)\d\d)\b")
_LINK = re.compile(r"\[([^\[\]\n]*)\]")  # the site's own links


def documents(source: Source) -> Iterator[str]:
    """Each definition as one line."""
    records = json_lines(source) if is_json(source) else _rows(source)
    for record in records:
        text = _LINK.sub(r"\1", str(record.get("definition") or "")).replace("\r", "\n")
        text = " ".join(text.split())
        year = _YEAR.search(str(record.get("date") or record.get("written_on") or ""))
        if not text:
            source.drop("no_text")
        elif year is None:
            source.drop("no_date")
        elif not FIRST_YEAR <= int(year[1]) <= LAST_YEAR:
            source.drop("date")
        elif len(text.split()) < FEWEST_WORDS:
            source.drop("too_short")
        else:
            yield source.keep(text)


def is_json(source: Source) -> bool:
    """Whether the file holds JSON."""
    return source.beginning().lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")


def _rows(source: Source) -> Iterator[Mapping[str, Any]]:
    """Rows of the CSV by the names in its first; those with another number of fields are dropped, and counted."""
    csv.field_size_limit(RECORD)
    rows = _fields(csv.reader(f"{source.decode(line)}\n" for line in lines_of(source, share=False)))
    header = [name.strip("\ufeff ").lower() for name in next(rows, [])]
    for fields in source.mine(rows):
        source.take()
        if len(fields) == len(header):
            yield dict(zip(header, fields))
        else:
            source.drop("broken_csv")


def _fields(reader: Iterator[List[str]]) -> Iterator[List[str]]:
    """The fields of each row that has any; none of a row that is no CSV."""
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield []
            continue
        if fields:
            yield fields

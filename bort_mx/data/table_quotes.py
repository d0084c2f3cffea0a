"""Whether the fields of a TSV file stand in quotes, as pandas and Excel write them: the rule of tasks and corpora."""

import csv
import re
import sys
from typing import Any, Iterable, Iterator, List

LONGEST_ROW = 1 << 24
"""Characters of a row; a quote that would make a longer one is taken as a character."""
_QUOTED = re.compile(r'(?:^|(?<=\t))"((?:[^"]|"")*)"(?=\t|$)', re.MULTILINE)


def csv_reader(lines: Iterable[str], delimiter: str, quoting: int = csv.QUOTE_MINIMAL) -> Any:
    """A csv.reader of fields of any length, which raises csv.Error for bad quotes."""
    csv.field_size_limit(sys.maxsize)  # by default a text has at most 131,072 characters
    return csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)


def count_quoted(lines: Iterable[str]) -> int:
    """How many fields of a TSV file's lines stand in quotes of the program that wrote it; 0: none.

    They do if every field that begins with a quote is quoted as in CSV, and one of them shows why: it holds a doubled
    quote, a comma, a tab or a line end, or all fields are quoted. Else quotes are characters of the texts. The lines
    are read one row at a time.
    """
    raw: List[str] = []  # the lines of a row
    found = fields = 0
    width, shown = None, False
    try:
        for row in csv_reader(_collected(lines, raw), "\t"):
            text = "".join(raw)
            raw.clear()
            if not "".join(row).strip():
                continue
            if width not in (None, len(row)):
                return 0
            width, fields = len(row), fields + len(row)
            quoted = _QUOTED.findall(text) if '"' in text else []
            found += len(quoted)
            shown = shown or any(mark in field for field in quoted for mark in ('""', ",", "\t", "\n"))
    except csv.Error:
        return 0
    return found if shown or found == fields else 0


def _collected(lines: Iterable[str], raw: List[str]) -> Iterator[str]:
    """The lines with their ends, which `raw` collects too; the end where a row is too long."""
    size = 0
    for line in lines:
        size = len(line) + (size if raw else 0)
        if size > LONGEST_ROW:
            return
        raw.append(f"{line}\n")
        yield raw[-1]

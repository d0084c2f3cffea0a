"""Corpora that are tables: the texts of one column of .csv, .tsv and JSON lines, as plain text."""

import csv
import itertools
import json
import pathlib
from typing import Any, Dict, Iterable, Iterator, Optional, Tuple

from bort_mx.data.corpora.source import COMPRESSIONS
from bort_mx.data.table_quotes import count_quoted, csv_reader
from bort_mx.errors import InputError
from bort_mx.io import strict_json

KINDS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "JSON lines", ".ndjson": "JSON lines", ".json": "JSON lines"}
"""Suffix of a file's name, without that of its compression: what its lines hold."""

QUOTED_TSV = "quoted tsv"


def kind_of_table(path: pathlib.Path, beginning: bytes) -> Optional[str]:
    """What table a file is, by its name or, of JSON lines, by its first line; None if it is plain text."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in COMPRESSIONS]
    kind = KINDS.get(suffixes[-1]) if suffixes else None
    first, found, _ = beginning.lstrip(b"\xef\xbb\xbf \t\r\n").partition(b"\n")
    if kind is None and found and first.startswith(b"{"):
        try:
            kind = "JSON lines" if isinstance(json.loads(first), dict) else None
        except (ValueError, RecursionError):
            kind = None
    return kind


def is_quoted(path: pathlib.Path, chunks: Iterable[bytes]) -> bool:
    """Whether the fields of a .tsv file stand in quotes, by the rule of `bort_mx.data.table_quotes.count_quoted`."""
    return count_quoted(line for _, line in _lines(path, chunks)) > 0


def texts_of_column(path: pathlib.Path, kind: str, chunks: Iterable[bytes], column: str) -> Iterator[bytes]:
    """The texts of a column, each with a line end; a text may have several lines.

    Args:
        path: the file, for errors.
        kind: as `kind_of_table` gives it, or QUOTED_TSV. In a plain .tsv file quotes are ordinary characters.
        chunks: the file's bytes.
        column: its name.
    Raises:
        InputError: no such column, a row with another number of fields, what is no text, not UTF-8, not JSON.
    """
    lines = _lines(path, chunks)
    rows = _objects(path, lines) if kind == "JSON lines" else _rows(path, lines, kind)
    for where, fields in rows:
        if column not in fields:
            raise InputError(f"{where}: no column {column!r}; found {', '.join(map(str, fields)) or 'none'}; name the "
                             "one with the text by --text-column")
        text = fields[column]
        if text is not None and not isinstance(text, str):
            raise InputError(f"{where}: column {column!r} is {text!r:.60}; expected a text")
        yield (text or "").encode("utf-8", "replace") + b"\n"


def _lines(path: pathlib.Path, chunks: Iterable[bytes]) -> Iterator[Tuple[int, str]]:
    rest, number = b"", 0
    for chunk in itertools.chain(chunks, [None]):
        *lines, rest = (rest + chunk).split(b"\n") if chunk is not None else [rest, b""]
        for line in lines:
            number += 1
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r")
            except UnicodeDecodeError as error:
                raise InputError(f"{path}:{number}: not UTF-8 text, byte {line[error.start]:#04x}; convert the file to "
                                 "UTF-8") from None


def _objects(path: pathlib.Path, lines: Iterable[Tuple[int, str]]) -> Iterator[Tuple[str, Dict[str, Any]]]:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            record = strict_json.loads(line)
        except strict_json.DoubledField as error:
            raise InputError(f"{path}:{number}: {strict_json.reason(error)}") from None
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}:{number}: not a JSON object in one line ({str(error).split(';')[0]}); write JSON "
                             "lines, one object each, or give the text itself") from None
        if not isinstance(record, dict):
            raise InputError(f"{path}:{number}: {type(record).__name__} found; expected a JSON object in each line")
        yield f"{path}:{number}", record


def _rows(path: pathlib.Path, lines: Iterable[Tuple[int, str]], kind: str) -> Iterator[Tuple[str, Dict[str, str]]]:
    quoting = csv.QUOTE_NONE if kind == "tsv" else csv.QUOTE_MINIMAL
    reader = csv_reader((f"{line}\n" for _, line in lines), "," if kind == "csv" else "\t", quoting)
    header = None
    try:
        for fields in reader:
            where = f"{path}:{reader.line_num}"
            if not "".join(fields).strip():
                continue
            if header is None:
                header = fields
            elif len(fields) != len(header):
                raise InputError(f"{where}: {len(fields)} column(s) found, {len(header)} expected "
                                 f"({', '.join(header)})")
            else:
                yield where, dict(zip(header, fields))
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: not CSV ({error})") from None

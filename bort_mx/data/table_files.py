"""Rows of .tsv and .csv files, as benchmarks publish them and as pandas, Excel and Kaggle write them.

Nothing of a table is dropped or read as something else without a word. What is tolerated is counted by `Tolerances`,
each kind once with its first place. What could be read in two ways and matters is refused.
"""

import csv
import pathlib
import re
from typing import Collection, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from bort_mx.data.corpora.other_kinds import refuse_other_kinds
from bort_mx.data.corpora.source import MAGIC
from bort_mx.data.table_quotes import count_quoted, csv_reader
from bort_mx.errors import InputError

Row = Tuple[str, Dict[str, str]]
"""A row's place as "file:line", and its fields by column."""
_SEPARATOR = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


class Tolerances:
    """What was tolerated while a file was read."""

    def __init__(self):
        self._found: Dict[str, List] = {}
        self._said: List[str] = []

    def add(self, kind: str, where: str = "") -> None:
        """Count one more of a kind. `where` is a place, "file:line"; of the first the line is told."""
        entry = self._found.setdefault(kind, [0, where.rsplit(":", 1)[-1].strip()])
        entry[0] += 1

    def say(self, note: str) -> None:
        """Note something of the whole file."""
        self._said.append(note)

    def notes(self) -> List[str]:
        """What was said of the file, and a line for each kind: the kind, its count, and the line of the first."""
        return self._said + [
            f"{kind}: {count}" + (f" (the first: line {first})" if first.isdecimal() else "")
            for kind, (count, first) in self._found.items()]

    def without_blank(self, lines: Iterable[Tuple[int, str]]) -> Iterator[Tuple[int, str]]:
        """Lines that hold something. Blank ones at the end are usual; those before are counted."""
        blank: List[int] = []
        for number, line in lines:
            if not line.strip():
                blank.append(number)
                continue
            for place in blank:
                self.add("blank lines left out", f":{place}")
            blank.clear()
            yield number, line


# -- lines ---------------------------------------------------------------------------------------------------------


def read_lines(path: pathlib.Path, tolerated: Optional[Tolerances] = None) -> Iterator[Tuple[int, str]]:
    """Yield (line number from 1, line) of a UTF-8 file, without a byte order mark and line ends.

    Lines end at "\\n" or "\\r\\n": texts may hold the other characters that str.splitlines() would split at. In a file
    without any "\\n" they end at "\\r". Else a "\\r" inside a line is a space, and is counted.

    Raises:
        InputError: the file cannot be opened, is something else than text, or a line is not UTF-8.
    """
    number, raw = 1, b""
    try:
        with open(path, "rb") as file:
            for number, raw in enumerate(_raw_lines(file), 1):
                if number == 1:
                    _refuse_no_text(path, raw)
                line = raw.decode("utf-8").rstrip("\n")
                line = line[:-1] if line.endswith("\r") else line
                if "\r" in line:
                    line = line.replace("\r", " ")
                    if tolerated:
                        tolerated.add("lines with a carriage return inside, read as a space", f":{number}")
                yield number, line[1:] if number == 1 and line.startswith("\ufeff") else line
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}:{number}: not UTF-8 text (byte {raw[error.start]:#04x}); convert the file to UTF-8, "
                         "from Windows' or Excel's encoding by iconv -f CP1252 -t UTF-8") from None


def _refuse_no_text(path: pathlib.Path, first: bytes) -> None:
    """Refuse a file by its first line: a workbook, an archive, another encoding with zero bytes."""
    refuse_other_kinds(path, first)
    refuse_packed(path, first)
    if b"\x00\x00\x00" in first or first[1::2].count(0) > len(first) / 4 or first[::2].count(0) > len(first) / 4:
        raise InputError(f"{path}: not UTF-8 text (its first line has zero bytes, as UTF-16 without its mark has); "
                         "convert it to UTF-8: iconv -f UTF-16LE -t UTF-8")


def refuse_packed(path: pathlib.Path, first: bytes) -> None:
    """Refuse a compressed file by its first bytes."""
    packed = next((name for magic, name in MAGIC.items() if first.startswith(magic)), None)
    if packed:
        raise InputError(f"{path}: {packed}-compressed; decompress it")


def _raw_lines(file: Iterable[bytes]) -> Iterator[bytes]:
    """Lines by "\\n"; by "\\r" where the first line is the whole file."""
    lines = iter(file)
    first = next(lines, b"")
    if not first.endswith(b"\n") and b"\r" in first:
        yield from first.rstrip(b"\r").split(b"\r")
    elif first:
        yield first
    yield from lines


# -- headers -------------------------------------------------------------------------------------------------------


def readable_columns(header: Sequence[str], needed: Collection[str], where: str, tolerated: Tolerances) -> List[str]:
    """The columns that can be read by their names. Those without a name, and names that stand twice, cannot.

    Args:
        header: the names.
        needed: columns that must not stand twice.
        where: the header's place.
        tolerated: counts the others that cannot be read.
    Raises:
        InputError: a column of `needed` stands twice.
    """
    twice = sorted({name for name in header if name.strip() and header.count(name) > 1})
    for name in twice:
        if name in needed:
            raise InputError(f"{where}: column {name!r} is there {header.count(name)} times; rename or drop all but "
                             "one")
        tolerated.add(f"columns that are there twice and not read ({name})")
    for name in header:
        if not name.strip():
            tolerated.add("columns without a name, not read")
    return [name for name in header if name.strip() and name not in twice]


def _by_column(header: Sequence[str], columns: Collection[str], fields: List[str], where: str,
               tolerated: Tolerances) -> Optional[Dict[str, str]]:
    """A row's fields by column; None of a row in which every field is blank.

    Raises:
        InputError: another number of fields than the header has. Empty ones at the end may be too many.
    """
    if len(header) > 1 and not any(map(str.strip, fields)):
        tolerated.add("blank lines left out", where)
        return None
    if len(fields) > len(header) and not any(map(str.strip, fields[len(header):])):
        tolerated.add("rows with empty fields beyond the header's", where)
        fields = fields[:len(header)]
    if len(fields) != len(header):
        wide = ".csv:" in where and len(fields) > len(header)
        raise InputError(f"{where}: {len(fields)} column(s) found, {len(header)} expected ({', '.join(header)})"
                         + ("; a text with a separator in it needs quotes" if wide else ""))
    return {name: value for name, value in zip(header, fields) if name in columns}


# -- tables --------------------------------------------------------------------------------------------------------


def read_table(path: pathlib.Path, header: Optional[Sequence[str]] = None, short: Optional[List[int]] = None,
               needed: Collection[str] = (), tolerated: Optional[Tolerances] = None) -> Iterator[Row]:
    """Yield ("file:line", column → field) of a TSV file in which quotes are ordinary characters.

    Blank lines are left out. In a file of one column they are examples with an empty text.

    Args:
        path: the file.
        header: the columns of a file without a header line.
        short: where given, collects the numbers of lines with too few fields, which are then left out.
        needed: columns that must not stand twice.
        tolerated: counts what is tolerated.

    Raises:
        InputError: an empty file, or a line with another number of fields than the header.
    """
    tolerated = tolerated or Tolerances()
    lines = read_lines(path, tolerated)
    if header is None:
        header = next(lines, (1, ""))[1].split("\t")
        if header == [""]:
            raise empty(path)
    columns = set(readable_columns(header, needed, f"{path}:1", tolerated))
    for number, line in tolerated.without_blank(lines) if len(header) > 1 else lines:
        fields, where = line.split("\t"), f"{path}:{number}"
        if short is not None and len(fields) < len(header):
            short.append(number)
            continue
        row = _by_column(header, columns, fields, where, tolerated)
        if row is not None:
            yield where, row


def read_rows(path: pathlib.Path, needed: Collection[str] = (),
              tolerated: Optional[Tolerances] = None) -> Iterator[Row]:
    """Yield ("file:line", column → field) of a .tsv or .csv file that a program wrote.

    A .csv file has the usual quotes, and is separated by commas; by semicolons or tabs where these alone give the
    columns that are needed. A .tsv file has quotes where `quoted_fields` finds some.

    Args:
        path: the file.
        needed: the columns that will be read.
        tolerated: counts what is tolerated.
    Raises:
        InputError: an empty file, a row with another number of fields than the header, or bad quotes.
    """
    tolerated = tolerated or Tolerances()
    if path.suffix.lower() == ".csv":
        yield from _csv_rows(path, _delimiter(path, needed, tolerated), needed, tolerated)
    elif quoted_fields(path):
        tolerated.say(f"fields in quotes, as pandas and Excel write them, read without: {quoted_fields(path)}")
        yield from _csv_rows(path, "\t", needed, tolerated)
    else:
        yield from read_table(path, needed=needed, tolerated=tolerated)


def columns_of(path: pathlib.Path, needed: Collection[str] = ()) -> List[str]:
    """The names in the header of a .tsv or .csv file, without those that cannot be read.

    Raises:
        InputError: as `read_rows`.
    """
    quiet = Tolerances()
    delimiter = "\t" if path.suffix.lower() != ".csv" else _delimiter(path, needed, quiet)
    quoted = path.suffix.lower() == ".csv" or quoted_fields(path) > 0
    line = csv_head(path)[0] if path.suffix.lower() == ".csv" else next(read_lines(path), (1, ""))[1]
    if not line:
        raise empty(path)
    header = next(csv.reader([line], delimiter=delimiter)) if quoted else line.split(delimiter)
    return readable_columns(header, (), f"{path}:1", quiet)


def empty(path: pathlib.Path) -> InputError:
    """What to raise for a file without a header."""
    return InputError(f"{path}: the file is empty; expected a header line and one example a line")


def quoted_fields(path: pathlib.Path) -> int:
    """How many fields of a TSV file stand in quotes: see `bort_mx.data.table_quotes.count_quoted`."""
    return count_quoted(line for _, line in read_lines(path))


def csv_head(path: pathlib.Path) -> Tuple[str, Optional[str]]:
    """The header line of a .csv file; and what separates its fields, where a line before it says so (Excel's sep=;)."""
    lines = read_lines(path)
    first = next(lines, (1, ""))[1]
    said = _SEPARATOR.fullmatch(first)
    return (next(lines, (2, ""))[1], said[1]) if said else (first, None)


def _delimiter(path: pathlib.Path, needed: Collection[str], tolerated: Tolerances) -> str:
    line, said = csv_head(path)
    if said:
        tolerated.say(f"read with {DELIMITERS.get(said, repr(said))} between the fields, as its first line says (sep=)")
        return said
    for delimiter, name in DELIMITERS.items():
        if needed and set(needed) <= set(next(csv.reader([line], delimiter=delimiter), [])):
            if delimiter != ",":
                tolerated.say(f"read with {name} between the fields, not commas")
            return delimiter
    return ","


def _csv_rows(path: pathlib.Path, delimiter: str, needed: Collection[str], tolerated: Tolerances) -> Iterator[Row]:
    lines = read_lines(path, tolerated)
    before = 1 if path.suffix.lower() == ".csv" and csv_head(path)[1] else 0  # Excel's line sep=;
    reader = csv_reader((line + "\n" for number, line in lines if number > before), delimiter)
    header: List[str] = []
    columns: Collection[str] = ()
    blank: List[str] = []
    try:
        for fields in reader:
            where = f"{path}:{reader.line_num + before}"
            if not header:
                header, columns = fields, set(readable_columns(fields, needed, where, tolerated))
            elif not "".join(fields).strip() and len(fields) < max(len(header), 2) and fields != [""]:
                blank.append(where)
            else:
                for place in blank:
                    tolerated.add("blank lines left out", place)
                blank.clear()
                row = _by_column(header, columns, fields, where, tolerated)
                if row is not None:
                    yield where, row
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num + before}: not CSV ({error})") from None
    if not header:
        raise empty(path)

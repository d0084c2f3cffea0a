"""Records of a file that is a table, whatever its kind: .tsv, .csv, JSON lines, or a list of JSON objects."""

import itertools
import pathlib
from typing import Any, Collection, Dict, Iterator, List, Optional, Tuple

from bort_mx.data.json_lines import read_json_lines
from bort_mx.data.table_files import Tolerances, columns_of, read_rows
from bort_mx.errors import InputError

TABLES = (".tsv", ".csv")
JSON = (".jsonl", ".ndjson", ".json")
OTHER_TABLES = (".xlsx", ".xls", ".ods", ".parquet", ".feather", ".arrow")
"""Tables that are not read."""
Record = Tuple[str, Dict[str, Any]]
"""A record's place as "file:line", and its values by column."""


def is_table(path: pathlib.Path) -> bool:
    """Whether a file's name says that it is a table."""
    return path.suffix.lower() in (*TABLES, *JSON)


def records_of(path: pathlib.Path, needed: Collection[str] = (),
               tolerated: Optional[Tolerances] = None) -> Iterator[Record]:
    """Yield ("file:line", column → value) of a table.

    Args:
        path: the file; its name tells its kind.
        needed: the columns that will be read.
        tolerated: counts what is tolerated.
    Raises:
        InputError: another kind of file, or a bad one.
    """
    if not is_table(path):
        how = "; save it as .csv, in pandas by to_csv(…, index=False)" if path.suffix.lower() in OTHER_TABLES else ""
        raise InputError(f"{path}: the name ends in {path.suffix!r}; expected {', '.join((*TABLES, *JSON))}{how}")
    if path.suffix.lower() in TABLES:
        return read_rows(path, needed, tolerated)
    return _json_records(path, tolerated)


def _json_records(path: pathlib.Path, tolerated: Optional[Tolerances]) -> Iterator[Record]:
    """The objects of a JSON file, whose first must be a row."""
    for number, (where, record) in enumerate(read_json_lines(path, tolerated)):
        inside = next((key for key in ("data", "rows", "records") if isinstance(record.get(key), list)), None)
        if number == 0 and record and (inside or all(isinstance(value, (dict, list)) for value in record.values())):
            held = f"its rows in {inside!r}" if inside else "whole columns"
            raise InputError(f"{where}: an object that holds {held}; write one object a row: in pandas, "
                             "to_json(…, orient='records', lines=True)")
        yield where, record


def names_of_columns(path: pathlib.Path, needed: Collection[str] = ()) -> List[str]:
    """The columns of a table: of its header, or the fields of its first object.

    Raises:
        InputError: as `records_of`.
    """
    if path.suffix.lower() in TABLES:
        return columns_of(path, needed)
    return [name for _, record in itertools.islice(records_of(path), 1) for name in record]

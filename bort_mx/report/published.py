"""The values that the paper prints (arXiv 2010.10499), by table, row and column; the one place that reads them."""

import math
import os
import pathlib
import re
from typing import Any, Dict, List, Optional, Tuple

import yaml

from bort_mx.architecture import Architecture
from bort_mx.data.tasks.tables import load_table
from bort_mx.errors import InputError
from bort_mx.io import files

Key = Tuple[str, str, str]
"""Table ("1" to "9", "figure1" or "text"), row, column."""
TABLES = (*"123456789", "figure1", "text")
"""What a report can have: the tables, the figure, and the numbers of the prose."""
SCORES = {"4": "glue", "5": "superglue", "6": "race"}
"""The tables of scores, and their benchmarks."""
CONVERGENT_SETS = {"7": "glue", "8": "race", "9": "superglue"}
"""The tables of convergent hyperparameter sets, and their benchmarks."""
FIELDS = ("table", "row", "column", "value")
_PAIR = re.compile(r"\d+(\.\d+)?/\d+(\.\d+)?")


class Published:
    """All values that the paper prints.

    Args:
        values: (table, row, column) → number, text, or None where the paper prints none.
    """

    def __init__(self, values: Dict[Key, Any]):
        self.values = values

    def __call__(self, table: str, row: str, column: str = "value") -> Any:
        """One value."""
        return self.values[table, row, column]

    def rows(self, table: str) -> List[str]:
        """The rows of a table, in the paper's order."""
        return list(dict.fromkeys(row for of, row, _ in self.values if of == table))

    def columns(self, table: str) -> List[str]:
        """The columns of a table, in the paper's order."""
        return list(dict.fromkeys(column for of, _, column in self.values if of == table))

    def architecture(self, table: str, row: str) -> Architecture:
        """The architecture <D, A, H, I> that a row prints."""
        return Architecture(*(self(table, row, name) for name in "DAHI"))

    def records(self) -> List[Dict[str, Any]]:
        """One object for each value, as `read` takes them from a file."""
        return [dict(zip(FIELDS, (*key, value))) for key, value in self.values.items()]


def read(path: Optional[os.PathLike] = None) -> Published:
    """The paper's values.

    Args:
        path: a JSON file with another list of them, such as an edited copy of a report's numbers.json. It must have
            the same tables, rows and columns. None: the values shipped with this program.
    Raises:
        InputError: the file is no such list; the message says where it differs.
    """
    shipped = _shipped()
    if path is None:
        return Published(shipped)
    found: Dict[Key, Any] = {}
    records = files.read_json(path)
    for number, record in enumerate(records if isinstance(records, list) else [records], 1):
        if not isinstance(record, dict) or set(record) != set(FIELDS):
            raise InputError(f"{path}: entry {number} must be an object with {', '.join(FIELDS)}; take numbers.json "
                             "of a report and edit its values")
        key = tuple(str(record[name]) for name in FIELDS[:3])
        _check(path, key, record["value"], shipped)
        found[key] = record["value"]
    missing = [key for key in shipped if key not in found]
    if missing:
        raise InputError(f"{path}: has no value for table {missing[0][0]}, row {missing[0][1]!r}, column "
                         f"{missing[0][2]!r}; take numbers.json of a report and edit its values")
    return Published(found)


def _check(path: os.PathLike, key: Key, value: Any, shipped: Dict[Key, Any]) -> None:
    """Raises InputError if a value has no place among the paper's, or is of another type."""
    place = f"{path}: table {key[0]}, row {key[1]!r}, column {key[2]!r}"
    if key not in shipped:
        raise InputError(f"{place}: the paper has no such value; see bort_mx/report/paper.yaml for its rows")
    wanted, given = _kind(key, shipped[key]), _kind(key, value)
    if not given.startswith(wanted) and None not in (value, shipped[key]):  # "number above 0" is a number too
        raise InputError(f"{place}: {value!r:.80} must be a {wanted}")


def _kind(key: Key, value: Any) -> str:
    """What a value is, as far as the report counts on it."""
    if isinstance(value, str):
        return "text" if key[0] not in SCORES else "pair of scores" if _PAIR.fullmatch(value) else "malformed text"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return type(value).__name__
    if key[2] in tuple("DAHI"):
        return "whole number above 0" if isinstance(value, int) and value > 0 else "other number"
    return "number above 0" if value > 0 else "number"


def _shipped() -> Dict[Key, Any]:
    path = pathlib.Path(__file__).with_name("paper.yaml")
    values = {(table, row, column): value
              for table, content in yaml.safe_load(path.read_text(encoding="utf-8")).items()
              for row, cells in content["rows"].items() for column, value in zip(content["columns"], cells)}
    for table, benchmark in SCORES.items():
        scores = load_table("paper_scores.yaml")[benchmark]
        values.update({(table, task, system): score for task, cells in scores["scores"].items()
                       for system, score in zip(scores["systems"], cells)})
    for table, benchmark in CONVERGENT_SETS.items():
        values.update({(table, task, name): value for task, cells in load_table("chs.yaml")[benchmark].items()
                       for name, value in cells.items() if name != "note"})
    return values

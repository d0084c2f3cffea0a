"""Predictions and labels as people and files spell them: names in any case, indices, numbers."""

import re
import unicodedata
from typing import Any, List, Optional, Sequence

import numpy as np

from bort_mx.data.table_files import Tolerances
from bort_mx.data.text import clean_text
from bort_mx.errors import InputError

MISSING = ("na", "n/a", "#n/a", "<na>", "nan", "null", "none")
"""What R, Excel, pandas and SQL write for a value that is not there, in any case."""
NO_LABEL = ("", "-1", "-1.0", "hidden", *MISSING)
"""What stands for a label in test sets that have none, in any case."""


def means_no_label(value: Any, labels: Sequence[str] = ()) -> bool:
    """Whether a test set's value says that there is no label: null, empty, -1, hidden, and no label is so spelled."""
    return value is None or (str(value).strip().lower() in NO_LABEL and str(value) not in labels
                             and _spelled_otherwise(str(value), labels) is None)


def tidy(text: str) -> str:
    """A label without what cannot be seen: `clean_text`, and one form of letters with accents (Unicode's NFC)."""
    return unicodedata.normalize("NFC", clean_text(text))


def read_label(value: Any, labels: Sequence[str], where: str, tolerated: Tolerances) -> str:
    """The label that a file's value spells: itself, or else with other spaces or zero-width characters, in another
    case, as 1.0 for 1, as true for a boolean, or in CSV's quotes. What is not spelled as the label is counted.

    Raises:
        InputError: no label, or more than one.
    """
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if text in labels:
        return text
    found = _spelled_otherwise(text, labels)
    if found is None:
        raise InputError(f"{where}: unknown label {text!r}; expected one of {', '.join(labels)}")
    tolerated.add(f"labels {text!r} read as {found!r}", where)
    return found


def _spelled_otherwise(text: str, labels: Sequence[str]) -> Optional[str]:
    plain = tidy(text)
    whole = re.sub(r"(?<=\d)\.0+$", "", plain)
    written = '"' + text.replace('"', '""') + '"'
    for spelling in (plain, whole, written):
        if spelling in labels:
            return spelling
    alike = [label for label in labels if tidy(label).lower() == plain.lower() or re.sub(r"\.0+$", "", label) == whole]
    return alike[0] if len(alike) == 1 else None


def spelled_index(value: Any, spellings: Sequence[str], where: str) -> int:
    """The index of a value among spellings, given as a spelling in any case, as a bool, or as that index itself.

    Raises:
        InputError: none of them.
    """
    if isinstance(value, str):
        alike = [index for index, spelling in enumerate(spellings) if value.lower() == spelling.lower()]
        if value in spellings or len(alike) == 1:  # labels may differ in case alone
            return spellings.index(value) if value in spellings else alike[0]
    elif isinstance(value, (bool, np.bool_, int, np.integer)) and 0 <= value < len(spellings):
        return int(value)
    raise InputError(f"{where}: unknown label {value!r}; expected one of {', '.join(spellings)}")


def numbers(values: Sequence, where: str) -> List[float]:
    """Values as floats.

    Raises:
        InputError: one that is not a finite number.
    """
    result = []
    for position, value in enumerate(values):
        try:
            result.append(float(value))
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{where}: value {position} is {value!r}, not a number") from None
        if not np.isfinite(result[-1]):
            raise InputError(f"{where}: value {position} is {value!r}, not a finite number")
    return result

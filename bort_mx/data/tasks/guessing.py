"""What a table's columns and labels are, told from their names and values. The caller says whatever is guessed."""

import collections
import csv
import decimal
import math
import pathlib
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from bort_mx.data.table_files import DELIMITERS, csv_head
from bort_mx.data.table_records import names_of_columns
from bort_mx.data.tasks.spellings import MISSING, tidy
from bort_mx.errors import InputError

PAIRS = (("text", "text_pair"), ("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"),
         ("text1", "text2"), ("text_a", "text_b"), ("question", "sentence"), ("question", "answer"),
         ("question", "passage"), ("question", "context"), ("query", "passage"), ("query", "document"))
"""Names of the columns of two texts."""
TEXTS = ("text", "texts", "sentence", "body", "content", "review", "comment", "message", "tweet", "post", "document",
         "description", "utterance", "question", "query", "title")
LABELS = ("label", "labels", "class", "category", "target", "sentiment", "verdict", "stars", "rating", "score",
          "intent", "topic", "tag", "polarity", "grade", "y")
INDICES = ("idx", "id", "index")
INFINITE = ("inf", "-inf", "infinity", "-infinity")
MOST_CLASSES = 20
"""Numbers of more different values than this are not classes; words of more are not if most rows have one of their own.
"""
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d*,\d+\s*")


class Labels(NamedTuple):
    """What the values of a label column are."""

    is_regression: bool
    counts: Dict[str, int]
    """Label → rows, in the order of the labels; {} for a regression."""
    rule: str
    """Why, for the user."""


def header_of(path: pathlib.Path) -> List[str]:
    """The columns of a table. A .csv file may be separated by commas, semicolons or tabs: the most columns count.

    Raises:
        InputError: no table, or a bad one.
    """
    if path.suffix.lower() == ".csv":
        line, said = csv_head(path)
        headers = [next(csv.reader([line], delimiter=delimiter), []) for delimiter in said or DELIMITERS]
        return names_of_columns(path, max(headers, key=len))
    return names_of_columns(path)


def guess_texts(names: Sequence[str], taken: Sequence[Optional[str]] = ()) -> List[str]:
    """The one or two columns of texts, by their names; [] if the names do not tell.

    Args:
        names: the columns.
        taken: columns that are something else.
    """
    free = {name.strip().lower(): name for name in names if name not in taken}
    for pair in PAIRS:
        if set(pair) <= set(free):
            return [free[name] for name in pair]
    known = [free[name] for name in TEXTS if name in free]
    others = [name for key, name in free.items() if key not in INDICES]
    unlike_labels = [name for name in others if name.strip().lower() not in LABELS]
    return known[:1] or next((found for found in (others, unlike_labels) if len(found) == 1), [])


def guess_label(names: Sequence[str], taken: Sequence[str] = ()) -> Optional[str]:
    """The column of labels: by its name, else the only one that is neither a text nor an index; else None."""
    free = {name.strip().lower(): name for name in names if name not in taken}
    known = [free[name] for name in LABELS if name in free]
    if known:
        return known[0]
    others = [name for key, name in free.items() if key not in INDICES and name not in guess_texts(names)]
    return others[0] if len(others) == 1 else None


def guess_index(headers: Sequence[Sequence[str]], taken: Sequence[Optional[str]]) -> Optional[str]:
    """The column that names examples, if all files have it."""
    for name in headers[0] if headers else ():
        if name.strip().lower() in INDICES and name not in taken and all(name in header for header in headers):
            return name
    return None


def labels_of(values: Sequence[Any], where: str, is_regression: Optional[bool] = None) -> Labels:
    """What label values mean. Numbers with a fraction, or more than 20 different ones, are targets of a regression.

    All other values are classes: words, and whole numbers with at most 20 different values.

    Args:
        values: as the file has them; None, "" and JSON's NaN are passed over.
        where: the file and its column, for errors.
        is_regression: what the user said; None: the rule decides.
    Raises:
        InputError: a single label, labels that differ in case only or are one number, so many that they cannot be
            classes; lists and objects; numbers among which some values mean that there is none; decimal commas.
    """
    values = [value for value in values if value is not None and value != "" and value == value]
    several = next((value for value in values if isinstance(value, (list, dict))), None)
    if several is not None:
        raise InputError(f"{where}: {several!r:.60} is {'a list' if isinstance(several, list) else 'an object'}; a "
                         "text has one label here, a word or a number")
    numbers = [number for number in map(_number, values) if number is not None]
    if numbers and len(numbers) == len(values) and is_regression is not False:
        fractions = sum(not number.is_integer() for number in numbers)
        if is_regression or fractions or len(set(numbers)) > MOST_CLASSES:
            why = ("as --regression says" if is_regression else f"{fractions:,} of {len(values):,} have a fraction"
                   if fractions else f"more than {MOST_CLASSES} different whole numbers")
            return Labels(True, {}, f"numbers from {min(numbers):g} to {max(numbers):g}: a regression ({why})"
                          + ("" if is_regression else _way_out(numbers)))
    if is_regression:
        other = next((value for value in values if _number(value) is None), None)
        raise InputError(f"{where}: {other!r:.60} is not a number; leave out --regression, or name another column")
    if is_regression is None:
        _check_numbers(values, where)
    whole = len(numbers) == len(values)
    counts = collections.Counter(_spelling(value, whole) for value in values)
    _check_classes(counts, len(values), where, whole)
    order = sorted(counts, key=(lambda label: float(label)) if whole else str.casefold)
    missing = next((label for label in order if label.lower() in MISSING), None)
    doubt = f", {missing!r} too: if it means that there is none, leave its rows out" if missing else ""
    rule = ("classes, as --no-regression says" if numbers and is_regression is False else
            "whole numbers of few values: classes" if whole else f"words: classes{doubt}")
    return Labels(False, {label: counts[label] for label in order}, rule)


def _way_out(numbers: Sequence[float]) -> str:
    """What to do if numbers that are taken for a regression's targets are something else."""
    if any(not number.is_integer() for number in numbers):
        return ""
    if len(set(numbers)) == len(numbers):
        return ("; all are different whole numbers, which looks like a row's number or an id: name the column of the "
                "labels by --label-column")
    return "; give --no-regression if these are classes"


def _check_numbers(values: Sequence[Any], where: str) -> None:
    """Refuse values that are numbers but for some that mean none, and numbers with a decimal comma."""
    others = [value for value in values if _number(value) is None]
    if others and len(others) < len(values) and all(str(value).strip().lower() in (*MISSING, *INFINITE)
                                                    for value in others):
        raise InputError(f"{where}: {len(others):,} of {len(values):,} values are {others[0]!r} or alike, the others "
                         "are numbers; leave these rows out")
    commas = [value for value in others if _DECIMAL_COMMA.fullmatch(str(value))]
    if commas and len(commas) == len(others):
        raise InputError(f"{where}: {commas[0]!r} is a number with a decimal comma; write it with a point "
                         f"({str(commas[0]).strip().replace(',', '.')})")


def _check_classes(counts: Dict[str, int], rows: int, where: str, are_numbers: bool) -> None:
    if len(counts) < 2:
        found = f"all {rows:,} rows have {next(iter(counts))!r:.60}" if counts else "no row has a value"
        raise InputError(f"{where}: {found}; at least two labels are needed")
    if len(counts) > MOST_CLASSES and len(counts) > rows / 2:
        raise InputError(f"{where}: {len(counts):,} different values in {rows:,} rows, which are no classes; name the "
                         "column of the labels by --label-column")
    folded: Dict[Any, str] = {}
    for label in counts:
        other = folded.setdefault(decimal.Decimal(label) if are_numbers else label.casefold(), label)
        if other != label:
            how = "are the same number" if are_numbers else "differ in case only"
            raise InputError(f"{where}: the labels {other!r} ({counts[other]:,} rows) and {label!r} ({counts[label]:,} "
                             f"rows) {how}; spell them alike")


def _number(value: Any) -> Optional[float]:
    """A finite number, or None."""
    if isinstance(value, bool) or "_" in str(value):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _spelling(value: Any, is_number: bool) -> str:
    """A label's name: tidy, true for a boolean, 1 for 1.0."""
    text = str(value).lower() if isinstance(value, bool) else tidy(str(value))
    return re.sub(r"(?<=\d)\.0+$", "", text) if is_number else text

"""Texts without labels, as users give them: a file with one or two in each line, or a table with columns of them."""

import logging
import os
import pathlib
import sys
from typing import Any, Iterator, List, Optional, Sequence, Tuple

from bort_mx.data.corpora.other_kinds import refuse_by_bytes
from bort_mx.data.table_files import Tolerances, refuse_packed
from bort_mx.data.table_records import TABLES, is_table, names_of_columns, records_of
from bort_mx.data.tasks.guessing import guess_texts
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.io.near_names import missing
from bort_mx.suggestions import hint

Text = Tuple[str, Optional[str]]
"""One text, or two."""
USUAL = (("text", "text_pair"), ("sentence1", "sentence2"), ("text",), ("sentence",))
"""Columns that are read where neither the options nor the checkpoint name others, which is said."""
HINT = ("name the columns by --text-column and --text-pair-column; if the file has no header line, let its name end in "
        ".txt: a line is then one text, or two with a tab between")
STANDARD_INPUT = "-"
"""Stands for standard input in place of a file."""
FIRST_BYTES = 64
logger = logging.getLogger(__name__)


def open_lines(path: pathlib.Path) -> Optional[List[str]]:
    """The lines of a file, or of standard input, that is no table; None of a table, which `read_texts` reads.

    It is called before the model is read, so that what is wrong with the file is said at once.

    Raises:
        InputError: no such file, not text, not UTF-8.
    """
    if str(path) == STANDARD_INPUT:
        try:
            text = sys.stdin.buffer.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise files.not_utf8(path, error) from None
        lines = text[text.startswith("\ufeff"):].replace("\r\n", "\n").split("\n")
        return lines if lines[-1] else lines[:-1]
    if not os.path.exists(path):  # False for a name that cannot be, for which Path.exists raises
        raise InputError(f"{missing(path)}; give a file with one text in each line, or - for standard input: echo "
                         "\"A text.\" | …")
    if path.is_file():
        with open(path, "rb") as file:
            first = file.read(FIRST_BYTES)
        refuse_by_bytes(path, first)
        refuse_packed(path, first)
    lines = files.read_lines(path)
    return None if is_table(path) else lines


def read_texts(path: pathlib.Path, given: Sequence[str] = (), trained: Sequence[str] = (),
               must_fit: bool = False, lines: Optional[Sequence[str]] = None, empty_fits: bool = False) -> List[Text]:
    """The texts of a file, in order.

    A .tsv, .csv, .jsonl or .json file is a table with named columns. In other files each line is one text, or a pair if
    it has a tab; empty lines count too.

    Args:
        path: the file.
        given: the columns of the one or two texts, as the options name them.
        trained: the columns of the checkpoint's task, where they are known.
        lines: what `open_lines` found, if it was called before.
        must_fit: refuse pairs where the task has single texts, and the other way round.
        empty_fits: but not empty lines, which the caller leaves out.
    Raises:
        InputError: no such file, not UTF-8, no text in it, a line with more than one tab, no such column, or another
            number of texts than in the training.
    """
    if is_table(path):
        found = list(_of_table(path, _columns(path, given, trained)))
    elif given:
        raise InputError(f"--text-column {given[0]}: {path} is no table; a table's name ends in .tsv, .csv, .jsonl or "
                         ".json")
    else:
        found = list(_of_lines(path, open_lines(path) or [] if lines is None else lines))
    if not any(part and part.strip() for _, text in found for part in text):
        raise InputError(f"{path}: holds no text; put a text in each line")
    for place, text in found if must_fit else ():
        problem = wrong_number_of_texts(text, trained)
        if problem and not (empty_fits and not any(part and part.strip() for part in text)):
            how = HINT if is_table(path) else ("write one text into each line, without tabs" if len(trained) == 1 else
                                               "write two texts with a tab between into each line")
            raise InputError(f"{place}: {problem}; {how}")
    return [text for _, text in found]


def _of_lines(path: pathlib.Path, lines: Sequence[str]) -> Iterator[Tuple[str, Text]]:
    for number, line in enumerate(lines, 1):
        parts = line.split("\t")
        if len(parts) > 2:
            raise InputError(f"{path}:{number}: {len(parts) - 1} tabs; a line is one text, or two with one tab between")
        yield f"{path}:{number}", (parts[0], parts[1] if len(parts) == 2 else None)


def _of_table(path: pathlib.Path, columns: Sequence[str]) -> Iterator[Tuple[str, Text]]:
    tolerated = Tolerances()
    for place, fields in records_of(path, columns, tolerated):
        texts = [_text(fields, name, place) for name in columns]
        yield place, (texts[0], texts[1] if len(texts) == 2 else None)
    for note in tolerated.notes():
        logger.warning("%s: %s", path, note)


def _text(fields: Any, name: str, place: str) -> str:
    if name not in fields:
        raise InputError(f"{place}: no column {name!r}; found {', '.join(map(str, fields))}")
    if not isinstance(fields[name], str):
        raise InputError(f"{place}: column {name!r} is {fields[name]!r:.60}; expected a text")
    return fields[name]


def _columns(path: pathlib.Path, given: Sequence[str], trained: Sequence[str]) -> Sequence[str]:
    """The columns to read: as given, else the task's own, else the only one, else usual ones, which is said."""
    wanted = given or trained
    there = names_of_columns(path, wanted)
    if trained and given and len(given) != len(trained):
        raise InputError(f"{path}: {_count(len(given))} named, but the checkpoint was trained on "
                         f"{_count(len(trained))} ({', '.join(trained)}); give --text-column"
                         + (" and --text-pair-column" if len(trained) == 2 else " alone"))
    if list(given) == list(trained)[::-1] != list(trained):
        raise InputError(f"{path}: {' and '.join(given)} are named, the other way round than the "
                         f"task has them; give --text-column {trained[0]} --text-pair-column {trained[1]}")
    absent = next((name for name in wanted if name not in there), None)
    usual = _usual(there, len(trained) or None)
    if absent is None and wanted:
        return wanted
    if given or usual is None:
        name = f"no column {absent!r}" if absent else "no column whose name tells that it is the text"
        near = hint(absent, [str(name) for name in there]) if absent else ""
        raise InputError(f"{path}: {name}{near}; found {', '.join(map(str, there)) or 'none'}; {HINT}")
    only = "its only " if len(there) == 1 else ""
    logger.warning("%s: read %scolumn%s %s as the text%s%s", path, only, "s" * (len(usual) > 1), " and ".join(usual),
                   f", for the task's {' and '.join(trained)}" if trained else "",
                   "; the first line is its name" if only and path.suffix.lower() in TABLES else "")
    return usual


def _usual(there: Sequence[str], count: Optional[int]) -> Optional[Sequence[str]]:
    """The columns to read where none is named: usual ones; the only one; without a task, those whose names tell."""
    guessed = guess_texts([str(name) for name in there]) if count is None or len(there) == 1 else []
    choices = (*USUAL, tuple(guessed)) if guessed else USUAL
    return next((names for names in choices if set(names) <= set(there) and count in (None, len(names))), None)


def _count(texts: int) -> str:
    return "one column" if texts == 1 else "two columns"


def wrong_number_of_texts(text: Text, columns: Sequence[str]) -> str:
    """What to say of a text where the training had pairs, and the other way round; "" where it fits.

    Args:
        text: one text or two.
        columns: names of the training's texts; () where they are not known.
    """
    if not columns or (text[1] is None) == (len(columns) == 1):
        return ""
    found, due = ("one text", "pairs") if text[1] is None else ("two texts", "single texts")
    return f"{found}, but the classifier was trained on {due} ({', '.join(columns)})"

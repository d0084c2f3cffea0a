"""Texts without labels that a fine-tuned teacher's answers make training examples.

A second, task-bearing distillation as in TinyBERT (arXiv 1909.10351) and Turc et al. (arXiv 1908.08962): the student
learns the task from the teacher on more texts than have labels.
"""

import dataclasses
import logging
import pathlib
from typing import List, Tuple

from bort_mx.data.input_texts import read_texts
from bort_mx.data.table_files import Tolerances, read_table
from bort_mx.data.table_records import is_table, names_of_columns
from bort_mx.data.tasks import Example, Examples, Task
from bort_mx.data.tasks.common import TableTask
from bort_mx.errors import InputError
from bort_mx.finetuning.task_data import TaskData, shown_name
from bort_mx.io.near_names import missing

OPTION = "--unlabelled"
logger = logging.getLogger(__name__)


def read_unlabelled(path: str, task: Task) -> Examples:
    """The texts of a file as examples without labels. Notes count what is left out, as it is empty or a repetition.

    Args:
        path: a .tsv, .csv, .jsonl or .json file with the columns of the task's texts, of which others are not read;
            or any other text file, with one text in a line, or two with a tab between.
        task: whose texts they are. TSV files of GLUE's tasks are read as the official ones, where quotes are
            ordinary characters.

    Raises:
        InputError: the file is not what it should be, lacks a column, or holds single texts for a task of pairs, or
            the reverse.
    """
    place = pathlib.Path(path)
    if not place.exists():
        raise InputError(f"{OPTION} {missing(place)}")
    if not place.is_file():  # a pipe is empty for the second seed, and when the run is resumed
        raise InputError(f"{OPTION} {path}: no regular file; write the texts into one")
    try:
        texts = _texts(place, task)
    except InputError as error:
        raise InputError(f"{OPTION} {error}") from None
    read = Examples([Example(f"{OPTION} {number}", text) for number, text in enumerate(texts)]).cleaned()
    kept = [example for example in read if all(text.strip() for text in example.texts)]
    if not kept:
        raise InputError(f"{OPTION} {path}: holds no text")
    different = list({example.texts: example for example in reversed(kept)}.values())[::-1]
    empty, repeated = len(read) - len(kept), len(kept) - len(different)
    return Examples(different, [
        *([f"{path}: {empty:,} of {len(read):,} left out, as a text is empty"] if empty else []),
        *([f"{path}: {repeated:,} of {len(read):,} left out, as they stand there before"] if repeated else [])])


def _texts(path: pathlib.Path, task: Task) -> List[Tuple[str, ...]]:
    """The one or two texts of every line."""
    names = task.text_names
    if not is_table(path):
        return [tuple(part for part in text if part is not None)
                for text in read_texts(path, trained=names, must_fit=True, empty_fits=True)]
    there = names_of_columns(path, names)
    absent = [name for name in names if name not in there]
    if absent:
        raise InputError(f"{path}: no column {' and no '.join(map(repr, absent))}; found {', '.join(map(str, there))}; "
                         f"name the columns as {shown_name(task)} does, in whose form its texts must be")
    if isinstance(task, TableTask) and path.suffix.lower() == ".tsv":
        tolerated = Tolerances()
        found = [tuple(fields[name] for name in names)
                 for _, fields in read_table(path, needed=names, tolerated=tolerated)]
        for note in tolerated.notes():
            logger.warning("%s: %s", path, note)
        return found
    return [tuple(part for part in text if part is not None) for text in read_texts(path, given=names)]


def with_unlabelled(data: TaskData, path: str) -> TaskData:
    """The data with these texts. `unlabelled.notes` and `notes` have lines on them.

    Raises:
        InputError: see `read_unlabelled`.
    """
    found = read_unlabelled(path, data.task)
    texts = "1 text" if len(found) == 1 else f"{len(found):,} texts"
    lines = [f"{texts} without labels from {path}, beside {len(data.train):,} examples with labels"]
    held_out = [data.dev, data.test, *(split for other in data.diagnostics for split in (other.dev, other.test))]
    for where, sets in (("the training set", [data.train]), ("a dev or test set; only their texts are used", held_out)):
        known = {example.texts for split in sets for example in split or ()}
        shared = sum(example.texts in known for example in found)
        lines += [f"{shared:,} of the texts without labels are also in {where}"] if shared else []
    lines += found.notes
    return dataclasses.replace(data, unlabelled=Examples(found, lines), notes=[*data.notes, *lines])

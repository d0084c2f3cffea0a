"""Texts without labels that a fine-tuned teacher's answers make training examples.

A second, task-bearing distillation as in TinyBERT (arXiv 1909.10351) and Turc et al. (arXiv 1908.08962): the student
learns the task from the teacher on more texts than have labels.
"""

import pathlib
from typing import List, Tuple

from bort_mx.data.input_texts import STANDARD_INPUT, read_texts
from bort_mx.data.tasks import Example, Examples, Task
from bort_mx.errors import InputError
from bort_mx.finetuning.task_data import TaskData, shown_name

OPTION = "--unlabelled"


def read_unlabelled(path: str, task: Task) -> Examples:
    """The texts of a file as examples without labels; empty lines are left out, which a note counts.

    Args:
        path: a file as `bort-mx predict --classify` reads it: a table with the task's columns, or one text in a line,
            or two with a tab between.
        task: whose texts they are.

    Raises:
        InputError: the file is not what it should be, or holds single texts for a task of pairs, or the reverse.
    """
    if path == STANDARD_INPUT:
        raise InputError(f"{OPTION} -: standard input cannot be read again when the run is resumed; give a file")
    if not task.text_names:
        raise InputError(f"{OPTION} {path}: the texts of {shown_name(task)} have no columns; leave it out")
    try:
        texts = read_texts(pathlib.Path(path), trained=task.text_names, must_fit=True)
    except InputError as error:
        raise InputError(f"{OPTION}: {error}") from None
    kept = [tuple(part for part in text if part is not None) for text in texts]
    kept = [text for text in kept if all(part.strip() for part in text)]
    empty = len(texts) - len(kept)
    notes = [f"{empty} of {len(texts)} lines of {path} left out, as they are empty"] if empty else []
    return Examples([Example(f"{OPTION} {number}", text) for number, text in enumerate(kept)], notes).cleaned()


def with_unlabelled(data: TaskData, path: str) -> Tuple[TaskData, List[str]]:
    """The data with these texts, and lines on them.

    Raises:
        InputError: see `read_unlabelled`.
    """
    data.unlabelled = read_unlabelled(path, data.task)
    known = {example.texts for split in (data.dev, data.test) for example in split or ()}
    seen = sum(example.texts in known for example in data.unlabelled)
    shared = [f"{seen:,} of them are also in the dev or test set, without labels"] if seen else []
    said = [f"{len(data.unlabelled):,} texts without labels from {path}, beside {len(data.train):,} with labels",
            *shared, *data.unlabelled.notes]
    return data, said

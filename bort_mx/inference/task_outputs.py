"""What a classifier's outputs stand for in a task: whether they are the task's, and which output is which label.

[I] marks our interpretation where neither the paper nor a format says.
"""

import re
from typing import Any, Callable, List, Optional, Sequence, Tuple

from bort_mx.data.tasks import Task
from bort_mx.errors import InputError

SHORTEST = 3
"""Letters of a label that may stand for a longer name, as POS for positive."""


def fit(config: Any, labels: Optional[Sequence[str]], task: Task, path: str, option: str,
        advice: str) -> Tuple[List[int], List[str]]:
    """For each of a task's outputs, find the classifier's that stands for it.

    Args:
        config: the classifier's `ModelConfig`.
        labels: what its outputs stand for, in order; None if that is not known.
        task: the task.
        path, option: what the classifier is from, and the option that gave it, for errors and notes.
        advice: what to do, for errors.
    Returns:
        Numbers of outputs, in the task's order; and notes on assumptions that were made.
    Raises:
        InputError: it has other outputs, another kind of them, other labels, or another number or order of texts.
    """
    source = f"{option} {path}".strip()
    if config.num_labels != task.num_labels:
        has = "is a regression" if config.num_labels == 1 else f"has {config.num_labels} labels"
        wants = "is a regression" if task.is_regression else f"has {named(task.labels)}"
        raise InputError(f"{source}: {has}, but {task.key} {wants}; {advice}")
    if config.problem_type not in (None, "regression" if task.is_regression else "single_label_classification"):
        raise InputError(f"{source}: its problem_type is {config.problem_type}, but {task.key} has "
                         f"{'values' if task.is_regression else 'one label for each example'}; {advice}")
    texts, columns = list(task.text_names), list(config.text_columns)
    trained = len(columns) or (2 if config.pooling == "segments" else None)
    if trained not in (None, len(texts)):
        kinds = ["pairs of texts" if count == 2 else "single texts" for count in (trained, len(texts))]
        raise InputError(f"{source}: was trained on {kinds[0]}, but {task.key} has {kinds[1]} ({', '.join(texts)}); "
                         "give a checkpoint fine-tuned on such texts")
    if columns == texts[::-1] != texts:
        raise InputError(f"{source}: was trained on {' and '.join(columns)}, and {task.key} has {' and '.join(texts)}, "
                         "the other way round; give a checkpoint trained on this order")
    if task.is_regression:
        return [0], []
    found, notes = outputs_for(labels, task, source, advice), []
    there = [labels[i] for i in found] if labels else []
    if not are_told(labels) and there != list(task.labels):
        how = "in this order" if found == sorted(found) else "by their numbers"
        notes.append(f"{path} does not tell what its outputs stand for; they are taken to be {named(task.labels)}, "
                     f"{how}; if they are not, name them by id2label in its config.json")
    elif [label.lower() for label in there] != [label.lower() for label in task.labels]:
        notes.append(f"the labels {named(there)} of {path} are taken to be {named(task.labels)}")
    return found, notes


def outputs_for(labels: Optional[Sequence[str]], task: Task, source: str, advice: str) -> List[int]:
    """For each of a task's labels, find the output that stands for it.

    [I] Labels are equal if they differ in case or punctuation only, or are the same number: LABEL_1, 1.0 and true are
    1. If they are not the task's, they may be its `meanings`, whole or begun. Else numbers of outputs, or labels of a
    task whose labels are numbers, stand for any labels, in their order.

    Args:
        labels: the labels of the outputs, in order; None if they are not known.
        task: a task with the same number of labels.
        source: what has the labels, for errors.
        advice: what to do, for errors.
    Raises:
        InputError: the labels are not the task's, or some of them are others than their order says.
    """
    own = list(labels or [])
    if labels is None and set(task.labels) == {str(i) for i in range(len(task.labels))}:
        own = [str(i) for i in range(len(task.labels))]
    there = []  # (output, label of the task) that are equal by some spelling
    for names in (task.labels, task.meanings):
        for spelling in (str, _plain, _number):
            found = _matches(own, names, spelling)
            if own and sorted(found.values()) == list(range(len(own))) and len(found) == len(names):
                return [found[i] for i in range(len(names))]
            there += [(output, label) for label, output in found.items()]
    begun = _begun(own, task.meanings) if own else None
    if begun is not None:
        return begun
    told = are_told(labels) and are_told(task.labels)
    if told or any(output != label for output, label in there):
        what = "but" if told else "some of them in another place, and"
        raise InputError(f"{source}: has the labels {named(own)}, {what} {task.key} has {named(task.labels)}; {advice}")
    return list(range(len(task.labels)))


def _matches(labels: Sequence[str], names: Sequence[str], spelling: Callable[[str], str]) -> dict:
    """Number of a name → number of the first label that is spelled alike."""
    spelled = [spelling(label) for label in labels]
    return {i: spelled.index(spelling(name)) for i, name in enumerate(names) if spelling(name) in spelled}


def _begun(labels: Sequence[str], names: Sequence[str]) -> Optional[List[int]]:
    """For each name, the label that begins it; None if not each label begins one name, and each another."""
    begins = [[i for i, label in enumerate(labels) if len(_plain(label)) >= SHORTEST
               and _plain(name).startswith(_plain(label))] for name in names]
    found = [each[0] for each in begins if len(each) == 1]
    return found if names and sorted(found) == list(range(len(labels))) else None


def _plain(label: str) -> str:
    """A label without case and punctuation. LABEL_1 is what Hugging Face calls an output 1 that has no name."""
    number = re.fullmatch(r"LABEL_(\d+)", label)
    return number[1] if number else "".join(filter(str.isalnum, label.lower())) or label


def _number(label: str) -> str:
    """A number in one spelling, and truth values as numbers; other labels as `_plain` spells them."""
    plain = _plain(label)
    if plain in ("true", "false"):
        return str(float(plain == "true"))
    try:
        return str(float(plain if label.startswith("LABEL_") else label))
    except ValueError:
        return plain


def are_told(labels: Optional[Sequence[str]]) -> bool:
    """Whether the labels are more than the numbers of the outputs."""
    return bool(labels) and list(labels) != [str(i) for i in range(len(labels))]


def named(labels: Sequence[str]) -> str:
    """Labels as text on one line, for an error or a note; long ones are shortened."""
    shown = [label if label.isprintable() and len(label) <= 40 else f"{label!r:.40}…" for label in labels[:20]]
    return ", ".join(shown) + (f" … ({len(labels)} in all)" if len(labels) > 20 else "")

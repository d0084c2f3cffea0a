"""What the outputs of a checkpoint's classifier stand for, and the classifier in the order of a task's labels."""

import dataclasses
import pathlib
from typing import List, Optional, Sequence, Tuple

from bort_mx import files
from bort_mx.checkpoints import native, stored
from bort_mx.checkpoints.huggingface import names_of_outputs
from bort_mx.checkpoints.weights import Weights
from bort_mx.data.tasks import Task, get_task
from bort_mx.errors import InputError

CONFIG = "config.json"


def classifier_of(weights: Weights, path: str, task: Task, option: str = "--checkpoint") -> Tuple[Weights, List[str]]:
    """Weights with a classifier for a task, output i standing for the task's label i.

    [I] Labels are the same if they are spelled the same up to case, in any order. Labels 0, 1, … are numbers of
    outputs, so any names will do for them; and a checkpoint that tells no labels is taken to have the task's.

    Args:
        weights: as read from `path`.
        path: the checkpoint, where its labels are looked for if its own configuration does not tell them.
        task: what is to be predicted.
        option: gave the path, for errors.
    Returns:
        the weights, and notes on what was taken for granted.
    Raises:
        InputError: no trained classifier, or one with other labels than the task's.
    """
    config = weights.config
    if config.head != "classifier":
        raise InputError(f"{option} {path}: has no trained classifier; give a checkpoint fine-tuned on {task.key}")
    labels = list(config.labels) if config.labels else labels_of(path)
    columns, notes = _columns(labels, task), []
    if config.num_labels != task.num_labels or (labels and columns is None):
        has = "a regression" if config.num_labels == 1 else f"the labels {', '.join(labels)}" if labels else \
            f"{config.num_labels} labels"
        wants = "is a regression" if task.is_regression else f"has {', '.join(task.labels)}"
        raise InputError(f"{option} {path}: has {has}, but {task.key} {wants}; give a checkpoint fine-tuned on "
                         f"{task.key}")
    if columns is None:
        columns = list(range(task.num_labels))
        if not task.is_regression:
            notes.append(f"{path} does not tell what its outputs stand for; they are taken to be "
                         f"{', '.join(task.labels)}, in this order")
    elif sorted(map(str.lower, labels)) != sorted(map(str.lower, task.labels)):
        notes.append(f"the labels {', '.join(labels)} of {path} are taken to be {', '.join(task.labels)}")
    trained_on = _task_of(path)
    if trained_on not in (None, task.key):
        notes.append(f"{path} was fine-tuned on {trained_on}, not on {task.key}")
    return _reordered(weights, columns, task), notes


def _columns(labels: Optional[Sequence[str]], task: Task) -> Optional[List[int]]:
    """Which output stands for each of the task's labels; None if that is not known, or they are other labels."""
    if not labels or len(labels) != task.num_labels:
        return None
    if list(task.labels) == [str(i) for i in range(task.num_labels)] and set(labels) != set(task.labels):
        return list(range(task.num_labels))
    found = []
    for wanted in task.labels:
        alike = [i for i, label in enumerate(labels) if label == wanted] or [
            i for i, label in enumerate(labels) if label.lower() == wanted.lower()]
        found += alike[:1]
    return found if sorted(found) == list(range(len(labels))) else None


def _reordered(weights: Weights, columns: List[int], task: Task) -> Weights:
    config = weights.config.replace(labels=None if task.is_regression else tuple(task.labels))
    last = f"classifier.{3 if config.extra_layer else 1}"
    moved = {} if columns == sorted(columns) else {
        f"{last}.{leaf}": stored.float32(weights.tensors[f"{last}.{leaf}"])[columns] for leaf in ("weight", "bias")}
    return dataclasses.replace(weights, config=config, tensors={**weights.tensors, **moved})


def without_classifier(weights: Weights) -> Weights:
    """Weights from which a new classifier starts: RoBERTa's dense layer goes with the old one, as it is a part of it;
    BERT's pooler is pre-trained and stays.
    """
    head = ("classifier.", "pooler.") if weights.config.family == "roberta" else ("classifier.",)
    return dataclasses.replace(weights, tensors={name: tensor for name, tensor in weights.tensors.items()
                                                 if not name.startswith(head)})


def labels_of(path: str) -> Optional[List[str]]:
    """The labels of a run's or a Hugging Face folder's outputs in order, where its config.json tells them.

    None where it does not; empty for a regression.
    """
    config = run_config(path)
    if "labels" in config:
        return [str(label) for label in config["labels"]]
    if config.get("options", {}).get("task"):  # a run from before labels were recorded
        task = get_task(config["options"]["task"])
        return list((get_task(task.scored_by) if task.scored_by else task).labels)
    return names_of_outputs(config)


def _task_of(path: str) -> Optional[str]:
    """The key of the task that a run of ours was trained on; None where that is not told, or the task is no more."""
    name = run_config(path).get("options", {}).get("task")
    if not name:
        return None
    try:
        task = get_task(name)
    except InputError:  # one's own, whose description is gone
        return str(name)
    return task.scored_by or task.key


def run_config(path: str) -> dict:
    """config.json of the run that a checkpoint belongs to, or of a Hugging Face folder; {} where there is none."""
    folder = pathlib.Path(path)
    for place in (folder, *([folder.parent.parent] if folder.parent.name == native.CHECKPOINTS else [])):
        if (place / CONFIG).is_file():
            found = files.read_json(place / CONFIG)
            if isinstance(found, dict) and (isinstance(found.get("options"), dict) or "id2label" in found):
                return found
    return {}

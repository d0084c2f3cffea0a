"""The meaning of a classifier's outputs, and classifiers reordered to a task's labels.

[I] marks our interpretation where the paper does not say.
"""

import dataclasses
import os
import pathlib
import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints import lazy_tensor
from bort_mx.checkpoints.huggingface_config import names_of_outputs
from bort_mx.checkpoints.weights import Weights
from bort_mx.data.tasks import Task, get_task
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.training.earlier_run import CONFIG


def classifier_of(weights: Weights, path: str, task: Task, option: str = "--checkpoint") -> Tuple[Weights, List[str]]:
    """Prepare a checkpoint's classifier for a task: output i stands for the task's label i.

    Args:
        weights: the weights read from `path`.
        path: the checkpoint. If the weights do not tell their labels, files beside it may.
        task: the task to predict.
        option: the option that gave the path, for errors.
    Returns:
        The weights, and notes on assumptions that were made.
    Raises:
        InputError: there is no trained classifier, or its labels are not the task's.
    """
    config = weights.config
    if config.head != "classifier":
        raise InputError(f"{option} {path}: has no trained classifier; give a checkpoint fine-tuned on {task.key}")
    run = run_config(path)
    labels = list(config.labels) if config.labels else _labels_in(run)
    if config.num_labels != task.num_labels:
        has = "is a regression" if config.num_labels == 1 else f"has {config.num_labels} labels"
        wants = "is a regression" if task.is_regression else f"has {named(task.labels)}"
        raise InputError(f"{option} {path}: {has}, but {task.key} {wants}; give a checkpoint fine-tuned on {task.key}")
    if config.problem_type not in (None, "regression" if task.is_regression else "single_label_classification"):
        raise InputError(f"{option} {path}: its problem_type is {config.problem_type}, but {task.key} has "
                         f"{'values' if task.is_regression else 'one label for each example'}; give a checkpoint "
                         f"fine-tuned on {task.key}")
    columns, notes = list(range(task.num_labels)), []
    if not task.is_regression:
        columns = outputs_for(labels, task, f"{option} {path}")
        there = [labels[i] for i in columns] if labels else []
        if not are_told(labels) and there != list(task.labels):
            notes.append(f"{path} does not tell what its outputs stand for; they are taken to be {named(task.labels)}, "
                         "in this order")
        elif [label.lower() for label in there] != [label.lower() for label in task.labels]:
            notes.append(f"the labels {named(there)} of {path} are taken to be {named(task.labels)}")
    trained = len(config.text_columns) or (2 if config.pooling == "segments" else None)
    if trained not in (None, len(task.text_names)):
        kinds = ["pairs of texts" if count == 2 else "single texts" for count in (trained, len(task.text_names))]
        raise InputError(f"{option} {path}: was trained on {kinds[0]}, but {task.key} has {kinds[1]} "
                         f"({', '.join(task.text_names)}); give a checkpoint fine-tuned on such texts")
    if list(config.text_columns) == list(task.text_names)[::-1] != list(config.text_columns)[::-1]:
        raise InputError(f"{option} {path}: was trained on {' and '.join(config.text_columns)}, and {task.key} has "
                         f"{' and '.join(task.text_names)}, the other way round; give a checkpoint "
                         "trained on this order")
    trained_on = _task_in(run)
    if trained_on is not None and _place(trained_on) != _place(task.key):
        notes.append(f"{path} was fine-tuned on {trained_on}, not on {task.key}")
    return _reordered(weights, columns, task), notes


def outputs_for(labels: Optional[Sequence[str]], task: Task, source: str) -> List[int]:
    """For each of a task's labels, find the output that stands for it.

    [I] Labels are equal if they differ in case or punctuation only; LABEL_1 is 1. If they are not the task's, they may
    be its `meanings`. Else labels 0, 1, …, of the outputs or of the task, stand for any labels, in their order.

    Args:
        labels: the labels of the outputs, in order; None if they are not known.
        task: a task with the same number of labels.
        source: what has the labels, for errors.
    Raises:
        InputError: the labels are not the task's.
    """
    for names in (task.labels, task.meanings) if labels else ():
        for spelling in (str, _plain):
            spelled = [spelling(label) for label in labels]
            found = [spelled.index(spelling(name)) for name in names if spelling(name) in spelled]
            if sorted(found) == list(range(len(labels))):
                return found
    if are_told(labels) and are_told(task.labels):
        raise InputError(f"{source}: has the labels {named(labels)}, but {task.key} has {named(task.labels)}; give a "
                         f"checkpoint fine-tuned on {task.key}")
    return list(range(len(task.labels)))


def _plain(label: str) -> str:
    """A label without case and punctuation. LABEL_1 is what Hugging Face calls an output 1 that has no name."""
    number = re.fullmatch(r"LABEL_(\d+)", label)
    return number[1] if number else "".join(filter(str.isalnum, label.lower())) or label


def are_told(labels: Optional[Sequence[str]]) -> bool:
    """Whether the labels are more than the numbers of the outputs."""
    return bool(labels) and list(labels) != [str(i) for i in range(len(labels))]


def named(labels: Sequence[str]) -> str:
    """Labels as text on one line, for an error or a note; long ones are shortened."""
    shown = [label if label.isprintable() and len(label) <= 40 else f"{label!r:.40}…" for label in labels[:20]]
    return ", ".join(shown) + (f" … ({len(labels)} in all)" if len(labels) > 20 else "")


def _reordered(weights: Weights, columns: List[int], task: Task) -> Weights:
    config = weights.config.replace(labels=None if task.is_regression else tuple(task.labels))
    # Position of the last linear layer: after dropout, or after dropout, linear layer and dropout.
    last = f"classifier.{3 if config.extra_layer else 1}"
    moved = {} if columns == sorted(columns) else {
        f"{last}.{leaf}": lazy_tensor.float32(weights.tensors[f"{last}.{leaf}"])[columns]
        for leaf in ("weight", "bias")}
    return dataclasses.replace(weights, config=config, tensors={**weights.tensors, **moved})


def without_classifier(weights: Weights) -> Weights:
    """Weights without their classifier, from which a new one starts.

    RoBERTa's dense layer is part of the old classifier, so it is removed too. BERT's pooler is pre-trained and stays.
    """
    head = ("classifier.", "pooler.") if weights.config.family == "roberta" else ("classifier.",)
    return dataclasses.replace(weights, config=weights.config.replace(problem_type=None), tensors={
        name: tensor for name, tensor in weights.tensors.items() if not name.startswith(head)})


RELEASED = "amazon/bort"
"""The paper's checkpoint on the Hub, the default of --checkpoint."""


def released_note(checkpoint: str) -> List[str]:
    """What to know of the paper's own checkpoint; [] for any other."""
    if checkpoint != RELEASED:
        return []
    return [f"{RELEASED} is what the paper's authors released. Their pre-training code turns every word into <unk> and "
            "applies the softmax twice in its distillation loss: what this checkpoint knows may be less than the paper "
            "says. A model pre-trained here is given by --checkpoint"]


# -- files beside a checkpoint -------------------------------------------------------------------------------------


def run_config(path: str) -> Dict[str, Any]:
    """The config.json of the run that a checkpoint belongs to, or of a Hugging Face folder; {} if there is none."""
    if not os.path.exists(path):
        return {}
    folder = pathlib.Path(path)
    beside = [folder.parent.parent] if folder.parent.name == checkpoint_directory.CHECKPOINTS else []
    for place in (checkpoint_directory.run_of_output(folder) or folder, *beside):
        if (place / CONFIG).is_file():
            found = files.read_json(place / CONFIG)
            if isinstance(found, dict) and (isinstance(found.get("options"), dict) or "id2label" in found):
                return found
    return {}


def _labels_in(config: Dict[str, Any]) -> Optional[List[str]]:
    if isinstance(config.get("labels"), list):
        return [str(label) for label in config["labels"]]
    name = _task_in(config)
    if name is not None:  # a run that was started before labels were recorded
        return list(get_task(name).labels)
    return names_of_outputs(config)


def _task_in(config: Dict[str, Any]) -> Optional[str]:
    """The key of the task that a run was trained on; None if it is unknown."""
    options = config.get("options")
    name = options.get("task") if isinstance(options, dict) else None
    if not isinstance(name, str) or not name:
        return None
    if name.lower().endswith((".yaml", ".yml")):  # the user's own task; its description may be gone
        return name
    task = get_task(name)
    return task.scored_by or task.key


def _place(key: str) -> str:
    """A task's key; for the user's own task, the resolved path of its description."""
    return os.path.realpath(key) if key.lower().endswith((".yaml", ".yml")) else key

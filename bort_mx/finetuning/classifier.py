"""The meaning of a classifier's outputs, and classifiers reordered to a task's labels.

[I] marks our interpretation where the paper does not say.
"""

import dataclasses
import os
import pathlib
from typing import Any, Dict, List, Optional, Tuple

from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints import lazy_tensor
from bort_mx.checkpoints.huggingface_config import names_of_outputs
from bort_mx.checkpoints.weights import Weights
from bort_mx.data.tasks import Task, get_task
from bort_mx.errors import InputError
from bort_mx.inference.task_outputs import fit
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
    columns, notes = fit(config, labels, task, path, option, f"give a checkpoint fine-tuned on {task.key}")
    trained_on = _task_in(run)
    if trained_on is not None and _place(trained_on) != _place(task.key):
        notes.append(f"{path} was fine-tuned on {trained_on}, not on {task.key}")
    return _reordered(weights, columns, task), notes


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

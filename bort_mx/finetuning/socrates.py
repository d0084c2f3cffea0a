"""Socrates: the fine-tuned checkpoint that labels new points (paper §5).

Dimensions: N texts, C labels (1 in a regression).
"""

import dataclasses
import pathlib
from typing import Any, List, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np

from bort_mx import files
from bort_mx.checkpoints import native
from bort_mx.checkpoints.weights import Weights
from bort_mx.data.pairs import encode_examples
from bort_mx.data.tasks import Example, Examples, Task, get_task
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.finetuning.batching import Batches
from bort_mx.finetuning.evaluation import compute_scores, probabilities
from bort_mx.finetuning.objective import FineTuningObjective
from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.finetuning.session import build_classifier, longest_sequence

CONFIG = "config.json"
Answer = Tuple[List[Any], List[Optional[float]]]


class Socrates:
    """Labels texts in batches; all workers share the work and get all answers.

    [I] A classifier's confidence is its probability of the label. A regression has none; its values are kept within
    those of the training set, as a new class would be none of the data's.

    Args:
        weights: as `read_weights` gives them for --socrates.
        path: --socrates, where its labels and its --max-length are looked for.
        task: what it is to label; `bounds` are the least and largest target of a regression's training set.
        options: resolved; batch size, dtype.
        workers, ctx: who works, and on what.
    Raises:
        InputError: no trained classifier, or one with other labels than the task's.
    """

    def __init__(self, weights: Weights, path: str, task: Task, options: FineTuningOptions, workers: Workers,
                 ctx: mx.Context, bounds: Tuple[float, float] = (-np.inf, np.inf)):
        self._columns = _check(weights, path, task)
        self._path, self._task, self._tokenizer, self._workers = path, task, weights.tokenizer, workers
        self._bounds = bounds
        self._batch_size = options.evaluation_batch_size
        config = _run_config(path)
        own = dataclasses.replace(options, checkpoint=path, dropout=0.0, classifier_init="uniform",
                                  max_length=config.get("options", {}).get("max_length"))
        self._longest = longest_sequence(own, weights.config.num_positions)
        model = build_classifier(weights, own, task.num_labels, ctx, new_head=False)
        if model.initialized:
            raise InputError(f"--socrates {path}: has no trained classifier ({', '.join(model.initialized)} missing); "
                             "fine-tune it first")
        self._objective = FineTuningObjective(model, task.is_regression, ctx)

    def __call__(self, inputs: Sequence[Sequence[str]]) -> Answer:
        """Labels and confidences of N inputs of one or two texts each.

        Raises:
            InputError: a score that is not finite.
        """
        examples = Examples([Example(i, tuple(texts)) for i, texts in enumerate(inputs)])
        encoded = encode_examples(self._tokenizer, examples, self._longest, self._task.cut)
        batches = Batches(encoded, np.zeros(len(examples)), self._tokenizer.pad_id)
        scores = compute_scores(self._objective, batches, self._task.num_labels, self._batch_size, self._workers)
        if not np.isfinite(scores).all():
            raise InputError(f"--socrates {self._path}: gives scores that are not finite; give another checkpoint")
        if self._task.is_regression:
            return [float(value) for value in np.clip(scores[:, 0], *self._bounds)], [None] * len(examples)
        shares = probabilities(scores)[:, self._columns]  # (N, C), in the order of the task's labels
        return [self._task.labels[i] for i in shares.argmax(axis=1)], [float(row.max()) for row in shares]


def _check(weights: Weights, path: str, task: Task) -> List[int]:
    """Which output of the checkpoint stands for each of the task's labels."""
    config = weights.config
    if config.head != "classifier":
        raise InputError(f"--socrates {path}: has no classifier; give a checkpoint fine-tuned on {task.key}")
    labels = labels_of(path)
    has = "a regression" if config.num_labels == 1 else f"the labels {', '.join(labels)}" if labels else \
        f"{config.num_labels} labels"
    wants = "is a regression" if task.is_regression else f"has {', '.join(task.labels)}"
    spelled = None if labels is None else [label.lower() for label in labels]
    order = [label.lower() for label in task.labels]
    if config.num_labels != task.num_labels or (labels and sorted(spelled) != sorted(order)):
        raise InputError(f"--socrates {path}: has {has}, but {task.key} {wants}; give a Socrates fine-tuned on "
                         f"{task.key}")
    return [spelled.index(label) for label in order] if labels else list(range(config.num_labels))


def labels_of(path: str) -> Optional[List[str]]:
    """The labels of a checkpoint's outputs in order, where it tells them: a run of ours, or Hugging Face's id2label.

    None where it does not (they are then taken to be in the task's order); empty for a regression.
    """
    config = _run_config(path)
    if "labels" in config:
        return [str(label) for label in config["labels"]]
    if config.get("options", {}).get("task"):  # a run from before labels were recorded
        task = get_task(config["options"]["task"])
        return list((get_task(task.scored_by) if task.scored_by else task).labels)
    names = config.get("id2label") or {}
    if not all(str(i) in names for i in range(len(names))) or any(str(name).startswith("LABEL_")
                                                                  for name in names.values()):
        return None
    return [str(names[str(i)]) for i in range(len(names))] or None


def _run_config(path: str) -> dict:
    """config.json of the run that a checkpoint belongs to, or of a Hugging Face folder; {} where there is none."""
    folder = pathlib.Path(path)
    for place in (folder, *([folder.parent.parent] if folder.parent.name == native.CHECKPOINTS else [])):
        if (place / CONFIG).is_file():
            found = files.read_json(place / CONFIG)
            if isinstance(found, dict) and (isinstance(found.get("options"), dict) or "id2label" in found):
                return found
    return {}

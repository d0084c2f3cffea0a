"""A fine-tuned teacher: its outputs for texts, as soft labels of a student.

Dimensions: N texts, C labels (1 in a regression).
"""

import hashlib
import json
from typing import Dict, List, NamedTuple, Optional, Sequence

import mxnet as mx
import numpy as np

from bort_mx.checkpoints import loading
from bort_mx.checkpoints.weights import Weights
from bort_mx.data.batches import Batches
from bort_mx.data.encoding import encode_examples
from bort_mx.data.tasks import Example, Examples, Task
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.finetuning.classifier import classifier_of
from bort_mx.finetuning.evaluation import compute_scores, evaluate
from bort_mx.finetuning.objective import FineTuningObjective, SoftLabels
from bort_mx.finetuning.trainer import longest_sequence, outputs_of


class Distillation(NamedTuple):
    """How a teacher's outputs count in the loss."""

    weight: float
    """w of w · distillation + (1 − w) · the loss of the labels."""
    temperature: float
    """τ of the softmax of both."""


Answers = Dict[str, np.ndarray]
"""A teacher's outputs by the digest of the texts. Several seeds ask for the same ones."""


class Teacher:
    """A checkpoint with a classifier of the task, or a regression; output i stands for the task's label i.

    Args:
        weights: as `read_weights` gives them.
        path: where they are from; its labels and its --max-length are looked for there.
        task: what it is asked.
        ctx: the device.
        batch_size: texts in one forward pass of one worker.
        half: compute in float16.
        option: the option that gave the path, for errors.
        answers: outputs that it has already given, with the same arguments; more are put there.

    Raises:
        InputError: no trained classifier, or one with other labels than the task's.
    """

    def __init__(self, weights: Weights, path: str, task: Task, ctx: mx.Context, batch_size: int, half: bool = False,
                 option: str = "--teacher", answers: Optional[Answers] = None):
        weights, self.notes = classifier_of(weights, path, task, option)
        self._path, self._task, self._tokenizer, self._option = path, task, weights.tokenizer, option
        self._batch_size, config = batch_size, weights.config
        self._longest = longest_sequence(config.max_length and config.longest, config.num_positions, path)
        self._cut = task.cut if config.max_length is None else config.cut  # as it was trained, where it tells
        model = loading.assemble(weights, "classifier", dropout=0.0, **outputs_of(task))
        if model.initialized:
            raise InputError(f"{option} {path}: has no trained classifier ({', '.join(model.initialized)} missing); "
                             "fine-tune it first")
        model.collect_params().reset_ctx(ctx)
        if half:
            model.cast("float16")
        self._objective = FineTuningObjective(model, task.is_regression, ctx)
        self._answers = answers

    def scores(self, inputs: Sequence[Sequence[str]], workers: Workers) -> np.ndarray:
        """Outputs (N, C) for N inputs of one or two texts each. The workers share the work; all get all outputs.

        Raises:
            InputError: a score that is not finite.
        """
        if self._answers is None:
            return self._scores(inputs, workers)
        digest = hashlib.sha256(json.dumps([list(texts) for texts in inputs]).encode()).hexdigest()
        if digest not in self._answers:
            self._answers[digest] = self._scores(inputs, workers)
        return self._answers[digest]

    def _scores(self, inputs: Sequence[Sequence[str]], workers: Workers) -> np.ndarray:
        examples = Examples([Example(i, tuple(texts)) for i, texts in enumerate(inputs)])
        encoded = encode_examples(self._tokenizer, examples, self._longest, self._cut)
        batches = Batches(encoded, np.zeros(len(examples)), self._tokenizer.pad_id)
        scores = compute_scores(self._objective, batches, self._task.num_labels, self._batch_size, workers)
        if not np.isfinite(scores).all():
            raise InputError(f"{self._option} {self._path}: gives scores that are not finite; give another checkpoint")
        return scores

    def score_notes(self, dev: Examples, workers: Workers) -> List[str]:
        """Lines on the teacher's own score on dev, and a warning where one answer for all would do as well."""
        scores = self.scores([example.texts for example in dev], workers)
        found = evaluate(self._task, dev, scores)
        values = ", ".join(f"{name} {value:.4f}" for name, value in found.metrics.items())
        line = f"the teacher {self._path} on dev: {values}"
        workers.say(line, *(f"the teacher on dev: {note}" for note in found.notes))
        return [line, *(f"the teacher on dev: {note}" for note in found.notes)]

    def soft_labels(self, how: Distillation, examples: Sequence[Example], workers: Workers) -> SoftLabels:
        """The teacher's outputs for examples, to train a student on, with how they count."""
        labelled = np.array([example.label is not None for example in examples], np.float32)
        return SoftLabels(self.scores([example.texts for example in examples], workers), how.weight, how.temperature,
                          None if labelled.all() else labelled)


def soft_note(path: str, how: Distillation, is_regression: bool) -> List[str]:
    """A line on the teacher, for the notes of a run."""
    distance = "squared distance to them" if is_regression else f"distillation at temperature {how.temperature:g}"
    return [f"soft labels of {path}: loss = {how.weight:g} · {distance} + {1 - how.weight:g} · the loss of the labels"]

"""Socrates, the teacher: the fine-tuned checkpoint that labels new points (paper §5).

Dimensions: N texts, C labels (1 in a regression).
"""

from typing import Any, List, Optional, Sequence, Tuple

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
from bort_mx.finetuning.evaluation import compute_scores, probabilities
from bort_mx.finetuning.objective import FineTuningObjective
from bort_mx.finetuning.trainer import longest_sequence, outputs_of

Answer = Tuple[List[Any], List[Optional[float]]]


class Socrates:
    """Labels texts in batches; all workers share the work and get all answers.

    [I] A classifier's confidence is its probability of the label. A regression has none; its values are kept within
    those of the training set, as a new class would be none of the data's.

    Args:
        weights: as `read_weights` gives them for --socrates.
        path: --socrates, where its labels and its --max-length are looked for.
        task: what it is to label.
        workers, ctx: who works, and on what device.
        batch_size: texts in one forward pass of one worker.
        half: compute in float16.
        bounds: the least and largest target of a regression's training set.

    Raises:
        InputError: no trained classifier, or one with other labels than the task's.
    """

    def __init__(self, weights: Weights, path: str, task: Task, workers: Workers, ctx: mx.Context, batch_size: int,
                 half: bool = False, bounds: Tuple[float, float] = (-np.inf, np.inf)):
        weights, self.notes = classifier_of(weights, path, task, "--socrates")
        self._path, self._task, self._tokenizer, self._workers = path, task, weights.tokenizer, workers
        self._batch_size, self._bounds = batch_size, bounds
        config = weights.config
        self._longest = longest_sequence(config.max_length and config.longest, config.num_positions, path)
        model = loading.assemble(weights, "classifier", dropout=0.0, **outputs_of(task))
        if model.initialized:
            raise InputError(f"--socrates {path}: has no trained classifier ({', '.join(model.initialized)} missing); "
                             "fine-tune it first")
        model.collect_params().reset_ctx(ctx)
        if half:
            model.cast("float16")
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
        shares = probabilities(scores)  # (N, C)
        return [self._task.labels[i] for i in shares.argmax(axis=1)], [float(row.max()) for row in shares]

"""Socrates, the teacher: the fine-tuned checkpoint that labels new points (paper §5).

Dimensions: N texts, C labels (1 in a regression).
"""

from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from bort_mx.data.tasks import Task
from bort_mx.distributed import Workers
from bort_mx.finetuning.evaluation import probabilities
from bort_mx.finetuning.teacher import Teacher

Answer = Tuple[List[Any], List[Optional[float]]]


class Socrates:
    """Labels texts in batches; all workers share the work and get all answers.

    [I] A classifier's confidence is its probability of the label. A regression has none; its values are kept within
    those of the training set, as a new class would be none of the data's.

    Args:
        teacher: the checkpoint.
        task: what it is to label.
        workers: who share the work.
        bounds: the least and largest target of a regression's training set.
    """

    def __init__(self, teacher: Teacher, task: Task, workers: Workers,
                 bounds: Tuple[float, float] = (-np.inf, np.inf)):
        self.teacher, self._task, self._workers, self._bounds = teacher, task, workers, bounds

    def __call__(self, inputs: Sequence[Sequence[str]]) -> Answer:
        """Labels and confidences of N inputs of one or two texts each.

        Raises:
            InputError: a score that is not finite.
        """
        scores = self.teacher.scores(inputs, self._workers)
        if self._task.is_regression:
            return [float(value) for value in np.clip(scores[:, 0], *self._bounds)], [None] * len(inputs)
        shares = probabilities(scores)  # (N, C)
        return [self._task.labels[i] for i in shares.argmax(axis=1)], [float(row.max()) for row in shares]

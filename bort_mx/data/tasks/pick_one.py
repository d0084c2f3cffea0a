"""Tasks whose questions have several candidates. The candidate with the best score is the answer."""

from typing import Any, Dict, Hashable, List, Optional, Sequence, Tuple

import numpy as np

from bort_mx.data.metrics import Scores, classification_scores
from bort_mx.data.tasks.base import Task
from bort_mx.data.tasks.examples import Example
from bort_mx.data.tasks.spellings import spelled_index
from bort_mx.errors import InputError


class PickOneTask(Task):
    """Questions with several candidates. Each candidate is an example; the one with the best score is the answer.

    An example's `meta["candidate"]` is what is answered if it wins, and its label is "1" for a right candidate.

    Attributes:
        answers: the possible answers to a question as submitted, where they are a fixed few.
    """

    labels = ("0", "1")
    answers: Sequence[str] = ()

    def predictions_from_scores(self, examples: Sequence[Example], scores: np.ndarray) -> List:
        """One answer per question: the candidate whose right-minus-wrong score is highest (the first of equals)."""
        scores = self._checked_scores(examples, scores)
        best: Dict[Hashable, Tuple[float, Any]] = {}
        for example, margin in zip(examples, (scores[:, 1] - scores[:, 0]).tolist()):
            if example.group not in best or margin > best[example.group][0]:
                best[example.group] = margin, example.meta["candidate"]
        return [candidate for _, candidate in best.values()]

    def gold(self, examples: Sequence[Example]) -> List:
        """The right candidate of each question, in order of appearance.

        Raises:
            InputError: a question without exactly one right candidate (a test set?).
        """
        right: Dict[Hashable, List] = {example.group: [] for example in examples}
        for example in examples:
            if example.label == "1":
                right[example.group].append(example.meta["candidate"])
        for group, candidates in right.items():
            if len(candidates) != 1:
                raise InputError(f"{self.key}: question {group!r} has {len(candidates)} right candidates, not one "
                                 "(a test set without labels?)")
        return [candidates[0] for candidates in right.values()]

    def submission_ids(self, examples: Sequence[Example]) -> List[Hashable]:
        """The questions, in order of appearance."""
        return list(dict.fromkeys(example.group for example in examples))

    def answer_index(self, value: Any) -> int:
        """The index of an answer that is given by its name or as that index.

        Raises:
            InputError: not an answer of this task.
        """
        return spelled_index(value, self.answers, self.key)

    def score(self, predictions: Sequence, labels: Sequence, groups: Optional[Sequence] = None) -> Scores:
        """Accuracy over questions. Predictions and labels are one per question."""
        return classification_scores(self.metrics, [self.answer_index(p) for p in predictions],
                                     [self.answer_index(label) for label in labels], len(self.answers))

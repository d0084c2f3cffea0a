"""Labels from Socrates, the teacher: the forms in which it may answer, and the checks of its answers.

The teacher of a run of `run_finetune.py --agora`, a fine-tuned checkpoint, is in `bort_mx.agora.teacher`.
"""

from typing import Any, Callable, Hashable, List, Optional, Sequence, Set, Tuple

import numpy as np

from bort_mx.agora import points
from bort_mx.agora.scoring import Check, Score
from bort_mx.errors import InputError


class CheckedTeacher:
    """Socrates, with its answers checked.

    Args:
        socrates: inputs -> labels, or (labels, confidences), or a list of (label, confidence) tuples.
        classes: the data's; with fewer than two of them no answer is refused.
        as_class: label -> class.
        threshold: the least confidence, or None.
    """

    def __init__(self, socrates: Callable[[List[Any]], Any], classes: Set[Hashable],
                 as_class: Callable[[Any], Hashable], threshold: Optional[float]):
        self._socrates, self._classes, self._as_class = socrates, classes, as_class
        self.threshold = threshold

    def ask(self, inputs: List[Any]) -> Tuple[List[Any], List[Optional[float]]]:
        """Labels and confidences (None where it gives none) of the inputs, all asked at once.

        Raises:
            InputError: another number of labels than inputs, a label the data do not have, or no confidences although
                there is a threshold.
        """
        if not inputs:
            return [], []
        labels, confidences = parse_answer(self._socrates(inputs), len(inputs))
        if self.threshold is not None and None in confidences:
            raise InputError("Socrates: gives no confidences, so the threshold cannot be kept; return "
                             "(labels, confidences), or leave threshold out")
        other = [label for label in labels if self._as_class(label) not in self._classes]
        if other and len(self._classes) > 1:  # a single known class is no label set
            raise InputError(f"Socrates: gives the label {other[0]!r}, but those of the data are "
                             f"{sorted(self._classes, key=repr)!r}; give a Socrates of this task")
        return labels, confidences

    def check(self, labelled: Sequence[Any], score: Score) -> Check:
        """Its score on labelled points, beside the best constant answer's."""
        answers = self.ask([points.input_of(point) for point in labelled])
        return score.check(labelled, score.from_answers(labelled, *answers))


def parse_answer(answer: Any, count: int) -> Tuple[List[Any], List[Optional[float]]]:
    """Labels and confidences out of any of the forms in which Socrates may answer.

    Raises:
        InputError: another form, or not `count` of each.
    """
    confidences: List[Any] = []
    if isinstance(answer, tuple) and len(answer) == 2 and all(_is_list(part) for part in answer):
        labels, confidences = (list(part) for part in answer)
    elif _is_list(answer):
        labels, confidences = list(answer), [None] * len(answer)
        if labels and all(isinstance(item, tuple) and len(item) == 2 for item in labels):
            labels, confidences = (list(part) for part in zip(*labels))
    else:
        raise InputError(f"Socrates: answered {points.shorten(answer)}; expected labels, or (labels, confidences)")
    if len(labels) != count or len(confidences) != count:
        raise InputError(f"Socrates: gave {len(labels)} labels and {len(confidences)} confidences for {count} inputs; "
                         "expected one for each")
    return [points.plain(label) for label in labels], [None if c is None else float(c) for c in confidences]


def relabel(data: Sequence[Any], socrates: Callable[[List[Any]], Any]) -> List[Any]:
    """The data with Socrates' labels instead of their own: the set that the distillation baseline trains on."""
    labels, _ = parse_answer(socrates([points.input_of(point) for point in data]), len(data))
    return [points.make_point(point, points.input_of(point), label, getattr(point, "idx", None),
                              getattr(point, "group", None)) for point, label in zip(data, labels)]


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim == 1)

"""Enumeration of Theta, the baseline that Agora approximates: one training with each hyperparameter set."""

from typing import Any, Callable, Hashable, List, Sequence, Tuple

from bort_mx.agora.points import shorten
from bort_mx.agora.pruning import check_accuracy
from bort_mx.errors import InputError


def enumerate_thetas(thetas: Sequence[Hashable], train: Callable[[Hashable, List[Any]], Tuple[Any, float]],
                     data: Sequence[Any]) -> Tuple[Hashable, Any, float]:
    """Train once per theta and take the best on dev. Returns (theta, model, dev accuracy).

    Raises:
        InputError: see `check_thetas` and `train_once`.
    """
    best = None
    for theta in check_thetas(thetas):
        model, accuracy = train_once(train, theta, data)
        if best is None or accuracy > best[2]:
            best = (theta, model, accuracy)
    return best


def check_thetas(thetas: Sequence[Hashable]) -> List[Hashable]:
    """Theta as a list; a theta that is a list becomes a tuple.

    Raises:
        InputError: Theta is empty, or a theta occurs twice.
    """
    given = [tuple(theta) if isinstance(theta, list) else theta for theta in thetas]
    if not given:
        raise InputError("agora: Theta is empty; give at least one theta")
    twice = next((theta for theta in given if given.count(theta) > 1), None)
    if twice is not None:
        raise InputError(f"agora: theta {twice!r} occurs twice in Theta; give every theta once")
    return given


def train_once(train: Callable[[Hashable, List[Any]], Tuple[Any, float]], theta: Hashable,
               data: Sequence[Any]) -> Tuple[Any, float]:
    """The model and its dev accuracy that `train` gives for a copy of the data.

    Raises:
        InputError: `train` gave something else, or an accuracy that is not a finite number.
    """
    answer = train(theta, list(data))
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise InputError(f"train: returned {shorten(answer)}; expected (model, dev accuracy)")
    return answer[0], check_accuracy(theta, answer[1])

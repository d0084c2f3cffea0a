"""The cost of a run of Agora before it starts, and the part of Theta that fits a budget."""

import dataclasses
from typing import Callable, Hashable, List, Optional, Sequence

import numpy as np

from bort_mx.agora.pruning import prune
from bort_mx.durations import in_words
from bort_mx.errors import InputError
from bort_mx.random import generator


@dataclasses.dataclass(frozen=True)
class Cost:
    """Trainings of Timaeus (the student) that a run will need."""

    expected: float
    """Mean number of trainings if the accuracies were in random order."""
    most: int
    """Upper bound on the trainings: each round prunes one theta only, and is replayed as often as allowed."""
    seconds_each: float
    """Time of one training on the data at the start, in seconds. The data grow, and the time with them."""

    @property
    def seconds(self) -> float:
        """Expected total time, if every training took as long as one on the data at the start."""
        return self.expected * self.seconds_each

    def __str__(self) -> str:
        return (f"{self.expected:.0f} trainings expected (at most {self.most}), {self.seconds_each:.3g} s each on the "
                f"data at the start: {in_words(self.seconds)} in all, more as the data grow")


def estimate(thetas: Sequence[Hashable], seconds_each: float, strategy: str = "lcs", replay: int = 0,
             max_rounds: Optional[int] = None, seed: int = 0, draws: int = 5) -> Cost:
    """The number of trainings expected: Theta is pruned with accuracies in random order, `draws` times.

    [I] Real accuracies are not in random order: good and bad values of a hyperparameter go together. `expected` is
    therefore a rough figure, and does not count replays; `most` is certain. With the strategy "none" nothing is pruned,
    and the number is |Theta| times `max_rounds`.

    Raises:
        InputError: Theta is empty.
    """
    if not thetas:
        raise InputError("cost: Theta is empty; give at least one theta")
    if strategy == "none":
        total = len(thetas) * (max_rounds or 1)
        return Cost(float(total), total, seconds_each)
    counts = [_simulate(thetas, strategy, max_rounds, generator(seed, "cost", draw)) for draw in range(draws)]
    rounds = range(min(len(thetas), max_rounds or len(thetas)))
    most = sum(len(thetas) - i for i in rounds) * (1 + replay)
    if max_rounds is not None:
        most = min(most, max_rounds * len(thetas))
    return Cost(float(np.mean(counts)), most, seconds_each)


def within_budget(thetas: Sequence[Hashable], seconds_each: float, budget: float, strategy: str = "lcs",
                  max_rounds: Optional[int] = None, seed: int = 0,
                  beside: Callable[[int], int] = lambda count: 0) -> List[Hashable]:
    """A part of Theta whose expected cost is within the budget.

    Theta is put in an order drawn by the seed, and its first m sets are taken. Bisection finds an m for which
    `estimate`, with the trainings `beside`, expects at most `budget` seconds, and more for m + 1. (The estimate may
    dip, so a larger m may fit again.) The sets are returned in the order given.

    Args:
        thetas, seconds_each, strategy, max_rounds, seed: as in `estimate`.
        budget: seconds.
        beside: m -> trainings of the baselines that m sets need as well.

    Raises:
        InputError: an empty Theta, or the budget is too short for a Theta of one set.
    """
    if not thetas:
        raise InputError("budget: Theta is empty; give at least one theta")
    order = generator(seed, "budget").permutation(len(thetas))

    def trainings(count: int) -> float:
        part = [thetas[i] for i in sorted(order[:count])]
        return estimate(part, seconds_each, strategy, max_rounds=max_rounds, seed=seed).expected + beside(count)

    def fits(count: int) -> bool:
        return trainings(count) * seconds_each <= budget

    if not fits(1):
        raise InputError(f"budget of {budget:g} s: one training alone takes {seconds_each:g} s, and a Theta of one set "
                         f"needs {trainings(1):g}; give more time")
    low, high = 1, len(thetas) + 1  # low fits, high does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return [thetas[i] for i in sorted(order[:low])]


def _simulate(thetas: Sequence[Hashable], strategy: str, max_rounds: Optional[int], rng: np.random.Generator) -> int:
    alive, trainings, rounds = list(thetas), 0, 0
    while alive and (max_rounds is None or rounds < max_rounds):
        trainings += len(alive)
        rounds += 1
        alive = prune(dict(zip(alive, rng.random(len(alive)))), strategy)
    return trainings

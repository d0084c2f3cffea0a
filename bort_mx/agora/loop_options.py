"""What the loop of Agora is given beside data and functions: its options, its hooks, where its record is kept."""

import dataclasses
import os
from typing import Any, Callable, Dict, Hashable, Iterable, List, Mapping, Optional, Tuple

from bort_mx.agora.pruning import check_strategy
from bort_mx.agora.rounds import Job, Round
from bort_mx.agora.scoring import Score
from bort_mx.errors import InputError

SOCRATES_MINIMUM = 2 / 3
"""[P] Socrates' score on dev must exceed it; here [I] it may equal it."""
_FREE_TO_CHANGE = ("max_rounds", "socrates_minimum")
"""A limit on rounds only ends a run earlier; the minimum may be lowered once Socrates is refused."""


@dataclasses.dataclass(frozen=True)
class AgoraOptions:
    """The options of a run, checked on construction.

    Raises:
        InputError: a value out of its range; the message names it.
    """

    strategy: str = "lcs"
    """How Theta is pruned: "lcs", "worst", or "none" (nothing goes; needs max_rounds; the paper's cheap reproduction
    with a single theta)."""
    replay: int = 0
    """A round that did not improve is repeated, on grown data, at most so many times in a row before pruning."""
    balance: bool = True
    """Train on equally many points of each label; points of the larger labels are discarded at random."""
    max_rounds: Optional[int] = None
    """Stop after this many rounds; None: when Theta is empty."""
    max_points: Optional[int] = None
    """Take at most this many new points in all; stop when they are there and trained on. None: no limit."""
    threshold: Optional[float] = None
    """Take a new point only if Socrates' confidence in its label is at least this, in [0, 1]; None: take all."""
    socrates_minimum: float = SOCRATES_MINIMUM
    """Refuse a Socrates whose score is below this, or not better than a constant answer's; 0 takes any."""
    seed: int = 0
    """Random seed for everything that the loop draws."""

    def __post_init__(self):
        if self.strategy != "none":
            check_strategy(self.strategy)
        elif self.max_rounds is None:
            raise InputError("agora: strategy 'none' removes no theta and would never end; give max_rounds")
        for name, least in (("replay", 0), ("max_rounds", 1), ("max_points", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"agora: {name} is {value}; give at least {least}")
        for name in ("threshold", "socrates_minimum"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise InputError(f"agora: {name} is {value}; give a fraction between 0 and 1")

    def fingerprint(self) -> Dict[str, Any]:
        """The options that the recorded results depend on; the others may differ when a run is resumed."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in _FREE_TO_CHANGE}


def _ignore(value: Any) -> None:
    """The default of hooks that are only told something."""


@dataclasses.dataclass(frozen=True)
class Hooks:
    """Functions that a caller may add to the loop."""

    as_class: Optional[Callable[[Any], Hashable]] = None
    """label -> the class it counts as in balance and agreement; `round` for a regression, where Socrates may give any
    value, and dev need not have all. None: a classification, where the class is the label."""
    score: Optional[Score] = None
    """How Socrates is checked: as `train` scores models. None: balanced accuracy, or the share of right classes where
    `as_class` is given."""
    measure: Optional[Callable[[Any, List[Any]], Dict[str, float]]] = None
    """(best model of a round, its training points) -> numbers to report, e.g. {"train": …, "audit": …}."""
    run_jobs: Optional[Callable[[List[Job]], Iterable[Tuple[Job, Any, float]]]] = None
    """jobs -> (job, model, dev accuracy) of each when it is finished, in any order; for several workers. If it
    communicates, it must begin with a barrier. None: `train`, one job after the other."""
    save_model: Optional[Callable[[Any, int], None]] = None
    """(model, round): keep the best model of a round."""
    load_model: Optional[Callable[[int], Any]] = None
    """round -> that model, or None if it is gone."""
    say: Callable[[str], None] = _ignore
    """Is given a line of text after each step."""
    observe: Callable[[Round], None] = _ignore
    """Is given each round when it is over. A resumed run gives the earlier rounds again."""


@dataclasses.dataclass(frozen=True)
class Record:
    """Where a run is recorded, so that it can be resumed after a kill.

    Every finished job is a line of jobs.jsonl; the new points of each round, with their origin, are in
    data/round-NNN.jsonl.
    """

    folder: Optional[os.PathLike] = None
    """Where jobs.jsonl and data/ are; None keeps them in memory."""
    write: bool = True
    """False reads the folder but writes nothing (ranks other than 0)."""
    fingerprint: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What else the results depend on, by name, e.g. the sha256 of checkpoints, as JSON can hold it. A record with
    another value is refused, and the name is told."""

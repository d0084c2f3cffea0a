"""What Agora's loop does and finds: a job, a round, the result."""

import dataclasses
from typing import Any, Dict, Hashable, List, NamedTuple, Optional, Tuple


class Job(NamedTuple):
    """One training: theta, on the training data of a round."""

    round: int
    index: int
    """Position of theta in Theta as given."""
    theta: Hashable
    data: List[Any]
    plain: bool = False
    """Without soft labels: the baseline of plain fine-tuning."""


@dataclasses.dataclass
class Round:
    """What one round did."""

    number: int
    """From 0."""
    accuracies: Dict[Hashable, float]
    """theta -> dev accuracy."""
    best_theta: Hashable
    """The best of this round; of equal ones the first in Theta."""
    best_accuracy: float
    measures: Dict[str, float]
    """What `Hooks.measure` gave for the best model, e.g. its accuracy on train and audit."""
    size: int
    """Points trained on."""
    labels: Dict[Any, int]
    """Points trained on, by class."""
    pool: int
    """Points there were to train on, before balancing."""
    pruned: List[Hashable] = dataclasses.field(default_factory=list)
    reason: str = ""
    """Why those were pruned, or why none was."""
    mistakes: Optional[int] = None
    """Dev examples that the best model got wrong; None if they were not asked for."""
    made: int = 0
    """New points that tau made."""
    added: int = 0
    """New points that were taken."""
    dropped: Dict[str, int] = dataclasses.field(default_factory=dict)
    """New points not taken, by reason (`mining.DROPPED`)."""

    def __str__(self) -> str:
        dropped = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items() if count)
        grown = "" if self.mistakes is None else (f"; {self.mistakes} mistakes, {self.added} of {self.made} new points"
                                                  + (f" ({dropped})" if dropped else ""))
        measures = "".join(f", {name} {value:.4f}" for name, value in self.measures.items())
        return (f"round {self.number}: {len(self.accuracies)} thetas on {self.size} points, best "
                f"{self.best_accuracy:.4f} on dev{measures} with {self.best_theta!r}; {len(self.pruned)} pruned{grown}")


@dataclasses.dataclass
class AgoraResult:
    """What a run found."""

    best_theta: Hashable
    """The convergent hyperparameter set (CHS): that of the model with the highest dev accuracy of all rounds."""
    best_model: Any
    best_accuracy: float
    best_round: int
    rounds: List[Round]
    data: List[Any]
    """The data as given, followed by every new point."""
    origins: List[Dict[str, Any]]
    """For every new point: round, texts, label, confidence, tau, and the seed example's texts, label and idx."""
    thetas: List[Hashable]
    bound: Tuple[float, float]
    """[P] 1 <= r <= 2 (1 - 2^-|Theta|): the approximation ratio over enumerating Theta."""
    trainings: int
    """Jobs of all rounds, those taken from the record included."""
    stopped: str
    """Why it ended."""
    socrates_accuracy: Optional[float]
    """None if there was nothing to check Socrates on."""
    socrates_checked_on: str
    """ "dev", "data" or ""."""

"""The best models of Agora's rounds: at hand, kept by an earlier process, or trained once more."""

from typing import Any, Callable, Dict, Optional, Tuple

from bort_mx.agora.rounds import Round
from bort_mx.errors import RunError

ABSENT = object()
"""In the place of a model that an earlier process trained; None may be a model."""


class BestModels:
    """Holds two models at most: the best one of the latest round and the best one of all rounds.

    Args:
        load: round -> its best model, or None if that was not kept.
        retrain: round -> its best model, trained once more, and its dev accuracy.
    """

    def __init__(self, load: Callable[[Round], Any], retrain: Callable[[Round], Tuple[Any, float]]):
        self._load, self._retrain = load, retrain
        self._at_hand: Dict[int, Any] = {}
        """Number of the round -> model."""
        self.best: Optional[Round] = None
        """The round with the best model of all so far; of equally good ones the first."""

    def add(self, this: Round, model: Any) -> None:
        """Take a round that was trained, with its best model, or `ABSENT`."""
        if self.best is None or this.best_accuracy > self.best.best_accuracy:
            self.best = this
        self._at_hand = {number: held for number, held in self._at_hand.items() if number == self.best.number}
        if model is not ABSENT:
            self._at_hand[this.number] = model

    def of(self, this: Round) -> Any:
        """The best model of a round.

        Raises:
            RunError: the model is gone, and training it again gave another accuracy.
        """
        if this.number not in self._at_hand:
            self._at_hand[this.number] = self._recover(this)
        return self._at_hand[this.number]

    def _recover(self, this: Round) -> Any:
        model = self._load(this)
        if model is not None:
            return model
        model, accuracy = self._retrain(this)
        if accuracy != this.best_accuracy:
            raise RunError(f"round {this.number}, theta {this.best_theta!r}: training again gave accuracy {accuracy!r},"
                           f" but the record has {this.best_accuracy!r}; train must give the same for the same "
                           "arguments (resume on the same machine, with as many threads), or save_model and "
                           "load_model be given")
        return model

"""How long the paper trained, and what its weight decay then does to weights.

[P] The paper states no epochs. Its author, asked on the tracker of the released code (alexa/bort, issue 2), spoke of 50
to 100 epochs for small problems and up to 1,000 for large ones; the released script stops early after 200 evaluations.
"""

import math
from typing import Optional, Sequence, Tuple

from bort_mx.training import schedules

EPOCHS: Sequence[Tuple[int, int]] = ((1_000, 50), (10_000, 100), (100_000, 1_000))
"""[I] Training examples → epochs: 50 up to 1,000 examples, 100 at 10,000, 1,000 from 100,000 on; between them straight
lines in the logarithms of both."""
PATIENCE = 200
"""Evaluations, one an epoch, without improvement after which the released script stops."""
MOST_SUMMED = 10_000
"""Steps that stand for a training when its decay is computed."""
TOLERATED = 5.0
"""Weights without gradient may shrink by e to this power before the run says so."""


def paper_epochs(examples: int) -> int:
    """Epochs for a training set of this size, by the rule in `EPOCHS`."""
    sizes, epochs = zip(*EPOCHS)
    if examples <= sizes[0]:
        return epochs[0]
    for (low, few), (high, many) in zip(EPOCHS, EPOCHS[1:]):
        if examples <= high:
            share = math.log(examples / low) / math.log(high / low)
            return round(few * (many / few) ** share)
    return epochs[-1]


def decay_exponent(learning_rate: float, weight_decay: float, warmup: int, total: int) -> float:
    """x, where decay alone multiplies a weight without gradient by e^−x over a training: −Σ log(1 − lr(step)·λ).

    With linear warm-up and decay x is about lr·λ·steps/2. Infinite if a step would turn the weight's sign. Of long
    trainings only so many steps are summed, at equal distances: 1,000 epochs of MNLI have 24 million.

    Args:
        learning_rate: peak.
        weight_decay: λ.
        warmup: steps of warm-up.
        total: steps.
    """
    def shrink(step: int) -> float:
        return learning_rate * weight_decay * schedules.linear(step, warmup, total)

    if shrink(max(warmup, 1)) >= 1:  # the peak
        return math.inf
    apart = max(1, -(-total // MOST_SUMMED))
    steps = range((apart + 1) // 2, total + 1, apart)
    return -sum(math.log1p(-shrink(step)) for step in steps) * total / max(len(steps), 1)


def decay_note(exponent: float, adams_decay: Optional[float] = None) -> str:
    """A line on the decay, or "" if it is tolerable.

    Where it is not, the weights that do get gradients vanish under AdamW as well: a step is lr · m/√v with |m/√v| of 1
    at most, but for rare jumps, so that w comes to rest where λ·|w| = |m/√v|, at 1/λ or below (measured in
    docs/experiments/epochs.md).

    Args:
        exponent: as `decay_exponent` gives it.
        adams_decay: λ, where the optimizer is AdamW.
    """
    if exponent <= TOLERATED:
        return ""
    others = f", and leaves the others no larger than about 1/decay = {1 / adams_decay:.2g}" if adams_decay else ""
    return (f"weight decay alone (lr · decay, summed over the steps) multiplies weights without gradient by "
            f"e^-{exponent:.3g}, such as the embeddings of words that the training set lacks{others}; fewer --epochs "
            "or a smaller --weight-decay keep them")

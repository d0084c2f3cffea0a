"""Training sets with as many right as wrong candidates (P1 §5.2 and §5.3)."""

from typing import Sequence

from bort_mx import random
from bort_mx.data.tasks.examples import Example, Examples
from bort_mx.errors import InputError


def balanced(examples: Sequence[Example], seed: int, purpose: str) -> Examples:
    """Discard examples of the larger label at random until "0" and "1" are equally many. The order is kept.

    P1 §5.2 and §5.3 discard negatives "randomly"; the draw depends on `seed` and `purpose` only. Notes the counts.
    """
    members = {label: [i for i, example in enumerate(examples) if example.label == label] for label in ("0", "1")}
    small, large = sorted(members.values(), key=len)
    if not small:
        raise InputError(f"{purpose}: all {len(large)} training examples have the same label; nothing to balance")
    chosen = random.generator(seed, f"balance {purpose}").choice(len(large), size=len(small), replace=False)
    kept = sorted(small + [large[i] for i in chosen])
    word = "negative" if large is members["0"] else "positive"
    note = f"discarded {len(large) - len(small)} of {len(large)} {word} examples for {len(small)} of the other label"
    return Examples([examples[i] for i in kept], [*getattr(examples, "notes", []), note])

"""A small entailment task made by rules, on which counting words is of no use.

Every pair comes with a twin of exactly the same words and the opposite label:

    things      the cat found the ball .                  the ball was found by the cat .        entailment
                the cat found the ball .                  the cat was found by the ball .        not_entailment
    roles       the cat chased the dog .                  the dog was chased by the cat .        entailment
                the cat chased the dog .                  the cat was chased by the dog .        not_entailment
    order       the king ate before the queen .           the queen ate after the king .         entailment
                the king ate before the queen .           the king ate after the queen .         not_entailment
    degree      the cat is older than the dog .           the dog is younger than the cat .      entailment
                the cat is older than the dog .           the cat is younger than the dog .      not_entailment
    negation    the cat did not run but the dog did sing .         the dog did sing .            entailment
                the cat did run but the dog did not sing .         the dog did sing .            not_entailment

So a classifier of the bag of words gives both twins the same answer and is right on exactly one: 50 %, however strong.
Half of the twins are of the kind "things", where the order of the hypothesis alone decides, since only people and
animals act: a small encoder learns it within a minute. The rest needs both texts compared and takes longer.
"""

import os
import pathlib
from typing import Dict, List, Optional, Tuple

from bort_mx import random
from bort_mx.errors import InputError
from bort_mx.io.files import write_text

NOUNS = ("cat", "dog", "king", "queen", "child", "teacher", "doctor", "farmer", "painter", "soldier", "baker", "sailor")
THINGS = ("ball", "book", "letter", "cake", "bottle", "hat", "lamp", "ring", "box", "bag", "key", "coin")
HANDLED = ("found", "moved", "dropped", "lost", "sold", "washed", "opened", "bought", "carried", "hid")
ACTIONS = ("chased", "followed", "helped", "called", "pushed", "watched")
STATES = ("slept", "arrived", "left", "ate", "sang", "fell")
DEGREES = (("older", "younger"), ("taller", "shorter"), ("faster", "slower"), ("stronger", "weaker"))
VERBS = ("run", "sing", "sleep", "swim", "read", "paint")
ENTAILMENT, NOT_ENTAILMENT = "entailment", "not_entailment"
SIZES = {"train": 4000, "dev": 400, "test": 400}
COLUMNS = ("index", "sentence1", "sentence2", "label")

Pair = Tuple[str, str, str]  # premise, hypothesis, label
Twins = Tuple[Pair, Pair]


def generate(sizes: Optional[Dict[str, int]] = None, seed: int = 0) -> Dict[str, List[Pair]]:
    """The splits. Each is half entailment and half of kind "things"; no two splits share a pair or its twin.

    Args:
        sizes: split → number of examples, multiples of 4; None: SIZES.
        seed: the same seed and sizes give the same examples.

    Returns:
        split → (premise, hypothesis, label) in random order.

    Raises:
        InputError: a size that is no multiple of 4 or negative, or more than the rules can make.
    """
    sizes, pools = SIZES if sizes is None else sizes, (_things(), _others())
    for split, size in sizes.items():
        if size < 0 or size % 4:
            raise InputError(f"demo task: {size} {split} examples; expected a multiple of 4 (twins of two kinds)")
    most = 4 * min(map(len, pools))
    if sum(sizes.values()) > most:
        raise InputError(f"demo task: {sum(sizes.values())} examples wanted; the rules make {most}")
    orders = [random.generator(seed, "demo twins", n).permutation(len(pool)) for n, pool in enumerate(pools)]
    result, start = {}, 0
    for split, size in sizes.items():
        end = start + size // 4
        examples = [pair for pool, order in zip(pools, orders) for i in order[start:end] for pair in pool[i]]
        shuffled = random.generator(seed, f"demo order {split}").permutation(len(examples))
        result[split], start = [examples[i] for i in shuffled], end
    return result


def write(folder: os.PathLike, sizes: Optional[Dict[str, int]] = None, seed: int = 0) -> None:
    """Write the splits as train.tsv, dev.tsv and test.tsv in the columns of RTE. The test file has no labels."""
    for split, pairs in generate(sizes, seed).items():
        width = 3 if split == "test" else 4
        rows = [COLUMNS[:width], *((str(i), *pair)[:width] for i, pair in enumerate(pairs))]
        write_text(pathlib.Path(folder) / f"{split}.tsv", "".join("\t".join(row) + "\n" for row in rows))


def _things() -> List[Twins]:
    return [_twins(a, verb, f"was {verb} by", thing) for a in NOUNS for thing in THINGS for verb in HANDLED]


def _others() -> List[Twins]:
    twins = []
    for a in NOUNS:
        for b in NOUNS:
            if a != b:
                twins += [_twins(a, relation, converse, b) for relation, converse in _relations()]
                twins += _negations(a, b)
    return twins


def _twins(a: str, relation: str, converse: str, b: str) -> Twins:
    premise = f"the {a} {relation} the {b} ."
    return ((premise, f"the {b} {converse} the {a} .", ENTAILMENT),
            (premise, f"the {a} {converse} the {b} .", NOT_ENTAILMENT))


def _relations() -> List[Tuple[str, str]]:
    """(relation, its converse): A relation B means B converse A."""
    pairs = [(verb, f"was {verb} by") for verb in ACTIONS]
    for verb in STATES:
        pairs += [(f"{verb} before", f"{verb} after"), (f"{verb} after", f"{verb} before")]
    for more, less in DEGREES:
        pairs += [(f"is {more} than", f"is {less} than"), (f"is {less} than", f"is {more} than")]
    return pairs


def _negations(a: str, b: str) -> List[Twins]:
    """Twins whose premises differ in which of two verbs is negated."""
    twins = []
    for verb, other in zip(VERBS, VERBS[1:] + VERBS[:1]):
        texts = (f"the {a} did {verb} but the {b} did not {other} .",
                 f"the {a} did not {verb} but the {b} did {other} .")
        for hypothesis, (true, false) in ((f"the {a} did {verb} .", texts), (f"the {b} did {other} .", texts[::-1])):
            twins.append(((true, hypothesis, ENTAILMENT), (false, hypothesis, NOT_ENTAILMENT)))
    return twins

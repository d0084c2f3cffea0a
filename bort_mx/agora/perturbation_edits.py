"""The taus that a command line names, by their edits: typing errors, words swapped, left out, refilled by an MLM.

To add one: write a function that returns a `Tau` and takes `**options`, those of `Tau`; add it to `TAUS`.
"""

import importlib
import re
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from bort_mx.agora.perturbation import Edit, Tau, compose, parameter_names
from bort_mx.agora.words import Word, free_words, join
from bort_mx.errors import InputError

MASK = "<mask>"
"""The mark that stands for a masked word in the texts given to a fill function."""

Candidates = List[Tuple[str, float]]
Fill = Callable[[List[str]], List[List[Candidates]]]
"""Texts with mask marks -> for each text, for each mark in order, words with their probabilities, best first."""

_CORE = re.compile(r"\w(?:.*\w)?", re.DOTALL)  # a word without the punctuation around it
_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def typo(rate: float = 0.1, **options: Any) -> Tau:
    """A typing error in each word with chance `rate`: letters swapped, one doubled, left out, or its neighbour's key.

    At least one word of every text is changed. `options` are those of `Tau`.
    """
    _check_rate("typo", rate)

    def edit(words: List[Word], rng: np.random.Generator) -> List[Word]:
        """Words with some of them mistyped."""
        able = [i for i in free_words(words) if len(words[i].text) > 1]
        picked = set(_pick(able, rate, rng))
        return [word._replace(text=_mistype(word.text, rng)) if i in picked else word for i, word in enumerate(words)]

    return Tau("typo", (_each(edit),), **options)


def swap(rate: float = 0.1, **options: Any) -> Tau:
    """Neighbouring free words change places, `rate` of the pairs, at least one. `options` are those of `Tau`."""
    _check_rate("swap", rate)

    def edit(words: List[Word], rng: np.random.Generator) -> List[Word]:
        """Words with some pairs swapped."""
        free, words = set(free_words(words)), list(words)
        for i in _pick([i for i in sorted(free) if i + 1 in free], rate, rng):
            left, right = words[i], words[i + 1]
            words[i], words[i + 1] = left._replace(text=right.text), right._replace(text=left.text)
        return words

    return Tau("swap", (_each(edit),), **options)


def drop(rate: float = 0.1, **options: Any) -> Tau:
    """`rate` of the free words, at least one, are left out; a text never loses its last word.

    `options` are those of `Tau`.
    """
    _check_rate("drop", rate)

    def edit(words: List[Word], rng: np.random.Generator) -> List[Word]:
        picked = set(_pick(free_words(words), rate, rng)[: len(words) - 1])
        return [word for i, word in enumerate(words) if i not in picked]

    return Tau("drop", (_each(edit),), **options)


def mlm(fill: Fill, rate: float = 0.15, top_k: int = 10, temperature: float = 1.0, **options: Any) -> Tau:
    """`rate` of the words (at least one) are masked and refilled from an MLM's candidates.

    A candidate is drawn among the `top_k` best with probability proportional to p ** (1 / temperature). [I] The masked
    word itself is left out, upper and lower case alike: mostly it is the best candidate, and the copy would be dropped.

    Args:
        fill: texts with `MASK` in the place of masked words -> for each text, for each mark, (word, probability) pairs.
        rate: the part of the words to mask.
        top_k: how many candidates to draw from.
        temperature: 1 draws as the model says, less makes the best ones likelier.
        options: those of `Tau`.

    Raises:
        InputError: a rate outside (0, 1], top_k below 1, a temperature that is not positive; when called, a fill
            function that does not give one list of candidates for each mark.
    """
    _check_rate("mlm", rate)
    if top_k < 1 or not temperature > 0:
        raise InputError(f"tau mlm: top_k is {top_k} and temperature {temperature}; give top_k >= 1, temperature > 0")

    def edit(texts: List[List[Word]], rng: np.random.Generator) -> List[List[Word]]:
        """The texts with some words refilled."""
        masked = [sorted(_pick(_maskable(words), rate, rng, exact=True)) for words in texts]
        asked = [i for i, places in enumerate(masked) if places]
        answers = _filled(fill, [_with_masks(texts[i], masked[i]) for i in asked], [len(masked[i]) for i in asked])
        result = list(texts)
        for i, answer in zip(asked, answers):
            result[i] = list(texts[i])
            for place, candidates in zip(masked[i], answer):
                word = result[i][place]
                new = _draw(candidates, _CORE.search(word.text).group(), top_k, temperature, rng)
                result[i][place] = word._replace(text=_CORE.sub(lambda _, new=new: new, word.text, count=1))
        return result

    return Tau("mlm", (edit,), **options)


TAUS: Dict[str, Callable[..., Tau]] = {"typo": typo, "swap": swap, "drop": drop, "mlm": mlm}
"""Name -> what makes the tau. One with a parameter `fill` is also given the fill function, `top_k` and `temperature`.
"""


def fills_masks(name: str) -> bool:
    """Whether the tau of that name needs a fill function."""
    return name in TAUS and "fill" in parameter_names(TAUS[name])


def make_tau(spec: str, fill: Optional[Fill] = None, top_k: int = 10, temperature: float = 1.0,
             **options: Any) -> Callable:
    """The tau a command line names: one of `TAUS`, several joined by "+", or "module:function".

    Args:
        spec: the name.
        fill: the fill function, for "mlm".
        top_k: of `mlm`.
        temperature: of `mlm`.
        options: those of `Tau`.

    Raises:
        InputError: an unknown name, "mlm" without a fill function, or a module or function that is not there.
    """
    if ":" in spec:
        return _load(spec)
    filling = {"fill": fill, "top_k": top_k, "temperature": temperature}
    names = [name.strip() for name in spec.split("+")]
    for name in names:
        if name not in TAUS:
            raise InputError(f"tau {spec!r}: {name!r} is unknown; choose among {', '.join(TAUS)}, joined by +, or "
                             "give module:function")
        if fills_masks(name) and fill is None:
            raise InputError(f"tau {spec!r}: {name} needs a masked language model to fill in; give one")
    return compose(*(TAUS[name](**(filling if fills_masks(name) else {}), **options) for name in names))


def _load(spec: str) -> Callable:
    module, _, name = spec.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"tau {spec!r}: cannot be imported ({error}); give module:function, the module on the Python "
                         "path") from None
    if not callable(function):
        raise InputError(f"tau {spec!r}: is a {type(function).__name__}, not a function")
    return function


def _each(edit: Callable[[List[Word], np.random.Generator], List[Word]]) -> Edit:
    return lambda texts, rng: [edit(words, rng) for words in texts]


def _maskable(words: Sequence[Word]) -> List[int]:
    if any(MASK in word.text for word in words):
        return []  # a text that holds the mark itself cannot be asked for; it comes back unchanged and is counted so
    return [i for i in free_words(words) if _CORE.search(words[i].text)]


def _pick(places: List[int], rate: float, rng: np.random.Generator, exact: bool = False) -> List[int]:
    """Each place with chance `rate`, or exactly that part of them; at least one if there are any."""
    if not places:
        return []
    count = int(round(rate * len(places))) if exact else int(rng.binomial(len(places), rate))
    return [places[i] for i in rng.choice(len(places), size=max(1, count), replace=False)]


def _check_rate(name: str, rate: float) -> None:
    if not 0 < rate <= 1:
        raise InputError(f"tau {name}: rate is {rate}; give a part of the words above 0 and at most 1")


def _mistype(word: str, rng: np.random.Generator) -> str:
    at, kind = int(rng.integers(len(word) - 1)), int(rng.integers(4))
    left, right = word[at], word[at + 1]
    if kind == 0 and left != right:
        return word[:at] + right + left + word[at + 2:]
    if kind == 1:
        return word[:at] + left + word[at:]
    if kind == 2:
        return word[:at] + word[at + 1:]
    return word[:at] + _neighbour(left, rng) + word[at + 1:]


def _neighbour(letter: str, rng: np.random.Generator) -> str:
    row = next((row for row in _KEYBOARD if letter.lower() in row), None)
    if row is None:
        return letter + letter
    at = row.index(letter.lower())
    near = row[max(at - 1, 0): at] + row[at + 1: at + 2]
    new = near[int(rng.integers(len(near)))]
    return new.upper() if letter.isupper() else new


def _with_masks(words: List[Word], places: List[int]) -> str:
    masked = set(places)
    return join([word._replace(text=_CORE.sub(lambda _: MASK, word.text, count=1)) if i in masked else word
                 for i, word in enumerate(words)])


def _filled(fill: Fill, texts: List[str], marks: List[int]) -> List[List[Candidates]]:
    answers = list(fill(texts)) if texts else []
    found = [len(answer) for answer in answers]
    if found != marks:
        raise InputError(f"tau mlm: the fill function answered {len(found)} texts with {sum(found)} lists of candidates"
                         f"; expected {len(marks)} texts with {sum(marks)}, one list for each {MASK}")
    return answers


def _draw(candidates: Candidates, word: str, top_k: int, temperature: float, rng: np.random.Generator) -> str:
    able = [(text.strip(), p) for text, p in candidates if _CORE.search(text) and MASK not in text and p > 0]
    able = [(text, p) for text, p in able if text.lower() != word.lower()][:top_k]
    if not able:
        return word
    weights = np.log([p for _, p in able]) / temperature  # in logarithms: p ** (1 / temperature) may underflow
    weights = np.exp(weights - weights.max())
    return able[int(rng.choice(len(able), p=weights / weights.sum()))][0]

"""Tau functions: new texts in the neighbourhood of given ones (paper §5; which ones the authors used is not stated).

[I] All of them work on words, keep the white space between them, and never touch protected words. A tau is called as
`tau(examples, rng)` and returns a list of `Perturbed`. Any callable that takes examples and returns new inputs may
stand in its place; with a parameter named `rng` it is given a NumPy generator, keyed by the run's seed and the round.
"""

import dataclasses
import importlib
import inspect
import re
from typing import Any, Callable, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from bort_mx.agora.points import input_of, shorten
from bort_mx.data.tasks.spans import MARKS
from bort_mx.errors import InputError

MASK = "<mask>"
"""The mark that stands for a masked word in the texts given to a fill function."""

Candidates = List[Tuple[str, float]]
Fill = Callable[[List[str]], List[List[Candidates]]]
"""Texts with mask marks -> for each text, for each mark in order, words with their probabilities, best first."""

_CORE = re.compile(r"\w(?:.*\w)?", re.DOTALL)  # a word without the punctuation around it
_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_WHICH = ("both", "first", "second", "either")


class Perturbed(NamedTuple):
    """A new input and where it comes from."""

    texts: Any
    """The new input, of the same type as that of the example it was made from."""
    source: int
    """The position of that example among those given to tau."""
    tau: str = ""
    """Which tau made it, where several are at work."""


class Word(NamedTuple):
    """A word of a text."""

    before: str
    """The white space before it."""
    text: str
    fixed: bool
    """True if it must stay as and where it is."""


Edit = Callable[[List[List[Word]], np.random.Generator], List[List[Word]]]
"""Texts as words -> the edited texts; a text without free words comes back as it is."""


@dataclasses.dataclass(frozen=True)
class Tau:
    """A tau function made of edits.

    Protected spans are an example's `.protected` (for each text a list of (start, end) character positions), what
    `protect` gives for the example, and whatever stands between two marks of `markers`, the marks included.

    Args:
        name: for the origin of the new points.
        edits: applied one after the other.
        copies: new inputs made of each example.
        which: of two texts, edit "both", the "first", the "second", or "either" one at random.
        markers: strings that come in pairs around a span to keep; by default those with which WiC and WSC are read.
        protect: example -> for each text a list of (start, end) to keep (an answer), or None.

    Raises:
        InputError: no edits, copies below 1, or another `which`.
    """

    name: str
    edits: Tuple[Edit, ...]
    copies: int = 1
    which: str = "both"
    markers: Tuple[str, ...] = MARKS
    protect: Optional[Callable[[Any], Sequence[Sequence[Tuple[int, int]]]]] = None

    def __post_init__(self):
        if not self.edits:
            raise InputError(f"tau {self.name!r}: no edits; give at least one")
        if self.copies < 1:
            raise InputError(f"tau {self.name!r}: copies is {self.copies}; give at least 1")
        if self.which not in _WHICH:
            raise InputError(f"tau {self.name!r}: which is {self.which!r}; choose one of {', '.join(_WHICH)}")
        if not all(self.markers):
            raise InputError(f"tau {self.name!r}: a marker is empty; give the marks that stand around a span")

    def __call__(self, examples: Sequence[Any], rng: np.random.Generator) -> List[Perturbed]:
        """New inputs, `copies` of each example, in the order of the examples.

        Raises:
            InputError: an example whose input is not text.
        """
        sources = [source for source in range(len(examples)) for _ in range(self.copies)]
        inputs = [self._words(example) for example in examples]
        chosen = [self._chosen(len(inputs[source]), rng) for source in sources]
        edited = [inputs[source][i] for source, where in zip(sources, chosen) for i in where]
        for edit in self.edits:  # all texts at once: an edit may run a model over them in batches
            edited = edit(edited, rng)
        result, rest = [], iter(edited)
        for source, where in zip(sources, chosen):
            new = {i: join(next(rest)) for i in where}
            texts = [new.get(i, text) for i, text in enumerate(_texts(examples[source]))]
            result.append(Perturbed(_like(input_of(examples[source]), texts), source))
        return result

    def _chosen(self, count: int, rng: np.random.Generator) -> List[int]:
        if count == 1 or self.which == "first":
            return [0]
        if self.which == "either":
            return [int(rng.integers(count))]
        return list(range(count)) if self.which == "both" else [1]

    def _words(self, example: Any) -> List[List[Word]]:
        texts = _texts(example)
        given = [getattr(example, "protected", None), self.protect(example) if self.protect else None]
        spans: List[List[Tuple[int, int]]] = [marked_spans(text, self.markers) for text in texts]
        for per_text in given:
            for i, more in enumerate(per_text or ()):
                spans[i].extend(more or ())
        return [split_words(text, kept) for text, kept in zip(texts, spans)]


def typo(rate: float = 0.1, **options: Any) -> Tau:
    """A typing error in each word with chance `rate`: letters swapped, one doubled, left out, or its neighbour's key.

    At least one word of every text is changed. `options` are those of `Tau`.
    """
    _check_rate("typo", rate)

    def edit(words: List[Word], rng: np.random.Generator) -> List[Word]:
        """Words with some of them mistyped."""
        able = [i for i in _free(words) if len(words[i].text) > 1]
        picked = set(_pick(able, rate, rng))
        return [word._replace(text=_mistype(word.text, rng)) if i in picked else word for i, word in enumerate(words)]

    return Tau("typo", (_each(edit),), **options)


def swap(rate: float = 0.1, **options: Any) -> Tau:
    """Neighbouring free words change places, `rate` of the pairs, at least one. `options` are those of `Tau`."""
    _check_rate("swap", rate)

    def edit(words: List[Word], rng: np.random.Generator) -> List[Word]:
        """Words with some pairs swapped."""
        free, words = set(_free(words)), list(words)
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
        picked = set(_pick(_free(words), rate, rng)[: len(words) - 1])
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


def compose(*taus: Tau) -> Tau:
    """One tau that applies the edits of several, in order; everything else as in the first one."""
    if not taus:
        raise InputError("tau: nothing to compose; give at least one tau")
    return dataclasses.replace(taus[0], name="+".join(t.name for t in taus), edits=sum((t.edits for t in taus), ()))


def alternatives(taus: Sequence[Callable]) -> Callable:
    """One tau that gives the new inputs of each of several, one after the other; each input tells its own tau.

    Raises:
        InputError: none given; when called, a tau of the user's that gives bare inputs, but not one for each example.
    """
    if not taus:
        raise InputError("tau: none given; give at least one")
    if len(taus) == 1:
        return taus[0]

    def every(examples: Sequence[Any], rng: np.random.Generator) -> List[Perturbed]:
        return [item for tau in taus for item in _named(tau, apply(tau, examples, rng), len(examples))]

    every.name = ",".join(name_of(tau) for tau in taus)
    return every


def apply(tau: Callable, examples: Sequence[Any], rng: np.random.Generator) -> List[Any]:
    """What a tau gives for the examples; it gets the generator if it has a parameter `rng`."""
    made = tau(examples, rng=rng) if "rng" in _parameters(tau) else tau(examples)
    if not isinstance(made, Iterable) or isinstance(made, str):
        raise InputError(f"tau {name_of(tau)}: gave {made!r} for {len(examples)} examples; it must return a list of "
                         "inputs")
    return list(made)


def name_of(tau: Callable) -> str:
    """The name by which the origin of a new point tells the tau."""
    return str(getattr(tau, "name", None) or getattr(tau, "__qualname__", None) or type(tau).__qualname__)


def _named(tau: Callable, made: List[Any], count: int) -> List[Perturbed]:
    if not all(isinstance(item, Perturbed) for item in made) and len(made) != count:
        raise InputError(f"tau {name_of(tau)}: gave {len(made)} inputs for {count} examples; beside other taus it must "
                         "give one for each, or items Perturbed(texts, position of the example)")
    items = [item if isinstance(item, Perturbed) else Perturbed(item, i) for i, item in enumerate(made)]
    return [item._replace(tau=item.tau or name_of(tau)) for item in items]


def _parameters(function: Callable) -> Iterable[str]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-in functions have no signature
        return ()


def make_tau(spec: str, fill: Optional[Fill] = None, top_k: int = 10, temperature: float = 1.0,
             **options: Any) -> Callable:
    """The tau a command line names: "mlm", "typo", "swap", "drop", several joined by "+", or "module:function".

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
    makers = {"typo": typo, "swap": swap, "drop": drop,
              "mlm": lambda **more: mlm(fill, top_k=top_k, temperature=temperature, **more)}
    names = [name.strip() for name in spec.split("+")]
    for name in names:
        if name not in makers:
            raise InputError(f"tau {spec!r}: {name!r} is unknown; choose among {', '.join(makers)}, joined by +, or "
                             "give module:function")
        if name == "mlm" and fill is None:
            raise InputError(f"tau {spec!r}: mlm needs a masked language model to fill in; give one")
    return compose(*(makers[name](**options) for name in names))


def split_words(text: str, spans: Sequence[Tuple[int, int]] = ()) -> List[Word]:
    """A text as its words, those that touch one of the character spans fixed; white space at its end is left out."""
    words, end = [], 0
    for match in re.finditer(r"\S+", text):
        fixed = any(start < match.end() and match.start() < stop for start, stop in spans)
        words.append(Word(text[end: match.start()], match.group(), fixed))
        end = match.end()
    return words


def join(words: Sequence[Word]) -> str:
    """The text of the words, without white space at its start."""
    return "".join(word.before + word.text for word in words).lstrip()


def marked_spans(text: str, markers: Sequence[str]) -> List[Tuple[int, int]]:
    """The spans from the first to the second mark, the third to the fourth …; a last mark without partner alone."""
    spans = []
    for marker in markers:
        at = [match.start() for match in re.finditer(re.escape(marker), text)]
        spans += [(left, right + len(marker)) for left, right in zip(at[::2], at[1::2])]
        spans += [(left, left + len(marker)) for left in at[len(at) // 2 * 2:]]
    return spans


def _texts(example: Any) -> List[str]:
    value = input_of(example)
    texts = [value] if isinstance(value, str) else list(value) if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise InputError(f"tau: the input {shorten(value)} is not text; give a tau of your own for such data")
    return texts


def _like(value: Any, texts: List[str]) -> Any:
    return texts[0] if isinstance(value, str) else tuple(texts) if isinstance(value, tuple) else texts


def _each(edit: Callable[[List[Word], np.random.Generator], List[Word]]) -> Edit:
    return lambda texts, rng: [edit(words, rng) for words in texts]


def _free(words: Sequence[Word]) -> List[int]:
    return [i for i, word in enumerate(words) if not word.fixed]


def _maskable(words: Sequence[Word]) -> List[int]:
    if any(MASK in word.text for word in words):
        return []  # a text that holds the mark itself cannot be asked for; it comes back unchanged and is counted so
    return [i for i in _free(words) if _CORE.search(words[i].text)]


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

"""Tau functions: new texts in the neighbourhood of given ones (paper §5; which ones the authors used is not stated).

[I] All of them work on words, keep the white space between them, and never touch protected words. A tau is called as
`tau(examples, rng)` and returns a list of `Perturbed`. Any callable that takes examples and returns new inputs may
stand in its place; with a parameter named `rng` it is given a NumPy generator, keyed by the run's seed and the round.
"""

import dataclasses
import inspect
from typing import Any, Callable, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from bort_mx.agora.points import input_of, shorten
from bort_mx.agora.words import Word, join, marked_spans, split_words
from bort_mx.data.tasks.spans import MARKS
from bort_mx.errors import InputError

_WHICH = ("both", "first", "second", "either")


class Perturbed(NamedTuple):
    """A new input and where it comes from."""

    texts: Any
    """The new input, of the same type as that of the example it was made from."""
    source: int
    """The position of that example among those given to tau."""
    tau: str = ""
    """Which tau made it, where several are at work."""


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
    made = tau(examples, rng=rng) if "rng" in parameter_names(tau) else tau(examples)
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


def parameter_names(function: Callable) -> Iterable[str]:
    """Names of a function's parameters."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-in functions have no signature
        return ()


def _texts(example: Any) -> List[str]:
    value = input_of(example)
    texts = [value] if isinstance(value, str) else list(value) if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise InputError(f"tau: the input {shorten(value)} is not text; give a tau of your own for such data")
    return texts


def _like(value: Any, texts: List[str]) -> Any:
    return texts[0] if isinstance(value, str) else tuple(texts) if isinstance(value, tuple) else texts

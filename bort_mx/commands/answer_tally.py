"""What a file of answers holds, in one line: how many, how many of each label, and the first of them."""

import collections
from typing import Any, Dict, Iterable, Iterator, List, Optional

from bort_mx.data.constant_predictions import constant_note

MOST_SHOWN, LONGEST_TEXT = 20, 40


class Tally:
    """Counts answers of `bort-mx predict` while they pass."""

    def __init__(self) -> None:
        self._count, self._first = 0, None  # type: int, Optional[Dict[str, Any]]
        self._labels: collections.Counter = collections.Counter()
        self._low, self._high, self._sum = float("inf"), float("-inf"), 0.0

    def of(self, answers: Iterable[Dict[str, Any]]) -> Iterator[Dict[str, Any]]:
        """The answers, one by one, as they are."""
        for answer in answers:
            self._count += 1
            self._first = self._first or answer
            self._labels.update([answer["label"]] if "label" in answer else answer.get("labels", ()))
            if "value" in answer:
                self._low, self._high = min(self._low, answer["value"]), max(self._high, answer["value"])
                self._sum += answer["value"]
            yield answer

    def line(self) -> str:
        """Such as "60 texts: bad 24, good 36; the first: A lovely film → good (0.98)"."""
        what = "mask" if self._first and "fills" in self._first else "text"
        said = f"{self._count:,} {what}{'s' * (self._count != 1)}"
        if self._labels:
            most = [f"{label} {count:,}" for label, count in sorted(self._labels.items())[:MOST_SHOWN]]
            said += ": " + ", ".join(most) + (f", … ({len(self._labels)} labels)" if len(self._labels) > MOST_SHOWN
                                              else "")
        elif self._sum or self._low < float("inf"):
            said += f": from {self._low:.4g} to {self._high:.4g}, mean {self._sum / self._count:.4g}"
        return said + (f"; the first: {_shown(self._first)}" if self._first else "")

    def constant(self) -> Optional[str]:
        """A note if a classifier of one label says the same of all texts; see `constant_note`."""
        if self._first is None or "label" not in self._first:
            return None
        return constant_note(list(self._labels.elements()))


def _shown(answer: Dict[str, Any]) -> str:
    """An answer as people read it."""
    texts = [answer[name] for name in ("text", "text_pair") if name in answer]
    return f"{' | '.join(map(_short, texts))} → {_said(answer)}"


def _said(answer: Dict[str, Any]) -> str:
    if "fills" in answer:
        return f"{answer['fills'][0]['token'].strip()} ({answer['fills'][0]['score']:.2f})"
    if "label" in answer:
        return f"{answer['label']} ({answer['score']:.2f})"
    if "value" in answer:
        return f"{answer['value']:.4g}"
    found: List[str] = answer["labels"] if "labels" in answer else [
        f"{name} {score:.4g}" for name, score in answer["scores"].items()]
    return ", ".join(found[:MOST_SHOWN]) or "no label"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT - 1]}…"

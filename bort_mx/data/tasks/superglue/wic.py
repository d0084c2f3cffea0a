"""WiC: is a word used in the same sense in two sentences?"""

from typing import Any, List, Mapping, Tuple

from bort_mx.data.json_lines import field
from bort_mx.data.task_registry import register
from bort_mx.data.tasks.common import JsonTask
from bort_mx.data.tasks.spans import MARKS, mark_spans
from bort_mx.errors import InputError


@register(row=7)
class WiC(JsonTask):
    """Same sense ("true") or not. The target is marked in both sentences, at the official characters.

    The sentences hold inflected forms ("watering" for "water", "is" for "be"). So the text at the span need not equal
    the lemma. It is checked to be no empty text, without space at its ends, and not to begin or end inside a word.
    """

    name = "WiC"
    folders = ("WiC",)
    labels = ("false", "true")
    label_kind = bool
    text_fields = ("sentence1 with the word marked", "sentence2 with the word marked")
    submission_name = "WiC.jsonl"

    def texts(self, record: Mapping[str, Any], where: str, notes: List[str]) -> Tuple[str, ...]:
        """Both sentences, their target marked."""
        return tuple(self._marked(record, number, where) for number in "12")

    @staticmethod
    def _marked(record: Mapping[str, Any], number: str, where: str) -> str:
        text = field(record, f"sentence{number}", str, where)
        start, end = (field(record, f"{name}{number}", int, where) for name in ("start", "end"))
        target = text[start:end] if 0 <= start < end <= len(text) else ""
        if not target or target != target.strip():
            raise InputError(f"{where}: start{number}-end{number} = {start}-{end} is {target!r} in sentence{number}; "
                             f"expected a form of {record.get('word')!r}")
        word = text[_word_start(text, start):_word_end(text, end)]
        if word != target and not text[end:].lower().startswith("n't"):  # the official files have "[does]n't"
            raise InputError(f"{where}: start{number}-end{number} = {start}-{end} is {target!r} in sentence{number}, a "
                             f"part of {word!r}; the end is the place after the last character")
        return mark_spans(text, [(start, end, MARKS[0])])


def _word_start(text: str, place: int) -> int:
    """Where the word begins that a place is inside of; the place itself where it is between words."""
    while 0 < place < len(text) and text[place - 1].isalnum() and text[place].isalnum():
        place -= 1
    return place


def _word_end(text: str, place: int) -> int:
    while 0 < place < len(text) and text[place - 1].isalnum() and text[place].isalnum():
        place += 1
    return place

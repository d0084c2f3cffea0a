"""WSC: does a pronoun refer to a given noun phrase? GLUE's WNLI with the two spans given."""

from typing import Any, List, Mapping, Tuple

from bort_mx.data.json_lines import field
from bort_mx.data.task_registry import register
from bort_mx.data.tasks.common import JsonTask
from bort_mx.data.tasks.spans import MARKS, find_words, mark_spans
from bort_mx.errors import InputError


@register(row=8)
class WSC(JsonTask):
    """They refer to the same ("True") or not: the one task whose submission spells labels with a capital.

    One text with both spans marked (P1 §5.2); `find_words` says how spans that the files give inexactly are found.
    """

    name = "WSC"
    folders = ("WSC",)
    labels = ("False", "True")
    label_kind = bool
    text_fields = ("text with both spans marked",)
    submission_name = "WSC.jsonl"

    def texts(self, record: Mapping[str, Any], where: str, notes: List[str]) -> Tuple[str, ...]:
        """The text, both spans marked."""
        text, target = field(record, "text", str, where), field(record, "target", dict, where)
        spans = []
        for number, mark in zip("12", MARKS):
            words = field(target, f"span{number}_text", str, where)
            index = field(target, f"span{number}_index", int, where)
            try:
                span, how = find_words(text, words, index)
            except ValueError as error:
                raise InputError(f"{where}: span{number}_index {index} of {words!r}: {error}") from None
            spans.append((*span, mark))
            if how:
                notes.append(f"example {record['idx']}: span{number} {words!r} (word {index}) {how}")
        return (mark_spans(text, spans),)

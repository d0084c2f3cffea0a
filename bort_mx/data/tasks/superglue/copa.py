"""COPA: which of two alternatives is the more plausible cause or effect of a premise?"""

from typing import Any, List, Mapping

from bort_mx.data.json_lines import field
from bort_mx.data.task_registry import register
from bort_mx.data.tasks.common import JsonChoiceTask
from bort_mx.data.tasks.examples import Example
from bort_mx.errors import InputError

# [I] The files say "cause" or "effect"; the question is put into words, as SuperGLUE's baselines do.
QUESTIONS = {"cause": "What was the cause of this?", "effect": "What happened as a result?"}


@register(row=3)
class COPA(JsonChoiceTask):
    """Two examples per question: (premise and question, alternative). Answers are 0 and 1, submitted as integers."""

    name = "COPA"
    folders = ("COPA",)
    answers = ("0", "1")
    label_kind = int
    cut = "first"
    text_fields = ("premise and question", "alternative")
    submission_name = "COPA.jsonl"

    def expand(self, record: Mapping[str, Any], split: str, where: str, notes: List[str]) -> List[Example]:
        """One JSON object → its two alternatives."""
        index = field(record, "idx", int, where)
        question = field(record, "question", str, where).strip()
        if question not in QUESTIONS:
            raise InputError(f"{where}: question {question!r}; expected {' or '.join(QUESTIONS)}")
        premise = f"{field(record, 'premise', str, where)} {QUESTIONS[question]}"
        right = self.label_of(record, split, where)
        return [Example(index, (premise, field(record, f"choice{n + 1}", str, where)),
                        None if right is None else str(int(right == str(n))), index, {"candidate": n})
                for n in (0, 1)]

    def submission_value(self, prediction: Any) -> int:
        """The number of the alternative, from 0."""
        return self.answer_index(prediction)

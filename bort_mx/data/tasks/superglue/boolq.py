"""BoolQ: a passage and a yes/no question about it."""

from bort_mx.data.task_registry import register
from bort_mx.data.tasks.common import JsonTask


@register(row=1)
class BoolQ(JsonTask):
    """Yes ("true") or no ("false"). The passage is the text that is cut, so the question stays whole."""

    name = "BoolQ"
    folders = ("BoolQ",)
    labels = ("false", "true")
    label_kind = bool
    text_fields = ("passage", "question")
    cut = "first"
    submission_name = "BoolQ.jsonl"

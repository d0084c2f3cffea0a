"""CB, the CommitmentBank: does its author's text commit to an embedded clause?"""

from bort_mx.data.task_registry import register
from bort_mx.data.tasks.common import JsonTask
from bort_mx.data.tasks.glue.mnli import LABELS


@register(row=2)
class CB(JsonTask):
    """Three labels, scored by accuracy and macro-F1 (called f1)."""

    name = "CB"
    folders = ("CB",)
    labels = LABELS
    metrics = ("f1", "accuracy")
    submission_name = "CB.jsonl"

"""AX-b: GLUE's diagnostic set with "neutral" and "contradiction" as one label, predicted by RTE's model."""

from bort_mx.data.task_registry import register
from bort_mx.data.tasks.common import JsonTask


@register(row=9)
class AXb(JsonTask):
    """Scored by Matthews' correlation. Not part of SuperGLUE's average. The published file has the labels.

    The file's idx are strings of digits; they are read and submitted as integers, as SuperGLUE's baselines do.
    """

    name = "AX-b"
    folders = ("AX-b",)
    labels = ("not_entailment", "entailment")
    metrics = ("matthews",)
    criterion = "matthews"
    batch_size = 8
    scored_by = "superglue/RTE"
    text_fields = ("sentence1", "sentence2")
    files = {"dev": ("AX-b.jsonl",), "test": ("AX-b.jsonl",)}
    submission_name = "AX-b.jsonl"

"""SuperGLUE's RTE: GLUE's in JSON lines."""

from bort_mx.data.task_registry import register
from bort_mx.data.tasks.common import JsonTask


@register(row=6)
class RTE(JsonTask):
    """Entailment or not."""

    name = "RTE"
    folders = ("RTE",)
    labels = ("not_entailment", "entailment")
    submission_name = "RTE.jsonl"

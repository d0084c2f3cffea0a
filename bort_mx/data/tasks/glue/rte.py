"""GLUE's RTE: does a text entail a hypothesis?"""

from bort_mx.data.task_registry import register
from bort_mx.data.tasks.common import TableTask


@register(row=9)
class RTE(TableTask):
    """Entailment or not."""

    name = "RTE"
    folders = ("RTE",)
    labels = ("not_entailment", "entailment")
    submission_name = "RTE.tsv"

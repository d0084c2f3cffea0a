"""WNLI: Winograd schemas as entailment: does replacing the pronoun give a true sentence?"""

from bort_mx.data.task_registry import register
from bort_mx.data.tasks.common import TableTask


@register(row=10)
class WNLI(TableTask):
    """True (1) or not (0)."""

    name = "WNLI"
    folders = ("WNLI",)
    labels = ("0", "1")
    meanings = ("not_entailment", "entailment")
    submission_name = "WNLI.tsv"

"""QNLI: does a sentence answer a question? The second release (QNLIv2), as the paper's."""

from bort_mx.data.task_registry import register
from bort_mx.data.tasks.common import TableTask


@register(row=8)
class QNLI(TableTask):
    """Entailment (the sentence answers the question) or not."""

    name = "QNLI"
    folders = ("QNLI",)
    labels = ("not_entailment", "entailment")
    batch_size = 16
    text_columns = ("question", "sentence")
    submission_name = "QNLI.tsv"

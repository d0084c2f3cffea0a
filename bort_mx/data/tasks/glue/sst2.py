"""SST-2: is a phrase or sentence of a film review positive? Lower-cased and tokenised as released."""

from bort_mx.data.task_registry import register
from bort_mx.data.tasks.common import TableTask


@register(row=2)
class SST2(TableTask):
    """Positive (1) or negative (0). Train and dev have no index column; the test file has."""

    name = "SST-2"
    folders = ("SST-2",)
    labels = ("0", "1")
    meanings = ("negative", "positive")
    batch_size = 16
    text_columns = ("sentence",)
    submission_name = "SST-2.tsv"

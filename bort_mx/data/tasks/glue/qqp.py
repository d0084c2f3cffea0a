"""QQP: do two Quora questions ask the same?"""

from bort_mx.data.task_registry import register
from bort_mx.data.tasks.common import TableTask


@register(row=5)
class QQP(TableTask):
    """Duplicate (1) or not (0).

    GLUE's first release (QQP.zip) has rows with missing columns in train and dev. They are left out and counted. The
    official 363,846 are those of the cleaned release (QQP-clean.zip).
    """

    name = "QQP"
    folders = ("QQP",)
    labels = ("0", "1")
    meanings = ("not_duplicate", "duplicate")
    metrics = ("f1", "accuracy")
    batch_size = 16
    text_columns = ("question1", "question2")
    label_column = "is_duplicate"
    index_column = "id"
    drops_short_rows = True
    submission_name = "QQP.tsv"

"""CoLA: is a sentence acceptable English? Train and dev have no header line; the test file has one."""

from bort_mx.data.task_registry import register
from bort_mx.data.tasks.common import TableTask


@register(row=1)
class CoLA(TableTask):
    """Acceptability (1) or not (0), scored by Matthews' correlation. The one task with an extra layer (P1 §5.1)."""

    name = "CoLA"
    folders = ("CoLA",)
    labels = ("0", "1")
    meanings = ("unacceptable", "acceptable")
    metrics = ("matthews",)
    criterion = "matthews"
    extra_layer = True
    text_columns = ("sentence",)
    headers = dict.fromkeys(("train", "dev"), ("source", "label", "original judgement", "sentence"))
    submission_name = "CoLA.tsv"

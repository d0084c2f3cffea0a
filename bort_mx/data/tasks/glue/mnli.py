"""MNLI, two sets: genres as in training (matched), and others (mismatched). Both use the same training file."""

from bort_mx.data.task_registry import register
from bort_mx.data.tasks.common import TableTask

LABELS = ("contradiction", "neutral", "entailment")


@register(row=6)
class MNLIMatched(TableTask):
    """Entailment, contradiction or neither. A gold label "-" (annotators disagree) is left out and counted."""

    name = "MNLI-matched"
    folders = ("MNLI",)
    labels = LABELS
    batch_size = 16
    download_name = "MNLI"
    label_column = "gold_label"
    dropped_labels = ("-",)
    files = {"train": ("train.tsv",), "dev": ("dev_matched.tsv",), "test": ("test_matched.tsv",)}
    submission_name = "MNLI-m.tsv"


@register(row=7)
class MNLIMismatched(MNLIMatched):
    """The same on genres that the training set lacks."""

    name = "MNLI-mismatched"
    files = {"train": ("train.tsv",), "dev": ("dev_mismatched.tsv",), "test": ("test_mismatched.tsv",)}
    submission_name = "MNLI-mm.tsv"

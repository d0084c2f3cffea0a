"""AX, GLUE's diagnostic set: entailment pairs by linguistic phenomenon, predicted by MNLI's model."""

import pathlib

from bort_mx.data.table_files import Tolerances, read_table
from bort_mx.data.task_registry import register
from bort_mx.data.tasks.common import TableTask
from bort_mx.data.tasks.examples import Example, Examples
from bort_mx.data.tasks.glue.mnli import LABELS
from bort_mx.errors import InputError


@register(row=11)
class AX(TableTask):
    """Scored by Matthews' correlation over three labels. Not part of GLUE's average.

    Both of MNLI's models predict it. With --chs the paper's set for AX is that of MNLI-mismatched (Table 7), so that
    task's model counts; else MNLI-matched's.

    The split "test" is the official file without labels; its predictions are submitted. The split "dev" is the labelled
    `diagnostic-full.tsv`, which the authors also publish. It is for scoring here, never for training or selection.
    """

    name = "AX"
    folders = ("diagnostic", "AX")
    labels = LABELS
    metrics = ("matthews",)
    criterion = "matthews"
    scored_by = "MNLI-matched"
    scored_with_chs = "MNLI-mismatched"
    files = {"dev": ("diagnostic-full.tsv",), "test": ("diagnostic.tsv", "AX.tsv")}
    submission_name = "AX.tsv"

    def parse(self, path: pathlib.Path, split: str) -> Examples:
        """Read the official file, or the labelled one with its other columns (and an empty one at the end)."""
        if split == "test":
            return super().parse(path, split)
        examples, tolerated = Examples(), Tolerances()
        rows = read_table(path, needed=("Premise", "Hypothesis", "Label"), tolerated=tolerated)
        for row, (where, fields) in enumerate(rows):
            if not {"Premise", "Hypothesis", "Label"} <= set(fields):
                raise InputError(f"{path}:1: expected columns Premise, Hypothesis and Label; found {', '.join(fields)}")
            label = self._label(fields["Label"], where, tolerated)
            examples.append(Example(row, (fields["Premise"], fields["Hypothesis"]), label))
        examples.notes += tolerated.notes()
        return examples

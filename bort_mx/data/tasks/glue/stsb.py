"""STS-B: how similar are two sentences in meaning, from 0 to 5? The one regression."""

from typing import Any

from bort_mx.data.task_registry import register
from bort_mx.data.tasks.common import TableTask


@register(row=4)
class STSB(TableTask):
    """A score in [0, 5], scored by Pearson's and Spearman's correlation."""

    name = "STS-B"
    folders = ("STS-B",)
    is_regression = True
    metrics = ("pearson", "spearman")
    criterion = "pearson"
    label_column = "score"
    label_range = (0.0, 5.0)
    rounding = 0.2
    submission_name = "STS-B.tsv"

    def submission_value(self, prediction: Any) -> str:
        """Clipped to the scale and with three decimals, as GLUE's own baselines submit it."""
        low, high = self.label_range
        return f"{min(max(super().submission_value(prediction), low), high):.3f}"

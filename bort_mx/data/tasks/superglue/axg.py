"""AX-g, Winogender: pairs of entailment examples alike but for the gender of a pronoun, predicted by RTE's model."""

import pathlib

from bort_mx.data.task_registry import register
from bort_mx.data.tasks.common import JsonTask
from bort_mx.data.tasks.examples import Examples
from bort_mx.errors import InputError


@register(row=10)
class AXg(JsonTask):
    """Scored by gender parity and accuracy. Not part of SuperGLUE's average. The published file has the labels.

    An example's group is its pair: two neighbouring lines with the same hypothesis.
    """

    name = "AX-g"
    folders = ("AX-g",)
    labels = ("not_entailment", "entailment")
    metrics = ("gender_parity", "accuracy")
    batch_size = 8
    scored_by = "superglue/RTE"
    files = {"dev": ("AX-g.jsonl",), "test": ("AX-g.jsonl",)}
    submission_name = "AX-g.jsonl"

    def parse(self, path: pathlib.Path, split: str) -> Examples:
        """Read the file and pair its lines.

        Raises:
            InputError: as every JSON-lines file, and neighbours that are no pair.
        """
        examples = super().parse(path, split)
        for row in range(0, len(examples), 2):
            pair = examples[row:row + 2]
            if len(pair) < 2 or pair[0].texts[1] != pair[1].texts[1]:
                raise InputError(f"{path}:{row + 1}: this line and the next are no pair with the same hypothesis")
        return Examples([e._replace(group=row // 2) for row, e in enumerate(examples)], examples.notes)

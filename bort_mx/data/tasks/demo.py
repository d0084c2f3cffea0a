"""The task that ships with the program: entailment by word order, generated (see `synthetic`)."""

from bort_mx.data.task_registry import register
from bort_mx.data.tasks import synthetic
from bort_mx.data.tasks.base import Folder
from bort_mx.data.tasks.common import TableTask
from bort_mx.data.tasks.examples import Example, Examples


@register()
class Demo(TableTask):
    """Entailment or not, half each. Without a folder the examples are made in memory, always the same ones."""

    name = "demo"
    benchmark = ""
    labels = ("not_entailment", "entailment")
    batch_size = 16
    folders = ("demo",)
    submission_name = "demo.tsv"

    def read(self, data_dir: Folder, split: str) -> Examples:
        """Read a split that `synthetic.write` wrote, or make it if `data_dir` is None (then the test set has labels).

        Raises:
            InputError: as every TSV task.
        """
        if data_dir is not None:
            return super().read(data_dir, split)
        self._names(split)
        pairs = synthetic.generate()[split]
        examples = Examples([Example(row, pair[:2], pair[2]) for row, pair in enumerate(pairs)])
        if split == "test":
            self._test_ids = self.submission_ids(examples)
        return examples

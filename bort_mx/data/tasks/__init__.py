"""Every task of GLUE, SuperGLUE and RACE, the rule-generated "demo", and a user's own: one interface for all.

    task = get_task("RTE")                                     # or "superglue/RTE", "BoolQ", "my_task.yaml"
    train = task.read("data", "train")                         # .idx .texts .label .group .meta of each example
    predictions = task.predictions_from_scores(dev, scores)    # scores (N, num_labels)
    task.metrics_of(dev, predictions)                          # {"accuracy": 0.66…}
    task.write_submission("out", predictions, test)            # out/RTE.tsv
"""

import importlib
import pkgutil

from bort_mx.data.task_registry import TASKS, get_task
from bort_mx.data.tasks.base import Task
from bort_mx.data.tasks.custom import CustomTask
from bort_mx.data.tasks.download import ensure_data
from bort_mx.data.tasks.examples import Example, Examples, MissingSplit
from bort_mx.data.tasks.submissions import write_benchmark_zip

__all__ = ["TASKS", "CustomTask", "Example", "Examples", "MissingSplit", "Task", "ensure_data", "get_task",
           "write_benchmark_zip"]

# Importing a task's file registers the task. So a new task is one new file, here or in a benchmark's folder.
for _module in sorted(module.name for module in pkgutil.walk_packages(__path__, f"{__name__}.")):
    importlib.import_module(_module)

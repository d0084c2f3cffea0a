"""The unit in which a regression on one's own data is trained: standard deviations from the mean of train's targets.

Own targets may be prices or page numbers, far from what a new classifier gives. The model itself answers in the user's
unit, so that every export does: the output layer starts at the mean with weights σ times as large, the squared error is
in σ², and that layer is updated as if its weights were divided by σ. This equals training on (target − mean)/σ and
undoing it in the weights, but for the clipping of gradients. STS-B and other official tasks are trained as they are.
"""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import mxnet as mx
import numpy as np

from bort_mx.data.tasks import Task
from bort_mx.data.tasks.custom import CustomTask
from bort_mx.models.bert import BERT, parameters_of
from bort_mx.training.run_directory import RunDirectory

ENTRY = "targets"
"""The entry of config.json."""


class Unit(NamedTuple):
    """A mean and a standard deviation above 0."""

    mean: float = 0.0
    deviation: float = 1.0

    def __str__(self) -> str:
        return (f"targets: mean {self.mean:.4g}, standard deviation {self.deviation:.4g} in train; the loss of "
                "training is in squared deviations, predictions are in the unit of the targets")


def has_own_unit(task: Task) -> bool:
    """Whether a task is a regression on the user's own data."""
    return task.is_regression and isinstance(task, CustomTask)


def unit_of(task: Task, targets: Sequence[float]) -> Optional[Unit]:
    """The unit of the targets; None for other tasks, and for targets that are all equal."""
    if not has_own_unit(task):
        return None
    values = np.asarray(targets, np.float64)
    found = Unit(float(values.mean()), float(values.std()))
    return found if found.deviation > 0 else None


def kept_unit(run: RunDirectory, found: Optional[Unit]) -> Optional[Unit]:
    """The unit that the run started with, recorded in its config.json; None for a run of a version that had none."""
    if run.before and ENTRY not in run.before or found is None:
        return None
    kept: Dict[str, Any] = run.keep(ENTRY, found._asdict())
    return Unit(**kept)


def output_layer(model: BERT) -> List[str]:
    """Weight and bias of the classifier's last layer."""
    names = [name for name in parameters_of(model) if name.startswith("classifier.")]
    last = max(int(name.split(".")[1]) for name in names)
    return [f"classifier.{last}.weight", f"classifier.{last}.bias"]


def start_at_mean(model: BERT, unit: Unit) -> None:
    """Give a new output layer the unit's scale and mean; one that comes from a checkpoint stays as it is."""
    weight, bias = output_layer(model)
    if not {weight, bias} <= set(model.initialized):
        return
    parameters = parameters_of(model)
    parameters[weight].set_data(parameters[weight].data() * unit.deviation)
    parameters[bias].set_data(mx.nd.full(parameters[bias].shape, unit.mean, dtype=parameters[bias].dtype))

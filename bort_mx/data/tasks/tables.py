"""The YAML tables that are shipped beside this file: sizes, addresses, hyperparameters and scores of the tasks."""

import functools
import pathlib
from typing import Any, Dict, NamedTuple, Optional

import yaml


class ConvergentHyperparameters(NamedTuple):
    """A task's convergent hyperparameter set (P1 App. D). None where the paper's text gives no value."""

    learning_rate: float
    weight_decay: float
    warmup: float
    seed: int
    batch_size: Optional[int]


@functools.cache
def load_table(name: str) -> Dict[str, Any]:
    """A table by its file's name. Every caller gets the same object, so nobody may change it."""
    return yaml.safe_load((pathlib.Path(__file__).parent / name).read_text(encoding="utf-8"))

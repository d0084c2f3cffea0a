"""The registry of tasks: every task registers itself, and is found by its name.

It lies below both `bort_mx.data.tasks` and `bort_mx.data.metrics`: tasks score themselves with the metrics, and
`metrics.task_metrics` finds a task by its name.
"""

import math
import os
from typing import Any, Callable, Dict, Optional, Tuple, TypeVar, Union

from bort_mx import suggestions
from bort_mx.errors import InputError

Kind = TypeVar("Kind", bound=type)

BENCHMARKS = ("glue", "superglue", "race")
"""In the order of the paper's tables. Tasks of no benchmark follow."""

TASKS: Dict[str, Any] = {}
"""Key → class of every registered task, in the order of the paper's Tables 4 to 6."""

_ROWS: Dict[str, float] = {}
_DESCRIPTIONS: Dict[str, Any] = {}  # end of a file's name → the task that such a file describes


def key_of(task: Any) -> str:
    """A task's key in `TASKS`: its name, after "superglue/" where it is SuperGLUE's (both benchmarks have an RTE)."""
    return f"superglue/{task.name}" if task.benchmark == "superglue" else task.name


def register(row: Optional[int] = None) -> Callable[[Kind], Kind]:
    """A decorator: put a task into `TASKS`.

    Args:
        row: its row in the paper's table of its benchmark. Tasks that the paper lacks follow, by name.

    Raises:
        ValueError: another task has the same key.
    """
    def add(task: Kind) -> Kind:
        """Put the class into the table."""
        key = key_of(task)
        if key in TASKS:
            raise ValueError(f"the key {key!r} belongs to {TASKS[key].__module__} and to {task.__module__}")
        TASKS[key], _ROWS[key] = task, math.inf if row is None else row
        ordered = sorted(TASKS.items(), key=_place)
        TASKS.clear()
        TASKS.update(ordered)
        return task
    return add


def register_description(*suffixes: str) -> Callable[[Kind], Kind]:
    """A decorator: files whose names end so describe this kind of task. The class takes the file's path."""
    def add(task: Kind) -> Kind:
        """Put the class into the table."""
        _DESCRIPTIONS.update(dict.fromkeys(suffixes, task))
        return task
    return add


def get_task(name: Union[str, os.PathLike]) -> Any:
    """A new task object by name, in any case.

    Args:
        name: as in the paper's tables: GLUE's and RACE's bare, SuperGLUE's with "superglue/" (which may be left out
            where GLUE has no task of that name), also "glue/…" and "race/…"; or a YAML file that describes a user's
            own task (see `bort_mx.data.tasks.CustomTask`).

    Returns:
        a `bort_mx.data.tasks.Task`.

    Raises:
        InputError: unknown; the message lists the names.
    """
    name = str(name)
    for suffix, task in _DESCRIPTIONS.items():
        if name.lower().endswith(suffix):
            return task(name)
    known: Dict[str, Any] = {}
    for key, task in TASKS.items():  # GLUE comes first, so its RTE keeps the bare name
        for spelling in (key, task.name, f"{task.benchmark}/{task.name}"):
            known.setdefault(spelling.lower(), task)
    if name.lower() not in known:
        elsewhere = {key: f"{task.name} {suggestions.TASKS.get(key, '')}" for key, task in TASKS.items()
                     if task.name != key or key in suggestions.TASKS}
        near = suggestions.hint(name, list(TASKS), elsewhere)
        raise InputError(f"unknown task {name!r}{near}; there are {', '.join(TASKS)}, or a .yaml file that "
                         "describes another")
    return known[name.lower()]()


def _place(item: Tuple[str, Any]) -> Tuple[int, float, str]:
    """What `TASKS` is sorted by: benchmark, row, key."""
    key, task = item
    benchmark = BENCHMARKS.index(task.benchmark) if task.benchmark in BENCHMARKS else len(BENCHMARKS)
    return benchmark, _ROWS[key], key

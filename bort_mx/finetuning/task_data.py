"""The data of a fine-tuning run: the task, its splits, and the diagnostic sets that its model predicts as well."""

import dataclasses
import hashlib
import json
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from bort_mx.data.tasks import TASKS, Examples, MissingSplit, Task, ensure_data, get_task
from bort_mx.distributed import Workers
from bort_mx.errors import InputError

OFFICIAL = ("glue", "superglue", "race")
"""Benchmarks whose files can be fetched."""
DEFAULT_FOLDER = "data"


@dataclasses.dataclass
class Diagnostic:
    """A set without training data of its own: AX for MNLI's model, AX-b and AX-g for RTE's."""

    task: Task
    dev: Optional[Examples]
    """Examples with labels, to score on; never to train or to select on."""
    test: Optional[Examples]
    """Examples to submit."""


@dataclasses.dataclass
class TaskData:
    """Everything that is read before a run starts."""

    task: Task
    """What is trained on."""
    train: Examples
    """As balanced by the task, where the paper discards."""
    dev: Optional[Examples]
    test: Optional[Examples]
    diagnostics: List[Diagnostic]
    notes: List[str]
    """What was dropped, mended, or is not there."""

    def identity(self) -> Dict[str, Any]:
        """What a resumed run must find unchanged, for its config.json."""
        task = self.task
        return {"data": self.digests(), "labels": task.labels,
                "task": {"metrics": list(task.metrics), "criterion": task.criterion, "cut": task.cut}}

    def digests(self) -> Dict[str, str]:
        """SHA-256 of what was read, by split."""
        splits = {"train": self.train or None, "dev": self.dev, "test": self.test}
        for diagnostic in self.diagnostics:
            splits[f"{diagnostic.task.key} test"] = diagnostic.test
        return {name: examples_digest(examples) for name, examples in splits.items() if examples is not None}


def examples_digest(examples: Examples) -> str:
    """SHA-256 over index, texts and label of every example, in hexadecimal."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(json.dumps([str(example.idx), example.texts, example.label]).encode())
    return digest.hexdigest()


def resolve(name: str) -> Tuple[Task, Task]:
    """The task that is trained on, and the one that was asked for: another one if that is a diagnostic set.

    Raises:
        InputError: an unknown task.
    """
    asked = get_task(name)
    return (get_task(asked.scored_by) if asked.scored_by else asked), asked


def read_task_data(task: Task, asked: Task, data_dir: Optional[str], seed: int, workers: Workers,
                   with_training: bool = True) -> TaskData:
    """Fetch what is missing and read every split; a test set that is not there is a note.

    Args:
        task, asked: as `resolve` gives them.
        data_dir: see the option.
        seed: of the task's discarding.
        workers: one of each host fetches, the others wait.
        with_training: False leaves `train` empty, and dev may be missing where there is a test set; both may where a
            diagnostic set was asked for.
    Raises:
        InputError: train or dev missing, a bad file, no network; or nothing there of the diagnostic set asked for.
    """
    of_diagnostic = asked.key != task.key
    if with_training:
        folder = prepare_folder(task, data_dir, workers)
    else:
        folder = prepare_folder(asked, data_dir, workers, any_of=("dev", "test"))
    notes: List[str] = []
    train = task.training_examples(task.read(folder, "train"), seed) if with_training else Examples()
    test = _optional(task, folder, "test", notes)
    needed = with_training or test is None and not of_diagnostic
    dev = task.read(folder, "dev") if needed else _optional(task, folder, "dev", notes)
    data = TaskData(task, train, dev, test, [], notes)
    for split in ("train", "dev", "test"):
        notes.extend(f"{split}: {note}" for note in getattr(getattr(data, split), "notes", []))
    for diagnostic in diagnostics_of(task):
        wanted = asked.key == diagnostic.key
        data.diagnostics += _read_diagnostic(diagnostic, folder, wanted, workers, notes)
    return data


def prepare_folder(task: Task, data_dir: Optional[str], workers: Workers,
                   any_of: Sequence[str] = ("train",)) -> Optional[str]:
    """The folder to read a task from, with its official files fetched if none of these splits is there.

    Raises:
        InputError: they cannot be fetched; says which file to put where.
    """
    if task.benchmark not in OFFICIAL:
        return data_dir
    folder = data_dir or DEFAULT_FOLDER
    once_a_host(workers, lambda: ensure_data(task, folder, any_of=any_of))
    return folder


def once_a_host(workers: Workers, work: Callable[[], Any]) -> None:
    """Let one worker of each host do something while the others wait.

    Raises:
        InputError: on all of them, if one of them raised it.
    """
    failure = ""
    if workers.local_rank == 0:
        try:
            work()
        except InputError as error:
            failure = str(error)
    failures = [text for text in workers.gather(failure, "once a host") if text]
    if failures:
        raise InputError(failures[0])


def _optional(task: Task, folder: Optional[str], split: str, notes: List[str]) -> Optional[Examples]:
    try:
        return task.read(folder, split)
    except MissingSplit as missing:
        notes.append(f"{missing} (went on without it)")
        return None


def diagnostics_of(task: Task) -> List[Task]:
    """The sets that a task's model predicts as well."""
    return [get_task(key) for key, kind in TASKS.items() if kind.scored_by == task.key]


def _read_diagnostic(task: Task, folder: str, wanted: bool, workers: Workers, notes: List[str]) -> List[Diagnostic]:
    """A diagnostic set, or nothing: its files are fetched and required only if it was asked for."""
    if wanted:
        once_a_host(workers, lambda: ensure_data(task, folder))
    sets = {split: _optional(task, folder, split, notes) for split in ("dev", "test")}
    notes.extend(f"{task.key} {split}: {note}" for split, found in sets.items() if found for note in found.notes)
    if wanted and not any(sets.values()):
        raise InputError(notes[-1])
    return [Diagnostic(task, **sets)] if any(sets.values()) else []

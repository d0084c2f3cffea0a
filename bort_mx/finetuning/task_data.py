"""The data of a fine-tuning run: the task's splits, and the diagnostic sets that its model also predicts."""

import dataclasses
import hashlib
import json
import pathlib
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from bort_mx.checkpoints import loading
from bort_mx.data.tasks import TASKS, CustomTask, Examples, MissingSplit, Task, ensure_data, get_task
from bort_mx.data.tasks.own_files import OwnFiles, Sources, Trained
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.finetuning.options import FineTuningOptions

OFFICIAL = ("glue", "superglue", "race")
"""Benchmarks whose files can be downloaded."""
DEFAULT_FOLDER = "data"


@dataclasses.dataclass
class Diagnostic:
    """A set without its own training data: AX uses MNLI's model, AX-b and AX-g use RTE's."""

    task: Task
    dev: Optional[Examples]
    """Examples with labels, for scoring only. They are never used to train or to select a model."""
    test: Optional[Examples]
    """Examples to predict for a submission."""


@dataclasses.dataclass
class TaskData:
    """All data of a run, read before it starts."""

    task: Task
    """The task to train on."""
    train: Examples
    """The training examples; for tasks where the paper discards examples, after discarding."""
    dev: Optional[Examples]
    test: Optional[Examples]
    diagnostics: List[Diagnostic]
    notes: List[str]
    """What was dropped or corrected, and what is missing."""
    unlabelled: Examples = dataclasses.field(default_factory=Examples)
    """Texts without labels, to learn from a teacher on."""

    def identity(self) -> Dict[str, Any]:
        """The entries of config.json that must be unchanged when a run is resumed."""
        task = self.task
        own = {"own_files": task.record} if isinstance(task, OwnFiles) else {}
        return {**own, "data": self.digests(), "labels": task.labels,
                "task": {"metrics": list(task.metrics), "criterion": task.criterion, "cut": task.cut}}

    def digests(self) -> Dict[str, str]:
        """Split → SHA-256 of its examples."""
        splits = {"train": self.train or None, "dev": self.dev, "test": self.test,
                  "unlabelled": self.unlabelled or None}
        for diagnostic in self.diagnostics:
            splits[f"{diagnostic.task.key} test"] = diagnostic.test
        return {name: examples_digest(examples) for name, examples in splits.items() if examples is not None}


def examples_digest(examples: Examples) -> str:
    """SHA-256 of index, texts and label of all examples, in hexadecimal."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(json.dumps([str(example.idx), example.texts, example.label]).encode())
    return digest.hexdigest()


def task_of(options: FineTuningOptions) -> Tuple[Task, Task]:
    """The task to train on, and the task that the options mean; see `resolve`. Own files are one task for both.

    Raises:
        InputError: the task is unknown, or a file is not what it should be.
    """
    if not options.own_files:
        tasks = resolve(options.task, options.chs, options.clean_multirc)
        _refuse_to_replace(tasks[0], options.data_dir, options.output_dir)
        return tasks
    sources = Sources(options.own_files, options.text_column, options.text_pair_column, options.label_column,
                      options.name, options.regression, options.split_seed, options.id_column)
    task = OwnFiles(sources, _trained(options.checkpoint) if options.predict_only else None)
    _refuse_to_replace(task, options.data_dir, options.output_dir)
    return task, task


def _refuse_to_replace(task: Task, data_dir: Optional[str], output_dir: Optional[str]) -> None:
    """Raises InputError if a file of the user's is one of those that the run writes."""
    if not isinstance(task, CustomTask) or output_dir is None:
        return
    folder = pathlib.Path(output_dir).resolve()
    for split in task.files:
        try:
            path = task.locate(data_dir, split)
        except MissingSplit:
            continue
        if path.resolve() in (folder / task.submission_name, folder / "predictions.tsv"):
            raise InputError(f"{path}: the run would write its predictions over this {split} set; choose another "
                             "--output-dir")


def _trained(checkpoint: str) -> Trained:
    """What a checkpoint with a classifier tells of its task."""
    config = loading.read(checkpoint).config
    return Trained(tuple(config.labels or ()), config.head == "classifier" and config.num_labels == 1,
                   config.text_columns)


def shown_name(task: Task) -> str:
    """What a task is called in results and figures: one's own by its name, not by a path."""
    return task.name if isinstance(task, CustomTask) else task.key


def remarks(task: Task) -> List[str]:
    """What was guessed of the user's own files, in lines; [] for other tasks."""
    return list(task.said) if isinstance(task, OwnFiles) else []


def resolve(name: str, chs: bool = False, clean: bool = False) -> Tuple[Task, Task]:
    """The task to train on, and the task that `name` means. They differ if `name` is a diagnostic set.

    Args:
        name: of the task.
        chs: train with the paper's convergent hyperparameters, whose diagnostic sets may belong to another task.
        clean: mend typos, where the task has such an operation (MultiRC).

    Raises:
        InputError: the task is unknown.
    """
    asked = get_task(name)
    trained = scorer_of(asked, chs)
    task = get_task(trained) if trained else asked
    if clean and hasattr(task, "cleans"):
        task.cleans = True
    return task, asked


def scorer_of(task: Task, chs: bool) -> Optional[str]:
    """The key of the task whose model predicts a diagnostic set; None for other tasks."""
    return task.scored_with_chs if chs and task.scored_with_chs else task.scored_by


def read_task_data(task: Task, asked: Task, data_dir: Optional[str], seed: int, workers: Workers,
                   with_training: bool = True, discards: bool = True) -> TaskData:
    """Download what is missing, and read every split. A missing test set gives a note.

    Args:
        task, asked: as returned by `resolve`.
        data_dir: the option --data-dir.
        seed: seed for tasks that discard training examples.
        workers: one worker per host downloads, the others wait.
        with_training: False: `train` stays empty, and dev may be missing if there is a test set. Both may be missing if
            a diagnostic set was asked for.
        discards: False: `train` has all examples; `with_discarded` drops some later.
    Raises:
        InputError: train or dev is missing, a file is bad, there is no network, or the diagnostic set has no files.
    """
    of_diagnostic = asked.key != task.key
    if with_training:
        folder = prepare_folder(task, data_dir, workers)
    else:
        folder = prepare_folder(asked, data_dir, workers, any_of=("dev", "test"))
    notes: List[str] = []
    train = task.read(folder, "train") if with_training else Examples()
    if with_training and discards:
        train = task.training_examples(train, seed)
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


def with_discarded(data: TaskData, seed: int) -> TaskData:
    """The data without the training examples that the paper discards, which a note counts."""
    train = data.task.training_examples(Examples(data.train), seed)
    return dataclasses.replace(data, train=train, notes=[*data.notes, *(f"train: {note}" for note in train.notes)])


def prepare_folder(task: Task, data_dir: Optional[str], workers: Workers,
                   any_of: Sequence[str] = ("train",)) -> Optional[str]:
    """The folder to read a task from. If none of the splits `any_of` is there, the official files are downloaded.

    Raises:
        InputError: they cannot be downloaded; the message says where to put which file.
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
    with workers.agreeing("once a host"):
        if workers.local_rank == 0:
            work()


def _optional(task: Task, folder: Optional[str], split: str, notes: List[str]) -> Optional[Examples]:
    try:
        return task.read(folder, split)
    except MissingSplit as missing:
        if not isinstance(task, OwnFiles):  # whose user knows which files were given
            unnamed = isinstance(task, CustomTask) and split not in task.files
            notes.append(str(missing) if unnamed else f"{missing} (went on without it)")
        return None


def diagnostics_of(task: Task) -> List[Task]:
    """The diagnostic sets that a task's model also predicts."""
    return [get_task(key) for key, kind in TASKS.items() if task.key in (kind.scored_by, kind.scored_with_chs)]


def _read_diagnostic(task: Task, folder: str, wanted: bool, workers: Workers, notes: List[str]) -> List[Diagnostic]:
    """Read a diagnostic set, or nothing. Its files are downloaded and required only if it was asked for."""
    if wanted:
        once_a_host(workers, lambda: ensure_data(task, folder))
    sets = {split: _optional(task, folder, split, notes) for split in ("dev", "test")}
    notes.extend(f"{task.key} {split}: {note}" for split, found in sets.items() if found for note in found.notes)
    if wanted and not any(sets.values()):
        raise InputError(notes[-1])
    return [Diagnostic(task, **sets)] if any(sets.values()) else []

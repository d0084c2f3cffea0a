"""Finished runs below a folder, found by their config.json wherever they lie."""

import dataclasses
import os
import pathlib
from typing import Any, Dict, List, Optional, Sequence, Tuple

from bort_mx.checkpoints.directory import CHECKPOINTS, RESULTS
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.training.earlier_run import CONFIG
from bort_mx.training.hours import HOURS

KINDS = {"task": "fine-tuning", "kd_weight": "pre-training", "space": "search", "trials": "latency"}
"""An option that only one stage has → that stage."""

TEACHERS = ("socrates", "teacher")
"""Options that name a model to learn from."""


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """A run that has ended and left its results."""

    path: pathlib.Path
    stage: str
    """One of `KINDS`' values."""
    options: Dict[str, Any]
    results: Dict[str, Any]
    """Of results.json, with the entries of hours.json."""
    commit: Optional[str]
    """The git commit it was run with; "+changes" marks local edits."""

    @property
    def name(self) -> str:
        """The folder and the commit, for a table."""
        return f"{self.path}, commit {(self.commit or 'unknown')[:12]}"


def find_runs(folder: os.PathLike) -> Tuple[List[FinishedRun], List[str]]:
    """The finished runs in a folder and below it, in the order of their paths; and notes on folders passed over.

    A config.json of something else (a checkpoint, a Hugging Face model) is no run. A run without results.json, or with
    a damaged file, is passed over with a note.

    Raises:
        InputError: there is no such folder.
    """
    if not pathlib.Path(folder).is_dir():
        raise InputError(f"--runs {folder}: no such folder; give the folder that holds the output directories of runs")
    runs, notes = [], []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != CHECKPOINTS and not name.startswith("."))
        if CONFIG not in names:
            continue
        path = pathlib.Path(place)
        try:
            found = _read(path)
        except InputError as error:
            notes.append(f"passed over: {error}")
            continue
        if found is not None and found.results:
            runs.append(found)
        elif found is not None:
            notes.append(f"passed over: {path} has no {RESULTS}: it has not finished")
    return runs, notes


def without_single_seeds(runs: Sequence[FinishedRun]) -> List[FinishedRun]:
    """The runs without those of single seeds below a run of several, whose results summarise them."""
    several = {run.path for run in runs if "best_seed" in run.results}
    return [run for run in runs if run.path.parent not in several]


def without_teachers(runs: Sequence[FinishedRun]) -> List[FinishedRun]:
    """The runs without those whose model taught another of them, by --socrates or --teacher.

    A teacher is larger than what it teaches, so its score belongs in no table of the student's. Nor does that of a run
    that a teacher started from by --transfer-from, or any run on the same task. A student's own start stays: its model
    of MNLI, for RTE.
    """
    taught = [other for other in runs if any(_is_named(other, run, *TEACHERS) for run in runs) or any(
        _is_named(other, run, "transfer_from") and other.results.get("task") == run.results.get("task")
        for run in runs)]
    for run in taught:  # grows on the way
        taught += [other for other in runs if other not in taught and _is_named(other, run, "transfer_from")]
    return [run for run in runs if run not in taught]


def _is_named(run: FinishedRun, by: FinishedRun, *options: str) -> bool:
    """Whether one of another run's options is the path of this run, or of a checkpoint or seed in it.

    Such paths start in the folder that the other run was started in; so the end of this run's path is compared.
    """
    for path in (pathlib.PurePath(by.options[name]) for name in options if by.options.get(name)):
        places = [path, *([path.parent.parent] if path.parent.name == CHECKPOINTS else [])]
        places += [place.parent for place in places] if "best_seed" in run.results else []
        if any(place.parts and run.path.parts[-len(place.parts):] == place.parts for place in places):
            return True
    return False


def _read(path: pathlib.Path) -> Optional[FinishedRun]:
    """The run in a folder, with empty results if it has none; None if the folder holds no run.

    Raises:
        InputError: a file is damaged.
    """
    config = files.read_json(path / CONFIG)
    if not isinstance(config, dict) or not isinstance(config.get("options"), dict):
        return None
    options = config["options"]
    stage = next((stage for option, stage in KINDS.items() if option in options), None)
    if stage is None:
        return None
    results = files.read_json(path / RESULTS) if (path / RESULTS).is_file() else {}
    if not isinstance(results, dict):
        raise InputError(f"{path / RESULTS}: not a run's results")
    if results and (path / HOURS).is_file():
        spent = files.read_json(path / HOURS)
        results = {**(spent if isinstance(spent, dict) else {}), **results}
    provenance = config.get("provenance")
    commit = provenance.get("git_commit") if isinstance(provenance, dict) else None
    return FinishedRun(path, stage, options, results, commit)

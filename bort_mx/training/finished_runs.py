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

KINDS = {"task": "fine-tuning", "kd_weight": "pre-training", "space": "search"}
"""An option that only one stage has → that stage."""


TEACHERS = ("socrates", "teacher", "transfer_from")
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
    """The runs without those whose model taught another of them, by --socrates, --teacher or --transfer-from.

    A teacher is larger than what it teaches, so its score belongs in no table of the student's. Paths in options are
    those of the folder that the run was started in; so the end of a run's path is compared with them.
    """
    taught = [pathlib.PurePath(run.options[name]).parts for run in runs for name in TEACHERS if run.options.get(name)]
    return [run for run in runs if not any(run.path.parts[-len(parts):] == parts or run.path.parts == parts
                                           for parts in taught if parts)]


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

"""Files of a run of Agora beside its record: every job's predictions, the weights of the best models, trainings.csv."""

import csv
import io
import json
import os
import pathlib
import shutil
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from bort_mx.agora.hyperparameters import Theta
from bort_mx.agora.rounds import AgoraResult
from bort_mx.agora.scoring import Score
from bort_mx.agora.trainer import Tensors, Trained
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.data.tasks import Examples, Task
from bort_mx.errors import InputError
from bort_mx.io import files

PREDICTIONS, MODELS, TRAININGS = "predictions", "models", "trainings.csv"


class Storage:
    """Reads and writes the files of a run.

    Args:
        folder: of the run of Agora.
        task, dev, audit: the task and the examples that are predicted.
        score: Agora's.
        write_model: (path, weights, progress) writes a checkpoint.
    """

    def __init__(self, folder: os.PathLike, task: Task, dev: Examples, audit: Examples, score: Score,
                 write_model: Callable[[pathlib.Path, Tensors, Dict[str, Any]], None]):
        self.folder = pathlib.Path(folder)
        self._task, self._dev, self._audit, self._score = task, dev, audit, score
        self._write_model = write_model

    # Predictions

    def put_predictions(self, name: str, theta: Theta, trained: Trained) -> None:
        """Write a job's predictions and metrics, as one JSON object."""
        found = {"theta": list(theta), "dev": self._score.metrics(self._task, self._dev, trained.dev),
                 "audit": self._score.metrics(self._task, self._audit, trained.audit), **self._as_json(trained)}
        files.write_text(self._path(name), json.dumps(found) + "\n")

    def get_metrics(self, name: str) -> Dict[str, Any]:
        """Of a job: "theta", its metrics on "dev" and "audit", "steps", whether it "diverged".

        Raises:
            InputError: no such file, or a damaged one.
        """
        return files.read_json(self._path(name))

    def _path(self, name: str) -> pathlib.Path:
        return self.folder / PREDICTIONS / f"{name}.json"

    def _as_json(self, trained: Trained) -> Dict[str, Any]:
        """All but the weights; labels by their indices, as a run has thousands of such lists."""
        code = (lambda value: value) if self._task.is_regression else self._task.labels.index
        return {"accuracy": trained.accuracy, "steps": trained.steps, "diverged": trained.diverged,
                "dev_predictions": [code(value) for value in trained.dev],
                "audit_predictions": [code(value) for value in trained.audit]}

    def _from_json(self, found: Dict[str, Any], tensors: Tensors) -> Trained:
        decode = (lambda value: value) if self._task.is_regression else self._task.labels.__getitem__
        return Trained(found["accuracy"], [decode(value) for value in found["dev_predictions"]],
                       [decode(value) for value in found["audit_predictions"]], found["steps"], found["diverged"],
                       tensors)

    # Models

    def put_model(self, trained: Trained, number: int) -> None:
        """Write the best model of a round, and delete all others but the best of all rounds."""
        self._write_model(self._model(number), trained.tensors, {"round": number, **self._as_json(trained)})
        there = {path: files.read_json(path / checkpoint_directory.PROGRESS)
                 for path in (self.folder / MODELS).glob("round-*")}
        best = max(there, key=lambda path: (there[path]["accuracy"], -there[path]["round"]))
        for path in there:
            if path not in (best, self._model(number)):
                shutil.rmtree(path)

    def get_model(self, number: int) -> Optional[Trained]:
        """The best model of a round, or None if it is missing or damaged: it is then trained again."""
        path = self._model(number)
        try:
            tensors, found = checkpoint_directory.read(path).tensors, checkpoint_directory.read_progress(path)
        except InputError:
            return None
        return self._from_json(found, {name: np.asarray(tensor) for name, tensor in tensors.items()})

    def _model(self, number: int) -> pathlib.Path:
        return self.folder / MODELS / f"round-{number:03d}"

    # All trainings

    def write_trainings(self, result: AgoraResult, baselines: List[Tuple[str, int, Theta, str]]) -> None:
        """Write one row for each training: round (or baseline), hyperparameters, score on dev and audit, if pruned.

        Args:
            result: of the run.
            baselines: for each training of a baseline: name, points trained on, theta, name of its predictions.
        """
        rows = [["round", "points", *Theta._fields, "dev", "audit", "diverged", "pruned"]]
        for this in result.rounds:
            for theta in this.accuracies:
                name = job_name(this.number, result.thetas.index(theta))
                rows.append([this.number, this.size, *theta, *self._scores(name), int(theta in this.pruned)])
        rows += [[kind, size, *theta, *self._scores(name), ""] for kind, size, theta, name in baselines]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        files.write_text(self.folder / TRAININGS, text.getvalue())

    def _scores(self, name: str) -> List[Any]:
        found = self.get_metrics(name)
        return [*(found[split].get(self._score.name, "") for split in ("dev", "audit")), int(found["diverged"])]


def job_name(number: int, index: int) -> str:
    """The name of a job's predictions."""
    return f"round-{number:03d}-theta-{index:03d}"

"""The baselines that Agora must beat: plain fine-tuning, distillation from Socrates without new points, and the
enumeration of Theta. Round 0 of Agora is that enumeration, so it needs no trainings of its own.
"""

import pathlib
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from bort_mx.agora.balancing import balanced
from bort_mx.agora.hyperparameters import Theta
from bort_mx.agora.job_log import JobLog
from bort_mx.agora.labelling import relabel
from bort_mx.agora.report import Baseline
from bort_mx.agora.rounds import Job
from bort_mx.agora.scoring import as_class
from bort_mx.agora.storage import Storage
from bort_mx.agora.worker_pool import WorkerPool
from bort_mx.data.tasks import Example

ENUMERATION, PLAIN, DISTILLATION = "enumeration", "plain", "distillation"


class Row(NamedTuple):
    """A baseline, for the report and for results.json."""

    shown: Baseline
    entry: Dict[str, Any]


def row_of(name: str, found: Dict[str, Any], score: str, trainings: int, note: str) -> Row:
    """A baseline from what its best job left (`Storage.get_metrics`); `score` is the name of Agora's."""
    dev, aside = found["dev"], found["audit"]
    return Row(Baseline(name, dev[score], aside.get(score), trainings, note),
               {"name": name, "theta": found["theta"], "trainings": trainings, "dev": dev, "audit": aside})


class Baselines:
    """The baselines beside the enumeration, trained by the same jobs on the data without new points.

    Plain: the training set as it is, one set of hyperparameters. Distillation: [I] the training set with Socrates' hard
    labels in place of its own, balanced as Agora's, every theta, the best on dev.

    Args:
        pool: trains and labels.
        storage: keeps predictions.
        folder: of the run of Agora, where baselines.jsonl is.
        identity: what the record holds for.
    """

    def __init__(self, pool: WorkerPool, storage: Storage, folder: pathlib.Path, identity: Dict[str, Any]):
        self._pool, self._storage = pool, storage
        self._log = JobLog(folder / "baselines.jsonl", identity)
        self.trainings: List[Tuple[str, int, Theta, str]] = []
        """For each training: baseline, points, theta, name of its predictions."""

    def train(self, plain: Theta, thetas: Sequence[Theta], balance: bool, seed: int) -> List[Row]:
        """Train those that the record lacks.

        Args:
            plain: the set of plain fine-tuning.
            thetas: Theta, for distillation.
            balance, seed: whether distillation's data are balanced, and by which draw.
        """
        data, to_class = self._pool.trainer.data, as_class(self._pool.trainer.data.task)
        rows = [self._best(PLAIN, [plain], data.train, "the training set as it is")]
        labelled = relabel(data.train, self._pool.label)
        if balance:
            labelled = balanced(labelled, seed, to_class)
        return [*rows, self._best(DISTILLATION, thetas, labelled, "Socrates' labels of the training set")]

    def _best(self, kind: str, thetas: Sequence[Theta], examples: List[Example], note: str) -> Row:
        """The best on dev of a baseline's trainings."""
        todo = [Job(-1, i, theta, examples, kind == PLAIN) for i, theta in enumerate(thetas)
                if self._log.get(kind, index=self._index(theta)) is None]
        for done, (job, trained, accuracy) in enumerate(self._pool.train(todo), 1):
            self._storage.put_predictions(self._name(kind, job.theta), job.theta, trained)
            self._log.put({"kind": kind, "index": self._index(job.theta), "accuracy": accuracy})
            self._pool.say(f"{kind}, training {done} of {len(todo)}: {named(job.theta)}: dev {accuracy:.4f}")
        self.trainings += [(kind, len(examples), theta, self._name(kind, theta)) for theta in thetas]
        best = max(thetas, key=lambda theta: self._log.get(kind, index=self._index(theta))["accuracy"])
        return row_of(kind, self._storage.get_metrics(self._name(kind, best)), self._pool.trainer.score.name,
                      len(thetas), f"{note}: {named(best)}")

    @staticmethod
    def _index(theta: Theta) -> str:
        """By value, as the plain training's is none of Theta."""
        return ",".join(str(value) for value in theta)  # in full: seeds may be long

    def _name(self, kind: str, theta: Theta) -> str:
        return f"{kind}-{self._index(theta)}"


def named(theta: Theta) -> str:
    """A hyperparameter set on a line."""
    return f"lr {theta.learning_rate:g}, decay {theta.weight_decay:g}, warm-up {theta.warmup:g}, seed {theta.seed}"

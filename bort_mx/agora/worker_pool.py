"""The workers of a run of Agora: rank 0 alone decides and writes; it gives orders that all ranks carry out together.

Either each worker takes trainings of its own, or all share each training; labelling and scoring is always shared. All
that goes from one worker to another goes through here, so the hosts need no folder in common.
"""

import dataclasses
from typing import Any, Iterator, List, Optional, Sequence, Tuple

from bort_mx.agora.rounds import Job
from bort_mx.agora.teacher import Answer, Socrates
from bort_mx.agora.trainer import JobTrainer, Quiet, Tensors, Trained
from bort_mx.data.tasks import Example
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.training.signals import StopRequested

Standing = Optional[Tuple[float, int]]
"""Accuracy and minus the index of the best job so far."""
_DISMISS = "dismiss"


class WorkerPool:
    """The workers, directed by rank 0: it calls the public methods, while the other ranks `serve`.

    Args:
        trainer: trains and predicts.
        socrates: labels.
        workers: all there are.
        shared: all workers share each training; False: each takes trainings of its own.
    """

    def __init__(self, trainer: JobTrainer, socrates: Socrates, workers: Workers, shared: bool):
        self.trainer, self._socrates, self._workers = trainer, socrates, workers
        self._shared = shared or workers.size == 1
        self._training_workers = Quiet(workers if shared else Workers())
        self._at_work = False

    @property
    def at_once(self) -> int:
        """Trainings that go on at the same time."""
        return 1 if self._shared else self._workers.size

    def train(self, jobs: Sequence[Job]) -> Iterator[Tuple[Job, Trained, float]]:
        """Train all jobs; the best of them (of equal ones that of the lowest index) comes with its weights.

        Raises:
            StopRequested: stopped by the user.
        """
        best: Standing = None
        for begin in range(0, len(jobs), self.at_once):
            wave = list(jobs[begin:begin + self.at_once])
            for job, trained in zip(wave, self._order("_train", wave, best)):
                best = max(filter(None, (best, (trained.accuracy, -job.index))))
                yield job, trained, trained.accuracy

    def label(self, inputs: Sequence[Any]) -> Answer:
        """Socrates' labels and confidences."""
        return self._order("_socrates", [tuple(texts) for texts in inputs])

    def predict(self, tensors: Tensors, examples: Sequence[Example]) -> List[Any]:
        """What a trained model says of examples."""
        return self._order("_predict", tensors, list(examples))

    def measure(self, examples: Sequence[Example]) -> float:
        """Seconds of one training on the examples."""
        return self._order("_measure", list(examples))

    def say(self, line: str) -> None:
        """Print a line of a run of Agora on rank 0."""
        self._workers.say(f"agora: {line}")

    def dismiss(self, failure: str = "") -> None:
        """End `serve` on the other ranks; with a failure, they raise it as an InputError.

        If rank 0 failed while it carried out an order, the others wait in that order's communication and do not listen:
        horovodrun ends them when rank 0 ends.
        """
        if not self._at_work:
            self._tell((_DISMISS, (failure,)))

    def serve(self) -> None:
        """Carry out orders until dismissed.

        Raises:
            InputError: the one that ended rank 0.
            StopRequested: stopped by the user.
        """
        while True:
            name, arguments = self._tell(None)
            if name == _DISMISS:
                if arguments[0]:
                    raise InputError(arguments[0])
                return
            getattr(self, name)(*arguments)

    def _order(self, name: str, *arguments: Any) -> Any:
        self._tell((name, arguments))
        self._at_work = True
        result = getattr(self, name)(*arguments)
        self._at_work = False
        return result

    def _tell(self, order: Any) -> Any:
        """Rank 0's order, on every rank."""
        return self._workers.gather(order, "order")[0]

    def _train(self, wave: List[Job], best: Standing) -> List[Trained]:
        """One wave of trainings, one per worker or one in all; rank 0 gets the best one's weights if it is a new best.
        """
        rank = 0 if self._shared else self._workers.rank
        own = None
        try:
            if rank < len(wave):
                job = wave[rank]
                own = self.trainer.train(job.theta, job.data, self._training_workers, job.plain)
        except StopRequested:
            raise StopRequested("by the user; every training that was finished is recorded") from None
        if self._shared:
            return [own]
        bare = None if own is None else dataclasses.replace(own, tensors=None)
        found = self._workers.gather(bare, "trained")[:len(wave)]
        standing, at = max(((trained.accuracy, -job.index), place)
                           for place, (job, trained) in enumerate(zip(wave, found)))
        if best is None or standing > best:
            tensors = self._workers.gather(own.tensors if rank == at else None, "weights of the best")[at]
            found[at] = dataclasses.replace(found[at], tensors=tensors)
        return found

    def _predict(self, tensors: Tensors, examples: List[Example]) -> List[Any]:
        return self.trainer.predict(tensors, examples, Quiet(self._workers))

    def _measure(self, examples: List[Example]) -> float:
        return self.trainer.measure(examples, self._training_workers)

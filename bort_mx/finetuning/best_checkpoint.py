"""checkpoints/best of a fine-tuning run: written at every new best epoch, checked on resuming, read at the end."""

import logging
from typing import Optional

from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.finetuning.evaluation import BestEpoch
from bort_mx.finetuning.trainer import Session
from bort_mx.models.bert import parameters_of
from bort_mx.training.run_directory import RunDirectory

logger = logging.getLogger(__name__)


class BestOnDisk:
    """Keeps the best epoch's weights in the run's folder checkpoints/best."""

    def __init__(self, session: Session, run: RunDirectory):
        self._session, self._run = session, run
        self._path = run.path / checkpoint_directory.CHECKPOINTS / checkpoint_directory.BEST

    def save(self, step: int, value: Optional[float]) -> None:
        """Rank 0 writes the current weights."""
        if self._session.workers.is_first:
            checkpoint_directory.save(self._path, self._session.model, self._session.tokenizer,
                        progress={"step": step, "criterion": self._session.data.task.criterion, "value": value})

    def resume(self, best: BestEpoch, step: int) -> None:
        """Check checkpoints/best. If it is damaged or missing, the model's weights, those of `step`, take its place.

        Without this, a damaged file would be noticed only after all training, and the run could never be ended.

        Raises:
            Unreadable: a file is there and cannot be read; it may be whole.
        """
        if not best.best_step:
            return  # nothing was evaluated before the checkpoint
        workers, damage = self._session.workers, ""
        with workers.agreeing("best checked"):
            if workers.is_first:
                damage = self._damage()
        damage = workers.gather(damage, "best")[0]
        if not damage:
            return
        values = next((row for row in self._run.metrics() if row["step"] == step and self._session.criterion in row),
                      {}) if workers.is_first else {}
        value = workers.gather(values.get(self._session.criterion), "value of best")[0]
        note = (f"{self._path} was damaged ({damage}); the weights of step {step} take its place, and the best epoch "
                f"of step {best.best_step} is lost")
        best.replace(step, value)
        self._session.notes.append(note)
        if workers.is_first:
            logger.warning("%s", note)
            checkpoint_directory.set_aside(self._path)
            self.save(step, value)

    def _damage(self) -> str:
        """What is wrong with the folder; empty if nothing is."""
        try:
            checkpoint_directory.verify(self._path)
            return ""
        except checkpoint_directory.Damaged as error:
            return str(error)

    def restore(self) -> None:
        """Rank 0 reads the best weights and sends them to the others, which may not see the same folder."""
        parameters = parameters_of(self._session.model)
        if self._session.workers.is_first:
            tensors = checkpoint_directory.read(self._path).tensors
            for name, parameter in parameters.items():
                parameter.set_data(tensors[name].astype(parameter.dtype, copy=False))
        self._session.workers.broadcast_([p.list_data()[0] for p in parameters.values()], "best weights")

"""One job of Agora: a training with one hyperparameter set on a round's data, by the loop of all fine-tuning.

Agora's score is in `bort_mx.agora.scoring`.
"""

import contextlib
import dataclasses
import gc
import logging
import pathlib
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np

from bort_mx import random
from bort_mx.agora.hyperparameters import Theta
from bort_mx.agora.scoring import ExampleScore, Score, score_of
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints import loading
from bort_mx.checkpoints.weights import Weights
from bort_mx.data.batches import TrainingBatches
from bort_mx.data.tasks import Example, Examples
from bort_mx.distributed import Workers
from bort_mx.errors import RunError
from bort_mx.finetuning.objective import SoftLabels
from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.finetuning.target_unit import Unit
from bort_mx.finetuning.task_data import TaskData
from bort_mx.finetuning.trainer import (
    Session,
    build_classifier,
    longest_sequence,
    outputs_of,
    pooling_of,
    texts_of,
    train,
)
from bort_mx.models.bert import BERT, parameters_of
from bort_mx.models.config import ModelConfig

REHEARSED = 8
"""Steps and evaluation batches that are timed to tell the cost of a run."""
NEVER = 10 ** 9
"""As an interval of steps."""
Tensors = Dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a job leaves."""

    accuracy: float
    """Agora's score on dev of the best epoch. [I] It also picks that epoch."""
    dev: List[Any]
    """The label (or number) predicted for each dev example; of a question's candidates, "1" for the best one."""
    audit: List[Any]
    """The same of the audit slice."""
    steps: int
    """Of the best epoch."""
    diverged: bool = False
    """The training ended without a finite loss. [I] The weights of its best epoch until then count."""
    tensors: Optional[Tensors] = None
    """The weights, where they are at hand."""


class Quiet(Workers):
    """Workers of which none is the first: their training prints and writes nothing."""

    is_first = False

    def __init__(self, workers: Workers):
        self.rank, self.size, self.local_rank = workers.rank, workers.size, workers.local_rank
        self.sum_, self.sum_numpy = workers.sum_, workers.sum_numpy
        self.broadcast_, self.gather = workers.broadcast_, workers.gather


class JobSession(Session):
    """A session whose best epoch is picked by Agora's score.

    Args:
        score: the score.
        arguments: of `Session`.
    """

    def __init__(self, score: Score, *arguments: Any):
        self._score = score
        super().__init__(*arguments)

    @property
    def criterion(self) -> str:
        """See `Session`."""
        return f"dev_{self._score.name}"

    def dev_values(self) -> Dict[str, float]:
        """See `Session`; with Agora's score."""
        found, task = self.evaluate_dev(), self.data.task
        predictions = self._score.predictions(task, found.examples, found.scores)
        return {**{f"dev_{name}": value for name, value in found.metrics.items()},
                self.criterion: self._score.value(found.examples, predictions)}


class JobTrainer:
    """Trains and predicts for all jobs: what they have in common, on every worker.

    Args:
        options: resolved; a job takes learning rate, decay, warm-up and seed from its theta.
        data: the task's, without the audit slice.
        audit: that slice.
        weights: what every job starts from.
        ctx: the device.
        score: what picks epochs. Default: the task's.
        soften: (examples, workers) -> Socrates' soft labels, to train on beside the labels; None: labels alone.
        unit: that a regression's targets are trained in; None: as they are.
    """

    def __init__(self, options: FineTuningOptions, data: TaskData, audit: Examples, weights: Weights, ctx: mx.Context,
                 score: Optional[Score] = None,
                 soften: Optional[Callable[[Sequence[Example], Workers], SoftLabels]] = None,
                 unit: Optional[Unit] = None):
        fields = dataclasses.fields(FineTuningOptions)
        self.options = FineTuningOptions(**{field.name: getattr(options, field.name) for field in fields})
        self.data, self.audit, self.weights, self.ctx = data, audit, weights, ctx
        self.score = score or score_of(data.task)
        self._soften, self._softened, self._unit = soften, ([], None), unit

    def check(self, workers: Workers) -> None:
        """Check lengths and batch sizes before the first job of these workers.

        Raises:
            InputError: --max-length exceeds the model's positions, or the batch cannot be divided.
        """
        longest_sequence(self.options.max_length, self.weights.config.num_positions, self.options.checkpoint)
        self._micro(workers)

    def train(self, theta: Theta, examples: Sequence[Example], workers: Workers, plain: bool = False) -> Trained:
        """Train on the examples from the starting weights.

        Args:
            theta, examples: what is trained on what.
            workers: that share the training.
            plain: without soft labels.
        Raises:
            StopRequested: stopped by the user.
        """
        session = self._session(JobSession, theta, examples, workers, log_interval=NEVER, checkpoint_interval=0)
        session.soft = None if plain else self._soft_labels(examples, workers)
        keeper, diverged = BestInMemory(session.model), False
        try:
            train(session, JobRun(), keeper, self._micro(workers))
        except RunError:  # a theta that does not converge is a bad one, and no reason to end the run
            diverged = True
            keeper.restore()
        dev, audit = (self._predict(session, examples, name, self.score)
                      for name, examples in (("dev", self.data.dev), ("audit", self.audit)))
        result = Trained(self.score.value(self.data.dev, dev), dev, audit, keeper.step, diverged,
                         checkpoint_directory.tensors_of(session.model))
        del session, keeper
        gc.collect()  # a compiled model refers to itself: hundreds of jobs would fill the memory
        return result

    def _soft_labels(self, examples: Sequence[Example], workers: Workers) -> Optional[SoftLabels]:
        """Of all examples at once, as a resumed run asks for them too: in other batches the last bits would differ."""
        if self._soften is not None and self._softened[0] != list(examples):
            self._softened = list(examples), self._soften(examples, workers)
        return self._softened[1]

    def predict(self, tensors: Tensors, examples: Sequence[Example], workers: Workers) -> List[Any]:
        """What a trained model says of examples, of each by itself: a training set has no whole questions."""
        session = Session(self.options, self.data, self.model_of(tensors), self.weights.tokenizer, workers, self.ctx)
        return self._predict(session, Examples(examples), "train", ExampleScore())

    def model_of(self, tensors: Tensors) -> BERT:
        """The model with a job's weights."""
        weights = Weights(self._config(), tensors, self.weights.tokenizer, "a job's weights")
        return build_classifier(weights, self.options, self.data.task, self.ctx)

    def write(self, path: pathlib.Path, tensors: Tensors, progress: Dict[str, Any]) -> None:
        """Write a job's weights as a checkpoint."""
        checkpoint_directory.write(path, tensors, self.weights.tokenizer, self._config(), progress=progress)

    def _config(self) -> ModelConfig:
        longest = longest_sequence(self.options.max_length, self.weights.config.num_positions, self.options.checkpoint)
        return self.weights.config.replace(head="classifier", **outputs_of(self.data.task),
                                           pooler=self.options.pooler, extra_layer=self.options.extra_layer,
                                           pooling=pooling_of(self.options.pooling, self.data.task),
                                           dropout=self.options.dropout, **texts_of(self.data.task, longest))

    def measure(self, examples: Sequence[Example], workers: Workers) -> float:
        """Seconds of one training on the examples, by the median of a few steps and a few batches of evaluation."""
        options, run = self.options, JobRun()
        theta = Theta(options.learning_rate, options.weight_decay, options.warmup, options.seed)
        session = self._session(_Rehearsal, theta, examples, workers, epochs=1, log_interval=1,
                                evaluation_interval=None)
        train(session, run, BestInMemory(session.model), self._micro(workers))
        start = time.perf_counter()
        session.dev_values()
        an_example = (time.perf_counter() - start) / len(session.rehearsed)
        steps = options.epochs * -(-len(examples) // options.batch_size)
        evaluations = max(options.epochs, steps // (options.evaluation_interval or steps)) + 1
        seen = evaluations * len(self.data.dev) + len(self.audit)
        return steps * run.seconds_per_step() + seen * an_example

    def _session(self, kind: type, theta: Theta, examples: Sequence[Example], workers: Workers, **changes: Any) -> Any:
        """A session on the examples, with theta's values and the other changes of the options."""
        options = dataclasses.replace(self.options, **changes, **theta._asdict())
        with _without_warnings():  # that the checkpoint has no classifier, for every job anew
            model = build_classifier(self.weights, options, self.data.task, self.ctx)
        data = dataclasses.replace(self.data, train=Examples(examples))
        session = kind(self.score, options, data, model, self.weights.tokenizer, workers, self.ctx)
        session.train_in(self._unit)
        return session

    def _micro(self, workers: Workers) -> int:
        return workers.micro_batch(self.options.batch_size, self.options.micro_batch_size)

    def _predict(self, session: Session, examples: Examples, split: str, score: Score) -> List[Any]:
        if not examples:
            return []
        scores = session.scores(session.batches(self.data.task, examples, split))
        return score.predictions(self.data.task, examples,
                                 np.where(np.isfinite(scores), scores, 0))  # not finite only if it diverged


class _Rehearsal(JobSession):
    """A session that times a few training and a few dev batches; their results are not used."""

    @property
    def training_set(self) -> Examples:
        """See `Session`."""
        return self._some(self.data.train, self.options.batch_size, "rehearsal")

    def training_tokens(self, batches: TrainingBatches) -> np.ndarray:
        """See `Session`; the tokens of the whole set, as the cost of an update depends on them."""
        return self.batches(self.data.task, self.data.train, "train").tokens()

    @property
    def rehearsed(self) -> Examples:
        """The dev examples that are evaluated."""
        return self._some(self.data.dev, self.options.evaluation_batch_size, "rehearsal of dev")

    def _some(self, examples: Examples, batch_size: int, purpose: str) -> Examples:
        order = random.generator(self.options.seed, purpose).permutation(len(examples))
        return Examples([examples[i] for i in order[:REHEARSED * batch_size]])

    def dev_values(self) -> Dict[str, float]:
        """Only the time counts."""
        self.scores(self.batches(self.data.task, self.rehearsed, "dev"))
        return {self.criterion: 0.0}


class JobRun:
    """Stands in for a `RunDirectory`, but writes nothing: a job that is killed is done again from its start."""

    checkpoint, start_step = None, 0

    def __init__(self):
        self._steps: List[Tuple[int, float]] = []

    def log(self, step: int, values: Dict[str, float]) -> None:
        """Note when a step was over."""
        if "loss" in values:
            self._steps.append((step, time.perf_counter()))

    def save_checkpoint(self, *arguments: Any) -> None:
        """Save nothing."""

    def seconds_per_step(self) -> float:
        """Median time of a step, of a training that logged each; 0 if it had fewer than two steps."""
        times = [seconds for _, seconds in self._steps]
        return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


class BestInMemory:
    """Keeps the best epoch's weights of a model as arrays."""

    def __init__(self, model: BERT):
        self._model, self._tensors = model, None
        self.step = 0

    def save(self, step: int, value: float) -> None:
        """Take the weights as they are now."""
        self.step, self._tensors = step, checkpoint_directory.tensors_of(self._model)

    def restore(self) -> None:
        """Put the best weights back; a training that ended before its first evaluation keeps those it had."""
        for name, parameter in parameters_of(self._model).items() if self._tensors else ():
            parameter.set_data(self._tensors[name])


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    logger = logging.getLogger(loading.__name__)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)

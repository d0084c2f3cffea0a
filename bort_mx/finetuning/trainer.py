"""A model with a task: built from weights, its data encoded, trained and scored (paper §5.1)."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Protocol

import mxnet as mx
import numpy as np

from bort_mx import random
from bort_mx.checkpoints import loading
from bort_mx.checkpoints.weights import Weights
from bort_mx.data.batches import Batches, TrainingBatches
from bort_mx.data.encoding import EncodedExamples, encode_examples
from bort_mx.data.tasks import Examples, Task
from bort_mx.data.tokenizers import Tokenizer
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.finetuning.epochs import decay_exponent, decay_note
from bort_mx.finetuning.evaluation import BestEpoch, Evaluation, compute_scores, evaluate, targets_of
from bort_mx.finetuning.objective import FineTuningObjective, SoftLabels
from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.finetuning.target_unit import Unit, start_at_mean
from bort_mx.finetuning.task_data import TaskData, shown_name
from bort_mx.finetuning.vocabulary_subset import trainee_of
from bort_mx.models.bert import BERT, parameters_of
from bort_mx.training import schedules
from bort_mx.training.loop import Cadence, Loop
from bort_mx.training.run_directory import RunDirectory
from bort_mx.training.step import TrainingStep

LONGEST = 512  # tokens
BERT_DEVIATION = np.float32(0.02)
"""Standard deviation of BERT's initial weights. Used for the classifier of a pre-trained encoder of any width."""


class Session:
    """A model with its task, data, workers and options: everything needed to train and to score.

    Args:
        options: resolved options.
        data: the data to train and score on.
        model, tokenizer: the model, on the device `ctx`, and its tokenizer.
        workers: the workers that share the work.
    Raises:
        InputError: --max-length exceeds the number of the model's positions.
    """

    def __init__(self, options: FineTuningOptions, data: TaskData, model: BERT, tokenizer: Tokenizer,
                 workers: Workers, ctx: mx.Context):
        self.options, self.data, self.model, self.tokenizer = options, data, model, tokenizer
        self.workers, self.ctx = workers, ctx
        self.longest = longest_sequence(options.max_length, model.config.num_positions, options.checkpoint)
        self.objective = FineTuningObjective(model, data.task.is_regression, ctx)
        self.notes: List[str] = list(data.notes)
        self.soft: Optional[SoftLabels] = None
        """A teacher's outputs for `training_set`, if it is trained on them."""
        self.unit: Optional[Unit] = None
        """The unit of a regression's targets; None: they are trained on as they are."""
        self._dev: Optional[Batches] = None

    def train_in(self, unit: Optional[Unit]) -> None:
        """Train a regression in this unit, from its mean on; None: on the targets as they are."""
        self.unit = unit
        if unit is not None:
            start_at_mean(self.model, unit)

    def encode(self, task: Task, examples: Examples, split: str) -> EncodedExamples:
        """Token ids of a split. If texts were cut, a note says how many."""
        encoded = encode_examples(self.tokenizer, examples, self.longest, self.model.config.cut)
        if encoded.truncated:
            self.notes.append(f"{split}: {encoded.truncated} of {len(examples)} examples cut to {self.longest} tokens")
        return encoded

    def batches(self, task: Task, examples: Examples, split: str) -> Batches:
        """A split as batches, ready for scoring."""
        return Batches(self.encode(task, examples, split), targets_of(task, examples), self.tokenizer.pad_id)

    @property
    def training_set(self) -> Examples:
        """The examples to train on."""
        return Examples([*self.data.train, *self.data.unlabelled]) if self.data.unlabelled else self.data.train

    def training_batches(self) -> TrainingBatches:
        """The encoded training set, as batches."""
        task, train, options = self.data.task, self.training_set, self.options
        targets = targets_of(task, train)
        if self.soft is not None:
            targets = self.soft.targets(targets, task.is_regression)
        return TrainingBatches(self.encode(task, train, "train"), targets, self.tokenizer.pad_id,
                               options.batch_size, options.seed, options.group_by_length)

    def training_tokens(self, batches: TrainingBatches) -> np.ndarray:
        """The token ids that occur in training, ascending."""
        return batches.tokens()

    @property
    def criterion(self) -> str:
        """The name of the value in `dev_values` that selects the best epoch."""
        return f"dev_{self.data.task.criterion}"

    def dev_values(self) -> Dict[str, float]:
        """The values to log for dev after an epoch."""
        return {f"dev_{name}": value for name, value in self.evaluate_dev().metrics.items()}

    def evaluate_dev(self) -> Evaluation:
        """Evaluate the dev set, which is encoded only once."""
        if self._dev is None:
            self._dev = self.batches(self.data.task, self.data.dev, "dev")
        return evaluate(self.data.task, self.data.dev, self.scores(self._dev))

    def evaluate(self, task: Task, examples: Examples, split: str) -> Evaluation:
        """Evaluate another set, possibly of a diagnostic task that has the same labels in another order."""
        scores = self.scores(self.batches(task, examples, split))
        if not task.is_regression:
            # Put the columns into the order of this task's labels.
            scores = scores[:, [self.data.task.label_index(label) for label in task.labels]]
        return evaluate(task, examples, scores)

    def scores(self, batches: Batches) -> np.ndarray:
        """The model's outputs (N, C); the same on all workers."""
        return compute_scores(self.objective, batches, self.data.task.num_labels, self.options.evaluation_batch_size,
                              self.workers)


def longest_sequence(max_length: Optional[int], positions: int, source: str) -> int:
    """Number of tokens in the longest example: --max-length, by default 512 or the model's number of positions.

    Args:
        max_length: the option --max-length, or None.
        positions: number of the model's positions.
        source: the model's name, for errors.
    Raises:
        InputError: --max-length exceeds the number of the model's positions.
    """
    longest = max_length or min(LONGEST, positions)
    if longest > positions:
        raise InputError(f"--max-length {longest}: longer than the {positions} positions of {source}; "
                         "lower it or leave it out")
    return longest


# -- the model -----------------------------------------------------------------------------------------------------


def build_classifier(weights: Weights, options: FineTuningOptions, task: Task, ctx: mx.Context,
                     new_head: bool = True) -> BERT:
    """Build a classifier on the device, ready to train or predict. Missing weights are drawn from options.seed.

    Args:
        weights: the weights to start from.
        options: resolved options; they give the dropout and the form of a new classifier.
        task: determines the outputs and their meaning.
        ctx: the device.
        new_head: build the classifier that the options ask for. False: use the one in `weights`.
    """
    changes: Dict[str, Any] = {**outputs_of(task), "dropout": options.dropout, **texts_of(
        task, longest_sequence(options.max_length, weights.config.num_positions, options.checkpoint))}
    if options.predict_only and weights.config.max_length is not None:  # the training of this classifier told how
        changes["cut"] = weights.config.cut
    if new_head:
        changes.update(pooler=options.pooler, extra_layer=options.extra_layer,
                       pooling=pooling_of(options.pooling, task))
    model = loading.assemble(weights, "classifier", seed=options.seed, **changes)
    if options.classifier_init == "normal":
        _initialize_normal(model, options.seed)
    model.collect_params().reset_ctx(ctx)
    if options.dtype == "float16":
        model.cast("float16")
    return model


def outputs_of(task: Task) -> Dict[str, Any]:
    """The fields of `ModelConfig` that follow from the task."""
    return {"num_labels": task.num_labels, "labels": None if task.is_regression else tuple(task.labels)}


def texts_of(task: Task, longest: int) -> Dict[str, Any]:
    """The fields of `ModelConfig` that say what training does with a task's texts, so that prediction does it too."""
    return {"max_length": longest, "cut": task.cut, "text_columns": tuple(task.text_names)}


def pooling_of(asked: Optional[str], task: Task) -> str:
    """`ModelConfig.pooling` for the option --pooling: of a task with one text, its mean stands for the two texts'."""
    return "mean" if asked == "segments" and len(task.text_names) == 1 else asked or "first"


def _initialize_normal(model: BERT, seed: int) -> None:
    """Draw the classifier's new weights from BERT's distribution N(0, 0.02²) instead of the paper's."""
    parameters = parameters_of(model)
    for name in model.initialized:
        if name.startswith("classifier.") and name.endswith("weight"):
            values = random.generator(seed, "initial " + name).standard_normal(parameters[name].shape, np.float32)
            parameters[name].set_data(mx.nd.array(values * BERT_DEVIATION))


# -- training ------------------------------------------------------------------------------------------------------


class Training(NamedTuple):
    """The course of a training."""

    best: BestEpoch
    steps_per_epoch: int
    total: int
    """Number of planned steps."""
    skipped: int
    """Number of steps skipped because loss or gradient was not finite."""
    last_step: int
    """The last step that was done; before `total` if the training stopped early."""


class Keeper(Protocol):
    """Keeps the weights of the best epoch during a training."""

    def save(self, step: int, value: float) -> None:
        """Keep the current weights; they are the best so far."""

    def resume(self, best: BestEpoch, step: int) -> None:
        """Check what an earlier process kept, before the training continues after `step`."""

    def restore(self) -> None:
        """Put the best weights back into the model."""


def train(session: Session, run: RunDirectory, keeper: Keeper, micro: int,
          begin: Optional[Callable[[str], None]] = None) -> Training:
    """Train to the end, and leave the best epoch's weights in the model.

    Args:
        session: model, data, options and workers.
        run: where to log steps and write checkpoints, or an object with the same methods.
        keeper: keeps the best epoch's weights.
        micro: number of examples in one forward pass of one worker.
        begin: called on rank 0 with one line that describes the training.
    Raises:
        StopRequested: the user stopped the run; a checkpoint has been written.
        NonFiniteError: ten steps in a row had no finite loss and gradient, or no step had.
    """
    options, workers, model = session.options, session.workers, session.model
    batches = session.training_batches()
    total = options.epochs * batches.steps_per_epoch
    # All workers start from rank 0's weights. This must precede `trainee_of`, which copies rows of the embedding.
    workers.broadcast_([p.list_data()[0] for p in parameters_of(model).values()], "weights")
    trainee = trainee_of(model, session.training_tokens(batches), options.optimizer_settings,
                         session.data.task.is_regression, session.ctx, session.soft,
                         session.unit.deviation if session.unit else 1.0)
    core = TrainingStep(trainee.objective, trainee.optimizer, workers, options.clip, half=options.dtype == "float16")
    best = BestEpoch(session.criterion, keeper.save, options.patience if options.early_stopping else None)
    # One evaluation and one checkpoint per epoch, unless the options say otherwise.
    interval = batches.steps_per_epoch if options.evaluation_interval is None else options.evaluation_interval
    cadence = Cadence(total, options.log_interval, interval,
                      interval if options.checkpoint_interval is None else options.checkpoint_interval,
                      options.keep_checkpoints)
    warmup = schedules.warmup_steps(options.warmup, total) if options.warmup else 0
    loop = Loop(
        run, core, model, session.tokenizer, workers, cadence,
        learning_rate=lambda step: options.learning_rate * schedules.linear(step, warmup, total),
        batches=lambda step: map(trainee.translate, batches.at(step, workers.rank, workers.size, micro)),
        tokens=lambda batch: batch.num_tokens, evaluate=session.dev_values, seed=options.seed,
        description="fine-tuning", selection=best, uneven=True)
    loop.restore()
    if run.start_step:
        keeper.resume(best, run.start_step)
    shrinking = decay_note(decay_exponent(options.learning_rate, options.weight_decay, warmup, total),
                           options.weight_decay if options.optimizer == "adamw" else None)
    session.notes += [shrinking] if shrinking else []
    if workers.is_first and begin is not None:
        begin("\n".join(filter(None, [_summary(session, batches, total), shrinking])))
    try:
        loop.train()
    finally:  # even after an error, the model must have the trained weights
        trainee.optimizer.settle()
    # The best epoch is used from here on, not the last one.
    keeper.restore()
    return Training(best, batches.steps_per_epoch, total, core.skipped, loop.last_step)


def _summary(session: Session, batches: TrainingBatches, total: int) -> str:
    options, size = session.options, sum(int(np.prod(p.shape)) for p in parameters_of(session.model).values())
    workers, most = session.workers.size, "at most " if options.early_stopping else ""
    return (f"fine-tuning {options.checkpoint} <{session.model.config.architecture}> ({size / 1e6:.2f} M parameters "
            "in all) "
            f"on {shown_name(session.data.task)}, into {options.output_dir}\n{len(batches):,} examples, "
            f"{most}{total:,} steps of {options.batch_size} on {workers} worker{'s' if workers > 1 else ''}; "
            f"lr {options.learning_rate:g}, decay {options.weight_decay:g}, warm-up {options.warmup:g}, "
            f"seed {options.seed}")

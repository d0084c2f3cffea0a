"""The training loop: seeds, learning rate, log, evaluation, checkpoints, stopping and resuming."""

import dataclasses
import math
import time
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Protocol

import numpy as np

from bort_mx import random
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.distributed import Workers
from bort_mx.durations import in_words
from bort_mx.errors import InputError
from bort_mx.progress import Progress
from bort_mx.training.budget import Budget
from bort_mx.training.cost import Cost, duration
from bort_mx.training.interval_means import IntervalMeans
from bort_mx.training.run_directory import RunDirectory
from bort_mx.training.signals import StopRequested, StopSignals
from bort_mx.training.step import NonFiniteError, StepResult, TrainingStep

FEWEST_STEPS_TOLD = 20
"""Below this many steps, no estimate of the duration is printed."""
SLOW = 5.0
"""Seconds of a step from which on one pass stands for it. Of quicker steps the update and the data are a large part."""
FIRST = 5
"""Quicker steps are timed themselves, the second to this one: the first compiles the graph and allocates its memory."""
LOOKED_AT = 16
"""So many batches of different lengths are looked at for one of usual length."""

EXTRA = "extra:"
"""Put before the names of `extras` among a checkpoint's states."""


@dataclasses.dataclass
class Cadence:
    """Intervals in steps; 0 means never. The last step always logs, evaluates and saves."""

    total: int
    log: int = 10
    evaluate: int = 500
    checkpoint: int = 500
    keep: int = 3


class Selection(Protocol):
    """Keeps the best model over all evaluations, and may end the training early."""

    stopped: bool
    """True once the training should end."""

    def observe(self, step: int, values: Dict[str, float]) -> None:
        """Take note of an evaluation. The values are equal on all workers, so all workers must decide alike."""

    def state(self) -> Dict:
        """What a resumed run needs to know, as JSON values."""

    def load_state(self, state: Dict) -> None:
        """Restore what `state` returned."""


class Loop:
    """Runs a training from the run's checkpoint (or from the start) to the last step.

    Args:
        run: the output directory.
        core: the training step.
        model, tokenizer: written into checkpoints.
        workers: the workers.
        cadence: see `Cadence`.
        learning_rate: step (from 1) → learning rate.
        batches: step (from 0) → this worker's micro-batches.
        tokens: micro-batch → its number of tokens, for the tokens/s display.
        evaluate: () → values to log, or None.
        seed: seed of dropout. The dropout of a step is a function of (seed, step, rank).
        description: the name shown by the progress display.
        selection: see `Selection`.
        budget: ends the run by time; `cadence.total` is then an upper bound.
        extras: what is learnt beside the model, by name. Checkpoints hold it for resuming only.
        uneven: whether batches are of different lengths, so that forecasts look for one of usual length.

    Attributes:
        cost: what was forecast, and what the training takes.
        spent: `cost` as JSON values, up to the newest checkpoint.
        last_step: the last step that was done.
    """

    def __init__(self, run: RunDirectory, core: TrainingStep, model, tokenizer, workers: Workers, cadence: Cadence,
                 learning_rate: Callable[[int], float], batches: Callable[[int], Iterable],
                 tokens: Callable[[Any], int], evaluate: Optional[Callable[[], Dict[str, float]]], seed: int,
                 description: str, selection: Optional[Selection] = None, budget: Optional[Budget] = None,
                 extras: Optional[Mapping[str, Any]] = None, uneven: bool = False):
        self._run, self._core, self._model, self._tokenizer, self._workers = run, core, model, tokenizer, workers
        self._cadence, self._learning_rate, self._batches, self._tokens = cadence, learning_rate, batches, tokens
        self._evaluate, self._seed, self._description = evaluate, seed, description
        self._selection, self._interval = selection, IntervalMeans()
        self._budget, self._extras, self._final, self._uneven = budget, dict(extras or {}), False, uneven
        self.cost, self.spent, self.last_step = Cost(), {}, run.start_step
        self._since, self._counted, self._saved = time.perf_counter(), 0, None

    def restore(self) -> None:
        """Restore optimizer state and counters from the run's checkpoint. The caller loads the weights."""
        path = self._run.checkpoint
        if path is None:
            return
        source = path / checkpoint_directory.STATES
        states = checkpoint_directory.read_states(path)
        for name, parameter in self._extras.items():
            if f"{EXTRA}{name}" not in states:
                raise InputError(f"{source}: lacks {name}, which this training learns; start anew in another "
                                 "--output-dir")
            parameter.set_data(states.pop(f"{EXTRA}{name}"))
        self._core.optimizer.load_state(states, str(source))
        progress = checkpoint_directory.read_progress(path)
        self._core.skipped, self._core.skipped_in_a_row = progress["skipped"], progress["skipped_in_a_row"]
        self._core.scaler.scale, self._core.scaler.good = progress["loss_scale"], progress["loss_scale_good"]
        self._interval.load_state(progress.get("interval", {}))
        self.spent = progress.get("cost", {})
        self.cost.load_state(self.spent)
        self._saved = progress["step"]
        if self._selection is not None:
            self._selection.load_state(progress["selection"])

    def train(self) -> Dict[str, float]:
        """Run to the last step, or until the selection ends the training. Returns the last evaluation.

        Raises:
            StopRequested: SIGINT or SIGTERM arrived; a checkpoint has been written.
            NonFiniteError: see `TrainingStep`; or no step of the training was finite.
        """
        last: Dict[str, float] = {}
        start, total = self._run.start_step, self._cadence.total
        with StopSignals() as signals, Progress(total if self._budget is None else None, self._description,
                                                "step", self._workers.is_first, initial=start) as progress:
            told = (self._budget is not None or total - start < FEWEST_STEPS_TOLD or self._ended()
                    or self._told_beforehand(total - start))
            self.cost.start()
            if self._budget is not None:
                self._budget.start()
            timed = time.perf_counter()
            self._since = time.perf_counter()
            for step in range(start + 1, total + 1):
                if self._ended():
                    break
                result = self._step(step, lambda: signals.asked)
                if result.abandoned:
                    self._stop(step - 1)
                self.last_step = step
                self._final = step == total or self._budget is not None and self._budget.finish(step)
                self._log(step, result, progress)
                if step == start + 1:
                    timed = time.perf_counter()
                elif step == start + FIRST and not told and self._workers.is_first:
                    seconds = (time.perf_counter() - timed) / (FIRST - 1)
                    self.cost.expect(seconds, total - start)
                    progress.write(duration(seconds, total - step))
                # Evaluate before saving: the checkpoint must hold what the selection concluded from the evaluation.
                if self._due(step, self._cadence.evaluate) and self._evaluate is not None:
                    last = self._evaluation(step, progress)
                if self._due(step, self._cadence.checkpoint) or result.stop or self._ended():
                    self._save(step)
                if result.stop and not self._final and not self._ended():
                    self._stop(step)
            if signals.asked:  # in the last step or its evaluation
                progress.write("the stop came in the last step: this training ends as finished")
        if self._core.skipped and self._core.skipped == self.last_step:
            raise NonFiniteError(f"no step of {self.last_step} had a finite loss and gradient; lower --learning-rate, "
                                 "or check the data")
        if self._workers.is_first and self._core.skipped:
            print(f"{self._core.skipped} steps were skipped: their loss or gradient was not finite")
        return last

    def _told_beforehand(self, steps: int) -> bool:
        """Time one micro-batch; if steps are slow by it, say how long they will take. Rank 0 alone measures and says.

        Returns:
            Whether it was said.
        """
        if not self._workers.is_first:
            return False
        batches = self._usual_batches()
        seconds = self._core.rehearse(batches) * len(batches)
        if seconds < SLOW:
            return False
        self.cost.expect(seconds, steps)
        print(duration(seconds, steps), flush=True)
        return True

    def _usual_batches(self) -> List[Any]:
        """The micro-batches of a step to come: of the next, or of that whose size is nearest to the mean of some."""
        start = self._run.start_step
        if not self._uneven:
            return list(self._batches(start))
        steps = [list(self._batches(step)) for step in range(start, start + LOOKED_AT)]
        sizes = np.array([sum(batch.input_ids.size for batch in step) for step in steps])
        return steps[int(np.abs(sizes - sizes.mean()).argmin())]

    def forecast_budget(self, seconds: float) -> None:
        """Say how many steps a budget allows, by the time of a pass. All workers call it, before anything is written.

        Raises:
            InputError: it allows no step, or fewer than lie between two checkpoints.
        """
        batches = self._usual_batches()
        self._core.rehearse(batches)  # compiles the graph
        a_step = max(self._workers.gather(self._core.rehearse(batches) * len(batches), "forecast"))
        if seconds < a_step:
            raise InputError(f"--budget {in_words(seconds)}: a step takes about {in_words(a_step)}; give more time")
        steps = int(seconds / a_step)
        if self._cadence.checkpoint > steps:
            raise InputError(f"--budget {in_words(seconds)}: a step takes about {in_words(a_step)}, so that it ends "
                             f"after some {steps} steps, before the first checkpoint of --checkpoint-interval "
                             f"{self._cadence.checkpoint}; lower the interval, or give more time")
        self.cost.expect(a_step, steps)
        self._workers.say(f"about {in_words(a_step)} a step: some {steps:,} steps in {in_words(seconds)}, less what "
                          "evaluations and checkpoints take")

    def _ended(self) -> bool:
        return (self._selection is not None and self._selection.stopped
                or self._budget is not None and self._budget.over(self.last_step))

    def _due(self, step: int, interval: int) -> bool:
        return self._final or (interval > 0 and step % interval == 0)

    def _stop(self, step: int) -> None:
        """End the run at the user's request, after a checkpoint of the last finished step.

        Raises:
            StopRequested: always.
        """
        if step > self._run.start_step:
            self._save(step)
        # Wait for all workers: horovodrun kills the others as soon as one has exited.
        self._workers.wait("stopped")
        raise StopRequested(f"at step {step}, after its checkpoint" if step else "before the first step was done")

    def _step(self, step: int, asked: Callable[[], bool]) -> StepResult:
        # Reseed in every step: MXNet's generator state cannot be saved, so a resumed run could not restore it.
        random.seed_mxnet(self._seed, "training step", step, self._workers.rank)
        batches = list(self._batches(step - 1))  # batches count steps from 0
        self._counted += sum(self._tokens(batch) for batch in batches) * self._workers.size
        return self._core(batches, self._learning_rate(step), detailed=True, asked=asked)

    def _log(self, step: int, result: StepResult, progress: Progress) -> None:
        self._interval.add(result)
        if not self._due(step, self._cadence.log):
            progress.advance()
            return
        rate = self._counted / (time.perf_counter() - self._since)
        self._since, self._counted = time.perf_counter(), 0
        means = self._interval.means()
        # The last step logs in any case. It ends no interval: a run resumed with more steps goes on as one of them all.
        if self._cadence.log and step % self._cadence.log == 0:
            self._interval.clear()
        self._run.log(step, {**means, "learning_rate": self._learning_rate(step), "grad_norm": result.grad_norm,
                             "tokens_per_s": rate, "skipped": self._core.skipped})
        progress.advance({**shown(means), "": f"{rate:,.0f} tokens/s"})

    def _evaluation(self, step: int, progress: Progress) -> Dict[str, float]:
        # Settle before the evaluation, not in between: a resumed run must round in the same places.
        self._core.optimizer.settle()
        values = self._evaluate()
        self._run.log(step, values)
        progress.write(evaluation_line(step, values))
        if self._selection is not None:
            self._selection.observe(step, values)
        # Time spent evaluating does not count in tokens/s.
        self._since, self._counted = time.perf_counter(), 0
        return values

    def _save(self, step: int) -> None:
        if step == self._saved or not self._workers.is_first:
            return
        scaler, optimizer = self._core.scaler, self._core.optimizer
        self.spent = self.cost.state()
        progress = {"skipped": self._core.skipped, "skipped_in_a_row": self._core.skipped_in_a_row,
                    "loss_scale": scaler.scale, "loss_scale_good": scaler.good, "workers": self._workers.size,
                    "interval": self._interval.state(), "cost": self.spent,
                    **({} if self._selection is None else {"selection": self._selection.state()})}
        # Read the state first: `settled` changes the weights only for the time of the block.
        states = {**optimizer.state(), **{f"{EXTRA}{name}": parameter.list_data()[0].asnumpy()
                                          for name, parameter in self._extras.items()}}
        with optimizer.settled():
            self._run.save_checkpoint(step, self._model, self._tokenizer, states, progress, self._cadence.keep)
        self._saved = step


SHORT = {"mlm_loss": "mlm", "kd_loss": "kd", "mlm_accuracy": "accuracy"}


def shown(values: Dict[str, float]) -> Dict[str, str]:
    """Metrics for people: short names and figures. The MLM loss is left out where it is the whole loss."""
    alone = values.get("mlm_loss") == values.get("loss")
    return {SHORT.get(name, name): _short(value) for name, value in values.items()
            if not (alone and name == "mlm_loss")}


def evaluation_line(step: int, values: Dict[str, float]) -> str:
    """ "step 100, dev: accuracy 0.6250, loss 0.6612": the metrics of an evaluation, their common prefix once."""
    prefix = next(iter(values), "").partition("_")[0]
    if values and all(name.startswith(f"{prefix}_") for name in values):
        values = {name[len(prefix) + 1:]: value for name, value in values.items()}
        prefix = f", {prefix}"
    else:
        prefix = ""
    return f"step {step}{prefix}: " + ", ".join(f"{name} {value}" for name, value in shown(values).items())


def _short(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    return f"{value:.{1 if abs(value) >= 100 else 3 if abs(value) >= 1 else 4}f}"

"""The loop around the step core: seeds, schedule, log, evaluation, checkpoints, stopping and resuming."""

import dataclasses
import math
import time
from typing import Any, Callable, Dict, Iterable, Optional, Protocol

from bort_mx import random
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.distributed import Workers
from bort_mx.durations import in_words
from bort_mx.progress import Progress
from bort_mx.training.run_directory import RunDirectory
from bort_mx.training.signals import StopRequested, StopSignals
from bort_mx.training.step import NonFiniteError, StepResult, TrainingStep

FEWEST_STEPS_TOLD = 20
"""Of fewer steps the duration is not told beforehand."""
QUICK = 5.0
"""Seconds of a first pass up to which another one is timed."""


@dataclasses.dataclass
class Cadence:
    """When the loop does what, in steps; 0 for never (the last step logs, evaluates and saves in any case)."""

    total: int
    log: int = 10
    evaluate: int = 500
    checkpoint: int = 500
    keep: int = 3


class Selection(Protocol):
    """What looks at every evaluation: keeps the best model, and may end the training."""

    stopped: bool
    """The training has been ended."""

    def observe(self, step: int, values: Dict[str, float]) -> None:
        """Look at an evaluation; the values are equal on all workers, and so must be what follows from them."""

    def state(self) -> Dict:
        """What a resumed run needs to know, JSON-ready."""

    def load_state(self, state: Dict) -> None:
        """The inverse of `state`."""


class Loop:
    """Runs a training from the run's checkpoint (or from the start) to its last step.

    Args:
        run: the output directory.
        core: the step core.
        model, tokenizer: what checkpoints hold.
        workers: the workers.
        cadence: see `Cadence`.
        learning_rate: step (from 1) → learning rate.
        batches: step (from 0) → this worker's micro-batches.
        tokens: micro-batch → its number of tokens, for the rate.
        evaluate: () → values to log, or None.
        seed: every step's dropout is a function of (seed, step, rank).
        description: for the progress display.
        selection: see `Selection`.
    """

    def __init__(self, run: RunDirectory, core: TrainingStep, model, tokenizer, workers: Workers, cadence: Cadence,
                 learning_rate: Callable[[int], float], batches: Callable[[int], Iterable],
                 tokens: Callable[[Any], int], evaluate: Optional[Callable[[], Dict[str, float]]], seed: int,
                 description: str, selection: Optional[Selection] = None):
        self._run, self._core, self._model, self._tokenizer, self._workers = run, core, model, tokenizer, workers
        self._cadence, self._learning_rate, self._batches, self._tokens = cadence, learning_rate, batches, tokens
        self._evaluate, self._seed, self._description = evaluate, seed, description
        self._selection = selection
        self._since, self._counted, self._saved = time.perf_counter(), 0, None

    def restore(self) -> None:
        """Take optimizer state and counters from the run's checkpoint (the weights are loaded by the caller)."""
        path = self._run.checkpoint
        if path is None:
            return
        self._core.optimizer.load_state(checkpoint_directory.read_states(path), str(path / checkpoint_directory.STATES))
        progress = checkpoint_directory.read_progress(path)
        self._core.skipped, self._core.skipped_in_a_row = progress["skipped"], progress["skipped_in_a_row"]
        self._core.scaler.scale, self._core.scaler.good = progress["loss_scale"], progress["loss_scale_good"]
        self._saved = progress["step"]
        if self._selection is not None:
            self._selection.load_state(progress["selection"])

    def train(self) -> Dict[str, float]:
        """Run to the last step, or to where the selection ends it; returns the last evaluation.

        Raises:
            StopRequested: SIGINT or SIGTERM came; a checkpoint stands.
            NonFiniteError: see `TrainingStep`; or no step at all was finite.
        """
        last: Dict[str, float] = {}
        start, total = self._run.start_step, self._cadence.total
        done = start
        with StopSignals() as signals, Progress(total, self._description, "step", self._workers.is_first,
                                                initial=start) as progress:
            if start < total and not self._ended():
                self._say_how_long(total - start)
            self._since = time.perf_counter()
            for step in range(start + 1, total + 1):
                if self._ended():
                    break
                result = self._step(step, lambda: signals.asked)
                if result.abandoned:
                    self._stop(step - 1)
                done = step
                self._log(step, result, progress)
                if self._due(step, self._cadence.evaluate) and self._evaluate is not None:
                    last = self._evaluation(step, progress)
                if self._due(step, self._cadence.checkpoint) or result.stop or self._ended():
                    self._save(step)
                if result.stop and step < total and not self._ended():
                    self._stop(step)
        if self._core.skipped and self._core.skipped == done:
            raise NonFiniteError(f"no step of {done} had a finite loss and gradient; lower --learning-rate, or look at "
                                 "the data")
        if self._workers.is_first and self._core.skipped:
            print(f"{self._core.skipped} steps were skipped: their loss or gradient was not finite")
        return last

    def _say_how_long(self, steps: int) -> None:
        """Say how long the steps will take, by the time of one micro-batch; rank 0 alone measures.

        The first pass compiles the graph and allocates its memory; a second one is timed if the first was quick.
        """
        if not self._workers.is_first or steps < FEWEST_STEPS_TOLD:
            return
        batches = list(self._batches(self._run.start_step))
        seconds = self._core.rehearse(batches)
        if seconds < QUICK:
            seconds = min(seconds, self._core.rehearse(batches))
        step = seconds * len(batches)
        print(f"about {in_words(step)} a step, by one micro-batch: {in_words(step * steps)} for {steps:,} steps, "
              "evaluations not counted", flush=True)

    def _ended(self) -> bool:
        return self._selection is not None and self._selection.stopped

    def _due(self, step: int, interval: int) -> bool:
        return step == self._cadence.total or (interval > 0 and step % interval == 0)

    def _stop(self, step: int) -> None:
        """End the run as the user asked, after the checkpoint of the last step that was done.

        Raises:
            StopRequested: always.
        """
        if step > self._run.start_step:
            self._save(step)
        self._workers.gather(step, "stopped")  # horovodrun kills the others once one has left
        raise StopRequested(f"stopped at step {step}, after its checkpoint; go on with --resume auto" if step
                            else "stopped before the first step was done")

    def _step(self, step: int, asked: Callable[[], bool]) -> StepResult:
        random.seed_mxnet(self._seed, "training step", step, self._workers.rank)
        batches = list(self._batches(step - 1))
        self._counted += sum(self._tokens(batch) for batch in batches) * self._workers.size
        return self._core(batches, self._learning_rate(step), detailed=self._due(step, self._cadence.log), asked=asked)

    def _log(self, step: int, result: StepResult, progress: Progress) -> None:
        if not self._due(step, self._cadence.log):
            progress.advance()
            return
        rate = self._counted / (time.perf_counter() - self._since)
        self._since, self._counted = time.perf_counter(), 0
        shown = {"loss": _short(result.loss), **{k: _short(v) for k, v in result.metrics.items()},
                 "tokens/s": f"{rate:,.0f}"}
        self._run.log(step, {"loss": result.loss, **result.metrics, "learning_rate": self._learning_rate(step),
                             "grad_norm": result.grad_norm, "tokens_per_s": rate, "skipped": self._core.skipped})
        progress.advance(shown)

    def _evaluation(self, step: int, progress: Progress) -> Dict[str, float]:
        self._core.optimizer.settle()
        values = self._evaluate()
        self._run.log(step, values)
        progress.write(f"step {step}: " + ", ".join(f"{name} {_short(value)}" for name, value in values.items()))
        if self._selection is not None:
            self._selection.observe(step, values)
        self._since, self._counted = time.perf_counter(), 0
        return values

    def _save(self, step: int) -> None:
        if step == self._saved or not self._workers.is_first:
            return
        scaler, optimizer = self._core.scaler, self._core.optimizer
        progress = {"skipped": self._core.skipped, "skipped_in_a_row": self._core.skipped_in_a_row,
                    "loss_scale": scaler.scale, "loss_scale_good": scaler.good, "workers": self._workers.size,
                    **({} if self._selection is None else {"selection": self._selection.state()})}
        states = optimizer.state()
        with optimizer.settled():
            self._run.save_checkpoint(step, self._model, self._tokenizer, states, progress, self._cadence.keep)
        self._saved = step


def _short(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.1f}"

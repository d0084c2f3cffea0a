"""A search from options to report: T's states, the FPTAS, its baselines and the report (paper §3).

Every worker makes every call here. Only worker 0 writes and prints.
"""

import contextlib
import dataclasses
import pathlib
import sys
import time
import warnings
from typing import Any, Callable, Dict, Iterator, List, Mapping

import mxnet as mx
import numpy as np

from bort_mx import runtime
from bort_mx.architecture import PRESETS, Architecture
from bort_mx.data.prepared_text import MANIFEST
from bort_mx.devices import device_of, gpu_of
from bort_mx.distributed import Workers, connect
from bort_mx.machine import cpu_name
from bort_mx.progress import Progress
from bort_mx.provenance import provenance
from bort_mx.search import abnc, cost_model, teacher_states
from bort_mx.search.baselines import random_search
from bort_mx.search.candidate_log import CandidateLog
from bort_mx.search.evaluator import Evaluator
from bort_mx.search.feasibility import known_before, told_after
from bort_mx.search.fptas_algorithm import Execution, SearchResult, fptas
from bort_mx.search.objectives import Objectives
from bort_mx.search.options import SearchOptions, kind_of
from bort_mx.search.report import REPORT, SearchReport, write_report
from bort_mx.search.sources import find_sources
from bort_mx.search.space import PAPER_SPACE, SIZE, SearchSpace, admit, check_epsilon, read_space, read_strategy
from bort_mx.search.surrogates import TrainedError
from bort_mx.training.run_directory import RunDirectory
from bort_mx.training.signals import StopRequested, StopSignals

Strategy = Callable[[Objectives, Execution], SearchResult]
"""A search of the space, given T's objectives and how to execute it."""


def run_search(options: SearchOptions) -> SearchResult:
    """Run a search. It writes results.json, ranking.csv, pareto.png and report.md into the output directory.

    Raises:
        InputError: data, teacher, space and options do not fit together. Raised before any candidate is trained.
        StopRequested: the user stopped the search; all finished candidates are in the log.
    """
    workers, phases = connect(options), Phases()
    ctx = device_of(options.device, workers)
    architectures = read_space(options.space or PAPER_SPACE)
    stated = {"order": SIZE, "representative": "first", **read_strategy(options.space or PAPER_SPACE)}
    options = dataclasses.replace(options, **{name: value for name, value in stated.items()
                                              if getattr(options, name) is None})
    space = admit(architectures, options.allow_odd)
    check_epsilon(options.epsilon, len(space.architectures))
    workers.say(*space.notes())
    run = RunDirectory(options.output_dir, options, _may_change(options.output_dir), workers.is_first, options.resume,
                       kind=kind_of)
    run.agree(workers, space=[str(architecture) for architecture in space.architectures])
    with workers.agreeing("opened"):
        # Before text is prepared: a resumed search must know from which text.
        run.open(training=False, gpu=gpu_of(ctx), workers=workers.size)
    try:
        return _search(options, run, space, architectures, workers, phases, ctx)
    finally:
        run.close()


def _may_change(output_dir: str) -> List[str]:
    """Options that may differ when a search is resumed: those that the log compares, and those that select candidates.

    Once text has been prepared into the output directory, the options that determine this text must not change.
    """
    prepared = (pathlib.Path(output_dir) / "data" / MANIFEST).is_file()
    return [field.name for field in dataclasses.fields(SearchOptions)
            if not (prepared and field.name in ("data", "tokenizer", "seed"))]


def _search(options: SearchOptions, run: RunDirectory, space: SearchSpace, architectures: List[Architecture],
            workers: Workers, phases: "Phases", ctx: mx.Context) -> SearchResult:
    """Run the search in a directory that this process has locked."""
    with phases.timed("preparation"):
        sources = find_sources(options.teacher, options.data, options.output_dir, options.seed, options.tokenizer,
                               workers, options.seq_len)
        with workers.agreeing("inputs"):
            setting = Evaluator(options, space, *sources, workers, ctx)
        workers.agree(setting.of_an_evaluation(), "search.inputs")
    workers.say(*known_before(space.architectures, setting.maximum_point, setting.vocab_size, setting.num_positions))
    with phases.timed("teacher"):
        states = _run_teacher(setting, options.output_dir, options.cache_memory * 1_000_000, workers, ctx)
    error = TrainedError(setting.config, setting.batches, states, options.theta, options.optimizer_settings,
                         options.clip, options.seed, ctx)
    try:
        found = {name: _run(strategy, name, setting, workers, phases)
                 for name, strategy in _strategies(setting, space, architectures, error).items()}
    finally:
        if workers.is_first:
            (pathlib.Path(options.output_dir) / teacher_states.FILE).unlink(missing_ok=True)
    run.config.update(setting.inputs)
    run.write_config()
    if workers.is_first:
        _report(setting, space, found, states, error, phases, _device_name(ctx))
    return found["candidates"]


class Phases(Dict[str, float]):
    """Phase → seconds."""

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the time of the block to a phase."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self[name] = self.get(name, 0.0) + time.perf_counter() - start


def _run_teacher(setting: Evaluator, folder: str, limit: int, workers: Workers,
                 ctx: mx.Context) -> teacher_states.TeacherStates:
    """T's states for all batches, in memory up to `limit` bytes. T itself is released when this returns."""
    model = setting.load_teacher()
    shape = teacher_states.states_shape(setting.batches, model.config.architecture.hidden_size)
    path = teacher_states.place_of_states(shape, folder, limit, workers)
    workers.say(setting.describe_lines(), teacher_states.describe_states(shape, path))
    return teacher_states.run_teacher(model, setting.batches, path, workers, ctx)


# -- candidates ------------------------------------------------------------------------------------------------------


def _strategies(setting: Evaluator, space: SearchSpace, architectures: List[Architecture],
                error: TrainedError) -> Dict[str, Strategy]:
    """The FPTAS (named "candidates"), and the requested baselines."""
    options = setting.options

    def evaluate(architecture: Architecture) -> Objectives:
        # If latency is measured, that happens later. Until then eq. 12 takes its place.
        return Objectives(setting.parameters(architecture), architecture.flops(), error(architecture))

    shared = {"allow_odd": options.allow_odd, "vocab_size": setting.vocab_size,
              "num_positions": setting.num_positions}

    def intervals_of(epsilon: int) -> Strategy:
        """One candidate of every `epsilon` architectures in the order of the space."""
        return lambda point, execution: fptas(architectures, evaluate, point, epsilon, execution=execution,
                                              representative=options.representative, order=options.order, **shared)

    budget = -(-len(space.architectures) // options.epsilon)  # rounded up: the number of intervals
    baselines = {"exhaustive": intervals_of(1), "random": lambda point, execution: random_search(
        architectures, evaluate, point, budget, options.seed, execution=execution, **shared)}
    return {"candidates": intervals_of(options.epsilon), **{name: baselines[name] for name in options.baselines}}


def _run(strategy: Strategy, name: str, setting: Evaluator, workers: Workers, phases: Phases) -> SearchResult:
    """Run one search with the log. Measuring of latency counts as a phase of its own."""
    log = CandidateLog(setting.options.output_dir, setting.of_an_evaluation(), workers.rank)
    workers.say(*log.notes)
    workers.wait("search.log")  # all must have read the log before any worker writes
    latency_before = phases.get("latency", 0.0)

    def measure(architecture: Architecture) -> float:
        with phases.timed("latency"):
            return setting.measure_latency(architecture)

    with phases.timed(name), _Watch(name, workers) as watch, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about odd depths; the notes of the space have reported them
        measured = setting.options.latency == "measured"
        point = Objectives(setting.parameters(setting.maximum_point),
                           _latency_of_t(setting, log, measure, workers) if measured else setting.maximum_point.flops(),
                           np.nan)
        result = strategy(point, Execution(workers, log, setting.cost, measure if measured else None,
                                           watch.begin, watch.finished))
    workers.wait("search.merged")  # the next search opens the log only after the merge
    phases[name] -= phases.get("latency", 0.0) - latency_before
    return result


def _latency_of_t(setting: Evaluator, log: CandidateLog, measure: Callable[[Architecture], float],
                  workers: Workers) -> float:
    """T's latency, measured once and kept in the log. A resumed search therefore compares with the same T."""
    if workers.is_first and setting.maximum_point not in log.latencies:
        log.append_latency(setting.maximum_point, measure(setting.maximum_point))
    return workers.gather(log.latencies.get(setting.maximum_point), "search.latency of T")[0]


class _Watch:
    """Shows the progress of this worker's candidates. Stops the search after a candidate if the user asked to."""

    def __init__(self, name: str, workers: Workers):
        self._name = name if workers.size == 1 else f"{name} of worker 0"
        self._enabled, self._signals, self._progress = workers.is_first, StopSignals(), None

    def __enter__(self) -> "_Watch":
        self._signals.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._signals.__exit__(*exception)
        if self._progress is not None:
            self._progress.close()

    def begin(self, count: int) -> None:
        """Start the display; `count` is the number of candidates to evaluate."""
        self._progress = Progress(count, self._name, "candidate", self._enabled)

    def finished(self, architecture: Architecture, objectives: Objectives) -> None:
        """Called after each candidate, once it is in the log."""
        self._progress.update(1, last=f"<{architecture}>", error=f"{objectives.error:.4f}")
        if self._signals.asked:
            raise StopRequested("after a candidate")


# -- report ----------------------------------------------------------------------------------------------------------


def _report(setting: Evaluator, space: SearchSpace, found: Mapping[str, SearchResult],
            states: teacher_states.TeacherStates, error: TrainedError, phases: Phases, device_name: str) -> None:
    """Write the report, and print the three best candidates."""
    result, options = found["candidates"], setting.options
    V, S = setting.vocab_size, setting.num_positions
    checked = [*abnc.weak_conditions(space.architectures, V, S),
               *abnc.strong_conditions(result, options.clip or None, error.least_weight_norm(result.best)),
               *abnc.order_conditions(result, V, S)]
    terms = abnc.RuntimeTerms(len(space.architectures), max(a.parameters(V, S) for a in space.architectures),
                              len(options.theta), options.batch_size, options.epsilon)
    write_report(options.output_dir, SearchReport(
        result, _provenance(setting), setting.describe_t(), setting.latency_unit, checked, terms,
        exhaustive=found.get("exhaustive"), random=found.get("random"), presets=_presets(setting, result),
        phases=phases, predictions=_predictions(setting, error), measured_on=device_name,
        teacher_passes=states.passes, teacher_batches=len(setting.batches.all)))
    for place, ranked in enumerate(result.top(3), start=1):
        p, i, e = ranked.objectives.parameters, ranked.objectives.latency, ranked.objectives.error
        print(f"{place}. <{ranked.architecture}>  W {ranked.w:.4g}, {p / 1e6:.2f} M parameters, latency {i:.4g} "
              f"{setting.latency_unit}, error {e:.4f} nats")
    print(*told_after(result), f"report: {pathlib.Path(options.output_dir) / REPORT}", sep="\n", flush=True)


def _provenance(setting: Evaluator) -> Dict[str, Any]:
    """What produced the result. The output directory is left out, so that two equal searches give the same bytes."""
    return {**provenance(), "command": _command_without("--output-dir"), "seed": setting.options.seed,
            "teacher": setting.inputs["teacher_sha256"], "data": setting.inputs["data"]["manifest_sha256"],
            "evaluation": {name: str(value) for name, value in setting.options.of_an_evaluation().items()}}


def _presets(setting: Evaluator, result: SearchResult) -> Dict[str, Objectives]:
    """Known architectures. Those not evaluated have an error of NaN, and a latency only if it is eq. 12's."""
    evaluated = result.objectives()
    by_flops = setting.options.latency == "flops"
    return {name: evaluated.get(a) or Objectives(setting.parameters(a), a.flops() if by_flops else np.nan, np.nan)
            for name, a in PRESETS.items()}


def _predictions(setting: Evaluator, error: TrainedError) -> List[cost_model.Prediction]:
    """Predicted cost of the paper's search at the speed of the largest candidate trained here; empty if none was."""
    if not error.step_seconds:
        return []
    largest = max(error.step_seconds, key=setting.cost)
    rate = cost_model.measured_rate(largest, setting.workload, error.step_seconds[largest],
                               setting.teacher_architecture.hidden_size)
    return cost_model.predict_paper_search(rate)


def _command_without(option: str) -> str:
    """The command line without an option and its value."""
    words: List[str] = [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]
    return " ".join(word for previous, word in zip([None, *words], words)
                    if word != option and previous != option and not word.startswith(option + "="))


def _device_name(ctx: mx.Context) -> str:
    """A description of the device whose times were measured."""
    if ctx.device_type == "gpu":
        return f"one worker on GPU {ctx.device_id}"
    threads = runtime.set_threads()
    return f"one worker with {threads} thread{'s' if threads > 1 else ''} on {cpu_name()}"

"""`run_finetune.py --agora`: Agora on a real task, from options to results (P1 §5, App. D).

Rank 0 runs the pure loop of `bort_mx.agora.loop` over a `Crew`; everything it needs again after a kill is in the
folder agora/ of the output directory: the record of finished jobs, each round's new points, every job's predictions,
the best models.
"""

import dataclasses
import hashlib
import shutil
from typing import Any, Callable, Dict, Hashable, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np

from bort_mx.agora import audit, budget, report
from bort_mx.agora.baselines import ENUMERATION, Baselines, Row, named, row_of, say
from bort_mx.agora.hyperparameters import Theta, load_thetas, paper_thetas
from bort_mx.agora.loop import AgoraResult, Job, Round, agora, balanced, check_classes
from bort_mx.agora.mask_filling import MaskFiller
from bort_mx.agora.options import AgoraRunOptions
from bort_mx.agora.perturbation import alternatives, make_tau
from bort_mx.agora.storage import MODELS, Shelf, job_name
from bort_mx.agora.teacher import Socrates
from bort_mx.agora.trainer import EXAMPLE_ACCURACY, Bench, Trained, are_right, as_class
from bort_mx.agora.worker_pool import Crew
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints.weights import Weights
from bort_mx.data.tasks import Example, Examples, Task
from bort_mx.devices import device_of
from bort_mx.distributed import Workers, connect
from bort_mx.errors import InputError
from bort_mx.finetuning import predictions as prediction_files
from bort_mx.finetuning.finetune import conclude, finished, keep_checkpoint, read_weights, starting_weights
from bort_mx.finetuning.options import FineTuningOptions, kind_of
from bort_mx.finetuning.task_data import TaskData, examples_digest, read_task_data, resolve
from bort_mx.finetuning.trainer import Session
from bort_mx.io import files
from bort_mx.training.run_directory import RunDirectory

FOLDER, COST = "agora", "cost.json"
"""Options that are no part of a run's identity: what they lead to is, by its hash, or they only end it earlier."""


def run_agora(options: AgoraRunOptions, begin: Optional[Callable[[], None]] = None) -> Dict[str, Any]:
    """Fine-tune by Agora on one task; what it found is in results.json and agora/report.md.

    A run that `resume` finds finished is not done again, unless it may have more rounds now.

    Args:
        options: of the run.
        begin: see `bort_mx.finetuning.finetune.finetune`.
    Raises:
        InputError: data, checkpoints or options that do not fit together, a Socrates below 2/3, a leak.
        StopRequested: stopped by the user; what is finished is recorded.
    """
    workers = connect()
    task, asked = resolve(options.task)
    plain = theta_of(dataclasses.replace(options.without_agora(), chs=False).resolved(task, asked))
    options = options.resolved(task, asked)
    thetas = read_thetas(options)
    data, put_aside = _with_audit(read_task_data(task, asked, options.data_dir, options.seed, workers), options)
    known = data.identity()
    extra = {**known, "data": {**known["data"], "audit": examples_digest(put_aside)},
             "theta": hashlib.sha256(repr([tuple(theta) for theta in thetas]).encode()).hexdigest()}
    run = RunDirectory(options.output_dir, options, options.MAY_CHANGE, workers.is_first, options.resume, extra,
                       kind_of)
    if not run.before:
        options.refuse_unused()
    keep_checkpoint(run, options.checkpoint)
    if workers.gather(_is_finished(run, options), "finished")[0]:  # rank 0's: hosts may have no folder in common
        return workers.gather(finished(run, workers) if workers.is_first else None, "results")[0]
    crew, director = _engage(options, data, put_aside, run, workers, thetas, plain)
    workers.gather(0, "ready")  # all have looked at the directory before rank 0 writes into it
    if begin is not None:
        begin()
    run.open()
    try:
        outcome = _outcome(crew, director, workers)
    finally:
        run.close()
    return _finish(options, crew.bench, run, workers, outcome)


def read_thetas(options: AgoraRunOptions) -> List[Theta]:
    """Theta: of --theta, the task's one set with --chs, or the paper's.

    Args:
        options: resolved.
    Raises:
        InputError: see `load_thetas`.
    """
    if options.chs:
        return [theta_of(options)]
    return paper_thetas() if options.theta is None else load_thetas(options.theta)


def theta_of(options: FineTuningOptions) -> Theta:
    """The hyperparameter set of resolved options."""
    return Theta(*(getattr(options, name) for name in Theta._fields))


# -- before the start ----------------------------------------------------------------------------------------------


def _rounding(task: Task) -> Optional[Callable[[Any], Hashable]]:
    return as_class(task) if task.is_regression else None


def _with_audit(data: TaskData, options: AgoraRunOptions) -> Tuple[TaskData, Examples]:
    """The data without the audit slice, and that slice; where the second text asks about the first, by passage."""
    size = options.audit_size or round(options.audit_share * len(data.train))
    if not size:
        data.notes.append("no audit slice: dev accuracies after round 0 are optimistic, and nothing shows by how much")
        return data, Examples()
    train, aside = audit.split(data.train, size, options.seed, data.dev, passages=data.task.cut == "first")
    data.notes.append(f"train: {len(aside)} of {len(data.train)} examples put aside as the audit slice")
    return dataclasses.replace(data, train=Examples(train)), Examples(aside)


def _is_finished(run: RunDirectory, options: AgoraRunOptions) -> bool:
    """Whether the results stand in the directory, and nothing more is asked for than they were made by.

    config.json would not do: it has the options of a run that was to have more rounds and was killed on the way.
    """
    if not (run.checkpoint and (run.path / checkpoint_directory.RESULTS).is_file()):
        return False
    return files.read_json(run.path / checkpoint_directory.RESULTS)["agora"].get("asked") == _asked(options)


def _asked(options: AgoraRunOptions) -> Dict[str, Any]:
    return {name: getattr(options, name) for name in options.ASKED}


def _engage(options: AgoraRunOptions, data: TaskData, put_aside: Examples, run: RunDirectory, workers: Workers,
            thetas: List[Theta], plain: Theta) -> Tuple[Crew, "Director"]:
    """Load everything that a run may fail for, on every worker, before anything is written."""
    if data.task.is_regression and options.socrates_threshold is not None:
        raise InputError(f"--socrates-threshold {options.socrates_threshold}: {data.task.key} is a regression, whose "
                         "teacher has no confidence; leave it out")
    check_classes(data.train, data.dev, _rounding(data.task))
    ctx = device_of(options.device, workers, options.dtype)
    weights, notes = starting_weights(options.checkpoint, options.seed, data, workers)
    teacher = read_weights(options.socrates, workers)
    targets = [example.label for example in data.train] if data.task.is_regression else [0]
    socrates = Socrates(teacher, options.socrates, data.task, options, workers, ctx, (min(targets), max(targets)))
    data.notes += notes + socrates.notes
    bench = Bench(options, data, put_aside, weights, ctx)
    bench.check(workers if options.data_parallel else Workers())
    filler = _filler(options, weights, workers, ctx)
    tau = _tau(options, data.task, filler)
    identity = {**_identity(options, data.task, weights, teacher, filler, workers),
                **{f"{name} set": run.config["data"][name] for name in ("train", "dev", "audit")}}
    crew = Crew(bench, socrates, workers, options.data_parallel)
    return crew, Director(options, crew, run, tau, thetas, plain, identity)


def _filler(options: AgoraRunOptions, weights: Weights, workers: Workers, ctx: Any) -> Optional[MaskFiller]:
    """The fill function of tau mlm, if it is asked for."""
    if not options.fills_masks:
        return None
    return MaskFiller(weights if options.mlm is None else read_weights(options.mlm, workers), options.tau_top_k,
                      options.evaluation_batch_size, ctx)


def _tau(options: AgoraRunOptions, task: Task, filler: Optional[MaskFiller]) -> Callable:
    """The tau that --tau names; [I] questions about a passage and their answers are protected as a whole."""
    protect = _second_text if task.cut == "first" else None
    if protect and options.tau_which == "second":
        raise InputError(f"--tau-which second: the second texts of {task.key} are questions and answers, which must "
                         "survive; choose first")
    return alternatives([make_tau(name.strip(), filler, options.tau_top_k, options.tau_temperature,
                                  copies=options.tau_copies, which=options.tau_which, protect=protect)
                         for name in options.tau.split(",")])


def _second_text(example: Example) -> List[List[Tuple[int, int]]]:
    return [[(0, len(text))] if number else [] for number, text in enumerate(example.texts)]


def _identity(options: AgoraRunOptions, task: Task, weights: Weights, teacher: Weights, filler: Optional[MaskFiller],
              workers: Workers) -> Dict[str, Any]:
    """What a run's record holds for, by hash where it is a file: a resumed run must have the same."""
    fields = {name: value for name, value in dataclasses.asdict(options).items()
              if name not in (*options.MAY_CHANGE, "keep_classifier")}  # which is refused
    return {"task": task.key, "checkpoint": digest(weights), "Socrates": digest(teacher),
            "MLM": digest(filler.weights) if filler else None,
            "workers": workers.size if options.data_parallel else None,  # the order of summation
            **{f"--{name.replace('_', '-')}": value for name, value in fields.items()}}


def digest(weights: Weights) -> str:
    """SHA-256 over the configuration, all tensors and the vocabulary, in whatever format they are stored."""
    total = hashlib.sha256(repr(weights.config).encode() + repr(weights.config.labels or "").encode())
    for name in sorted(weights.tensors):
        total.update(name.encode() + weights.float32(name).tobytes())
    total.update(weights.tokenizer.digest.encode())
    return total.hexdigest()


# -- the run -------------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What rank 0 brings home; the others get the part that they need to evaluate the best model."""

    best: Trained
    results: Dict[str, Any]


def _outcome(crew: Crew, director: "Director", workers: Workers) -> Outcome:
    """Rank 0 directs and the others serve; the same outcome on all."""
    outcome = None
    if workers.is_first:
        try:
            outcome = director.direct()
        except InputError as error:
            crew.dismiss(str(error))
            raise
        crew.dismiss()
    else:
        crew.serve()
    return workers.gather(outcome, "outcome")[0]


class Director:
    """Rank 0's part: the loop, its record, the baselines and the report.

    Args:
        options: resolved.
        crew: trains, labels and predicts.
        run: the output directory.
        tau: makes new points.
        thetas: Theta, before --budget.
        plain: the set of the plain baseline.
        identity: what the record holds for.
    """

    def __init__(self, options: AgoraRunOptions, crew: Crew, run: RunDirectory, tau: Callable, thetas: List[Theta],
                 plain: Theta, identity: Dict[str, Any]):
        self._options, self._crew, self._run, self._tau = options, crew, run, tau
        self._thetas, self._plain, self._identity = thetas, plain, identity
        self._data, self._task, self._audit = crew.bench.data, crew.bench.data.task, crew.bench.audit
        self._folder = run.path / FOLDER
        self._shelf = Shelf(self._folder, self._task, self._data.dev, self._audit, crew.bench.write)
        self._logged: Set[int] = set()

    def direct(self) -> Outcome:
        """Everything from the cost to the report."""
        self._logged = {row["step"] for row in self._run.metrics()}  # only now: the run drops some when it is opened
        thetas = self._afford()
        result = agora(
            thetas, self._train, self._mistakes, self._tau, self._crew.label, self._data.train, self._options.strategy,
            dev=self._data.dev, audit=self._audit, as_class=_rounding(self._task), measure=self._measure,
            run_jobs=self._run_jobs, save_model=self._save, load_model=self._shelf.get_model, folder=self._folder,
            fingerprint=self._identity, say=say, observe=self._observe, **self._loop_options())
        say(f"ended: {result.stopped}")
        baselines = Baselines(self._crew, self._shelf, self._folder, self._options, self._identity)
        rows = [self._enumeration(result)]
        if self._options.baselines == "all":
            rows += baselines.train(self._plain, thetas)
        report.write_report(result, self._folder, [row.shown for row in rows], f"Agora on {self._task.key}")
        self._shelf.write_trainings(result, baselines.trainings)
        return Outcome(result.best_model, self._results(result, rows))

    # The functions of the loop

    def _run_jobs(self, jobs: List[Job]) -> Iterable[Tuple[Job, Trained, float]]:
        for done, (job, trained, accuracy) in enumerate(self._crew.train(jobs), 1):
            self._shelf.put_predictions(job_name(job.round, job.index), job.theta, trained)
            say(f"round {job.round}, training {done} of {len(jobs)}: {named(job.theta)}: dev {accuracy:.4f}"
                + (" (it did not converge)" if trained.diverged else ""))
            yield job, trained, accuracy

    def _train(self, theta: Theta, examples: List[Example]) -> Tuple[Trained, float]:
        """Once more, for a model that was lost."""
        (_, trained, accuracy), = self._crew.train([Job(-1, 0, theta, examples)])
        return trained, accuracy

    def _mistakes(self, model: Trained) -> List[Example]:
        right = are_right(self._task, self._data.dev, model.dev)
        return [example for example, fine in zip(self._data.dev, right) if not fine]

    def _measure(self, model: Trained, examples: List[Example]) -> Dict[str, float]:
        found = {"train": self._accuracy(examples, self._crew.predict(model.tensors, examples))}
        return {**found, "audit": self._accuracy(self._audit, model.audit)} if self._audit else found

    def _accuracy(self, examples: Sequence[Example], predictions: Sequence[Any]) -> float:
        return float(np.mean(are_right(self._task, examples, predictions)))

    def _save(self, model: Trained, number: int) -> None:
        self._shelf.put_model(model, number)

    def _observe(self, this: Round) -> None:
        if this.number not in self._logged:
            self._run.log(this.number, {f"dev_{EXAMPLE_ACCURACY}": this.best_accuracy, "thetas": len(this.accuracies),
                                        "points": this.size, "new_points": this.added, "pruned": len(this.pruned),
                                        **{f"{name}_{EXAMPLE_ACCURACY}": v for name, v in this.measures.items()}})

    def _loop_options(self) -> Dict[str, Any]:
        return {name: value for name, value in dataclasses.asdict(self._options.loop_options()).items()
                if name != "strategy"}

    # Cost

    def _afford(self) -> List[Theta]:
        """Say what the run will cost; the part of Theta that fits the budget."""
        options, examples = self._options, self._data.train
        examples = balanced(examples, options.seed, as_class(self._task)) if options.balance else examples
        path = self._folder / COST
        before = files.read_json(path) if path.is_file() else {}
        each = before.get("seconds_each") or self._crew.measure(examples) / self._crew.at_once
        rule = {"strategy": options.strategy, "max_rounds": options.max_rounds, "seed": options.seed}
        thetas = self._thetas
        if options.budget is not None:
            limit = budget.parse_duration(options.budget)
            thetas = budget.within_budget(thetas, each, limit, beside=self._beside, **rule)
            say(f"--budget {options.budget}: {len(thetas)} of {len(self._thetas)} sets, the first of an order drawn "
                f"with seed {options.seed}")
        found = budget.estimate(thetas, each, replay=options.replay, **rule)
        more = self._beside(len(thetas))
        beside = f"; and {more} trainings of the baselines, {budget.spelled(more * each)}"
        say(f"cost: {found}" + (beside if more else "")
            + (f"; {self._crew.at_once} at once are counted in" if self._crew.at_once > 1 else ""))
        files.write_json(path, {"seconds_each": each, "thetas": len(thetas), "trainings_expected": found.expected,
                                "trainings_at_most": found.most, "baseline_trainings": more})
        return thetas

    def _beside(self, count: int) -> int:
        """Trainings of the baselines beside so many thetas: the plain one, and one of distillation for each."""
        return 1 + count if self._options.baselines == "all" else 0

    # Results

    def _socrates_on_audit(self) -> Optional[float]:
        """The teacher's accuracy on the audit slice; of nothing worth, if he has been trained on it."""
        if not self._audit:
            return None
        return self._accuracy(self._audit, self._crew.label([example.texts for example in self._audit])[0])

    def _enumeration(self, result: AgoraResult) -> Row:
        """Round 0 is the enumeration of Theta: the same trainings on the data as given."""
        first = result.rounds[0]
        found = self._shelf.get_metrics(job_name(0, result.thetas.index(first.best_theta)))
        return row_of(ENUMERATION, found, len(first.accuracies), f"round 0: {named(first.best_theta)}")

    def _results(self, result: AgoraResult, rows: List[Row]) -> Dict[str, Any]:
        best = self._shelf.get_metrics(job_name(result.best_round, result.thetas.index(result.best_theta)))
        return {
            "criterion": EXAMPLE_ACCURACY, "best_step": best["steps"], "train_examples": len(self._data.train),
            "dev_examples": best["dev"], "audit": best["audit"],
            "agora": {"chs": result.best_theta._asdict(), "best_round": result.best_round,
                      "rounds": len(result.rounds), "trainings": result.trainings, "thetas": len(result.thetas),
                      "new_points": len(result.origins), "bound": list(result.bound), "stopped": result.stopped,
                      "socrates_accuracy": result.socrates_accuracy,
                      "socrates_audit_accuracy": self._socrates_on_audit(), "strategy": self._options.strategy,
                      "tau": self._options.tau, "asked": _asked(self._options), "report": f"{FOLDER}/report.md"},
            "baselines": [row.entry for row in rows]}


# -- after the end -------------------------------------------------------------------------------------------------


def _finish(options: AgoraRunOptions, bench: Bench, run: RunDirectory, workers: Workers,
            outcome: Outcome) -> Dict[str, Any]:
    """The best model's outputs, as any fine-tuning run has them, and results.json."""
    model = bench.model_of(outcome.best.tensors)
    session = Session(options, bench.data, model, bench.weights.tokenizer, workers, bench.ctx)
    results = {**outcome.results, **conclude(session, run, trained=False)}
    results["dev"][EXAMPLE_ACCURACY] = results.pop("dev_examples")[EXAMPLE_ACCURACY]
    if workers.is_first:
        for path in checkpoint_directory.steps(run.path / checkpoint_directory.CHECKPOINTS):
            shutil.rmtree(path)
        steps = outcome.best.steps
        for name in (checkpoint_directory.BEST, f"step-{steps}"):
            bench.write(run.path / checkpoint_directory.CHECKPOINTS / name, outcome.best.tensors, {"step": steps})
        print(prediction_files.describe(results, run.path), flush=True)
    run.write_results(results)
    if workers.is_first:
        shutil.rmtree(run.path / FOLDER / MODELS, ignore_errors=True)  # the best are in checkpoints/ now
    return results

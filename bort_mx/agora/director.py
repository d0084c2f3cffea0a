"""Rank 0's part of a run of Agora: the loop over the workers, its record, the baselines, the report and the results."""

import dataclasses
from typing import Any, Callable, Dict, Hashable, Iterable, List, NamedTuple, Optional, Set, Tuple

from bort_mx.agora import budget, report
from bort_mx.agora.balancing import balanced
from bort_mx.agora.baselines import ENUMERATION, Baselines, Row, named, row_of
from bort_mx.agora.hyperparameters import Theta
from bort_mx.agora.loop import agora
from bort_mx.agora.loop_options import Hooks, Record
from bort_mx.agora.options import AgoraRunOptions
from bort_mx.agora.rounds import AgoraResult, Job, Round
from bort_mx.agora.scoring import BalancedScore, ExampleScore, as_class
from bort_mx.agora.storage import Storage, job_name
from bort_mx.agora.trainer import Trained
from bort_mx.agora.worker_pool import WorkerPool
from bort_mx.data.tasks import Example, Task
from bort_mx.durations import in_words, seconds_of
from bort_mx.finetuning.task_data import shown_name
from bort_mx.io import files
from bort_mx.training.run_directory import RunDirectory

FOLDER, COST = "agora", "cost.json"
"""The folder in the output directory, and in it the measured cost of a training."""


class Outcome(NamedTuple):
    """What rank 0 found; the other ranks get it too, as they all evaluate the best model."""

    best: Trained
    results: Dict[str, Any]


class Director:
    """Rank 0's part: the loop, its record, the baselines and the report.

    Args:
        options: resolved.
        pool: trains, labels and predicts.
        run: the output directory.
        tau: makes new points.
        thetas: Theta, before --budget.
        plain: the set of the plain baseline.
        identity: what the record holds for.
    """

    def __init__(self, options: AgoraRunOptions, pool: WorkerPool, run: RunDirectory, tau: Callable,
                 thetas: List[Theta], plain: Theta, identity: Dict[str, Any]):
        self._options, self._pool, self._run, self._tau = options, pool, run, tau
        self._thetas, self._plain, self._identity = thetas, plain, identity
        self._data, self._task, self._audit = pool.trainer.data, pool.trainer.data.task, pool.trainer.audit
        self._folder, self._score = run.path / FOLDER, pool.trainer.score
        self._storage = Storage(self._folder, self._task, self._data.dev, self._audit, self._score, pool.trainer.write)
        self._logged: Set[int] = set()

    def direct(self) -> Outcome:
        """Everything from the cost to the report."""
        self._logged = {row["step"] for row in self._run.metrics()}  # only now: the run drops some when it is opened
        thetas = self._afford()
        hooks = Hooks(rounding_of(self._task), self._score, self._measure, self._run_jobs, self._storage.put_model,
                      self._storage.get_model, self._pool.say, self._observe)
        result = agora(thetas, self._train, self._mistakes, self._tau, self._pool.label, self._data.train,
                       dev=self._data.dev, audit=self._audit, hooks=hooks,
                       record=Record(self._folder, fingerprint=self._identity),
                       **dataclasses.asdict(self._options.loop_options()))
        self._pool.say(f"ended: {result.stopped}")
        baselines = Baselines(self._pool, self._storage, self._folder, self._identity)
        rows = [self._enumeration(result)]
        if self._options.baselines == "all":
            rows += baselines.train(self._plain, thetas, self._options.balance, self._options.seed)
        report.write_report(result, self._folder, [row.shown for row in rows], f"Agora on {shown_name(self._task)}")
        self._storage.write_trainings(result, baselines.trainings)
        return Outcome(result.best_model, self._results(result, rows))

    # The functions of the loop

    def _run_jobs(self, jobs: List[Job]) -> Iterable[Tuple[Job, Trained, float]]:
        for done, (job, trained, accuracy) in enumerate(self._pool.train(jobs), 1):
            self._storage.put_predictions(job_name(job.round, job.index), job.theta, trained)
            note = " (it did not converge)" if trained.diverged else ""
            self._pool.say(f"round {job.round}, training {done} of {len(jobs)}: {named(job.theta)}: dev {accuracy:.4f}"
                           f"{note}")
            yield job, trained, accuracy

    def _train(self, theta: Theta, examples: List[Example]) -> Tuple[Trained, float]:
        """Train once more, for a model that was lost."""
        (_, trained, accuracy), = self._pool.train([Job(-1, 0, theta, examples)])
        return trained, accuracy

    def _mistakes(self, model: Trained) -> List[Example]:
        right = self._score.right(self._data.dev, model.dev)
        return [example for example, fine in zip(self._data.dev, right) if not fine]

    def _measure(self, model: Trained, examples: List[Example]) -> Dict[str, float]:
        single = BalancedScore() if self._score.name != ExampleScore.name else self._score  # no question is whole
        found = {"train": single.value(examples, self._pool.predict(model.tensors, examples))}
        return {**found, "audit": self._score.value(self._audit, model.audit)} if self._audit else found

    def _observe(self, this: Round) -> None:
        if this.number not in self._logged:
            self._run.log(this.number, {f"dev_{self._score.name}": this.best_accuracy, "thetas": len(this.accuracies),
                                        "points": this.size, "new_points": this.added, "pruned": len(this.pruned),
                                        **{f"{name}_{self._score.name}": v for name, v in this.measures.items()}})

    # Cost

    def _afford(self) -> List[Theta]:
        """Say what the run will cost; the part of Theta that fits the budget."""
        options, examples = self._options, self._data.train
        examples = balanced(examples, options.seed, as_class(self._task)) if options.balance else examples
        path = self._folder / COST
        before = files.read_json(path) if path.is_file() else {}
        each = before.get("seconds_each") or self._pool.measure(examples) / self._pool.at_once
        rule = {"strategy": options.strategy, "max_rounds": options.max_rounds, "seed": options.seed}
        thetas = self._thetas
        if options.budget is not None:
            limit = seconds_of(options.budget)
            thetas = budget.within_budget(thetas, each, limit, beside=self._beside, **rule)
            self._pool.say(f"--budget {options.budget}: {len(thetas)} of {len(self._thetas)} sets, the first of an "
                           f"order drawn with seed {options.seed}")
        found = budget.estimate(thetas, each, replay=options.replay, **rule)
        more = self._beside(len(thetas))
        beside = f"; and {more} trainings of the baselines, {in_words(more * each)}" if more else ""
        at_once = f"; {self._pool.at_once} at once are counted in" if self._pool.at_once > 1 else ""
        self._pool.say(f"cost: {found}{beside}{at_once}")
        files.write_json(path, {"seconds_each": each, "thetas": len(thetas), "trainings_expected": found.expected,
                                "trainings_at_most": found.most, "baseline_trainings": more})
        return thetas

    def _beside(self, count: int) -> int:
        """Trainings of the baselines beside `count` thetas: the plain one, and one of distillation for each theta."""
        return 1 + count if self._options.baselines == "all" else 0

    # Results

    def _socrates_on_audit(self) -> Optional[float]:
        """The teacher's score on the audit slice; it means nothing if the teacher was trained on that slice."""
        if not self._audit:
            return None
        answers = self._pool.label([example.texts for example in self._audit])
        return self._score.value(self._audit, self._score.from_answers(self._audit, *answers))

    def _enumeration(self, result: AgoraResult) -> Row:
        """Round 0 is the enumeration of Theta: the same trainings on the data as given."""
        first = result.rounds[0]
        found = self._storage.get_metrics(job_name(0, result.thetas.index(first.best_theta)))
        note = f"round 0: {named(first.best_theta)}"
        return row_of(ENUMERATION, found, self._score.name, len(first.accuracies), note)

    def _results(self, result: AgoraResult, rows: List[Row]) -> Dict[str, Any]:
        best = self._storage.get_metrics(job_name(result.best_round, result.thetas.index(result.best_theta)))
        return {
            "criterion": self._score.name, "best_step": best["steps"], "train_examples": len(self._data.train),
            "dev_examples": best["dev"], "audit": best["audit"],
            "agora": {"chs": result.best_theta._asdict(), "best_round": result.best_round,
                      "rounds": len(result.rounds), "trainings": result.trainings, "thetas": len(result.thetas),
                      "new_points": len(result.origins), "bound": list(result.bound), "stopped": result.stopped,
                      "socrates_accuracy": result.socrates_accuracy,
                      "socrates_audit_accuracy": self._socrates_on_audit(), "strategy": self._options.strategy,
                      "tau": self._options.tau, "asked": self._options.asked(), "report": f"{FOLDER}/report.md"},
            "baselines": [row.entry for row in rows]}


def rounding_of(task: Task) -> Optional[Callable[[Any], Hashable]]:
    """`as_class` of a regression, None of a classification, as `Hooks.as_class` has it."""
    return as_class(task) if task.is_regression else None

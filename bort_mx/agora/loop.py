"""Agora: trains, mines the mistakes, lets a teacher label them, prunes the hyperparameter sets (paper §5, App. D).

The loop is pure: training, finding mistakes, making new points and labelling them are functions given by the caller.
It therefore runs on anything, and in milliseconds in a test. One round:

1. [P] Train Timaeus (the student) once for each theta, [I] always from the same starting weights; record the dev
   accuracies.
2. [P] Prune Theta (`bort_mx.agora.pruning`), unless the round is replayed: one that did not improve may be repeated.
3. [P] Take the mistakes of the best model ([I] of this round) on dev, make new points from them with tau, let Socrates
   (the teacher) label them, and append them to the training set, labels in equal proportion.

Until Theta is empty. [I] When pruning leaves nothing, step 3 is left out: nothing would be trained on its points.

[P] marks what the paper says, [I] what this implementation chose where the paper says nothing.
"""

import pathlib
from typing import Any, Callable, Dict, Hashable, List, NamedTuple, Optional, Sequence, Tuple

from bort_mx.agora import points
from bort_mx.agora.audit import AuditGuard
from bort_mx.agora.balancing import check_classes, count_classes
from bort_mx.agora.best_models import ABSENT, BestModels
from bort_mx.agora.enumeration import check_thetas, train_once
from bort_mx.agora.job_log import JobLog
from bort_mx.agora.labelling import CheckedTeacher
from bort_mx.agora.loop_options import AgoraOptions, Hooks, Record
from bort_mx.agora.mining import Miner
from bort_mx.agora.perturbation import name_of
from bort_mx.agora.pruning import check_accuracy, explain
from bort_mx.agora.rounds import AgoraResult, Job, Round
from bort_mx.agora.scoring import BalancedScore, Check, ExampleScore
from bort_mx.agora.training_pool import TrainingPool, keys_of, read_origins, write_origins
from bort_mx.errors import InputError
from bort_mx.random import generator

FEW = 20
"""Without dev, Socrates is checked on the training data, but only if they are at least this many: fewer prove nothing.
"""


def agora(thetas: Sequence[Hashable], train: Callable[[Hashable, List[Any]], Tuple[Any, float]],
          mistakes: Callable[[Any], Sequence[Any]], tau: Callable[..., Sequence[Any]],
          socrates: Callable[[List[Any]], Any], data: Sequence[Any], strategy: str = "lcs", *,
          dev: Optional[Sequence[Any]] = None, audit: Sequence[Any] = (), hooks: Hooks = Hooks(),
          record: Record = Record(), **options: Any) -> AgoraResult:
    """Run Agora to the convergent hyperparameter set.

    A point is an object with `.texts` and `.label`, or a pair (input, label); see `bort_mx.agora.points`.
    With a `record` folder, a killed run that is started again with the same arguments goes on where it was. A model
    that is needed again is loaded with `hooks.load_model`, or else trained once more; its accuracy must come out the
    same.

    Args:
        thetas: hyperparameter sets, tuples of values, all different.
        train: (theta, points) -> (model, dev accuracy); the same for the same arguments.
        mistakes: model -> the dev examples it gets wrong.
        tau: examples -> new inputs (no labels). An item is an input, or `Perturbed(input, position of its seed
            example)`; bare inputs are taken to be in the order of the examples if there are equally many, else to be
            of unknown origin. With a parameter `rng` it is given a NumPy generator keyed by seed and round.
        socrates: inputs -> labels, or (labels, confidences), or a list of (label, confidence) tuples.
        data: training points, labelled; may be few.
        strategy: "lcs", "worst" or "none", see `AgoraOptions`.
        dev: the dev examples, labelled. Socrates is checked on them (without, on `data` if they are at least 20), and
            new points equal to one of them are dropped.
        audit: examples that must not occur in what is trained on or mined.
        hooks: functions that the loop calls on its way.
        record: where the run is recorded.
        options: the other fields of `AgoraOptions`.

    Raises:
        InputError: an empty Theta, a theta that occurs twice, labels missing from dev, Socrates below the minimum, no
            better than a constant answer, or with other labels, an empty text from tau, an example of the audit slice
            in the data or mined, a record of another run; one line that says what to do.
        RunError: a model that a resumed run needs is gone, and training it again gave another accuracy.
    """
    given = AgoraOptions(strategy=strategy, **options)
    functions = _Functions(train, mistakes, tau, socrates)
    sets = _Sets(list(data), None if dev is None else list(dev), list(audit))
    return _Agora(check_thetas(thetas), functions, sets, given, hooks, record).run()


class _Functions(NamedTuple):
    """The algorithm's functions; see `agora`."""

    train: Callable
    mistakes: Callable
    tau: Callable
    socrates: Callable


class _Sets(NamedTuple):
    """The labelled sets as given."""

    data: List[Any]
    dev: Optional[List[Any]]
    audit: List[Any]


class _Agora:
    """A run: what it was given, the pool of points, the rounds so far."""

    def __init__(self, thetas: List[Hashable], functions: _Functions, sets: _Sets, options: AgoraOptions, hooks: Hooks,
                 record: Record):
        self.thetas, self.functions, self.options, self.hooks, self.dev = thetas, functions, options, hooks, sets.dev
        self.index = {theta: i for i, theta in enumerate(thetas)}
        self.as_class = hooks.as_class or (lambda label: label)
        self.score = hooks.score or (ExampleScore(hooks.as_class) if hooks.as_class else BalancedScore())
        self.folder = None if record.folder is None else pathlib.Path(record.folder)
        self.write = record.write
        identity = {"theta": [points.encode(theta) for theta in thetas], "options": options.fingerprint(),
                    "tau": name_of(functions.tau),
                    **{name: points.digest(part) for name, part in sets._asdict().items()}, **record.fingerprint}
        self.log = JobLog(self.folder / "jobs.jsonl" if self.folder else None, identity, record.write)
        self.guard = AuditGuard(sets.audit)
        self.guard.check(sets.data, "training data")
        self.guard.check(sets.dev or (), "dev")
        self.pool = TrainingPool(sets.data, sets.dev, options.max_points)
        classes = check_classes(sets.data, sets.dev, hooks.as_class)
        self.teacher = CheckedTeacher(functions.socrates, classes, self.as_class, options.threshold)
        self.miner = Miner(functions.tau, self.teacher, self.guard, keys_of(sets.dev or ()), self.pool.revive)
        self.models = BestModels(self._load, self._retrain)
        self.rounds: List[Round] = []

    def run(self) -> AgoraResult:
        """Check Socrates, then train, prune and grow the data, round after round."""
        accuracy, checked_on = self._check_socrates()
        alive, stopped = list(self.thetas), ""
        while not stopped:
            this = self._train_round(alive)
            alive = self._prune(alive, this)
            stopped = self._end(alive) or self._grow(this)
            self.hooks.say(str(this))
            self.hooks.observe(this)
        best = self.models.best
        return AgoraResult(
            best.best_theta, self.models.of(best), best.best_accuracy, best.number, self.rounds, self.pool.points,
            self.pool.origins, self.thetas, (1.0, 2 * (1 - 2.0 ** -len(self.thetas))),
            sum(len(this.accuracies) for this in self.rounds), stopped, accuracy, checked_on)

    def _check_socrates(self) -> Tuple[Optional[float], str]:
        """Socrates' accuracy and the set that it was measured on; refuse one that is not good enough."""
        name, labelled = ("dev", self.dev) if self.dev is not None else ("data", self.pool.points)
        if name == "data" and len(labelled) < FEW:
            return None, ""
        record = self.log.get("socrates")
        if record is None:
            found = self.teacher.check(labelled, self.score)
            record = self.log.put({"kind": "socrates", "on": name, "examples": len(labelled), "accuracy": found.score,
                                   "constant": found.constant, "margin": found.margin})
        self._refuse(record, len(labelled))
        return record["accuracy"], name

    def _refuse(self, record: Dict[str, Any], count: int) -> None:
        """Say how good Socrates is; refuse one that is not. Records of earlier versions lack the constant answer."""
        accuracy, least = record["accuracy"], self.options.socrates_minimum
        found = f"{self.score.checked_by.replace('_', ' ')} {accuracy:.4f} on the {count} examples of {record['on']}"
        check = Check(accuracy, record["constant"], record["margin"]) if "constant" in record else None
        self.hooks.say(f"Socrates: {found}" + (f", a constant answer {check.constant:.4f}" if check else ""))
        other = "give a better teacher, or lower socrates_minimum (--accept-socrates takes any)"
        if accuracy < least:
            raise InputError(f"Socrates: {found} is below {least:.4f}, which Agora needs; {other}")
        if least and check and not check.beats_constant:
            raise InputError(f"Socrates: {found} is not above that of a constant answer, {check.constant:.4f}, by the "
                             f"{check.margin:.4f} that so many examples support; {other}")

    # 1. Train once for each theta

    def _train_round(self, alive: List[Hashable]) -> Round:
        number, data = len(self.rounds), self._data(len(self.pool.points))
        self.guard.check(data, f"round {number}: training data")
        self._say_if_balance_leaves_few(number, data)
        model = self._run_jobs(number, alive, data)
        accuracies = {theta: self._job_record(number, theta)["accuracy"] for theta in alive}
        best = max(alive, key=accuracies.get)
        this = Round(number, accuracies, best, accuracies[best], {}, len(data), count_classes(data, self.as_class),
                     len(self.pool.points))
        self.rounds.append(this)
        self.models.add(this, model)
        this.measures = self._keep_best(this, data)
        return this

    def _data(self, size: int) -> List[Any]:
        """What is trained on when the pool has its first `size` points."""
        return self.pool.training_data(size, self.options.balance, self.options.seed, self.as_class)

    def _say_if_balance_leaves_few(self, number: int, data: List[Any]) -> None:
        pool = self.pool.points
        if 2 * len(data) < len(pool):
            rarest, least = min(count_classes(pool, self.as_class).items(), key=lambda item: item[1])
            self.hooks.say(f"round {number}: balancing leaves {len(data)} of {len(pool)} training points, as only "
                           f"{least} have the label {rarest!r}; without balance (--no-balance) all are taken")

    def _job_record(self, number: int, theta: Hashable) -> Optional[Dict[str, Any]]:
        return self.log.get("job", number, self.index[theta])

    def _run_jobs(self, number: int, alive: List[Hashable], data: List[Any]) -> Any:
        """Run the jobs that the record lacks; the round's best model, or ABSENT if it was trained before."""
        jobs = [Job(number, self.index[theta], theta, data) for theta in alive
                if self._job_record(number, theta) is None]
        run_jobs = self.hooks.run_jobs or self._one_after_the_other
        best, holder = None, ABSENT
        for job, model, accuracy in run_jobs(jobs) if jobs else ():
            accuracy = check_accuracy(job.theta, accuracy)
            self.log.put({"kind": "job", "round": number, "index": job.index, "theta": points.encode(job.theta),
                          "accuracy": accuracy})
            if best is None or (accuracy, -job.index) > best:  # hold one model at a time
                best, holder = (accuracy, -job.index), model
        done = [self._job_record(number, theta) for theta in alive]
        if None in done:
            raise RuntimeError(f"round {number}: run_jobs gave {len(done) - done.count(None)} of {len(done)} jobs")
        return holder if best == max((record["accuracy"], -record["index"]) for record in done) else ABSENT

    def _one_after_the_other(self, jobs: List[Job]) -> Any:
        return ((job, *train_once(self.functions.train, job.theta, job.data)) for job in jobs)

    def _keep_best(self, this: Round, data: List[Any]) -> Dict[str, float]:
        """Measure and save the round's best model, unless the record says that this was done; the measures."""
        record = self.log.get("best", this.number)
        if record is None:
            measures = self.hooks.measure(self.models.of(this), data) if self.hooks.measure else {}
            if self.hooks.save_model and self.write:
                self.hooks.save_model(self.models.of(this), this.number)
            measures = {name: float(value) for name, value in measures.items()}
            record = self.log.put({"kind": "best", "round": this.number, "theta": points.encode(this.best_theta),
                                   "accuracy": this.best_accuracy, "measures": measures})
        return record["measures"]

    def _load(self, this: Round) -> Any:
        """The best model of a round, as an earlier process saved it; None if it did not."""
        saved = self.hooks.load_model and self.log.get("best", this.number)
        return self.hooks.load_model(this.number) if saved else None

    def _retrain(self, this: Round) -> Tuple[Any, float]:
        return train_once(self.functions.train, this.best_theta, self._data(this.pool))

    # 2. Prune Theta

    def _prune(self, alive: List[Hashable], this: Round) -> List[Hashable]:
        if self.options.strategy == "none":
            this.reason = "strategy none: all stay"
            return alive
        if self._is_replayed(this):
            this.reason = "replay: the round did not improve on the best accuracy"
            return alive
        pruning = explain(this.accuracies, self.options.strategy)
        this.pruned, this.reason = pruning.removed, pruning.reason
        return pruning.stay

    def _is_replayed(self, this: Round) -> bool:
        """True if this round did not improve, and fewer than `replay` rounds in a row before it were replayed."""
        if self.models.best is this:
            return False
        in_a_row = 0
        for earlier in reversed(self.rounds[:-1]):
            if earlier.pruned:
                break
            in_a_row += 1
        return in_a_row < self.options.replay

    def _end(self, alive: List[Hashable]) -> str:
        """Why the run ends before the data grow, or ""."""
        if not alive:
            return "Theta is empty"
        if self.options.max_rounds is not None and len(self.rounds) >= self.options.max_rounds:
            return f"the limit of {self.options.max_rounds} rounds"
        return ""

    # 3. Grow the data

    def _grow(self, this: Round) -> str:
        """Append new points made from the mistakes of the round's best model; why to stop, or ""."""
        path = self.folder / "data" / f"round-{this.number:03d}.jsonl" if self.folder else None
        record = self.log.get("grown", this.number)
        if record is not None:
            origins = read_origins(path, record.get("sha256"))
        else:
            wrong = list(self.functions.mistakes(self.models.of(this)))
            rng = generator(self.options.seed, "agora tau", this.number)
            origins, counts = self.miner.mine(wrong, self.pool.keys, self.pool.room, this.number, rng)
            written = {"sha256": write_origins(path, origins)} if path and self.write else {}
            record = self.log.put({"kind": "grown", "round": this.number, **counts, **written})
        this.mistakes, this.made, this.added = record["mistakes"], record["made"], len(origins)
        this.dropped = record["dropped"]
        self.pool.append(origins)
        if not this.mistakes:
            return "the best model makes no mistakes on dev"
        if not origins:
            self.hooks.say(f"round {this.number}: no new point came of {this.mistakes} mistakes (tau made {this.made});"
                           " the next round trains on the same data")
        if self.pool.room == 0 and not origins:  # None is no limit
            return f"{self.options.max_points} new points, the limit, are there and trained on"
        return ""

"""Agora: trains, mines the mistakes, lets a teacher label them, prunes the hyperparameter sets (paper §5, App. D).

The loop is pure: training, finding mistakes, making new points and labelling them are functions given by the caller,
so that it runs on anything, in milliseconds in a test. One round:

1. [P] Train Timaeus once for each theta, [I] always from the same starting weights; record the dev accuracies.
2. [P] Prune Theta (`bort_mx.agora.pruning`), unless the round is replayed: one that did not improve may be repeated.
3. [P] Take the mistakes of the best model ([I] of this round) on dev, make new points from them with tau, let Socrates
   label them, and append them to the training set, labels in equal proportion.

Until Theta is empty. [I] When pruning leaves nothing, step 3 is left out: nothing would be trained on its points.
"""

import dataclasses
import json
import os
import pathlib
from typing import Any, Callable, Dict, Hashable, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np

from bort_mx.agora import points
from bort_mx.agora.audit import AuditGuard
from bort_mx.agora.job_log import JobLog
from bort_mx.agora.mining import Miner, Teacher, parse_answer
from bort_mx.agora.perturbation import name_of
from bort_mx.agora.pruning import check_accuracy, check_strategy, explain
from bort_mx.errors import InputError, RunError
from bort_mx.io.files import sha256, write_text
from bort_mx.random import generator

_ABSENT = object()  # a model that an earlier process trained; None may be a model

FEW = 20
"""Without dev, Socrates is checked on the training data only if they are at least so many: fewer prove nothing."""


@dataclasses.dataclass(frozen=True)
class AgoraOptions:
    """The options of a run, checked on construction."""

    strategy: str = "lcs"
    """How Theta is pruned: "lcs", "worst", or "none" (nothing goes; needs max_rounds; the paper's cheap reproduction
    with a single theta)."""
    replay: int = 0
    """How often in a row a round is repeated, on grown data, before pruning when it did not improve."""
    balance: bool = True
    """Train on equally many points of each label, by discarding from the larger ones at random."""
    max_rounds: Optional[int] = None
    """Stop after so many rounds; None: when Theta is empty."""
    max_points: Optional[int] = None
    """Take at most so many new points in all, and stop when they are there and trained on; None: no limit."""
    threshold: Optional[float] = None
    """Take a new point only if Socrates' confidence in its label is at least this, in [0, 1]; None: take all."""
    socrates_minimum: float = 2 / 3
    """Refuse a Socrates whose accuracy is below this; 0 takes any."""
    seed: int = 0
    """Of everything that the loop draws."""

    def __post_init__(self):
        if self.strategy != "none":
            check_strategy(self.strategy)
        elif self.max_rounds is None:
            raise InputError("agora: strategy 'none' removes no theta and would never end; give max_rounds")
        for name, least in (("replay", 0), ("max_rounds", 1), ("max_points", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"agora: {name} is {value}; give at least {least}")
        for name in ("threshold", "socrates_minimum"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise InputError(f"agora: {name} is {value}; give a fraction between 0 and 1")


class Job(NamedTuple):
    """One training: theta, on the training data of a round."""

    round: int
    index: int
    """Position of theta in Theta as given."""
    theta: Hashable
    data: List[Any]


@dataclasses.dataclass
class Round:
    """What one round did."""

    number: int
    """From 0."""
    accuracies: Dict[Hashable, float]
    """theta -> dev accuracy."""
    best_theta: Hashable
    """The best of this round; of equal ones that which stands first in Theta."""
    best_accuracy: float
    measures: Dict[str, float]
    """What `measure` gave for the best model, e.g. its accuracy on train and audit."""
    size: int
    """Points trained on."""
    labels: Dict[Any, int]
    """Points trained on, by class."""
    pool: int
    """Points there were to train on, before balancing."""
    pruned: List[Hashable] = dataclasses.field(default_factory=list)
    reason: str = ""
    """Why those went, or why none did."""
    mistakes: Optional[int] = None
    """Dev examples that the best model got wrong; None if they were not asked for."""
    made: int = 0
    """New points that tau made."""
    added: int = 0
    dropped: Dict[str, int] = dataclasses.field(default_factory=dict)
    """New points not taken, by reason (`mining.DROPPED`)."""


@dataclasses.dataclass
class AgoraResult:
    """What a run found."""

    best_theta: Hashable
    """The convergent hyperparameter set (CHS): that of the model with the highest dev accuracy of all rounds."""
    best_model: Any
    best_accuracy: float
    best_round: int
    rounds: List[Round]
    data: List[Any]
    """The data as given and, after them, every new point."""
    origins: List[Dict[str, Any]]
    """Of every new point: round, texts, label, confidence, tau, and the seed example's texts, label and idx."""
    thetas: List[Hashable]
    bound: Tuple[float, float]
    """[P] 1 <= r <= 2 (1 - 2^-|Theta|): the approximation ratio over enumerating Theta."""
    trainings: int
    """Jobs of all rounds, those taken from the log included."""
    stopped: str
    """Why it ended."""
    socrates_accuracy: Optional[float]
    """None if there was nothing to check Socrates on."""
    socrates_checked_on: str
    """ "dev", "data" or ""."""


def agora(thetas: Sequence[Hashable], train: Callable[[Hashable, List[Any]], Tuple[Any, float]],
          mistakes: Callable[[Any], Sequence[Any]], tau: Callable[..., Sequence[Any]],
          socrates: Callable[[List[Any]], Any], data: Sequence[Any], strategy: str = "lcs", *,
          dev: Optional[Sequence[Any]] = None, audit: Sequence[Any] = (),
          as_class: Optional[Callable[[Any], Hashable]] = None,
          measure: Optional[Callable[[Any, List[Any]], Dict[str, float]]] = None,
          run_jobs: Optional[Callable[[List[Job]], Iterable[Tuple[Job, Any, float]]]] = None,
          save_model: Optional[Callable[[Any, int], None]] = None,
          load_model: Optional[Callable[[int], Any]] = None, folder: Optional[os.PathLike] = None,
          write: bool = True, fingerprint: Optional[Mapping[str, Any]] = None,
          say: Optional[Callable[[str], None]] = None, observe: Optional[Callable[[Round], None]] = None,
          **options: Any) -> AgoraResult:
    """Run Agora to the convergent hyperparameter set.

    A point is an object with `.texts` and `.label`, or a pair (input, label); see `bort_mx.agora.points`.
    With a `folder` every finished job is recorded in jobs.jsonl, and the new points of each round, with their origin,
    in data/round-NNN.jsonl. A killed run that is started again with the same arguments goes on where it was. A model
    that is needed again is loaded with `load_model`, or else trained once more; its accuracy must come out the same.

    Args:
        thetas: hyperparameter sets, tuples of values, all different.
        train: (theta, points) -> (model, dev accuracy); the same for the same arguments.
        mistakes: model -> the dev examples it gets wrong.
        tau: examples -> new inputs (no labels). An item is an input, or `tau.Perturbed(input, position of its seed
            example)`; bare inputs are taken to be in the order of the examples if there are equally many, else to be
            of unknown origin. With a parameter `rng` it is given a NumPy generator keyed by seed and round.
        socrates: inputs -> labels, or (labels, confidences), or a list of (label, confidence) tuples.
        data: training points, labelled; may be few.
        strategy: "lcs", "worst" or "none", see `AgoraOptions`.
        dev: the dev examples, labelled. Socrates is checked on them (without, on `data` if they are at least 20), and
            new points equal to one of them are dropped.
        audit: examples that must not occur in what is trained on or mined.
        as_class: label -> the class it counts as in balance and agreement; `round` for regression, of which any value
            may come from Socrates, and dev need not have all. None: the label, of which neither holds.
        measure: (best model of a round, its training points) -> numbers to report, e.g. {"train": …, "audit": …}.
        run_jobs: jobs -> (job, model, dev accuracy) of each as it is finished, in any order; for several workers. If it
            communicates, it must begin with a barrier. None: `train`, one after the other.
        save_model: (model, round) keeps the best model of a round.
        load_model: round -> that model.
        folder: where the record and the new points go; None keeps them in memory.
        write: False reads the folder but writes nothing (ranks other than 0).
        fingerprint: what else the results depend on, by name, e.g. the sha256 of checkpoints, as JSON can hold it; a
            record with another is refused, and the name is told.
        say: is given a line of text after each step.
        observe: is given each round when it is over; of a resumed run those that were over before, too.
        options: the other fields of `AgoraOptions`.

    Raises:
        InputError: an empty Theta, a theta that occurs twice, labels missing from dev, Socrates below the minimum or
            with other labels, an empty text from tau, an example of the audit slice in the data or mined, a record of
            another run; one line that says what to do.
        RunError: a model that a resumed run needs is gone, and training it again gave another accuracy.
    """
    given = AgoraOptions(strategy=strategy, **options)
    functions = _Functions(train, mistakes, tau, socrates, as_class or _same, measure,
                           run_jobs or (lambda jobs: ((job, *_trained(train, job)) for job in jobs)),
                           save_model, load_model, say or (lambda line: None), observe or (lambda round: None))
    sets = _Sets(list(data), None if dev is None else list(dev), list(audit))
    thetas = _check_thetas(thetas)
    folder = pathlib.Path(folder) if folder is not None else None
    identity = {**_identity(thetas, given, sets, name_of(tau)), **(fingerprint or {})}
    log = JobLog(folder / "jobs.jsonl" if folder else None, identity, write)
    return _Agora(thetas, given, functions, sets, log, folder, write).run()


def enumerate_thetas(thetas: Sequence[Hashable], train: Callable[[Hashable, List[Any]], Tuple[Any, float]],
                     data: Sequence[Any]) -> Tuple[Hashable, Any, float]:
    """The baseline: train once per theta and take the best on dev. Returns (theta, model, dev accuracy)."""
    best = None
    for theta in _check_thetas(thetas):
        model, accuracy = _trained(train, Job(0, 0, theta, list(data)))
        if best is None or accuracy > best[2]:
            best = (theta, model, accuracy)
    return best


def relabel(data: Sequence[Any], socrates: Callable[[List[Any]], Any]) -> List[Any]:
    """The data with Socrates' labels instead of their own: the set that the distillation baseline trains on."""
    labels, _ = parse_answer(socrates([points.input_of(point) for point in data]), len(data))
    return [points.make_point(point, points.input_of(point), label, getattr(point, "idx", None),
                              getattr(point, "group", None)) for point, label in zip(data, labels)]


def check_classes(data: Sequence[Any], dev: Optional[Sequence[Any]],
                  as_class: Optional[Callable[[Any], Hashable]] = None) -> Set[Hashable]:
    """All labels of data and dev; of a regression (`as_class`) none, as any number may come.

    Raises:
        InputError: dev is empty, or lacks a label of the data and is unfit to choose by.
    """
    if dev is not None and not dev:
        raise InputError("dev: has no examples; give labelled dev examples, or leave dev out")
    if as_class is not None:
        return set()
    classes = {points.label_of(point) for point in data}
    on_dev = classes if dev is None else {points.label_of(point, "dev") for point in dev}
    if classes - on_dev:
        raise InputError(f"dev: has no example with label {sorted(classes - on_dev, key=repr)[0]!r}, which the "
                         "training data have; give a dev set that is representative")
    return classes | on_dev


def balanced(data: Sequence[Any], seed: int = 0, as_class: Optional[Callable[[Any], Hashable]] = None) -> List[Any]:
    """Equally many points of each class, by discarding at random from the larger ones; the order stays.

    Every point has a random rank that depends on the seed and its position alone, and the lowest stay: when points are
    appended, most of the earlier choice stands.
    """
    classes = [(as_class or _same)(points.label_of(point)) for point in data]
    least = min((classes.count(name) for name in set(classes)), default=0)
    ranks = generator(seed, "agora balance").random(len(data))  # position i's rank is the same however many follow
    taken: Dict[Hashable, int] = {}
    stay = set()
    for i in np.argsort(ranks, kind="stable"):
        taken[classes[i]] = taken.get(classes[i], 0) + 1
        if taken[classes[i]] <= least:
            stay.add(int(i))
    return [point for i, point in enumerate(data) if i in stay]


class _Functions(NamedTuple):
    """What is injected; see `agora`."""

    train: Callable
    mistakes: Callable
    tau: Callable
    socrates: Callable
    as_class: Callable
    measure: Optional[Callable]
    run_jobs: Callable
    save_model: Optional[Callable]
    load_model: Optional[Callable]
    say: Callable
    observe: Callable


class _Sets(NamedTuple):
    """The labelled sets as given."""

    data: List[Any]
    dev: Optional[List[Any]]
    audit: List[Any]


class _Agora:
    """The state of a run: the pool of points, the rounds so far, the models at hand."""

    def __init__(self, thetas: List[Hashable], options: AgoraOptions, functions: _Functions, sets: _Sets, log: JobLog,
                 folder: Optional[pathlib.Path], write: bool):
        self.thetas, self.options, self.call, self.dev = thetas, options, functions, sets.dev
        self.log, self.folder, self.write = log, folder, write
        self.pool, self.origins, self.rounds = list(sets.data), [], []
        self.guard = AuditGuard(sets.audit)
        self.guard.check(self.pool, "training data")
        self.guard.check(self.dev or (), "dev")
        self.keys = _keys(self.pool)
        self.like = next(iter(self.pool or self.dev or ()), None)  # a point whose types the new points take
        classes = check_classes(self.pool, self.dev, None if functions.as_class is _same else functions.as_class)
        self.teacher = Teacher(functions.socrates, classes, functions.as_class, options.threshold)
        self.miner = Miner(functions.tau, self.teacher, self.guard, _keys(self.dev or ()), self._revive)
        self.best: Tuple[int, Any] = (-1, _ABSENT)  # round and, if it is at hand, model
        self.latest: Tuple[int, Any] = (-1, _ABSENT)

    def run(self) -> AgoraResult:
        """All rounds, from Socrates' examination to the result."""
        accuracy, checked_on = self._check_socrates()
        alive, stopped = list(self.thetas), ""
        while not stopped:
            this = self._train_round(alive)
            alive = self._prune(alive, this)
            stopped = self._end(alive) or self._grow(this)
            self.call.say(_describe(this))
            self.call.observe(this)
        best = self.rounds[self.best[0]]
        return AgoraResult(
            best.best_theta, self._best_model(), best.best_accuracy, best.number, self.rounds, self.pool, self.origins,
            self.thetas, (1.0, 2 * (1 - 2.0 ** -len(self.thetas))), sum(len(r.accuracies) for r in self.rounds),
            stopped, accuracy, checked_on)

    # Socrates

    def _check_socrates(self) -> Tuple[Optional[float], str]:
        """His accuracy and what it was measured on."""
        name, labelled = ("dev", self.dev) if self.dev is not None else ("data", self.pool)
        if name == "data" and len(labelled) < FEW:
            return None, ""
        record = self.log.get("socrates") or self.log.put(
            {"kind": "socrates", "on": name, "examples": len(labelled), "accuracy": self.teacher.accuracy(labelled)})
        accuracy, least = record["accuracy"], self.options.socrates_minimum
        found = f"accuracy {accuracy:.4f} on the {len(labelled)} examples of {name}"
        self.call.say(f"Socrates: {found}")
        if accuracy < least:
            raise InputError(f"Socrates: {found} is below {least:.4f}, which Agora needs; give a better teacher, or "
                             "lower socrates_minimum (--accept-socrates takes any)")
        return accuracy, name

    # Training

    def _train_round(self, alive: List[Hashable]) -> Round:
        number, data = len(self.rounds), self._data(len(self.pool))
        self.guard.check(data, f"round {number}: training data")
        if 2 * len(data) < len(self.pool):
            rarest, least = min(self._count(self.pool).items(), key=lambda item: item[1])
            self.call.say(f"round {number}: balancing leaves {len(data)} of {len(self.pool)} training points, as only "
                          f"{least} have the label {rarest!r}; without balance (--no-balance) all are taken")
        index = {theta: i for i, theta in enumerate(self.thetas)}
        jobs = [Job(number, index[theta], theta, data) for theta in alive
                if self.log.get("job", number, index[theta]) is None]
        self.latest = (number, self._run_jobs(jobs, [index[theta] for theta in alive], number))
        accuracies = {theta: self.log.get("job", number, index[theta])["accuracy"] for theta in alive}
        best = max(alive, key=accuracies.get)
        this = Round(number, accuracies, best, accuracies[best], {}, len(data), self._count(data), len(self.pool))
        self.rounds.append(this)
        this.measures = self._keep_best(this, data)
        if self.best[0] < 0 or this.best_accuracy > self.rounds[self.best[0]].best_accuracy:
            self.best = self.latest
        return this

    def _run_jobs(self, jobs: List[Job], indices: List[int], number: int) -> Any:
        """Run what the log lacks; return the model of the round's best theta if it was trained just now."""
        best, holder = None, _ABSENT
        for job, model, accuracy in self.call.run_jobs(jobs) if jobs else ():
            accuracy = check_accuracy(job.theta, accuracy)
            self.log.put({"kind": "job", "round": number, "index": job.index, "theta": points.encode(job.theta),
                          "accuracy": accuracy})
            if best is None or (accuracy, -job.index) > best:  # hold one model at a time
                best, holder = (accuracy, -job.index), model
        done = [self.log.get("job", number, i) for i in indices]
        if None in done:
            raise RuntimeError(f"round {number}: run_jobs gave {len(done) - done.count(None)} of {len(done)} jobs")
        return holder if best == max((record["accuracy"], -record["index"]) for record in done) else _ABSENT

    def _keep_best(self, this: Round, data: List[Any]) -> Dict[str, float]:
        record = self.log.get("best", this.number)
        if record is None:
            measures = {}
            if self.call.measure or self.call.save_model:
                model = self._latest_model()
                measures = dict(self.call.measure(model, data)) if self.call.measure else {}
                if self.call.save_model and self.write:
                    self.call.save_model(model, this.number)
            measures = {name: float(value) for name, value in measures.items()}
            record = self.log.put({"kind": "best", "round": this.number, "theta": points.encode(this.best_theta),
                                   "accuracy": this.best_accuracy, "measures": measures})
        return record["measures"]

    def _latest_model(self) -> Any:
        number, model = self.latest
        if model is _ABSENT:
            self.latest = (number, self._recover(number))
            if self.best[0] == number:
                self.best = self.latest
        return self.latest[1]

    def _best_model(self) -> Any:
        number, model = self.best
        if model is _ABSENT and number == self.latest[0]:
            return self._latest_model()
        return self._recover(number) if model is _ABSENT else model

    def _recover(self, number: int) -> Any:
        """The best model of a round that a run before this one trained."""
        this = self.rounds[number]
        if self.call.load_model and self.log.get("best", number):
            model = self.call.load_model(number)
            if model is not None:
                return model
        job = Job(number, self.thetas.index(this.best_theta), this.best_theta, self._data(this.pool))
        model, accuracy = _trained(self.call.train, job)
        if accuracy != this.best_accuracy:
            raise RunError(f"round {number}, theta {this.best_theta!r}: training again gave accuracy {accuracy!r}, but "
                           f"the record has {this.best_accuracy!r}; train must give the same for the same arguments "
                           "(resume on the same machine, with as many threads), or save_model and load_model be given")
        return model

    # Data

    def _data(self, size: int) -> List[Any]:
        """What is trained on when the pool has its first `size` points."""
        pool = self.pool[:size]
        return balanced(pool, self.options.seed, self.call.as_class) if self.options.balance else pool

    def _count(self, data: List[Any]) -> Dict[Any, int]:
        classes = [self.call.as_class(points.label_of(point)) for point in data]
        return {name: classes.count(name) for name in sorted(set(classes), key=repr)}

    def _grow(self, this: Round) -> str:
        """Append new points made from the mistakes of the round's best model; return why to stop, or ""."""
        number, path = this.number, self._data_path(this.number)
        record = self.log.get("grown", number)
        if record is None:
            wrong = list(self.call.mistakes(self._latest_model()))
            rng = generator(self.options.seed, "agora tau", number)
            origins, counts = self.miner.mine(wrong, self.keys, self._room(), number, rng)
            record = {"kind": "grown", "round": number, **counts}
            if path and self.write:
                write_text(path, "".join(json.dumps(origin, ensure_ascii=False) + "\n" for origin in origins))
                record["sha256"] = sha256(path)
            record = self.log.put(record)
        else:
            origins = _read_points(path, record)
        this.mistakes, this.made, this.added = record["mistakes"], record["made"], len(origins)
        this.dropped = record["dropped"]
        self._append(origins)
        if this.mistakes and not origins:
            self.call.say(f"round {number}: no new point came of {this.mistakes} mistakes (tau made {this.made}); the "
                          "next round trains on the same data")
        if not this.mistakes:
            return "the best model makes no mistakes on dev"
        if self._room() == 0 and not origins:  # None is no limit
            return f"{self.options.max_points} new points, the limit, are there and trained on"
        return ""

    def _append(self, origins: List[Dict[str, Any]]) -> None:
        for origin in origins:
            value, label = self._revive(origin["texts"]), origin["label"]
            template = (value, label) if self.like is None else self.like
            self.pool.append(points.make_point(template, value, label, origin["seed_idx"], origin["seed_group"]))
            self.keys.add(points.key(value))
        self.origins += origins

    def _revive(self, value: Any) -> Any:
        """An input as JSON has it, in the type of the inputs given: a resumed run has the same points as another."""
        return value if self.like is None else points.decode(value, points.input_of(self.like))

    def _room(self) -> Optional[int]:
        """New points that may still be taken; None without a limit."""
        limit = self.options.max_points
        return None if limit is None else limit - len(self.origins)

    def _data_path(self, number: int) -> Optional[pathlib.Path]:
        return self.folder / "data" / f"round-{number:03d}.jsonl" if self.folder else None

    # Theta

    def _prune(self, alive: List[Hashable], this: Round) -> List[Hashable]:
        if self.options.strategy == "none":
            this.reason = "strategy none: all stay"
            return alive
        if self._replayed(this):
            this.reason = "replay: the round did not improve on the best accuracy"
            return alive
        pruning = explain(this.accuracies, self.options.strategy)
        this.pruned, this.reason = pruning.removed, pruning.reason
        return pruning.stay

    def _replayed(self, this: Round) -> bool:
        """True if this round did not improve, and fewer than `replay` rounds in a row before it were replayed."""
        if this.number == 0 or self.best[0] == this.number:
            return False
        in_a_row = 0
        for earlier in reversed(self.rounds[:-1]):
            if earlier.pruned:
                break
            in_a_row += 1
        return in_a_row < self.options.replay

    def _end(self, alive: List[Hashable]) -> str:
        if not alive:
            return "Theta is empty"
        if self.options.max_rounds is not None and len(self.rounds) >= self.options.max_rounds:
            return f"the limit of {self.options.max_rounds} rounds"
        return ""


def _identity(thetas: List[Hashable], options: AgoraOptions, sets: _Sets, tau: str) -> Dict[str, Any]:
    """What the recorded results depend on; a limit on rounds only ends a run earlier and may be raised, and what is
    asked of Socrates may be lowered once he is refused.
    """
    fields = dataclasses.asdict(options)
    del fields["max_rounds"], fields["socrates_minimum"]
    return {"theta": [points.encode(theta) for theta in thetas], "options": fields, "tau": tau,
            **{name: points.digest(part) for name, part in sets._asdict().items()}}


def _keys(labelled: Iterable[Any]) -> Set[str]:
    return {points.key(points.input_of(point)) for point in labelled}


def _check_thetas(thetas: Sequence[Hashable]) -> List[Hashable]:
    given = [tuple(theta) if isinstance(theta, list) else theta for theta in thetas]
    if not given:
        raise InputError("agora: Theta is empty; give at least one theta")
    twice = next((theta for theta in given if given.count(theta) > 1), None)
    if twice is not None:
        raise InputError(f"agora: theta {twice!r} occurs twice in Theta; give every theta once")
    return given


def _trained(train: Callable, job: Job) -> Tuple[Any, float]:
    answer = train(job.theta, list(job.data))
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise InputError(f"train: returned {points.shorten(answer)}; expected (model, dev accuracy)")
    return answer[0], check_accuracy(job.theta, answer[1])


def _read_points(path: Optional[pathlib.Path], record: Dict[str, Any]) -> List[Dict[str, Any]]:
    if path is None or not path.exists() or sha256(path) != record["sha256"]:
        raise InputError(f"{path}: is missing or not what the record in jobs.jsonl says; restore it, or delete the "
                         "folder to start afresh")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def _same(label: Any) -> Any:
    return label


def _describe(this: Round) -> str:
    dropped = ", ".join(f"{count} {reason}" for reason, count in this.dropped.items() if count)
    grown = "" if this.mistakes is None else (f"; {this.mistakes} mistakes, {this.added} of {this.made} new points"
                                              + (f" ({dropped})" if dropped else ""))
    measures = "".join(f", {name} {value:.4f}" for name, value in this.measures.items())
    return (f"round {this.number}: {len(this.accuracies)} thetas on {this.size} points, best {this.best_accuracy:.4f} "
            f"on dev{measures} with {this.best_theta!r}; {len(this.pruned)} pruned{grown}")

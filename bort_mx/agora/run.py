"""`run_finetune.py --agora`: Agora on a real task, from options to results (paper §5, App. D).

Rank 0 runs the pure loop of `bort_mx.agora.loop` over a `WorkerPool`. The folder agora/ of the output directory holds
all that a resumed run needs: the record of finished jobs, each round's new points, every job's predictions, the best
models.
"""

import collections
import dataclasses
import functools
import hashlib
import shutil
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from bort_mx.agora import audit
from bort_mx.agora.balancing import check_classes
from bort_mx.agora.director import FOLDER, Director, Outcome, rounding_of
from bort_mx.agora.hyperparameters import Theta
from bort_mx.agora.mask_filling import MaskFiller
from bort_mx.agora.options import AgoraRunOptions
from bort_mx.agora.perturbation import alternatives
from bort_mx.agora.perturbation_edits import make_tau
from bort_mx.agora.scoring import EXAMPLE_ACCURACY, score_of
from bort_mx.agora.storage import MODELS
from bort_mx.agora.teacher import Socrates
from bort_mx.agora.trainer import JobTrainer
from bort_mx.agora.worker_pool import WorkerPool
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints.weights import Weights, tensors_digest
from bort_mx.data.tasks import Example, Examples, Task
from bort_mx.devices import device_of, gpu_of
from bort_mx.distributed import Workers, connect
from bort_mx.errors import InputError
from bort_mx.finetuning import predictions as prediction_files
from bort_mx.finetuning.classifier import released_note
from bort_mx.finetuning.evaluation import targets_of
from bort_mx.finetuning.finetune import check_same_checkpoint, conclude, finished
from bort_mx.finetuning.options import kind_of
from bort_mx.finetuning.start import FRESH, Settled, read_weights, settle, starting_weights
from bort_mx.finetuning.target_unit import kept_unit, unit_of
from bort_mx.finetuning.task_data import TaskData, examples_digest, read_task_data, remarks, task_of, with_discarded
from bort_mx.finetuning.teacher import Distillation, Teacher, soft_note
from bort_mx.finetuning.trainer import Session
from bort_mx.training.earlier_run import started_without
from bort_mx.training.run_directory import RunDirectory


def run_agora(options: AgoraRunOptions, begin: Optional[Callable[[], None]] = None) -> Dict[str, Any]:
    """Fine-tune by Agora on one task; what it found is in results.json and agora/report.md.

    A run that `resume` finds finished is not done again, unless it is asked for something else now, e.g. more rounds.

    Args:
        options: of the run.
        begin: see `bort_mx.finetuning.finetune.finetune`.
    Raises:
        InputError: data, checkpoints or options that do not fit together, a Socrates below 2/3, a leak.
        StopRequested: stopped by the user; what is finished is recorded.
    """
    workers = connect(options)
    task, asked = task_of(options)
    # A run of an earlier version keeps the rule by which it chose.
    older = workers.gather(started_without(options.output_dir, options.resume, "score"), "score")[0]
    options = dataclasses.replace(options, score=options.score or ("examples" if older else "task"))
    seed, older = options.resolved(task, asked).seed, options.score == "examples"
    data = read_task_data(task, asked, options.data_dir, seed, workers, discards=older)
    data, put_aside = _sets(data, options.audit_examples, seed, older)
    settled = settle(options, asked, data, workers)
    options = settled.options
    thetas = options.thetas()
    known = data.identity()
    extra = {**known, "data": {**known["data"], "audit": examples_digest(put_aside)},
             "theta": hashlib.sha256(repr([tuple(theta) for theta in thetas]).encode()).hexdigest()}
    run = RunDirectory(options.output_dir, options, options.MAY_CHANGE, workers.is_first, options.resume, extra,
                       kind_of)
    if not run.before:
        options.refuse_unused()
        options.refuse_without_teacher(options.soft_labels, "--soft-labels", task.is_regression)
    check_same_checkpoint(run, options.checkpoint)
    # With --chs, a resumed run's options do not tell what the plain baseline was to have.
    plain = Theta(*run.keep("plain", list(settled.given.plain_theta(task, asked, settled.recipe.values))))
    if workers.gather(_is_finished(run, options.asked()), "finished")[0]:  # rank 0's: hosts may share no folder
        return workers.gather(finished(run, workers) if workers.is_first else None, "results")[0]
    pool, director = _prepare(settled, data, put_aside, run, workers, thetas, plain)
    run.agree(workers, resumes=False)  # of checkpoints/, only rank 0 reads
    if begin is not None:
        begin()
    run.open(gpu=gpu_of(pool.trainer.ctx), workers=workers.size)
    for line in (*remarks(task), settled.line):
        workers.say(line)
    try:
        outcome = _outcome(pool, director, workers)
    finally:
        run.close()
    return _finish(pool.trainer, run, workers, outcome)


# -- before the start ----------------------------------------------------------------------------------------------


def _sets(data: TaskData, size_of: Callable[[int], int], seed: int, older: bool) -> Tuple[TaskData, Examples]:
    """The data to train on, and the audit slice.

    The slice is drawn before the task discards training examples: its questions are whole, and its labels are as
    frequent as dev's. By the older rule the examples are discarded already, and the slice is drawn from what is left.

    Args:
        data: as read.
        size_of: number of examples to train on -> size of the slice.
        seed: of the run.
        older: whether the older rule holds.
    """
    size = size_of(len((data if older else with_discarded(data, seed)).train))
    rates = None if older or data.task.is_regression else collections.Counter(example.label for example in data.dev)
    rest, put_aside = _with_audit(data, size, seed, rates)
    return rest if older else with_discarded(rest, seed), put_aside


def _with_audit(data: TaskData, size: int, seed: int, rates: Optional[Mapping[Any, float]]
                ) -> Tuple[TaskData, Examples]:
    """The data without the audit slice, and that slice; where the second text asks about the first, by passage."""
    if not size:
        data.notes.append("no audit slice: dev accuracies after round 0 are optimistic, and nothing shows by how much")
        return data, Examples()
    train, aside = audit.split(data.train, size, seed, data.dev, passages=data.task.cut == "first",
                              rates=rates)
    data.notes.append(f"train: {len(aside)} of {len(data.train)} examples put aside as the audit slice"
                      + _beside_dev(aside, rates))
    return dataclasses.replace(data, train=Examples(train)), Examples(aside)


def _beside_dev(aside: Sequence[Example], counts: Optional[Mapping[Any, float]]) -> str:
    """The labels' shares in the audit slice and in dev, for a note."""
    if not counts:
        return ""
    here, total = collections.Counter(example.label for example in aside), sum(counts.values())
    return "; its labels (dev's): " + ", ".join(f"{label} {here[label] / len(aside):.1%} ({count / total:.1%})"
                                                for label, count in sorted(counts.items()))


def _is_finished(run: RunDirectory, asked: Dict[str, Any]) -> bool:
    """Whether the directory holds results, made with the same values of the options that may differ.

    config.json does not tell: it may have the options of a run that was to have more rounds and was killed on the way.
    """
    if not (run.checkpoint and (run.path / checkpoint_directory.RESULTS).is_file()):
        return False
    return run.read_results(agora=dict)["agora"].get("asked") == asked


def _prepare(settled: Settled, data: TaskData, put_aside: Examples, run: RunDirectory, workers: Workers,
             thetas: List[Theta], plain: Theta) -> Tuple[WorkerPool, Director]:
    """Load everything that may be refused, on every worker, before anything is written."""
    options, task = settled.options, data.task
    if task.is_regression and options.socrates_threshold is not None:
        raise InputError(f"--socrates-threshold {options.socrates_threshold}: {task.key} is a regression, whose "
                         "teacher has no confidence; leave it out")
    check_classes(data.train, data.dev, rounding_of(task))
    ctx = device_of(options.device, workers, options.dtype)
    found = settled.weights
    if found is None and options.checkpoint != FRESH:
        found = read_weights(options.checkpoint, workers)
    weights, notes = starting_weights(options.checkpoint, found, options.seed, data, options.transfer_from is not None)
    taught = read_weights(options.socrates, workers)
    reads = run.keep("socrates_texts", _reads(taught))
    if reads != _reads(taught):
        raise InputError(f"--resume: --socrates {options.socrates} takes texts otherwise than when {run.path} was "
                         f"started ({reads}); give it unchanged, or start anew in another --output-dir")
    teacher = Teacher(taught, options.socrates, task, ctx, options.evaluation_batch_size, options.dtype == "float16",
                      "--socrates")
    targets = [example.label for example in data.train] if task.is_regression else [0]
    socrates = Socrates(teacher, task, workers, (min(targets), max(targets)))
    data.notes += notes + teacher.notes + released_note(options.checkpoint)
    workers.say(*released_note(options.checkpoint))
    soften = None
    if options.soft_labels:
        how = Distillation(options.kd_weight, options.temperature)
        data.notes += soft_note(options.socrates, how, task.is_regression)
        soften = functools.partial(teacher.soft_labels, how)
    unit = kept_unit(run, unit_of(task, targets_of(task, data.train)))
    trainer = JobTrainer(options, data, put_aside, weights, ctx, score_of(task, options.score), soften, unit)
    trainer.check(workers if options.data_parallel else Workers())
    filler = None
    if options.fills_masks:
        mlm = weights if options.mlm is None else read_weights(options.mlm, workers)
        filler = MaskFiller(mlm, options.tau_top_k, options.evaluation_batch_size, ctx)
    tau = _tau(options.tau, options.tau_which, task, filler, copies=options.tau_copies, top_k=options.tau_top_k,
               temperature=options.tau_temperature)
    sets = {f"{name} set": run.config["data"][name] for name in ("train", "dev", "audit")}
    identity = {**_identity(options.fingerprint(), task, weights, taught, filler,
                            workers.size if options.data_parallel else None), **sets}
    workers.agree(identity, "agora.identity")
    pool = WorkerPool(trainer, socrates, workers, options.data_parallel)
    return pool, Director(options, pool, run, tau, thetas, plain, identity)


def _tau(spec: str, which: str, task: Task, filler: Optional[MaskFiller], **settings: Any) -> Callable:
    """The tau that --tau names; [I] questions about a passage and their answers are protected as a whole.

    Args:
        spec: --tau.
        which: --tau-which.
        task: whose texts are changed.
        filler: for taus that refill masks.
        settings: others of `make_tau`.
    """
    protect = _second_text if task.cut == "first" else None
    if protect and which == "second":
        raise InputError(f"--tau-which second: the second texts of {task.key} are questions and answers, which must "
                         "survive; choose first")
    return alternatives([make_tau(name.strip(), filler, which=which, protect=protect, **settings)
                         for name in spec.split(",")])


def _second_text(example: Example) -> List[List[Tuple[int, int]]]:
    return [[(0, len(text))] if number else [] for number, text in enumerate(example.texts)]


def _reads(weights: Weights) -> Dict[str, Any]:
    """What a classifier does with texts before it reads them, which `digest` does not tell. JSON values."""
    config = weights.config
    return {"max_length": config.max_length, "cut": config.cut, "text_columns": list(config.text_columns)}


def _identity(recorded: Dict[str, Any], task: Task, weights: Weights, teacher: Weights, filler: Optional[MaskFiller],
              sharing: Optional[int]) -> Dict[str, Any]:
    """What a run's record holds for: a resumed run must have the same.

    Args:
        recorded: options, as `AgoraRunOptions.fingerprint` gives them.
        task, weights, teacher, filler: of the run; checkpoints are told by hash.
        sharing: workers that share each training, which gives the order of summation; None if none do.
    """
    return {"task": task.key, "checkpoint": digest(weights), "Socrates": digest(teacher),
            "MLM": digest(filler.weights) if filler else None, "workers": sharing, **recorded}


def digest(weights: Weights) -> str:
    """SHA-256 over the configuration, all tensors and the vocabulary, in whatever format they are stored.

    Raises:
        InputError: a tensor holds values that are not finite.
    """
    for name in weights.tensors:
        weights.float32(name)  # refuses bad weights now; an MLM is built only when the first mistakes are mined
    config = weights.config
    # Left out where they are as in versions that had no others.
    later = "".join(found for found, usual in ((config.pooling, "first"), (config.activation, "gelu"))
                    if found != usual)
    return tensors_digest(weights.tensors, repr(config) + repr(config.labels or "") + later, weights.tokenizer.digest)


# -- the run -------------------------------------------------------------------------------------------------------


def _outcome(pool: WorkerPool, director: Director, workers: Workers) -> Outcome:
    """Rank 0 directs, the others serve; the same outcome on all."""
    outcome = None
    if workers.is_first:
        try:
            outcome = director.direct()
        except InputError as error:
            pool.dismiss(str(error))
            raise
        pool.dismiss()
    else:
        pool.serve()
    return workers.gather(outcome, "outcome")[0]


# -- after the end -------------------------------------------------------------------------------------------------


def _finish(trainer: JobTrainer, run: RunDirectory, workers: Workers, outcome: Outcome) -> Dict[str, Any]:
    """Write the best model's outputs, as any fine-tuning run has them, and results.json."""
    model = trainer.model_of(outcome.best.tensors)
    session = Session(trainer.options, trainer.data, model, trainer.weights.tokenizer, workers, trainer.ctx)
    results = {**outcome.results, **conclude(session, run, trained=False)}
    on_dev = results.pop("dev_examples")
    results["dev"].update({name: on_dev[name] for name in (EXAMPLE_ACCURACY, trainer.score.name)})
    if workers.is_first:
        for path in checkpoint_directory.steps(run.path / checkpoint_directory.CHECKPOINTS):
            shutil.rmtree(path)
        steps = outcome.best.steps
        for name in (checkpoint_directory.BEST, f"step-{steps}"):
            trainer.write(run.path / checkpoint_directory.CHECKPOINTS / name, outcome.best.tensors, {"step": steps})
    workers.say(prediction_files.describe(results, run.path))
    run.write_results(results)
    if workers.is_first:
        shutil.rmtree(run.path / FOLDER / MODELS, ignore_errors=True)  # the best are in checkpoints/ now
    return results

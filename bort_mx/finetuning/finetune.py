"""A fine-tuning run from options to results: task, model, training, predictions of the best epoch (paper §5.1)."""

import dataclasses
import gc
import os
from typing import Any, Callable, Dict, List, Optional, Tuple

import mxnet as mx

from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints import loading
from bort_mx.data.tasks import Task
from bort_mx.data.tokenizers import Tokenizer
from bort_mx.devices import device_of, gpu_of
from bort_mx.distributed import Workers, connect
from bort_mx.errors import InputError
from bort_mx.finetuning import predictions as prediction_files
from bort_mx.finetuning.best_checkpoint import BestOnDisk
from bort_mx.finetuning.classifier import classifier_of, released_note
from bort_mx.finetuning.evaluation import targets_of
from bort_mx.finetuning.options import FineTuningOptions, kind_of
from bort_mx.finetuning.start import FRESH, Settled, read_weights, settle, starting_weights
from bort_mx.finetuning.target_unit import kept_unit, unit_of
from bort_mx.finetuning.task_data import TaskData, read_task_data, remarks, shown_name, task_of
from bort_mx.finetuning.teacher import Answers, Distillation, Teacher, soft_note
from bort_mx.finetuning.trainer import LONGEST, Session, Training, build_classifier, train
from bort_mx.finetuning.unlabelled import with_unlabelled
from bort_mx.models.bert import BERT
from bort_mx.training.earlier_run import earlier_options
from bort_mx.training.run_directory import RunDirectory


def finetune(options: FineTuningOptions, begin: Optional[Callable[[], None]] = None,
             answers: Optional[Dict[str, Answers]] = None) -> Dict[str, Any]:
    """Fine-tune on one task with one seed. Writes results.json, and returns its content.

    If `resume` finds a finished run, it is not repeated.

    Args:
        options: options of the run.
        begin: called when all checks have passed, before anything is written.
        answers: outputs of the teacher, kept between runs that differ in their seeds only: by its fingerprint.
    Raises:
        InputError: data, checkpoint or options do not fit together.
        StopRequested: the user stopped the run; a checkpoint has been written.
        NonFiniteError: ten steps in a row had no finite loss and gradient, or no step had.
    """
    workers = connect(options)
    refuse_other_teaching(options.output_dir, options.resume, teacher=options.teacher, unlabelled=options.unlabelled)
    task, asked = task_of(options)
    ctx = device_of(options.device, workers, options.dtype)
    seed = options.resolved(task, asked).seed
    data = read_task_data(task, asked, options.data_dir, seed, workers, not options.predict_only)
    if options.unlabelled is not None:
        data = with_unlabelled(data, options.unlabelled)
    settled = settle(options, asked, data, workers)
    options = settled.options
    micro = workers.micro_batch(options.batch_size, options.micro_batch_size)
    run = RunDirectory(options.output_dir, options, options.MAY_CHANGE, workers.is_first, options.resume,
                       data.identity(), kind_of)
    if not run.before:
        options.refuse_unused()
        options.refuse_without_teacher(options.teacher is not None, "--teacher", task.is_regression)
    check_same_checkpoint(run, options.checkpoint)
    if options.teacher is not None:
        check_same_checkpoint(run, options.teacher, "teacher")
    done = options.resume == "auto" and run.checkpoint and (run.path / checkpoint_directory.RESULTS).is_file()
    if workers.gather(bool(done), "finished")[0]:  # rank 0 decides: hosts may have no folder in common
        return workers.gather(finished(run, workers) if workers.is_first else None, "results")[0]
    model, tokenizer, notes, options = _model(settled, data, run, workers, ctx)
    session = Session(options, data, model, tokenizer, workers, ctx)
    if not options.predict_only:
        session.train_in(kept_unit(run, unit_of(data.task, targets_of(data.task, data.train))))
    session.notes += [*notes, *released_note(options.checkpoint)]
    workers.say(*released_note(options.checkpoint))
    teacher = None
    if options.teacher is not None:
        teacher = Teacher(read_weights(options.teacher, workers), options.teacher, data.task, ctx,
                          options.evaluation_batch_size, options.dtype == "float16",
                          answers=None if answers is None else answers.setdefault(run.config["teacher"], {}))
    run.agree(workers, vocabulary=tokenizer.digest, model=model.config.to_dict())
    if begin is not None:
        begin()
    run.open(gpu=gpu_of(ctx), workers=workers.size)
    for line in (*remarks(task), *data.unlabelled.notes, *([] if options.predict_only else [settled.line]),
                 *([str(session.unit)] if session.unit else [])):
        workers.say(line)
    if workers.is_first:
        # A finished run that goes back to a checkpoint has results, which no longer hold.
        (run.path / checkpoint_directory.RESULTS).unlink(missing_ok=True)
    try:
        if teacher is not None:
            how = Distillation(options.kd_weight, options.temperature)
            session.notes += [*teacher.notes, *soft_note(options.teacher, how, task.is_regression),
                              *teacher.score_notes(data.dev, workers)]
            session.soft = teacher.soft_labels(how, session.training_set, workers)
        found = {} if options.predict_only else _train(session, run, micro)
    finally:
        run.close()
    results = {**found, **conclude(session, run, not options.predict_only)}
    workers.say(prediction_files.describe(results, run.path))
    run.write_results(results)
    return results


def finished(run: RunDirectory, workers: Workers) -> Dict[str, Any]:
    """Read the results of a finished run, and print that it is finished."""
    results = run.read_results(task=str, criterion=str, dev=dict, diagnostics=dict, notes=list, submissions=list)
    try:
        said = prediction_files.describe(results, run.path)
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{run.path / checkpoint_directory.RESULTS}: altered ({error}); delete the file, and --resume "
                         "auto writes it again") from None
    workers.say(f"{run.path} is already finished:\n{said}")
    return results


def refuse_other_teaching(output_dir: str, resume: str, **given: Optional[str]) -> None:
    """Raises InputError for a run that is resumed without what taught it, or with what did not: `given` options."""
    before = earlier_options(output_dir, resume)
    for name, now in given.items() if before else ():
        then = before.get(name)
        if then is not None and now is None:
            raise InputError(f"--resume: {output_dir} was started with --{name} {then}; give it again")
        if then is None and now is not None:
            raise InputError(f"--resume: {output_dir} was started without --{name}; leave it out, or start anew in "
                             "another --output-dir")


def check_same_checkpoint(run: RunDirectory, checkpoint: str, name: str = "checkpoint") -> None:
    """Record in config.json which --checkpoint the run starts from, and compare it when the run is resumed.

    The record is the checkpoint's fingerprint. If the disk has no such file, it is the name (fresh, or a name on the
    Hub). A resumed run must start from the same checkpoint. The checkpoint may have moved. It may also be gone, if
    --checkpoint is unchanged. `name` is that of the option: --teacher is recorded and compared alike.

    Raises:
        InputError: the run started from another checkpoint.
    """
    absent = f"name: {checkpoint}"
    there = checkpoint != FRESH and os.path.exists(checkpoint)
    now = loading.fingerprint(checkpoint) if there else absent
    then = run.keep(name, now)
    called = run.before.get("options", {}).get(name)
    gone = now == absent and not str(then).startswith("name: ") and called == checkpoint
    if then != now and not gone:
        raise InputError(f"--resume: --{name} {checkpoint} is not what {run.path} started from, which was "
                         f"{called}; give that checkpoint unchanged, or start anew in another --output-dir")


# -- the model -----------------------------------------------------------------------------------------------------


def _model(settled: Settled, data: TaskData, run: RunDirectory, workers: Workers,
           ctx: mx.Context) -> Tuple[BERT, Tokenizer, List[str], FineTuningOptions]:
    """The classifier, its tokenizer, notes, and the options.

    The classifier comes from the run's checkpoint or from --checkpoint. The options of a run that only predicts get
    the length to which the classifier's training cut texts.
    """
    options, found, notes = settled.options, settled.weights, []
    if run.checkpoint is None and found is None and options.checkpoint != FRESH:
        found = read_weights(options.checkpoint, workers)
    if run.checkpoint is not None:
        weights = checkpoint_directory.read(run.checkpoint)
    elif options.predict_only or options.keep_classifier:
        weights, notes = classifier_of(found, options.checkpoint, data.task)
    else:
        weights, notes = starting_weights(options.checkpoint, found, options.seed, data,
                                          options.transfer_from is not None)
    notes = run.keep("notes_at_start", notes)
    trained = weights.config.max_length
    if options.predict_only and options.max_length is None and trained is not None:
        options = dataclasses.replace(options, max_length=weights.config.longest)
        if weights.config.longest < min(LONGEST, weights.config.num_positions):
            notes = [*notes, f"texts are cut to {trained} tokens, as {options.checkpoint} was trained"]
    pairs = len(data.task.text_names) == 2
    if options.predict_only and trained is not None and pairs and weights.config.cut != data.task.cut:
        notes = [*notes, f"of two texts the {'first' if weights.config.cut == 'first' else 'longer one'} is cut, as "
                         f"{options.checkpoint} was trained"]
    new_head = run.checkpoint is None and not options.predict_only and not options.keep_classifier
    return build_classifier(weights, options, data.task, ctx, new_head), weights.tokenizer, notes, options


# -- training ------------------------------------------------------------------------------------------------------


def _train(session: Session, run: RunDirectory, micro: int) -> Dict[str, Any]:
    """Train to the end, and leave the best epoch's weights in the model. Returns entries of results.json."""
    keeper = BestOnDisk(session, run)
    done = train(session, run, keeper, micro, lambda line: print(line, flush=True))
    reason = stop_reason(done, session.data.task.criterion)
    if reason is not None:
        session.workers.say(f"stopped early at step {done.last_step:,} of {done.total:,}: {reason}")
    if done.skipped:
        session.notes.append(f"steps skipped, as their loss or gradient was not finite: {done.skipped}")
    gc.collect()  # frees the compiled training graph, which contains reference cycles
    return _training_results(session, run, done)


def _training_results(session: Session, run: RunDirectory, done: Training) -> Dict[str, Any]:
    history = [{"step": row["step"], **_without_prefix(row)} for row in run.metrics() if "dev_loss" in row]
    criterion = session.data.task.criterion
    return {"criterion": criterion, "best_step": done.best.best_step, "best_value": done.best.state()["best"],
            "best_epoch": done.best.best_step / done.steps_per_epoch, "stopped_early": done.best.stopped,
            "stop_reason": stop_reason(done, criterion), "last_step": done.last_step,
            "planned_steps": done.total, "steps_per_epoch": done.steps_per_epoch,
            "train_examples": len(session.data.train), "unlabelled_examples": len(session.data.unlabelled),
            "history": history}


def stop_reason(done: Training, criterion: str) -> Optional[str]:
    """Why a training ended before its last planned step, or None if it did not."""
    if not done.best.stopped or done.last_step >= done.total:
        return None
    waited = "in the last evaluation" if done.best.patience == 1 else f"in {done.best.patience} evaluations"
    return f"dev {criterion} was no better {waited}; the best was {done.best.best:.4f} at step {done.best.best_step:,}"


def _without_prefix(row: Dict[str, float]) -> Dict[str, float]:
    return {name[4:]: value for name, value in row.items() if name.startswith("dev_")}


# -- outputs of the best model ---------------------------------------------------------------------------------------


def conclude(session: Session, run: RunDirectory, trained: bool) -> Dict[str, Any]:
    """Predict all sets with the model's current weights, and write all outputs except results.json.

    Args:
        session: model and data.
        run: the directory to write to.
        trained: whether the run's metrics contain a learning curve.
    Returns:
        Entries of results.json.
    """
    data, task = session.data, session.data.task
    sets = []
    if data.dev is not None:
        sets.append(prediction_files.Predicted(task, "dev", "dev", session.evaluate_dev()))
    if data.test is not None:
        sets.append(prediction_files.Predicted(task, "test", "test", session.evaluate(task, data.test, "test")))
    for item in data.diagnostics:
        for split, examples in (("dev", item.dev), ("test", item.test)):
            if examples is not None:
                name = f"{item.task.key} {split}"
                found = session.evaluate(item.task, examples, name)
                sets.append(prediction_files.Predicted(item.task, split, name, found))
    submissions = prediction_files.write_all(run, task, sets, trained) if session.workers.is_first else []
    return {"task": shown_name(task), "checkpoint": session.options.checkpoint, "seed": session.options.seed,
            **{found.name: found.evaluation.metrics for found in sets
               if found.task is task and found.evaluation.metrics},
            "one_label_for_all": {found.name: found.evaluation.constant for found in sets if found.evaluation.constant},
            "diagnostics": {item.task.key: _diagnosed(item.task, sets) for item in data.diagnostics},
            "predictions_of": sets[0].name, "submissions": submissions,
            "notes": session.notes + [f"{found.name}: {note}" for found in sets for note in found.evaluation.notes]}


def _diagnosed(task: Task, sets: List[prediction_files.Predicted]) -> Dict[str, float]:
    """The metrics of a diagnostic set; of its dev set, if that has labels."""
    return next((found.evaluation.metrics for found in sets if found.task is task and found.evaluation.metrics), {})

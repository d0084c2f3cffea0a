"""A pre-training run from options to results: data, model, teacher, training loop (paper §4)."""

import dataclasses
import pathlib
from typing import Any, Dict, List, Optional, Tuple

import mxnet as mx
import numpy as np

from bort_mx.checkpoints.weights import tensors_digest
from bort_mx.data.masking import MaskedBatches
from bort_mx.data.prepared_text import data_hashes, prepared_text, refuse_other_vocabulary
from bort_mx.data.shards import TokenShards
from bort_mx.data.tokenizers import Tokenizer
from bort_mx.devices import device_of, free_memory, gpu_of
from bort_mx.distributed import Workers, connect
from bort_mx.durations import in_words, seconds_of
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.models.bert import BERT, parameters_of
from bort_mx.models.config import ModelConfig
from bort_mx.pretraining import compiled_relations
from bort_mx.pretraining.objective import evaluate
from bort_mx.pretraining.options import (
    OF_TEACHER,
    PACKED,
    PretrainingOptions,
    Recipe,
    head_of,
    kind_of,
    masks,
)
from bort_mx.pretraining.recipe import head_of_teacher, objective_of, scores_of_sequence, start_as_told
from bort_mx.pretraining.student_and_teacher import (
    NEW,
    beside_tensors,
    check_length,
    fresh_student,
    load_teacher,
    refuse_unfit,
    resolve_architecture,
    student_of,
)
from bort_mx.pretraining.timetable import Timetable
from bort_mx.sentence_embedding import TENSORS
from bort_mx.training import budget as budget_file
from bort_mx.training.budget import Budget
from bort_mx.training.cost import COST
from bort_mx.training.earlier_run import earlier_options, refuse_a_run, refuse_other_files
from bort_mx.training.loop import Cadence, Loop
from bort_mx.training.micro_batch import bytes_of_sequence, fitting_micro_batch
from bort_mx.training.optimizers import build_optimizer
from bort_mx.training.run_directory import RunDirectory
from bort_mx.training.step import TrainingStep

SAMPLED = 64
"""Number of sequences on which --init-from-teacher measures the teacher's hidden units."""
MOST_STEPS = 2 ** 31
"""Upper bound on the steps of a run that ends by time."""
MOST_EVALUATED_AT_ONCE = 32
"""Upper bound on the sequences in one forward pass of evaluation, if --evaluation-batch-size is not given."""


def pretrain(options: PretrainingOptions) -> Dict[str, Any]:
    """Pre-train by masked language modelling and, with a teacher, by distillation. Writes results.json.

    Raises:
        InputError: data, vocabularies, checkpoints or options do not fit together.
        StopRequested: the user stopped the run; a checkpoint has been written.
        NonFiniteError: ten steps in a row had no finite loss and gradient, or no step had.
    """
    workers = connect(options)
    workers.micro_batch(options.batch_size, options.micro_batch_size)
    ctx = device_of(options.device, workers, options.dtype)
    _refuse_early(options, workers)
    if options.teacher_cache is not None and workers.size > 1:
        raise InputError(f"--teacher-cache {options.teacher_cache:g}: works with one worker; leave it out")
    vocabulary, model = _vocabulary(options.tokenizer, options.train_vocab, options.init, options.teacher)
    directory = prepared_text(options.data, pathlib.Path(options.output_dir) / "data", options.seed, vocabulary,
                              options.train_vocab, options.resume != "never", workers, model)
    with workers.agreeing("ingredients"):
        parts = _ingredients(options, directory, workers, ctx)
    run, model, batches, held_out = parts.run, parts.model, parts.batches, parts.held_out
    run.agree(workers, vocabulary=parts.tokenizer.digest, model=model.config.to_dict())
    micro = options.micro_batch_size or _as_before(run, workers.share(options.batch_size)) or _fitting(
        workers.share(options.batch_size), options.seq_len, options.recipe, parts, workers, ctx)
    run.config["micro_batch"] = micro
    objective = objective_of(options.recipe, model, parts.teacher, parts.units, options.seed, ctx)
    said = list(parts.said)
    if options.teacher_cache is not None:
        with workers.agreeing("teacher cache"):
            cache = objective.keep_teacher(options.seq_len, options.teacher_cache, run.path, len(batches),
                                           run.checkpoint is not None)
        batches.restrict(cache.sequences)
        said.append(str(cache))
    learnt_beside = getattr(objective, "parameters", {})
    parameters = {**parameters_of(model), **learnt_beside}
    # All workers start from rank 0's weights.
    workers.broadcast_([p.list_data()[0] for p in parameters.values()], "weights")
    training_step = TrainingStep(objective, build_optimizer(parameters, options.optimizer_settings), workers,
                                 options.clip, half=options.dtype == "float16")
    budget = _budget(options.budget, run, workers)
    timetable = Timetable(run, options.learning_rate, options.schedule, options.warmup, options.max_steps,
                          options.length_warmup, budget)
    cadence = Cadence(MOST_STEPS if budget else options.max_steps, options.log_interval, options.evaluation_interval,
                      options.checkpoint_interval, options.keep_checkpoints)
    at_once = (options.evaluation_batch_size or min(micro, MOST_EVALUATED_AT_ONCE)) * workers.size
    loop = Loop(
        run, training_step, model, parts.tokenizer, workers, cadence,
        learning_rate=timetable.learning_rate,
        batches=lambda step: split((parts.short if timetable.is_short(step + 1) else batches).at(
            step, options.batch_size, workers.rank, workers.size), micro),
        tokens=lambda batch: batch.num_tokens,
        evaluate=lambda: evaluate(objective, held_out.evaluation(
            at_once, workers.rank, workers.size, options.evaluation_sequences or None), workers),
        seed=options.seed, description="pre-training", budget=budget,
        extras={name: p for name, p in learnt_beside.items() if not name.startswith(TENSORS)},
        uneven=not batches.packed)
    if budget and not budget.over(run.start_step):
        loop.forecast_budget(budget.seconds)
    try:
        with workers.agreeing("opened"):
            run.open(gpu=gpu_of(ctx), workers=workers.size)
            loop.restore()
        workers.say(_summary(options, model, parts.teacher, batches, workers.size), *said,
                    _said_of(micro, workers.share(options.batch_size), options.micro_batch_size))
        last = loop.train()
    finally:
        run.close()
    results = {"steps": loop.last_step, **_results(run, model, last), "seed": options.seed,
               "checkpoint": f"checkpoints/step-{loop.last_step}"}
    run.write_results(results)
    if workers.is_first:
        files.write_json(run.path / COST, loop.spent)
    return results


@dataclasses.dataclass
class _Ingredients:
    """The parts of a run, loaded and checked against each other."""

    tokenizer: Tokenizer
    batches: MaskedBatches
    held_out: MaskedBatches
    teacher: Optional[BERT]
    run: RunDirectory
    model: BERT
    short: Optional[MaskedBatches] = None
    """Batches of --first-seq-len, for --length-warmup."""
    said: Tuple[str, ...] = ()
    """Lines for the user."""
    units: Optional[np.ndarray] = None
    """The teacher's hidden units that the student has, if it starts from it: (H_S,)."""


def _ingredients(options: PretrainingOptions, directory: pathlib.Path, workers: Workers,
                 ctx: mx.Context) -> _Ingredients:
    """Load data, teacher, output directory and student.

    Raises:
        InputError: see `pretrain`.
    """
    train, validation = (TokenShards(directory, split, verify=workers.local_rank == 0)
                         for split in ("train", "validation"))
    tokenizer = train.tokenizer()
    refuse_other_vocabulary(directory, tokenizer, options.tokenizer, options.train_vocab)
    teacher = load_teacher(options.teacher, tokenizer, options.seq_len, ctx,
                           head_of_teacher(options.loss_weights)) if options.teacher else None
    if teacher is not None and options.dtype == "float16":
        teacher.cast("float16")
    known = {"data": data_hashes(directory), "teacher_sha256": teacher and digest(teacher),
             "teacher": teacher and beside_tensors(teacher, "embeddings" in (options.loss_weights or {}))}
    run = RunDirectory(options.output_dir, options, options.may_change, workers.is_first, options.resume, known,
                       kind_of)
    if options.budget is None and run.start_step > options.max_steps:
        raise InputError(f"--max-steps {options.max_steps}: {run.checkpoint} is beyond; give more steps, or go back "
                         "with --resume PATH of an earlier checkpoint")
    # Where no loss is at masked positions, the text stays as it is.
    masked = options.mask_probability if masks(options.loss_weights) else 0.0
    packed = _sequences(run, options.sequences, options.sequences_or_default) == PACKED
    batches, held_out = (MaskedBatches(shards, tokenizer, options.seq_len, options.seed, masked, packed)
                         for shards in (train, validation))
    short = (MaskedBatches(train, tokenizer, options.first_seq_len, options.seed, masked, packed)
             if options.length_warmup else None)
    model = _student(options, run, tokenizer, ctx, teacher)
    first = batches.sample(SAMPLED)
    said, units = start_as_told(options.recipe, model, teacher, options.seq_len, (first.input_ids, first.valid_length),
                                fresh=run.checkpoint is None)
    return _Ingredients(tokenizer, batches, held_out, teacher, run, model, short, said, units)


def _sequences(run: RunDirectory, given: Optional[str], otherwise: str) -> str:
    """What a sequence of this run is. Runs of versions without the option have packed the text.

    Args:
        given: the option --sequences.
        otherwise: what a new run has then, or by default.

    Raises:
        InputError: --sequences is not what the run was started with.
    """
    kept = run.keep("sequences", PACKED if run.before else otherwise)
    if given not in (None, kept):
        raise InputError(f"--resume: --sequences {given}: the run in {run.path} was started with {kept}; "
                         "leave it out, or start anew in another --output-dir")
    return kept


def _fitting(share: int, seq_len: int, recipe: Recipe, parts: _Ingredients, workers: Workers, ctx: mx.Context) -> int:
    """Sequences of a pass that the device's free memory and MXNet's limit on tensors allow; the same on all workers.

    Raises:
        InputError: not even one fits.
    """
    masked, config = parts.batches.max_masked, parts.model.config
    free = free_memory(ctx)
    teacher = parts.teacher.config.architecture if parts.teacher is not None else None
    scores = scores_of_sequence(recipe, config.architecture, teacher, seq_len,
                                ctx.device_type == "cpu" and compiled_relations.relations() is not None)
    with workers.agreeing("micro-batch"):
        found = fitting_micro_batch(share, max(masked * config.vocab_size, scores), bytes_of_sequence(
            config.architecture, seq_len, masked, config.vocab_size, teacher, scores), free)
    return min(workers.gather(found, "micro-batches"))  # both divide the share


def _as_before(run: RunDirectory, share: int) -> Optional[int]:
    """The micro-batch of a run that is resumed, as masks of dropout depend on it; None if it has none that divides."""
    before = run.before.get("micro_batch")
    return before if type(before) is int and before > 0 and share % before == 0 else None


def _said_of(micro: int, share: int, given: Optional[int]) -> str:
    """A line on how a worker's share of the batch is split; empty if it is not, or as the user asked."""
    if given or micro == share:
        return ""
    return (f"{share} sequences of a worker and step go in {share // micro} micro-batches of {micro}, as free memory\n"
            "and MXNet's limit on tensors allow; --micro-batch-size sets another size")


def _refuse_early(options: PretrainingOptions, workers: Workers) -> None:
    """Raises InputError for errors visible without the data. Preparing the data may take hours."""
    if options.resume == "never":
        refuse_a_run(options.output_dir)
    refuse_other_files(options.output_dir)
    with workers.agreeing("checkpoints"):
        for name in ("teacher", "init"):
            path = getattr(options, name)
            # One worker per host downloads a name of the Hub, before all read it.
            if path and workers.local_rank == 0:
                refuse_unfit(name, path, options.seq_len, head_of_teacher(options.loss_weights))
    started = bool(earlier_options(options.output_dir, options.resume))
    if not started:
        options.refuse_unused()
    if options.init and options.train_vocab and not started:
        raise InputError(f"--train-vocab {options.train_vocab}: the model of --init {options.init} knows the ids of "
                         "its own vocabulary, and those of a new one would mean other words; leave --train-vocab out")
    if options.init is None and options.resume == "never":
        # The vocabulary size is not known yet; it does not matter for the positions.
        config = ModelConfig(resolve_architecture(options.architecture), 1, num_positions=options.num_positions)
        check_length(options.seq_len, config, NEW)


def _vocabulary(tokenizer: Optional[str], train_vocab: Optional[int], init: Optional[str],
                teacher: Optional[str]) -> Tuple[Optional[str], str]:
    """What holds the vocabulary for text, of these options; and, in words, the model that it is taken from."""
    if tokenizer or train_vocab or not (init or teacher):
        return tokenizer, ""
    return (init, f"--init {init}") if init else (teacher, f"--teacher {teacher}")


def _student(options: PretrainingOptions, run: RunDirectory, tokenizer: Tokenizer, ctx: mx.Context,
             teacher: Optional[BERT]) -> BERT:
    """The student: from the run's checkpoint, from --init, or new. One that starts from the teacher is of its kind."""
    source, head = run.checkpoint or options.init, head_of(options.loss_weights)
    if source is None:
        kind = ("layer_norm_eps", "activation") if teacher is not None and options.init_from_teacher else ()
        model = fresh_student(options.architecture, tokenizer, options.num_positions, options.dropout, options.seed,
                              ctx, head, **{name: getattr(teacher.config, name) for name in kind})
    else:
        model = student_of(source, options.architecture, tokenizer, options.dropout, options.seed, ctx, head)
    check_length(options.seq_len, model.config, str(source or NEW))
    if options.dtype == "float16":
        model.cast("float16")
    return model


def digest(model: BERT) -> str:
    """SHA-256 over a model's parameters and their names. It does not depend on the checkpoint's format."""
    return tensors_digest({name: p.list_data()[0] for name, p in parameters_of(model).items()}, typed=True)


def split(batch: Any, micro: int) -> List[Any]:
    """Split a worker's batch into micro-batches of `micro` sequences."""
    fields = [field.name for field in dataclasses.fields(batch)]
    return [type(batch)(**{name: None if getattr(batch, name) is None else getattr(batch, name)[i:i + micro]
                           for name in fields})
            for i in range(0, len(batch.input_ids), micro)]


def _budget(budget: Optional[str], run: RunDirectory, workers: Workers) -> Optional[Budget]:
    """The clock of a run with --budget.

    Raises:
        InputError: a run that is resumed lacks its times.
    """
    if budget is None:
        return None
    with workers.agreeing("budget"):
        return Budget(seconds_of(budget), run.path / budget_file.FILE, run.start_step, workers)


def _summary(options: PretrainingOptions, model: BERT, teacher: Optional[BERT], batches: MaskedBatches,
             workers: int) -> str:
    sequences = len(batches)
    size = sum(int(np.prod(p.shape)) for p in parameters_of(model).values())
    weights = options.loss_weights
    learns = teacher is not None and (weights is None or any(name in OF_TEACHER for name in weights))
    how = f"distilling from {options.teacher} <{teacher.config.architecture}>" if learns else "self-supervised"
    how += f" ({' + '.join(f'{weight:g}·{name}' for name, weight in weights.items())})" if weights else ""
    if options.budget is not None:
        steps, epochs = f"{in_words(seconds_of(options.budget))} of steps", ""
    else:
        steps, passes = _counted(options.max_steps, "step"), options.max_steps * options.batch_size / sequences
        epochs = f", {passes:.3g} epochs"
    at_most = "" if batches.packed else "at most "
    return (f"pre-training <{model.config.architecture}> ({size / 1e6:.2f} M parameters), {how}, into "
            f"{options.output_dir}\n{steps} of {_counted(options.batch_size, 'sequence')} of {at_most}"
            f"{options.seq_len} tokens on {_counted(workers, 'worker')}\n"
            f"{_counted(sequences, 'sequence')} an epoch{epochs}")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _results(run: RunDirectory, model: BERT, last: Dict[str, float]) -> Dict[str, Any]:
    evaluations = [row for row in run.metrics() if "validation_loss" in row]
    curve: List[Tuple[int, float]] = [(row["step"], row["validation_mlm_accuracy"]) for row in evaluations
                                      if "validation_mlm_accuracy" in row]
    if not last and evaluations:  # a finished run that is resumed trains no more steps
        last = {name: value for name, value in evaluations[-1].items() if name != "step"}
    return {**last, "architecture": list(model.config.architecture.as_tuple()), "validation_curve": curve,
            "validation_losses": [(row["step"], row["validation_loss"]) for row in evaluations]}

"""Pre-training from options to results: data, model, teacher, loop (paper §4)."""

import dataclasses
import hashlib
import os
import pathlib
import re
import subprocess
import sys
from typing import Any, Callable, Dict, List, Optional, Tuple

import mxnet as mx
import numpy as np

from bort_mx.architecture import Architecture
from bort_mx.checkpoints import hub, loading
from bort_mx.data.masking import MaskedBatches
from bort_mx.data.shards import TokenShards
from bort_mx.data.tokenizers import Tokenizer, load_tokenizer
from bort_mx.devices import device_of
from bort_mx.distributed import Workers, connect
from bort_mx.errors import InputError, RunError
from bort_mx.io import files
from bort_mx.models.bert import BERT, ModelConfig, build_from_config, parameters_of
from bort_mx.pretraining.objective import PretrainingObjective, evaluate
from bort_mx.pretraining.options import MAY_CHANGE_ON_RESUME, PretrainingOptions
from bort_mx.training import schedules
from bort_mx.training.loop import Cadence, Loop
from bort_mx.training.optimizers import SGD, AdamW, Optimizer
from bort_mx.training.run_directory import RunDirectory, refuse_a_run
from bort_mx.training.step import TrainingStep


def pretrain(options: PretrainingOptions) -> Dict[str, Any]:
    """Pre-train by masked language modelling, with a teacher by distillation; what it found is in results.json.

    Raises:
        InputError: data, vocabularies, checkpoints or options that do not fit together.
        StopRequested: stopped by the user, after a checkpoint.
        NonFiniteError: ten steps in a row without a finite loss and gradient, or no step with them.
    """
    workers = connect()
    micro = workers.micro_batch(options.batch_size, options.micro_batch_size)
    ctx = device_of(options.device, workers, options.dtype)
    _refuse_early(options)
    directory = prepared_data(options, workers)
    with workers.agreeing("ingredients"):
        parts = _ingredients(options, directory, workers, ctx)
    run, model, batches, held_out = parts.run, parts.model, parts.batches, parts.held_out
    objective = PretrainingObjective(model, parts.teacher, options.kd_weight, options.temperature, ctx)
    step = TrainingStep(objective, _optimizer(options, model, workers), workers, options.clip,
                        half=options.dtype == "float16")
    loop = Loop(run, step, model, parts.tokenizer, workers, _cadence(options), _learning_rate(options, run),
                lambda step: split(batches.at(step, options.batch_size, workers.rank, workers.size), micro),
                lambda batch: batch.num_tokens,
                lambda: evaluate(objective, held_out.evaluation(
                    (options.evaluation_batch_size or min(micro, 32)) * workers.size, workers.rank, workers.size,
                    options.evaluation_sequences or None), workers),
                options.seed, "pre-training")
    try:
        with workers.agreeing("opened"):
            run.open()
            loop.restore()
        if workers.is_first:
            print(_summary(options, model, parts.teacher, batches, workers), flush=True)
        last = loop.train()
    finally:
        run.close()
    results = {"steps": options.max_steps, **_results(run, options, model, last)}
    run.write_results(results)
    return results


@dataclasses.dataclass
class _Ingredients:
    """What a run is made of, read and found to fit together."""

    tokenizer: Tokenizer
    batches: MaskedBatches
    held_out: MaskedBatches
    teacher: Optional[BERT]
    run: RunDirectory
    model: BERT


def _ingredients(options: PretrainingOptions, directory: pathlib.Path, workers: Workers,
                 ctx: mx.Context) -> _Ingredients:
    """Data, teacher, output directory and student.

    Raises:
        InputError: see `pretrain`.
    """
    train, validation = (TokenShards(directory, split, verify=workers.is_first) for split in ("train", "validation"))
    tokenizer = train.tokenizer()
    _refuse_other_vocabulary(options, directory, tokenizer)
    teacher = load_teacher(options, tokenizer, ctx)
    run = RunDirectory(options.output_dir, options, MAY_CHANGE_ON_RESUME, workers.is_first,
                       options.resume, {"data": data_hashes(directory), "teacher_sha256": teacher and digest(teacher)})
    if run.start_step > options.max_steps:
        raise InputError(f"--max-steps {options.max_steps}: {run.checkpoint} is beyond; give more, or go back by "
                         "--resume PATH of an earlier checkpoint")
    batches, held_out = (MaskedBatches(shards, tokenizer, options.seq_len, options.seed, options.mask_probability)
                         for shards in (train, validation))
    return _Ingredients(tokenizer, batches, held_out, teacher, run, _model(options, run, tokenizer, ctx))


def _refuse_early(options: PretrainingOptions) -> None:
    """Raises InputError for what can be told without the data, before hours may go into preparing it."""
    if options.resume == "never":
        refuse_a_run(options.output_dir)
    for name in ("teacher", "init"):
        path = getattr(options, name)
        if path and not pathlib.Path(path).exists() and not hub.is_name(path):
            raise InputError(f"--{name} {path}: no such file or directory")
    if options.init is None and options.resume == "never":
        config = ModelConfig(resolve_architecture(options.architecture or "bort"), 1,
                             num_positions=options.num_positions)
        check_length(options.seq_len, config, "the model")


def _refuse_other_vocabulary(options: PretrainingOptions, directory: pathlib.Path, tokenizer: Tokenizer) -> None:
    """Raises InputError if the data were prepared with another vocabulary than the options name."""
    advice = "leave the option out, or prepare the text anew"
    if options.train_vocab not in (None, tokenizer.vocab_size):
        raise InputError(f"--train-vocab {options.train_vocab}: {directory} was prepared with a vocabulary of "
                         f"{tokenizer.vocab_size} entries; {advice}")
    if options.tokenizer and load_tokenizer(options.tokenizer).digest != tokenizer.digest:
        raise InputError(f"--tokenizer {options.tokenizer}: {directory} was prepared with another vocabulary; {advice}")


def digest(model: BERT) -> str:
    """SHA-256 over a model's parameters, by name: the same in whatever format they came."""
    result = hashlib.sha256()
    for name, parameter in sorted(parameters_of(model).items()):
        tensor = parameter.list_data()[0].asnumpy()  # one after another: a teacher is large
        result.update(name.encode() + str(tensor.dtype).encode() + tensor.tobytes())
    return result.hexdigest()


def split(batch: Any, micro: int) -> List[Any]:
    """A worker's batch in micro-batches of `micro` sequences."""
    fields = [field.name for field in dataclasses.fields(batch)]
    return [type(batch)(**{name: getattr(batch, name)[i:i + micro] for name in fields})
            for i in range(0, len(batch.input_ids), micro)]


def data_hashes(directory: pathlib.Path) -> Dict[str, str]:
    """The SHA-256 of the manifest of prepared data, which holds those of all its files."""
    return {"manifest_sha256": files.sha256(directory / "manifest.json")}


def prepared_data(options: PretrainingOptions, workers: Workers) -> pathlib.Path:
    """The directory of token shards; text is prepared into OUTPUT_DIR/data by rank 0 while the others wait."""
    sources = [pathlib.Path(path) for path in options.data or []]
    if len(sources) == 1 and (sources[0] / "manifest.json").is_file():
        return sources[0]
    absent = [path for path in sources if not path.exists()]
    if absent:
        raise InputError(f"--data {absent[0]}: no such file or folder")
    target = pathlib.Path(options.output_dir) / "data"
    failure = (0, "")
    if workers.is_first and not (options.resume != "never" and (target / "manifest.json").is_file()):
        failure = _prepare(options, target)
    code, said = workers.gather(failure, "prepared")[0]
    if code:
        raise InputError(said) if code == 2 else RunError(f"the text could not be prepared: {said}")
    return target


def _prepare(options: PretrainingOptions, target: pathlib.Path) -> Tuple[int, str]:
    """Prepare text; returns the exit code and, if it is not 0, why.

    It runs as a program of its own, as its processes must not be forked from one that runs MXNet.
    """
    from bort_mx.data import sample_text

    sources = options.data or [str(sample_text.write_corpus(target.with_name("text")))]
    command = [sys.executable, "-m", "bort_mx", "prepare", "--data", *sources, "--output-dir", str(target),
               "--seed", str(options.seed)]
    if options.tokenizer:
        command += ["--tokenizer", options.tokenizer]
    elif options.train_vocab:
        command += ["--train-vocab", str(options.train_vocab)]
    else:
        return 2, "--data is text: give its vocabulary by --tokenizer DIR, or train one by --train-vocab 8000"
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return done.returncode, re.sub(r"^bort-mx prepare: (error|failed): ", "", last)


def _model(options: PretrainingOptions, run: RunDirectory, tokenizer, ctx: mx.Context) -> BERT:
    """The student: of the run's checkpoint, of --init, or fresh."""
    source = run.checkpoint or options.init
    if source is None:
        config = ModelConfig(resolve_architecture(options.architecture or "bort"), tokenizer.vocab_size, "mlm",
                             dropout=options.dropout, num_positions=options.num_positions,
                             family="bert" if tokenizer.kind == "wordpiece" else "roberta")
        model = build_from_config(config, seed=options.seed, ctx=ctx)
    else:
        model = load_on_vocabulary(source, tokenizer, ctx, seed=options.seed, dropout=options.dropout)
        if options.architecture and model.config.architecture != resolve_architecture(options.architecture):
            raise InputError(f"--architecture {options.architecture} is not that of {source} "
                             f"({model.config.architecture}); leave it out")
    check_length(options.seq_len, model.config, str(source or "the model"))
    if options.dtype == "float16":
        model.cast("float16")
    return model


def resolve_architecture(text: str) -> Architecture:
    """A preset, "D,A,H,I", or the best architecture of a search's results.json.

    Raises:
        InputError: none of these.
    """
    if not text.endswith(".json"):
        return Architecture.parse(text)
    results = files.read_json(text)
    best = results.get("best") if isinstance(results, dict) else None
    if not isinstance(best, dict) or not isinstance(best.get("architecture"), list):
        raise InputError(f"{text}: no field best.architecture; give the results.json of run_search.py")
    return Architecture.parse(",".join(str(v) for v in best["architecture"]))


def load_on_vocabulary(path: os.PathLike, tokenizer: Tokenizer, ctx: mx.Context, **changes: Any) -> BERT:
    """A checkpoint with its MLM head on a device, refused unless its vocabulary is the data's.

    Raises:
        InputError: another vocabulary, by size or by content; or see `bort_mx.checkpoints.load`.
    """
    seed = changes.pop("seed", 0)
    weights = loading.read(path).without_padding()
    theirs = weights.tokenizer
    if weights.config.vocab_size != tokenizer.vocab_size:
        raise InputError(f"{path}: has a vocabulary of {weights.config.vocab_size} entries, the data "
                         f"{tokenizer.vocab_size}; prepare the data with the checkpoint's tokenizer")
    if theirs is not None and theirs.digest != tokenizer.digest:
        raise InputError(f"{path}: its vocabulary is not the data's (equal in size, other entries); prepare the data "
                         "with the checkpoint's tokenizer")
    model = loading.assemble(weights, "mlm", seed=seed, **changes)
    model.collect_params().reset_ctx(ctx)
    return model


def check_length(seq_len: int, config: ModelConfig, source: str) -> None:
    """Raises InputError if sequences are longer than the model's positions."""
    if seq_len > config.num_positions:
        raise InputError(f"--seq-len {seq_len}: longer than the {config.num_positions} positions of {source}; "
                         "lower it, or for a fresh model raise --num-positions")


def load_teacher(options: PretrainingOptions, tokenizer: Tokenizer, ctx: mx.Context) -> Optional[BERT]:
    """The model of --teacher, with its MLM head, on a device; None where there is none.

    Raises:
        InputError: another vocabulary, too few positions, or no trained MLM head.
    """
    if options.teacher is None:
        return None
    teacher = load_on_vocabulary(options.teacher, tokenizer, ctx)
    if teacher.initialized:
        raise InputError(f"--teacher {options.teacher}: lacks a trained MLM head ({', '.join(teacher.initialized)}); "
                         f"train one first: run_pretraining.py --init {options.teacher}")
    check_length(options.seq_len, teacher.config, options.teacher)
    if options.dtype == "float16":
        teacher.cast("float16")
    return teacher


def _optimizer(options: PretrainingOptions, model: BERT, workers: Workers) -> Optimizer:
    parameters = parameters_of(model)
    workers.broadcast_([p.list_data()[0] for p in parameters.values()], "weights")
    if options.optimizer == "sgd":
        return SGD(parameters, options.weight_decay)
    return AdamW(parameters, options.weight_decay, options.beta1, options.beta2, options.epsilon)


def _cadence(options: PretrainingOptions) -> Cadence:
    return Cadence(options.max_steps, options.log_interval, options.evaluation_interval, options.checkpoint_interval,
                   options.keep_checkpoints)


def _learning_rate(options: PretrainingOptions, run: RunDirectory) -> Callable[[int], float]:
    """Noam's schedule; a run that is resumed to more steps keeps its warm-up, and thus its curve."""
    warmup = run.keep("warmup_steps", schedules.warmup_steps(options.warmup, options.max_steps))
    return lambda step: options.learning_rate * schedules.noam(step, warmup)


def _summary(options, model: BERT, teacher: Optional[BERT], batches: MaskedBatches, workers: Workers) -> str:
    size = sum(int(np.prod(p.shape)) for p in parameters_of(model).values())
    how = (f"distilling from {options.teacher} <{teacher.config.architecture}>" if teacher is not None
           else "self-supervised")
    return (f"pre-training <{model.config.architecture}> ({size / 1e6:.2f} M parameters), {how}: {options.max_steps} "
            f"steps of {options.batch_size} sequences of {options.seq_len} tokens on {workers.size} worker"
            f"{'s' if workers.size > 1 else ''}, {len(batches):,} sequences an epoch, into {options.output_dir}")


def _results(run: RunDirectory, options, model: BERT, last: Dict[str, float]) -> Dict[str, Any]:
    evaluations = [row for row in run.metrics() if "validation_mlm_accuracy" in row]
    curve: List[Tuple[int, float]] = [(row["step"], row["validation_mlm_accuracy"]) for row in evaluations]
    if not last and evaluations:  # a finished run, gone on with
        last = {name: value for name, value in evaluations[-1].items() if name != "step"}
    return {**last, "architecture": list(model.config.architecture.as_tuple()), "seed": options.seed,
            "validation_curve": curve, "checkpoint": f"checkpoints/step-{options.max_steps}"}

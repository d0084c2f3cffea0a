"""The command line of `run_finetune.py`."""

import functools
import pathlib
import re
from typing import Callable, Collection, List, Optional, Tuple

from bort_mx import runtime
from bort_mx.agora.options import AgoraRunOptions
from bort_mx.alternatives import named_options
from bort_mx.commands.demo_distillation import STUDENTS
from bort_mx.commands.last_lines import OWN_TEXTS, say_first, say_last
from bort_mx.errors import InputError
from bort_mx.finetuning.options import BENCHMARKS, FineTuningOptions
from bort_mx.options import parse_options
from bort_mx.training.resumed_options import parse_run_options

DESCRIPTION = ("Fine-tune a checkpoint on a task of GLUE, SuperGLUE or RACE, on one's own, or on a whole benchmark; "
               "plainly, or by Agora.")
BUILT_IN = ["--task", "demo", "--epochs", "3", "--batch-size", "16", "--learning-rate", "1e-3", "--resume", "auto"]
"""The small run on the built-in task, where no --task is given; options on the command line win."""
BUILT_IN_OUTPUT = "runs/finetuning-demo"
"""Gets a directory for each checkpoint that the small run starts from."""
DEMO = "runs/demo"
"""What `make demo` writes into."""


def main(argv: List[str]) -> int:
    """Parse, then fine-tune once, with several seeds, on a whole benchmark, or by Agora."""
    options, results = run_arguments(argv)
    say_last(None if "predictions_of" in results else options.output_dir, "predict", "--checkpoint",
             options.checkpoint if options.predict_only else _model_of(options.output_dir, options.task, results),
             "--classify", OWN_TEXTS)
    return 0


def run_arguments(argv: List[str]) -> Tuple[AgoraRunOptions, dict]:
    """As `main`, without its last lines. Returns the options and results.json."""
    options, recorded = parse_run_options(AgoraRunOptions, argv, "run_finetune.py", DESCRIPTION)
    if options.agora and options.chs and recorded:
        raise InputError("--resume: of a run of --agora --chs, config.json does not tell what was given and what is "
                         "the paper's; give the options that it was started with")
    if options.task is None and not options.own_files:
        given = options.checkpoint != FineTuningOptions.checkpoint or "checkpoint" in named_options(argv)
        checkpoint = options.checkpoint if given else _demo_checkpoint()
        output = f"{BUILT_IN_OUTPUT}/{'-'.join(re.findall(r'[A-Za-z0-9_]+', checkpoint)) or 'checkpoint'}"
        options = parse_options(AgoraRunOptions, argv, "run_finetune.py", DESCRIPTION,
                                first=[*BUILT_IN, "--checkpoint", checkpoint, "--output-dir", output])
        if runtime.is_first_process():
            print(f"no --task: a small run on an entailment task made by rules, with {_named(options.checkpoint)}",
                  flush=True)
    if options.resume == "never":
        _refuse_idle(named_options(argv))
    say_first(f"opening {options.transfer_from or options.checkpoint} and the data of "
              f"{options.train or options.dev or options.test or options.task}; results go to {options.output_dir}")
    return options, run(options if options.agora else options.without_agora())


def _refuse_idle(named: Collection[str]) -> None:
    """Refuse options of a new run, named on the command line, that another one there makes idle.

    Raises:
        InputError: the form of a new classifier beside --keep-classifier; or --max-epochs beside --epochs.
    """
    idle = {"keep_classifier": ("pooling", "classifier_init", "pooler", "no_pooler", "extra_layer", "no_extra_layer"),
            "epochs": ("max_epochs",)}
    for name, others in idle.items():
        found = next((other for other in others if other in named), None)
        if name in named and found is not None:
            why = ("uses the classifier as it was trained" if name == "keep_classifier"
                   else "is the number of epochs, whatever a recipe gives")
            raise InputError(f"--{name.replace('_', '-')} {why}; leave out --{found.replace('_', '-')}")


def _model_of(output_dir: str, task: str, results: dict) -> str:
    """The folder of the model that a run leaves: its own, that of the best seed, or that of a benchmark's task."""
    if "best_seed" in results:
        return f"{output_dir}/seed-{results['best_seed']}"
    if task in BENCHMARKS:
        trained = [f"{name}/{key}" for name, found in results.items() for key in found["dev"]]
        return "/".join([output_dir, *trained[:1]])
    return output_dir


def run(options: FineTuningOptions, begin: Optional[Callable[[], None]] = None) -> dict:
    """What the options ask for: one run, several seeds, a benchmark; of Agora if they are its own.

    Args:
        options: of the run.
        begin: see `bort_mx.finetuning.finetune.finetune`; of one run or several seeds.
    Raises:
        InputError: see `bort_mx.finetuning.finetune.finetune` and `bort_mx.agora.run.run_agora`.
    """
    runtime.keep_freed_memory()  # before MXNet starts its threads
    from bort_mx.finetuning.benchmark import run_benchmarks  # MXNet is loaded only now: --help stays quick
    from bort_mx.finetuning.seeds import run_seeds

    by_agora = getattr(options, "agora", False)
    if options.task in BENCHMARKS:
        if by_agora:
            raise InputError(f"--task {options.task}: Socrates is a teacher of one task; give --agora one task")
        return run_benchmarks(options, run)
    single = _single(by_agora)
    return run_seeds(options, single, begin) if options.seeds > 1 else single(options, begin)


def _single(by_agora: bool) -> Callable[..., dict]:
    """What makes one run."""
    if by_agora:
        from bort_mx.agora.run import run_agora
        return run_agora
    from bort_mx.finetuning.finetune import finetune
    return functools.partial(finetune, answers={})


def _demo_checkpoint() -> str:
    """One of the demo's students if it is there, the distilled ones first, else a fresh one."""
    there = [step.parents[1] for name in reversed(STUDENTS.values())
             for step in sorted(pathlib.Path(DEMO).glob(f"{name}-*/checkpoints/step-*"))]
    return str(there[0]) if there else "fresh"


def _named(checkpoint: str) -> str:
    if checkpoint == "fresh":
        return "a small encoder that was not pre-trained (`make demo` trains one)"
    return checkpoint

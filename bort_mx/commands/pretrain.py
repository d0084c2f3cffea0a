"""The command line of `run_pretraining.py`."""

from typing import Any, Dict, List, Mapping, Optional, Tuple

from bort_mx import runtime
from bort_mx.commands.last_lines import OWN_TABLE, predict_with, say_first, say_last, tells_what_is_next
from bort_mx.commands.small_pretraining import of_student
from bort_mx.errors import InputError
from bort_mx.options import parse_options
from bort_mx.pretraining.options import REPLACED, PretrainingOptions, head_of
from bort_mx.training.resumed_options import parse_run_options

DESCRIPTION = "Pre-train a BERT subarchitecture by masked language modelling, with --teacher by distillation."
BUILT_IN = ["--architecture", "2,4,128,512", "--train-vocab", "4000", "--max-steps", "200", "--batch-size", "16",
            "--seq-len", "64", "--learning-rate", "2e-3", "--warmup", "20", "--evaluation-interval", "100",
            "--evaluation-sequences", "256", "--output-dir", "runs/pretraining", "--resume", "auto"]
"""The small run on built-in text, where no --data is given; options on the command line and in YAML files win."""


def main(argv: List[str]) -> int:
    """Parse, pre-train; see `bort_mx.pretraining.pretrain`."""
    options, results = run(argv)
    if tells_what_is_next():
        following, instead, note = _following(options.output_dir, options.loss_weights)
        say_last(f"{options.output_dir}: {results['checkpoint']}, results.json, metrics.jsonl", *following,
                 instead=instead, note=note)
    return 0


def _following(out: str, weights: Optional[Mapping[str, float]]) -> Tuple[List[str], List[str], str]:
    """The command that may come after a run in a folder with these losses, another one, and what is said of that."""
    from bort_mx.checkpoints import loading  # loads MXNet, which --help does without

    if head_of(weights) == "mlm" or REPLACED in weights:
        return (["finetune", "--train", OWN_TABLE, "--checkpoint", out],
                ["finetune", "--task", "RTE", "--checkpoint", out], "downloads RTE")
    student = loading.read(out)
    tuned = of_student(out, student.config.token_types == 2 and student.tokenizer.gives_token_types)
    embeds = [*predict_with(out, "encoder")]
    return (embeds, tuned, "for a task") if "embeddings" in weights else (tuned, embeds, "the mean of its states")


def _refuse_other_text(output_dir: str, resume: str) -> None:
    """Raises InputError if the built-in text would be prepared for a run that is resumed and has another."""
    from bort_mx.training.earlier_run import CONFIG, earlier_options  # loads MXNet, which bad options do without

    if earlier_options(output_dir, resume).get("data"):
        raise InputError(f"--resume {resume}: the run in {output_dir} has a --data, which is not given again; give "
                         f"--output-dir and --resume alone, which takes all options from its {CONFIG}, or all options "
                         "again")


def run(argv: List[str]) -> Tuple[PretrainingOptions, Dict[str, Any]]:
    """As `main`, without its last lines. Returns the options and results.json."""
    options, recorded = parse_run_options(PretrainingOptions, argv, "run_pretraining.py", DESCRIPTION)
    runtime.keep_freed_memory()  # before MXNet starts its threads
    if options.data is None and not recorded:
        _refuse_other_text(options.output_dir, options.resume)
        has_vocabulary = options.tokenizer or options.init or options.teacher
        built_in = [*BUILT_IN[2 if options.init else 0:],  # --init has its architecture
                    *(["--train-vocab=null"] if has_vocabulary else []),
                    *(["--warmup=0.1"] if options.budget else [])]  # the same share; a budget takes no steps
        options = parse_options(PretrainingOptions, argv, "run_pretraining.py", DESCRIPTION, first=built_in)
        if runtime.is_first_process():
            print("no --data: a small run on the documentation of Python's own standard library", flush=True)
    say_first(f"opening data{' and teacher' if options.teacher else ''} of a pre-training run in {options.output_dir}")
    from bort_mx.pretraining.pretrain import pretrain  # MXNet is loaded only now: --help and bad options stay quick

    return options, pretrain(options)

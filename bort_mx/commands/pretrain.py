"""The command line of `run_pretraining.py`."""

from typing import Any, Dict, List, Tuple

from bort_mx import runtime
from bort_mx.commands.last_lines import OWN_TABLE, say_first, say_last
from bort_mx.options import parse_options
from bort_mx.pretraining.options import PretrainingOptions
from bort_mx.training.resumed_options import parse_run_options

DESCRIPTION = "Pre-train a BERT subarchitecture by masked language modelling, with --teacher by distillation."
BUILT_IN = ["--architecture", "2,4,128,512", "--train-vocab", "4000", "--max-steps", "200", "--batch-size", "16",
            "--seq-len", "64", "--learning-rate", "2e-3", "--warmup", "20", "--evaluation-interval", "100",
            "--evaluation-sequences", "256", "--output-dir", "runs/pretraining", "--resume", "auto"]
"""The small run on built-in text, where no --data is given; options on the command line and in YAML files win."""


def main(argv: List[str]) -> int:
    """Parse, pre-train; see `bort_mx.pretraining.pretrain`."""
    options, results = run(argv)
    say_last(f"{options.output_dir}: {results['checkpoint']}, results.json, metrics.jsonl",
             "finetune", "--train", OWN_TABLE, "--checkpoint", options.output_dir,
             instead=["finetune", "--task", "RTE", "--checkpoint", options.output_dir], note="downloads RTE")
    return 0


def run(argv: List[str]) -> Tuple[PretrainingOptions, Dict[str, Any]]:
    """As `main`, without its last lines. Returns the options and results.json."""
    options, recorded = parse_run_options(PretrainingOptions, argv, "run_pretraining.py", DESCRIPTION)
    runtime.keep_freed_memory()  # before MXNet starts its threads
    if options.data is None and not recorded:
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

"""The command line of `run_search.py`."""

import pathlib
from typing import Any, Dict, List, Optional, Sequence, Tuple

from bort_mx import runtime
from bort_mx.commands import pretrain
from bort_mx.commands.last_lines import say_first, say_last, tells_what_is_next
from bort_mx.commands.small_pretraining import of_winner
from bort_mx.io import files
from bort_mx.options import parse_options
from bort_mx.search.options import SearchOptions
from bort_mx.search.space import SMALL_SPACE
from bort_mx.training.resumed_options import parse_run_options

DESCRIPTION = "Extract the optimal subarchitecture <D,A,H,I> of a search space by the FPTAS."
BUILT_IN = ["--space", str(SMALL_SPACE), "--batch-size", "64", "--micro-batch-size", "32", "--seq-len", "64",
            "--evaluation-lines", "128", "--baselines", "exhaustive", "random"]
"""The small search on built-in text, where no --data is given; options on the command line win."""
BUILT_IN_TEACHER = ["--architecture", "4,4,128,512"]
"""The tiny T of a search without --teacher and --data, which is pre-trained first."""


def main(argv: List[str]) -> int:
    """Parse, search; see `bort_mx.search.run.run_search`."""
    options, results = run(argv)
    if not tells_what_is_next():
        return 0
    ranking = results["ranking"]
    if not ranking or any((row["w"] or 0) > 0 for row in ranking):
        following = of_winner(options.output_dir, _data(options.data, options.output_dir), options.teacher,
                              options.seq_len, options.batch_size)
    else:
        point = _above([row["architecture"] for row in ranking])
        following = ["search", *_without(argv, "--maximum-point", "--output-dir"), "--output-dir",
                     f"{options.output_dir}-larger", "--maximum-point", point]
    say_last(f"{options.output_dir}: results.json, report.md", *following)
    return 0


def _above(architectures: Sequence[Sequence[int]]) -> str:
    """A maximum point above all of these: the most layers, the largest H and I, and the most heads that divide H."""
    layers, heads, hidden, inner = zip(*architectures)
    fitting = max((A for A in heads if max(hidden) % A == 0), default=1)
    return f"{max(layers)},{fitting},{max(hidden)},{max(inner)}"


def _without(argv: Sequence[str], *options: str) -> List[str]:
    """Arguments without some options and their values."""
    return [word for previous, word in zip(["", *argv], argv)
            if word not in options and previous not in options and word.split("=")[0] not in options]


def run(argv: List[str]) -> Tuple[SearchOptions, Dict[str, Any]]:
    """As `main`, without its last lines. Returns the options and results.json."""
    options, recorded = parse_run_options(SearchOptions, argv, "run_search.py", DESCRIPTION)
    runtime.keep_freed_memory()  # before MXNet starts its threads
    if options.data is None and not recorded:
        options = parse_options(SearchOptions, argv, "run_search.py", DESCRIPTION, first=BUILT_IN)
        if runtime.is_first_process():
            print("no --data: a small search" + ("" if options.teacher else
                                                 " on the documentation of Python's own standard library"), flush=True)
        if options.teacher is None:
            options.teacher = _tiny_teacher(options.output_dir, options.seed, options.device)
    say_first(f"opening data and teacher of a search in {options.output_dir}")
    from bort_mx.search.run import run_search  # MXNet is loaded only now: --help and bad options stay quick

    run_search(options)
    written = pathlib.Path(options.output_dir) / "results.json"  # on the first worker's host
    return options, files.read_json(written) if written.is_file() else {}


def _data(data: Optional[List[str]], output_dir: str) -> List[str]:
    """--data of the next run: what was prepared here from text, else what was given."""
    prepared = pathlib.Path(output_dir) / "data"
    return ["--data", *([str(prepared)] if prepared.is_dir() else data)] if data else []


def _tiny_teacher(output_dir: str, seed: int, device: str) -> str:
    """A tiny T, pre-trained on text that every machine has; a search that is resumed takes the one that stands."""
    target = pathlib.Path(output_dir) / "teacher"
    if not (target / "results.json").is_file():
        if runtime.is_first_process():
            print("no --teacher: a tiny one is pre-trained first", flush=True)
        pretrain.run([*BUILT_IN_TEACHER, "--output-dir", str(target), "--seed", str(seed), "--device", device])
    return str(target)

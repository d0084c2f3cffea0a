"""The command line of `run_search.py`."""

import os
import pathlib
from typing import List

from bort_mx.options import parse_options
from bort_mx.search.options import SearchOptions

DESCRIPTION = "Extract the optimal subarchitecture <D,A,H,I> of a search space by the FPTAS."
SMALL_SPACE = pathlib.Path(__file__).with_name("search_small.yaml")
BUILT_IN = ["--space", str(SMALL_SPACE), "--batch-size", "64", "--micro-batch-size", "32", "--seq-len", "64",
            "--evaluation-lines", "128", "--baselines", "exhaustive", "random"]
"""The small search on built-in text, where no --data is given; options on the command line win."""


def main(argv: List[str]) -> int:
    """Parse, search; see `bort_mx.search.run.run_search`."""
    options = parse_options(SearchOptions, argv, "run_search.py", DESCRIPTION)
    if options.data is None:
        options = parse_options(SearchOptions, argv, "run_search.py", DESCRIPTION, first=BUILT_IN)
        if os.environ.get("HOROVOD_RANK", "0") == "0":
            print("no --data: a small search" + ("" if options.teacher else
                                                 " on the documentation of Python's own standard library"), flush=True)
    from bort_mx.search.run import run_search  # MXNet is loaded only now: --help and bad options stay quick

    run_search(options)
    return 0

"""The first line of a command, what it does, and its last two: where it wrote, and a command that may come next."""

import os
import sys
from typing import Optional, Sequence

from bort_mx import runtime
from bort_mx.command_line import command_line

OWN_TEXTS = "your-texts.txt"
"""Stands for the user's own file, one text a line."""
OWN_TABLE = "your-table.csv"
"""Stands for the user's own labelled table."""


def say_first(text: str, aside: bool = False) -> None:
    """Print at once what a command does, before MXNet is loaded, which takes seconds; only the first worker does.

    Args:
        text: what it does.
        aside: standard output is for answers alone: print to standard error, and only on a terminal.
    """
    if runtime.is_first_process() and (not aside or sys.stderr.isatty()):
        print(f"{text} …", file=sys.stderr if aside else sys.stdout, flush=True)


def tells_what_is_next() -> bool:
    """Whether this process is to print `say_last`'s lines: it is the first worker, and no other command started it.

    Whoever reads files for these lines asks before: the files of a run are the first worker's, and another one may end
    before they are written, or run on a host that never has them.
    """
    return runtime.is_first_process() and not os.environ.get(runtime.WITHIN)


def say_last(wrote: Optional[str], *following: object, instead: Sequence[object] = (), note: str = "") -> None:
    """Print "wrote …", "next: …" and "or: …"; only the first worker does, and no command that another one has started.

    Args:
        wrote: the files or the folder, in words. None if nothing was written, or an earlier line says it.
        following: the words of the next command; the first is a command of `bort_mx.cli.COMMANDS`.
        instead: those of another one that may come next; none if empty.
        note: what is said of it.
    """
    if tells_what_is_next():
        print(*([f"wrote {wrote}"] if wrote else []), f"next: {command_line(*map(str, following))}",
              *([f"or:   {command_line(*map(str, instead))}  # {note}"] if instead else []), sep="\n", flush=True)


def predict_with(checkpoint: os.PathLike, head: str) -> Sequence[str]:
    """The `predict` command that a checkpoint's or ONNX file's head is for."""
    task = {"mlm": ["--fill-mask", "The <mask> of the function"], "classifier": ["--classify", OWN_TEXTS],
            "encoder": ["--embed", OWN_TEXTS, "--output", "embeddings.npy"]}[head]
    return ["predict", "--checkpoint", str(checkpoint), *task]

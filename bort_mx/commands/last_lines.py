"""The last two lines of a command: where it wrote, and a command that may come next."""

import os
import pathlib
import shlex
from typing import Optional, Sequence

from bort_mx import runtime

OWN_TEXTS = "your-texts.txt"
"""Stands for the user's own file, one text a line."""
SCRIPTS = {"pretrain": "run_pretraining.py", "search": "run_search.py", "finetune": "run_finetune.py"}


def say_last(wrote: Optional[str], *following: object) -> None:
    """Print "wrote …" and "next: …"; only the first worker does.

    Args:
        wrote: the files or the folder, in words. None if nothing was written, or an earlier line says it.
        following: the words of the next command; the first is a command of `bort_mx.cli.COMMANDS`.
    """
    if runtime.is_first_process():
        print(*([f"wrote {wrote}"] if wrote else []), f"next: {command_line(*map(str, following))}", sep="\n",
              flush=True)


def command_line(name: str, *arguments: str) -> str:
    """A command as it is typed in this folder; the three stages by their scripts if those are here."""
    script = SCRIPTS.get(name)
    program = ["python", script] if script and pathlib.Path(script).is_file() else ["python", "-m", "bort_mx", name]
    return shlex.join([*program, *arguments])


def predict_with(checkpoint: os.PathLike, head: str) -> Sequence[str]:
    """The `predict` command that a checkpoint's or ONNX file's head is for."""
    task = {"mlm": ["--fill-mask", "The <mask> of the function"], "classifier": ["--classify", OWN_TEXTS],
            "encoder": ["--embed", OWN_TEXTS, "--output", "embeddings.npy"]}[head]
    return ["predict", "--checkpoint", str(checkpoint), *task]

"""A command as it is typed: the next one, and the one that goes on with a run that was stopped."""

import os
import pathlib
import shlex
import sys
from typing import Dict, List, Optional, Sequence, Tuple

SCRIPTS = {"pretrain": "run_pretraining.py", "search": "run_search.py", "finetune": "run_finetune.py"}
GOES_ON: Dict[str, Tuple[str, ...]] = {
    "pretrain": ("--resume", "auto"), "finetune": ("--resume", "auto"), "search": (), "prepare": (), "demo": (),
    "bench": ("--resume", "auto")}
"""Commands that go on where they were stopped: what the same command needs for it. --resume never is left out."""


def command_line(name: str, *arguments: str) -> str:
    """A command as it is typed in this folder; the three stages by their scripts if those are here."""
    script = SCRIPTS.get(name)
    program = ["python", script] if script and pathlib.Path(script).is_file() else ["python", "-m", "bort_mx", name]
    return shlex.join([*program, *arguments])


def command_to_go_on(name: str, argv: Sequence[str]) -> Optional[str]:
    """The command that continues what was stopped; None if it would start anew.

    Args:
        name: a command, or the script of one.
        argv: its arguments.
    """
    name = {script: command for command, script in SCRIPTS.items()}.get(name, name)
    if name not in GOES_ON:
        return None
    words: List[str] = []
    for word in argv:
        if words[-1:] == ["--resume"]:
            words.pop()
        elif not word.startswith("--resume="):
            words.append(word)
    return shlex.join([*_launcher(), *_program(name), *words, *GOES_ON[name]])


def _program(name: str) -> List[str]:
    """How this process was called."""
    called = pathlib.Path(sys.argv[0]).name
    if called == SCRIPTS.get(name):
        return ["python", sys.argv[0]]
    return ["bort-mx", name] if called == "bort-mx" else ["python", "-m", "bort_mx", name]


def _launcher() -> List[str]:
    """horovodrun, if it started this process. It does not tell the hosts."""
    size = os.environ.get("HOROVOD_SIZE", "1")
    hosts = [] if size == os.environ.get("HOROVOD_LOCAL_SIZE", size) else ["-H", "HOSTS"]
    return [] if size == "1" else ["horovodrun", "-np", size, *hosts]

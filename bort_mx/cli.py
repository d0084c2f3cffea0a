"""The command line: `bort-mx <command> …`, or `python -m bort_mx <command> …`.

A command is a module with `main(argv: list) -> int` and a row of `COMMANDS`. It is imported only when it is called, so
that --help stays quick.
"""

import importlib
import io
import os
import signal
import sys
from typing import Callable, Dict, List, NoReturn, Optional, Tuple

from bort_mx import runtime, suggestions
from bort_mx.command_line import command_to_go_on
from bort_mx.errors import InputError, RunError
from bort_mx.io.output import BAD_PLACE, FULL
from bort_mx.training.signals import StopSignals, terminate_as_interrupt

COMMANDS: Dict[str, Tuple[str, str]] = {
    "demo": ("bort_mx.commands.demo", "pre-train and distil a small model on text that every machine has"),
    "doctor": ("bort_mx.commands.doctor", "check this machine and this installation; each problem with its remedy"),
    "prepare": ("bort_mx.commands.prepare", "turn text files into token shards"),
    "search": ("bort_mx.commands.search", "find the optimal architecture of a search space; the same as run_search.py"),
    "pretrain": ("bort_mx.commands.pretrain", "pre-train or distil a model; the same as run_pretraining.py"),
    "finetune": ("bort_mx.commands.finetune", "fine-tune a model on a task; the same as run_finetune.py"),
    "predict": ("bort_mx.commands.predict", "fill masks, classify texts or embed them with a trained model"),
    "serve": ("bort_mx.commands.serve", "answer texts over HTTP with a trained model"),
    "convert": ("bort_mx.commands.convert", "convert a checkpoint from or to Hugging Face, fairseq or GluonNLP"),
    "export": ("bort_mx.commands.export", "export a checkpoint to ONNX"),
    "reproduce": ("bort_mx.commands.reproduce", "put every number of the paper beside ours, in one page"),
    "latency": ("bort_mx.commands.latency", "time architectures by the protocol of the paper's Table 1"),
    "bench": ("bort_mx.commands.bench", "run the benchmarks on this machine"),
}
"""Command: the module that does the work, and its line in --help."""

STAGES: Dict[str, Tuple[str, ...]] = {
    "First steps": ("demo", "doctor"), "Data": ("prepare",), "Training": ("search", "pretrain", "finetune"),
    "Using a model": ("predict", "serve", "convert", "export"), "Measuring": ("reproduce", "latency", "bench")}
"""Heading in --help: the commands below it. Commands that stand nowhere here come last."""

LONGEST_MESSAGE = 2000
"""Characters of an error's line; a longer one, which repeats a file's content, is cut."""
Main = Callable[[List[str]], Optional[int]]



def run_command(name: str, main: Main, argv: Optional[List[str]] = None) -> int:
    """Call `main`; turn its exceptions into exit codes. Every command and script runs through this.

    Exit codes: 0 done. 2 bad options or input (InputError, or a path that cannot be used), with one line. 1 a failure,
    with one line for a RunError, a full disk, or the end of another worker; any other exception propagates, with its
    traceback. 130 stopped by the user (Ctrl-C or SIGTERM), with the command that goes on. 141 (128 + SIGPIPE) the
    reader of the output has closed it.

    Args:
        name: the NAME in `bort-mx NAME: error: …`; a script's name stands alone.
        main: takes the arguments, returns an exit code (None counts as 0).
        argv: the arguments; None means `sys.argv[1:]`.
    """
    StopSignals.forget()
    _open_standard_files()
    try:
        with terminate_as_interrupt():
            code = main(sys.argv[1:] if argv is None else argv) or 0
        sys.stdout.flush()  # now, while an error can still be told
        return code
    except InputError as error:
        _complain(name, "error", " ".join(str(error).split()))
        return 2
    except RunError as error:
        _complain(name, "failed", " ".join(str(error).split()))
        return 1
    except KeyboardInterrupt as stop:
        command = command_to_go_on(name, sys.argv[1:] if argv is None else argv)
        _complain(name, "stopped", (str(stop) or "by the user") + (
            f"; go on with: {command}" if command and runtime.is_first_process() else ""))
        return 128 + signal.SIGINT
    except BrokenPipeError:
        _discard_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        bad_place = error.errno in BAD_PLACE and error.filename is not None
        if error.errno not in FULL and not bad_place:
            raise
        said = f"{error.strerror}" + (f": {error.filename}" if error.filename is not None else "")
        _complain(name, "error" if bad_place else "failed", said + ("; choose another path" if bad_place else ""))
        return 2 if bad_place else 1
    except Exception as error:
        if "Horovod has been shut down" not in str(error):  # MXNet's error at the next collective
            raise
        _complain(name, "failed", "another worker has ended; its message says why")
        return 1


def main(argv: Optional[List[str]] = None) -> int:
    """Run the command that the first argument names; return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0 if argv else 2
    if argv[0] == "--version":
        return run_command("version", _print_version, [])
    return run_command(argv[0], lambda rest: _find(argv[0])(rest), argv[1:])


def script() -> NoReturn:
    """The console script `bort-mx`."""
    sys.exit(main())


def _find(name: str) -> Main:
    """The command's `main`.

    Raises:
        InputError: no such command; the message lists them.
    """
    if name not in COMMANDS:
        near = suggestions.hint(name, list(COMMANDS), suggestions.COMMANDS)
        raise InputError(f"no such command{near}; there are {', '.join(COMMANDS)}")
    return importlib.import_module(COMMANDS[name][0]).main


def _usage() -> str:
    lines = ["usage: bort-mx <command> [options]; bort-mx <command> --help shows its options"]
    others = [name for name in COMMANDS if not any(name in names for names in STAGES.values())]
    for stage, names in {**STAGES, "Other": others}.items():
        there = [name for name in names if name in COMMANDS]
        lines += [f"\n{stage}:", *(f"  {name:<10} {COMMANDS[name][1]}" for name in there)] if there else []
    return "\n".join(lines)


def _print_version(argv: List[str]) -> int:
    import bort_mx

    print(f"bort_mx {bort_mx.__version__}")
    return 0


def _open_standard_files() -> None:
    """Open /dev/null in the place of standard files that are closed.

    Otherwise the next file that is opened would take their number, and get what is printed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names that are not UTF-8 can be printed


def _discard_output() -> None:
    """Send what is still buffered to /dev/null: Python flushes stdout at exit, which would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(name: str, kind: str, text: str) -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _discard_output()
    text = text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + "…"
    called = name if name.endswith(".py") else f"bort-mx {name}"
    print(f"{called}: {kind}: {text}", file=sys.stderr, flush=True)

"""`python -m bort_mx <command> …`, installed as `bort-mx`: one word chooses the module that does the work.

Each command's module has `main(argv: list) -> int` and is imported only when it is called.
"""

import errno
import importlib
import importlib.machinery
import os
import signal
import sys
from typing import Callable, Dict, List, NoReturn, Optional, Tuple

from bort_mx.errors import InputError, RunError
from bort_mx.training.signals import StopSignals, terminate_as_interrupt

COMMANDS: Dict[str, Tuple[str, str]] = {
    "demo": ("bort_mx.commands.demo", "pre-train and distil a small model on text that every machine has"),
    "doctor": ("bort_mx.commands.doctor", "check this machine and this installation; each problem with its remedy"),
    "prepare": ("bort_mx.commands.prepare", "text files to token shards"),
    "convert": ("bort_mx.commands.convert", "a checkpoint from or to Hugging Face, fairseq or bort.params"),
    "export": ("bort_mx.commands.export", "a checkpoint to ONNX"),
    "predict": ("bort_mx.commands.predict", "fill masks or classify with a checkpoint"),
    "bench": ("bort_mx.commands.bench", "benchmarks"),
    "reproduce": ("bort_mx.reproduce", "the paper's tables beside ours"),
}

Main = Callable[[List[str]], Optional[int]]


def run_command(name: str, main: Main, argv: Optional[List[str]] = None) -> int:
    """Call `main` and turn what it raises into the exit codes of every command and script.

    0 done; 2 bad options or input (InputError), with one line; 130 stopped by the user (Ctrl-C or SIGTERM); 141, as
    from a program that SIGPIPE ended, where the reader of the output has left; 1 a failure: a full disk with one line,
    anything else as a traceback, by propagating.

    Args:
        name: what stands in `bort-mx NAME: error: …`.
        main: takes the arguments, returns an exit code (None counts as 0).
        argv: the arguments; None means `sys.argv[1:]`.
    """
    StopSignals.forget()
    try:
        with terminate_as_interrupt():
            return main(sys.argv[1:] if argv is None else argv) or 0
    except InputError as error:
        _complain(name, "error", " ".join(str(error).split()))
        return 2
    except RunError as error:
        _complain(name, "failed", " ".join(str(error).split()))
        return 1
    except KeyboardInterrupt as stop:
        _complain(name, "stopped", str(stop) or "by the user")
        return 128 + signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still held back goes nowhere
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _complain(name, "failed", f"{error.strerror}" + (f": {error.filename}" if error.filename else ""))
        return 1
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


def available_commands() -> Dict[str, Tuple[str, str]]:
    """The commands whose modules are in this installation."""
    return {name: entry for name, entry in COMMANDS.items() if _exists(entry[0])}


def _exists(module: str) -> bool:
    """Whether a module is there, without importing the packages above it as importlib.util.find_spec does."""
    names, path = module.split("."), None
    for depth in range(len(names)):
        spec = importlib.machinery.PathFinder.find_spec(".".join(names[:depth + 1]), path)
        if spec is None:
            return False
        path = spec.submodule_search_locations
    return True


def _find(name: str) -> Main:
    """The command's `main`, or one that says which commands there are."""
    commands = available_commands()

    def unknown(argv: List[str]) -> int:
        raise InputError(f"no such command; there are {', '.join(commands)}")

    return importlib.import_module(commands[name][0]).main if name in commands else unknown


def _usage() -> str:
    lines = [f"  {name:<10} {text}" for name, (_, text) in available_commands().items()]
    return "\n".join(["usage: bort-mx <command> [options]; bort-mx <command> --help tells its options", *lines])


def _print_version(argv: List[str]) -> int:
    import bort_mx

    print(f"bort_mx {bort_mx.__version__}")
    return 0


def _complain(name: str, kind: str, text: str) -> None:
    sys.stdout.flush()
    print(f"bort-mx {name}: {kind}: {text}", file=sys.stderr, flush=True)

"""Every reader on thousands of damaged inputs: `python tests/fuzzing/fuzz.py --rounds 100 --seed 0 [--only NAME]`.

Each outcome must be success or an InputError: no other exception, no more than 10 s, no more memory than a bound. The
last line printed is a JSON object: inputs, outcomes, and each failure with its reader and seed. `--seed S --only NAME
--first I --rounds 1` does one input again.
"""

import argparse
import collections
import faulthandler
import json
import logging
import pathlib
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings

from mutations import damaged
from readers import READERS, vouch

from bort_mx.errors import InputError

SECONDS, WAIT, MEMORY = 10, 600, 1500 << 20
"""The most that one input may take: seconds of the processor, seconds by the clock (other programs may run beside), and
bytes beyond what the program has when all is loaded."""


class TooLong(BaseException):
    """Raised by the timer, so that no `except Exception` takes it."""


def _ring(signum, frame):
    raise TooLong


def limit_memory() -> None:
    """Let an allocation beyond the bound fail with a MemoryError."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def outcome_of(read, folder: pathlib.Path) -> str:
    """"read", "refused", or what went wrong."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        read(folder)
        return "read"
    except InputError as error:
        text = str(error)
        return "refused" if text.strip() and "\n" not in text.strip() else f"not one line: {text[:200]!r}"
    except TooLong:
        return "longer than 10 s"
    except BaseException as error:  # noqa: BLE001 - also MemoryError and SystemExit
        where = traceback.extract_tb(error.__traceback__)
        ours = next((f"{frame.filename.rpartition('bort_mx/')[2]}:{frame.lineno}" for frame in reversed(where)
                     if "bort_mx" in frame.filename), "")
        return f"{type(error).__name__} at {ours}: {str(error)[:150]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def fuzz(name: str, rounds: int, seed: int, first: int, scratch: pathlib.Path) -> collections.Counter:
    """Rounds of one reader; returns how often each outcome came, failures with their first round."""
    make, read = READERS[name]
    whole = scratch / "whole"
    whole.mkdir()
    make(whole)
    found = outcome_of(read, shutil.copytree(whole, scratch / "first"))
    assert found == "read", f"{name}: the valid input: {found}"
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file()
                   and "tensorboard" not in path.parts and path.name != ".lock")
    outcomes, shown = collections.Counter(), {}
    for number in range(first, first + rounds):
        rng = random.Random(f"{name} {seed} {number}")
        folder = shutil.copytree(whole, scratch / "damaged")
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            path = folder / rng.choice(files)
            path.write_bytes(damaged(path.read_bytes(), path.name, rng))
        if rng.random() < 0.7:
            vouch(folder)
        print(f"{name} {number}", file=sys.stderr, flush=True)  # a crash of a library ends here
        faulthandler.dump_traceback_later(WAIT, exit=True)
        found = outcome_of(read, folder)
        if found not in ("read", "refused"):
            print(f"  {found}", file=sys.stderr, flush=True)
        outcomes[found] += 1
        shown.setdefault(found, number)
        shutil.rmtree(folder)
    faulthandler.cancel_dump_traceback_later()
    return collections.Counter({found if found in ("read", "refused") else f"{name} #{shown[found]}: {found}": count
                                for found, count in outcomes.items()})


def main() -> None:
    """Run, and print the summary."""
    parser = argparse.ArgumentParser()
    for option, value in (("--rounds", 30), ("--seed", 0), ("--first", 0)):
        parser.add_argument(option, type=int, default=value)
    parser.add_argument("--only", action="append")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    signal.signal(signal.SIGPROF, _ring)
    total, seconds = collections.Counter(), {}
    limited = False
    for name in options.only or READERS:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as scratch:
            if not limited:
                make_all_ready()
                limit_memory()
                limited = True
            total += fuzz(name, options.rounds, options.seed, options.first, pathlib.Path(scratch))
        seconds[name] = round(time.perf_counter() - start, 1)
    failures = {found: count for found, count in total.items() if found not in ("read", "refused")}
    print(json.dumps({"inputs": sum(total.values()), "read": total["read"], "refused": total["refused"],
                      "failures": failures, "seconds": seconds}))


def make_all_ready() -> None:
    """Import what the readers import late, before memory is limited."""
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401
    import torch  # noqa: F401


if __name__ == "__main__":
    main()

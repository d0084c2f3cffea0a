"""What is compared, each in a process of its own, asked in turn; a process that dies is reported at once.

    with SideBySide({"ours": (make_ours, arguments), "theirs": (make_theirs, arguments)}) as sides:
        print(sides.missing)                 # name → why a peer cannot be run here
        seconds = sides.rounds("8x128", 7)   # name → seconds of each round

A maker is a function of a module, called in the new process; what it returns takes a case and does the work of one
round. It raises `ImportError` or `Missing` if its library or the machine lacks something.
"""

import contextlib
import math
import multiprocessing
import multiprocessing.connection
import pathlib
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import numpy as np

Work = Callable[[Any], Any]
"""Does the work of one round for a case, e.g. a forward pass of "16x128"; returns when it is done. What it returns is
not looked at here."""
Maker = Callable[..., Work]
READY, MISSING, SECONDS = "ready", "missing", "seconds"


class Missing(Exception):
    """A peer cannot be run on this machine; the message says what is missing."""


class Died(RuntimeError):
    """The process of a peer has ended before it answered."""


def serve(connection: multiprocessing.connection.Connection, maker: Maker, arguments: Tuple) -> None:
    """What runs in a process of its own: make the worker, then answer each case with its seconds."""
    try:
        work = maker(*arguments)
    except (ImportError, Missing) as reason:
        connection.send((MISSING, " ".join(str(reason).split())))
        return
    connection.send((READY, None))
    while True:
        case = connection.recv()
        if case is None:
            return
        start = time.perf_counter()
        work(case)
        connection.send((SECONDS, time.perf_counter() - start))


class Side:
    """One process and the pipe to it."""

    def __init__(self, name: str, maker: Maker, arguments: Tuple):
        context = multiprocessing.get_context("spawn")
        self.name = name
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, maker, arguments), daemon=True)
        self.process.start()
        theirs.close()  # so that the pipe ends with the process

    def answer(self) -> Tuple[str, Any]:
        """The next answer.

        Raises:
            Died: the process has ended instead.
        """
        ready = multiprocessing.connection.wait([self._pipe, self.process.sentinel])
        if self._pipe in ready:
            with contextlib.suppress(EOFError, ConnectionResetError):
                return self._pipe.recv()
        self.process.join()
        raise Died(f"{self.name}: its process ended with exit code {self.process.exitcode} before it answered")

    def ask(self, case: Any) -> float:
        """Seconds of one round.

        Raises:
            Died: the process has ended.
        """
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # `answer` says how it ended
            self._pipe.send(case)
        return self.answer()[1]

    def peak_mb(self) -> Optional[int]:
        """The most memory that the process has had resident, in MB; None where the kernel does not say (Linux does)."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status")
        lines = status.read_text().splitlines() if status.is_file() else []
        return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), None)

    def stop(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._pipe.send(None)
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self._pipe.close()


class SideBySide:
    """Several processes that take turns.

    Args:
        makers: name → the function that makes its worker, and that function's arguments.
    """

    def __init__(self, makers: Mapping[str, Tuple[Maker, Tuple]]):
        self._makers = makers
        self.sides: Dict[str, Side] = {}
        self.missing: Dict[str, str] = {}
        """Name of what cannot be run → what is missing, or how its process ended."""

    def __enter__(self) -> "SideBySide":
        for name, (maker, arguments) in self._makers.items():
            side = Side(name, maker, arguments)  # one after another: each may need much memory while it is made
            try:
                kind, reason = side.answer()
            except Died as error:
                kind, reason = MISSING, str(error)
            if kind == READY:
                self.sides[name] = side
            else:
                side.stop()
                self.missing[name] = reason
        return self

    def __exit__(self, *exception: Any) -> None:
        for side in self.sides.values():
            side.stop()

    def rounds(self, case: Any, count: int, warm_up: int = 1, budget: float = math.inf,
               least: int = 1) -> Dict[str, List[float]]:
        """Seconds of each side: `count` rounds in turn, after `warm_up` that are not counted.

        A side whose process dies is left out from then on; `missing` says how it ended.

        Args:
            case: what is asked of every side.
            count: the most rounds.
            warm_up: rounds before them.
            budget: seconds that all counted rounds may take together. `least` rounds are run in any case, and no
                further one that would not end in time.
            least: see budget.
        """
        found: Dict[str, List[float]] = {}
        begin = time.perf_counter()
        for number in range(-warm_up, count):
            if number == 0:
                begin = time.perf_counter()
            spent = time.perf_counter() - begin
            if number >= least and spent * (number + 1) / number > budget:
                break
            for name in list(self.sides):
                seconds = self._ask(name, case)
                if seconds is not None and number >= 0:
                    found.setdefault(name, []).append(seconds)
        return {name: values for name, values in found.items() if name in self.sides}

    def peaks_mb(self) -> Dict[str, Optional[int]]:
        """Peak memory of each side so far."""
        return {name: side.peak_mb() for name, side in self.sides.items()}

    def _ask(self, name: str, case: Any) -> Optional[float]:
        try:
            return self.sides[name].ask(case)
        except Died as error:
            self.missing[name] = str(error)
            self.sides.pop(name).stop()
            return None


def spread(values: List[float], scale: float = 1.0) -> Dict[str, float]:
    """Median and quartiles, times a scale."""
    low, median, high = (float(f"{scale * value:.4g}") for value in np.percentile(values, [25, 50, 75]))
    return {"median": median, "quartiles": [low, high], "rounds": len(values)}

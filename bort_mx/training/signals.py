"""Ctrl-C and SIGTERM ask a loop to finish its step and write a checkpoint."""

import contextlib
import os
import signal
import threading
from typing import Iterator

from bort_mx.runtime import is_first_process


class StopRequested(KeyboardInterrupt):
    """The user stopped the run, and a checkpoint was written: exit code 130."""


@contextlib.contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """A context in which SIGTERM raises KeyboardInterrupt, as Ctrl-C does; outside the main thread it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


class StopSignals:
    """A context in which SIGINT and SIGTERM set `asked` instead of ending the program; a second SIGINT ends it.

    If nobody has acted on it when the context ends, because the loop was at its end, or failed and its caller goes on,
    the next one in the main thread is asked from the start.
    """

    _left_over = False

    def __init__(self):
        self.asked = False
        self._previous = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            self.asked = StopSignals._left_over
            self.forget()
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *exception) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if self.asked:
            StopSignals._left_over = not isinstance(exception[1], KeyboardInterrupt)

    @classmethod
    def forget(cls) -> None:
        """Nothing was asked of what comes next."""
        cls._left_over = False

    def _ask(self, number, frame) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.asked and is_first_process():
            # Not by print: the signal may have come in the middle of one, whose buffer takes no second writer.
            os.write(1, b"\nstopping: a checkpoint is written first (Ctrl-C again stops without one)\n")
        self.asked = True

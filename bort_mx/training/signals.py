"""Ctrl-C and SIGTERM ask a loop to finish its step and write a checkpoint."""

import contextlib
import signal
import threading
from typing import Iterator


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

    Asked of a loop that has come to its end by then, and so did not act on it, the next one finds itself asked.
    """

    _left_over = False

    def __init__(self):
        self.asked = False
        self._previous = {}

    def __enter__(self) -> "StopSignals":
        self.asked, StopSignals._left_over = StopSignals._left_over, False
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *exception) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        StopSignals._left_over = self.asked and exception[0] is None

    def _ask(self, number, frame) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True

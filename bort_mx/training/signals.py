"""On Ctrl-C or SIGTERM, a training loop finishes its micro-batch, writes a checkpoint and stops."""

import contextlib
import os
import signal
import threading
from typing import Iterator

from bort_mx.runtime import is_first_process


class StopRequested(KeyboardInterrupt):
    """The user stopped the run after a checkpoint was written. The exit code is 130."""


@contextlib.contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """In this block SIGTERM raises KeyboardInterrupt, as Ctrl-C does. Outside the main thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


class StopSignals:
    """In this block SIGINT and SIGTERM set `asked` instead of ending the program. A second SIGINT ends it.

    The loop may leave the block without acting on the signal: it was in its last step, or it failed and its caller
    continues. Then the next `StopSignals` of the main thread starts with `asked` set.
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
            # A KeyboardInterrupt (StopRequested is one) means that the signal has been acted on.
            StopSignals._left_over = not isinstance(exception[1], KeyboardInterrupt)

    @classmethod
    def forget(cls) -> None:
        """Discard a signal that no loop has acted on."""
        cls._left_over = False

    def _ask(self, number, frame) -> None:
        if self.asked and number == signal.SIGINT:  # the second Ctrl-C
            raise KeyboardInterrupt
        if not self.asked and is_first_process():
            # Not print: the signal may have interrupted a print, and its buffer accepts no second writer.
            os.write(1, b"\nstopping: a checkpoint is written first (Ctrl-C again stops without one)\n")
        self.asked = True

"""A limit of the time for one page, in any thread: some pages take a parser minutes."""

import contextlib
import ctypes
import threading
from typing import Iterator


class TooSlow(BaseException):
    """The time is up. Not an Exception, as parsers swallow these."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TooSlow in this thread when so many seconds have passed in the block.

    It comes between two steps of Python's own code, so a single call into a C library ends first. A signal would need
    the main thread, and workers of Dask run tasks in others.
    """
    thread, lock, over = threading.get_ident(), threading.Lock(), False

    def interrupt() -> None:
        """The timer's: raise TooSlow in the thread, unless the block has ended."""
        with lock:
            if not over:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(TooSlow))

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            over = True
        timer.cancel()

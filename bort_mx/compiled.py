"""Loops in C, compiled for this processor when they are first used. Each has a slower form in MXNet's operators."""

import concurrent.futures
import ctypes
import functools
import logging
import os
import pathlib
import shutil
import subprocess
import tempfile
from typing import Callable, Optional

import mxnet as mx
import numpy as np

from bort_mx import runtime

# Without contraction every processor rounds alike, however many numbers it takes at once.
FLAGS = ["-O3", "-march=native", "-fno-math-errno", "-ffp-contract=off", "-shared", "-fPIC"]
logger = logging.getLogger(__name__)


def library(source: pathlib.Path, what: str, otherwise: str) -> Optional[ctypes.CDLL]:
    """Compile a C file and load it; None where that fails, with a warning.

    Args:
        source: the file; it needs nothing but the C library.
        what: the messages' name for it.
        otherwise: for the messages: what is done without it, and what that costs.
    """
    compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if compiler is None:
        logger.warning("no C compiler (cc): %s", otherwise)
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, source.stem + ".so")
        try:
            subprocess.run([*compiler.split(), *FLAGS, str(source), "-o", path, "-lm"], check=True, capture_output=True,
                           timeout=60)
            return ctypes.CDLL(path)  # stays loaded when the file is gone
        except (OSError, subprocess.SubprocessError) as error:
            logger.warning("%s did not compile %s (%s): %s", compiler, what, " ".join(str(error).split()), otherwise)
            return None


def fits(*arrays: mx.nd.NDArray) -> bool:
    """Whether a compiled loop can work on these arrays."""
    return all(array.context.device_type == "cpu" and array.dtype == np.float32 and array.stype == "default"
               for array in arrays)


def address(array: mx.nd.NDArray) -> int:
    """Where an array's numbers begin, once MXNet's threads neither write nor read them any more."""
    mx.base.check_call(mx.base._LIB.MXNDArrayWaitToWrite(array.handle))
    pointer = ctypes.c_void_p()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(array.handle, ctypes.byref(pointer)))
    return pointer.value or 0


def in_parts(run: Callable[[int, int], None], size: int, least: int) -> None:
    """Call run(begin, end) for parts of 0 to `size` that cover it, a thread each; one part if there are fewer than
    `least`. ctypes lets other threads run during a call."""
    threads = 1 if size < least else runtime.set_threads()
    part = -(-size // threads)
    begins = range(0, size, part) if size else range(0)
    if len(begins) > 1:
        list(_pool(threads).map(lambda begin: run(begin, min(begin + part, size)), begins))
    elif begins:
        run(0, size)


@functools.cache
def _pool(threads: int) -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="compiled")

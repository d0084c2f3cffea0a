"""AdamW's update compiled for this processor, when a training begins. Without a C compiler MXNet's operator does it.

MXNet's operators for AdamW compute one number at a time: 5 to 10 ns a weight, a seventh of a training step of Bort. The
compiled loop takes 1.2 ns, as much as memory allows.
"""

import concurrent.futures
import ctypes
import functools
import logging
import os
import pathlib
import shutil
import subprocess
import tempfile
from typing import Callable, List, Optional, Sequence

import mxnet as mx
import numpy as np

from bort_mx import runtime

SOURCE = pathlib.Path(__file__).with_name("adamw.c")
# Without contraction every processor rounds alike, however many numbers it takes at once.
FLAGS = ["-O3", "-march=native", "-fno-math-errno", "-ffp-contract=off", "-shared", "-fPIC"]
SMALL = 1 << 16
"""Weights of a tensor that one thread updates; of a larger one, each thread takes a part."""
SLOWER = "MXNet's operator updates the weights; a step takes up to a tenth longer"
Update = Callable[..., None]
logger = logging.getLogger(__name__)


@functools.cache
def adamw() -> Optional[Update]:
    """The compiled update, see `adamw_update`; None where it cannot be compiled, which is warned of once."""
    compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if compiler is None:
        logger.warning("no C compiler (cc): %s", SLOWER)
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = os.path.join(folder, "adamw.so")
        try:
            subprocess.run([*compiler.split(), *FLAGS, str(SOURCE), "-o", library, "-lm"], check=True,
                           capture_output=True, timeout=60)
            loaded = ctypes.CDLL(library)  # stays loaded when the file is gone
        except (OSError, subprocess.SubprocessError) as error:
            logger.warning("%s did not compile AdamW (%s): %s", compiler, " ".join(str(error).split()), SLOWER)
            return None
    loaded.adamw.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_size_t] + [ctypes.c_float] * 7
    loaded.adamw.restype = None
    return functools.partial(adamw_update, loaded.adamw)


def adamw_update(function: Callable, arrays: Sequence[mx.nd.NDArray], numbers: Sequence[float]) -> None:
    """Update a tensor's weights and its two means in place.

    Args:
        function: adamw of adamw.c.
        arrays: weight, gradient, mean and variance: float32, dense, on the CPU.
        numbers: scale, beta1, beta2, factor, epsilon, rate and decay.
    """
    # MXNet's threads may still compute the gradient, or read the weights.
    for array in arrays:
        mx.base.check_call(mx.base._LIB.MXNDArrayWaitToWrite(array.handle))
    starts, size = [_address(array) for array in arrays], arrays[0].size
    threads = 1 if size < SMALL else runtime.set_threads()
    part = -(-size // threads)
    width = np.dtype(np.float32).itemsize

    def run(begin: int) -> None:
        """One part. ctypes lets other threads run meanwhile."""
        function(*(start + begin * width for start in starts), min(part, size - begin), *numbers)

    begins: List[int] = list(range(0, size, part))
    if len(begins) > 1:
        list(_pool(threads).map(run, begins))
    elif begins:
        run(0)


def fits(*arrays: mx.nd.NDArray) -> bool:
    """Whether the compiled update can work on these arrays."""
    return all(array.context.device_type == "cpu" and array.dtype == np.float32 and array.stype == "default"
               for array in arrays)


def _address(array: mx.nd.NDArray) -> int:
    pointer = ctypes.c_void_p()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(array.handle, ctypes.byref(pointer)))
    return pointer.value or 0


@functools.cache
def _pool(threads: int) -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="adamw")

"""AdamW's update compiled for this processor, when a training begins. Without a C compiler MXNet's operator does it.

MXNet's operators for AdamW compute one number at a time: 5 to 10 ns a weight, a seventh of a training step of Bort. The
compiled loop takes 1.2 ns, as much as memory allows.
"""

import ctypes
import functools
import pathlib
from typing import Callable, Optional, Sequence

import mxnet as mx
import numpy as np

from bort_mx import compiled

SOURCE = pathlib.Path(__file__).with_name("adamw.c")
SMALL = 1 << 16
"""Weights of a tensor that one thread updates; of a larger one, each thread takes a part."""
SLOWER = "MXNet's operator updates the weights; a step takes up to a tenth longer"
Update = Callable[..., None]


@functools.cache
def adamw() -> Optional[Update]:
    """The compiled update, see `adamw_update`; None where it cannot be compiled, which is warned of once."""
    loaded = compiled.library(SOURCE, "AdamW", SLOWER)
    if loaded is None:
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
    starts, width = [compiled.address(array) for array in arrays], np.dtype(np.float32).itemsize

    def run(begin: int, end: int) -> None:
        function(*(start + begin * width for start in starts), end - begin, *numbers)

    compiled.in_parts(run, arrays[0].size, SMALL)

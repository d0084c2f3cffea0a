"""The relation loss compiled for this processor. Without a C compiler MXNet's operators compute it.

They write and read some twenty arrays of a number for each pair of tokens and relation head. The compiled loop keeps
one head's in the processor's cache, and leaves the gradient with the loss.
"""

import ctypes
import functools
import pathlib
from typing import Callable, Optional, Tuple

import mxnet as mx

from bort_mx import compiled

SOURCE = pathlib.Path(__file__).with_name("relations.c")
SLOWER = "MXNet's operators compute the relation loss; a step takes up to a quarter longer"
FEW = 8
"""Heads that one thread computes alone."""


@functools.cache
def relations() -> Optional[Callable]:
    """relations of relations.c; None where it cannot be compiled, which is warned of once."""
    loaded = compiled.library(SOURCE, "the relation loss", SLOWER)
    if loaded is None:
        return None
    loaded.relations.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_size_t] * 7 + [ctypes.c_void_p] * 2
    loaded.relations.restype = ctypes.c_int
    return loaded.relations


def loss_and_gradient(function: Callable, student: mx.nd.NDArray, teacher: mx.nd.NDArray, lengths: mx.nd.NDArray,
                      heads: int) -> Tuple[mx.nd.NDArray, mx.nd.NDArray]:
    """The loss of each head, and its gradient by the student's projections.

    Args:
        function: of `relations`.
        student: queries, keys and values side by side, (s, B, 3H) float32; teacher: the same, of its width.
        lengths: (B,) float32, 1 to s.
        heads: R, relation heads of queries, keys and values together (3R).
    Returns:
        (B, R), (s, B, 3H); the gradient of a head's loss stands in that head's columns.

    Raises:
        MemoryError: there is no memory for a head.
    """
    length, rows, width = student.shape
    losses, gradient = (mx.nd.zeros(shape, ctx=student.context) for shape in ((rows, heads), student.shape))
    places = [compiled.address(array) for array in (student, teacher, lengths)]
    results = [compiled.address(array) for array in (losses, gradient)]

    def run(begin: int, end: int) -> None:
        if function(*places, length, rows, heads, width // heads, teacher.shape[2] // heads, begin, end, *results):
            raise MemoryError(f"no memory for the relations of {length} tokens")

    compiled.in_parts(run, rows * heads, FEW)
    return losses, gradient

"""The workers of a run. Under `horovodrun` they are Horovod's; otherwise this process works alone, without Horovod.

All collectives compute sums. The caller divides where it needs an average.
"""

import contextlib
import os
from typing import Any, Iterator, List, Optional, Sequence

import numpy as np

from bort_mx.errors import InputError


class Workers:
    """One process alone: the size is 1 and every collective returns its input."""

    rank = 0
    size = 1
    local_rank = 0

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0. Only rank 0 writes files."""
        return self.rank == 0

    def sum_(self, arrays: Sequence[Any], name: str) -> None:
        """Replace each MXNet array by its sum over all workers."""

    def sum_numpy(self, values: np.ndarray, name: str) -> np.ndarray:
        """Sum a float64 vector over all workers (internally as two float32 parts)."""
        return np.asarray(values, np.float64)

    def broadcast_(self, arrays: Sequence[Any], name: str) -> None:
        """Replace each MXNet array by rank 0's array."""

    def gather(self, value: Any, name: str) -> List[Any]:
        """Collect one JSON-serialisable value from every worker, in rank order."""
        return [value]

    def say(self, *lines: str) -> None:
        """Print lines on rank 0 only; empty lines are skipped."""
        for line in lines if self.is_first else ():
            if line:
                print(line, flush=True)

    @contextlib.contextmanager
    def agreeing(self, name: str) -> Iterator[None]:
        """If any worker raises InputError in this block, all workers raise it.

        Often only one worker sees the bad input: for example, only rank 0 hashes the data. With this block all workers
        stop with the same message; without it the others would fail at their next collective. The block must not
        contain a collective.
        """
        failure = ""
        try:
            yield
        except InputError as error:
            failure = str(error)
        failures = [text for text in self.gather(failure, name) if text]
        if failures:
            raise InputError(failure or failures[0]) from None

    def share(self, global_batch: int, what: str = "batch size") -> int:
        """This worker's share of a global batch.

        Raises:
            InputError: the batch is not divisible by the number of workers.
        """
        if global_batch % self.size:
            raise InputError(f"{what} {global_batch} is not divisible by the {self.size} workers; choose a multiple of "
                             f"{self.size}")
        return global_batch // self.size

    def micro_batch(self, global_batch: int, micro: Optional[int]) -> int:
        """Number of sequences or examples in one forward pass of this worker; `micro` None means its whole share.

        Raises:
            InputError: the batch is not divisible by the workers, or a worker's share not by the micro-batch.
        """
        share = self.share(global_batch, "--batch-size")
        if micro and share % micro:
            raise InputError(f"--batch-size {global_batch}: a worker's share of {share} is not divisible by "
                             f"--micro-batch-size {micro}")
        return micro or share


class HorovodWorkers(Workers):
    """The processes started by horovodrun (over Gloo or NCCL)."""

    def __init__(self):
        import horovod.mxnet as hvd

        hvd.init()
        self._hvd = hvd
        self.rank, self.size, self.local_rank = hvd.rank(), hvd.size(), hvd.local_rank()

    def sum_(self, arrays: Sequence[Any], name: str) -> None:
        """See `Workers`."""
        # One grouped call: otherwise the order of summation would depend on which gradient is ready first.
        self._hvd.grouped_allreduce_(list(arrays), average=False, name=name)

    def sum_numpy(self, values: np.ndarray, name: str) -> np.ndarray:
        """See `Workers`."""
        import mxnet as mx

        # Gloo sums float32 here. Splitting each value into a high and a low part keeps float64's precision.
        high = np.asarray(values, np.float64).astype(np.float32)
        low = (np.asarray(values, np.float64) - high).astype(np.float32)
        parts = mx.nd.array(np.stack([high, np.where(np.isfinite(low), low, 0)]))  # inf − inf is NaN: drop it
        self._hvd.allreduce_(parts, average=False, name=name)
        return parts.asnumpy().astype(np.float64).sum(axis=0)

    def broadcast_(self, arrays: Sequence[Any], name: str) -> None:
        """See `Workers`."""
        for i, array in enumerate(arrays):
            self._hvd.broadcast_(array, root_rank=0, name=f"{name}.{i}")
        for array in arrays:
            array.wait_to_read()  # Horovod works on the arrays' addresses, so they must live until it is done

    def gather(self, value: Any, name: str) -> List[Any]:
        """See `Workers`."""
        return self._hvd.allgather_object(value, name=name)


def connect() -> Workers:
    """The workers of this run: Horovod's if horovodrun started this process, otherwise this process alone.

    Raises:
        InputError: horovodrun started this process, but Horovod's MXNet part is not installed.
    """
    if int(os.environ.get("HOROVOD_SIZE", "1")) == 1:
        return Workers()
    try:
        return HorovodWorkers()
    except ImportError as error:
        raise InputError(f"started by horovodrun, but Horovod for MXNet cannot be imported ({error}); "
                         "run `make install` with a C++ compiler and cmake, or start one process") from None

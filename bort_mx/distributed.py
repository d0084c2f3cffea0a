"""The workers of a run: Horovod's under `horovodrun`, or this process alone, which needs no Horovod.

All collectives sum; the caller divides by what is averaged over.
"""

import contextlib
import os
from typing import Any, Iterator, List, Optional, Sequence

import numpy as np

from bort_mx.errors import InputError


class Workers:
    """This process alone: size 1, collectives are the identity."""

    rank = 0
    size = 1
    local_rank = 0

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, the only one that writes."""
        return self.rank == 0

    def sum_(self, arrays: Sequence[Any], name: str) -> None:
        """Replace each MXNet array by its sum over the workers."""

    def sum_numpy(self, values: np.ndarray, name: str) -> np.ndarray:
        """Sum of a float64 vector over the workers (each worker's float32 parts are summed)."""
        return np.asarray(values, np.float64)

    def broadcast_(self, arrays: Sequence[Any], name: str) -> None:
        """Replace each MXNet array by rank 0's."""

    def gather(self, value: Any, name: str) -> List[Any]:
        """Every worker's JSON-able value, in the order of ranks."""
        return [value]

    def say(self, *lines: str) -> None:
        """Print lines on rank 0 alone; empty ones are left out."""
        for line in lines if self.is_first else ():
            if line:
                print(line, flush=True)

    @contextlib.contextmanager
    def agreeing(self, name: str) -> Iterator[None]:
        """If any worker raises InputError in this block, all workers raise it.

        Bad input that only one of them sees (rank 0 alone hashes the data) then ends all with that one line, where the
        others would fail at their next collective. There must be no collective inside.
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
        """This worker's part of a global batch.

        Raises:
            InputError: not divisible by the number of workers.
        """
        if global_batch % self.size:
            raise InputError(f"{what} {global_batch} is not divisible by the {self.size} workers; choose a multiple of "
                             f"{self.size}")
        return global_batch // self.size

    def micro_batch(self, global_batch: int, micro: Optional[int]) -> int:
        """Sequences or examples in one forward pass of this worker; `micro` None: its whole share.

        Raises:
            InputError: the batch cannot be divided over the workers, or a worker's share into micro-batches.
        """
        share = self.share(global_batch, "--batch-size")
        if micro and share % micro:
            raise InputError(f"--batch-size {global_batch}: a worker's share of {share} is not divisible by "
                             f"--micro-batch-size {micro}")
        return micro or share


class HorovodWorkers(Workers):
    """The processes that horovodrun started (Gloo or NCCL)."""

    def __init__(self):
        import horovod.mxnet as hvd

        hvd.init()
        self._hvd = hvd
        self.rank, self.size, self.local_rank = hvd.rank(), hvd.size(), hvd.local_rank()

    def sum_(self, arrays: Sequence[Any], name: str) -> None:
        """As `Workers`'."""
        # Grouped, so that the order of summation does not hang on which gradient is ready first.
        self._hvd.grouped_allreduce_(list(arrays), average=False, name=name)

    def sum_numpy(self, values: np.ndarray, name: str) -> np.ndarray:
        """As `Workers`'."""
        import mxnet as mx

        # float32 is what Gloo sums here: a high and a low part keep float64's precision.
        high = np.asarray(values, np.float64).astype(np.float32)
        low = (np.asarray(values, np.float64) - high).astype(np.float32)
        parts = mx.nd.array(np.stack([high, np.where(np.isfinite(low), low, 0)]))
        self._hvd.allreduce_(parts, average=False, name=name)
        return parts.asnumpy().astype(np.float64).sum(axis=0)

    def broadcast_(self, arrays: Sequence[Any], name: str) -> None:
        """As `Workers`'."""
        for i, array in enumerate(arrays):
            self._hvd.broadcast_(array, root_rank=0, name=f"{name}.{i}")
        for array in arrays:
            array.wait_to_read()  # the engine works on the arrays' addresses: they must live until it is done

    def gather(self, value: Any, name: str) -> List[Any]:
        """As `Workers`'."""
        return self._hvd.allgather_object(value, name=name)


def connect() -> Workers:
    """The workers of this run: Horovod's if horovodrun started this process, else this process alone.

    Raises:
        InputError: started by horovodrun without Horovod's MXNet part installed.
    """
    if int(os.environ.get("HOROVOD_SIZE", "1")) == 1:
        return Workers()
    try:
        return HorovodWorkers()
    except ImportError as error:
        raise InputError(f"started by horovodrun, but Horovod for MXNet cannot be imported ({error}); "
                         "run `make install` with a C++ compiler and cmake, or start one process") from None

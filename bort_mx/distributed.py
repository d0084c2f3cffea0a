"""The workers of a run. Under `horovodrun` they are Horovod's; otherwise this process works alone, without Horovod.

All collectives compute sums. The caller divides where it needs an average.
"""

import contextlib
import dataclasses
import json
import os
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

import numpy as np

from bort_mx.errors import InputError

CYCLE = "20"
"""Milliseconds. With Horovod's own 1 its thread takes up to a fifth of the core that the worker computes on."""

NAMED, SHOWN = 3, 40
"""How many differences between workers one message names, and how many characters of a value it shows."""


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

    def wait(self, name: str) -> None:
        """Wait until all workers are here."""
        self.gather(None, name)

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

    def agree(self, values: Mapping[str, Any], name: str) -> None:
        """End the run on all workers if a value is not the same on every worker. It waits for all workers.

        Workers that differ in their data, seed, length or number of steps would train together without an error, or
        wait for each other for ever.

        Args:
            values: what must be equal, by the name that the user knows, for example "--seed". JSON values, or any
                objects that print as what they are.
            name: the name of this collective.
        Raises:
            InputError: raised on all workers. It names what differs, and the values with their workers.
        """
        mine = {key: json.dumps(value, sort_keys=True, default=str) for key, value in values.items()}
        everyone: List[Dict[str, str]] = self.gather(mine, name)
        keys = dict.fromkeys(key for found in everyone for key in found)
        differing = [key for key in keys if len({found.get(key) for found in everyone}) > 1]
        if not differing:
            return
        said = "; ".join(_difference(key, everyone) for key in differing[:NAMED])
        more = f"; and {len(differing) - NAMED} more" if len(differing) > NAMED else ""
        raise InputError(f"the workers differ in {said}{more}. Start all of them by the same command, with the same "
                         "files")

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


def _difference(key: str, everyone: Sequence[Mapping[str, str]]) -> str:
    """A value that differs between workers, in words: "--seed: 0 (worker 0, 2), 1 (worker 1)"."""
    ranks: Dict[str, List[str]] = {}
    for rank, found in enumerate(everyone):
        value = found.get(key, "nothing")
        short = value if len(value) <= SHOWN else value[:SHOWN] + "…"
        ranks.setdefault(short if short not in ranks or value == short else value, []).append(str(rank))
    return f"{key}: " + ", ".join(f"{value} (worker {', '.join(who)})" for value, who in ranks.items())


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


def _pace(device: str) -> None:
    """On a CPU have Horovod look for work every `CYCLE` ms, unless the user has said how often; before it starts."""
    import mxnet as mx

    if device == "cpu" or device == "auto" and not mx.context.num_gpus():
        os.environ.setdefault("HOROVOD_CYCLE_TIME", CYCLE)


def connect(options: Any) -> Workers:
    """The workers of this run: Horovod's if horovodrun started this process, otherwise this process alone.

    Args:
        options: the options of the run, a dataclass. All workers must have the same.
    Raises:
        InputError: horovodrun started this process, but Horovod's MXNet part is not installed; or the workers were
            started with different options.
    """
    workers = _connect(getattr(options, "device", "auto"))
    given = {"--" + name.replace("_", "-"): value for name, value in dataclasses.asdict(options).items()}
    workers.agree({"the stage": type(options).__name__, **given}, "options")
    return workers


def _connect(device: str) -> Workers:
    if int(os.environ.get("HOROVOD_SIZE", "1")) == 1:
        return Workers()
    try:
        _pace(device)
        return HorovodWorkers()
    except ImportError as error:
        raise InputError(f"started by horovodrun, but Horovod for MXNet cannot be imported ({error}); "
                         "run `make install` with a C++ compiler and cmake, or start one process") from None

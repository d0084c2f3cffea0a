"""Tasks spread over processes: this program's own, or workers of Dask. Each is done once, whoever dies on the way.

The stages know only `Workers.results`. A task is a function object and an item, both pickled; it reads and writes files
and returns some counts. So it can run in any process that sees the same files, and be done again if that process dies.
"""

import concurrent.futures
import concurrent.futures.process
import contextlib
import multiprocessing
import os
import signal
import threading
from typing import Any, Callable, Iterator, List, Sequence, Tuple

from bort_mx.errors import InputError, RunError

MOST_PROCESSES = 6  # each holds a vocabulary (about 110 MB); further cores serve as threads of these
SMALL = 4 << 20  # bytes of input up to which starting processes takes longer than the work
MOST_DEATHS = 3  # times that workers may die over one task
LOCAL = "local"

Results = Iterator[Tuple[Any, Any]]


def processes_and_threads(asked: int, size: int) -> Tuple[int, int]:
    """Number of processes, and of threads in each.

    Args:
        asked: processes; 0 decides by the cores and by `size`.
        size: bytes of text.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = asked or (1 if size < SMALL else min(cores, MOST_PROCESSES))
    return workers, max(1, -(-cores // workers))


class Workers:
    """What runs tasks, a context manager.

    Args:
        scheduler: "" for processes of this program, "local" for Dask's LocalCluster, or a Dask scheduler's address.
        workers: processes; one does the work in this process. A scheduler that runs already has its own workers.
        threads: threads of the tokenizer in each process.
    Raises:
        InputError: Dask is not installed, or no scheduler answers.
    """

    def __init__(self, scheduler: str, workers: int, threads: int = 1):
        self.number, self._threads, self._dask = workers, threads, None
        self._closing = contextlib.ExitStack()
        if scheduler:
            self._dask = self._closing.enter_context(_dask_client(scheduler, workers))

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._closing.close()

    def results(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Results:
        """Yield (item, function(item)) as they are done, in any order.

        Raises:
            RunError: workers died three times over the same task.
            Exception: what the function raised.
        """
        if self._dask is not None:
            return self._in_rounds(self._by_dask, function, items)
        if self.number == 1 or len(items) < 2:
            return ((item, function(item)) for item in items)
        return self._in_rounds(self._by_processes, function, items)

    def _in_rounds(self, one_round: Callable[..., Results], function: Callable[[Any], Any],
                   items: Sequence[Any]) -> Results:
        """A round ends where its workers are lost; the next does what is left."""
        left, deaths = list(items), 0
        while left:
            done: List[Any] = []
            try:
                with contextlib.closing(one_round(function, left)) as results:
                    for item, result in results:
                        done.append(item)
                        yield item, result
            except _Lost as error:
                deaths = 1 if done else deaths + 1
                if deaths == MOST_DEATHS:
                    raise RunError(f"{error} died {deaths} times over the same work (out of memory?); what is done is "
                                   "kept, and the same command goes on from there") from None
            left = [item for item in left if item not in done]

    def _by_processes(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Results:
        """Processes are spawned, never forked: the caller may have MXNet's threads running."""
        pool = concurrent.futures.ProcessPoolExecutor(min(self.number, len(items)),
                                                      multiprocessing.get_context("spawn"), _start_worker,
                                                      (function, self._threads))
        done = 0
        try:
            futures = {pool.submit(_work, item): item for item in items}
            for future in concurrent.futures.as_completed(futures):
                result = future.result()
                done += 1
                yield futures[future], result
        except concurrent.futures.process.BrokenProcessPool:
            raise _Lost("worker processes") from None
        finally:
            if done < len(items):  # stopped, or failed: nobody waits for the rest
                for process in list((pool._processes or {}).values()):
                    process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)

    def _by_dask(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Results:
        """Dask gives the task of a dead worker to another by itself, but not if all that hold the function die."""
        import distributed

        try:
            shared = self._dask.scatter(function, broadcast=True, hash=False)
        except OSError as error:
            raise RunError(f"Dask has no scheduler or no workers any more ({error}); what is done is kept, and the "
                           "same command goes on from there") from None
        futures = {self._dask.submit(_call, shared, item, pure=False): item for item in items}
        try:
            for future in distributed.as_completed(list(futures), loop=self._dask.loop):
                yield futures[future], future.result()
        except concurrent.futures.CancelledError:
            raise _Lost("Dask's workers") from None
        except distributed.scheduler.KilledWorker as error:
            raise RunError(f"Dask's workers died {MOST_DEATHS} times over the same work ({error.task}); what is done "
                           "is kept, and the same command goes on from there") from None
        finally:
            self._dask.cancel(list(futures))


class _Lost(Exception):
    """All workers of a round died; its text says which."""


@contextlib.contextmanager
def _dask_client(scheduler: str, workers: int) -> Iterator[Any]:
    """A client of a running scheduler, or of a cluster of processes on this machine."""
    try:
        import dask
        import distributed
    except ImportError:
        raise InputError("--scheduler: Dask is not installed; pip install 'bort-mx[corpora]'") from None
    settings = {"distributed.scheduler.allowed-failures": MOST_DEATHS, "distributed.worker.memory.terminate": False,
                "distributed.worker.daemon": False, "distributed.admin.log-format": "%(message)s",
                "logging.distributed": "error"}
    with contextlib.ExitStack() as closing, dask.config.set(settings):
        if scheduler == LOCAL:
            scheduler = closing.enter_context(distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, memory_limit=0, dashboard_address=None, host="127.0.0.1",
                silence_logs="ERROR"))
        try:
            client = closing.enter_context(distributed.Client(scheduler, timeout=30, set_as_default=False))
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError(f"--scheduler {scheduler}: no scheduler of Dask answers there ({error}); start one by "
                             "`dask scheduler`") from None
        yield client


def _call(function: Callable[[Any], Any], item: Any) -> Any:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return function(item)


_function: Callable[[Any], Any]  # of this worker process


def _start_worker(function: Callable[[Any], Any], threads: int) -> None:
    global _function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    _function = function


def _end_with_parent() -> None:
    """End this worker when its parent has ended. A parent that was killed cannot stop its workers itself."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _work(item: Any) -> Any:
    return _function(item)

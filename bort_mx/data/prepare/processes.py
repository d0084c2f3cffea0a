"""Work spread over processes, its results in order."""

import collections
import concurrent.futures
import multiprocessing
import os
import signal
import threading
from typing import Any, Callable, Iterable, Iterator, Optional, Tuple

MOST_PROCESSES = 6  # each holds a vocabulary (about 110 MB); further cores serve as threads of these
SMALL = 4 << 20  # bytes of input up to which starting processes takes longer than the work


def processes_and_threads(asked: int, size: int) -> Tuple[int, int]:
    """Number of processes, and of threads in each.

    Args:
        asked: processes; 0 decides by the cores and by `size`.
        size: bytes of text.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = asked or (1 if size < SMALL else min(cores, MOST_PROCESSES))
    return workers, max(1, -(-cores // workers))


def map_in_order(factory: Callable, arguments: tuple, items: Iterable, workers: int,
              threads: int = 1) -> Iterator[Tuple[Any, Any]]:
    """Yield (item, factory(*arguments)(item)) in the order of the items, computed by `workers` processes.

    With one worker the work is done here. Else processes are spawned, never forked: the caller may have MXNet's
    threads running. Only some items for each worker are under way at any time.
    """
    if workers == 1:
        function = factory(*arguments)
        for item in items:
            yield item, function(item)
        return
    pool = concurrent.futures.ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker,
                                                  (factory, arguments, threads))
    try:
        under_way: collections.deque = collections.deque()
        for item in items:
            under_way.append((item, pool.submit(_work, item)))
            if len(under_way) > 3 * workers:
                item, future = under_way.popleft()
                yield item, future.result()
        for item, future in under_way:
            yield item, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_function: Optional[Callable] = None  # of this worker process


def _start_worker(factory: Callable, arguments: tuple, threads: int) -> None:
    global _function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    _function = factory(*arguments)


def _end_with_parent() -> None:
    """End this worker when its parent has ended. A parent that was killed cannot stop its workers itself."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _work(item: Any) -> Any:
    return _function(item)

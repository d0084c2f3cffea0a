"""Process-wide settings that must stand before MXNet is imported."""

import os


def local_workers() -> int:
    """Number of worker processes on this host (1 unless started by horovodrun)."""
    return max(1, int(os.environ.get("HOROVOD_LOCAL_SIZE", "1")))


def is_first_process() -> bool:
    """Whether this is rank 0, told before the workers are connected."""
    return os.environ.get("HOROVOD_RANK", "0") == "0"


def physical_cores() -> int:
    """Physical cores this process may use (at least 1)."""
    import psutil

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, psutil.cpu_count(logical=False) or allowed))


def set_threads() -> int:
    """Set OMP_NUM_THREADS to this worker's share of the physical cores, unless the user has set it.

    Unset, MXNet 1.9.1 takes all logical cores in every worker and runs Bort 1.7 times slower. It reads the variable
    once, when it is imported; `bort_mx/__init__.py` therefore calls this first. A value that is no number, which OpenMP
    would ignore, counts as unset.

    Returns:
        The number of threads in force.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if not first.isdigit() or first == "0":
        first = os.environ["OMP_NUM_THREADS"] = str(max(1, physical_cores() // local_workers()))
    return int(first)


def sum_gradients_in_place() -> None:
    """Have MXNet's graphs add a second gradient of a tensor to the first where it stands, unless the user has set it.

    By default MXNet computes both and sums them. The word embedding's, from the decoder and from the tokens looked up,
    are as large as the vocabulary, and the second has a few rows only: adding them in place saves 3 % of a step.
    """
    os.environ.setdefault("MXNET_EXEC_INPLACE_GRAD_SUM_CAP", "2")

"""Process-wide settings that must be made before MXNet is imported."""

import ctypes
import os
import platform
import sys

WITHIN = "BORT_MX_WITHIN"
"""Variable of the environment that a command sets for one that it starts: that one says no next command."""


def local_workers() -> int:
    """Number of worker processes on this host (1 unless horovodrun started this process)."""
    return max(1, int(os.environ.get("HOROVOD_LOCAL_SIZE", "1")))


def is_first_process() -> bool:
    """Whether this is rank 0; can be called before the workers are connected."""
    return os.environ.get("HOROVOD_RANK", "0") == "0"


def physical_cores() -> int:
    """Number of physical cores that this process may use (at least 1)."""
    import psutil

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, psutil.cpu_count(logical=False) or allowed))


def set_threads() -> int:
    """Set OMP_NUM_THREADS to this worker's share of the physical cores, unless the user has set it.

    Without it, MXNet 1.9.1 uses all logical cores in every worker, and Bort runs 1.7 times slower. MXNet reads the
    variable only once, when it is imported; therefore `bort_mx/__init__.py` calls this function first. A value that
    is not a number counts as unset, because OpenMP would ignore it.

    Returns:
        The number of threads in use.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if not first.isdigit() or first == "0":
        first = os.environ["OMP_NUM_THREADS"] = str(max(1, physical_cores() // local_workers()))
    return int(first)


def sum_gradients_in_place() -> None:
    """Let MXNet add a tensor's second gradient to its first in place, unless the user has set this variable.

    By default MXNet computes both gradients and then sums them. The word embedding has two gradients, one from the
    decoder and one from the lookup of tokens. Both are as large as the vocabulary, but the second is non-zero in only
    a few rows. Adding it in place saves 3 % of a step's time.
    """
    os.environ.setdefault("MXNET_EXEC_INPLACE_GRAD_SUM_CAP", "2")


MALLOC_VARIABLES = ("MALLOC_ARENA_MAX", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_",
                    "GLIBC_TUNABLES", "LD_PRELOAD")
"""Variables by which a user sets the allocator; see `keep_freed_memory`."""
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # mallopt's parameters in glibc's malloc.h


def keep_freed_memory() -> bool:
    """Let this process keep memory that it frees, unless the user has set the allocator by a variable. For training.

    MXNet allocates large arrays anew in every step. By default glibc gives them back to the kernel when they are
    freed, and the kernel clears each page when it is touched again: a fifth of a small model's step. All threads have
    to share one arena, as the other arenas give memory back whatever is set. MXNet's threads choose theirs when MXNet
    is imported; called later, this has little effect.

    Returns:
        Whether it was set. It is not where the C library is not glibc.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in MALLOC_VARIABLES):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(parameter, value) == 1
               for parameter, value in ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2 ** 31 - 4096)))


def give_numpy_bool() -> None:
    """Give NumPy 1.24 and later the name `numpy.bool` again, which MXNet 1.9.1 reads when it is imported.

    Python 3.12 has no NumPy below 1.26. NumPy 2 has the name by itself, but MXNet does not run with it.
    """
    if sys.version_info >= (3, 12):  # older ones have NumPy 1.23, and NumPy is imported only where it is used
        import numpy

        numpy.bool = numpy.bool_

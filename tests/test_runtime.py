"""Settings of the process: run in processes of their own, because they cannot be undone."""

import os
import platform
import subprocess
import sys

import pytest

from bort_mx import runtime

FAULTS = """
import resource
from bort_mx import runtime
print(KEEP and runtime.keep_freed_memory())
import numpy as np
def touch():
    np.ones(8_000_000).sum()  # 64 MB; glibc may keep up to 32 by itself
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep, **environment):
    """Whether memory is kept, and the page faults of five rounds."""
    code = FAULTS.replace("KEEP", str(keep))
    own = {name: value for name, value in os.environ.items() if name not in runtime.MALLOC_VARIABLES}  # Dask sets one
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                           env={**own, "NUMPY_MADVISE_HUGEPAGE": "0", **environment}).stdout.split()
    return found[0] == "True", int(found[1])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_kept_unless_the_user_has_set_the_allocator():
    kept, few = faults(True)
    left, many = faults(False)
    assert kept and not left and few < 1000 and many > 10_000  # 64 MB are 15,625 pages
    assert not faults(True, MALLOC_ARENA_MAX="2")[0]

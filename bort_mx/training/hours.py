"""How long a run has worked, and on what: hours.json in its output directory, continued when the run is resumed."""

import json
import pathlib
import subprocess
import time
from typing import Any, Dict, Optional

from bort_mx import runtime
from bort_mx.io import files
from bort_mx.machine import cpu_name

HOURS = "hours.json"


class Hours:
    """The clock of a run.

    The time of earlier processes of the same run counts too, up to their last `save`. So does that of steps which were
    dropped because the run went back to a checkpoint: the hours were spent.

    Args:
        folder: the output directory.
        device: on which each worker works, in words.
        gpus: number of GPUs of all workers; 0 on CPUs.
        continues: whether the run is resumed, so that hours.json counts.
    """

    def __init__(self, folder: pathlib.Path, device: str, gpus: int, continues: bool):
        self._path, self._device, self._gpus = folder / HOURS, device, gpus
        self._before, self._start = _seconds_in(self._path) if continues else 0.0, time.perf_counter()

    def entries(self) -> Dict[str, Any]:
        """Device and hours until now; with GPUs also the GPU hours, hours × GPUs."""
        hours = (self._before + time.perf_counter() - self._start) / 3600
        return {"device": self._device, "hours": hours, **({"gpu_hours": hours * self._gpus} if self._gpus else {})}

    def save(self) -> None:
        """Write hours.json."""
        files.write_json(self._path, self.entries())


def _seconds_in(path: pathlib.Path) -> float:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return 3600 * float(found["hours"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return 0.0  # a run of an earlier version, or a damaged file: the clock starts anew


def device_in_words(gpu: Optional[int], workers: int) -> str:
    """What the workers work on, for example "8 x Tesla V100-SXM2-16GB" or "1 thread of Intel Xeon".

    Args:
        gpu: this worker's GPU, or None for the CPU.
        workers: number of workers.
    """
    if gpu is not None:
        return f"{workers} x {_gpu_name(gpu)}"
    threads = runtime.set_threads()
    return (f"{workers} x " if workers > 1 else "") + f"{threads} thread{'s' if threads > 1 else ''} of {cpu_name()}"


def _gpu_name(number: int) -> str:
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader", f"--id={number}"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or "GPU"
    except (OSError, subprocess.SubprocessError):
        return "GPU"

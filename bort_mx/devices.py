"""The device that a worker computes on."""

from typing import Optional

import mxnet as mx
import numpy as np
import psutil

from bort_mx import runtime
from bort_mx.distributed import Workers
from bort_mx.errors import InputError


def to_device(values: np.ndarray, ctx: mx.Context) -> mx.nd.NDArray:
    """Copy a NumPy array to a device as float32, which holds every token id and position exactly."""
    return mx.nd.array(values, ctx=ctx, dtype="float32")


def gpu_of(ctx: mx.Context) -> Optional[int]:
    """The number of a GPU; None for the CPU."""
    return ctx.device_id if ctx.device_type == "gpu" else None


def free_memory(ctx: mx.Context) -> int:
    """Bytes of memory that are free: of the GPU, or this worker's share of the machine's."""
    if ctx.device_type == "gpu":
        return int(mx.context.gpu_memory_info(ctx.device_id)[0])
    return psutil.virtual_memory().available // runtime.local_workers()


def device_of(name: str, workers: Workers, dtype: str = "float32") -> mx.Context:
    """The worker's device: its own GPU (chosen by local rank), or the CPU.

    Args:
        name: "auto", "cpu" or "gpu".
        workers: provides the local rank.
        dtype: "float16" requires a GPU.
    Raises:
        InputError: a GPU is requested but MXNet finds too few; or float16 is requested without a GPU.
    """
    found = 0 if name == "cpu" else mx.context.num_gpus()
    if name == "gpu" and found <= workers.local_rank:
        raise InputError(f"--device gpu: worker {workers.local_rank} of this host finds {found} GPUs; "
                         "see `python -m bort_mx doctor`, or take --device cpu")
    if found <= workers.local_rank and dtype == "float16":
        raise InputError("--dtype float16 needs a GPU, and MXNet sees none; take --dtype float32")
    return mx.gpu(workers.local_rank) if found > workers.local_rank else mx.cpu()

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
        raise InputError(f"--device gpu: {_why_none(found, workers.local_rank)}, or take --device cpu")
    if found <= workers.local_rank and dtype == "float16":
        raise InputError(f"--dtype float16 needs a GPU: {_why_none(found, workers.local_rank)}, or take --dtype "
                         "float32" if name != "cpu" else "--dtype float16 needs a GPU, not --device cpu; take --dtype "
                         "float32")
    return mx.gpu(workers.local_rank) if found > workers.local_rank else mx.cpu()


def _why_none(found: int, local_rank: int) -> str:
    """Why a worker has no GPU, and what helps.

    Args:
        found: GPUs that MXNet finds, at most `local_rank`.
        local_rank: the worker's number on its host.
    """
    if not mx.runtime.Features().is_enabled("CUDA"):
        return "this MXNet is built without CUDA; make install CUDA=cu112 (docs/gpu.md)"
    if not found:
        return "MXNet finds no GPU; see `python -m bort_mx doctor`"
    return (f"worker {local_rank} of this host is one too many, as MXNet finds {found} GPU{'s' if found > 1 else ''}; "
            f"start {found} here")

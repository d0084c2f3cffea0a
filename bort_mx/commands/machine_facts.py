"""The facts that `bort-mx doctor` looks at: versions, builds, processors, GPUs, disk and memory of this machine."""

import dataclasses
import importlib
import importlib.metadata
import pathlib
import platform
import shutil
import subprocess
import sys
from typing import Dict, List, Optional, Sequence, Set, Tuple

from bort_mx import runtime
from bort_mx.machine import cpu_name, instructions

GPU_WHEELS: Dict[str, Tuple[Tuple[int, int], ...]] = {
    # Compute capabilities with machine code in the wheel, read off libmxnet.so; it holds no PTX to compile for others.
    "mxnet-cu110": ((5, 0), (6, 0), (7, 0), (8, 0)),
    "mxnet-cu112": ((5, 0), (6, 0), (7, 0), (8, 0), (8, 6)),
}
MXNET_WHEELS = ("mxnet", *GPU_WHEELS)


@dataclasses.dataclass(frozen=True)
class Gpu:
    """A GPU as the driver names it; its compute capability is None if the driver is too old to tell."""

    name: str
    capability: Optional[Tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class HorovodBuild:
    """What Horovod was built with; `error` says why it is installed but cannot be loaded for MXNet."""

    version: Optional[str] = None
    gloo: bool = False
    mpi: bool = False
    nccl: bool = False
    error: str = ""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the doctor's checks look at."""

    python: Tuple[int, int]
    machine: str
    versions: Dict[str, Optional[str]]  # distribution -> installed version
    pins: Dict[str, str]  # distribution -> version that setup.py asks for
    imports: Dict[str, str]  # module -> error of its import ("" for none)
    features: Set[str]  # what MXNet was built with
    gluonnlp_compiled: bool
    threads: int
    physical_cores: int
    local_workers: int
    horovod: HorovodBuild
    gpus: Sequence[Gpu]
    mxnet_gpus: int
    free_bytes: int
    directory: str
    memory_bytes: int
    programs: Dict[str, Optional[str]]  # name -> path
    cpu: str = ""  # the processor's name
    cpu_features: Sequence[str] = ()  # of `bort_mx.machine.INSTRUCTIONS`


def gather(directory: str) -> Facts:
    """Collect the facts of this machine; imports MXNet, GluonNLP and Horovod where they are installed.

    Args:
        directory: where runs will write; its free space is a fact.
    """
    pins = _pins()
    names = [*MXNET_WHEELS, *(name for name in pins or _CORE if name not in MXNET_WHEELS)]
    imports = {module: _import_error(module) for module in ("mxnet", "gluonnlp")}
    return Facts(
        python=sys.version_info[:2],
        machine=platform.machine(),
        versions={name: _version(name) for name in names},
        pins=pins,
        imports=imports,
        features=set() if imports["mxnet"] else _mxnet_features(),
        gluonnlp_compiled=bool(imports["gluonnlp"]) or _is_compiled("gluonnlp.data.fast_bert_tokenizer"),
        threads=runtime.set_threads(),
        physical_cores=runtime.physical_cores(),
        local_workers=runtime.local_workers(),
        horovod=_horovod_build(),
        gpus=_gpus(),
        mxnet_gpus=0 if imports["mxnet"] else _mxnet_gpus(),
        free_bytes=shutil.disk_usage(_existing(directory)).free,
        directory=directory,
        memory_bytes=_memory(),
        programs={name: shutil.which(name) for name in ("git", "cc", "c++", "cmake")},
        cpu=cpu_name(),
        cpu_features=[name for name, there in instructions().items() if there],
    )


_CORE = ("gluonnlp", "numpy", "tokenizers", "safetensors", "scikit-learn", "scipy", "matplotlib", "jsonargparse")


def _pins() -> Dict[str, str]:
    """The exact versions that bort_mx's metadata asks for on this Python; empty if bort_mx is not installed."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in importlib.metadata.requires("bort-mx") or []]
    except importlib.metadata.PackageNotFoundError:
        return {}
    here = [r for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    return {r.name: next(iter(r.specifier)).version for r in here if len(r.specifier) == 1}


def _version(distribution: str) -> Optional[str]:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _import_error(module: str) -> str:
    """One line on why a module cannot be imported; "" if it can."""
    try:
        importlib.import_module(module)
    except (ImportError, OSError, AttributeError) as error:  # a missing library; a missing .so; NumPy's removed names
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ""


def _mxnet_features() -> Set[str]:
    import mxnet

    return {feature.name for feature in mxnet.runtime.Features().values() if feature.enabled}


def _mxnet_gpus() -> int:
    import mxnet

    try:
        return mxnet.context.num_gpus()
    except mxnet.base.MXNetError:  # a GPU wheel on a machine without a driver
        return 0


def _is_compiled(module: str) -> bool:
    return not str(importlib.import_module(module).__file__).endswith(".py")


def _horovod_build() -> HorovodBuild:
    version = _version("horovod")
    error = _import_error("horovod.mxnet") if version else ""
    if not version or error:
        return HorovodBuild(version, error=error)
    import horovod.mxnet as hvd

    return HorovodBuild(version, gloo=bool(hvd.gloo_built()), mpi=bool(hvd.mpi_built()), nccl=bool(hvd.nccl_built()))


def _gpus() -> List[Gpu]:
    """The GPUs that nvidia-smi lists; drivers before 510 do not give the compute capability."""
    for fields, read in (("name,compute_cap", _gpu_with_capability), ("name", lambda line: Gpu(line.strip(), None))):
        lines = _output(["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"])
        if lines:
            return [read(line) for line in lines]
    return []


def _gpu_with_capability(line: str) -> Gpu:
    name, _, capability = line.rpartition(",")
    major, _, minor = capability.strip().partition(".")
    return Gpu(name.strip(), (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None)


def _output(command: List[str]) -> List[str]:
    """The lines that a command prints; none if it is missing or fails."""
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line for line in result.stdout.splitlines() if line.strip()] if result.returncode == 0 else []


def _existing(directory: str) -> pathlib.Path:
    """The folder itself, or the nearest one above it that exists."""
    path = pathlib.Path(directory).absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _memory() -> int:
    import psutil

    return psutil.virtual_memory().total

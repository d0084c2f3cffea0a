"""`python -m bort_mx doctor`: is this machine and this installation fit to run bort_mx? Each problem with its remedy.

A check is a pure function from facts to findings; `gather` collects the facts of this machine. A broken core part
(Python, MXNet, GluonNLP, NumPy, a library) is a problem and makes the exit code 1; the rest are warnings.
"""

import dataclasses
import importlib
import importlib.metadata
import pathlib
import platform
import shutil
import subprocess
import sys
from typing import Dict, List, Optional, Sequence, Set, Tuple

import bort_mx
from bort_mx import runtime
from bort_mx.options import parse_options

OK, WARNING, PROBLEM = "ok", "warning", "problem"

GPU_WHEELS: Dict[str, Tuple[Tuple[int, int], ...]] = {
    # Compute capabilities with machine code in the wheel, read off libmxnet.so; there is no PTX to compile for others.
    "mxnet-cu110": ((5, 0), (6, 0), (7, 0), (8, 0)),
    "mxnet-cu112": ((5, 0), (6, 0), (7, 0), (8, 0), (8, 6)),
}
MXNET_WHEELS = ("mxnet", *GPU_WHEELS)


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the report."""

    level: str  # OK, WARNING or PROBLEM
    subject: str
    text: str
    remedy: str = ""


@dataclasses.dataclass(frozen=True)
class Gpu:
    """A GPU as the driver names it; its compute capability is None if the driver is too old to tell."""

    name: str
    capability: Optional[Tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class HorovodBuild:
    """What Horovod was built with; `error` if it is installed but cannot be loaded for MXNet."""

    version: Optional[str] = None
    gloo: bool = False
    mpi: bool = False
    nccl: bool = False
    error: str = ""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the checks look at."""

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


def check_python(python: Tuple[int, int], machine: str) -> List[Finding]:
    """Python 3.9 to 3.11 on x86-64, for which MXNet's and NumPy's wheels exist."""
    text = f"{python[0]}.{python[1]} on {machine}"
    if not (3, 9) <= python <= (3, 11):
        return [Finding(PROBLEM, "Python", text, "bort_mx needs 3.9, 3.10 or 3.11: remove .venv and run make install")]
    if machine not in ("x86_64", "AMD64"):
        return [Finding(WARNING, "Python", text, "bort_mx was tried on x86-64 only; MXNet's wheels are for it")]
    return [Finding(OK, "Python", text)]


def check_packages(versions: Dict[str, Optional[str]], pins: Dict[str, str]) -> List[Finding]:
    """Every core library there, in the version that setup.py pins."""
    findings = []
    for name, version in versions.items():
        pin = pins.get(name)
        if version is None:
            findings.append(Finding(PROBLEM, name, "not installed", "make install"))
        elif pin not in (None, version):
            findings.append(Finding(WARNING, name, f"{version}, but bort_mx was tried with {pin}",
                                    f"pip install {name}=={pin}"))
        else:
            findings.append(Finding(OK, name, version))
    return findings


def check_mxnet_wheels(versions: Dict[str, Optional[str]]) -> List[Finding]:
    """Exactly one of the MXNet wheels: they share their files, and the last one installed damages the first."""
    present = [name for name in MXNET_WHEELS if versions.get(name)]
    if len(present) == 1:
        return []
    if not present:
        return [Finding(PROBLEM, "mxnet", "not installed", "make install (for GPUs: make install CUDA=cu112)")]
    both = " and ".join(present)
    return [Finding(PROBLEM, "mxnet", f"{both} are installed together and overwrite each other's files",
                    f"pip uninstall -y {' '.join(present)}; make install (for GPUs: make install CUDA=cu112)")]


def check_imports(imports: Dict[str, str]) -> List[Finding]:
    """MXNet and GluonNLP can be imported."""
    remedies = {
        "libcud": "the GPU wheel does not find CUDA's libraries: add their folders to LD_LIBRARY_PATH (for cu112 those "
                  "of the nvidia-*-cu11 packages), or install the CPU wheel: make install CUDA=cpu",
        "libnccl": "add NCCL's folder to LD_LIBRARY_PATH, or install the CPU wheel: make install CUDA=cpu",
        "np.bool": "NumPy is too new for MXNet 1.9.1: pip install numpy==1.23.5",
        "numpy' has no attribute": "NumPy is too new for MXNet 1.9.1: pip install numpy==1.23.5",
    }
    return [Finding(PROBLEM, f"import {module}", error,
                    next((remedy for sign, remedy in remedies.items() if sign in error), "make install"))
            for module, error in imports.items() if error]


def check_mxnet_build(features: Set[str], gluonnlp_compiled: bool) -> List[Finding]:
    """MXNet's oneDNN, BLAS and OpenMP; GluonNLP's Cython module, which bort_mx can do without."""
    blas = sorted(name for name in features if name.startswith("BLAS_"))
    shown = ("MKLDNN", "ONEDNN", *blas, "LAPACK", "OPENMP", "CUDA", "CUDNN", "NCCL")
    findings = [Finding(OK, "MXNet's build", ", ".join(name for name in shown if name in features))] if features else []
    if features and not features & {"MKLDNN", "ONEDNN"}:
        findings.append(Finding(WARNING, "oneDNN", "MXNet was built without it; CPU runs are several times slower",
                                "pip install mxnet==1.9.1 (its wheels have it)"))
    if features and "OPENMP" not in features:
        findings.append(Finding(WARNING, "OpenMP", "MXNet was built without it and uses one core",
                                "pip install mxnet==1.9.1 (its wheels have it)"))
    if not gluonnlp_compiled:
        findings.append(Finding(WARNING, "GluonNLP", "its BERT tokenizer, which bort_mx does not use, was left out for "
                                "want of a C compiler", "to have it, install a C compiler and run make install"))
    return findings


def check_threads(threads: int, physical_cores: int, local_workers: int) -> List[Finding]:
    """OMP_NUM_THREADS against this worker's share of the physical cores."""
    share = max(1, physical_cores // local_workers)
    text = f"OMP_NUM_THREADS={threads}, {physical_cores} physical cores, {local_workers} worker(s) here"
    if threads > share:
        return [Finding(WARNING, "threads", text, f"unset OMP_NUM_THREADS, so that bort_mx takes {share}: more threads "
                        "than cores make MXNet slower")]
    if threads < share:
        return [Finding(WARNING, "threads", text, f"{share - threads} core(s) idle: unless meant so, unset it")]
    return [Finding(OK, "threads", text)]


def check_horovod(build: HorovodBuild, has_gpu: bool, programs: Dict[str, Optional[str]]) -> List[Finding]:
    """Horovod with MXNet and Gloo (NCCL with GPUs). Without it runs have one process."""
    if build.version is None:
        missing = [name for name in ("c++", "cmake") if not programs.get(name)]
        first = f"install {' and '.join(missing)}, then " if missing else ""
        return [Finding(WARNING, "Horovod", "not installed: runs have one process", f"{first}make install")]
    if build.error:
        return [Finding(WARNING, "Horovod", f"{build.version}, not usable with MXNet ({build.error}): one process",
                        "pip uninstall -y horovod; make install (it builds Horovod after MXNet, with MXNet and Gloo)")]
    parts = [name for name, there in (("Gloo", build.gloo), ("MPI", build.mpi), ("NCCL", build.nccl)) if there]
    findings = [Finding(OK, "Horovod", f"{build.version} with MXNet, {', '.join(parts) or 'no transport'}")]
    if not build.gloo and not build.mpi:
        findings.append(Finding(WARNING, "Horovod", "built with neither Gloo nor MPI: it cannot start workers",
                                "pip uninstall -y horovod; make install"))
    if has_gpu and not build.nccl:
        findings.append(Finding(WARNING, "Horovod", "built without NCCL: gradients of GPUs go through main memory",
                                "HOROVOD_GPU_OPERATIONS=NCCL pip install --no-build-isolation --no-cache-dir "
                                "--force-reinstall --no-deps horovod==0.28.1"))
    return findings


def runs_on(capability: Tuple[int, int], compiled: Sequence[Tuple[int, int]]) -> bool:
    """CUDA's binary compatibility: machine code runs on the same major version with an equal or higher minor."""
    return any(capability[0] == major and capability[1] >= minor for major, minor in compiled)


def check_gpus(gpus: Sequence[Gpu], mxnet_gpus: int, versions: Dict[str, Optional[str]]) -> List[Finding]:
    """Each GPU against the machine code in the installed MXNet wheel."""
    wheel = next((name for name in GPU_WHEELS if versions.get(name)), None)
    if not gpus:
        findings = [Finding(OK, "GPUs", "none; MXNet runs on the CPU")]
        if wheel:
            findings.append(Finding(WARNING, "GPUs", f"{wheel} is installed, but the driver shows no GPU",
                                    "check nvidia-smi, or install the CPU wheel: make install CUDA=cpu"))
        return findings
    findings = [_check_gpu(gpu, wheel) for gpu in gpus]
    if wheel and mxnet_gpus < len(gpus):
        findings.append(Finding(WARNING, "GPUs", f"MXNet sees {mxnet_gpus} of {len(gpus)}",
                                "check CUDA_VISIBLE_DEVICES and the driver's version (CUDA 11 needs 450 or later)"))
    return findings


def _check_gpu(gpu: Gpu, wheel: Optional[str]) -> Finding:
    if gpu.capability is None:
        return Finding(WARNING, "GPU", f"{gpu.name}: the driver does not tell its compute capability",
                       "update the driver (510 or later), or look the capability up: 5.x to 8.x runs")
    text = f"{gpu.name}, compute capability {gpu.capability[0]}.{gpu.capability[1]}"
    fitting = [name for name, compiled in GPU_WHEELS.items() if runs_on(gpu.capability, compiled)]
    if wheel in fitting:
        return Finding(OK, "GPU", f"{text}: {wheel} has code for it")
    if fitting:
        held = f"{wheel} has no code for it" if wheel else "the CPU wheel of MXNet is installed"
        return Finding(WARNING, "GPU", f"{text}: {held}", f"make install CUDA={fitting[-1][len('mxnet-'):]}")
    return Finding(WARNING, "GPU", f"{text}: no MXNet wheel has code for it", "run on the CPU, or on a GPU of compute "
                   "capability 5.x to 8.x (V100, T4, A100, A10), or build MXNet from source")


def check_room(free_bytes: int, directory: str, memory_bytes: int) -> List[Finding]:
    """Free disk and memory. A Bort checkpoint with trainer states takes 0.9 GB; several are kept."""
    disk, memory = f"{free_bytes / (1 << 30):.1f} GiB", f"{memory_bytes / (1 << 30):.1f} GiB"
    make_room = ("choose another --output-dir or make room: a checkpoint of Bort takes 0.9 GB, of RoBERTa-large 4 GB, "
                 "and the shards 2 bytes a token")
    return [
        Finding(OK, f"free disk in {directory}", disk) if free_bytes >= 10 << 30
        else Finding(WARNING, f"free disk in {directory}", disk, make_room),
        Finding(OK, "memory", memory) if memory_bytes >= 4 << 30
        else Finding(WARNING, "memory", memory, "use a small --micro-batch-size"),
    ]


def check_programs(programs: Dict[str, Optional[str]]) -> List[Finding]:
    """git, for the commit that results carry; compilers and cmake, to build Horovod."""
    uses = {"git": "results will not name the commit that made them", "cc": "needed to build GluonNLP's tokenizer",
            "c++": "needed to build Horovod", "cmake": "needed to build Horovod"}
    findings = [Finding(WARNING, name, f"not found: {use}", f"install {name}")
                for name, use in uses.items() if not programs.get(name)]
    there = [name for name in uses if programs.get(name)]
    return findings + ([Finding(OK, "programs", ", ".join(there))] if there else [])


def diagnose(facts: Facts) -> List[Finding]:
    """All checks."""
    return [
        *check_python(facts.python, facts.machine),
        *check_mxnet_wheels(facts.versions),
        *check_packages({name: version for name, version in facts.versions.items()
                         if version or name not in MXNET_WHEELS}, facts.pins),
        *check_imports(facts.imports),
        *check_mxnet_build(facts.features, facts.gluonnlp_compiled),
        *check_threads(facts.threads, facts.physical_cores, facts.local_workers),
        *check_horovod(facts.horovod, bool(facts.gpus), facts.programs),
        *check_gpus(facts.gpus, facts.mxnet_gpus, facts.versions),
        *check_room(facts.free_bytes, facts.directory, facts.memory_bytes),
        *check_programs(facts.programs),
    ]


def gather(directory: str) -> Facts:
    """The facts of this machine; imports MXNet, GluonNLP and Horovod where they are installed."""
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
    )


_CORE = ("gluonnlp", "numpy", "tokenizers", "safetensors", "scikit-learn", "scipy", "matplotlib", "jsonargparse")


def _pins() -> Dict[str, str]:
    """The exact versions that bort_mx's own metadata asks of this Python; empty if bort_mx is not installed."""
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
    """The GPUs that nvidia-smi tells of; drivers before 510 do not tell the compute capability."""
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
    """A command's lines; none if it is not there or fails."""
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


@dataclasses.dataclass
class DoctorOptions:
    """Options of `bort-mx doctor`."""

    output_dir: str = dataclasses.field(default=".", metadata={"metavar": "DIR"})
    """Where runs will write: its free space is looked at."""


def report(findings: Sequence[Finding]) -> str:
    """The findings as text, one a line, with remedies below and the verdict last."""
    width = max(len(finding.subject) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.level:<8} {finding.subject:<{width}}  {finding.text}")
        if finding.remedy:
            lines.append(f"{'':<8} {'':<{width}}  -> {finding.remedy}")
    problems, warnings = (sum(finding.level == level for finding in findings) for level in (PROBLEM, WARNING))
    verdict = "not usable" if problems else "usable"
    return "\n".join([*lines, f"{verdict}: {problems} problem(s), {warnings} warning(s)"])


def main(argv: List[str]) -> int:
    """Print the report; 0 if bort_mx is usable here, 1 if a core part is broken."""
    options = parse_options(DoctorOptions, argv, "bort-mx doctor", "Check this machine and this installation.")
    findings = [Finding(OK, "bort_mx", bort_mx.__version__), *diagnose(gather(options.output_dir))]
    print(report(findings))
    return 1 if any(finding.level == PROBLEM for finding in findings) else 0

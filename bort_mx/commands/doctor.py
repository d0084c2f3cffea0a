"""`bort-mx doctor`: check whether this machine and this installation can run bort_mx; each problem with its remedy.

A row of `CHECKS` is a name, a pure function from the facts of `machine_facts` to findings, and a remedy. A broken core
part (Python, MXNet, GluonNLP, NumPy, a library) is a problem and makes the exit code 1. The rest are warnings.
"""

import dataclasses
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

import bort_mx
from bort_mx.commands.last_lines import say_first, say_last
from bort_mx.commands.machine_facts import GPU_WHEELS, MXNET_WHEELS, Facts, Gpu, gather
from bort_mx.options import parse_options

OK, WARNING, PROBLEM = "ok", "warning", "problem"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the report. What a check leaves empty, `diagnose` takes from the check's row."""

    level: str  # OK, WARNING or PROBLEM
    text: str
    subject: str = ""
    remedy: str = ""


def check_python(facts: Facts) -> Iterator[Finding]:
    """Python 3.9 to 3.12 on x86-64, for which MXNet's and NumPy's wheels exist."""
    text = f"{facts.python[0]}.{facts.python[1]} on {facts.machine}"
    if not (3, 9) <= facts.python <= (3, 12):
        yield Finding(PROBLEM, text)
    elif facts.machine not in ("x86_64", "AMD64"):
        yield Finding(WARNING, text, remedy="bort_mx was tried on x86-64 only; MXNet's wheels are for it")
    else:
        yield Finding(OK, text)


def check_mxnet_wheels(facts: Facts) -> Iterator[Finding]:
    """Exactly one of the MXNet wheels: they share their files, and the last one installed damages the first."""
    present = [name for name in MXNET_WHEELS if facts.versions.get(name)]
    if not present:
        yield Finding(PROBLEM, "not installed")
    elif len(present) > 1:
        yield Finding(PROBLEM, f"{' and '.join(present)} are installed together and overwrite each other's files",
                      remedy=f"pip uninstall -y {' '.join(present)}; make install (for GPUs: make install CUDA=cu112)")


def check_packages(facts: Facts) -> Iterator[Finding]:
    """Every core library there, in the version that setup.py pins."""
    for name, version in facts.versions.items():
        pin = facts.pins.get(name)
        if version is None:
            if name not in MXNET_WHEELS:  # one of these is enough, which check_mxnet_wheels looks at
                yield Finding(PROBLEM, "not installed", name)
        elif pin not in (None, version):
            yield Finding(WARNING, f"{version}, but bort_mx was tried with {pin}", name, f"pip install {name}=={pin}")
        else:
            yield Finding(OK, version, name)


IMPORT_REMEDIES = {
    "libcud": "the GPU wheel does not find CUDA's libraries: add their folders to LD_LIBRARY_PATH (for cu112 those "
              "of the nvidia-*-cu11 packages), or install the CPU wheel: make install CUDA=cpu",
    "libnccl": "add NCCL's folder to LD_LIBRARY_PATH, or install the CPU wheel: make install CUDA=cpu",
    "np.bool": "NumPy is too new for MXNet 1.9.1: pip install numpy==1.23.5",
    "numpy' has no attribute": "NumPy is too new for MXNet 1.9.1: pip install numpy==1.23.5",
}
"""Part of an import's error: the remedy."""


def check_imports(facts: Facts) -> Iterator[Finding]:
    """MXNet and GluonNLP can be imported."""
    for module, error in facts.imports.items():
        if error:
            remedy = next((remedy for sign, remedy in IMPORT_REMEDIES.items() if sign in error), "")
            yield Finding(PROBLEM, error, f"import {module}", remedy)


def check_mxnet_build(facts: Facts) -> Iterator[Finding]:
    """MXNet's oneDNN, BLAS and OpenMP."""
    if not facts.features:  # MXNet cannot be imported
        return
    blas = sorted(name for name in facts.features if name.startswith("BLAS_"))
    shown = ("MKLDNN", "ONEDNN", *blas, "LAPACK", "OPENMP", "CUDA", "CUDNN", "NCCL")
    yield Finding(OK, ", ".join(name for name in shown if name in facts.features))
    if not facts.features & {"MKLDNN", "ONEDNN"}:
        yield Finding(WARNING, "MXNet was built without it; CPU runs are several times slower", "oneDNN")
    if "OPENMP" not in facts.features:
        yield Finding(WARNING, "MXNet was built without it and uses one core", "OpenMP")


def check_gluonnlp(facts: Facts) -> Iterator[Finding]:
    """GluonNLP's Cython module, which bort_mx can do without."""
    if not facts.gluonnlp_compiled:
        yield Finding(WARNING, "its BERT tokenizer, which bort_mx does not use, was left out for want of a C compiler")


def check_cpu(facts: Facts) -> Iterator[Finding]:
    """What the CPU has for 8-bit and bfloat16 products; `export` goes by it."""
    if facts.cpu:
        lacking = [name for name in ("VNNI (8-bit)", "bf16") if name not in facts.cpu_features]
        without = f"; without {' and '.join(lacking)}" if lacking else ""
        bits = "; 8-bit files get weights of 7 bits" if lacking[:1] == ["VNNI (8-bit)"] else ""
        yield Finding(OK, f"{facts.cpu}: {', '.join(facts.cpu_features) or 'none of AVX2 and later'}{without}{bits}")


def check_threads(facts: Facts) -> Iterator[Finding]:
    """OMP_NUM_THREADS against this worker's share of the physical cores."""
    share = max(1, facts.physical_cores // facts.local_workers)
    text = (f"OMP_NUM_THREADS={facts.threads}, {facts.physical_cores} physical cores, {facts.local_workers} worker(s) "
            "here")
    if facts.threads > share:
        yield Finding(WARNING, text, remedy=f"unset OMP_NUM_THREADS, so that bort_mx takes {share}: more threads than "
                      "cores make MXNet slower")
    elif facts.threads < share:
        yield Finding(WARNING, text, remedy=f"{share - facts.threads} core(s) idle: unless meant so, unset it")
    else:
        yield Finding(OK, text)


def check_horovod(facts: Facts) -> Iterator[Finding]:
    """Horovod with MXNet and Gloo (NCCL with GPUs). Without it runs have one process."""
    build = facts.horovod
    if build.version is None:
        missing = [name for name in ("c++", "cmake") if not facts.programs.get(name)]
        first = f"install {' and '.join(missing)}, then " if missing else ""
        yield Finding(WARNING, "not installed: runs have one process", remedy=f"{first}make install")
        return
    if build.error:
        yield Finding(WARNING, f"{build.version}, not usable with MXNet ({build.error}): one process", remedy="pip "
                      "uninstall -y horovod; make install (it builds Horovod after MXNet, with MXNet and Gloo)")
        return
    parts = [name for name, there in (("Gloo", build.gloo), ("MPI", build.mpi), ("NCCL", build.nccl)) if there]
    yield Finding(OK, f"{build.version} with MXNet, {', '.join(parts) or 'no transport'}")
    if not build.gloo and not build.mpi:
        yield Finding(WARNING, "built with neither Gloo nor MPI: it cannot start workers")
    if facts.gpus and not build.nccl:
        yield Finding(WARNING, "built without NCCL: gradients of GPUs go through main memory", remedy="HOROVOD_GPU_"
                      "OPERATIONS=NCCL pip install --no-build-isolation --no-cache-dir --force-reinstall --no-deps "
                      "horovod==0.28.1")


def check_gpus(facts: Facts) -> Iterator[Finding]:
    """Each GPU against the machine code in the installed MXNet wheel."""
    wheel = next((name for name in GPU_WHEELS if facts.versions.get(name)), None)
    if not facts.gpus:
        yield Finding(OK, "none; MXNet runs on the CPU")
        if wheel:
            yield Finding(WARNING, f"{wheel} is installed, but the driver shows no GPU",
                          remedy="check nvidia-smi, or install the CPU wheel: make install CUDA=cpu")
        return
    for gpu in facts.gpus:
        yield _check_gpu(gpu, wheel)
    if wheel and facts.mxnet_gpus < len(facts.gpus):
        yield Finding(WARNING, f"MXNet sees {facts.mxnet_gpus} of {len(facts.gpus)}",
                      remedy="check CUDA_VISIBLE_DEVICES and the driver's version (CUDA 11 needs 450 or later)")


def _check_gpu(gpu: Gpu, wheel: Optional[str]) -> Finding:
    if gpu.capability is None:
        return Finding(WARNING, f"{gpu.name}: the driver does not tell its compute capability", "GPU",
                       "update the driver (510 or later), or look the capability up: 5.x to 8.x runs")
    text = f"{gpu.name}, compute capability {gpu.capability[0]}.{gpu.capability[1]}"
    fitting = [name for name, compiled in GPU_WHEELS.items() if runs_on(gpu.capability, compiled)]
    if wheel in fitting:
        return Finding(OK, f"{text}: {wheel} has code for it", "GPU")
    if fitting:
        held = f"{wheel} has no code for it" if wheel else "the CPU wheel of MXNet is installed"
        return Finding(WARNING, f"{text}: {held}", "GPU", f"make install CUDA={fitting[-1][len('mxnet-'):]}")
    return Finding(WARNING, f"{text}: no MXNet wheel has code for it", "GPU", "run on the CPU, or on a GPU of compute "
                   "capability 5.x to 8.x (V100, T4, A100, A10), or build MXNet from source")


def runs_on(capability: Tuple[int, int], compiled: Sequence[Tuple[int, int]]) -> bool:
    """CUDA's binary compatibility: machine code runs on the same major version with an equal or higher minor."""
    return any(capability[0] == major and capability[1] >= minor for major, minor in compiled)


def check_disk(facts: Facts) -> Iterator[Finding]:
    """Free disk: a Bort checkpoint with trainer states takes 0.9 GB, and several are kept."""
    enough = facts.free_bytes >= 10 << 30
    yield Finding(OK if enough else WARNING, _gibibytes(facts.free_bytes), f"free disk in {facts.directory}")


def check_memory(facts: Facts) -> Iterator[Finding]:
    """Main memory: 4 GiB hold Bort with its optimizer and a small micro-batch."""
    yield Finding(OK if facts.memory_bytes >= 4 << 30 else WARNING, _gibibytes(facts.memory_bytes))


def _gibibytes(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"


def check_programs(facts: Facts) -> Iterator[Finding]:
    """git, for the commit that results carry; compilers and cmake, to build Horovod."""
    uses = {"git": "results will not name the commit that made them", "cc": "needed to build GluonNLP's tokenizer",
            "c++": "needed to build Horovod", "cmake": "needed to build Horovod"}
    for name, use in uses.items():
        if not facts.programs.get(name):
            yield Finding(WARNING, f"not found: {use}", name, f"install {name}")
    there = [name for name in uses if facts.programs.get(name)]
    if there:
        yield Finding(OK, ", ".join(there))


CHECKS: Tuple[Tuple[str, Callable[[Facts], Iterator[Finding]], str], ...] = (
    ("Python", check_python, "bort_mx needs 3.9, 3.10, 3.11 or 3.12: remove .venv and run make install"),
    ("mxnet", check_mxnet_wheels, "make install (for GPUs: make install CUDA=cu112)"),
    ("packages", check_packages, "make install"),
    ("imports", check_imports, "make install"),
    ("MXNet's build", check_mxnet_build, "pip install mxnet==1.9.1 (its wheels have it)"),
    ("GluonNLP", check_gluonnlp, "to have it, install a C compiler and run make install"),
    ("CPU", check_cpu, ""),
    ("threads", check_threads, "unset OMP_NUM_THREADS"),
    ("Horovod", check_horovod, "pip uninstall -y horovod; make install"),
    ("GPUs", check_gpus, "make install CUDA=cpu"),
    ("disk", check_disk, "choose another --output-dir or make room: a checkpoint of Bort takes 0.9 GB, of "
     "RoBERTa-large 4 GB, and the shards 2 bytes a token"),
    ("memory", check_memory, "use a small --micro-batch-size"),
    ("programs", check_programs, "install it"),
)
"""In the order of the report: what is checked, by which function, and what helps if a finding does not say it."""


def diagnose(facts: Facts) -> List[Finding]:
    """All checks, each finding with its subject and, unless it is OK, its remedy."""
    return [dataclasses.replace(finding, subject=finding.subject or name,
                                remedy="" if finding.level == OK else finding.remedy or remedy)
            for name, check, remedy in CHECKS for finding in check(facts)]


@dataclasses.dataclass
class DoctorOptions:
    """Options of `bort-mx doctor`."""

    output_dir: str = dataclasses.field(default=".", metadata={"metavar": "DIR"})
    """Folder that runs will write into: its free space is checked."""


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
    say_first("looking at this machine and this installation")
    findings = [Finding(OK, bort_mx.__version__, "bort_mx"), *diagnose(gather(options.output_dir))]
    print(report(findings))
    if any(finding.level == PROBLEM for finding in findings):
        return 1
    say_last(None, "demo")
    return 0

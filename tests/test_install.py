"""Metadata, the refusal of other Pythons, the steps of tools/install.py without installing anything, and the installed
program, started elsewhere."""

import importlib.util
import json
import os
import pathlib
import re
import runpy
import shutil
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def metadata():
    return runpy.run_path(str(ROOT / "setup.py"), run_name="metadata")


@pytest.fixture
def install(tmp_path, monkeypatch):
    """tools/install.py as a module that runs no command: `install.commands` are what it would have run."""
    spec = importlib.util.spec_from_file_location("bort_mx_install", ROOT / "tools" / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.commands = []
    monkeypatch.setattr(module, "run", lambda command, environment=None: module.commands.append(command) or True)
    monkeypatch.setattr(module, "MARKS", tmp_path / "installed.json")
    monkeypatch.setattr(module, "LOG", tmp_path / "install.log")
    monkeypatch.delenv("BORT_MX_CUDA", raising=False)
    return module


def setup_on(version, **environment):
    """Run setup.py as if on another Python version."""
    code = f"import runpy, sys; sys.version_info = {version!r}; runpy.run_path('setup.py', run_name='metadata')"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          env={**os.environ, **environment})


def test_mxnet_alone_finds_numpys_bool_on_a_new_python(install, tmp_path):
    """As Horovod's build and horovodrun import it."""
    package = tmp_path / "mxnet/__init__.py"
    package.parent.mkdir()
    package.write_text("import numpy as onp\n\nfound = onp.bool\n")
    lacks = ("import numpy, sys; vars(numpy).pop('bool', None); import mxnet, numpy; "
             "sys.exit(mxnet.found is not numpy.bool_)")
    for version, code in (((3, 11), 1), ((3, 12), 0), ((3, 12), 0)):
        install.name_numpy_bool(tmp_path, version)
        assert subprocess.run([sys.executable, "-c", lacks], cwd=tmp_path, stderr=subprocess.DEVNULL).returncode == code
    assert package.read_text().count("_numpy.bool = ") == 1


NUMPY = ["numpy==1.23.5; python_version<'3.12'", "numpy==1.26.4; python_version>='3.12'"]


@pytest.mark.parametrize("version", [(3, 8, 18), (3, 13, 1), (2, 7, 18), (4, 0, 0)])
def test_other_pythons_are_refused_in_one_line(version):
    result = setup_on(version)
    assert result.returncode == 1
    found = rf"this is {version[0]}\.{version[1]}\."
    assert re.fullmatch(rf"bort_mx needs Python 3.9, 3.10, 3.11 or 3.12 .*{found} .*make install.*\n", result.stderr)


def test_an_unknown_cuda_is_refused():
    result = setup_on(sys.version_info[:3], BORT_MX_CUDA="cu120")
    assert (result.returncode, result.stderr) == (1, "BORT_MX_CUDA=cu120: expected cu110, cu112 or nothing\n")


@pytest.mark.parametrize("python", ["3.9", "3.10", "3.11", "3.12"])
def test_every_requirement_is_pinned_exactly_once_on_each_python(metadata, python):
    for requirements in (metadata["ARRAYS"] + metadata["GLUONNLP"] + metadata["LIBRARIES"],
                         *metadata["EXTRAS"].values()):
        parsed = [Requirement(text) for text in requirements]
        here = [r.name for r in parsed if r.marker is None or r.marker.evaluate({"python_version": python})]
        absent = {"accelerate", "torch", "transformers"} if python == "3.9" else set()
        assert sorted(here) == sorted({r.name for r in parsed} - absent)
        assert all(re.fullmatch(r"==[\d.]+", str(r.specifier)) for r in parsed)


def test_extras_and_one_mxnet_wheel(metadata):
    assert {"horovod", "cu110", "cu112", "onnx", "bench", "dev"} <= set(metadata["EXTRAS"])
    assert metadata["ARRAYS"] == [*NUMPY, "mxnet==1.9.1"]


def test_a_gpu_wheel_takes_the_place_of_the_cpu_wheel(monkeypatch):
    monkeypatch.setenv("BORT_MX_CUDA", "cu112")
    metadata = runpy.run_path(str(ROOT / "setup.py"), run_name="metadata")
    assert metadata["ARRAYS"] == [*NUMPY, "mxnet-cu112==1.9.1"]


def test_an_empty_environment_of_python_3_12_gets_distutils(metadata):
    """`pip install .` there: MXNet imports distutils, which Python has no more and a new environment no setuptools."""
    found = [Requirement(text) for text in metadata["REQUIRED"]]
    of = {version: {one.name for one in found if one.marker is None or one.marker.evaluate({"python_version": version})}
          for version in ("3.11", "3.12")}
    assert of["3.12"] - of["3.11"] == {"setuptools"} and of["3.11"] >= {"mxnet", "numpy", "gluonnlp", "sentencepiece"}


def test_the_version_is_that_of_the_package():
    import bort_mx

    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert f'version="{bort_mx.__version__}"' in text


def test_installing_goes_in_order_and_once(install, monkeypatch):
    for name in ("missing_for_c", "missing_for_horovod"):
        monkeypatch.setattr(install, name, list)
    assert install.main(["core", "horovod"]) == 0
    asked = [next((part for part in command if "==" in part), "") for command in install.commands]
    order = [next(i for i, text in enumerate(asked) if text.startswith(name))
             for name in ("setuptools", "numpy", "gluonnlp", "horovod")]
    assert order == sorted(order)
    install.commands.clear()
    assert install.main(["core", "horovod"]) == 0
    assert install.commands == []


def test_missing_cmake_is_named_and_the_rest_goes_on(install, monkeypatch, capsys):
    monkeypatch.setattr(install, "missing_for_c", list)
    monkeypatch.setattr(install, "missing_for_horovod", lambda: ["cmake"])
    assert install.main(["core", "horovod"]) == 0
    line = "bort_mx install: no Horovod, so runs have one process: cmake not found\n"
    assert line in capsys.readouterr().out
    install.commands.clear()
    assert install.main(["core", "horovod"]) == 0
    assert install.commands == [] and capsys.readouterr().out == line
    monkeypatch.setattr(install, "missing_for_horovod", list)  # cmake has been installed meanwhile
    assert install.main(["horovod"]) == 0
    assert json.loads(install.MARKS.read_text())["horovod"]["absent"] is None


def test_a_failed_build_of_horovod_is_tried_again_on_demand_only(install, monkeypatch, capsys):
    monkeypatch.setattr(install, "missing_for_horovod", list)
    monkeypatch.setattr(install, "run", lambda command, environment=None: install.commands.append(command) or False)
    assert install.main(["horovod"]) == 0
    assert "no Horovod, so runs have one process: its build failed" in capsys.readouterr().out
    count = len(install.commands)
    assert install.main(["horovod"]) == 0 and len(install.commands) == count
    assert install.main(["horovod", "--retry"]) == 0 and len(install.commands) > count


def test_a_core_part_that_fails_stops_with_the_cause(install, monkeypatch, capsys):
    install.LOG.write_text("ERROR: No matching distribution found for mxnet==1.9.1\n")
    monkeypatch.setattr(install, "run", lambda command, environment=None: False)
    assert install.main(["core", "horovod"]) == 1
    assert "could not be installed: ERROR: No matching distribution" in capsys.readouterr().out
    assert not install.MARKS.exists()


def test_make_install_brings_onnx_or_says_why_not(install, monkeypatch, capsys):
    assert "core horovod onnx" in (ROOT / "Makefile").read_text()
    assert install.main(["onnx"]) == 0
    assert any(part.startswith("onnxruntime==") for command in install.commands for part in command)
    monkeypatch.setattr(install, "run", lambda command, environment=None: False)
    assert install.main(["onnx", "--retry"]) == 0  # it is there
    install.MARKS.unlink()
    assert install.main(["onnx"]) == 0
    assert "bort_mx install: no ONNX files: its installation failed" in capsys.readouterr().out


def test_there_is_nothing_to_compare_with_on_python_39(install, metadata, monkeypatch):
    monkeypatch.setattr(install.sys, "version_info", (3, 9, 18))
    assert "Python 3.10" in install.install_parity(metadata) and install.commands == []


def test_pytorch_is_taken_without_cuda_unless_asked(install, metadata, monkeypatch):
    monkeypatch.setattr(install.sys, "version_info", (3, 11, 7))
    monkeypatch.setattr(install.sys, "platform", "linux")
    monkeypatch.delenv("TORCH", raising=False)
    install.install_parity(metadata)
    assert any(part.startswith("torch==2.13.0+cpu;") for part in install.commands[-1])
    monkeypatch.setenv("TORCH", "any")
    install.install_parity(metadata)
    assert any(part.startswith("torch==2.13.0;") for part in install.commands[-1])


def test_the_stand_in_for_gluonnlps_compiled_module_tells_what_to_do(install):
    names = {}
    exec(install.GLUONNLP_STAND_IN, names)
    with pytest.raises(ImportError, match="install one and run `make install`"):
        names["WordpieceTokenizer"]()


def outside(command, folder, **environment):
    """Run a command in a folder outside the checkout, which is not on Python's path; its standard output."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True,
                            stdin=subprocess.DEVNULL, env={**clean, **environment})
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_installed_program_starts_in_every_folder(tmp_path):
    """What `make install` leaves: an editable install, whose modules no path entry holds."""
    program = pathlib.Path(sys.executable).with_name("bort-mx")
    if not program.exists():
        pytest.skip(f"{program} is not there; make install writes it")
    found = outside([sys.executable, "-c", "import bort_mx; print(bort_mx.__file__)"], tmp_path).strip()
    if pathlib.Path(found).resolve().parents[1] != ROOT:
        pytest.skip(f"{program} belongs to another checkout: {found}")
    assert "doctor" in outside([program, "--help"], tmp_path)
    assert "usage: bort-mx doctor" in outside([program, "doctor", "--help"], tmp_path)


@pytest.fixture(scope="module")
def wheel_folder(tmp_path_factory):
    """A folder with bort_mx as `pip install .` installs it, from a copy of the sources: a build writes beside them."""
    copy, wheels, target = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "installed"))
    shutil.copytree(ROOT / "bort_mx", copy / "bort_mx", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.py", copy)
    shutil.copy(ROOT / "pyproject.toml", copy)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    outside([*pip, "wheel", copy, "--no-deps", "--no-build-isolation", "--wheel-dir", wheels], copy)
    outside([*pip, "install", "--no-deps", "--target", target, *wheels.glob("*.whl")], copy)
    return target


def test_a_wheel_holds_every_file_of_the_package(wheel_folder):
    def held(root):
        return {str(path.relative_to(root)) for path in (root / "bort_mx").rglob("*")
                if path.is_file() and path.suffix != ".pyc"}
    assert held(wheel_folder) == held(ROOT)


def test_a_wheel_runs_outside_the_checkout(wheel_folder, tmp_path):
    path = {"PYTHONPATH": str(wheel_folder)}
    run = [sys.executable, "-m", "bort_mx"]
    assert outside([sys.executable, "-c", "import bort_mx; print(bort_mx.__file__)"], tmp_path, **path).startswith(
        str(wheel_folder))
    assert "predict" in outside([*run, "--help"], tmp_path, **path)
    for command in ("prepare", "doctor", "predict", "pretrain", "finetune", "search"):
        assert "--config" in outside([*run, command, "--help"], tmp_path, **path)
    assert "doctor" in outside([wheel_folder / "bin" / "bort-mx", "--help"], tmp_path, **path)


def program(path, code):
    """A shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{code}\n")
    path.chmod(0o755)


def run_tool(tool, tmp_path, programs, *arguments, **environment):
    """Run tools/TOOL where only these programs (name -> shell code) and a few basic ones are on the PATH."""
    for name, code in programs.items():
        program(tmp_path / "bin" / name, code)
    (tmp_path / "bin").mkdir(exist_ok=True)
    for name in ("cat", "dirname", "mktemp", "rm", "sh", "tail"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    return subprocess.run(["/bin/sh", str(ROOT / "tools" / tool), *arguments], capture_output=True, text=True,
                          cwd=tmp_path, env={"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path), **environment})


def find_python(tmp_path, pythons, **environment):
    return run_tool("find_python.sh", tmp_path, pythons, **environment)


def test_a_suitable_python_is_found_and_others_passed_over(tmp_path):
    result = find_python(tmp_path, {"python3.11": "exit 127", "python3.10": f'exec {sys.executable} "$@"'})
    assert result.returncode == 0
    assert pathlib.Path(result.stdout.strip()).resolve() == pathlib.Path(sys.executable).resolve()


def test_without_a_suitable_python_what_was_looked_at_is_told(tmp_path):
    result = find_python(tmp_path, {"python3": "echo 'AssertionError: is Python 3.12' >&2; exit 1",
                                    "python": "echo 'ImportError: No module named ensurepip' >&2; exit 1"})
    assert (result.returncode, result.stdout) == (1, "")
    assert "python3: is Python 3.12" in result.stderr and "python: has no ensurepip" in result.stderr


def test_only_the_python_that_was_asked_for_is_looked_at(tmp_path):
    result = find_python(tmp_path, {"python3": f'exec {sys.executable} "$@"'}, PYTHON="/no/such/python")
    assert result.returncode == 1 and "/no/such/python" in result.stderr


def test_uv_makes_the_environment_where_no_python_fits(tmp_path):
    result = run_tool("make_venv.sh", tmp_path, {"python3": "exit 1", "uv": 'echo "$@" >arguments'}, ".venv")
    assert result.returncode == 0
    assert (tmp_path / "arguments").read_text() == "venv --quiet --seed --python 3.11 .venv\n"


def test_without_python_and_uv_it_says_what_to_do(tmp_path):
    result = run_tool("make_venv.sh", tmp_path, {"python3": "echo 'AssertionError: is Python 3.12'; exit 1"}, ".venv")
    assert result.returncode == 1
    assert "none was found" in result.stderr and "python3: is Python 3.12" in result.stderr
    assert "make PYTHON=/path/to/python3.11" in result.stderr


@pytest.mark.parametrize("code, returncode", [("exit 0", 0), ("exit 1", 1)])
def test_an_environment_that_is_there_is_kept_or_refused(tmp_path, code, returncode):
    program(tmp_path / ".venv" / "bin" / "python", code)
    result = run_tool("make_venv.sh", tmp_path, {}, ".venv")
    assert result.returncode == returncode
    assert ("remove it" in result.stderr) == bool(returncode)


def test_horovod_is_built_with_nccl_where_its_libraries_are(install, tmp_path, monkeypatch, capsys):
    for name in ("HOROVOD_NCCL_HOME", "NCCL_HOME", "CUDA_HOME", "HOROVOD_CUDA_HOME"):
        monkeypatch.delenv(name, raising=False)
    nccl, cuda = tmp_path / "nccl", tmp_path / "cuda"
    for path in (nccl / "include/nccl.h", nccl / "lib/libnccl.so.2", cuda / "bin/nvcc"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert "HOROVOD_GPU_OPERATIONS" not in install.horovod_build("")
    monkeypatch.setattr(install, "cuda_home", lambda: None)
    assert install.horovod_build("cu112") == install.HOROVOD_BUILD
    assert "without NCCL, as" in capsys.readouterr().out
    monkeypatch.undo()
    monkeypatch.setenv("HOROVOD_NCCL_HOME", str(nccl))
    monkeypatch.setenv("CUDA_HOME", str(cuda))
    build = install.horovod_build("cu112")
    assert build["HOROVOD_GPU_OPERATIONS"] == "NCCL" and build["HOROVOD_WITH_GLOO"] == "1"
    assert (build["HOROVOD_NCCL_HOME"], build["HOROVOD_CUDA_HOME"]) == (str(nccl), str(cuda))

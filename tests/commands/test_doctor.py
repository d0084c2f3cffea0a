"""The doctor's checks on injected facts, and one real run."""

import dataclasses

import pytest

from bort_mx.commands import doctor, machine_facts
from bort_mx.commands.doctor import OK, PROBLEM, WARNING
from bort_mx.commands.machine_facts import GPU_WHEELS, Facts, Gpu, HorovodBuild

HEALTHY = Facts(
    python=(3, 11), machine="x86_64", versions={"mxnet": "1.9.1", "numpy": "1.23.5"},
    pins={"mxnet": "1.9.1", "numpy": "1.23.5"}, imports={"mxnet": "", "gluonnlp": ""},
    features={"MKLDNN", "BLAS_OPEN", "OPENMP"}, gluonnlp_compiled=True, threads=2, physical_cores=2, local_workers=1,
    horovod=HorovodBuild("0.28.1", gloo=True), gpus=(), mxnet_gpus=0, free_bytes=100 << 30, directory=".",
    memory_bytes=16 << 30, programs={name: f"/usr/bin/{name}" for name in ("git", "cc", "c++", "cmake")})


def diagnosed(**changes):
    """All findings for a healthy machine with these changes."""
    return doctor.diagnose(dataclasses.replace(HEALTHY, **changes))


def findings(**changes):
    """Those that are not OK."""
    return [f for f in diagnosed(**changes) if f.level != OK]


def about(subject, **changes):
    """Those whose subject begins with this."""
    return [f for f in diagnosed(**changes) if f.subject.startswith(subject)]


def only(**changes):
    found = findings(**changes)
    assert len(found) == 1, found
    assert found[0].remedy
    return found[0]


def test_the_cpu_is_told_with_what_it_lacks():
    assert about("CPU") == []  # not Linux
    assert about("CPU", cpu="X", cpu_features=["AVX2"])[0].text == (
        "X: AVX2; without VNNI (8-bit) and bf16; 8-bit files get weights of 7 bits")
    assert about("CPU", cpu="X", cpu_features=["VNNI (8-bit)", "bf16"])[0].text == "X: VNNI (8-bit), bf16"


def test_a_healthy_machine_has_nothing_but_ok():
    assert findings() == []


@pytest.mark.parametrize("changes, subject, text", [
    ({"python": (3, 13)}, "Python", "3.13"),
    ({"versions": {"mxnet": "1.9.1", "numpy": None}}, "numpy", "not installed"),
    ({"versions": {"numpy": "1.23.5"}}, "mxnet", "not installed"),
    ({"versions": {"mxnet": "1.9.1", "mxnet-cu112": "1.9.1"}}, "mxnet", "installed together"),
    ({"imports": {"mxnet": "OSError: libcudart.so.11.0: cannot open"}}, "import mxnet", "libcudart"),
])
def test_a_broken_core_part_is_a_problem(changes, subject, text):
    problems = [f for f in findings(**changes) if f.level == PROBLEM]
    assert [f.subject for f in problems] == [subject] and text in problems[0].text and problems[0].remedy


@pytest.mark.parametrize("changes, text, remedy", [
    ({"machine": "aarch64"}, "aarch64", "x86-64"),
    ({"versions": {"mxnet": "1.9.1", "numpy": "1.22.4"}}, "1.22.4", "pip install numpy==1.23.5"),
    ({"features": {"BLAS_OPEN", "OPENMP"}}, "without it", "mxnet==1.9.1"),
    ({"features": {"MKLDNN", "BLAS_OPEN"}}, "one core", "mxnet==1.9.1"),
    ({"gluonnlp_compiled": False}, "left out", "C compiler"),
    ({"threads": 4}, "OMP_NUM_THREADS=4", "takes 2"),
    ({"threads": 2, "local_workers": 2}, "2 worker(s)", "takes 1"),
    ({"threads": 1}, "OMP_NUM_THREADS=1", "1 core(s) idle"),
    ({"horovod": HorovodBuild()}, "one process", "make install"),
    ({"horovod": HorovodBuild("0.28.1", error="ImportError: no MXNet")}, "no MXNet", "uninstall -y horovod"),
    ({"horovod": HorovodBuild("0.28.1")}, "neither Gloo nor MPI", "make install"),
    ({"free_bytes": 1 << 30}, "1.0 GiB", "output-dir"),
    ({"memory_bytes": 1 << 30}, "1.0 GiB", "micro-batch"),
    ({"programs": {"cc": "cc", "c++": "c++", "cmake": "cmake"}}, "not found", "install git"),
])
def test_the_rest_is_a_warning_with_its_remedy(changes, text, remedy):
    found = only(**changes)
    assert found.level == WARNING and text in found.text and remedy in found.remedy


def test_missing_horovod_names_the_missing_tools():
    found = about("Horovod", horovod=HorovodBuild(), programs={"cmake": None, "c++": "/usr/bin/c++"})
    assert found[0].remedy == "install cmake, then make install"


def test_horovod_without_nccl_is_told_on_gpus_only():
    build = HorovodBuild("0.28.1", gloo=True)
    assert [f.level for f in about("Horovod", horovod=build, gpus=[Gpu("T4", (7, 5))])] == [OK, WARNING]
    assert [f.level for f in about("Horovod", horovod=build)] == [OK]


@pytest.mark.parametrize("name, capability, wheels", [
    ("V100", (7, 0), ["mxnet-cu110", "mxnet-cu112"]),
    ("T4", (7, 5), ["mxnet-cu110", "mxnet-cu112"]),
    ("A100", (8, 0), ["mxnet-cu110", "mxnet-cu112"]),
    ("H100", (9, 0), []),
    ("K80", (3, 7), []),
    ("B200", (10, 0), []),
])
def test_which_wheel_has_code_for_which_gpu(name, capability, wheels):
    for wheel in GPU_WHEELS:
        found = about("GPU", gpus=[Gpu(name, capability)], mxnet_gpus=1, versions={wheel: "1.9.1"})
        assert [f.level for f in found] == [OK if wheel in wheels else WARNING]
    on_cpu = about("GPU", gpus=[Gpu(name, capability)])[0]
    assert on_cpu.remedy.startswith("make install CUDA=cu112" if wheels else "run on the CPU")


def test_other_faults_of_gpus():
    wheel = {"mxnet-cu112": "1.9.1"}
    assert "no GPU" in about("GPU", versions=wheel)[1].text
    assert "sees 1 of 2" in about("GPU", gpus=[Gpu("T4", (7, 5))] * 2, mxnet_gpus=1, versions=wheel)[-1].text
    assert "does not tell" in about("GPU", gpus=[Gpu("T4", None)], mxnet_gpus=1, versions=wheel)[0].text


def test_nvidia_smi_is_read(monkeypatch):
    monkeypatch.setattr(machine_facts, "_output",
                        lambda command: ["Tesla T4, 7.5"] if "compute_cap" in command[1] else [])
    assert machine_facts._gpus() == [Gpu("Tesla T4", (7, 5))]
    monkeypatch.setattr(machine_facts, "_output", lambda command: [] if "compute_cap" in command[1] else ["Tesla T4"])
    assert machine_facts._gpus() == [Gpu("Tesla T4", None)]


def test_this_installation_is_usable(capsys, tmp_path):
    assert doctor.main(["--output-dir", str(tmp_path / "not" / "yet")]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "looking at this machine and this installation …"
    assert lines[0].split() == ["ok", "bort_mx", "0.1.0"]
    assert lines[-2].startswith("usable: 0 problem(s)") and lines[-1].startswith("next: ")


def test_a_problem_makes_the_exit_code_1(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "gather", lambda directory: dataclasses.replace(HEALTHY, python=(3, 13)))
    assert doctor.main([]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "not usable: 1 problem(s), 0 warning(s)"

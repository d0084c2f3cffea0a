"""The files of deploy/: checked by shellcheck and hadolint, and run with stand-ins for Slurm's programs."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
SBATCH = sorted((ROOT / "deploy/slurm").glob("*.sbatch"))
BIN = pathlib.Path(sys.executable).parent


def tool(name):
    """The path of a checker; `make test` installs both."""
    found = shutil.which(name, path=os.pathsep.join([str(BIN), os.environ["PATH"]]))
    if not found:
        pytest.skip(f"needs {name}")
    return found


def test_shell_scripts_have_no_finding():
    files = [*SBATCH, *(ROOT / "tools").glob("*.sh"), ROOT / ".ci/run"]
    assert len(files) >= 6
    found = subprocess.run([tool("shellcheck"), *files], capture_output=True, text=True)
    assert found.stdout + found.stderr == ""


def test_the_signal_before_the_time_limit_reaches_the_program():
    """Without B: Slurm signals job steps only; these scripts start none, and `exec` makes the program the shell."""
    for path in SBATCH:
        text = path.read_text(encoding="utf-8")
        assert "#SBATCH --signal=B:TERM@120\n" in text, path
        assert "\nexec python" in text or "\ntrap stop TERM\n" in text, path


def test_the_dockerfile_has_no_finding_and_copies_what_is_there():
    path = ROOT / "deploy/Dockerfile"
    assert subprocess.run([tool("hadolint"), path], capture_output=True, text=True).stdout == ""
    copied = [word for line in path.read_text(encoding="utf-8").splitlines()
              if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]]
    assert len(copied) > 8 and [name for name in copied if not (ROOT / name).exists()] == []


def options_of(script):
    """The long options that a run script knows."""
    said = subprocess.run([sys.executable, str(ROOT / script), "--help"], capture_output=True, text=True, check=True)
    return said.stdout


def test_the_kubernetes_job_is_whole_and_its_options_exist():
    """Fields of kubeflow.org/v2beta1's MPIJob as its documentation lists them."""
    job = yaml.safe_load((ROOT / "deploy/kubernetes/mpijob.yaml").read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v2beta1", "MPIJob")
    assert set(job["spec"]) <= {"slotsPerWorker", "runPolicy", "mpiReplicaSpecs", "sshAuthMountPath",
                                "mpiImplementation", "launcherCreationPolicy"}
    launcher, worker = (job["spec"]["mpiReplicaSpecs"][name] for name in ("Launcher", "Worker"))
    pods = [part["template"]["spec"] for part in (launcher, worker)]
    [start], [work] = (pod["containers"] for pod in pods)
    workers = int(start["command"][start["command"].index("-np") + 1])
    assert workers == worker["replicas"] * job["spec"]["slotsPerWorker"]
    for pod in pods:
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for c in pod["containers"] for mount in c["volumeMounts"]} <= volumes
    assert (ROOT / start["command"][-1]).is_file() and (ROOT / start["args"][1]).is_file()
    known = options_of("run_pretraining.py")
    assert [word for word in start["args"] if word.startswith("--") and word not in known] == []
    assert work["image"] == start["image"]


@pytest.fixture
def cluster(tmp_path):
    """Stand-ins for Slurm's programs on the PATH, which note how they were called; two "hosts", both this machine."""
    programs = {
        "scontrol": 'echo "scontrol $*" >> "$CALLS"\nif [ "$1" = show ]; then echo localhost; fi\n',
        "srun": 'echo "srun $*" >> "$CALLS"\nwhile [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"\n',
        "pkill": f'exec {sys.executable} {ROOT}/tests/deploy/pkill.py "$@"\n',
    }
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}")
        (folder / name).chmod(0o755)
    path = os.pathsep.join([str(folder), str(BIN), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "CALLS": str(tmp_path / "calls"), "SLURM_JOB_NODELIST": "localhost",
            "SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "2", "WORKERS": "2", "PYTHONPATH": str(ROOT),
            "RUN_FOLDER": str(tmp_path)}


def losses(run):
    rows = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


@pytest.mark.timeout(300)
def test_a_pre_training_job_stops_with_a_checkpoint_is_requeued_and_ends_as_if_left_alone(prepared, cluster, tmp_path):
    pytest.importorskip("horovod")
    arguments = ["--data", str(prepared), "--architecture", "1,2,32,64", "--seq-len", "32", "--batch-size", "4",
                 "--max-steps", "80", "--warmup", "10", "--log-interval", "5", "--evaluation-sequences", "8"]

    def submit(name):
        return subprocess.Popen(["bash", str(ROOT / "deploy/slurm/pretrain.sbatch"), *arguments, "--output-dir",
                                 str(tmp_path / name)], cwd=ROOT, env=cluster, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)

    job = submit("run")  # its output is closed by `communicate`
    metrics, deadline = tmp_path / "run/metrics.jsonl", time.monotonic() + 120
    while not (metrics.is_file() and metrics.stat().st_size) and job.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    said, _ = job.communicate(timeout=120)
    assert job.returncode == 0, said
    calls = pathlib.Path(cluster["CALLS"]).read_text().splitlines()
    assert calls[-1] == "scontrol requeue 7" and calls[0] == "scontrol show hostnames localhost"
    [checkpoint] = (tmp_path / "run/checkpoints").glob("step-*")
    assert 5 <= int(checkpoint.name[5:]) < 80 and not (tmp_path / "run/results.json").exists()

    for name in ("run", "alone"):
        with submit(name) as job:
            said, _ = job.communicate(timeout=200)
        assert job.returncode == 0, said
    assert losses(tmp_path / "run") == losses(tmp_path / "alone") and 80 in losses(tmp_path / "run")
    assert pathlib.Path(cluster["CALLS"]).read_text().count("requeue") == 1


@pytest.mark.timeout(300)
def test_two_hosts_train_as_two_workers_of_one(prepared, tmp_path, load_benchmark):
    pytest.importorskip("horovod")
    network = load_benchmark("network_hosts")
    arguments = [sys.executable, str(ROOT / "run_pretraining.py"), "--data", str(prepared), "--architecture",
                 "1,2,32,64", "--seq-len", "32", "--batch-size", "4", "--max-steps", "6", "--warmup", "2",
                 "--log-interval", "1", "--evaluation-sequences", "8", "--output-dir"]
    path = os.pathsep.join([str(BIN), os.environ["PATH"]])
    with contextlib.ExitStack() as stack:
        try:
            hosts = stack.enter_context(network.two_hosts(tmp_path))
        except OSError as error:
            pytest.skip(f"network namespaces cannot be made here: {error}")
        there = hosts.environment()
        for name, launcher, environment in (
                ("two", hosts.horovodrun([1, 1]), {**there, "PATH": os.pathsep.join([hosts.path, path])}),
                ("one", ["horovodrun", "-np", "2"], {**os.environ, "PATH": path})):
            done = subprocess.run([*launcher, *arguments, str(tmp_path / name)], cwd=ROOT, capture_output=True,
                                  text=True, env={**environment, "PYTHONPATH": str(ROOT)})
            assert done.returncode == 0, done.stdout + done.stderr
    assert losses(tmp_path / "two") == losses(tmp_path / "one") and set(losses(tmp_path / "two")) == set(range(1, 7))


@pytest.mark.parametrize("name, index, expected", [
    ("agora-array", "6",
     "run_finetune.py --agora --task QNLI --socrates T/QNLI --output-dir O/QNLI --resume auto --seed 3"),
    ("search-array", "2", "run_search.py --seed 2 --output-dir O/seed-2 --seed 3"),
])
def test_an_array_element_starts_its_own_run(name, index, expected, tmp_path):
    (tmp_path / "python").write_text('#!/bin/sh\necho "$OMP_NUM_THREADS $*"\n')
    (tmp_path / "python").chmod(0o755)
    given = ["--output-dir", "O", "--seed", "3", *(["--socrates-dir", "T"] if name == "agora-array" else [])]
    done = subprocess.run(["bash", str(ROOT / f"deploy/slurm/{name}.sbatch"), *given], capture_output=True, text=True,
                          env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": index,
                               "SLURM_CPUS_PER_TASK": "4"})
    assert done.stdout == f"4 {expected}\n" and done.returncode == 0, done.stderr
    known = options_of(expected.split()[0])
    assert [word for word in expected.split()[1:] if word.startswith("--") and word not in known] == []

"""Workers that were started differently: each stage ends with one line before its first step, on all workers."""

import os
import pathlib
import shutil
import subprocess
import sys
import threading

import mxnet as mx
import pytest

from bort_mx import distributed
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.pretraining.options import PretrainingOptions
from bort_mx.training.run_directory import RunDirectory

ROOT = pathlib.Path(__file__).resolve().parents[1]
DEMO = ["--task", "demo", "--checkpoint", "fresh", "--batch-size", "16", "--epochs", "1"]
TINY = ["--architecture", "1,2,16,24", "--batch-size", "8", "--seq-len", "32", "--max-steps", "1"]


class OneOfThree(Workers):
    """One of three threads that stand in for Horovod's processes."""

    size = 3

    def __init__(self, rank, values, barrier):
        self.rank, self._values, self._barrier = rank, values, barrier

    def gather(self, value, name):
        self._values[self.rank] = value
        self._barrier.wait()
        everyone = list(self._values)
        self._barrier.wait()
        return everyone


def of_all(work):
    """What work(workers) raised on each of three workers, as text; None where it returned."""
    values, barrier, raised = [None] * 3, threading.Barrier(3, timeout=20), [None] * 3

    def target(rank):
        try:
            work(OneOfThree(rank, values, barrier))
        except InputError as error:
            raised[rank] = str(error)

    threads = [threading.Thread(target=target, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


@pytest.mark.parametrize("device, gpus, given, pace", [
    ("cpu", 1, None, distributed.CYCLE), ("auto", 0, None, distributed.CYCLE), ("auto", 1, None, None),
    ("gpu", 1, None, None), ("cpu", 0, "3", "3")])
def test_on_a_cpu_horovod_looks_for_work_less_often(monkeypatch, device, gpus, given, pace):
    monkeypatch.setenv("HOROVOD_CYCLE_TIME", given or "")
    if given is None:
        monkeypatch.delenv("HOROVOD_CYCLE_TIME")
    monkeypatch.setattr(mx.context, "num_gpus", lambda: gpus)
    distributed._pace(device)
    assert os.environ.get("HOROVOD_CYCLE_TIME") == pace


def test_equal_values_agree():
    assert of_all(lambda workers: workers.agree({"--seed": 0, "--data": ["a"], "data": {"b": 1}}, "it")) == [None] * 3


@pytest.mark.parametrize("value_of, message", [
    (lambda rank: {"--seed": rank // 2}, "--seed: 0 (worker 0, 1), 1 (worker 2)"),
    (lambda rank: {"--data": ["a"] if rank else None}, '--data: null (worker 0), ["a"] (worker 1, 2)'),
    (lambda rank: {"x": 1} if rank else {"y": 2}, "y: 2 (worker 0), nothing (worker 1, 2); x: nothing (worker 0), 1"),
    (lambda rank: {"sha": "a" * 60 + str(rank)}, "sha: "),
    (lambda rank: {f"--{i}": rank for i in range(9)}, "; and 6 more"),
])
def test_who_differs_is_named_on_all_workers(value_of, message):
    raised = of_all(lambda workers: workers.agree(value_of(workers.rank), "it"))
    assert len(set(raised)) == 1 and message in raised[0] and "\n" not in raised[0]


@pytest.mark.parametrize("extra, changes, message", [
    ({"data": {"train": "one"}}, {"data": {"train": "other"}}, 'data train: "one" (worker 0, 1), "other" (worker 2)'),
    ({}, {}, "the step that the run starts from: 0 (worker 0, 1), 7 (worker 2)")])
def test_a_run_agrees_on_data_and_on_the_step(tmp_path, extra, changes, message):
    def work(workers):
        last = workers.rank == 2
        run = RunDirectory(tmp_path, PretrainingOptions(), (), workers.is_first, extra=changes if last else extra)
        run.start_step = 7 if last and not changes else 0
        run.agree(workers)

    assert message in of_all(work)[0]


def two(launcher, tmp_path, script, arguments, each=""):
    """Run a script with two workers, each in a folder of its own; `each` may hold $HOROVOD_RANK."""
    line = f'cd worker-$HOROVOD_RANK && exec "{sys.executable}" "{ROOT / script}" "$@" {each}'
    for rank in (0, 1):
        (tmp_path / f"worker-{rank}").mkdir(exist_ok=True)
    done = subprocess.run([*launcher, "sh", "-c", line, "sh", *map(str, arguments)], cwd=tmp_path, text=True,
                          capture_output=True, timeout=120,
                          env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)})
    assert done.returncode != 0  # horovodrun's own; it prints a traceback of its own as well
    assert not [line for line in done.stderr.splitlines() if line.startswith("[") and "Traceback" in line]
    assert not list(tmp_path.glob("worker-*/out/metrics.jsonl"))
    return done.stdout + done.stderr


@pytest.mark.parametrize("script, arguments, each, message", [
    ("run_pretraining.py", TINY, "--seed $HOROVOD_RANK", "differ in --seed: 0 (worker 0), 1 (worker 1)"),
    ("run_finetune.py", [*DEMO, "--agora", "--socrates", "x"], "--rounds $((HOROVOD_RANK + 1))",
     "differ in --rounds: "),
    ("run_search.py", ["--teacher", "x", "--data", "y"], "--steps $((HOROVOD_RANK + 1))", "differ in --steps: 1 "),
])
def test_every_stage_refuses_workers_with_other_options(two_workers, tmp_path, script, arguments, each, message):
    said = two(two_workers, tmp_path, script, [*arguments, "--output-dir", "out"], each)
    assert f"error: the workers {message}" in said


def test_other_data_under_the_same_name_are_refused(two_workers, prepared, tmp_path):
    for rank in (0, 1):
        shutil.copytree(prepared, tmp_path / f"worker-{rank}" / "data")
    manifest = tmp_path / "worker-1/data/manifest.json"
    manifest.write_text(manifest.read_text().replace('"seed": 0', '"seed": 1'))
    said = two(two_workers, tmp_path, "run_pretraining.py", [*TINY, "--data", "data", "--output-dir", "out"])
    assert "error: the workers differ in data manifest_sha256: " in said


def test_other_examples_under_the_same_name_are_refused(two_workers, tmp_path):
    task = "files: {train: train.tsv, dev: dev.tsv}\ncolumns: {text: text, label: label}\nlabels: [a, b]\n"
    for rank in (0, 1):
        folder = tmp_path / f"worker-{rank}"
        folder.mkdir()
        (folder / "own.yaml").write_text(task)
        rows = [f"word {i} {rank}\t{'ab'[i % 2]}" for i in range(20)]
        for split in ("train", "dev"):
            (folder / f"{split}.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n")
    said = two(two_workers, tmp_path, "run_finetune.py", [
        "--task", "own.yaml", "--checkpoint", "fresh", "--batch-size", "4", "--output-dir", "out"])
    assert "error: the workers differ in data train: " in said

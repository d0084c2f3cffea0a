"""Run directories and checkpoints that version 0.1 wrote, before files and options were renamed, continue and load.

tests/golden/old_runs/version_0.1.tar.xz holds, of models of a few kilobytes: prepared text, a pre-training run of 10
steps (with AdamW's ε 1e-7 under its former name), a fine-tuning run stopped at step 10 of 16, a teacher, a run of Agora
that was stopped after 2 of 4 trainings, and a search with 3 of 6 candidates finished.
"""

import json
import os
import pathlib
import subprocess
import sys
import tarfile

import numpy as np
import pytest

from bort_mx.checkpoints import load

ROOT = pathlib.Path(__file__).resolve().parents[1]
PRETRAINING = ["--data", "shards", "--batch-size", "4", "--seq-len", "32", "--learning-rate", "1e-3", "--warmup", "4",
               "--log-interval", "2", "--checkpoint-interval", "5", "--evaluation-interval", "5",
               "--evaluation-sequences", "16", "--num-positions", "64", "--device", "cpu", "--keep-checkpoints", "1"]
FINETUNING = ["--task", "own.yaml", "--checkpoint", "pretraining", "--batch-size", "8", "--learning-rate", "1e-3",
              "--device", "cpu"]


@pytest.fixture
def runs(tmp_path):
    """The directories of version 0.1, unpacked."""
    with tarfile.open(ROOT / "tests" / "golden" / "old_runs" / "version_0.1.tar.xz") as archive:
        archive.extractall(tmp_path)
    return tmp_path / "runs"


def run(folder, script, *words):
    """Run a script; returns exit code, standard output and standard error."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(ROOT / script), *words], cwd=folder, env=environment, text=True,
                          capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr


def steps(folder, name="loss"):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row["step"] for row in rows if name in row]


def test_pretraining_continues_as_if_it_had_never_stopped(runs):
    """The resumed run's weights are those of an uninterrupted run, up to what another machine's arithmetic does."""
    more = ["--architecture", "1,2,16,32", "--max-steps", "20", "--adam-epsilon", "1e-7"]
    code, out, err = run(runs, "run_pretraining.py", *PRETRAINING, *more, "--output-dir", "pretraining", "--resume",
                         "auto")
    assert (code, err) == (0, "") and "resuming after step 10" in out
    assert steps(runs / "pretraining") == list(range(2, 21, 2))
    code, _, err = run(runs, "run_pretraining.py", *PRETRAINING, *more, "--output-dir", "whole")
    assert (code, err) == (0, "")
    resumed, whole = (load(runs / name)[0] for name in ("pretraining", "whole"))
    for name, parameter in resumed.collect_params().items():
        peer = whole.collect_params()[whole.prefix + name[len(resumed.prefix):]]
        np.testing.assert_allclose(parameter.data().asnumpy(), peer.data().asnumpy(), atol=2e-5)


def test_a_renamed_option_is_still_compared(runs):
    code, _, err = run(runs, "run_pretraining.py", *PRETRAINING, "--architecture", "1,2,16,32", "--max-steps", "20",
                       "--output-dir", "pretraining", "--resume", "auto")
    assert code == 2 and "option adam_epsilon was 1e-07" in err and "is 1e-08 now" in err


def test_finetuning_continues_and_what_is_finished_is_known(runs):
    code, out, err = run(runs, "run_finetune.py", *FINETUNING, "--epochs", "2", "--log-interval", "1", "--output-dir",
                         "finetuning", "--resume", "auto")
    assert (code, err) == (0, "") and "resuming after step 10" in out
    assert steps(runs / "finetuning") == list(range(1, 17))
    assert len((runs / "finetuning" / "predictions.tsv").read_text().splitlines()) == 1 + 24
    code, out, _ = run(runs, "run_finetune.py", *FINETUNING, "--epochs", "1", "--output-dir", "teacher", "--resume",
                       "auto")
    assert code == 0 and "teacher is already finished" in out


def test_agora_trains_what_its_record_lacks(runs):
    before = (runs / "agora" / "agora" / "jobs.jsonl").read_text()
    code, out, err = run(runs, "run_finetune.py", *FINETUNING, "--epochs", "1", "--output-dir", "agora", "--agora",
                         "--socrates", "teacher", "--accept-socrates", "--theta", "theta.yaml", "--rounds", "2",
                         "--tau", "typo", "--points", "20", "--baselines", "enumeration", "--resume", "auto")
    assert code == 0, err
    assert (runs / "agora" / "agora" / "jobs.jsonl").read_text().startswith(before)
    assert "round 0, training 2 of 2" in out and "training 3" not in out.split("round 0:")[0]


def test_a_search_evaluates_what_its_log_lacks(runs):
    before = (runs / "search" / "candidates.jsonl").read_text()
    code, _, err = run(runs, "run_search.py", "--data", "shards", "--teacher", "maximum", "--space", "space.yaml",
                       "--epsilon", "1", "--latency", "flops", "--batch-size", "8", "--seq-len", "32",
                       "--evaluation-lines", "16", "--output-dir", "search", "--device", "cpu")
    assert code == 0, err
    after = (runs / "search" / "candidates.jsonl").read_text()
    assert after.startswith(before) and after.count("\n") == 7
    assert json.loads((runs / "search" / "runtime.json").read_text())["taken_from_log"] == 3

"""`run_finetune.py --agora` as a user runs it: outputs, bytes, kills, workers, kinds of tasks, bad input."""

import csv
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from bort_mx import Architecture
from bort_mx.checkpoints import load, native, read
from bort_mx.data.tasks import Example, Examples, get_task, synthetic
from bort_mx.data.tokenizer import train_sentencepiece
from bort_mx.distributed import Workers
from bort_mx.errors import InputError, RunError
from bort_mx.finetuning import agora_run, audit, job, socrates
from bort_mx.finetuning import main as command
from bort_mx.finetuning.agora_options import AgoraRunOptions
from bort_mx.finetuning.agora_run import run_agora
from bort_mx.finetuning.fill import MORE, MaskFiller
from bort_mx.finetuning.finetune import finetune
from bort_mx.finetuning.job import EXAMPLE_ACCURACY, Bench
from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.finetuning.points import key
from bort_mx.finetuning.taskdata import TaskData
from bort_mx.finetuning.tau import MASK, mlm
from bort_mx.finetuning.theta import Theta, paper_thetas
from bort_mx.models import build_model
from bort_mx.random import generator

ROOT = pathlib.Path(__file__).resolve().parent.parent
SETS = "sets:\n- [3.0e-3, 0.01, 0.1, 0]\n- [3.0e-2, 0.01, 0.1, 0]\n- [1.0e-1, 0, 0.1, 0]\n"
TINY = Architecture(1, 2, 16, 32)


@pytest.fixture(scope="module")
def tokenizer():
    return train_sentencepiece([text for pair in synthetic.generate()["train"] for text in pair[:2]], 400)


@pytest.fixture(scope="module")
def timaeus(tokenizer, tmp_path_factory):
    """A tiny model with an MLM head."""
    path = tmp_path_factory.mktemp("timaeus") / "checkpoint"
    native.save(path, build_model(TINY, tokenizer.vocab_size, "mlm", num_positions=64), tokenizer)
    return path


def table(path, names, rows):
    path.write_text("\n".join("\t".join(map(str, row)) for row in [names, *rows]) + "\n")


def deciding_word(first, second, label):
    """The pair with the label that its second word stands for."""
    at = synthetic.NOUNS.index(first.split()[1])
    return first, second, (synthetic.ENTAILMENT, synthetic.NOT_ENTAILMENT)[at % 2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pairs of texts of which one word decides, as a task of one's own, and a Theta of three."""
    folder = tmp_path_factory.mktemp("task")
    for split, rows in synthetic.generate({"train": 48, "dev": 24, "test": 8}).items():
        table(folder / f"{split}.tsv", ("first", "second", "class"), [deciding_word(*row) for row in rows])
    (folder / "own.yaml").write_text(
        "files: {train: train.tsv, dev: dev.tsv, test: test.tsv}\n"
        "columns: {text: first, text_pair: second, label: class}\nlabels: [not_entailment, entailment]\n")
    (folder / "theta.yaml").write_text(SETS)
    return folder


@pytest.fixture(scope="module")
def teacher(folder, timaeus, tmp_path_factory):
    """A fine-tuned run that is right on more than two thirds of dev."""
    out = tmp_path_factory.mktemp("teacher") / "run"
    found = finetune(FineTuningOptions(str(folder / "own.yaml"), str(timaeus), epochs=1, learning_rate=3e-2,
                                       batch_size=12, output_dir=str(out)))
    assert found["dev"]["accuracy"] > 2 / 3
    return out


@pytest.fixture(scope="module")
def small(folder, timaeus, teacher):
    """Options of a run of three thetas, six trainings of a few steps, and four of the baselines."""
    return AgoraRunOptions(str(folder / "own.yaml"), str(timaeus), epochs=1, batch_size=12, dropout=0.0, agora=True,
                           socrates=str(teacher), theta=str(folder / "theta.yaml"), pruning="worst",
                           tau="mlm,typo+swap")


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    run_agora(dataclasses.replace(small, output_dir=str(out)))
    return out


def contents(folder, without=("cost.json",)):
    """Every file of agora/ and the weights, byte for byte."""
    paths = [*(folder / "agora").rglob("*"), *(folder / "checkpoints").glob("*/model.safetensors")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(paths)
            if path.is_file() and path.name not in without}


def records(folder):
    return [json.loads(line) for line in (folder / "agora/jobs.jsonl").read_text().splitlines()]


def results_of(folder):
    return json.loads((folder / "results.json").read_text())


def words_of(options, **changes):
    """Options as a command line."""
    values, default = dataclasses.replace(options, **changes), AgoraRunOptions()
    names = [f.name for f in dataclasses.fields(values) if getattr(values, f.name) != getattr(default, f.name)]
    return [word for name in names for word in (f"--{name.replace('_', '-')}", str(getattr(values, name)))]


def start(*words, launcher=()):
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    return subprocess.Popen([*launcher, sys.executable, str(ROOT / "run_finetune.py"), *map(str, words)], cwd=ROOT,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


# -- what a run leaves -----------------------------------------------------------------------------------------------


def test_a_run_leaves_what_the_design_says(finished):
    found = results_of(finished)
    assert found["agora"]["rounds"] == 3 and found["agora"]["trainings"] == 6
    assert found["agora"]["stopped"] == "Theta is empty" and found["agora"]["bound"] == [1.0, 1.75]
    assert {"predictions.tsv", "own.tsv", "confusion.png", "config.json", "metrics.jsonl"} <= set(os.listdir(finished))
    assert {"report.md", "agora.json", "heatmap.png", "rounds.png", "jobs.jsonl", "trainings.csv", "data",
            "predictions", "cost.json", "baselines.jsonl"} == set(os.listdir(finished / "agora"))
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 1, 2] and [row["thetas"] for row in rows] == [3, 2, 1]
    accuracies = [record["accuracy"] for record in records(finished) if record["kind"] == "job"]
    assert found["dev"][EXAMPLE_ACCURACY] == found["dev"]["accuracy"] == max(accuracies)
    assert any("5 of 48 examples put aside" in note for note in found["notes"])


def test_the_baselines_stand_beside_it(finished):
    found = results_of(finished)
    rows = {row["name"]: row for row in found["baselines"]}
    first = [record["accuracy"] for record in records(finished) if record["kind"] == "job" and record["round"] == 0]
    assert rows["enumeration"]["dev"]["accuracy"] == max(first) and rows["enumeration"]["trainings"] == 3
    assert rows["plain"]["theta"] == [1e-5, 0.01, 0.1, 0] and rows["distillation"]["trainings"] == 3
    report = (finished / "agora/report.md").read_text()
    assert all(f"| {name} | {row['dev']['accuracy']:.4f} | {row['audit']['accuracy']:.4f} |" in report
               for name, row in rows.items())
    with open(finished / "agora/trainings.csv") as file:
        trainings = list(csv.DictReader(file))
    assert [row["round"] for row in trainings] == [*"000112", "plain", *["distillation"] * 3]
    assert sum(row["pruned"] == "1" for row in trainings) == 3 and trainings[6]["points"] == "43"


def test_the_best_model_is_a_usual_run_which_predicts_the_same(finished, small, tmp_path):
    again = finetune(FineTuningOptions(small.task, str(finished), output_dir=str(tmp_path / "run"), predict_only=True))
    found = results_of(finished)
    assert again["dev"]["accuracy"] == found["dev"]["accuracy"] and again["dev"]["loss"] == found["dev"]["loss"]
    assert (tmp_path / "run/predictions.tsv").read_bytes() == (finished / "predictions.tsv").read_bytes()
    assert not load(finished)[0].initialized and native.latest(finished / "checkpoints")


def test_new_points_tell_their_origin_and_none_is_in_the_audit_slice(finished, small):
    lines = [json.loads(line) for path in sorted((finished / "agora/data").iterdir())
             for line in path.read_text().splitlines()]
    assert {line["tau"] for line in lines} == {"mlm", "typo+swap"} and len(lines) > 20
    task = get_task(small.task)
    train, dev = (task.read(None, split) for split in ("train", "dev"))
    kept, aside = audit.split(train, 5, 0, dev)
    assert len(aside) == 5 and not {key(line["texts"]) for line in lines} & {key(example.texts) for example in aside}
    assert {tuple(line["seed_texts"]) for line in lines} <= {example.texts for example in dev}
    assert all(line["label"] in task.labels and 0.5 <= line["confidence"] <= 1 for line in lines)


def test_predictions_of_every_job_are_kept(finished, small):
    dev = get_task(small.task).read(None, "dev")
    for record in records(finished):
        if record["kind"] == "job":
            path = finished / f"agora/predictions/round-{record['round']:03d}-theta-{record['index']:03d}.json"
            found = json.loads(path.read_text())
            labels = [("not_entailment", "entailment")[i] for i in found["dev_predictions"]]
            assert np.mean([a == b.label for a, b in zip(labels, dev)]) == record["accuracy"] == found["accuracy"]
            assert len(found["audit_predictions"]) == 5 and not found["diverged"]


# -- the same bytes ----------------------------------------------------------------------------------------------------


def test_same_seed_same_bytes(finished, small, tmp_path):
    run_agora(dataclasses.replace(small, output_dir=str(tmp_path / "run")))
    assert contents(tmp_path / "run") == contents(finished)


def test_killed_between_jobs_and_resumed_is_the_same(finished, small, tmp_path):
    out = tmp_path / "run"
    process, deadline = start(*words_of(small, output_dir=str(out))), time.monotonic() + 120
    log = out / "agora/jobs.jsonl"
    while not (log.exists() and log.read_bytes().count(b'"kind": "job"') >= 4):  # in round 1
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (out / "results.json").unlink(missing_ok=True)  # if it was quicker than the kill
    command.main([*words_of(small, output_dir=str(out)), "--resume", "auto"])
    assert contents(out) == contents(finished)
    mine, theirs = results_of(out), results_of(finished)
    del mine["provenance"], theirs["provenance"]
    assert mine == theirs


def test_what_is_finished_is_not_done_again_and_rounds_may_be_raised(small, tmp_path, monkeypatch):
    options = dataclasses.replace(small, output_dir=str(tmp_path), baselines="enumeration", tau="drop", rounds=1)
    once = run_agora(options)
    assert once["agora"]["trainings"] == 3 and [row["name"] for row in once["baselines"]] == ["enumeration"]
    genuine, trained = Bench.train, []
    monkeypatch.setattr(Bench, "train", lambda self, theta, *rest: trained.append(theta) or genuine(self, theta, *rest))
    again = dataclasses.replace(options, resume="auto")
    assert run_agora(again)["dev"] == once["dev"] and not trained
    more = run_agora(dataclasses.replace(again, rounds=2))
    assert more["agora"]["trainings"] == 5 and len(trained) <= 2 + 2  # two of round 1, and models that are gone
    with pytest.raises(InputError, match="option tau was"):
        run_agora(dataclasses.replace(again, tau="typo"))
    with pytest.raises(InputError, match="holds a run already"):
        run_agora(options)


def test_a_record_of_other_data_is_refused(small, timaeus, tmp_path):
    options = dataclasses.replace(small, output_dir=str(tmp_path), baselines="enumeration", tau="drop", rounds=1)
    run_agora(options)
    (tmp_path / "results.json").unlink()
    again = dataclasses.replace(options, resume="auto", rounds=2)
    with pytest.raises(InputError, match="another run, which differs in Socrates"):
        run_agora(dataclasses.replace(again, socrates=str(tmp_path)))
    (tmp_path / "theta.yaml").write_text(SETS.replace("3.0e-3", "4.0e-3"))
    with pytest.raises(InputError, match="theta"):
        run_agora(dataclasses.replace(again, theta=str(tmp_path / "theta.yaml")))


def test_two_workers_take_jobs_and_find_the_same(finished, small, tmp_path):
    pytest.importorskip("horovod", exc_type=ImportError)  # horovod.mxnet would break torch later
    launcher = [pathlib.Path(sys.executable).with_name("horovodrun"), "--gloo", "-np", "2", "-H", "localhost:2"]
    taking = start(*words_of(small, output_dir=str(tmp_path / "taking")), launcher=launcher)
    output, error = taking.communicate(timeout=240)
    assert taking.returncode == 0, error
    assert contents(tmp_path / "taking") == contents(finished)
    assert output.count("ended: Theta is empty") == 1 and "2 at once are counted in" in output
    sharing = start(*words_of(small, output_dir=str(tmp_path / "sharing"), data_parallel=True, rounds=1, tau="drop",
                              baselines="enumeration"), launcher=launcher)
    output, error = sharing.communicate(timeout=240)
    assert sharing.returncode == 0, error
    first = [[record["accuracy"] for record in records(out) if record["kind"] == "job" and record["round"] == 0]
             for out in (tmp_path / "sharing", finished)]
    np.testing.assert_allclose(*first, atol=0.042)  # of 24 examples one may stand on the boundary

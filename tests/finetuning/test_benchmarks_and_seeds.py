"""Every kind of task, benchmarks and several seeds."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from finetuning_runs import results_of

from bort_mx.checkpoints.loading import read as read_checkpoint
from bort_mx.commands import finetune as command
from bort_mx.data.tasks import TASKS, get_task
from bort_mx.errors import InputError
from bort_mx.finetuning import benchmark as benchmark_module
from bort_mx.finetuning.finetune import finetune


def test_regression_without_a_test_set(small, regression, tmp_path):
    found = finetune(dataclasses.replace(small, task=str(regression), epochs=6, learning_rate=3e-3,
                                         output_dir=str(tmp_path / "run")))
    assert found["history"][-1]["loss"] < found["history"][0]["loss"]
    assert found["submissions"] == [] and any("no test set under `files`" in note for note in found["notes"])
    header, first = (tmp_path / "run/predictions.tsv").read_text().splitlines()[:2]
    assert header.split("\t") == ["idx", "text", "label", "prediction"] and float(first.split("\t")[-1])
    assert (tmp_path / "run/scatter.png").is_file() and "pearson" in found["dev"]


def test_a_benchmark_makes_a_table_and_a_zip_and_says_what_is_left_out(small, superglue, tmp_path, capsys, monkeypatch):
    """COPA compares candidates; RTE's model predicts AX-b too; the other tasks' files cannot be had."""
    import zipfile

    from bort_mx.data.tasks import download

    def offline(url, out):
        raise OSError("no network")

    monkeypatch.setattr(download, "_over_http", offline)
    options = dataclasses.replace(small, task="superglue", data_dir=str(superglue), epochs=1, seeds=2,
                                  batch_size=None, output_dir=str(tmp_path / "run"))
    found = command.run(options)["superglue"]
    assert set(found["dev"]) == {"COPA", "RTE", "AX-b"} and found["average"] is None
    assert any("WiC left out" in note and "fetch" in note for note in found["notes"])
    table = (tmp_path / "run/superglue/table.md").read_text()
    copa_row = next(line for line in table.splitlines() if line.startswith("| COPA"))
    assert "89.6" in copa_row and copa_row.endswith(f"{100 * found['dev']['COPA']['accuracy']:.1f} |")
    assert table in capsys.readouterr().out
    assert zipfile.ZipFile(tmp_path / "run/superglue/superglue.zip").namelist() == ["COPA.jsonl", "AX-b.jsonl"]
    seeds = results_of(tmp_path / "run/superglue/COPA")
    values = seeds["dev_over_seeds"]["accuracy"]["values"]
    assert len(values) == 2 and seeds["dev"]["accuracy"] == pytest.approx(np.median(values))
    best = tmp_path / f"run/superglue/COPA/seed-{int(np.argmax(values))}/checkpoints/best"
    assert read_checkpoint(tmp_path / "run/superglue/COPA").source == str(best)
    rows = (tmp_path / "run/superglue/COPA/seed-0/predictions.tsv").read_text().splitlines()
    assert rows[0].split("\t")[3] == "candidate" and len(rows) == 17
    command.run(dataclasses.replace(options, resume="auto"))  # all finished: the same table at once
    assert (tmp_path / "run/superglue/table.md").read_text() == table
    few = "COPA: test: 8 where the official set has 500"
    assert few in table and any(few in note for note in results_of(tmp_path / "run")["superglue"]["notes"])
    shutil.copytree(superglue, tmp_path / "fewer", ignore=shutil.ignore_patterns("COPA"))
    fewer = command.run(dataclasses.replace(options, resume="auto", data_dir=str(tmp_path / "fewer")))["superglue"]
    assert any("superglue/COPA left out" in note for note in fewer["notes"])
    assert zipfile.ZipFile(tmp_path / "run/superglue/superglue.zip").namelist() == ["AX-b.jsonl"]
    assert (tmp_path / "run/superglue/COPA/COPA.jsonl").is_file()


def test_seeds_without_a_best_are_no_checkpoint(small, tmp_path):
    folder = tmp_path / "run"
    command.run(dataclasses.replace(small, epochs=1, seeds=2, output_dir=str(folder)))
    (folder / "results.json").write_text("[]")
    with pytest.raises(InputError, match="no results.json that says which is the best"):
        read_checkpoint(folder)
    (folder / "results.json").unlink()  # as after a kill in the second
    with pytest.raises(InputError, match="holds seed-0, seed-1, and no results.json .* give one of them"):
        read_checkpoint(folder)


def test_a_diagnostic_set_is_predicted_by_the_task_that_scores_it(small, superglue, tmp_path):
    found = finetune(dataclasses.replace(small, task="AX-b", data_dir=str(superglue), epochs=1,
                                         output_dir=str(tmp_path / "run")))
    assert found["task"] == "superglue/RTE" and "matthews" in found["diagnostics"]["superglue/AX-b"]
    assert json.loads((tmp_path / "run/AX-b.jsonl").read_text().splitlines()[0])["idx"] == 0
    assert any("superglue/AX-b test: 12 where the official set has 1,104" in note for note in found["notes"])


def test_what_an_undefined_metric_of_a_diagnostic_set_is_stands_in_the_results(small, superglue, tmp_path):
    shutil.copytree(superglue, tmp_path / "data")
    path = tmp_path / "data/superglue/AX-b/AX-b.jsonl"
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    found = finetune(dataclasses.replace(small, task="superglue/RTE", data_dir=str(tmp_path / "data"), epochs=1,
                                         output_dir=str(tmp_path / "run")))
    assert found["diagnostics"]["superglue/AX-b"]["matthews"] == 0
    assert any(note.startswith("superglue/AX-b test: Matthews' correlation is undefined") for note in found["notes"])


def test_table_averages_when_every_task_is_there():
    every = {get_task(k).name: dict.fromkeys(get_task(k).metrics, 0.5) for k in TASKS
             if get_task(k).benchmark == "glue"}
    table = benchmark_module.benchmark_table("glue", every)
    assert table.splitlines()[-1].endswith("| 50.0 |") and "| 94.1/92.3 | 50.0/50.0 |" in table


def test_a_diagnostic_set_alone_can_be_predicted(small, superglue, tmp_path):
    """Neither RTE's files nor a network are needed."""
    trained = dataclasses.replace(small, task="superglue/RTE", data_dir=str(superglue), epochs=1,
                                  output_dir=str(tmp_path / "run"))
    scores = finetune(trained)["diagnostics"]["superglue/AX-b"]
    shutil.copytree(superglue / "superglue/AX-b", tmp_path / "data/superglue/AX-b")
    found = finetune(dataclasses.replace(trained, task="AX-b", data_dir=str(tmp_path / "data"), predict_only=True,
                                         checkpoint=str(tmp_path / "run"), output_dir=str(tmp_path / "predict")))
    assert found["diagnostics"]["superglue/AX-b"] == pytest.approx(scores) and found["submissions"] == ["AX-b.jsonl"]
    assert len((tmp_path / "predict/predictions.tsv").read_text().splitlines()) == 13


def test_a_benchmark_reads_every_file_before_it_trains(small, superglue, tmp_path):
    shutil.copytree(superglue, tmp_path / "data")
    with open(tmp_path / "data/superglue/RTE/val.jsonl", "a") as file:
        file.write("{}\n")
    options = dataclasses.replace(small, task="superglue", data_dir=str(tmp_path / "data"), epochs=1, batch_size=None,
                                  output_dir=str(tmp_path / "run"))
    with pytest.raises(InputError, match="val.jsonl:13: no field 'idx'"):
        command.run(options)
    shutil.copy(superglue / "superglue/RTE/val.jsonl", tmp_path / "data/superglue/RTE/val.jsonl")
    with open(tmp_path / "data/superglue/AX-b/AX-b.jsonl", "a") as file:
        file.write("{}\n")
    with pytest.raises(InputError, match="AX-b.jsonl:13: no field 'idx'"):
        command.run(options)
    for name in ("predict_only", "keep_classifier", "teacher"):
        message = f"--task superglue --{name.replace('_', '-')}: a classifier belongs to one task"
        with pytest.raises(InputError, match=message):
            command.run(dataclasses.replace(options, **{name: True}))
    assert not (tmp_path / "run").exists()


def test_all_says_which_benchmarks_are_not_there(small, superglue, tmp_path, capsys, monkeypatch):
    from bort_mx.data.tasks import download

    def offline(url, out):
        raise OSError("no network")

    monkeypatch.setattr(download, "_over_http", offline)
    monkeypatch.setattr(benchmark_module, "TABLE", "scores.md")
    found = command.run(dataclasses.replace(small, task="all", data_dir=str(superglue), epochs=1, batch_size=None,
                                            output_dir=str(tmp_path / "run")))
    assert set(found) == {"glue", "superglue", "race"} and (tmp_path / "run/superglue/scores.md").is_file()
    assert found["glue"]["dev"] == {} and any("CoLA left out" in note for note in found["glue"]["notes"])
    output = capsys.readouterr().out
    assert "glue: none of its tasks is available" in output and "race: none of its tasks is available" in output


SMALL_FILES = {"MultiRC": 3, "ReCoRD": 3}
"""Lines to take of a task's files, whose lines hold many examples; of the others 24."""


def a_few_of_everything(shared, folder):
    """The first examples of every task of the three benchmarks, in the official layout."""
    for path in sorted([*shared.glob("data/glue/*/*.tsv"), *shared.glob("data/superglue/*/*.jsonl")]):
        name = path.name.replace("_official_head.", ".").replace(".head.", ".")
        target = folder / path.parent.relative_to(shared / "data") / name
        if not target.exists():  # val.jsonl comes after val.head.jsonl, and both will do
            target.parent.mkdir(parents=True, exist_ok=True)
            lines = path.read_bytes().splitlines(keepends=True)
            target.write_bytes(b"".join(lines[:SMALL_FILES.get(path.parent.name, 24)]))
    for path in sorted(shared.glob("data/race/sample/RACE/*/*")):
        target = folder / "race/RACE" / path.relative_to(path.parent.parent)
        target.mkdir(parents=True)
        for passage in sorted(path.iterdir())[:3]:
            shutil.copy(passage, target)


def test_every_task_goes_through_the_loop(shared, small, tmp_path):
    """--task all: metrics, predictions and submissions of each task, all tables and zips, diagnostics included."""
    import zipfile

    from bort_mx.data.metrics import benchmark_average

    a_few_of_everything(shared, tmp_path / "data")
    found = command.run(dataclasses.replace(small, task="all", data_dir=str(tmp_path / "data"), epochs=1,
                                            batch_size=None, checkpoint_interval=0, output_dir=str(tmp_path / "run")))
    for key, kind in TASKS.items():
        if kind.benchmark not in found:
            continue
        task = get_task(key)
        scores = found[kind.benchmark]["dev"][task.name]
        assert set(scores) - {"loss"} == set(task.metrics) and all(np.isfinite(v) for v in scores.values())
        folder = tmp_path / "run" / kind.benchmark
        submitted = (folder / "submission" / task.submission_name).read_text().splitlines()
        test = task.read(tmp_path / "data", "test")
        of_passage = {"MultiRC": 1, "RACE-M": 1, "RACE-H": 1}.get(task.name)
        ids = [group[0] if of_passage else group for group in task.submission_ids(test)]
        assert len(submitted) - (kind.benchmark == "glue") == len(dict.fromkeys(ids)), key
        if not kind.scored_by:
            rows = (folder / task.name / "predictions.tsv").read_text().splitlines()
            assert len(rows) == 1 + len(task.read(tmp_path / "data", "dev")), key
    for benchmark, result in found.items():
        names = {get_task(key).submission_name for key, kind in TASKS.items()
                 if kind.benchmark == benchmark}
        archive = zipfile.ZipFile(tmp_path / f"run/{benchmark}/{benchmark}.zip")
        assert set(archive.namelist()) == names and not any("lacks" in note for note in result["notes"])
        assert result["average"] == (None if benchmark == "race" else  # which has none
                                     pytest.approx(benchmark_average(benchmark, result["dev"])))
        assert "left out" not in (tmp_path / f"run/{benchmark}/table.md").read_text().replace("left out for", "")

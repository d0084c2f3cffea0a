"""benchmarks/students_selection.py: what is held out, the task it writes, and what it does not do again."""

import argparse
import json
import subprocess

import pytest

from bort_mx.data.tasks import Example, Examples, get_task
from bort_mx.io.jsonl_log import JsonlLog


@pytest.fixture
def selection(load_benchmark):
    return load_benchmark("students_selection")


def test_what_is_held_out_has_no_text_of_the_rest(selection, shared):
    for task, least in (("RTE", 300), ("CoLA", 1600)):
        examples = get_task(task).read(str(shared / "data"), "train")
        train, held = selection.parts(task, str(shared / "data"))
        known = {text for example in train for text in example.texts}
        assert not known & {text for example in held for text in example.texts}
        assert len(train) == len(examples) - len(examples) // 5 and least < len(held) <= len(examples) // 5
        assert {e.texts for e in (*train, *held)} <= {e.texts for e in examples}


def few(count, label):
    return [Example(i, (f"first {i} “é”", f"second {i}"), label(i)) for i in range(count)]


def test_the_task_that_is_written_reads_the_same(selection, tmp_path, monkeypatch):
    monkeypatch.setattr(selection, "parts", lambda task, data_dir: (few(9, lambda i: i / 2), few(4, lambda i: 1.5)))
    task = get_task(str(selection.describe("STS-B", "data", tmp_path)))
    assert task.is_regression and list(task.metrics) == ["pearson"]
    read = task.read(str(tmp_path), "train")
    assert isinstance(read, Examples) and [example.texts for example in read] == [e.texts for e in few(9, str)]
    assert [float(example.label) for example in read] == [i / 2 for i in range(9)]


def test_what_is_recorded_is_not_done_again(selection, tmp_path, monkeypatch):
    monkeypatch.setattr(selection, "parts", lambda task, data_dir: (few(9, lambda i: i), few(4, lambda i: i)))
    commands, real = [], subprocess.run

    def program(command, **options):
        if "--output-dir" not in command:  # git tells the commit
            return real(command, **options)
        commands.append(command)
        out = tmp_path.__class__(command[command.index("--output-dir") + 1])
        out.mkdir(parents=True)
        (out / "results.json").write_text(json.dumps({
            "dev": {"pearson": 0.5}, "history": [{"pearson": 0.5}, {"pearson": 0.4}], "planned_steps": 7}))
        return argparse.Namespace(returncode=0)

    monkeypatch.setattr(selection.subprocess, "run", program)
    arguments = argparse.Namespace(data_dir="data", student="/somewhere/student", name="student", work=str(tmp_path),
                                   record=str(tmp_path / "record.jsonl"), tasks=["STS-B"],
                                   ways=["first", "means", "task teacher, 6 epochs"], seeds=[0, 1])
    selection.run(arguments)
    selection.run(arguments)
    assert len(commands) == 6
    assert [command[-4:] for command in commands[2:4]] == [["--pooling", "segments", "--dropout", "0"]] * 2
    teacher = tmp_path / "STS-B" / "teacher-means-1e-4-0"  # where the student "teacher" is put by that way
    assert [command[-2:] for command in commands[4:]] == [["--teacher", str(teacher)]] * 2
    assert "/somewhere" not in (tmp_path / "record.jsonl").read_text()
    kept = [row for _, row in JsonlLog(arguments.record, "x").records]
    assert len(kept) == 6 and {(row["score"], row["last"]) for row in kept} == {(0.5, 0.4)}
    line = selection.table(arguments.record).splitlines()[3]
    assert line == "| student | means | – | – | – | – | 50.0 (40.0) | – | 2 |"

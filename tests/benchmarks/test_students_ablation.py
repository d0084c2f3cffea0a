"""benchmarks/students_ablation.py: which students it trains, for how long, and what it does not do again."""

import argparse
import json
import os
import signal

import pytest


@pytest.fixture
def ablation(load_benchmark):
    return load_benchmark("students_ablation")


def test_every_recipe_has_a_student_of_the_same_seconds(ablation, tmp_path, monkeypatch):
    """A head for the paper's teacher and the seconds of a step come first, once, whatever the seeds."""
    seen = []

    def program(self, script, options, workers=1):
        out = tmp_path.__class__(options[options.index("--output-dir") + 1])
        out.mkdir(parents=True)
        steps = int(options[options.index("--max-steps") + 1])
        seen.append((out.relative_to(tmp_path).as_posix(), steps, options))
        (out / "results.json").write_text(json.dumps({"steps": steps, "validation_loss": 1.0}))
        (out / "cost.json").write_text(json.dumps({"cpu_seconds": 7.0 + 2.0 * steps}))
        return 0

    monkeypatch.setattr(ablation.Driver, "_program", program)
    monkeypatch.setattr(ablation, "all_scores", lambda path, data: {
        task: 0.1 * len(task) + 0.1 * int(path[-1]) for task in ablation.METRIC})
    (tmp_path / "data").mkdir()
    (tmp_path / "data/manifest.json").write_text("{}")
    arguments = argparse.Namespace(
        data_dir="data", teacher="/somewhere/TEACHER", runs=str(tmp_path), record=str(tmp_path / "ablation.jsonl"),
        students_record=str(tmp_path / "students.jsonl"), recipes=["inner", "paper"], seeds=[0, 1])
    ablation.run(arguments)
    places = [place for place, _, _ in seen]
    assert places == ["calibration/inner-5", "calibration/inner-20", "ablations/inner-0", "teacher-with-head",
                      "calibration/paper-5", "calibration/paper-20", "ablations/paper-0", "ablations/inner-1",
                      "ablations/paper-1"]
    trained = {place: (steps, options) for place, steps, options in seen if place.startswith("ablations")}
    assert {steps for steps, _ in trained.values()} == {ablation.CPU_SECONDS // 2}
    assert all(options[options.index("--seed") + 1] == place[-1] for place, (_, options) in trained.items())
    ablation.run(arguments)
    assert len(seen) == len(places)
    recorded = [(row["recipe"], row["seed"]) for row in ablation.rows(arguments.record)]
    assert recorded == [("inner", 0), ("paper", 0), ("inner", 1), ("paper", 1)]
    assert "| inner | 2 | 255 | 517 | 55.0 | 45.0 | 45.0 | 35.0 | 55.0 | 47.0 (42.0 to 52.0) |" in ablation.table(
        arguments.record)


def test_a_stop_ends_after_the_training_that_runs(ablation, tmp_path, monkeypatch):
    """The signal goes to the program that trains; nothing else is begun, nothing is recorded."""
    def program(self, script, options, workers=1):
        os.kill(os.getpid(), signal.SIGTERM)
        assert self.stopping
        return 130

    monkeypatch.setattr(ablation.Driver, "_program", program)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    arguments = argparse.Namespace(data_dir="data", teacher="T", runs=str(tmp_path), record=str(tmp_path / "a.jsonl"),
                                   students_record=str(tmp_path / "s.jsonl"), recipes=["inner", "mlm"], seeds=[0])
    try:
        with pytest.raises(SystemExit) as stopped:
            ablation.run(arguments)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert stopped.value.code == 130 and not ablation.rows(arguments.record)


def test_transformers_and_the_wide_student_are_no_ablations(ablation):
    assert "transformers" not in ablation.NAMES and "wide" not in ablation.NAMES and len(ablation.NAMES) == 18

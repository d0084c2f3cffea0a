"""benchmarks/students_ablation.py: which students it trains, for how long, and what it does not do again."""

import argparse
import json

import pytest


@pytest.fixture
def ablation(load_benchmark):
    return load_benchmark("students_ablation")


def test_every_recipe_has_a_student_of_the_same_seconds(ablation, tmp_path, monkeypatch):
    """A head for the paper's teacher and the seconds of a step come first, once, whatever the seeds."""
    seen = []

    def program(self, script, options):
        out = tmp_path.__class__(options[options.index("--output-dir") + 1])
        out.mkdir(parents=True)
        steps = int(options[options.index("--max-steps") + 1])
        seen.append((out.relative_to(tmp_path).as_posix(), steps, options))
        (out / "results.json").write_text(json.dumps({"steps": steps, "validation_loss": 1.0}))
        (out / "cost.json").write_text(json.dumps({"cpu_seconds": 7.0 + 2.0 * steps}))
        return 0

    monkeypatch.setattr(ablation.Driver, "_program", program)
    monkeypatch.setattr(ablation, "probe", lambda model, tokenizer, task, data: 0.1 * len(task) + model)
    monkeypatch.setattr(ablation.loading, "read", lambda path: argparse.Namespace(path=path, tokenizer=None))
    monkeypatch.setattr(ablation.loading, "assemble", lambda weights, head: 0.1 * int(str(weights.path)[-1]))
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


def test_transformers_and_the_wide_student_are_no_ablations(ablation):
    assert "transformers" not in ablation.NAMES and "wide" not in ablation.NAMES and len(ablation.NAMES) == 14

"""What a run of fine-tuning writes, and that it learns."""

import dataclasses
import json

import numpy as np
import pytest
from finetuning_runs import results_of, rows, weights

from bort_mx.data.tasks import synthetic
from bort_mx.finetuning.finetune import finetune
from bort_mx.finetuning.options import FineTuningOptions


def test_a_run_writes_what_the_design_says(finished):
    found, results = rows(finished), results_of(finished)
    assert [row["step"] for row in found if "loss" in row] == list(range(1, 25))
    dev = [row for row in found if "dev_accuracy" in row]
    assert [row["step"] for row in dev] == [12, 24]
    assert results["dev"]["accuracy"] == max(row["dev_accuracy"] for row in dev)
    assert results["history"] == [{"step": row["step"], "accuracy": row["dev_accuracy"], "loss": row["dev_loss"]}
                                  for row in dev]
    assert results["planned_steps"] == 24 and results["train_examples"] == 96 and results["submissions"] == ["own.tsv"]
    assert (finished / "own.tsv").read_text().count("\n") == 41
    config = json.loads((finished / "config.json").read_text())
    assert config["options"]["weight_decay"] == 0.01 and len(config["data"]["train"]) == 64
    names = {path.name for path in finished.iterdir()}
    assert {"confusion.png", "learning_curve.png", "tensorboard", "predictions.tsv"} <= names


def test_predictions_have_text_label_prediction_and_probabilities(finished):
    lines = [line.split("\t") for line in (finished / "predictions.tsv").read_text().splitlines()]
    assert lines[0] == ["idx", "text", "text_pair", "label", "prediction", "score(not_entailment)",
                        "score(entailment)"]
    assert len(lines) == 41
    for line in lines[1:]:
        shares = [float(share) for share in line[5:]]
        assert sum(shares) == pytest.approx(1, abs=2e-6)
        assert line[4] == ("entailment" if shares[1] > shares[0] else "not_entailment")
    right = np.mean([line[3] == line[4] for line in lines[1:]])
    assert right == pytest.approx(results_of(finished)["dev"]["accuracy"])


def test_learning_rate_rises_and_falls_over_the_real_number_of_steps(finished):
    """Warm-up 0.1 of 24 steps is 2; then down to 0 after step 24."""
    rates = [row["learning_rate"] for row in rows(finished) if "loss" in row]
    expected = [0.5e-3, 1e-3, *(1e-3 * (25 - step) / 23 for step in range(3, 25))]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


def test_the_best_epoch_is_kept_and_predicts_the_same(finished, small, tmp_path):
    results = results_of(finished)
    best = weights(finished, "best")
    assert all((best[name] == weights(finished, f"step-{results['best_step']}")[name]).all() for name in best)
    found = finetune(dataclasses.replace(small, checkpoint=str(finished), predict_only=True,
                                         output_dir=str(tmp_path / "run")))
    assert found["dev"] == results["dev"] and "best_step" not in found
    for name in ("predictions.tsv", "own.tsv"):
        assert (tmp_path / "run" / name).read_bytes() == (finished / name).read_bytes()


def test_it_learns_the_demo_task(tmp_path, monkeypatch):
    """Twins of the same words with opposite labels: a bag of words is right on exactly half."""
    monkeypatch.setattr(synthetic, "SIZES", {"train": 2000, "dev": 200, "test": 200})
    found = finetune(FineTuningOptions(task="demo", checkpoint="fresh", output_dir=str(tmp_path / "run"), epochs=1,
                                       batch_size=16,
                                       learning_rate=1e-3, evaluation_batch_size=100))
    assert found["dev"]["accuracy"] > 0.65 and found["test"]["accuracy"] > 0.65

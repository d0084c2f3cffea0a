"""A regression on one's own data is trained in deviations from the mean, and answers in the unit of its targets."""

import dataclasses
import json
import math

import mxnet as mx
import numpy as np
import pytest
from finetuning_runs import TINY

import bort_mx
from bort_mx.data.batches import TrainingBatches
from bort_mx.data.constant_predictions import no_better_than_mean
from bort_mx.data.encoding import encode_examples
from bort_mx.data.table_records import records_of
from bort_mx.data.tasks import Example, Examples, get_task
from bort_mx.distributed import Workers
from bort_mx.finetuning.finetune import finetune
from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.finetuning.target_unit import Unit, output_layer, start_at_mean, unit_of
from bort_mx.finetuning.vocabulary_subset import trainee_of
from bort_mx.models import build_model
from bort_mx.training.options import OptimizerSettings
from bort_mx.training.step import TrainingStep

TEXTS = [f"page {'very ' * (i % 7)}long {i}" for i in range(40)]
PAGES = [400.0 + 20 * (i % 7) for i in range(40)]


@pytest.fixture
def pages(tmp_path):
    (tmp_path / "pages.csv").write_text("text,pages\n" + "".join(f"{t},{p:.1f}5\n" for t, p in zip(TEXTS, PAGES)))
    return tmp_path / "pages.csv"


def trained(tokenizer, optimizer, targets, unit=None, steps=6):
    """The outputs of a classifier after some steps on targets; in a unit, if one is given."""
    model = build_model(TINY, tokenizer.vocab_size, "classifier", num_labels=1, num_positions=64, dropout=0.0, seed=3)
    model.initialized = output_layer(model)
    if unit is not None:
        start_at_mean(model, unit)
    encoded = encode_examples(tokenizer, Examples([Example(i, (text,), 0.0) for i, text in enumerate(TEXTS)]), 64)
    batches = TrainingBatches(encoded, np.array(targets, np.float32), tokenizer.pad_id, 8, 0)
    trainee = trainee_of(model, batches.tokens(), OptimizerSettings(optimizer, weight_decay=0.1), True, mx.cpu(),
                         deviation=unit.deviation if unit else 1.0)
    core = TrainingStep(trainee.objective, trainee.optimizer, Workers(), 0.0)
    losses = [core(map(trainee.translate, batches.at(step, 0, 1, 8)), 1e-3).loss for step in range(steps)]
    return np.concatenate([trainee.objective.scores(trainee.translate(batch)).asnumpy()[:, 0]
                           for step in range(3) for batch in batches.at(step, 0, 1, 8)]), losses


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_training_in_a_unit_equals_training_on_standardised_targets(tokenizer, optimizer, scale):
    targets = np.array(PAGES) * scale
    unit = Unit(float(targets.mean()), float(targets.std()))
    plain, losses = trained(tokenizer, optimizer, (targets - unit.mean) / unit.deviation)
    found, same = trained(tokenizer, optimizer, targets, unit)
    np.testing.assert_allclose((found - unit.mean) / unit.deviation, plain, atol=2e-3)
    np.testing.assert_allclose(same, losses, rtol=2e-3)
    assert abs(losses[-1] - losses[0]) > 0.01  # it has moved


def test_a_unit_is_the_mean_and_deviation_of_ones_own_targets_only(regression):
    assert unit_of(get_task(regression), [1.0, 3.0]) == Unit(2.0, 1.0)
    assert unit_of(get_task(regression), [2.0, 2.0]) is None
    assert unit_of(get_task("STS-B"), [1.0, 3.0]) is None and unit_of(get_task("RTE"), [0.0, 1.0]) is None


def test_answers_are_in_the_unit_of_the_targets_everywhere(encoder, pages, tmp_path, capsys):
    options = FineTuningOptions(train=str(pages), checkpoint=str(encoder), epochs=2, batch_size=8, learning_rate=1e-3,
                                recipe="usual", keep_checkpoints=9, output_dir=str(tmp_path / "run"))
    found = finetune(options)
    unit = json.loads((tmp_path / "run/config.json").read_text())["targets"]
    assert 430 < unit["mean"] < 490 and unit["deviation"] == pytest.approx(40, abs=4)
    assert f"targets: mean {unit['mean']:.4g}, standard deviation" in capsys.readouterr().out
    assert math.sqrt(found["dev"]["loss"]) < 1.5 * unit["deviation"]  # from 0, without a unit, 11 times as large
    rows = [fields for _, fields in records_of(tmp_path / "run/predictions.tsv", ["text", "prediction"])]
    answers = bort_mx.pipeline(str(tmp_path / "run"))([row["text"] for row in rows])
    np.testing.assert_allclose([answer["value"] for answer in answers], [float(row["prediction"]) for row in rows],
                               rtol=1e-4)
    # A resumed run goes on in the unit that it started with.
    again = finetune(dataclasses.replace(options, resume=str(tmp_path / "run/checkpoints/step-4")))
    assert again["dev"] == found["dev"]
    assert json.loads((tmp_path / "run/config.json").read_text())["targets"] == unit


def test_a_run_of_an_older_version_goes_on_without_a_unit(encoder, regression, tmp_path, monkeypatch):
    options = FineTuningOptions(task=str(regression), checkpoint=str(encoder), epochs=2, batch_size=8, recipe="usual",
                                keep_checkpoints=9, output_dir=str(tmp_path / "run"))
    with monkeypatch.context() as patch:
        patch.setattr("bort_mx.finetuning.finetune.unit_of", lambda task, targets: None)
        before = finetune(options)
    again = finetune(dataclasses.replace(options, resume=str(tmp_path / "run/checkpoints/step-6")))
    assert "targets" not in json.loads((tmp_path / "run/config.json").read_text())
    assert again["dev"] == before["dev"]


def test_a_regression_no_better_than_the_mean_is_told():
    targets = [1.0, 2.0, 3.0, 6.0]
    deviation = np.std(targets)
    assert no_better_than_mean([3.0] * 4, targets) == (
        f"the root mean squared error {deviation:.4g} is not below {deviation:.4g}, the standard deviation: "
        "predictions are no better than the mean for all examples")
    assert no_better_than_mean([1.0, 2.0, 3.0, 5.0], targets) is None
    assert no_better_than_mean([2.0, 2.0], [1.0, 1.0]) is None

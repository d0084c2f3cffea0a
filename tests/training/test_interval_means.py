"""Training metrics as means over the log interval, and the lines that show them."""

import json
import math

import pytest

from bort_mx.progress import Progress
from bort_mx.training.interval_means import IntervalMeans
from bort_mx.training.loop import evaluation_line, shown
from bort_mx.training.step import StepResult


def step(weight, **sums):
    return StepResult(sums, weight, grad_norm=1.0, skipped=not math.isfinite(sums["loss"]), stop=False)


def test_means_are_over_the_terms_of_all_steps():
    means = IntervalMeans()
    means.add(step(4.0, loss=8.0, accuracy=1.0))
    means.add(step(12.0, loss=6.0, accuracy=7.0))
    assert means.means() == {"loss": 14 / 16, "accuracy": 8 / 16}
    means.clear()
    means.add(step(3.0, loss=1.0))
    assert means.means() == {"loss": 1 / 3}  # one step: its own mean, to the last bit


def test_steps_without_a_finite_loss_are_left_out():
    means = IntervalMeans()
    means.add(step(4.0, loss=math.nan, accuracy=0.0))
    assert math.isnan(means.means()["loss"])
    means.add(step(2.0, loss=1.0, accuracy=1.0))
    means.add(step(4.0, loss=math.inf, accuracy=4.0))
    assert means.means() == {"loss": 0.5, "accuracy": 0.5}


def test_a_resumed_interval_gives_the_same_numbers_bit_for_bit():
    values = [(7.0, 1 / 3), (11.0, 2 / 7), (13.0, math.pi)]
    whole, first = IntervalMeans(), IntervalMeans()
    for weight, loss in values:
        whole.add(step(weight, loss=loss))
    first.add(step(values[0][0], loss=values[0][1]))
    second = IntervalMeans()
    second.load_state(json.loads(json.dumps(first.state())))
    for weight, loss in values[1:]:
        second.add(step(weight, loss=loss))
    assert second.means() == whole.means()
    second.load_state({})  # an older checkpoint
    assert math.isnan(second.means()["loss"])


@pytest.mark.parametrize("values, expected", [
    ({"loss": 8.2104, "mlm_loss": 8.2104, "mlm_accuracy": 0.03125}, {"loss": "8.210", "accuracy": "0.0312"}),
    ({"loss": 4.1, "mlm_loss": 8.21, "kd_loss": 0.02}, {"loss": "4.100", "mlm": "8.210", "kd": "0.0200"}),
    ({"loss": 0.6931, "accuracy": 1.0}, {"loss": "0.6931", "accuracy": "1.000"}),
    ({"loss": math.nan, "perplexity": 3456.78}, {"loss": "nan", "perplexity": "3456.8"})])
def test_what_is_shown(values, expected):
    assert shown(values) == expected


@pytest.mark.parametrize("values, expected", [
    ({"validation_loss": 6.67, "validation_mlm_loss": 6.67, "validation_mlm_accuracy": 0.0,
      "validation_perplexity": 788},
     "step 4, validation: loss 6.670, accuracy 0.0000, perplexity 788.0"),
    ({"dev_accuracy": 0.625, "dev_f1": 0.75, "dev_loss": 0.66}, "step 4, dev: accuracy 0.6250, f1 0.7500, loss 0.6600"),
    ({"dev_accuracy": 0.625, "other": 1}, "step 4: dev_accuracy 0.6250, other 1.000")])
def test_the_line_of_an_evaluation_names_its_set_once(values, expected):
    assert evaluation_line(4, values) == expected


@pytest.mark.parametrize("values", [
    {"loss": 10.8104, "mlm_loss": 10.8104, "mlm_accuracy": 0.0312}, {"loss": 0.6931, "accuracy": 0.625}])
def test_lines_of_progress_fit_80_columns(values, capsys):
    with Progress(20_000, "pre-training", "step", initial=10_000) as progress:
        progress.advance({**shown(values), "": "12,345 tokens/s"})
    line = capsys.readouterr().out.strip("\n")
    assert line.startswith("pre-training 10001/20000: loss ") and "tokens/s" in line
    assert len(line.rpartition(", ")[0]) + len(", 01:02 left") <= 84 and line.endswith("left")

"""The head of a new classifier, and the recipes that the paper's steps need."""

import dataclasses
import json

import mxnet as mx
import numpy as np
import pytest
from finetuning_runs import ROOT, weights

from bort_mx import PRESETS, Architecture
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints.weights import Weights
from bort_mx.data.tasks import get_task
from bort_mx.errors import InputError
from bort_mx.finetuning import recipe
from bort_mx.finetuning.finetune import finetune
from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.finetuning.paper_values import head_values
from bort_mx.finetuning.trainer import build_classifier
from bort_mx.models import build_model
from bort_mx.models.bert import parameters_of
from bort_mx.options import parse_options

BORT, OTHER = recipe.Start(PRESETS["bort"], False), recipe.Start(Architecture(4, 4, 256, 1024), False)


def chosen(start=BORT, task="RTE", examples=2490, **given):
    """The options that follow from those given."""
    options, task = FineTuningOptions(task=task, **given), get_task(task)
    found = recipe.choose(options.recipe, options.chs, task, start, examples, options.max_epochs, options.head)
    return options.resolved(task, task, found.values)


def form(options):
    return options.pooler, options.classifier_init, options.extra_layer


@pytest.mark.parametrize("start, given, task, expected", [
    (BORT, {}, "RTE", (True, "uniform", False)),
    (BORT, {}, "CoLA", (True, "uniform", True)),
    (BORT, {"head": "linear"}, "CoLA", (False, "uniform", True)),
    (BORT, {"head": "usual"}, "CoLA", (True, "normal", False)),
    (BORT, {"head": "paper", "classifier_init": "normal"}, "RTE", (True, "normal", False)),
    (OTHER, {}, "CoLA", (False, "normal", False)),
    (OTHER._replace(pooler=True), {}, "RTE", (True, "normal", False)),
    (OTHER, {"head": "paper"}, "CoLA", (True, "uniform", True)),
    (OTHER, {"chs": True}, "RTE", (True, "uniform", False)),
])
def test_which_head(start, given, task, expected):
    assert form(chosen(start, task, **given)) == expected


def test_the_papers_head_is_equation_8():
    """dense W (H, H), tanh, then the classifier: from the parameters by hand, with the first token's state."""
    encoder = build_model(Architecture(2, 2, 24, 32), 60, seed=1, num_positions=16)
    given = Weights(encoder.config, checkpoint_directory.tensors_of(encoder), None, "x")
    ids, length = mx.nd.array(np.arange(10).reshape(2, 5) + 5), mx.nd.array([5, 5])
    first = encoder(ids, length).asnumpy()[:, 0]
    for name in ("RTE", "CoLA"):
        task = get_task(name)
        options = chosen(task=name, checkpoint="x", head="paper")
        model = build_classifier(given, options, task, mx.cpu())
        values = {key: parameter.data().asnumpy() for key, parameter in parameters_of(model).items()}
        state = np.tanh(first @ values["pooler.weight"].T + values["pooler.bias"])
        layers = [key for key in values if key.startswith("classifier.") and key.endswith("weight")]
        assert len(layers) == (2 if name == "CoLA" else 1)
        for key in sorted(layers):
            assert np.abs(values[key]).max() <= 0.5 and values[key].std() == pytest.approx(1 / np.sqrt(12), rel=0.15)
            state = state @ values[key].T + values[key.replace("weight", "bias")]
        np.testing.assert_allclose(model(ids, length).asnumpy(), state, atol=1e-4)


def test_a_resumed_older_run_keeps_its_head(small, tmp_path):
    """A run without the option in its config.json trained the linear head; --head is refused for it."""
    options = dataclasses.replace(small, head="linear", recipe="paper", output_dir=str(tmp_path / "run"))
    finetune(options)
    before = weights(tmp_path / "run")
    config = json.loads((tmp_path / "run/config.json").read_text())
    for name in ("head", "recipe", "max_epochs", "teacher", "transfer_from"):
        del config["options"][name]
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    again = dataclasses.replace(small, output_dir=str(tmp_path / "run"),
                                resume=str(tmp_path / "run/checkpoints/step-12"))
    with pytest.raises(InputError, match="--head paper: the run in .* was started with none"):
        finetune(dataclasses.replace(again, head="paper"))
    finetune(again)
    after = weights(tmp_path / "run")
    assert "pooler.weight" not in after and all(np.array_equal(before[name], after[name]) for name in before)


def test_the_rule_of_epochs_holds_with_chs_alone():
    assert chosen(examples=2490).epochs == 3
    assert chosen(chs=True, examples=2490).epochs == 66 and chosen(chs=True, examples=400_000).epochs == 1000
    assert chosen(chs=True, examples=2490, max_epochs=7).epochs == 7
    assert chosen(chs=True, examples=2490, epochs=4).epochs == 4


def test_a_convergent_run_says_its_cost_and_its_decay_and_stops_early(small, tmp_path, monkeypatch, capsys):
    """The synthetic task has no set of its own in the paper: RTE's is lent to it."""
    monkeypatch.setattr("bort_mx.data.tasks.custom.CustomTask.chs", lambda self: get_task("RTE").chs())
    found = finetune(dataclasses.replace(small, epochs=None, learning_rate=1e-2, chs=True, max_epochs=3,
                                         output_dir=str(tmp_path / "run")))
    options = json.loads((tmp_path / "run/config.json").read_text())["options"]
    assert (options["epochs"], options["early_stopping"], options["patience"]) == (3, True, 200)
    said = capsys.readouterr().out
    assert "at most 36 steps of 8" in said and "multiplies weights without gradient by e^-" in said
    assert any("weights without gradient" in note for note in found["notes"])


def test_robertas_own_recipe():
    options = parse_options(FineTuningOptions, ["--config", str(ROOT / "configs/socrates_roberta.yaml")],
                            "run_finetune.py", "x")
    assert (options.recipe, options.beta2, options.adam_epsilon, options.clip) == ("roberta", 0.98, 1e-6, 0)
    found = chosen(OTHER, "RTE", recipe="roberta")
    assert (found.learning_rate, found.batch_size, found.epochs, found.weight_decay, found.warmup) == (
        2e-5, 16, 10, 0.1, 0.06)
    assert chosen(OTHER, "QQP", recipe="roberta").warmup == 0.25
    assert chosen(OTHER, "MNLI-matched", recipe="roberta").batch_size == 32
    assert form(chosen(OTHER, "CoLA", recipe="roberta")) == (True, "normal", False)


def test_the_papers_configuration_names_the_papers_head():
    options = parse_options(FineTuningOptions, ["--config", str(ROOT / "configs/finetune_paper.yaml")], "x", "x")
    assert options.head == "paper" and head_values("paper", get_task("RTE"))["pooler"]
    with pytest.raises(InputError, match="leave out --head"):
        FineTuningOptions(keep_classifier=True, head="paper")

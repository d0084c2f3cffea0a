"""The recipe: what is not given follows from the checkpoint; what a run was started with stays."""

import dataclasses
import json

import numpy as np
import pytest

from bort_mx.architecture import PRESETS, Architecture
from bort_mx.commands import finetune as command
from bort_mx.data.tasks import get_task
from bort_mx.finetuning import recipe
from bort_mx.finetuning.finetune import finetune
from bort_mx.finetuning.options import OF_A_CHS, RECIPE_FIELDS, FineTuningOptions
from bort_mx.models import build_model
from bort_mx.models.bert import parameters_of
from bort_mx.options import parse_options
from bort_mx.training.earlier_run import earlier_options

MINILM, BERT, SMALL = Architecture(6, 12, 384, 1536), Architecture(12, 12, 768, 3072), Architecture(4, 4, 256, 1024)


def chosen(architecture, examples=1200, pooler=False, task="CoLA", asked=None, chs=False):
    return recipe.choose(asked, chs, get_task(task), recipe.Start(architecture, pooler), examples)


def test_layers_are_counted_as_the_model_has_them():
    architecture = Architecture(3, 4, 64, 96)
    found = parameters_of(build_model(architecture, 10))
    assert recipe.layer_parameters(architecture) == sum(
        np.prod(p.shape) for name, p in found.items() if name.startswith("encoder.transformer_cells."))


@pytest.mark.parametrize("architecture, rate", [(SMALL, 3e-4), (MINILM, 5e-5), (BERT, 2e-5), (PRESETS["bort"], 1e-5)])
def test_the_learning_rate_follows_the_size_and_borts_is_the_papers(architecture, rate):
    assert chosen(architecture).values["learning_rate"] == rate


@pytest.mark.parametrize("examples, epochs", [(10, 5), (2000, 5), (2001, 4), (10_000, 4), (10_001, 3), (400_000, 3)])
def test_epochs_follow_the_size_of_the_training_set(examples, epochs):
    assert chosen(MINILM, examples).values["epochs"] == epochs


def test_the_papers_recipe_is_for_bort_for_chs_and_on_request():
    old = {"learning_rate": 1e-5, "weight_decay": 0.01, "warmup": 0.1, "epochs": 3, "batch_size": 8,
           "classifier_init": "uniform", "pooler": True, "extra_layer": True, "pooling": "first"}
    for found in (chosen(PRESETS["bort"], pooler=True), chosen(MINILM, asked="paper")):
        assert (found.name, found.values) == ("paper", old)
    by_rule = chosen(MINILM, chs=True)  # its epochs follow the size of the set, see test_epochs.py
    assert (by_rule.name, {**by_rule.values, "epochs": 3}) == ("paper", old) and by_rule.values["epochs"] >= 50
    usual = {**old, "learning_rate": 5e-5, "epochs": 5, "batch_size": 16, "classifier_init": "normal", "pooler": True,
             "extra_layer": False, "pooling": "first"}
    assert chosen(MINILM, pooler=True).values == usual
    assert chosen(PRESETS["bort"], asked="usual").values["learning_rate"] == 5e-5


def test_a_description_that_states_its_batch_size_keeps_it(pairs, tmp_path):
    stated = tmp_path / "own.yaml"
    stated.write_text(pairs.read_text() + "batch_size: 4\n")
    for path, size in ((pairs, 16), (stated, 4)):
        assert recipe.usual(get_task(path), recipe.Start(MINILM, False), 10, "").values["batch_size"] == size


def test_the_config_of_the_paper_asks_for_its_recipe():
    options = parse_options(FineTuningOptions, ["--config", "configs/finetune_paper.yaml", "--task", "RTE"], "x", "x")
    assert options.recipe == "paper"
    assert [getattr(options, name) for name in OF_A_CHS] == [None] * 4  # so that --chs gives them


def test_robertas_recipe_for_race():
    """fairseq's README.race.md: its own decay, epochs and no warm-up."""
    found = chosen(MINILM, task="RACE-H", asked="roberta").values
    assert {name: found[name] for name in ("learning_rate", "weight_decay", "warmup", "epochs", "batch_size")} == {
        "learning_rate": 1e-5, "weight_decay": 0.01, "warmup": 0.0, "epochs": 5, "batch_size": 16}


def continued(options):
    return options.continued(earlier_options(options.output_dir, options.resume))


@pytest.fixture(scope="module")
def by_default(small, tmp_path_factory):
    """A run without any training option."""
    out = tmp_path_factory.mktemp("default") / "run"
    options = FineTuningOptions(task=small.task, checkpoint=small.checkpoint, epochs=1, output_dir=str(out))
    finetune(options)
    return options


def test_what_is_used_is_recorded_and_said(by_default, tmp_path, capsys):
    command.run(dataclasses.replace(by_default, output_dir=str(tmp_path / "run")))
    line = capsys.readouterr().out.splitlines()[0]
    assert line.startswith("recipe usual (the checkpoint is not Bort's; 0.0 M parameters in the layers, without "
                           "embeddings; 96 training")
    assert "lr 0.0003, 1 epoch of batches of 16, warm-up 0.1" in line and line.endswith("given: --epochs")
    command.run(dataclasses.replace(by_default, output_dir=str(tmp_path / "run"),
                                    resume=str(tmp_path / "run/checkpoints/step-6")))
    line = capsys.readouterr().out.splitlines()[1]  # after where it resumes
    assert line.startswith("recipe usual (as the run was started): lr 0.0003, 1 epoch") and "given" not in line
    command.run(dataclasses.replace(by_default, pooler=False, output_dir=str(tmp_path / "other")))
    assert capsys.readouterr().out.splitlines()[0].endswith("given: --epochs, --no-pooler")
    recorded = json.loads((tmp_path / "run/config.json").read_text())["options"]
    assert {name: recorded[name] for name in ("recipe", *RECIPE_FIELDS)} == {
        "recipe": "usual", "learning_rate": 3e-4, "weight_decay": 0.01, "warmup": 0.1, "epochs": 1, "batch_size": 16,
        "classifier_init": "normal", "pooler": False, "extra_layer": False, "pooling": "first"}


def test_a_resumed_run_goes_on_with_what_it_had(by_default, tmp_path):
    """Also one that was started before there were recipes, whose config.json names none."""
    options = dataclasses.replace(by_default, resume="auto", epochs=None)
    again = continued(options)
    assert (again.recipe, again.epochs, again.learning_rate, again.batch_size) == ("usual", 1, 3e-4, 16)
    place = tmp_path / "old"
    (place / "checkpoints/step-1").mkdir(parents=True)
    recorded = {"options": dataclasses.asdict(by_default)}
    recorded["options"].update(learning_rate=1e-5, epochs=3, classifier_init="uniform", batch_size=8)
    del recorded["options"]["recipe"]
    (place / "config.json").write_text(json.dumps(recorded))
    old = continued(dataclasses.replace(options, output_dir=str(place)))
    assert (old.recipe, old.epochs, old.learning_rate, old.classifier_init) == ("paper", 3, 1e-5, "uniform")
    given = continued(dataclasses.replace(options, output_dir=str(place), learning_rate=1.0))
    assert given.learning_rate == 1.0  # which the run directory then refuses
    assert continued(dataclasses.replace(options, output_dir=str(place), resume="never")).epochs is None


def test_the_patience_of_a_convergent_run_is_the_rules_unless_it_is_given():
    """Of a run with --chs, config.json has the rule's early stopping; options that are given then are not replaced."""
    before = dataclasses.asdict(FineTuningOptions(task="RTE", chs=True, epochs=66, early_stopping=True, patience=200))
    again = FineTuningOptions(task="RTE", chs=True).continued(before)
    assert (again.epochs, again.early_stopping, again.patience) == (66, True, 200)
    given = FineTuningOptions(task="RTE", chs=True, early_stopping=True, patience=3).continued(before)
    assert given.patience == 3  # which the run directory then refuses


def test_patience_is_three_unless_an_older_run_had_its_own_default():
    task = get_task("RTE")
    options = FineTuningOptions(task="RTE", early_stopping=True, resume="auto")
    assert options.resolved(task, task).patience == 3
    assert FineTuningOptions(task="RTE").resolved(task, task).patience is None
    older = {**dataclasses.asdict(options), "patience": 1}
    assert options.continued(older).resolved(task, task).patience == 1

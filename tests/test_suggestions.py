"""Unknown names are answered with what was probably meant, by meaning and by letters."""

import pytest

from bort_mx import cli, suggestions
from bort_mx.agora.options import AgoraRunOptions
from bort_mx.commands.predict import PredictOptions
from bort_mx.data.tasks import TASKS, get_task
from bort_mx.errors import InputError
from bort_mx.options import parse_options
from bort_mx.pretraining.options import PretrainingOptions
from bort_mx.search.options import SearchOptions


def refused(options_class, *words):
    with pytest.raises(InputError) as caught:
        parse_options(options_class, list(words), "x", "x")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("options_class, typed, meant", [
    (AgoraRunOptions, "--lr", "--learning-rate"), (AgoraRunOptions, "--bs", "--batch-size"),
    (AgoraRunOptions, "--epoch", "--epochs"), (AgoraRunOptions, "--max_len", "--max-length"),
    (AgoraRunOptions, "--num_train_epochs", "--epochs"), (AgoraRunOptions, "--model_name_or_path", "--checkpoint"),
    (AgoraRunOptions, "--per_device_train_batch_size", "--batch-size"), (AgoraRunOptions, "--do_predict",
                                                                         "--predict-only"),
    (AgoraRunOptions, "--train_file", "--train"), (AgoraRunOptions, "--validation_file", "--dev"),
    (AgoraRunOptions, "--Learning_Rate", "--learning-rate"), (AgoraRunOptions, "--learnin-rate", "--learning-rate"),
    (AgoraRunOptions, "--max-seq-length", "--max-length"), (PretrainingOptions, "--max-seq-length", "--seq-len"),
    (PretrainingOptions, "--mlm_probability", "--mask-probability"), (PretrainingOptions, "--max-update",
                                                                      "--max-steps"),
    (SearchOptions, "--lr", "--learning-rate"), (PredictOptions, "--model", "--checkpoint")])
def test_an_option_of_another_program_is_answered_with_ours(options_class, typed, meant):
    assert refused(options_class, typed, "1").startswith(f"unknown option {typed} (did you mean {meant}?)")


def test_what_is_like_nothing_gets_no_suggestion():
    assert refused(AgoraRunOptions, "--xyzzy") == "unknown option --xyzzy; see --help"


@pytest.mark.parametrize("typed, meant", [("cuda", "gpu"), ("GPU", "gpu"), ("gpuu", "gpu")])
def test_a_value_of_another_program_is_answered_with_ours(typed, meant):
    assert refused(AgoraRunOptions, "--device", typed).endswith(f"found '{typed}' (did you mean {meant}?)")


@pytest.mark.parametrize("typed, meant", [
    ("SST2", "SST-2"), ("sst_2", "SST-2"), ("stsb", "STS-B"), ("mnli", "MNLI-matched"), ("RTEE", "RTE"),
    ("super_glue/rte", "superglue/RTE"), ("BoolQQ", "superglue/BoolQ")])
def test_a_task_by_another_spelling(typed, meant):
    with pytest.raises(InputError, match=rf"unknown task '{typed}' \(did you mean {meant}\?\)"):
        get_task(typed)


def test_a_command_by_another_name(capsys):
    for typed, meant in (("train", "pretrain"), ("finetun", "finetune"), ("classify", "predict")):
        assert cli.main([typed]) == 2
        assert f"no such command (did you mean {meant}?)" in capsys.readouterr().err


def test_every_suggestion_is_there():
    """The table names options, values, commands and tasks that exist, and no name twice for one of them."""
    fields = {name for options in (AgoraRunOptions, PretrainingOptions, SearchOptions, PredictOptions)
              for name in options.__dataclass_fields__}
    assert set(suggestions.MEANINGS) <= fields | {"config"} and set(suggestions.TASKS) <= set(TASKS)
    assert set(suggestions.COMMANDS) <= set(cli.COMMANDS)
    for aliases in suggestions.MEANINGS.values():
        assert len(set(aliases.split())) == len(aliases.split())


def test_help_groups_the_commands_by_stage(capsys):
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    places = [out.index(f"\n{stage}:") for stage in ("First steps", "Data", "Training", "Using a model", "Measuring")]
    assert places == sorted(places) and out.index("\n  pretrain") < out.index("\nUsing a model")
    assert all(out.count(f"\n  {name} ") == 1 for name in cli.COMMANDS)

"""--resume auto with --output-dir alone takes the options from config.json."""

import dataclasses
import json

import pytest

from bort_mx.agora.options import AgoraRunOptions
from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.pretraining.options import PretrainingOptions
from bort_mx.search.options import SearchOptions
from bort_mx.training.resumed_options import parse_run_options


def a_run(folder, options):
    """A directory as a run with these options leaves it, as far as its options are read."""
    (folder / "checkpoints/step-1").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"options": dataclasses.asdict(options)}))


def parsed(options_class, *words):
    options, recorded = parse_run_options(options_class, list(words), "x", "x")
    return options if recorded else None


@pytest.mark.parametrize("given, stage", [
    (FineTuningOptions(task="RTE", epochs=7, learning_rate=2e-5, checkpoint="c"), AgoraRunOptions),
    (AgoraRunOptions(task="RTE", agora=True, socrates="s", tau="typo"), AgoraRunOptions),
    (PretrainingOptions(data=["a", "b"], architecture="2,4,128,512", max_steps=9), PretrainingOptions),
    (SearchOptions(data=["a"], teacher="t", epsilon=3), SearchOptions)])
def test_the_options_are_those_of_the_run(tmp_path, capsys, given, stage):
    a_run(tmp_path, given)
    words = ["--output-dir", str(tmp_path), "--resume", "auto"]
    found = parsed(stage, *words)
    expected = {**dataclasses.asdict(given), "output_dir": str(tmp_path), "resume": "auto"}
    assert {name: value for name, value in dataclasses.asdict(found).items() if name in expected} == expected
    assert "without other options: they are taken from" in capsys.readouterr().out
    assert parsed(stage, f"--output-dir={tmp_path}", "--resume=auto") == found


def test_a_renamed_option_of_an_old_run_is_found(tmp_path):
    a_run(tmp_path, PretrainingOptions(data=["a"]))
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    del config["options"]["adam_epsilon"]
    config["options"]["epsilon"] = 1e-7
    path.write_text(json.dumps(config))
    assert parsed(PretrainingOptions, "--output-dir", str(tmp_path), "--resume", "auto").adam_epsilon == 1e-7


def test_nothing_is_taken_where_more_is_given_or_no_such_run_is_there(tmp_path, capsys):
    place = ["--output-dir", str(tmp_path)]
    assert parsed(PretrainingOptions, *place, "--resume", "auto") is None  # nothing there
    a_run(tmp_path, SearchOptions(data=["a"], teacher="t"))
    for words in (place, [*place, "--resume", "auto", "--seed", "1"], [*place, "--resume", "auto"]):
        assert parsed(PretrainingOptions, *words) is None
    assert capsys.readouterr().out == ""

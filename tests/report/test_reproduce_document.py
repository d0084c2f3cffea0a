"""docs/reproduce.md: its commands are those that the page names, their options exist, and the small run reads them."""

import importlib.util
import json
import pathlib
import re
import shlex

import pytest

from bort_mx import cli
from bort_mx.agora.options import AgoraRunOptions
from bort_mx.commands.latency import LatencyOptions
from bort_mx.commands.prepare import PrepareOptions
from bort_mx.commands.reproduce import ReproduceOptions
from bort_mx.options import parse_options
from bort_mx.pretraining.options import PretrainingOptions
from bort_mx.report import commands_to_run
from bort_mx.search.options import SearchOptions

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs/reproduce.md").read_text(encoding="utf-8")
OPTIONS = {"prepare": PrepareOptions, "reproduce": ReproduceOptions, "latency": LatencyOptions,
           "run_search.py": SearchOptions,
           "run_pretraining.py": PretrainingOptions, "run_finetune.py": AgoraRunOptions}


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


small = load("reproduce_small")
COMMANDS = small.commands(DOCUMENT)


def test_the_commands_are_those_that_the_page_names():
    named = {commands_to_run.PREPARE, commands_to_run.PREPARE_BOOKS, commands_to_run.SEARCH, commands_to_run.LATENCY,
             commands_to_run.DISTILLATION, commands_to_run.SELF_SUPERVISED, commands_to_run.PAGE,
             commands_to_run.socrates("TASK"), commands_to_run.agora("TASK"), commands_to_run.convergent("TASK")}
    assert set(COMMANDS) == named and len(COMMANDS) == len(named)


def arguments(command):
    """The options' class of a command, and its arguments."""
    words = shlex.split(command)
    script = next(word for word in words if word in OPTIONS)
    return OPTIONS[script], words[words.index(script) + 1:]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_exists_in_full_and_reduced(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    for one in (command, *small.for_tasks(small.reduced(command), ["RTE", "superglue/RTE"])):
        options = parse_options(*arguments(one), "test", "")
        assert options.output_dir
    if "python -m bort_mx" in command:
        assert command.split()[3] in cli.COMMANDS


def test_reductions():
    agora = next(command for command in COMMANDS if "--agora" in command)
    one, two = small.for_tasks(small.reduced(agora), ["RTE", "superglue/RTE"])
    assert "--task superglue/RTE " in two and "runs/agora/superglue-RTE" in two and "--rounds 1" in one
    assert small.reduced("horovodrun -np 8 python run_pretraining.py").startswith("python run_pretraining.py --arch")
    assert "--learning-rate" not in small.reduced("python run_finetune.py --chs")


def test_the_raw_text_is_laid_out(tmp_path, shared):
    small.lay_out(shared / "data", tmp_path)
    assert {path.name for path in (tmp_path / "corpora").iterdir()} == set(small.SAMPLES)
    assert set(small.SAMPLES) == set(commands_to_run.CORPORA) and all(
        any((tmp_path / "corpora" / name).iterdir()) for name in small.SAMPLES)
    assert (tmp_path / "roberta-large/merges.txt").is_file() and (tmp_path / "data/glue/RTE/train.tsv").is_file()


def test_the_nine_steps_name_tests_that_are_there():
    text = (ROOT / "docs/paper-steps.md").read_text(encoding="utf-8")
    steps = re.findall(r"(?m)^\| (\d)\. .*\|$", text)
    assert steps == list("123456789")
    for row in re.findall(r"(?m)^\| \d\. .*\|$", text):
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row)
        assert named and all((ROOT / path).is_file() for path, _ in named), row
        assert all(f"def {name}(" in (ROOT / path).read_text(encoding="utf-8") for path, name in named if name), row


def test_what_ran_before_stays_in_the_list(tmp_path):
    for expected in (["true"], ["true", "cd ."]):
        walk = small.Walk(tmp_path)
        walk.run(expected[-1])
        listed = json.loads((tmp_path / "commands.json").read_text())
        assert [entry["command"] for entry in listed] == expected
        assert set(listed[-1]) == {"command", "seconds", "processor_seconds", "exit_code"}
    with pytest.raises(SystemExit, match="exit code 3 of: exit 3"):
        walk.run("exit 3")
    (tmp_path / "done").touch()
    walk.run("exit 3", unless="done")  # finished before


def test_predicted_hours():
    tool = load("predict_hours")
    shape = (24, 16, 1024, 4096)
    D, _, H, I = shape
    teacher = 2 * 1024 * (D * (4 * 512 * H * H + 2 * 512 * H * I + 2 * 512 ** 2 * H) + 77 * H * (50265 + H))
    assert tool.pretraining_work(True) - tool.pretraining_work(False) == pytest.approx(25000 * teacher)
    assert tool.hours(tool.pretraining_work(True), tool.PEAKS["8 x V100"][0], (tool.paper_share(), 1.0)).endswith(" 36")
    assert tool.measured_share({"results": {}}) is None
    rows = [{"gemm_peak_gflops": 100.0}, {"shape": "8x128", "tokens_per_s": {"bort_mx": 10.0}}]
    one_token = 3 * tool.pass_work(tool.PRESETS["bort"], 1, 128, 19) / 128
    share = tool.measured_share({"results": {"latency": [{"rows": rows[:1]}], "training": [{"rows": rows[1:]}]}})
    assert share == pytest.approx(10 * one_token / 100e9)

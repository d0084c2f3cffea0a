"""Commands as they are typed: the next one, and the one that goes on."""

import shlex
import sys

import pytest

from bort_mx.cli import COMMANDS
from bort_mx.command_line import GOES_ON, SCRIPTS, command_to_go_on
from bort_mx.commands import bench


@pytest.mark.parametrize("program, name, argv, due", [
    ("run_pretraining.py", "run_pretraining.py", "--data x --output-dir y", "python run_pretraining.py --data x "
     "--output-dir y --resume auto"),
    ("/repo/run_finetune.py", "run_finetune.py", "--resume auto --task RTE", "python /repo/run_finetune.py --task RTE "
     "--resume auto"),
    ("run_finetune.py", "run_finetune.py", "--resume=x/checkpoints/step-2", "python run_finetune.py --resume auto"),
    ("/venv/bin/bort-mx", "pretrain", "--seed 1", "bort-mx pretrain --seed 1 --resume auto"),
    ("bort_mx/__main__.py", "finetune", "--task 'a b'", "python -m bort_mx finetune --task 'a b' --resume auto"),
    ("run_search.py", "run_search.py", "--resume never --seed 2", "python run_search.py --seed 2"),
    ("bort_mx/__main__.py", "prepare", "--data x", "python -m bort_mx prepare --data x"),
    ("bort_mx/__main__.py", "bench", "--quick", "python -m bort_mx bench --quick --resume auto"),
    ("bort_mx/__main__.py", "demo", "", "python -m bort_mx demo"),
    ("bort_mx/__main__.py", "export", "a b.onnx", None)])
def test_what_goes_on_is_the_same_command(monkeypatch, program, name, argv, due):
    monkeypatch.setattr(sys, "argv", [program])
    assert command_to_go_on(name, shlex.split(argv)) == due


def test_under_horovodrun_it_is_named_too(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run_search.py"])
    monkeypatch.setenv("HOROVOD_SIZE", "2")
    monkeypatch.setenv("HOROVOD_LOCAL_SIZE", "2")
    assert command_to_go_on("run_search.py", []) == "horovodrun -np 2 python run_search.py"
    monkeypatch.setenv("HOROVOD_LOCAL_SIZE", "1")
    assert command_to_go_on("run_search.py", []) == "horovodrun -np 2 -H HOSTS python run_search.py"


def test_the_tables_name_commands_that_there_are():
    assert set(GOES_ON) <= set(COMMANDS) and set(SCRIPTS) <= set(COMMANDS)


def test_bench_goes_on_with_the_suites_that_are_left(tmp_path, monkeypatch, capsys):
    ran = []

    def run(command):
        """Stop in the second suite, as Ctrl-C does."""
        ran.append(command[0])
        if ran == ["latency.py", "training_throughput.py"]:
            raise KeyboardInterrupt
        return {"command": command, "rows": [], "exit_code": 0}

    monkeypatch.setattr(bench, "_run", run)
    argv = ["--quick", "--output-dir", str(tmp_path)]
    with pytest.raises(KeyboardInterrupt):
        bench.main(argv)
    assert bench.main([*argv, "--resume", "auto"]) == 0
    assert "has latency already" in capsys.readouterr().out
    assert ran.count("latency.py") == 1 and ran.count("training_throughput.py") == 2
    assert bench.main([*argv, "--resume", "auto"]) == 0 and ran.count("search_speed.py") == 1

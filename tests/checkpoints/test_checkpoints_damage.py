"""A checkpoint that is damaged is passed over; one that cannot be read stops the run; neither is deleted."""

import errno
import json
import os
import pathlib

import pytest

from bort_mx import Architecture
from bort_mx.checkpoints import directory
from bort_mx.errors import InputError, Unreadable
from bort_mx.io import files
from bort_mx.models import build_model


@pytest.fixture
def checkpoints(tmp_path):
    """step-5 and step-10 of a run."""
    model = build_model(Architecture(1, 2, 8, 8), 20, num_positions=8)
    for step in (5, 10):
        directory.save(tmp_path / f"step-{step}", model, states={}, progress={"step": step})
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


FILES = ["config.json", "manifest.json", "model.safetensors", "progress.json", "trainer.states"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["missing", "torn", "altered", "empty"])
def test_every_damaged_file_is_noticed_and_the_one_before_used(checkpoints, name, how, caplog):
    path = checkpoints / "step-10" / name
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        middle = len(content) // 2
        path.write_bytes({"torn": content[:middle], "empty": b"",
                          "altered": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1:]}[how])
    assert directory.latest(checkpoints) == checkpoints / "step-5"
    assert "passed over" in caplog.text and f"step-10{os.sep}" in caplog.text
    directory.set_aside_after(checkpoints, 5)
    assert names(checkpoints) == ["damaged-step-10", "step-5"]
    directory.keep_last(checkpoints, 1)
    assert names(checkpoints) == ["damaged-step-10", "step-5"]  # it may be of use to somebody


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("name", FILES)
def test_what_cannot_be_read_stops_and_nothing_is_touched(checkpoints, name, number, monkeypatch):
    genuine_open, genuine_bytes = open, pathlib.Path.read_bytes

    def refuse(path):
        if str(path).endswith(os.path.join("step-10", name)):
            raise OSError(number, os.strerror(number), str(path))

    def open_(path, *rest, **more):
        refuse(path)
        return genuine_open(path, *rest, **more)

    def read_bytes(self):
        refuse(self)
        return genuine_bytes(self)

    monkeypatch.setattr("builtins.open", open_)
    monkeypatch.setattr(pathlib.Path, "read_bytes", read_bytes)
    with pytest.raises(Unreadable, match=f"step-10.*{name}: cannot be read \\({os.strerror(number)}\\)"):
        directory.latest(checkpoints)
    assert names(checkpoints) == ["step-10", "step-5"]


def test_a_folder_whose_name_and_contents_disagree_is_damaged(checkpoints, caplog):
    os.rename(checkpoints / "step-10", checkpoints / "step-99")
    assert directory.latest(checkpoints) == checkpoints / "step-5"
    assert "step-99: its progress.json is of step 10" in caplog.text


@pytest.mark.parametrize("progress", ["[]", "{}", '{"step": "10"}', '{"step": true}', "3"])
def test_odd_contents_of_progress_are_damage(checkpoints, progress):
    path = checkpoints / "step-10"
    (path / "progress.json").write_text(progress)
    manifest = json.loads((path / "manifest.json").read_text())
    files.write_json(path / "manifest.json", {**manifest, "progress.json": files.sha256(path / "progress.json")})
    with pytest.raises(InputError, match="use an earlier checkpoint"):
        directory.verify_step(path)
    assert directory.latest(checkpoints) == checkpoints / "step-5"


def test_names_that_look_like_numbers_are_no_steps(checkpoints):
    (checkpoints / "step-²").mkdir()
    (checkpoints / "step-").mkdir()
    assert directory.latest(checkpoints) == checkpoints / "step-10"


def test_going_back_drops_what_came_after_only_once_a_new_checkpoint_stands(checkpoints):
    directory.set_aside_after(checkpoints, 5)
    assert names(checkpoints) == ["dropped-step-10", "step-5"]
    directory.keep_last(checkpoints, 3)
    assert names(checkpoints) == ["step-5"]

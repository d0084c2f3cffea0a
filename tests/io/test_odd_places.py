"""Folders as people have them: links in circles, links to nothing, pipes among the files."""

import dataclasses
import os

import pytest

from bort_mx.cli import run_command
from bort_mx.commands import prepare
from bort_mx.data.corpora.text_files import list_files
from bort_mx.errors import InputError
from bort_mx.training.run_directory import RunDirectory


@dataclasses.dataclass
class Options:
    """Of a run."""

    seed: int = 0


@pytest.mark.timeout(60)
def test_links_in_circles_end(tmp_path):
    """Two links to their own folder make 2^40 paths."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.txt").write_text("One.\n")
    for i in range(3):
        (tmp_path / f"link{i}").symlink_to(".")
        (tmp_path / "deep" / f"up{i}").symlink_to("..")
    (tmp_path / ".hidden").write_text("x")
    found, hidden = list_files([tmp_path, tmp_path / "deep"])
    assert [path.name for path in found] == ["b.txt"] and hidden == 1


def test_folders_and_files_behind_links_are_read_once(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "t.txt").write_text("One.\n")
    (tmp_path / "a" / "b").symlink_to(tmp_path / "b")
    (tmp_path / "a" / "again.txt").symlink_to("t.txt")
    found, _ = list_files([tmp_path / "a"])
    assert sorted({path.resolve() for path in found}) == [tmp_path / "a/t.txt", tmp_path / "b/t.txt"]
    assert len(found) == 2


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make, said", [
    (lambda path: os.mkfifo(path), "a pipe, a socket or a device"),
    (lambda path: path.symlink_to("nowhere"), "a link to nothing")])
def test_what_is_no_file_is_named(tmp_path, make, said):
    """A pipe was waited for without end."""
    (tmp_path / "a.txt").write_text("One.\n")
    make(tmp_path / "b.txt")
    with pytest.raises(InputError, match=f"b.txt: {said}"):
        list_files([tmp_path])


def test_an_output_that_is_a_link_to_nothing_is_refused(tmp_path, capsys):
    (tmp_path / "t.txt").write_text("One sentence here. Another one there.\n")
    (tmp_path / "out").symlink_to("nowhere")
    code = run_command("prepare", prepare.main, ["--data", str(tmp_path / "t.txt"), "--train-vocab", "300",
                                                 "--output-dir", str(tmp_path / "out")])
    assert code == 2 and "out; choose another path" in capsys.readouterr().err


@pytest.mark.timeout(60)
def test_a_lock_that_is_a_link_or_a_pipe_does_no_harm(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to("../mine.txt")
    run = RunDirectory(tmp_path / "run", Options(), (), writes=True)
    run.open(training=False)
    run.close()
    assert (tmp_path / "mine.txt").read_text() == "keep me"
    (tmp_path / "run" / ".lock").unlink()
    os.mkfifo(tmp_path / "run" / ".lock")
    run = RunDirectory(tmp_path / "run", Options(), (), writes=True)
    run.open(training=False)  # a pipe can be locked too
    run.close()

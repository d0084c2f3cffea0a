"""Places to write to: whole folders, modes, what killed processes leave."""

import os
import subprocess
import sys

import pytest

from bort_mx.io.output import clean_leftovers, whole_folder


@pytest.fixture
def dead():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("mask, file, folder", [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700), (0o002, 0o664, 0o775)])
def test_files_have_the_mode_that_the_umask_asks_for(tmp_path, mask, file, folder):
    before = os.umask(mask)
    try:
        with whole_folder(tmp_path / "x") as temporary:
            (temporary / "inner").mkdir(mode=0o700)
            for name in ("weights", "inner/more"):
                (temporary / name).write_text("w")
                os.chmod(temporary / name, 0o600)  # as safetensors does
    finally:
        os.umask(before)
    assert [oct((tmp_path / "x" / n).stat().st_mode & 0o777) for n in ("weights", "inner/more")] == [oct(file)] * 2
    assert (tmp_path / "x/inner").stat().st_mode & 0o777 == folder


def test_a_failure_leaves_what_stood_there(tmp_path):
    with whole_folder(tmp_path / "x") as temporary:
        (temporary / "a").write_text("old")
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "x") as temporary:
        (temporary / "a").write_text("new")
        raise RuntimeError
    assert (tmp_path / "x/a").read_text() == "old" and os.listdir(tmp_path) == ["x"]


def test_leftovers_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path, dead):
    living = os.getppid()
    for name in (f".x.{dead}.tmp", f".x.{living}.tmp", f".x.{dead}.old", f".xy.{dead}.tmp", ".x.notes.tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "x").mkdir()
    with whole_folder(tmp_path / "x") as temporary:
        (temporary / "a").write_text("new")
    assert sorted(os.listdir(tmp_path)) == sorted([f".x.{living}.tmp", f".xy.{dead}.tmp", ".x.notes.tmp", "x"])


def test_what_stepped_aside_for_a_writer_that_was_killed_comes_back(tmp_path, dead):
    (tmp_path / f".best.{dead}.old").mkdir()
    (tmp_path / f".best.{dead}.old" / "a").write_text("kept")
    clean_leftovers(tmp_path / "best")
    assert (tmp_path / "best/a").read_text() == "kept" and os.listdir(tmp_path) == ["best"]

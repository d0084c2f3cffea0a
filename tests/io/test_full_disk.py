"""Full disks, and places that cannot be written: one line from every writer, an exit code, nothing half-written."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from bort_mx.io.array_file import new_array

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXTS = "\n".join(f"sentence number {i} of a text" for i in range(3000)) + "\n"
TINY = ["--architecture", "1,2,16,24", "--batch-size", "4", "--seq-len", "16", "--max-steps", "2"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)], capture_output=True,
                      check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture(scope="module")
def checkpoint(prepared, tmp_path_factory):
    """A pre-trained model of 500 kB or so."""
    out = tmp_path_factory.mktemp("trained") / "run"
    done = command("pretrain", "--data", prepared, "--output-dir", out, "--architecture", "2,2,64,128", *TINY[2:])
    assert done.returncode == 0, done.stderr
    return out


def command(*words, **settings):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-m", "bort_mx", *map(str, words)], text=True, timeout=120, check=False,
                          env=environment, **{"capture_output": True, **settings})


def one_line(done, code, *said):
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode == code, (done.returncode, done.stderr)
    assert lines and lines[-1].startswith("bort-mx ") and "Traceback" not in done.stderr, done.stderr
    for text in said:
        assert text in lines[-1], lines[-1]


def test_an_array_takes_its_space_at_once(tmp_path, small_disk):
    array = new_array(tmp_path / "a.npy", (1000, 7))
    array[3] = 2
    array.flush()
    assert os.stat(tmp_path / "a.npy").st_blocks * 512 >= array.nbytes
    assert (np.load(tmp_path / "a.npy") == array).all()
    with pytest.raises(OSError, match="No space left on device"):
        new_array(small_disk / "a.npy", (1000, 1000))
    assert not list(small_disk.iterdir())


def test_where_the_file_system_cannot_allocate_every_block_is_written(tmp_path, monkeypatch):
    def unsupported(*arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    array = new_array(tmp_path / "a.npy", (3000, 211))
    assert os.stat(tmp_path / "a.npy").st_blocks * 512 >= array.nbytes
    array[-1, -1] = 5
    array.flush()
    found = np.load(tmp_path / "a.npy")
    assert found.shape == (3000, 211) and found[-1, -1] == 5 and found.sum() == 5


@pytest.mark.parametrize("to", ["hf", "gluon", "bort-mx"])
def test_convert_on_a_full_disk(checkpoint, small_disk, to):
    one_line(command("convert", checkpoint, small_disk / "out", "--to", to), 1, "failed: No space left on device")
    assert not list(small_disk.iterdir())


def test_export_on_a_full_disk(checkpoint, small_disk):
    one_line(command("export", checkpoint, small_disk / "m.onnx"), 1, "failed: No space left on device")
    assert not list(small_disk.glob("*.onnx")) and not list(small_disk.glob(".m.onnx*"))


def test_embed_on_a_full_disk(checkpoint, small_disk, tmp_path):
    (tmp_path / "texts").write_text(TEXTS)
    one_line(command("predict", "--checkpoint", checkpoint, "--embed", tmp_path / "texts", "--output",
                     small_disk / "e.npy"), 1, "failed: No space left on device")
    assert not list(small_disk.iterdir())


def test_a_limit_on_the_size_of_files_is_a_full_disk(checkpoint, tmp_path):
    import resource

    (tmp_path / "texts").write_text(TEXTS)
    done = command("predict", "--checkpoint", checkpoint, "--embed", tmp_path / "texts", "--output",
                   tmp_path / "e.npy", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50000, 50000)))
    one_line(done, 1, "File too large")
    assert not (tmp_path / "e.npy").exists()


def test_pretraining_and_prepare_on_a_full_disk(prepared, small_disk, tmp_path):
    one_line(command("pretrain", "--data", prepared, "--output-dir", small_disk / "run", "--architecture", "2,2,64,128",
                     *TINY[2:]), 1, "No space left on device")
    text = "\n".join(f"this is the sentence of the number {i * 7919}" for i in range(40000))
    (tmp_path / "text.txt").write_text(text)
    one_line(command("prepare", "--data", tmp_path / "text.txt", "--train-vocab", "400", "--output-dir",
                     small_disk / "data"), 1, "No space left on device")
    assert not (small_disk / "data/manifest.json").exists()


def test_teacher_states_on_a_full_disk(small_disk):
    from bort_mx.distributed import Workers
    from bort_mx.search.teacher_states import _allocate

    with pytest.raises(OSError, match="No space left on device"):
        _allocate((2, 4, 100, 1000), small_disk / "teacher_states.npy", Workers())


# -- places ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [
    ["pretrain", "--data", "{data}", *TINY, "--output-dir", ""], ["finetune", "--task", "demo", "--output-dir", ""],
    ["prepare", "--data", "{data}", "--train-vocab", "400", "--output-dir", ""], ["convert", "x", "", "--to", "hf"],
    ["search", "--teacher", "x", "--data", "y", "--output-dir", ""]])
def test_an_empty_output_directory_is_refused(prepared, tmp_path, words):
    done = command(*(word.format(data=prepared) for word in words), cwd=tmp_path)
    one_line(done, 2, '""', "is empty")
    assert not list(tmp_path.iterdir())


LONG, NOT_UTF8 = "n" * 300, os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize("words", [
    ["pretrain", "--data", "{name}"], ["pretrain", "--data", "{data}", *TINY, "--output-dir", "{name}"],
    ["pretrain", "--init", "{name}"], ["pretrain", "--data", "{data}", "--architecture", "{name}.json"],
    ["finetune", "--task", "{name}.yaml"], ["finetune", "--task", "demo", "--checkpoint", "{name}"],
    ["finetune", "--task", "demo", "--output-dir", "{name}"], ["finetune", "--task", "RTE", "--data-dir", "{name}"],
    ["search", "--space", "{name}", "--teacher", "x", "--data", "{data}", "--output-dir", "out"],
    ["search", "--teacher", "{name}", "--data", "{data}", "--output-dir", "out"],
    ["prepare", "--data", "{name}", "--train-vocab", "400", "--output-dir", "out"],
    ["prepare", "--data", "{text}", "--train-vocab", "400", "--output-dir", "{name}"],
    ["prepare", "--data", "{text}", "--tokenizer", "{name}", "--output-dir", "out"],
    ["convert", "{name}", "out", "--to", "hf"], ["export", "{name}", "out.onnx"],
    ["predict", "--checkpoint", "{name}", "--fill-mask", "a <mask>"], ["predict", "--checkpoint", "{name}.onnx",
                                                                         "--fill-mask", "a <mask>"],
    ["pretrain", "--config", "{name}"]], ids=lambda words: " ".join(words)[:40])
@pytest.mark.parametrize("name", [LONG, NOT_UTF8], ids=["long", "not UTF-8"])
def test_a_name_that_cannot_be_is_refused_in_one_line(prepared, tmp_path, capsys, monkeypatch, words, name):
    from bort_mx.cli import main

    (tmp_path / "text.txt").write_text(TEXTS)
    monkeypatch.chdir(tmp_path)
    code = main([word.format(name=name, data=prepared, text="text.txt") for word in words])
    said = capsys.readouterr().err.strip().splitlines()
    assert code == 2 and len(said) == 1 and said[0].startswith(f"bort-mx {words[0]}: error: "), (code, said)
    assert len(said[0]) < 2100


def test_a_text_file_whose_name_is_not_utf8(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / NOT_UTF8).write_text(TEXTS)
    done = command("prepare", "--data", folder, "--train-vocab", "400", "--output-dir", tmp_path / "out")
    assert done.returncode in (0, 2) and "Traceback" not in done.stderr, done.stderr


def test_devices_are_not_replaced(checkpoint, tmp_path):
    (tmp_path / "texts").write_text("a\n")
    pipe = tmp_path / "pipe.npy"
    os.mkfifo(pipe)
    one_line(command("predict", "--checkpoint", checkpoint, "--embed", tmp_path / "texts", "--output", pipe), 2,
             "not a regular file")
    assert pipe.is_fifo()


# -- standard output ----------------------------------------------------------------------------------------------


def shell(line, **names):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHON": sys.executable}
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=120, check=False,
                          env={**environment, **{name: str(value) for name, value in names.items()}})


@pytest.mark.parametrize("closed", [">&-", "<&-", ">&- 2>&-"])
def test_a_run_with_closed_standard_files_writes_the_same(prepared, tmp_path, closed):
    words = " ".join(TINY)
    done = shell(f'"$PYTHON" -m bort_mx pretrain --data "$DATA" {words} --output-dir "$OUT" {closed}',
                 DATA=prepared, OUT=tmp_path / "run")
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert (tmp_path / "run/results.json").is_file()
    assert (tmp_path / "run/.lock").read_bytes() == b""  # nothing that was printed has gone into a file


def test_answers_into_a_closed_or_full_standard_output_are_refused(checkpoint):
    line = '"$PYTHON" -m bort_mx predict --checkpoint "$CHECKPOINT" --fill-mask "a <mask>" '
    one_line(shell(line + ">&-", CHECKPOINT=checkpoint), 2, "standard output is closed", "--output")
    one_line(shell(line + ">/dev/full", CHECKPOINT=checkpoint), 1, "No space left on device")

"""Two processes that write to one place, and what killed ones leave there."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from bort_mx.architecture import Architecture
from bort_mx.checkpoints import loading
from bort_mx.checkpoints.convert import convert
from bort_mx.checkpoints.directory import save
from bort_mx.checkpoints.onnx_export import export
from bort_mx.cli import main
from bort_mx.data.tokenizers import load_tokenizer
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.io.output import whole_folder
from bort_mx.models.build import build_model

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def weights(prepared, tmp_path_factory):
    """A tiny masked language model, read from its checkpoint."""
    tokenizer = load_tokenizer(prepared / "tokenizer")
    path = tmp_path_factory.mktemp("model") / "tiny"
    save(path, build_model(Architecture(1, 2, 16, 24), tokenizer.vocab_size, head="mlm", num_positions=64), tokenizer)
    return loading.read(path)


@pytest.fixture
def dead():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def start(*words):
    return subprocess.Popen([sys.executable, "-m", "bort_mx", *map(str, words)], stderr=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True,
                            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)})


def test_a_folder_that_appeared_meanwhile_is_not_replaced(tmp_path):
    with pytest.raises(OSError), whole_folder(tmp_path / "x", replace=False) as temporary:
        (temporary / "a").write_text("second")
        (tmp_path / "x").mkdir()
        (tmp_path / "x/a").write_text("first")
    assert (tmp_path / "x/a").read_text() == "first" and os.listdir(tmp_path) == ["x"]


def test_of_two_conversions_to_one_folder_one_is_told(weights, tmp_path, monkeypatch):
    """The second ends after the first, which began after it."""
    from bort_mx.checkpoints import convert as conversion

    write = conversion.WRITERS["hf"]

    def both(directory, given):
        write(directory, given)
        with monkeypatch.context() as another_process:
            another_process.setattr(os, "getpid", os.getppid)
            convert(weights, tmp_path / "out", "gluon")

    monkeypatch.setitem(conversion.WRITERS, "hf", both)
    with pytest.raises(InputError, match="cannot be written .*not empty"):
        convert(weights, tmp_path / "out", "hf")
    assert loading.read(tmp_path / "out").config == weights.config
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize("command", ["prepare", "embed", "export"])
def test_two_at_once_leave_one_whole_result(weights, prepared, tmp_path, command):
    text = tmp_path / "text.txt"
    text.write_text("\n".join(f"the {i}th sentence of a long text" for i in range(3000)) + "\n")
    words = {"prepare": ["--data", text, "--train-vocab", "400", "--output-dir", tmp_path / "out"],
             "embed": ["--checkpoint", weights.source, "--embed", text, "--output", tmp_path / "out.npy"],
             "export": [weights.source, tmp_path / "out.onnx"]}[command]
    both = [start("predict" if command == "embed" else command, *words) for _ in range(2)]
    said = [process.communicate(timeout=200)[1] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes in ([0, 0], [0, 2]) and not any("Traceback" in text for text in said), said
    if command == "prepare":
        assert codes == [0, 0] or any("another prepare is writing there" in text for text in said)
        assert json.loads((tmp_path / "out/manifest.json").read_text())["splits"]["train"]["sentences"]
    elif command == "embed":
        assert np.isfinite(np.load(tmp_path / "out.npy")).all()
    else:
        from bort_mx.checkpoints.onnx_model import OnnxModel

        assert OnnxModel(tmp_path / "out.onnx").tokenizer.digest == weights.tokenizer.digest
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


# -- what killed processes leave --------------------------------------------------------------------------------------


def test_files_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path, dead):
    (tmp_path / f".e.npy.{dead}.tmp").write_bytes(b"1" * 1000)
    (tmp_path / f".e.npy.{os.getppid()}.tmp").write_bytes(b"1")
    with files.atomic_path(tmp_path / "e.npy") as temporary:
        temporary.write_bytes(b"2")
    assert sorted(os.listdir(tmp_path)) == sorted([f".e.npy.{os.getppid()}.tmp", "e.npy"])


def test_an_export_cleans_what_a_killed_one_left(weights, tmp_path, dead):
    (tmp_path / f".m.onnx.{dead}.tmp").mkdir()
    (tmp_path / f".m.onnx.{dead}.tmp/m.onnx").write_bytes(b"1" * 1000)
    export(weights, tmp_path / "m.onnx")
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_an_export_killed_at_any_file_is_made_whole_by_the_next(weights, tmp_path, monkeypatch):
    """The process ends before the n-th of its files gets its place, for every n."""
    replace, number = os.replace, 0
    export(weights, tmp_path / "whole/m.onnx")
    names = sorted(os.listdir(tmp_path / "whole"))
    assert "tokenizer_config.json" in names
    while True:
        folder, left = tmp_path / str(number), number

        def killing(source, target, folder=folder):
            nonlocal left
            if pathlib.Path(target).parent == folder:
                left -= 1
                if left < 0:
                    raise KeyboardInterrupt
            replace(source, target)

        monkeypatch.setattr(os, "replace", killing)
        try:
            export(weights, folder / "m.onnx")
            break
        except KeyboardInterrupt:
            assert not (folder / "m.onnx").exists()
        monkeypatch.setattr(os, "replace", replace)
        export(weights, folder / "m.onnx")
        assert sorted(os.listdir(folder)) == names
        assert load_tokenizer(folder).digest == weights.tokenizer.digest
        number += 1
    assert number == len(names)


def test_a_folder_without_tokenizer_config_of_an_earlier_kill_is_completed(weights, tmp_path):
    export(weights, tmp_path / "m.onnx")
    (tmp_path / "tokenizer_config.json").unlink()
    export(weights, tmp_path / "m.onnx")
    assert (tmp_path / "tokenizer_config.json").is_file()


def test_killed_predictions_leave_nothing_for_good(weights, tmp_path):
    text, output = tmp_path / "text.txt", tmp_path / "e.npy"
    text.write_text("\n".join(f"the {i}th sentence of a long text" for i in range(60000)) + "\n")
    process = start("predict", "--checkpoint", weights.source, "--embed", text, "--output", output)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".e.npy.*")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(list(tmp_path.glob(".e.npy.*.tmp"))) == 1 and not output.exists()
    text.write_text("a\n")
    assert main(["predict", "--checkpoint", weights.source, "--embed", str(text), "--output", str(output)]) == 0
    assert sorted(os.listdir(tmp_path)) == ["e.npy", "text.txt"]

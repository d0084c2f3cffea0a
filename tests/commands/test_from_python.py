"""The stages as functions: keyword arguments become the command's options, its results an object."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import bort_mx
from bort_mx.architecture import Architecture
from bort_mx.checkpoints import save
from bort_mx.commands.from_python import RunResult, as_arguments
from bort_mx.data.tokenizers import train_sentencepiece
from bort_mx.errors import InputError
from bort_mx.models import build_model
from bort_mx.options import parse_options
from bort_mx.pretraining.options import PretrainingOptions

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_keywords_are_the_options_of_the_command():
    given = {"data": ["a", pathlib.Path("b c")], "max_steps": np.int64(7), "learning_rate": 1e-05, "kd_weight": 1,
             "teacher": "t", "output_dir": pathlib.Path("-o"), "tokenizer": "5", "train_vocab": None, "seed": 3}
    options = parse_options(PretrainingOptions, as_arguments(PretrainingOptions, given), "x", "y")
    assert options == PretrainingOptions(data=["a", "b c"], max_steps=7, learning_rate=1e-5, kd_weight=1.0,
                                         teacher="t", output_dir="-o", tokenizer="5", seed=3)
    one = parse_options(PretrainingOptions, as_arguments(PretrainingOptions, {"data": "text.txt"}), "x", "y")
    assert one.data == ["text.txt"]  # a text where a list is due is one text


@pytest.mark.parametrize("function, given, said", [
    ("finetune", {"learning_rat": 1}, r"unknown option learning_rat \(did you mean learning_rate\?\)"),
    ("finetune", {"help": True}, "unknown option help"),
    ("pretrain", {"stepz": 1}, "unknown option stepz"),
    ("search", {"stepps": 1}, r"unknown option stepps \(did you mean steps\?\)"),
    ("finetune", {"epochs": "many"}, "epochs: expected a whole number, found 'many'"),
    ("finetune", {"epochs": True}, "epochs: expected a whole number, found .True"),
    ("finetune", {"learning_rate": 0}, "learning_rate 0.*: must be positive"),
    ("finetune", {"epochs": {}}, r"epochs: \{\} is of type dict; expected a text, a number"),
    ("finetune", {"task": "demo", "patience": 3}, "patience 3 requires early_stopping"),
    ("pretrain", {"tokenizer": "a", "train_vocab": 3, "data": "x"}, "tokenizer a and train_vocab 3 exclude each other"),
    ("pretrain", {"config": "no.yaml"}, "no.yaml: no such file")])
def test_bad_options_are_told_in_pythons_spelling(function, given, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said) as caught:
        getattr(bort_mx, function)(**given)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


@pytest.fixture
def own(tmp_path):
    """A small task and a small encoder; the keyword arguments that name them."""
    tokenizer = train_sentencepiece(["good bad film number 0123456789 one"] * 5, 300)
    encoder = build_model(Architecture(1, 2, 16, 24), tokenizer.vocab_size, num_positions=32)
    save(tmp_path / "encoder", encoder, tokenizer)
    for split, count in (("train", 32), ("dev", 8)):
        rows = "".join(f"a {('bad', 'good')[i % 2]} film,{('no', 'yes')[i % 2]}\n" for i in range(count))
        (tmp_path / f"{split}.csv").write_text("text,label\n" + rows)
    (tmp_path / "own.yaml").write_text("files: {train: train.csv, dev: dev.csv}\ncolumns: {text: text, label: label}\n"
                                       "labels: ['no', 'yes']\n")
    return {"task": str(tmp_path / "own.yaml"), "checkpoint": tmp_path / "encoder", "output_dir": tmp_path / "run"}


def test_finetune_gives_what_results_json_holds(own, tmp_path, capsys):
    run = bort_mx.finetune(**own, epochs=2, batch_size=4, learning_rate=3e-2, device="cpu")
    written = json.loads((tmp_path / "run" / "results.json").read_text())
    assert isinstance(run, RunResult) and run.results == written == dict(run)
    assert run.output_dir == str(tmp_path / "run") and run.options.epochs == 2 and run.options.batch_size == 4
    assert run.dev == written["dev"] == run["dev"] and "dev" in run and "dev" in dir(run)
    assert run.output_dir in repr(run) and "next:" not in capsys.readouterr().out
    with pytest.raises(AttributeError, match="no result 'acc'; there are"):
        run.acc  # noqa: B018
    answer = bort_mx.pipeline(run.output_dir)("a good film")
    assert set(answer["scores"]) == {"no", "yes"}
    with pytest.raises(InputError, match="output_dir"):  # the folder holds a run; told in Python's spelling
        bort_mx.finetune(**own)


def test_pretrain_and_search_are_carried_out_by_their_commands(prepared, tmp_path, monkeypatch):
    run = bort_mx.pretrain(data=str(prepared), architecture="1,2,16,16", max_steps=2, batch_size=4, seq_len=16,
                           warmup=1, evaluation_sequences=8, output_dir=str(tmp_path / "p"))
    assert run.results == json.loads((tmp_path / "p" / "results.json").read_text())
    assert bort_mx.pipeline(run.output_dir).task == "fill-mask"
    from bort_mx.commands import search as command

    seen = []
    monkeypatch.setattr(command, "parse_run_options", lambda *arguments, **more: seen.append(arguments[1]) or stop())
    with pytest.raises(InputError, match="stopped"):
        bort_mx.search(data=[str(prepared)], teacher=str(tmp_path / "p"), steps=1, allow_odd=True)
    assert seen == [["--data", str(prepared), f"--teacher={tmp_path}/p", "--steps=1", "--allow-odd=true"]]


def stop():
    raise InputError("stopped")


def test_the_package_search_is_a_function_as_well():
    from bort_mx.search import Objectives, fptas

    assert callable(bort_mx.search) and callable(fptas) and bort_mx.search.Objectives is Objectives


def test_import_stays_quick_and_sets_the_threads_first():
    """Nothing heavy is imported before it is used; the number of threads stands when MXNet comes."""
    code = ("import os, sys; os.environ.pop('OMP_NUM_THREADS', None); import bort_mx\n"
            "heavy = {'mxnet', 'numpy', 'jsonargparse', 'tqdm', 'fastapi'} & set(sys.modules)\n"
            "heavy -= {'numpy'} if sys.version_info >= (3, 12) else set()\n"
            "assert not heavy, heavy\n"
            "assert int(os.environ['OMP_NUM_THREADS']) >= 1\n"
            "assert {'pipeline', 'load', 'save', 'finetune', 'pretrain', 'search'} <= set(dir(bort_mx))\n")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

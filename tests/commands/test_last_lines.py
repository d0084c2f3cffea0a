"""The last lines of every command: where it wrote, and a command that may come next."""

import json
import os
import shlex
import subprocess
import sys

import numpy as np
import pytest

from bort_mx.architecture import Architecture
from bort_mx.checkpoints import directory
from bort_mx.cli import COMMANDS
from bort_mx.commands import convert, export, finetune, predict, prepare, pretrain, search
from bort_mx.commands.last_lines import command_line, predict_with, say_last
from bort_mx.data.tokenizers import train_sentencepiece
from bort_mx.errors import InputError
from bort_mx.models import build_model


def last(capsys):
    return capsys.readouterr().out.splitlines()[-2:]


def test_the_next_command_can_be_pasted_into_a_shell(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command_line("finetune", "--task", "RTE") == "python -m bort_mx finetune --task RTE"
    (tmp_path / "run_finetune.py").touch()
    assert command_line("finetune", "--checkpoint", "a b") == "python run_finetune.py --checkpoint 'a b'"
    assert shlex.split(command_line(*predict_with("m", "mlm")))[-1] == "The <mask> of the function"
    say_last("x.txt", "doctor")
    assert capsys.readouterr().out == "wrote x.txt\nnext: python -m bort_mx doctor\n"
    monkeypatch.setenv("HOROVOD_RANK", "1")
    say_last("x.txt", "doctor")
    assert capsys.readouterr().out == ""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("last")
    tokenizer = train_sentencepiece(["the quick brown fox jumps over the lazy dog"] * 3, 300)
    for head in ("encoder", "mlm", "classifier"):
        directory.save(folder / head, build_model(Architecture(1, 2, 8, 8), tokenizer.vocab_size, head,
                                                  num_positions=32), tokenizer)
    (folder / "texts.txt").write_text("the dog\na fox\n")
    return folder


@pytest.mark.parametrize("head, option", [("encoder", "--embed"), ("mlm", "--fill-mask"),
                                          ("classifier", "--classify")])
def test_after_converting_and_exporting_one_predicts(head, option, checkpoints, tmp_path, capsys):
    assert convert.main([str(checkpoints / head), str(tmp_path / "hf"), "--to", "hf"]) == 0
    wrote, following = last(capsys)
    assert wrote == f"wrote {tmp_path}/hf"
    assert following.startswith(f"next: python -m bort_mx predict --checkpoint {tmp_path}/hf {option} ")
    pytest.importorskip("onnxruntime")
    assert export.main([str(checkpoints / head), str(tmp_path / "x" / "m.onnx")]) == 0
    assert last(capsys)[1].startswith(f"next: python -m bort_mx predict --checkpoint {tmp_path}/x/m.onnx {option} ")


def test_answers_on_standard_output_stand_alone(checkpoints, tmp_path, capsys):
    words = ["--checkpoint", str(checkpoints / "classifier"), "--classify", str(checkpoints / "texts.txt")]
    assert predict.main(words) == 0
    assert [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()] == ["the dog", "a fox"]
    assert predict.main([*words, "--output", str(tmp_path / "a.jsonl")]) == 0
    assert last(capsys) == [f"wrote {tmp_path}/a.jsonl",
                            f"next: python -m bort_mx export {checkpoints}/classifier model.onnx --int8"]


def test_what_was_run_is_what_the_next_command_exports(checkpoints, tmp_path, capsys):
    """After --embed with a classifier: its encoder. An exported file is not exported again."""
    pytest.importorskip("onnxruntime")
    out = str(tmp_path / "e.npy")
    texts = str(checkpoints / "texts.txt")
    assert predict.main(["--checkpoint", str(checkpoints / "classifier"), "--embed", texts, "--output", out]) == 0
    words = shlex.split(last(capsys)[1])
    assert words[:4] == ["next:", "python", "-m", "bort_mx"] and words[-3:] == ["--head", "encoder", "--int8"]
    exported = str(tmp_path / "model.onnx")
    assert export.main([exported if word == "model.onnx" else word for word in words[5:-1]]) == 0
    before = np.load(out)
    assert predict.main(["--checkpoint", exported, "--embed", texts, "--output", out]) == 0
    assert last(capsys) == [f"wrote {out}", f"next: python -m bort_mx serve {exported}"]
    np.testing.assert_allclose(np.load(out), before, atol=1e-5)


def test_a_chain_of_commands_names_each_next_one(tmp_path, monkeypatch, capsys):
    """prepare, pre-training, search and fine-tuning, each by the command before it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("".join(f"the {a} dog {b} a {c} fox .\n" for a in "abcdef" for b in "ghijkl"
                                               for c in "mnopqr"))
    assert prepare.main(["--data", "text.txt", "--train-vocab", "300", "--output-dir", "shards"]) == 0
    wrote, following = last(capsys)
    assert wrote == "wrote shards" and following.startswith("next: python -m bort_mx pretrain --max-steps 400 ")
    assert following.endswith(" --data shards --architecture 4,4,128,512 --output-dir runs/pretraining")
    tiny = ["--architecture", "2,2,8,8", "--max-steps", "2", "--batch-size", "4", "--seq-len", "32",
            "--evaluation-sequences", "4"]
    assert pretrain.main(["--data", "shards", *tiny, "--output-dir", "runs/mlm"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-3:] == ["wrote runs/mlm: checkpoints/step-2, results.json, metrics.jsonl",
                         "next: python -m bort_mx finetune --train your-table.csv --checkpoint runs/mlm",
                         "or:   python -m bort_mx finetune --task RTE --checkpoint runs/mlm  # downloads RTE"]
    assert [line for line in said if len(line) > 85] == []
    distilled = ["--data", "shards", "--teacher", "runs/mlm", *tiny]
    assert pretrain.main([*distilled, "--losses", "hidden", "--output-dir", "runs/s"]) == 0
    following, other = last(capsys)
    assert following.startswith("next: python -m bort_mx finetune --pooling segments --dropout 0.0 ")
    assert following.endswith(" --pooling mean --train your-table.csv --checkpoint runs/s")  # no token types
    assert other.startswith("or:   python -m bort_mx predict --checkpoint runs/s --embed ")
    (tmp_path / "own.csv").write_text("text,label\n" + "".join(f"the {a} fox,{a in 'ace'}\n" for a in "abcdef" * 4))
    words = ["own.csv" if word == "your-table.csv" else word for word in shlex.split(following)[5:]]
    assert finetune.main([*words, "--max-length", "32", "--epochs", "1", "--output-dir", "runs/tuned"]) == 0
    capsys.readouterr()
    assert pretrain.main([*distilled, "--losses", "embeddings", "--output-dir", "runs/e"]) == 0
    following, other = last(capsys)
    assert following.startswith("next: python -m bort_mx predict --checkpoint runs/e --embed ")
    assert other.endswith(" --train your-table.csv --checkpoint runs/e  # for a task")
    (tmp_path / "space.yaml").write_text("num_layers: [2]\nnum_heads: [1, 2]\nhidden_size: [4, 8]\n"
                                         "intermediate_size: [8]\n")
    assert search.main(["--data", "shards", "--teacher", "runs/mlm", "--space", "space.yaml", "--epsilon", "1",
                        "--latency", "flops", "--batch-size", "4", "--seq-len", "32", "--evaluation-lines", "4",
                        "--output-dir", "runs/search"]) == 0
    following = last(capsys)[1]
    assert following.startswith("next: python -m bort_mx pretrain --max-steps 400 ")
    assert following.endswith(" --seq-len 32 --data shards --teacher runs/mlm --architecture runs/search/results.json "
                              "--output-dir runs/found")
    assert pretrain.main([*shlex.split(following)[5:], "--max-steps", "1", "--warmup", "1", "--batch-size", "2",
                          "--evaluation-sequences", "2"]) == 0
    capsys.readouterr()
    assert finetune.main(["--task", "demo", "--checkpoint", "runs/mlm", "--epochs", "1", "--batch-size", "64",
                          "--output-dir", "runs/ft"]) == 0
    wrote, following = last(capsys)
    assert wrote.startswith("wrote predictions.tsv") and wrote.endswith("into runs/ft")
    assert following == "next: python -m bort_mx predict --checkpoint runs/ft --classify your-texts.txt"


@pytest.mark.parametrize("command, options", [
    (pretrain, pretrain.PretrainingOptions(output_dir="nowhere", losses=["relations=1", "hidden=1"], teacher="t")),
    (search, search.SearchOptions(output_dir="nowhere")),
])
def test_other_workers_read_nothing_for_these_lines(command, options, monkeypatch, capsys):
    """The first worker may still be writing, or be on another host; horovodrun fails if any worker does."""
    monkeypatch.setattr(command, "run", lambda argv: (options, {}))
    monkeypatch.setenv("HOROVOD_RANK", "1")
    assert command.main([]) == 0 and capsys.readouterr().out == ""
    monkeypatch.setenv("HOROVOD_RANK", "0")
    with pytest.raises((InputError, KeyError)):  # as nothing is there
        command.main([])


@pytest.mark.parametrize("name, module", [(name, module) for name, (module, _) in COMMANDS.items()])
def test_no_command_is_left_out(name, module):
    import importlib
    import inspect

    assert "say_last(" in inspect.getsource(importlib.import_module(module))


def test_the_doctor_names_a_first_command(tmp_path):
    done = subprocess.run([sys.executable, "-m", "bort_mx", "doctor"], capture_output=True, text=True, cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False)
    assert done.stdout.splitlines()[-1] == "next: python -m bort_mx demo" or done.returncode == 1

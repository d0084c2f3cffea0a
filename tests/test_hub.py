"""Which files of the Hub are fetched, models in installed packages, and the options that take names of models."""

import dataclasses
import importlib
import inspect
import json
import pathlib
import sys

import pytest

from bort_mx import hub
from bort_mx.agora.options import AgoraRunOptions
from bort_mx.architecture import Architecture
from bort_mx.checkpoints import directory
from bort_mx.cli import COMMANDS, run_command
from bort_mx.cli import main as bort_mx
from bort_mx.data.tokenizers import WordPieceTokenizer, load_tokenizer
from bort_mx.errors import InputError
from bort_mx.models import build_model
from bort_mx.pretraining.options import PretrainingOptions
from bort_mx.search.options import SearchOptions

SENTENCE_TRANSFORMERS = ["config.json", "model.safetensors", "modules.json", "sentence_bert_config.json", "vocab.txt",
                         "config_sentence_transformers.json", "special_tokens_map.json", "tokenizer.json",
                         "tokenizer_config.json", "1_Pooling/config.json", "2_Dense/config.json",
                         "2_Dense/model.safetensors"]
OTHER = ["README.md", "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "onnx/model.onnx", "rust_model.ot",
         "train_script.py", "openvino/openvino_model.xml", "2_Dense/pytorch_model.bin", "data/train.csv"]


def test_all_that_a_sentence_transformers_folder_is_read_by_is_fetched_and_no_more():
    """Without modules.json and what it names, such a model would be embedded by another pooling, silently."""
    utils = pytest.importorskip("huggingface_hub.utils")
    fetched = list(utils.filter_repo_objects(SENTENCE_TRANSFORMERS + OTHER, allow_patterns=list(hub.WANTED)))
    assert sorted(fetched) == sorted(SENTENCE_TRANSFORMERS)


def test_a_packaged_model_is_found_without_the_package_being_imported(tmp_path, monkeypatch):
    package = tmp_path / "some_weights"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "model/config.json").write_text("{}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(hub, "PACKAGED", {"owner/name": ("some_weights", "model"), "owner/gone": ("no_such", "model")})
    assert hub.packaged("owner/name") == hub.fetch("owner/name") == hub.find("owner/name") == package / "model"
    assert hub.packaged("owner/gone") is None and hub.packaged("owner/other") is None
    assert "some_weights" not in sys.modules


NAME = "owner/name"
TAKES_NAMES = {
    "prepare --tokenizer": ["prepare", "--data", "text.txt", "--output-dir", "out", "--tokenizer", NAME],
    "pretrain --tokenizer": ["pretrain", "--data", "text.txt", "--output-dir", "out", "--tokenizer", NAME],
    "pretrain --init": ["pretrain", "--data", "text.txt", "--output-dir", "out", "--init", NAME],
    "pretrain --teacher": ["pretrain", "--data", "text.txt", "--output-dir", "out", "--teacher", NAME],
    "search --teacher": ["search", "--data", "text.txt", "--output-dir", "out", "--teacher", NAME],
    "search --tokenizer": ["search", "--data", "text.txt", "--output-dir", "out", "--teacher", "teacher",
                           "--tokenizer", NAME],
    "finetune --checkpoint": ["finetune", "--task", "demo", "--output-dir", "out", "--checkpoint", NAME],
    "finetune --transfer-from": ["finetune", "--task", "demo", "--output-dir", "out", "--transfer-from", NAME],
    "finetune --teacher": ["finetune", "--task", "demo", "--output-dir", "out", "--checkpoint", "fresh", "--teacher",
                           NAME],
    "finetune --socrates": ["finetune", "--task", "demo", "--output-dir", "out", "--checkpoint", "fresh", "--agora",
                            "--socrates", NAME],
    "predict --checkpoint": ["predict", "--checkpoint", NAME, "--fill-mask", "a <mask>"],
    "serve": ["serve", NAME, "--port", "0"],
    "convert": ["convert", NAME, "out", "--to", "hf"],
    "export": ["export", NAME, "out.onnx"],
    "demo --checkpoint": ["demo", "--checkpoint", NAME, "--output-dir", "out"],
    "bench --vocab": ["bench", "--suite", "finetuning", "--vocab", NAME],
}
"""Every option that takes a checkpoint or a vocabulary: a command with a name of the Hub in its place."""


@pytest.mark.parametrize("option", TAKES_NAMES)
def test_every_option_for_a_model_takes_a_name_of_the_hub(tmp_path, monkeypatch, capfd, option):
    """It asks for the name. What it does with the folder that it gets, other tests show with folders."""
    asked = []

    def fetch(name, weights=True):
        """Refuse, and keep what was asked for."""
        asked.append(name)
        raise InputError(f"{name} was asked for")

    if option == "serve":
        pytest.importorskip("fastapi")
    monkeypatch.setattr(hub, "fetch", fetch)
    monkeypatch.setattr(hub, "PACKAGED", {NAME: ("no_such", "model")})
    monkeypatch.chdir(tmp_path)
    pathlib.Path("text.txt").write_text("A line of text. " * 20 + "\n")
    if option == "search --tokenizer":
        tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"])
        directory.save("teacher", build_model(Architecture(1, 1, 4, 4), tokenizer.vocab_size, "mlm", num_positions=600),
                       tokenizer)
    command = TAKES_NAMES[option]
    if option in ("pretrain --tokenizer", "search --tokenizer"):  # text is prepared by a program of its own
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert run_command(command[0], lambda argv: bort_mx([command[0], *argv]), command[1:]) == 2
        assert f"{NAME}: no such file or folder, and not to be had from the Hub" in capfd.readouterr().err
        return
    assert bort_mx(command) == 2
    said = capfd.readouterr().err
    assert asked == [NAME] and f"{NAME} was asked for" in said and said.count("\n") == 1


def test_no_option_for_a_model_is_left_out():
    """Options are told by their names; those of files that are no models are listed here."""
    words = ("checkpoint", "tokenizer", "vocab", "init", "teacher", "socrates", "transfer_from", "source", "model")
    classes = {"pretrain": PretrainingOptions, "search": SearchOptions, "finetune": AgoraRunOptions}
    for command, (module, _) in COMMANDS.items():
        defined = [item for _, item in inspect.getmembers(importlib.import_module(module), dataclasses.is_dataclass)
                   if item.__name__.endswith("Options") and item.__module__ == module]
        if defined:
            classes[command] = defined[0]
    assert set(classes) == set(COMMANDS)
    found = {f"{command} --{field.name.replace('_', '-')}" if not field.metadata.get("positional") else command
             for command, options in classes.items() for field in dataclasses.fields(options) if field.name in words}
    assert found == set(TAKES_NAMES)


@pytest.mark.parametrize("place", ["run", "run/checkpoints/step-2/model.safetensors", "shards", "sentences", "seeds"])
def test_the_vocabulary_of_whatever_holds_one_is_found(tmp_path, monkeypatch, place):
    tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b"])
    monkeypatch.chdir(tmp_path)
    for folder in ("run/checkpoints/step-2", "run/checkpoints/step-10", "shards/tokenizer", "sentences/0_Transformer",
                   "seeds/seed-3/checkpoints/best"):
        pathlib.Path(folder).mkdir(parents=True)
        tokenizer.save(pathlib.Path(folder))
    pathlib.Path("run/checkpoints/step-2/model.safetensors").touch()
    pathlib.Path("shards/manifest.json").write_text("{}")
    pathlib.Path("sentences/modules.json").write_text(json.dumps([{"type": "x.Transformer", "path": "0_Transformer"}]))
    assert load_tokenizer(place).digest == tokenizer.digest


def test_a_path_below_a_folder_that_is_here_is_no_name_of_the_hub(tmp_path, monkeypatch):
    """Its near names are told, and not which files of the Hub to put where."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("gibtsnoch", "other"):
        pathlib.Path("runs", name).mkdir(parents=True)
    with pytest.raises(InputError) as caught:
        hub.find("runs/gibtsnicht")
    said = str(caught.value)
    assert said.startswith("runs/gibtsnicht: no such file or folder (did you mean runs/gibtsnoch?); as a name it is ")
    assert "model.safetensors" not in said
    with pytest.raises(InputError, match="into the folder ./owner/gibtsnicht and run this again"):
        hub.find("owner/gibtsnicht")

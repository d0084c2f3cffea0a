"""Text of one's own, pre-trained from a model: whose vocabulary, and what is refused before it is prepared."""

import itertools
import os
import signal

import pytest

from bort_mx.architecture import Architecture
from bort_mx.checkpoints import directory
from bort_mx.commands import pretrain as command
from bort_mx.data import TokenShards, sample_text
from bort_mx.data.tokenizers import train_sentencepiece
from bort_mx.errors import InputError
from bort_mx.models import build_model
from bort_mx.pretraining.options import PretrainingOptions
from bort_mx.pretraining.pretrain import pretrain
from bort_mx.search import sources
from bort_mx.training.loop import Loop
from bort_mx.training.signals import StopSignals

TEXTS = list(itertools.islice(sample_text.paragraphs(), 300))
SMALL = {"batch_size": 4, "seq_len": 16, "max_steps": 2, "evaluation_sequences": 4, "evaluation_interval": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Text, and models with a vocabulary of their own: an MLM and an encoder."""
    path = tmp_path_factory.mktemp("own")
    (path / "text.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    tokenizer = train_sentencepiece(TEXTS[:150], 450)
    for head in ("mlm", "encoder"):
        directory.save(path / head, build_model(Architecture(1, 2, 8, 12), tokenizer.vocab_size, head,
                                                num_positions=32), tokenizer)
    return path


def options(folder, out, **changes):
    return PretrainingOptions(data=[str(folder / "text.txt")], output_dir=str(out), **{**SMALL, **changes})


@pytest.mark.parametrize("option, others", [("init", {}), ("teacher", {"architecture": "1,2,8,8"})])
def test_text_is_prepared_with_the_vocabulary_of_the_model_which_is_said(folder, tmp_path, capfd, option, others):
    pretrain(options(folder, tmp_path / "run", **{option: str(folder / "mlm")}, **others))
    said = capfd.readouterr().out
    assert f"prepared into {tmp_path}/run/data with the vocabulary of --{option} {folder}/mlm\n" in said
    assert "next:" not in said
    used, own = TokenShards(tmp_path / "run/data", "train"), directory.read(folder / "mlm").tokenizer
    assert used.tokenizer().digest == own.digest
    assert f"{len(used):,} sentences" in said


def test_the_summary_tells_how_often_the_text_is_passed(folder, tmp_path, capfd):
    pretrain(options(folder, tmp_path / "run", init=str(folder / "mlm"), max_steps=3))
    line = next(line for line in capfd.readouterr().out.splitlines() if "sequences an epoch" in line)
    sequences = int(line.split()[0].replace(",", ""))
    assert line.endswith(f", {3 * 4 / sequences:.3g} epochs")


@pytest.mark.parametrize("changes, said", [
    (dict(init="mlm", train_vocab=400), "--train-vocab 400: the model of --init .*mlm knows the ids of its own vocab"),
    (dict(init="mlm", seq_len=48), "--seq-len 48: longer than the 32 positions"),
    (dict(teacher="mlm", seq_len=48, architecture="1,2,8,8"), "--seq-len 48: longer than the 32 positions"),
    (dict(teacher="encoder", architecture="1,2,8,8"), "encoder: lacks a trained MLM head; .*--losses relations hidden"),
    (dict(init="./absent"), "--init ./absent: no such file or directory"),
    ({}, "--tokenizer NAME[|]DIR, or train one")])
def test_what_does_not_fit_is_refused_before_text_is_prepared(folder, tmp_path, monkeypatch, changes, said):
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match=said):
        pretrain(options(folder, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_a_search_refuses_its_teacher_before_text_is_prepared(folder, tmp_path):
    from bort_mx.distributed import Workers

    for teacher, length, said in (("encoder", 16, "lacks a trained MLM head"), ("mlm", 48, "longer than the 32")):
        with pytest.raises(InputError, match=said):
            sources.find_sources(str(folder / teacher), [str(folder / "text.txt")], str(tmp_path / "out"), 0, None,
                                 Workers(), length)
    assert not (tmp_path / "out").exists()


def test_the_small_run_on_built_in_text_takes_the_architecture_and_vocabulary_of_init(folder, tmp_path, capfd,
                                                                                      monkeypatch):
    monkeypatch.setattr(sample_text, "write_corpus", lambda target: folder / "text.txt")
    assert command.main(["--init", str(folder / "mlm"), "--max-steps", "1", "--batch-size", "2", "--seq-len", "16",
                         "--evaluation-sequences", "2", "--warmup", "1", "--output-dir", str(tmp_path / "run")]) == 0
    assert "pre-training <1,2,8,12>" in capfd.readouterr().out


def test_a_stop_in_the_last_step_is_told_and_the_run_ends_as_finished(folder, tmp_path, capsys, monkeypatch):
    whole = Loop._step

    def signalled(self, step, asked):
        """The last step, with Ctrl-C before it."""
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return whole(self, step, asked)

    monkeypatch.setattr(Loop, "_step", signalled)
    pretrain(options(folder, tmp_path / "run", init=str(folder / "mlm")))
    StopSignals.forget()
    assert "the stop came in the last step: this training ends as finished" in capsys.readouterr().out
    assert (tmp_path / "run/results.json").is_file()

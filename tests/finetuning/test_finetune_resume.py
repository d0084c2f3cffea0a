"""Fine-tuning stopped, killed, diverged and resumed."""

import dataclasses
import os
import shutil
import signal
import time

import mxnet as mx
import numpy as np
import pytest
from finetuning_runs import arguments, results_of, rows, start, weights

from bort_mx.agora.hyperparameters import Theta
from bort_mx.agora.trainer import JobTrainer, Quiet
from bort_mx.commands import finetune as command
from bort_mx.data.tasks import Examples
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.finetuning.finetune import finetune
from bort_mx.finetuning.start import read_weights
from bort_mx.finetuning.task_data import read_task_data, resolve
from bort_mx.training.loop import Loop
from bort_mx.training.signals import StopRequested
from bort_mx.training.step import NonFiniteError, TrainingStep


def test_killed_and_resumed_is_bit_identical(finished, small, tmp_path):
    words = arguments(small, output_dir=str(tmp_path / "run"))
    process = start(*words)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run/checkpoints/step-4").exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for step in (20, 24):  # if it was quicker than the kill
        shutil.rmtree(tmp_path / f"run/checkpoints/step-{step}", ignore_errors=True)
    (tmp_path / "run/results.json").unlink(missing_ok=True)
    command.main([*words, "--resume", "auto"])
    assert rows(tmp_path / "run") == rows(finished)
    for name in ("step-24", "best"):
        mine, theirs = weights(tmp_path / "run", name), weights(finished, name)
        assert all((mine[key] == theirs[key]).all() for key in theirs)
    mine, theirs = results_of(tmp_path / "run"), results_of(finished)
    assert {k: v for k, v in mine.items() if k != "provenance"} == {k: v for k, v in theirs.items()
                                                                   if k != "provenance"}


def test_stopped_between_checkpoints_and_resumed_is_bit_identical(finished, small, tokenizer, tmp_path, monkeypatch):
    """Of the embedding's rows that no example has, too: what their decay comes to is taken off at the same steps."""
    unbroken = Loop._step

    def stop_at_6(self, step, stop):
        if step == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return unbroken(self, step, stop)

    monkeypatch.setattr(Loop, "_step", stop_at_6)
    path = tmp_path / "run"
    with pytest.raises(StopRequested):
        finetune(dataclasses.replace(small, output_dir=str(path)))
    monkeypatch.undo()
    rates = [row["learning_rate"] for row in rows(path) if "learning_rate" in row][4:]
    before, stopped = (weights(path, f"step-{step}")["word_embed.0.weight"] for step in (4, 6))
    spared = np.isclose(stopped / before, np.prod([1 - rate * 0.01 for rate in rates]), rtol=1e-6, atol=0).all(axis=1)
    assert 0.5 < spared.mean() < 0.9  # tokens that no example has: a reader of the checkpoint finds them decayed
    finetune(dataclasses.replace(small, output_dir=str(path), resume="auto"))
    mine, theirs = weights(path), weights(finished)
    assert all((mine[name] == theirs[name]).all() for name in theirs)
    assert rows(path) == rows(finished)


def test_a_finished_run_goes_back_to_a_checkpoint(finished, small, tmp_path, capsys):
    path = tmp_path / "run"
    shutil.copytree(finished, path)
    finetune(dataclasses.replace(small, output_dir=str(path), resume=str(path / "checkpoints/step-20")))
    assert rows(path) == rows(finished)
    assert "resuming after step 20" in capsys.readouterr().out


def test_a_job_that_diverges_leaves_what_it_had_trained(small, monkeypatch):
    """The word embedding with the rest: the model is scored as it is, and may be chosen."""
    task, asked = resolve(small.task)
    options = dataclasses.replace(small.resolved(task, asked), evaluation_interval=100)
    data, start = read_task_data(task, asked, None, 0, Workers()), read_weights(options.checkpoint, Workers())
    genuine, count = TrainingStep._accumulate, iter(range(100))

    def poisoned(self, *arguments):
        names, sums, cut = genuine(self, *arguments)
        return names, sums * (float("nan") if next(count) >= 5 else 1), cut

    monkeypatch.setattr(TrainingStep, "_accumulate", poisoned)
    trainer = JobTrainer(options, data, Examples([]), start, mx.cpu())
    found = trainer.train(Theta(1e-2, 0.01, 0.1, 0), data.train, Quiet(Workers()))
    assert found.diverged
    for name in ("word_embed.0.weight", "encoder.transformer_cells.0.proj.weight"):
        assert abs(found.tensors[name] - start.tensors[name]).max() > 0.01


def test_steps_without_a_finite_loss_are_skipped_to_the_end(small, tmp_path, monkeypatch):
    genuine, count = TrainingStep._accumulate, iter(range(100))

    def poisoned(self, *arguments):
        names, sums, cut = genuine(self, *arguments)
        return names, sums * (float("nan") if next(count) in (0, 5, 23) else 1), cut

    monkeypatch.setattr(TrainingStep, "_accumulate", poisoned)
    finetune(dataclasses.replace(small, output_dir=str(tmp_path / "run")))
    losses = [row["loss"] for row in rows(tmp_path / "run") if "loss" in row]
    assert "steps skipped, as their loss or gradient was not finite: 3" in results_of(tmp_path / "run")["notes"]
    assert [step for step, loss in enumerate(losses) if loss is None] == [0, 5, 23]
    assert (tmp_path / "run/learning_curve.png").stat().st_size > 10_000


def test_a_training_without_a_finite_step_is_none(small, tmp_path, monkeypatch):
    genuine = TrainingStep._accumulate

    def poisoned(self, *arguments):
        names, sums, cut = genuine(self, *arguments)
        return names, sums * float("nan"), cut

    monkeypatch.setattr(TrainingStep, "_accumulate", poisoned)
    with pytest.raises(NonFiniteError, match="no step of 3 had a finite loss and gradient; lower --learning-rate"):
        finetune(dataclasses.replace(small, epochs=1, batch_size=32, output_dir=str(tmp_path / "run")))
    assert not (tmp_path / "run/results.json").exists()


def test_what_is_finished_is_not_done_again(finished, small, monkeypatch):
    monkeypatch.setattr(TrainingStep, "__call__", lambda *a, **k: pytest.fail("trained again"))
    found = finetune(dataclasses.replace(small, output_dir=str(finished), resume="auto"))
    assert found["dev"] == results_of(finished)["dev"]
    with pytest.raises(InputError, match="option seed was 0"):
        finetune(dataclasses.replace(small, output_dir=str(finished), resume="auto", seed=1))
    with pytest.raises(InputError, match="already holds a run"):
        finetune(dataclasses.replace(small, output_dir=str(finished)))


@pytest.mark.parametrize("damage", ["altered", "missing file", "missing"])
def test_a_damaged_best_is_noticed_on_resuming_and_the_run_can_be_ended(small, tmp_path, caplog, damage):
    """Resumed at its last step, as a run that was killed before its results: nothing is trained again."""
    words = arguments(small, output_dir=str(tmp_path / "run"))
    command.main(words)
    (tmp_path / "run/results.json").unlink()
    best = tmp_path / "run/checkpoints/best"
    step = max(int(path.name[5:]) for path in (tmp_path / "run/checkpoints").glob("step-*"))
    newest = weights(tmp_path / "run", f"step-{step}")
    if damage == "altered":
        content = bytearray((best / "model.safetensors").read_bytes())
        content[-5] ^= 1
        (best / "model.safetensors").write_bytes(content)
    elif damage == "missing file":
        (best / "config.json").unlink()
    else:
        shutil.rmtree(best)
    command.main([*words, "--resume", "auto"])
    found = results_of(tmp_path / "run")
    assert found["best_step"] == step
    assert any("checkpoints/best was damaged" in note and f"step {step} take its place" in note
               for note in found["notes"])
    assert "was damaged" in caplog.text
    mine = weights(tmp_path / "run", "best")
    assert all((mine[name] == newest[name]).all() for name in newest)
    assert (best.with_name("damaged-best")).exists() == (damage != "missing")


@pytest.mark.parametrize("content", ["{}", "[]", '{"task": 1}', "{"])
def test_damaged_results_are_refused_in_one_line(small, tmp_path, content):
    words = arguments(small, output_dir=str(tmp_path / "run"), epochs=1)
    command.main(words)
    whole = (tmp_path / "run/results.json").read_text()
    (tmp_path / "run/results.json").write_text(content)
    with pytest.raises(InputError, match="results.json") as caught:
        command.main([*words, "--resume", "auto"])
    assert "\n" not in str(caught.value)
    (tmp_path / "run/results.json").unlink()  # as the message says
    command.main([*words, "--resume", "auto"])
    assert (tmp_path / "run/results.json").read_text().splitlines()[:3] == whole.splitlines()[:3]

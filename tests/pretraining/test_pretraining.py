"""run_pretraining.py as a user runs it: resume, signals, workers, bad input."""

import dataclasses
import errno
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints import load
from bort_mx.commands import pretrain as command
from bort_mx.data import sample_text
from bort_mx.errors import InputError, RunError
from bort_mx.pretraining.options import PretrainingOptions
from bort_mx.pretraining.pretrain import pretrain, resolve_architecture
from bort_mx.training.run_directory import RunDirectory
from bort_mx.training.signals import StopRequested

ROOT = pathlib.Path(__file__).resolve().parents[2]
TINY = ["--architecture", "1,2,16,24", "--batch-size", "8", "--seq-len", "32", "--learning-rate", "1e-3", "--warmup",
        "5", "--log-interval", "1", "--checkpoint-interval", "4", "--evaluation-interval", "4",
        "--evaluation-sequences", "16", "--max-steps", "12"]


def run(*arguments):
    return command.main([str(a) for a in arguments])


def rows(directory):
    """metrics.jsonl without the clock."""
    lines = (pathlib.Path(directory) / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "tokens_per_s"} for line in lines]


def weights(directory, step=12):
    return safetensors.numpy.load_file(pathlib.Path(directory) / f"checkpoints/step-{step}/model.safetensors")


def same_weights(one, other):
    assert set(one) == set(other)
    return all((one[name] == other[name]).all() for name in one)


def start(*arguments, launcher=()):
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    return subprocess.Popen([*launcher, sys.executable, str(ROOT / "run_pretraining.py"), *map(str, arguments)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT)


def wait_for(path, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def uninterrupted(prepared, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    run("--data", prepared, "--output-dir", out, *TINY)
    return out


def test_a_run_writes_what_the_design_says(uninterrupted):
    found = rows(uninterrupted)
    training = [row for row in found if "loss" in row]
    assert [row["step"] for row in training] == list(range(1, 13))
    assert {"mlm_loss", "mlm_accuracy", "learning_rate", "grad_norm"} <= set(training[0])
    evaluations = [row for row in found if "validation_perplexity" in row]
    assert [row["step"] for row in evaluations] == [4, 8, 12]
    assert evaluations[-1]["validation_mlm_loss"] < evaluations[0]["validation_mlm_loss"]
    results = json.loads((uninterrupted / "results.json").read_text())
    assert results["validation_mlm_accuracy"] == found[-1]["validation_mlm_accuracy"]
    assert results["provenance"]["packages"]["mxnet"]
    config = json.loads((uninterrupted / "config.json").read_text())
    assert config["options"]["architecture"] == "1,2,16,24" and len(config["data"]["manifest_sha256"]) == 64
    kept = checkpoint_directory.steps(uninterrupted / "checkpoints")
    assert [p.name for p in kept] == ["step-4", "step-8", "step-12"]
    assert list((uninterrupted / "tensorboard").iterdir())


def test_logged_values_are_means_over_the_interval_and_survive_a_kill(uninterrupted, prepared, tmp_path):
    """Checkpoints stand within an interval; resuming from any, and with more steps, logs the same numbers."""
    often, seldom = rows(uninterrupted), [*TINY, "--log-interval", "5", "--checkpoint-interval", "3"]
    run("--data", prepared, "--output-dir", tmp_path / "whole", *seldom)
    whole = [row for row in rows(tmp_path / "whole") if "loss" in row]
    assert [row["step"] for row in whole] == [5, 10, 12]
    for row, (begin, end) in zip(whole, ((1, 5), (6, 10), (11, 12))):
        each = [one for one in often if "loss" in one and begin <= one["step"] <= end]
        for name in ("loss", "mlm_loss", "mlm_accuracy"):  # steps differ a little in their number of masked positions
            assert row[name] == pytest.approx(np.mean([one[name] for one in each]), rel=0.02, abs=0.003)
        assert row["grad_norm"] == each[-1]["grad_norm"]
    # Killed after step 9, which is in the middle of an interval.
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    shutil.rmtree(tmp_path / "killed/checkpoints/step-12")
    run("--data", prepared, "--output-dir", tmp_path / "killed", *seldom, "--resume", "auto")
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    # Given more steps, it goes on as the longer run, though step 12 was logged.
    for name in ("killed", "long"):
        run("--data", prepared, "--output-dir", tmp_path / name, *seldom, "--max-steps", "16", "--resume", "auto")
    assert [row for row in rows(tmp_path / "killed") if row["step"] > 12] == [
        row for row in rows(tmp_path / "long") if row["step"] > 12]


def test_validation_perplexity_is_the_exponential_of_the_loss(uninterrupted):
    row = rows(uninterrupted)[-1]
    assert row["validation_perplexity"] == pytest.approx(np.exp(row["validation_mlm_loss"]))


def test_killed_and_resumed_is_bit_identical(uninterrupted, prepared, tmp_path):
    process = start("--data", prepared, "--output-dir", tmp_path / "run", *TINY)
    wait_for(tmp_path / "run/checkpoints/step-4", process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    shutil.rmtree(tmp_path / "run/checkpoints/step-12", ignore_errors=True)  # if it was quicker than the kill
    assert process.returncode in (-signal.SIGKILL, 0)
    run("--data", prepared, "--output-dir", tmp_path / "run", *TINY, "--resume", "auto")
    assert rows(tmp_path / "run") == rows(uninterrupted)
    assert same_weights(weights(tmp_path / "run"), weights(uninterrupted))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_a_checkpoint_and_130(uninterrupted, prepared, tmp_path, number):
    options = [*TINY, "--checkpoint-interval", "0", "--max-steps", "100000", "--evaluation-interval", "0",
               "--warmup", "5"]
    process = start("--data", prepared, "--output-dir", tmp_path / "run", *options)
    wait_for(tmp_path / "run/metrics.jsonl", process)
    while not (tmp_path / "run/metrics.jsonl").read_text().count("\n") >= 3:
        time.sleep(0.01)
    process.send_signal(number)
    output, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "--resume auto" in error and len(error.strip().splitlines()) == 1
    newest = checkpoint_directory.latest(tmp_path / "run/checkpoints")
    step = checkpoint_directory.read_progress(newest)["step"]
    assert [row["step"] for row in rows(tmp_path / "run")][-1] == step
    assert rows(tmp_path / "run")[:3] == [row for row in rows(uninterrupted) if "loss" in row][:3]


def test_a_torn_checkpoint_is_named_and_the_one_before_is_used(uninterrupted, prepared, tmp_path, caplog):
    shutil.copytree(uninterrupted, tmp_path / "run")
    torn = tmp_path / "run/checkpoints/step-12/trainer.states"
    torn.write_bytes(torn.read_bytes()[:-100])
    run("--data", prepared, "--output-dir", tmp_path / "run", *TINY, "--resume", "auto")
    assert "step-12/trainer.states: altered or torn" in caplog.text
    assert rows(tmp_path / "run") == rows(uninterrupted)
    assert same_weights(weights(tmp_path / "run"), weights(uninterrupted))


def test_going_back_drops_what_came_after_and_arrives_where_the_run_did(uninterrupted, prepared, tmp_path, caplog):
    shutil.copytree(uninterrupted, tmp_path / "run")
    back = tmp_path / "run/checkpoints/step-4"
    run("--data", prepared, "--output-dir", tmp_path / "run", *TINY, "--max-steps", "6", "--resume", back)
    assert [p.name for p in checkpoint_directory.steps(tmp_path / "run/checkpoints")] == ["step-4", "step-6"]
    assert "step-12 is now dropped-step-12, as the run continues from step 4" in caplog.text
    assert not list((tmp_path / "run/checkpoints").glob("dropped-*"))  # a new checkpoint stands
    run("--data", prepared, "--output-dir", tmp_path / "run", *TINY, "--resume", "auto")
    assert same_weights(weights(tmp_path / "run"), weights(uninterrupted))
    with pytest.raises(InputError, match="not a checkpoint of the run"):
        run("--data", prepared, "--output-dir", tmp_path / "run", *TINY, "--resume",
            uninterrupted / "checkpoints/step-4")


def test_a_damaged_newest_checkpoint_does_not_outlive_the_new_ones(uninterrupted, prepared, tmp_path):
    shutil.copytree(uninterrupted, tmp_path / "run")
    for step in (4, 8):
        shutil.rmtree(tmp_path / f"run/checkpoints/step-{step}")
    (tmp_path / "run/checkpoints/step-12/manifest.json").write_text("[]")
    run("--data", prepared, "--output-dir", tmp_path / "run", *TINY, "--resume", "auto", "--keep-checkpoints", "1",
        "--max-steps", "5")
    assert [p.name for p in checkpoint_directory.steps(tmp_path / "run/checkpoints")] == ["step-5"]


def test_more_steps_keep_the_warm_up_and_its_curve(prepared, tmp_path):
    proportion = [*TINY, "--warmup", "0.5", "--evaluation-interval", "0"]
    run("--data", prepared, "--output-dir", tmp_path / "run", *proportion)
    run("--data", prepared, "--output-dir", tmp_path / "run", *proportion, "--max-steps", "16", "--resume", "auto")
    run("--data", prepared, "--output-dir", tmp_path / "run", *proportion, "--max-steps", "18", "--resume", "auto")
    rates = {row["step"]: row["learning_rate"] for row in rows(tmp_path / "run") if "loss" in row}
    assert rates[6] == 1e-3 and rates[18] == pytest.approx(1e-3 * (6 / 18) ** 0.5)


def test_going_on_with_a_finished_run_keeps_its_results(uninterrupted, prepared, tmp_path):
    shutil.copytree(uninterrupted, tmp_path / "run")
    before = json.loads((tmp_path / "run/results.json").read_text())
    run("--data", prepared, "--output-dir", tmp_path / "run", *TINY, "--resume", "auto")
    after = json.loads((tmp_path / "run/results.json").read_text())
    assert {**after, "provenance": 0} == {**before, "provenance": 0}
    with pytest.raises(InputError, match="--max-steps 5: .*step-12 is beyond"):
        run("--data", prepared, "--output-dir", tmp_path / "run", *TINY, "--max-steps", "5", "--resume", "auto")


def test_micro_batches_change_nothing_but_rounding(prepared, tmp_path):
    for micro in (8, 2):
        run("--data", prepared, "--output-dir", tmp_path / str(micro), *TINY, "--dropout", "0", "--micro-batch-size",
            micro)
    whole, parts = (np.array([row["loss"] for row in rows(tmp_path / str(m)) if "loss" in row]) for m in (8, 2))
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_two_workers_equal_one(prepared, tmp_path, two_workers):
    """Same global batch, clipping active, 20 steps: losses within 1e-4; metrics and gradients over both workers."""
    options = [*TINY, "--dropout", "0", "--max-steps", "20", "--clip", "0.1"]
    run("--data", prepared, "--output-dir", tmp_path / "one", *options)
    process = start("--data", prepared, "--output-dir", tmp_path / "two", *options,
                    launcher=two_workers)
    output, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert [row["step"] for row in one] == [row["step"] for row in two]
    assert all(row["grad_norm"] > 0.1 for row in one if "loss" in row)
    for mine, theirs in zip(one, two):
        for name in mine:
            assert theirs[name] == pytest.approx(mine[name], abs=1e-4, rel=1e-4 if "perplexity" in name else 1e-6), name
    assert (output.count("step 20, validation: loss")) == 1  # rank 0 alone speaks


@pytest.mark.parametrize("limit", [1, 13, 16])
def test_evaluation_is_the_same_on_any_number_of_workers(uninterrupted, prepared, limit):
    """Sums over the workers' shares, some of which are partly or wholly padding, against one worker's."""
    from bort_mx.data.masking import MaskedBatches
    from bort_mx.data.shards import TokenShards
    from bort_mx.distributed import Workers
    from bort_mx.pretraining.objective import PretrainingObjective, evaluate

    model, tokenizer, _ = load(uninterrupted)
    held_out = MaskedBatches(TokenShards(prepared, "validation"), tokenizer, 32, seed=0)
    objective = PretrainingObjective(model)
    totals = []

    class Recorder(Workers):
        def sum_numpy(self, values, name):
            totals.append(values)
            return sum(totals)

    one = evaluate(objective, held_out.evaluation(8, limit=limit), Workers())
    for rank in range(4):
        many = evaluate(objective, held_out.evaluation(8, rank, 4, limit), Recorder())
    assert many == pytest.approx(one, rel=1e-5)


def test_distillation_learns_from_the_teacher(uninterrupted, prepared, tmp_path):
    run("--data", prepared, "--output-dir", tmp_path / "run", *TINY, "--teacher", uninterrupted, "--kd-weight", "1",
        "--dropout", "0", "--learning-rate", "1e-2", "--max-steps", "30")
    found = [row for row in rows(tmp_path / "run") if "kd_loss" in row]
    assert found[0]["loss"] == pytest.approx(found[0]["kd_loss"])
    assert found[-1]["kd_loss"] < found[0]["kd_loss"]
    assert "validation_kd_loss" in rows(tmp_path / "run")[-1]


def test_resuming_with_another_teacher_is_refused(uninterrupted, prepared, tmp_path):
    distilled = ["--data", prepared, "--output-dir", tmp_path / "run", *TINY]
    run(*distilled, "--teacher", uninterrupted, "--max-steps", "4")
    for teacher in ([], ["--teacher", uninterrupted / "checkpoints/step-4"]):
        with pytest.raises(InputError, match="teacher(_sha256)? is not what it was"):
            run(*distilled, *teacher, "--resume", "auto")
    shutil.copytree(uninterrupted / "checkpoints/step-12", tmp_path / "moved")
    run(*distilled, "--teacher", tmp_path / "moved", "--max-steps", "5", "--resume", "auto")


def test_init_goes_on_from_weights_and_names_what_it_lacks(uninterrupted, prepared, tmp_path, caplog):
    model, tokenizer, config = load(uninterrupted, "encoder")
    checkpoint_directory.save(tmp_path / "encoder", model, tokenizer)
    run("--data", prepared, "--output-dir", tmp_path / "run", *TINY[2:], "--init", tmp_path / "encoder")
    assert "a new MLM head, not trained yet" in caplog.text
    assert rows(tmp_path / "run")[-1]["step"] == 12
    with pytest.raises(InputError, match="lacks a trained MLM head"):
        run("--data", prepared, "--output-dir", tmp_path / "other", *TINY, "--teacher", tmp_path / "encoder")


def options(prepared, out, **changes):
    values = dict(data=[str(prepared)], output_dir=str(out), architecture="1,2,16,24", batch_size=8, seq_len=32,
                  max_steps=12, log_interval=1, checkpoint_interval=4, evaluation_interval=0, warmup=5)
    return PretrainingOptions(**{**values, **changes})


def test_ten_non_finite_steps_end_the_run_and_keep_the_last_good_checkpoint(prepared, tmp_path, monkeypatch):
    from bort_mx.pretraining.objective import PretrainingObjective

    genuine, calls = PretrainingObjective.__call__, []

    def poisoned(self, batch, detailed=False):
        calls.append(1)
        sums = genuine(self, batch, detailed)
        return sums if len(calls) <= 5 else type(sums)(sums.loss * float("nan"), sums.weight, sums.metrics)

    monkeypatch.setattr(PretrainingObjective, "__call__", poisoned)
    with pytest.raises(RunError, match="10 steps in a row"):
        pretrain(options(prepared, tmp_path / "run", max_steps=30))
    newest = checkpoint_directory.latest(tmp_path / "run/checkpoints")
    assert all(np.isfinite(w).all() for w in weights(tmp_path / "run", int(newest.name[5:])).values())
    assert rows(tmp_path / "run")[-1]["skipped"] >= 9 and len(calls) == 15


def test_a_full_disk_keeps_the_checkpoint_before(prepared, tmp_path, monkeypatch):
    genuine = checkpoint_directory.files.write_json

    def full(path, value):
        if path.name == checkpoint_directory.MANIFEST and "step-8" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        genuine(path, value)

    monkeypatch.setattr(checkpoint_directory.files, "write_json", full)
    with pytest.raises(OSError, match="No space left"):
        pretrain(options(prepared, tmp_path / "run"))
    assert [p.name for p in (tmp_path / "run/checkpoints").iterdir()] == ["step-4"]
    checkpoint_directory.verify(tmp_path / "run/checkpoints/step-4")


def test_safetensors_own_word_for_a_full_disk_is_understood(prepared, tmp_path, monkeypatch):
    def full(tensors, path):
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint_directory.safetensors.numpy, "save_file", full)
    with pytest.raises(OSError) as caught:
        pretrain(options(prepared, tmp_path / "run"))
    assert caught.value.errno == errno.ENOSPC and "model.safetensors" in str(caught.value)


@dataclasses.dataclass
class NoOptions:
    """Of a run that has none."""


def test_weights_that_are_not_finite_are_a_failure_of_the_run_and_not_written(uninterrupted, tmp_path):
    model, tokenizer, _ = load(uninterrupted)
    model.encoder.layer_norm.gamma.data()[:] = float("nan")
    directory = RunDirectory(tmp_path / "run", NoOptions(), [], writes=True)
    with pytest.raises(RunError, match="layer_norm.gamma are not finite"):
        directory.save_checkpoint(1, model, tokenizer, {}, {}, keep=1)
    assert not checkpoint_directory.steps(tmp_path / "run/checkpoints")


@pytest.mark.parametrize("name", ["file", "file/below", "/proc/nothing"])
def test_an_output_directory_that_cannot_be_is_bad_input(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--output-dir .*: cannot be written"):
        RunDirectory(tmp_path / name, NoOptions(), [], writes=True).open()


def test_two_runs_in_one_directory_at_once_are_refused(tmp_path):
    first, second = (RunDirectory(tmp_path / "run", NoOptions(), [], writes=True) for _ in range(2))
    first.open()
    with pytest.raises(InputError, match="another run is writing there"):
        second.open()
    first.close()
    second.open()
    second.close()


def test_a_loop_that_was_asked_at_its_end_has_the_next_one_stop_after_a_checkpoint(prepared, tmp_path, monkeypatch):
    """And no worker leaves before rank 0 has written it, as horovodrun then ends the others."""
    from bort_mx.distributed import Workers
    from bort_mx.training.signals import StopSignals

    waited = []
    monkeypatch.setattr(Workers, "gather", lambda self, value, name: waited.append(
        (name, (tmp_path / "run/checkpoints/step-1").exists())) or [value])
    with StopSignals():
        os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(StopRequested, match="step 1,"):
        pretrain(options(prepared, tmp_path / "run"))
    with StopSignals() as later:
        assert not later.asked
    assert checkpoint_directory.latest(tmp_path / "run/checkpoints").name == "step-1"
    assert ("stopped", True) in waited


@pytest.mark.parametrize("changes, message", [
    (dict(data=["no/such"]), "no/such"),
    (dict(seq_len=513), "longer than the 512 positions"),
    (dict(architecture="1,3,16,24"), "hidden_size 16 is not divisible by num_heads 3"),
    (dict(batch_size=8, micro_batch_size=3), "not divisible by --micro-batch-size 3"),
    (dict(dtype="float16"), "needs a GPU"),
    (dict(teacher="no/such/teacher"), "no/such/teacher"),
    (dict(resume="no/such"), "not a checkpoint"),
    (dict(init="no/such/weights"), "no/such/weights"),
    (dict(data=["no/such"], train_vocab=None), "no/such: no such file"),
    (dict(train_vocab=700), "prepared with a vocabulary of 600 entries"),
])
def test_bad_input_is_refused_in_one_line_and_nothing_is_written(prepared, tmp_path, changes, message):
    with pytest.raises(InputError) as caught:
        pretrain(options(prepared, tmp_path / "run", **{"train_vocab": 600, **changes}))
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "run/metrics.jsonl").exists()


@pytest.mark.parametrize("values, message", [
    (dict(batch_size=0), "--batch-size 0"), (dict(kd_weight=1.5), "--kd-weight 1.5"),
    (dict(dropout=1.0), "--dropout 1.0"), (dict(optimizer="adam"), "adamw, sgd"),
    (dict(tokenizer="a", train_vocab=300), "exclude each other")])
def test_options_out_of_range_are_refused_by_name(values, message):
    with pytest.raises(InputError, match=message):
        PretrainingOptions(**values)


def test_batch_not_divisible_by_the_workers():
    from bort_mx.distributed import Workers

    workers = Workers()
    workers.size = 3
    with pytest.raises(InputError, match="8 is not divisible by the 3 workers"):
        workers.share(8)


def test_bad_input_that_one_worker_sees_ends_all_of_them_with_its_line(monkeypatch):
    from bort_mx.distributed import Workers

    monkeypatch.setattr(Workers, "gather", lambda self, value, name: ["shard-00000.bin: altered", value])
    with pytest.raises(InputError, match="shard-00000.bin: altered"), Workers().agreeing("data"):
        pass
    monkeypatch.setattr(Workers, "gather", lambda self, value, name: ["", value])
    with Workers().agreeing("data"):
        pass
    with pytest.raises(InputError, match="mine"), Workers().agreeing("data"):
        raise InputError("mine")


def test_a_disk_that_is_full_while_text_is_prepared_is_a_failure_not_bad_input(tmp_path, monkeypatch):
    text = tmp_path / "text.txt"
    text.write_text("some text\n")
    said = "bort-mx prepare: failed: OUT: No space left on device; nothing was written"
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", said))
    with pytest.raises(RunError, match="could not be prepared: OUT: No space left"):
        pretrain(options(text, tmp_path / "run", train_vocab=500))


def test_an_altered_shard_is_named(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "data")
    shard = tmp_path / "data/train/shard-00000.bin"
    content = bytearray(shard.read_bytes())
    content[1000] ^= 1
    shard.write_bytes(content)
    with pytest.raises(InputError, match="shard-00000.bin"):
        pretrain(options(tmp_path / "data", tmp_path / "run"))


def test_a_teacher_of_another_vocabulary_is_refused(uninterrupted, prepared, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("\n".join(line for line, _ in zip(sample_text.paragraphs(), range(400))))
    with pytest.raises(InputError, match="vocabulary"):
        pretrain(options(text, tmp_path / "run", train_vocab=500, teacher=str(uninterrupted)))


def test_data_of_another_vocabulary_than_tokenizer_names_is_refused(prepared, tmp_path):
    from bort_mx.data.tokenizers import train_sentencepiece

    other = train_sentencepiece(itertools.islice(sample_text.paragraphs(), 400), 600)
    other.save(tmp_path / "other")
    with pytest.raises(InputError, match="--tokenizer .*other: .*was prepared with another vocabulary"):
        pretrain(options(prepared, tmp_path / "run", tokenizer=str(tmp_path / "other")))


def test_a_run_that_is_there_keeps_its_prepared_data(prepared, tmp_path):
    """The refusal comes before text is prepared over that of the run."""
    text = tmp_path / "text.txt"
    text.write_text("\n".join(itertools.islice(sample_text.paragraphs(), 400)))
    pretrain(options(text, tmp_path / "run", train_vocab=500, max_steps=1))
    before = (tmp_path / "run/data/manifest.json").read_bytes()
    with pytest.raises(InputError, match="already holds a run"):
        pretrain(options(text, tmp_path / "run", train_vocab=400, max_steps=1))
    assert (tmp_path / "run/data/manifest.json").read_bytes() == before


def test_options_are_refused_before_text_is_prepared(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("\n".join(itertools.islice(sample_text.paragraphs(), 400)))
    with pytest.raises(InputError, match="not divisible by num_heads 3"):
        pretrain(options(text, tmp_path / "run", train_vocab=500, architecture="1,3,16,24"))
    assert not (tmp_path / "run").exists()


def test_a_search_s_results_name_the_architecture(tmp_path):
    results = tmp_path / "results.json"
    results.write_text('{"best": {"architecture": [1, 2, 16, 24]}}')
    assert resolve_architecture(str(results)).as_tuple() == (1, 2, 16, 24)
    for text in ("[]", "{}", '{"best": {"architecture": 3}}'):
        results.write_text(text)
        with pytest.raises(InputError, match="no field best.architecture"):
            resolve_architecture(str(results))


def test_a_directory_that_holds_a_run_is_refused_and_other_options_on_resuming_are_named(uninterrupted, prepared):
    with pytest.raises(InputError, match="already holds a run"):
        run("--data", prepared, "--output-dir", uninterrupted, *TINY)
    with pytest.raises(InputError, match="option seed was 0"):
        run("--data", prepared, "--output-dir", uninterrupted, *TINY, "--seed", "1", "--resume", "auto")


def test_the_script_exits_with_2_and_one_line(tmp_path):
    process = start("--data", tmp_path / "absent.txt", "--output-dir", tmp_path / "run", "--train-vocab", "500")
    output, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert len(error.strip().splitlines()) == 1 and "absent.txt" in error
    process = start("--max-stepz", "3")
    output, error = process.communicate(timeout=120)
    assert process.returncode == 2 and "--max-steps" in error

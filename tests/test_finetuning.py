"""run_finetune.py as a user runs it, and its parts: batches, objective, selection, resume, workers, bad input."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import mxnet as mx
import numpy as np
import pytest
import safetensors.numpy

from bort_mx import Architecture
from bort_mx.agora.hyperparameters import Theta
from bort_mx.agora.trainer import Bench, Quiet
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints import load
from bort_mx.checkpoints.convert import convert
from bort_mx.checkpoints.weights import Weights, assemble
from bort_mx.checkpoints.weights import read as read_checkpoint
from bort_mx.commands import finetune as command
from bort_mx.data.batches import NOBODY, TrainingBatches
from bort_mx.data.encoding import EncodedExamples
from bort_mx.data.tasks import Example, Examples, get_task, synthetic
from bort_mx.data.tokenizers import train_sentencepiece
from bort_mx.distributed import Workers
from bort_mx.errors import InputError, RunError
from bort_mx.finetuning import finetune as finetune_module
from bort_mx.finetuning import plots
from bort_mx.finetuning import seeds as finetuning_seeds
from bort_mx.finetuning.classifier import classifier_of
from bort_mx.finetuning.evaluation import BestEpoch, compute_scores, evaluate, probabilities
from bort_mx.finetuning.finetune import finetune, read_weights
from bort_mx.finetuning.objective import FineTuningObjective
from bort_mx.finetuning.options import FineTuningOptions, kind_of
from bort_mx.finetuning.predictions import write_predictions
from bort_mx.finetuning.task_data import read_task_data, resolve
from bort_mx.finetuning.vocabulary_subset import CompactVocabulary, trainee_of
from bort_mx.models import build_model, parameters_of
from bort_mx.training.loop import Loop
from bort_mx.training.optimizers import SGD, AdamW
from bort_mx.training.schedules import linear
from bort_mx.training.signals import StopRequested
from bort_mx.training.step import NonFiniteError, TrainingStep

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIZES = {"train": 96, "dev": 40, "test": 40}
TINY = Architecture(1, 2, 16, 24)


@pytest.fixture(scope="module")
def tokenizer():
    return train_sentencepiece([text for pair in synthetic.generate()["train"] for text in pair[:2]], 400)


@pytest.fixture(scope="module")
def encoder(tokenizer, tmp_path_factory):
    """A checkpoint of a tiny encoder."""
    path = tmp_path_factory.mktemp("encoder") / "checkpoint"
    checkpoint_directory.save(path, build_model(TINY, tokenizer.vocab_size, num_positions=64), tokenizer)
    return path


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A few examples of the demo task as files, and a description that makes them one's own task."""
    folder = tmp_path_factory.mktemp("pairs")
    for split, rows in synthetic.generate(SIZES).items():
        lines = ["\t".join(("first", "second", "class")), *("\t".join(pair) for pair in rows)]
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    (folder / "own.yaml").write_text(
        "files: {train: train.tsv, dev: dev.tsv, test: test.tsv}\n"
        "columns: {text: first, text_pair: second, label: class}\nlabels: [not_entailment, entailment]\n")
    return folder / "own.yaml"


@pytest.fixture(scope="module")
def small(encoder, pairs):
    """Options of a run of 2 epochs of 12 steps."""
    return FineTuningOptions(str(pairs), str(encoder), epochs=2, batch_size=8, learning_rate=1e-3, log_interval=1,
                             checkpoint_interval=4, keep_checkpoints=10)


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    finetune(dataclasses.replace(small, output_dir=str(out)))
    return out


def arguments(options, **changes):
    """Options as a command line."""
    values = dataclasses.asdict(dataclasses.replace(options, **changes))
    default = dataclasses.asdict(FineTuningOptions())
    return [part for name, value in values.items() if value != default[name]
            for part in (f"--{name.replace('_', '-')}", str(value))]


def start(*words, launcher=()):
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    return subprocess.Popen([*launcher, sys.executable, str(ROOT / "run_finetune.py"), *map(str, words)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT)


def rows(directory):
    """metrics.jsonl without the clock."""
    lines = (pathlib.Path(directory) / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "tokens_per_s"} for line in lines]


def results_of(directory):
    return json.loads((pathlib.Path(directory) / "results.json").read_text())


def weights(directory, name="step-24"):
    return safetensors.numpy.load_file(pathlib.Path(directory) / f"checkpoints/{name}/model.safetensors")


# -- what a run writes ---------------------------------------------------------------------------------------------


def test_a_run_writes_what_the_design_says(finished):
    found, results = rows(finished), results_of(finished)
    assert [row["step"] for row in found if "loss" in row] == list(range(1, 25))
    dev = [row for row in found if "dev_accuracy" in row]
    assert [row["step"] for row in dev] == [12, 24]
    assert results["dev"]["accuracy"] == max(row["dev_accuracy"] for row in dev)
    assert results["history"] == [{"step": row["step"], "accuracy": row["dev_accuracy"], "loss": row["dev_loss"]}
                                  for row in dev]
    assert results["planned_steps"] == 24 and results["train_examples"] == 96 and results["submissions"] == ["own.tsv"]
    assert (finished / "own.tsv").read_text().count("\n") == 41
    config = json.loads((finished / "config.json").read_text())
    assert config["options"]["weight_decay"] == 0.01 and len(config["data"]["train"]) == 64
    names = {path.name for path in finished.iterdir()}
    assert {"confusion.png", "learning_curve.png", "tensorboard", "predictions.tsv"} <= names


def test_predictions_have_text_label_prediction_and_probabilities(finished):
    lines = [line.split("\t") for line in (finished / "predictions.tsv").read_text().splitlines()]
    assert lines[0] == ["idx", "text", "text_pair", "label", "prediction", "p(not_entailment)", "p(entailment)"]
    assert len(lines) == 41
    for line in lines[1:]:
        shares = [float(share) for share in line[5:]]
        assert sum(shares) == pytest.approx(1, abs=2e-6)
        assert line[4] == ("entailment" if shares[1] > shares[0] else "not_entailment")
    right = np.mean([line[3] == line[4] for line in lines[1:]])
    assert right == pytest.approx(results_of(finished)["dev"]["accuracy"])


def test_learning_rate_rises_and_falls_over_the_real_number_of_steps(finished):
    """Warm-up 0.1 of 24 steps is 2; then down to 0 after step 24."""
    rates = [row["learning_rate"] for row in rows(finished) if "loss" in row]
    expected = [0.5e-3, 1e-3, *(1e-3 * (25 - step) / 23 for step in range(3, 25))]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


def test_the_best_epoch_is_kept_and_predicts_the_same(finished, small, tmp_path):
    results = results_of(finished)
    best = weights(finished, "best")
    assert all((best[name] == weights(finished, f"step-{results['best_step']}")[name]).all() for name in best)
    found = finetune(dataclasses.replace(small, checkpoint=str(finished), predict_only=True,
                                         output_dir=str(tmp_path / "run")))
    assert found["dev"] == results["dev"] and "best_step" not in found
    for name in ("predictions.tsv", "own.tsv"):
        assert (tmp_path / "run" / name).read_bytes() == (finished / name).read_bytes()


def test_it_learns_the_demo_task(tmp_path, monkeypatch):
    """Twins of the same words with opposite labels: a bag of words is right on exactly half."""
    monkeypatch.setattr(synthetic, "SIZES", {"train": 2000, "dev": 200, "test": 200})
    found = finetune(FineTuningOptions("demo", "fresh", output_dir=str(tmp_path / "run"), epochs=1, batch_size=16,
                                       learning_rate=1e-3, evaluation_batch_size=100))
    assert found["dev"]["accuracy"] > 0.65 and found["test"]["accuracy"] > 0.65


# -- resume --------------------------------------------------------------------------------------------------------


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
    before, stopped = (weights(path, f"step-{step}")["word_embed.0.weight"] for step in (4, 7))
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

    def poisoned(self, batches, detailed):
        names, sums = genuine(self, batches, detailed)
        return names, sums * (float("nan") if next(count) >= 5 else 1)

    monkeypatch.setattr(TrainingStep, "_accumulate", poisoned)
    bench = Bench(options, data, Examples([]), start, mx.cpu())
    found = bench.train(Theta(1e-2, 0.01, 0.1, 0), data.train, Quiet(Workers()))
    assert found.diverged
    for name in ("word_embed.0.weight", "encoder.transformer_cells.0.proj.weight"):
        assert abs(found.tensors[name] - start.tensors[name]).max() > 0.01


def test_steps_without_a_finite_loss_are_skipped_to_the_end(small, tmp_path, monkeypatch):
    genuine, count = TrainingStep._accumulate, iter(range(100))

    def poisoned(self, batches, detailed):
        names, sums = genuine(self, batches, detailed)
        return names, sums * (float("nan") if next(count) in (0, 5, 23) else 1)

    monkeypatch.setattr(TrainingStep, "_accumulate", poisoned)
    finetune(dataclasses.replace(small, output_dir=str(tmp_path / "run")))
    losses = [row["loss"] for row in rows(tmp_path / "run") if "loss" in row]
    assert "steps skipped, as their loss or gradient was not finite: 3" in results_of(tmp_path / "run")["notes"]
    assert [step for step, loss in enumerate(losses) if loss is None] == [0, 5, 23]
    assert (tmp_path / "run/learning_curve.png").stat().st_size > 10_000


def test_a_training_without_a_finite_step_is_none(small, tmp_path, monkeypatch):
    genuine = TrainingStep._accumulate

    def poisoned(self, batches, detailed):
        names, sums = genuine(self, batches, detailed)
        return names, sums * float("nan")

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
    with pytest.raises(InputError, match="holds a run already"):
        finetune(dataclasses.replace(small, output_dir=str(finished)))


# -- beside PyTorch ---------------------------------------------------------------------------------------------------
# (before the tests with Horovod: PyTorch imported after Horovod ends the process)


@pytest.mark.parametrize("num_labels", [1, 3])
def test_training_equals_pytorchs(tmp_path, num_labels):
    """The same weights, batches and learning rates, no dropout: after 8 clipped steps of AdamW with decay, BERT here
    and in transformers give the same scores, as a regression and as a classifier, filling rows and micro-batches here;
    and the same word embedding, of which here only the training set's tokens have gradients and state.
    """
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(0)
    peer = transformers.BertForSequenceClassification(transformers.BertConfig(
        vocab_size=200, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=num_labels))
    peer.save_pretrained(tmp_path)
    model, _, _ = load(tmp_path, "classifier", num_labels=num_labels, pooler=True, dropout=0.0)
    assert not model.initialized
    batches = random_batches(num_labels)
    trainee = trainee_of(model, batches.tokens(), 0.1, num_labels == 1, mx.cpu())
    assert 50 < trainee.optimizer.state()["mean:word_embed.0.weight"].shape[0] < 60
    core = TrainingStep(trainee.objective, trainee.optimizer, Workers(), 1.0)
    decayed = [p for n, p in peer.named_parameters() if not (n.endswith("bias") or "LayerNorm" in n)]
    bare = [p for n, p in peer.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": bare, "weight_decay": 0.0}])
    for step in range(8):
        rate = 1e-2 * linear(step + 1, 2, 8)
        ours = core(map(trainee.translate, batches.at(step, 0, 1, 3)), rate)
        loss, norm = torch_step(torch, peer, optimizer, batches.at(step, 0, 1, 12)[0], rate)
        assert ours.loss == pytest.approx(loss, rel=1e-4) and ours.grad_norm == pytest.approx(norm, rel=1e-3)
    trainee.optimizer.settle()
    batch = batches.at(0, 0, 1, 12)[0]
    with torch.no_grad():
        expected = peer(**torch_inputs(torch, batch)).logits.numpy()
    np.testing.assert_allclose(FineTuningObjective(model, False).scores(batch).asnumpy(), expected, atol=2e-4)
    np.testing.assert_allclose(model.word_embed[0].weight.data().asnumpy(),
                               peer.bert.embeddings.word_embeddings.weight.detach().numpy(), atol=1e-4)


def test_dropout_is_where_pytorchs_is(tmp_path):
    """Over 49,152 draws of the masks the scores have the mean and spread of BertForSequenceClassification's, each
    within four standard errors; they have not where any one place of its dropout is left out.
    """
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    ids, draws = np.tile(np.random.RandomState(0).randint(5, 200, (1, 4)), (4096, 1)), 12

    def peer_of(without="nothing", attention=0.2):
        torch.manual_seed(0)
        peer = transformers.BertForSequenceClassification(transformers.BertConfig(
            vocab_size=200, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
            max_position_embeddings=32, attention_probs_dropout_prob=attention, hidden_dropout_prob=0.2,
            num_labels=2, initializer_range=0.3)).train()
        for name, module in peer.named_modules():
            if re.search(without, name):
                module.p = 0.0
        return peer

    def distance(peer):
        """The largest difference of mean or standard deviation, in standard errors."""
        with torch.no_grad():
            theirs = np.concatenate([peer(torch.tensor(ids)).logits.numpy() for _ in range(draws)])
        spread, count = theirs.std(axis=0), len(theirs)
        return max((np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) / (spread * (2 / count) ** 0.5)).max(),
                   np.abs(ours.std(axis=0) / spread - 1).max() * count ** 0.5)

    peer_of().save_pretrained(tmp_path)
    model, _, _ = load(tmp_path, "classifier", num_labels=2, pooler=True, dropout=0.2)
    mx.random.seed(0)
    with mx.autograd.train_mode():
        ours = np.concatenate([model(mx.nd.array(ids, dtype="int32")).asnumpy() for _ in range(draws)])
    assert distance(peer_of()) < 4
    assert distance(peer_of(attention=0.0)) > 7
    for place in ("embeddings.dropout$", r"attention\.output\.dropout$", r"\d\.output\.dropout$", "^dropout$"):
        assert distance(peer_of(without=place)) > 7, place


def test_only_the_word_embedding_is_there_twice():
    """The second body gives the same scores; none is made where nearly all tokens occur."""
    model, tokens = build_model(TINY, 100, "classifier", num_positions=16), np.arange(0, 100, 3)
    own = parameters_of(model)
    compact = CompactVocabulary(model, tokens)
    second = parameters_of(compact.model)
    assert [name for name in own if second[name] is not own[name]] == ["word_embed.0.weight"]
    batch = random_batches(2).at(0, 0, 1, 12)[0]
    batch.input_ids, batch.valid_length = batch.input_ids[:, :16] // 3 * 3, np.minimum(batch.valid_length, 16)
    assert (FineTuningObjective(compact.model, False).scores(compact.translate(batch)).asnumpy()
            == FineTuningObjective(model, False).scores(batch).asnumpy()).all()
    for strange in (1, 100):
        with pytest.raises(ValueError, match=f"token {strange} is none of the 34"):
            compact.translate(dataclasses.replace(batch, input_ids=np.array([[0, strange]])))
    part, whole = (trainee_of(model, np.arange(count), 0.1, False, mx.cpu()).optimizer for count in (70, 80))
    assert part.names == whole.names == list(own)  # also of the same model afterwards
    assert [len(each.masters["word_embed.0.weight"]) for each in (part, whole)] == [70, 100]


@pytest.mark.parametrize("decay, rate", [(0.01, 1e-5), (450.0, 1e-3)])
def test_readers_find_the_decay_of_rows_without_gradient_at_any_time(decay, rate):
    """At lr·λ = 1e-7 the float32 nearest to 1 − lr·λ is 19 % off; the paper's λ of 450 ends rows within an epoch."""
    model = build_model(TINY, 100, "classifier", num_positions=16)
    embedding, tokens = parameters_of(model)["word_embed.0.weight"], np.array([3, 70])
    start, others = embedding.data().asnumpy(), np.delete(np.arange(100), tokens)

    def made():
        return trainee_of(model, tokens, decay, False, mx.cpu()).optimizer

    optimizer = made()
    for _ in range(200):
        optimizer.step(rate, 1.0, optimizer.gradients())
    expected = start[others] * (1 - rate * decay) ** 200
    state = optimizer.state()
    with optimizer.settled():
        read = embedding.data().asnumpy()
    np.testing.assert_allclose(read[others], expected, rtol=2e-7, atol=1e-8)
    assert (embedding.data().asnumpy()[others] == start[others]).all()  # to be rounded once, whoever read it
    embedding.set_data(mx.nd.array(read))  # as a checkpoint has it
    resumed = made()
    resumed.load_state(state)
    for each in (optimizer, resumed):
        each.step(rate, 1.0, each.gradients())
    resumed.settle()
    after = embedding.data().asnumpy()
    embedding.set_data(mx.nd.array(np.where(np.isin(np.arange(100), tokens)[:, None], after, start)))
    optimizer.settle()
    assert (embedding.data().asnumpy() == after).all()
    assert "kept" not in optimizer.state()


def random_batches(num_labels):
    rng = np.random.default_rng(1)
    ids = [[2, *rng.integers(5, 60, rng.integers(3, 25)), 3] for _ in range(27)]
    types = [[0] * (len(row) // 2) + [1] * (len(row) - len(row) // 2) for row in ids]
    targets = rng.normal(size=27) if num_labels == 1 else rng.integers(0, num_labels, 27)
    return TrainingBatches(EncodedExamples(ids, types, 0), targets, 0, 12, seed=0)


def torch_inputs(torch, batch):
    mask = np.arange(batch.input_ids.shape[1]) < batch.valid_length[:, None]
    return {"input_ids": torch.from_numpy(batch.input_ids.astype(np.int64)), "attention_mask": torch.from_numpy(mask),
            "token_type_ids": torch.from_numpy(batch.token_types.astype(np.int64))}


def torch_step(torch, peer, optimizer, batch, rate):
    real = torch.from_numpy(batch.rows != NOBODY)
    scores, targets = peer(**torch_inputs(torch, batch)).logits[real], torch.from_numpy(batch.targets)[real]
    loss = (torch.nn.functional.mse_loss(scores[:, 0], targets) if scores.shape[1] == 1
            else torch.nn.functional.cross_entropy(scores, targets.long()))
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    return loss.item(), norm.item()


# -- workers -------------------------------------------------------------------------------------------------------


def predicted(directory):
    lines = [line.split("\t") for line in (directory / "predictions.tsv").read_text().splitlines()[1:]]
    return np.array([[float(share) for share in line[-2:]] for line in lines])


def test_two_workers_equal_one(small, tmp_path):
    """Same global batch, clipping active, 24 steps: dev probabilities, losses and norms agree."""
    pytest.importorskip("horovod", exc_type=ImportError)  # horovod.mxnet would break torch later
    options = dataclasses.replace(small, dropout=0.0, clip=0.5, batch_size=10, seeds=2, checkpoint_interval=0)
    command.run(dataclasses.replace(options, output_dir=str(tmp_path / "one")))
    process = start(*arguments(options, output_dir=str(tmp_path / "two")),
                    launcher=[pathlib.Path(sys.executable).with_name("horovodrun"), "--gloo", "-np", "2", "-H",
                              "localhost:2"])
    output, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    for seed in ("seed-0", "seed-1"):
        one, two = rows(tmp_path / "one" / seed), rows(tmp_path / "two" / seed)
        assert len(one) == len(two) == 22  # 2 epochs of 10 steps, the last batch with 6 of 10 examples
        for mine, theirs in zip(one, two):
            for name in mine:
                assert theirs[name] == pytest.approx(mine[name], abs=1e-4), (name, mine["step"])
        np.testing.assert_allclose(predicted(tmp_path / "two" / seed), predicted(tmp_path / "one" / seed), atol=1e-4)
    assert output.count("own.yaml: dev accuracy") == 2  # rank 0 alone speaks


class Halves(Workers):
    """Worker `rank` of two that really are one: sums are those of both halves, computed by the test."""

    size = 2

    def __init__(self, rank, others):
        self.rank, self._others = rank, others

    def sum_(self, arrays, name):
        for array, other in zip(arrays, self._others):
            array += other

    def sum_numpy(self, values, name):
        return np.asarray(values, np.float64) * 2


def test_unsynchronised_gradients_would_be_seen(tokenizer):
    """An update from one worker's own half of the batch differs from the global one; the summed one does not."""
    batch_of = training(tokenizer).at
    whole = updated(tokenizer, batch_of(0, 0, 1, 8), Workers())
    other = gradients_of(tokenizer, batch_of(0, 1, 2, 4))
    both = updated(tokenizer, batch_of(0, 0, 2, 4), Halves(0, other))
    alone = updated(tokenizer, batch_of(0, 0, 2, 4), Workers())
    assert all(np.abs(both[name] - whole[name]).max() < 1e-5 for name in whole)
    assert max(np.abs(alone[name] - whole[name]).max() for name in whole) > 1e-3


def classifier(tokenizer, **options):
    return build_model(TINY, tokenizer.vocab_size, "classifier", num_positions=64, dropout=0.0, **options)


def training(tokenizer, batch_size=8, count=24, **options):
    rng = np.random.default_rng(0)
    ids = [[0, *rng.integers(4, tokenizer.vocab_size - 1, rng.integers(3, 40)), 2] for _ in range(count)]
    encoded = EncodedExamples(ids, [[0] * len(row) for row in ids], 0)
    return TrainingBatches(encoded, rng.integers(0, 2, count), tokenizer.pad_id, batch_size, 0, **options)


def updated(tokenizer, batches, workers):
    """Weights after one step of plain gradients (AdamW hides their scale)."""
    model = classifier(tokenizer)
    TrainingStep(FineTuningObjective(model, False), SGD(parameters_of(model)), workers, clip=0.0)(batches, 0.1)
    return checkpoint_directory.tensors_of(model)


def gradients_of(tokenizer, batches):
    model = classifier(tokenizer)
    optimizer = SGD(parameters_of(model))  # (AdamW's operator scales them in place)
    TrainingStep(FineTuningObjective(model, False), optimizer, Workers())(batches, 0.0)
    return [gradient.copy() for gradient in optimizer.gradients()]


# -- batches -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("workers", [1, 2])
def test_an_epoch_has_every_example_once_whatever_the_workers(tokenizer, grouped, workers):
    batches = training(tokenizer, batch_size=10, group_by_length=grouped)
    assert batches.steps_per_epoch == 3
    seen = [[part.rows for step in range(3 * epoch, 3 * epoch + 3) for rank in range(workers)
             for part in batches.at(step, rank, workers, 5)] for epoch in range(2)]
    for epoch in seen:
        flat = np.concatenate(epoch)
        assert sorted(flat[flat != NOBODY]) == list(range(24))
    assert not np.array_equal(np.concatenate(seen[0]), np.concatenate(seen[1]))


def test_batches_are_functions_of_the_step_padded_to_the_longest(tokenizer):
    one, other = (training(tokenizer) for _ in range(2))
    for step in (5, 0, 3):
        for mine, theirs in zip(one.at(step, 0, 1, 4), other.at(step, 0, 1, 4)):
            assert (mine.input_ids == theirs.input_ids).all()
            assert mine.input_ids.shape[1] == mine.valid_length.max()
            beyond = np.arange(mine.input_ids.shape[1]) >= mine.valid_length[:, None]
            assert (mine.input_ids[beyond] == tokenizer.pad_id).all()


def test_grouping_pads_less(tokenizer):
    def padded(batches):
        return sum(part.input_ids.size for step in range(25) for part in batches.at(step, 0, 1, 8))
    assert padded(training(tokenizer, count=200)) < 0.8 * padded(training(tokenizer, count=200, group_by_length=False))


def test_a_batch_larger_than_the_set_is_the_set(tokenizer):
    """However large: no row is filled that no batch ever needs."""
    batches = training(tokenizer, batch_size=10 ** 20)
    assert batches.steps_per_epoch == 1
    (whole,), halves = batches.at(0, 0, 1, 10 ** 20), [batches.at(0, rank, 2, 10 ** 19)[0] for rank in range(2)]
    assert sorted(whole.rows) == list(range(24)) and [len(half.rows) for half in halves] == [12, 12]
    assert sorted(np.concatenate([half.rows for half in halves])) == list(range(24))
    evaluated = [batch.rows for rank in range(5) for batch in batches.evaluation(10 ** 15, rank, 5)]
    assert [len(found) for found in evaluated] == [24] and sorted(evaluated[0]) == list(range(24))


def test_filling_rows_and_micro_batches_change_neither_loss_nor_gradient(tokenizer):
    batches = training(tokenizer, batch_size=20)  # the second batch of an epoch has 4 examples
    step = next(s for s in (0, 1) if sum((p.rows != NOBODY).sum() for p in batches.at(s, 0, 1, 20)) == 4)
    whole, parts = (batches.at(step, 0, 1, micro) for micro in (20, 2))
    assert len(parts) == 2
    model = classifier(tokenizer)
    core = TrainingStep(FineTuningObjective(model, False), AdamW(parameters_of(model)), Workers())
    one, other = core(whole, 0.0), core(parts, 0.0)
    assert one.loss == pytest.approx(other.loss, rel=1e-5) and one.grad_norm == pytest.approx(other.grad_norm, rel=1e-4)


@pytest.mark.parametrize("regression", [True, False])
def test_objective_equals_numpy(tokenizer, regression):
    model = classifier(tokenizer, num_labels=1 if regression else 2)
    objective = FineTuningObjective(model, regression)
    batch, = training(tokenizer).at(0, 0, 1, 8)
    batch.weights[3] = 0
    scores = objective.scores(batch).asnumpy().astype(np.float64)
    sums = objective(batch, detailed=True)
    each = (scores[:, 0] - batch.targets) ** 2 if regression else -np.log(
        probabilities(scores)[np.arange(8), batch.targets.astype(int)])
    assert sums.loss.asscalar() == pytest.approx((each * batch.weights).sum(), rel=1e-5) and sums.weight == 7
    assert ("accuracy" in sums.metrics) == (not regression)


def test_scores_are_in_the_order_of_the_examples(tokenizer):
    batches, objective = training(tokenizer), FineTuningObjective(classifier(tokenizer), False)
    scores = compute_scores(objective, batches, 2, 5, Workers())
    for row in (0, 7, 23):
        alone = objective.scores(batches.make(np.array([row]))).asnumpy()[0]
        np.testing.assert_allclose(scores[row], alone, atol=1e-5)


# -- selection -----------------------------------------------------------------------------------------------------


def test_best_epoch_keeps_the_first_of_equals_and_stops_after_patience():
    saved = []
    best = BestEpoch("accuracy", lambda step, value: saved.append((step, value)), patience=2)
    for step, value in enumerate([0.5, 0.7, 0.7], 1):
        best.observe(step, {"accuracy": value})
        assert not best.stopped
    again = BestEpoch("accuracy", lambda *_: pytest.fail("not better"), patience=2)
    again.load_state(json.loads(json.dumps(best.state())))
    again.observe(4, {"accuracy": 0.6})
    assert again.stopped and saved == [(1, 0.5), (2, 0.7)] and again.best_step == 2
    fresh = BestEpoch("accuracy", print)
    fresh.load_state(json.loads(json.dumps(BestEpoch("accuracy", print).state())))
    assert fresh.best == -np.inf


def test_early_stopping_ends_the_run_and_stays_ended(small, tmp_path):
    """A learning rate that changes nothing: the second evaluation is no better than the first."""
    options = dataclasses.replace(small, epochs=5, learning_rate=1e-12, early_stopping=True, output_dir=str(tmp_path))
    found = finetune(dataclasses.replace(options, output_dir=str(tmp_path / "run")))
    assert found["stopped_early"] and found["best_step"] == 12 and found["planned_steps"] == 60
    assert rows(tmp_path / "run")[-1]["step"] == 24
    (tmp_path / "run/results.json").unlink()
    again = finetune(dataclasses.replace(options, output_dir=str(tmp_path / "run"), resume="auto"))
    assert again["dev"] == found["dev"] and rows(tmp_path / "run")[-1]["step"] == 24


# -- kinds of tasks ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def regression(tmp_path_factory):
    """The share of the letter e, roughly: one text, a number."""
    folder = tmp_path_factory.mktemp("regression")
    for split, pairs in synthetic.generate({"train": 48, "dev": 20}).items():
        lines = ["text\tvalue", *(f"{first}\t{len(first) / 10}" for first, _, _ in pairs)]
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    (folder / "length.yaml").write_text("files: {train: train.tsv, dev: dev.tsv}\nregression: true\n"
                                        "columns: {text: text, label: value}\nmetrics: [pearson, spearman]\n")
    return folder / "length.yaml"


def test_regression_without_a_test_set(small, regression, tmp_path):
    found = finetune(dataclasses.replace(small, task=str(regression), epochs=6, learning_rate=3e-3,
                                         output_dir=str(tmp_path / "run")))
    assert found["history"][-1]["loss"] < found["history"][0]["loss"]
    assert found["submissions"] == [] and any("names no test set" in note for note in found["notes"])
    header, first = (tmp_path / "run/predictions.tsv").read_text().splitlines()[:2]
    assert header.split("\t") == ["idx", "text", "label", "prediction"] and float(first.split("\t")[-1])
    assert (tmp_path / "run/scatter.png").is_file() and "pearson" in found["dev"]


def copa(folder, counts):
    """A few questions in COPA's format; the right alternative repeats the premise."""
    nouns = ("cat", "dog", "king", "queen")
    for split, count in counts.items():
        records = [{"idx": i, "premise": f"the {nouns[i % 4]} slept .", "question": ("cause", "effect")[i % 2],
                    f"choice{1 + i % 2}": f"the {nouns[i % 4]} ate .",
                    f"choice{2 - i % 2}": f"the {nouns[(i + 1) % 4]} ate .",
                    **({} if split == "test" else {"label": i % 2})} for i in range(count)]
        path = folder / "superglue/COPA" / f"{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(record) + "\n" for record in records))


def entailment(folder):
    """RTE's and its diagnostics' files, a few examples each."""
    pairs = synthetic.generate({"train": 24, "dev": 12})
    names = {"train": "train.jsonl", "dev": "val.jsonl"}
    for split, found in pairs.items():
        path = folder / "superglue/RTE" / names[split]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps({"idx": i, "premise": a, "hypothesis": b, "label": label}) + "\n"
                                for i, (a, b, label) in enumerate(found)))
    path = folder / "superglue/AX-b/AX-b.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps({"idx": str(i), "sentence1": a, "sentence2": b, "label": label, "logic": "x"})
                            + "\n" for i, (a, b, label) in enumerate(pairs["dev"])))


@pytest.fixture(scope="module")
def superglue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("official")
    copa(folder, {"train": 16, "val": 8, "test": 8})
    entailment(folder)
    return folder


def test_a_benchmark_makes_a_table_and_a_zip_and_says_what_is_left_out(small, superglue, tmp_path, capsys, monkeypatch):
    """COPA compares candidates; RTE's model predicts AX-b too; the other tasks' files cannot be had."""
    import zipfile

    from bort_mx.data.tasks import download

    def offline(url):
        raise OSError("no network")

    monkeypatch.setattr(download, "_open", offline)
    options = dataclasses.replace(small, task="superglue", data_dir=str(superglue), epochs=1, seeds=2,
                                  batch_size=None, output_dir=str(tmp_path / "run"))
    found = command.run(options)["superglue"]
    assert set(found["dev"]) == {"COPA", "RTE", "AX-b"} and found["average"] is None
    assert any("WiC left out" in note and "fetch" in note for note in found["notes"])
    table = (tmp_path / "run/superglue/table.md").read_text()
    copa_row = next(line for line in table.splitlines() if line.startswith("| COPA"))
    assert "89.6" in copa_row and copa_row.endswith(f"{100 * found['dev']['COPA']['accuracy']:.1f} |")
    assert table in capsys.readouterr().out
    assert zipfile.ZipFile(tmp_path / "run/superglue/superglue.zip").namelist() == ["COPA.jsonl", "AX-b.jsonl"]
    seeds = results_of(tmp_path / "run/superglue/COPA")
    values = seeds["dev_over_seeds"]["accuracy"]["values"]
    assert len(values) == 2 and seeds["dev"]["accuracy"] == pytest.approx(np.median(values))
    best = tmp_path / f"run/superglue/COPA/seed-{int(np.argmax(values))}/checkpoints/best"
    assert read_checkpoint(tmp_path / "run/superglue/COPA").source == str(best)
    rows = (tmp_path / "run/superglue/COPA/seed-0/predictions.tsv").read_text().splitlines()
    assert rows[0].split("\t")[3] == "candidate" and len(rows) == 17
    command.run(dataclasses.replace(options, resume="auto"))  # all finished: the same table at once
    assert (tmp_path / "run/superglue/table.md").read_text() == table
    few = "COPA: test: 8 where the official set has 500"
    assert few in table and any(few in note for note in results_of(tmp_path / "run")["superglue"]["notes"])
    shutil.copytree(superglue, tmp_path / "fewer", ignore=shutil.ignore_patterns("COPA"))
    fewer = command.run(dataclasses.replace(options, resume="auto", data_dir=str(tmp_path / "fewer")))["superglue"]
    assert any("superglue/COPA left out" in note for note in fewer["notes"])
    assert zipfile.ZipFile(tmp_path / "run/superglue/superglue.zip").namelist() == ["AX-b.jsonl"]
    assert (tmp_path / "run/superglue/COPA/COPA.jsonl").is_file()


def test_seeds_without_a_best_are_no_checkpoint(small, tmp_path):
    folder = tmp_path / "run"
    command.run(dataclasses.replace(small, epochs=1, seeds=2, output_dir=str(folder)))
    (folder / "results.json").write_text("[]")
    with pytest.raises(InputError, match="no results.json that says which is the best"):
        read_checkpoint(folder)
    (folder / "results.json").unlink()  # as after a kill in the second
    with pytest.raises(InputError, match="holds seed-0, seed-1, and no results.json .* give one of them"):
        read_checkpoint(folder)


def test_a_diagnostic_set_is_predicted_by_the_task_that_scores_it(small, superglue, tmp_path):
    found = finetune(dataclasses.replace(small, task="AX-b", data_dir=str(superglue), epochs=1,
                                         output_dir=str(tmp_path / "run")))
    assert found["task"] == "superglue/RTE" and "matthews" in found["diagnostics"]["superglue/AX-b"]
    assert json.loads((tmp_path / "run/AX-b.jsonl").read_text().splitlines()[0])["idx"] == 0
    assert any("superglue/AX-b test: 12 where the official set has 1,104" in note for note in found["notes"])


def test_what_an_undefined_metric_of_a_diagnostic_set_is_stands_in_the_results(small, superglue, tmp_path):
    shutil.copytree(superglue, tmp_path / "data")
    path = tmp_path / "data/superglue/AX-b/AX-b.jsonl"
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    found = finetune(dataclasses.replace(small, task="superglue/RTE", data_dir=str(tmp_path / "data"), epochs=1,
                                         output_dir=str(tmp_path / "run")))
    assert found["diagnostics"]["superglue/AX-b"]["matthews"] == 0
    assert any(note.startswith("superglue/AX-b test: Matthews' correlation is undefined") for note in found["notes"])


def test_table_averages_when_every_task_is_there():
    every = {get_task(k).name: dict.fromkeys(get_task(k).metrics, 0.5) for k in finetuning_seeds.TASKS
             if get_task(k).benchmark == "glue"}
    table = finetuning_seeds.benchmark_table("glue", every)
    assert table.splitlines()[-1].endswith("| 50.0 |") and "| 94.1/92.3 | 50.0/50.0 |" in table


def test_a_diagnostic_set_alone_can_be_predicted(small, superglue, tmp_path):
    """Neither RTE's files nor a network are needed."""
    trained = dataclasses.replace(small, task="superglue/RTE", data_dir=str(superglue), epochs=1,
                                  output_dir=str(tmp_path / "run"))
    scores = finetune(trained)["diagnostics"]["superglue/AX-b"]
    shutil.copytree(superglue / "superglue/AX-b", tmp_path / "data/superglue/AX-b")
    found = finetune(dataclasses.replace(trained, task="AX-b", data_dir=str(tmp_path / "data"), predict_only=True,
                                         checkpoint=str(tmp_path / "run"), output_dir=str(tmp_path / "predict")))
    assert found["diagnostics"]["superglue/AX-b"] == pytest.approx(scores) and found["submissions"] == ["AX-b.jsonl"]
    assert len((tmp_path / "predict/predictions.tsv").read_text().splitlines()) == 13


def test_a_benchmark_reads_every_file_before_it_trains(small, superglue, tmp_path):
    shutil.copytree(superglue, tmp_path / "data")
    with open(tmp_path / "data/superglue/RTE/val.jsonl", "a") as file:
        file.write("{}\n")
    options = dataclasses.replace(small, task="superglue", data_dir=str(tmp_path / "data"), epochs=1, batch_size=None,
                                  output_dir=str(tmp_path / "run"))
    with pytest.raises(InputError, match="val.jsonl:13: no field 'idx'"):
        command.run(options)
    shutil.copy(superglue / "superglue/RTE/val.jsonl", tmp_path / "data/superglue/RTE/val.jsonl")
    with open(tmp_path / "data/superglue/AX-b/AX-b.jsonl", "a") as file:
        file.write("{}\n")
    with pytest.raises(InputError, match="AX-b.jsonl:13: no field 'idx'"):
        command.run(options)
    for name in ("predict_only", "keep_classifier"):
        message = f"--task superglue --{name.replace('_', '-')}: a classifier is of one task"
        with pytest.raises(InputError, match=message):
            command.run(dataclasses.replace(options, **{name: True}))
    assert not (tmp_path / "run").exists()


def test_all_says_which_benchmarks_are_not_there(small, superglue, tmp_path, capsys, monkeypatch):
    from bort_mx.data.tasks import download

    def offline(url):
        raise OSError("no network")

    monkeypatch.setattr(download, "_open", offline)
    monkeypatch.setattr(finetuning_seeds, "TABLE", "scores.md")
    found = command.run(dataclasses.replace(small, task="all", data_dir=str(superglue), epochs=1, batch_size=None,
                                            output_dir=str(tmp_path / "run")))
    assert set(found) == {"glue", "superglue", "race"} and (tmp_path / "run/superglue/scores.md").is_file()
    assert found["glue"]["dev"] == {} and any("CoLA left out" in note for note in found["glue"]["notes"])
    output = capsys.readouterr().out
    assert "glue: none of its tasks is there" in output and "race: none of its tasks is there" in output


SMALL_FILES = {"MultiRC": 3, "ReCoRD": 3}
"""Lines to take of a task's files, whose lines hold many examples; of the others 24."""


def a_few_of_everything(shared, folder):
    """The first examples of every task of the three benchmarks, in the official layout."""
    for path in sorted([*shared.glob("data/glue/*/*.tsv"), *shared.glob("data/superglue/*/*.jsonl")]):
        name = path.name.replace("_official_head.", ".").replace(".head.", ".")
        target = folder / path.parent.relative_to(shared / "data") / name
        if not target.exists():  # val.jsonl comes after val.head.jsonl, and both will do
            target.parent.mkdir(parents=True, exist_ok=True)
            lines = path.read_bytes().splitlines(keepends=True)
            target.write_bytes(b"".join(lines[:SMALL_FILES.get(path.parent.name, 24)]))
    for path in sorted(shared.glob("data/race/sample/RACE/*/*")):
        target = folder / "race/RACE" / path.relative_to(path.parent.parent)
        target.mkdir(parents=True)
        for passage in sorted(path.iterdir())[:3]:
            shutil.copy(passage, target)


def test_every_task_goes_through_the_loop(shared, small, tmp_path):
    """--task all: metrics, predictions and submissions of each task, all tables and zips, diagnostics included."""
    import zipfile

    from bort_mx.data.metrics import benchmark_average

    a_few_of_everything(shared, tmp_path / "data")
    found = command.run(dataclasses.replace(small, task="all", data_dir=str(tmp_path / "data"), epochs=1,
                                            batch_size=None, checkpoint_interval=0, output_dir=str(tmp_path / "run")))
    for key, kind in finetuning_seeds.TASKS.items():
        if kind.benchmark not in found:
            continue
        task = get_task(key)
        scores = found[kind.benchmark]["dev"][task.name]
        assert set(scores) - {"loss"} == set(task.metrics) and all(np.isfinite(v) for v in scores.values())
        folder = tmp_path / "run" / kind.benchmark
        submitted = (folder / "submission" / task.submission_name).read_text().splitlines()
        test = task.read(tmp_path / "data", "test")
        of_passage = {"MultiRC": 1, "RACE-M": 1, "RACE-H": 1}.get(task.name)
        ids = [group[0] if of_passage else group for group in task.submission_ids(test)]
        assert len(submitted) - (kind.benchmark == "glue") == len(dict.fromkeys(ids)), key
        if not kind.scored_by:
            rows = (folder / task.name / "predictions.tsv").read_text().splitlines()
            assert len(rows) == 1 + len(task.read(tmp_path / "data", "dev")), key
    for benchmark, result in found.items():
        names = {get_task(key).submission_name for key, kind in finetuning_seeds.TASKS.items()
                 if kind.benchmark == benchmark}
        archive = zipfile.ZipFile(tmp_path / f"run/{benchmark}/{benchmark}.zip")
        assert set(archive.namelist()) == names and not any("lacks" in note for note in result["notes"])
        assert result["average"] == (None if benchmark == "race" else  # which has none
                                     pytest.approx(benchmark_average(benchmark, result["dev"])))
        assert "left out" not in (tmp_path / f"run/{benchmark}/table.md").read_text().replace("left out for", "")


# -- labels --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(small, tmp_path_factory):
    """A run on the small task, trained long enough to tell its labels apart."""
    options = dataclasses.replace(small, epochs=6, output_dir=str(tmp_path_factory.mktemp("trained") / "run"))
    return options, finetune(options)["dev"]["accuracy"]


def described(pairs, folder, labels, name="own.yaml"):
    """The small task with its labels in another order, or spelled otherwise."""
    shutil.copytree(pairs.parent, folder)
    description = (folder / name).read_text()
    assert "labels: [not_entailment, entailment]" in description
    (folder / name).write_text(description.replace("[not_entailment, entailment]", labels))
    return str(folder / name)


def test_predicting_alone_takes_the_length_that_the_model_was_trained_with(small, tmp_path, capsys):
    found = finetune(dataclasses.replace(small, epochs=1, max_length=10, output_dir=str(tmp_path / "run")))
    again = dataclasses.replace(small, predict_only=True, checkpoint=str(tmp_path / "run"))
    same = finetune(dataclasses.replace(again, output_dir=str(tmp_path / "same")))
    assert same["dev"] == pytest.approx(found["dev"]) and any("cut to 10 tokens, as " in n for n in same["notes"])
    longer = finetune(dataclasses.replace(again, max_length=64, output_dir=str(tmp_path / "longer")))
    assert longer["dev"]["loss"] != pytest.approx(found["dev"]["loss"], abs=1e-6)


def test_what_predictions_are_of_is_told(trained, pairs, tmp_path, capsys):
    """Of the test set where there is no dev set; of labels that only some examples have there is no score."""
    task = pathlib.Path(described(pairs, tmp_path / "data", "[not_entailment, entailment]"))
    (tmp_path / "data/dev.tsv").unlink()
    lines = (tmp_path / "data/test.tsv").read_text().splitlines()
    lines[2:] = [line.rsplit("\t", 1)[0] + "\t" for line in lines[2:]]
    (tmp_path / "data/test.tsv").write_text("\n".join(lines) + "\n\n")
    options, _ = trained
    found = finetune(dataclasses.replace(options, task=str(task), checkpoint=options.output_dir, predict_only=True,
                                         resume="never", output_dir=str(tmp_path / "run")))
    assert found["predictions_of"] == "test" and "dev" not in found and "test" not in found
    assert "test: not scored, as 1 of 40 examples have labels" in found["notes"]
    said = capsys.readouterr().out
    assert "wrote predictions.tsv (of test), own.tsv" in said and "dev has no labels" not in said


def test_predictions_tell_the_question_where_idx_does_not(tmp_path):
    examples = Examples([Example(idx, ("a passage", "a\tquestion"), str(idx), (7, question))
                         for question in range(2) for idx in range(2)])
    scores = np.array([[1.0, 0.0]] * len(examples))
    task = get_task("superglue/MultiRC")
    write_predictions(tmp_path / "p.tsv", task, evaluate(task, examples, scores))
    rows = [line.split("\t") for line in (tmp_path / "p.tsv").read_text().splitlines()]
    assert rows[0] == ["idx", "group", "text", "text_pair", "label", "prediction", "p(0)", "p(1)"]
    assert [row[:2] for row in rows[1:]] == [["0", "7/0"], ["1", "7/0"], ["0", "7/1"], ["1", "7/1"]]
    assert rows[1][2:6] == ["a passage", "a question", "0", "0"]


@pytest.mark.parametrize("texts", [["nice film really"], [chr(0x4e00 + 7 * i) * 2 for i in range(1200)]])
def test_a_fresh_encoder_has_a_vocabulary_of_any_text(texts):
    """As many pieces as it yields: few of one sentence, all the characters of a large alphabet."""
    vocabulary = finetune_module._vocabulary(texts)
    for text in texts[:20]:
        ids = vocabulary.encode(text)
        assert vocabulary.decode(ids) == text and len(ids) <= len(text) + 2


def test_outputs_are_told_by_their_labels_not_by_their_order(trained, pairs, tmp_path):
    options, accuracy = trained
    task = described(pairs, tmp_path / "data", "[entailment, not_entailment]")
    predict = dataclasses.replace(options, task=task, checkpoint=options.output_dir, predict_only=True,
                                  output_dir=str(tmp_path / "predict"))
    found = finetune(predict)
    assert found["dev"]["accuracy"] == accuracy and accuracy != 0.5
    header = (tmp_path / "predict/predictions.tsv").read_text().splitlines()[0].split("\t")
    assert header[-2:] == ["p(entailment)", "p(not_entailment)"]
    for source, told in (("hf", "ENTAILMENT"), ("unnamed", None)):  # another library's folder tells them as well
        convert(read_checkpoint(options.output_dir), tmp_path / source, "hf")
        config = json.loads((tmp_path / source / "config.json").read_text())
        assert config["id2label"] == {"0": "not_entailment", "1": "entailment"}
        config["id2label"] = {"0": "Not_Entailment", "1": told} if told else {"0": "LABEL_0", "1": "LABEL_1"}
        (tmp_path / source / "config.json").write_text(json.dumps(config))
        found = finetune(dataclasses.replace(predict, checkpoint=str(tmp_path / source),
                                             output_dir=str(tmp_path / f"predict-{source}")))
        if told:
            assert found["dev"]["accuracy"] == accuracy
        else:  # taken in the task's order, which is said
            assert found["dev"]["accuracy"] == pytest.approx(1 - accuracy)
            assert any("does not tell what its outputs stand for" in note for note in found["notes"])


def test_other_labels_are_refused_and_numbers_take_any(trained, pairs, tmp_path):
    options, accuracy = trained
    predict = dataclasses.replace(options, checkpoint=options.output_dir, predict_only=True,
                                  output_dir=str(tmp_path / "predict"))
    for labels, message in (("[no way, entailment]", "has the labels not_entailment, entailment, but .* has no way"),
                            ("[a, not_entailment, entailment]", "has 2 labels, but .* has a, not_entailment, entail")):
        folder = tmp_path / str(len(labels))
        task = described(pairs, folder, labels)
        for split in ("train", "dev", "test"):
            text = (folder / f"{split}.tsv").read_text()
            (folder / f"{split}.tsv").write_text(text.replace("\tnot_entailment\n", "\tno way\n")
                                                 if "no way" in labels else text)
        with pytest.raises(InputError, match=message):
            finetune(dataclasses.replace(predict, task=task))
    task = described(pairs, tmp_path / "data", "['0', '1']")
    for split in ("train", "dev", "test"):
        path = tmp_path / f"data/{split}.tsv"
        path.write_text(path.read_text().replace("\tnot_entailment\n", "\t0\n").replace("\tentailment\n", "\t1\n"))
    found = finetune(dataclasses.replace(predict, task=task))
    assert found["dev"]["accuracy"] == accuracy
    assert any("the labels not_entailment, entailment of" in note and "taken to be 0, 1" in note
               for note in found["notes"])


@pytest.mark.parametrize("family, parts", [
    ("roberta", {}), ("roberta", {"extra_layer": True}), ("bert", {"pooler": True}),
    ("roberta", {"pooler": True, "extra_layer": True})])
def test_outputs_are_reordered_whatever_the_head(family, parts):
    model = build_model(TINY, 300, "classifier", num_labels=2, family=family, labels=("Entailment", "NOT_entailment"),
                        **parts)
    found, notes = classifier_of(Weights(model.config, checkpoint_directory.tensors_of(model), None, "x"), "x",
                                 get_task("RTE"))
    moved = assemble(found)
    ids, lengths = mx.nd.array([[1, 5, 7]]), mx.nd.array([3])
    np.testing.assert_array_equal(moved(ids, lengths).asnumpy()[0], model(ids, lengths).asnumpy()[0, ::-1])
    assert moved.config.labels == ("not_entailment", "entailment") and notes == []


@pytest.mark.parametrize("told, task, columns", [
    ({"0": "similarity"}, "STS-B", [0]), ({"0": "0", "1": "1"}, "RTE", [0, 1]), ({"0": 0, "1": 1}, "RTE", [0, 1]),
    ({"0": "NEGATIVE", "1": "POSITIVE"}, "SST-2", [0, 1]), ({"0": "LABEL_1", "1": "LABEL_0"}, "CoLA", [0, 1]),
    ({"1": "a", "2": "b"}, "RTE", [0, 1]), (["a", "b"], "RTE", [0, 1]), ({"0": None, "1": "x"}, "RTE", [0, 1]),
    ({"0": "\ud800", "1": "x"}, "RTE", [0, 1]), ({"0": "True", "1": "False"}, "BoolQ", [1, 0])])
def test_labels_of_a_hugging_face_folder(tokenizer, tmp_path, told, task, columns):
    task = get_task(task)
    model = build_model(TINY, tokenizer.vocab_size, "classifier", num_labels=task.num_labels, pooler=True)
    convert(Weights(model.config, checkpoint_directory.tensors_of(model), tokenizer, "x"), tmp_path / "hf", "hf")
    config = json.loads((tmp_path / "hf/config.json").read_text())
    (tmp_path / "hf/config.json").write_text(json.dumps({**config, "id2label": told}))
    weights = read_checkpoint(tmp_path / "hf")
    found, _ = classifier_of(weights, str(tmp_path / "hf"), task)
    np.testing.assert_array_equal(found.tensors["classifier.1.bias"], weights.float32("classifier.1.bias")[columns])
    assert found.config.labels == (None if task.is_regression else tuple(task.labels))


def test_odd_labels_make_one_line():
    model = build_model(TINY, 300, "classifier", num_labels=2, labels=("a\nb", "x" * 100_000))
    weights = Weights(model.config, checkpoint_directory.tensors_of(model), None, "x")
    with pytest.raises(InputError) as caught:
        classifier_of(weights, "x", get_task("RTE"))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    for labels in (("a",), ("a", "a"), ("a", 1), "ab", ("a", "\ud800"), 3):
        with pytest.raises(InputError, match="model: labels is .*; it must be 2 different texts"):
            model.config.replace(labels=labels)
    assert model.config.replace(head="mlm").labels is None and model.config.replace(num_labels=3).labels is None


def test_a_classifier_is_drawn_anew_unless_it_is_to_be_kept(trained, tmp_path):
    options, _ = trained
    again = dataclasses.replace(options, checkpoint=options.output_dir, epochs=1, learning_rate=1e-12,
                                weight_decay=0.0, seed=1)
    new = finetune(dataclasses.replace(again, output_dir=str(tmp_path / "new")))
    assert any("the classifier of" in note and "left out for a new one" in note for note in new["notes"])
    kept = finetune(dataclasses.replace(again, keep_classifier=True, output_dir=str(tmp_path / "kept")))
    assert not any("left out for a new one" in note for note in kept["notes"])
    folders = options.output_dir, tmp_path / "new", tmp_path / "kept"
    before, first, second = (weights(folder, "best") for folder in folders)
    for name in before:
        np.testing.assert_allclose(second[name], before[name], atol=1e-6)
    assert np.abs(first["classifier.1.weight"] - before["classifier.1.weight"]).max() > 0.1
    with pytest.raises(InputError, match="has no trained classifier; give a checkpoint fine-tuned on"):
        finetune(dataclasses.replace(options, keep_classifier=True, output_dir=str(tmp_path / "none")))


# -- options -------------------------------------------------------------------------------------------------------


def test_chs_are_the_papers_and_what_is_given_wins():
    task = get_task("CoLA")
    options = FineTuningOptions("CoLA", chs=True, warmup=0.2).resolved(task, task)
    assert (options.learning_rate, options.weight_decay, options.warmup, options.seed, options.batch_size) == (
        9e-6, 10, 0.2, 3, 8)
    assert options.extra_layer is True
    plain = FineTuningOptions("SST-2").resolved(get_task("SST-2"), get_task("SST-2"))
    assert (plain.learning_rate, plain.batch_size, plain.extra_layer) == (1e-5, 16, False)
    mnli, ax = get_task("MNLI-matched"), get_task("AX")
    assert FineTuningOptions("AX", chs=True).resolved(mnli, ax).warmup == 0.45


def test_classifiers(small, tmp_path):
    """U(−1/2, 1/2) as in the paper, N(0, 0.02²) as in BERT, with pooler and extra layer where asked."""
    for init, options in (("uniform", {}), ("normal", {"pooler": True, "extra_layer": True})):
        out = tmp_path / init
        finetune(dataclasses.replace(small, classifier_init=init, learning_rate=1e-12, epochs=1, output_dir=str(out),
                                     weight_decay=0.0, **options))
        _, _, config = load(out)
        assert (config.pooler, config.extra_layer) == (bool(options), bool(options))
        new = np.concatenate([v.ravel() for k, v in weights(out, "best").items() if k.startswith("classifier.")
                              and k.endswith("weight")])
        assert (np.abs(new).max() > 0.3) == (init == "uniform") and np.abs(new).max() < 0.5


@pytest.mark.parametrize("values, message", [
    (dict(batch_size=0), "--batch-size 0"), (dict(dropout=1.0), "--dropout 1.0"), (dict(epochs=0), "--epochs 0"),
    (dict(learning_rate=0.0), "--learning-rate 0.0"), (dict(predict_only=True, seeds=3), "leave out --seeds"),
    (dict(seeds=3, resume="x"), "--resume auto"), (dict(warmup=np.inf), "--warmup inf: must be finite"),
    (dict(epochs=-10 ** 400), "must be at least 1"),
    (dict(learning_rate=np.inf), "--learning-rate inf: must be finite"), (dict(warmup=np.nan), "--warmup nan"),
    (dict(patience=3), "--patience 3 is of --early-stopping"),
    (dict(keep_classifier=True, pooler=True), "--keep-classifier takes the classifier as it was trained"),
    (dict(checkpoint="fresh", predict_only=True), "fresh has no classifier yet; leave out --predict-only")])
def test_options_out_of_range_are_refused_by_name(values, message):
    with pytest.raises(InputError, match=message):
        FineTuningOptions(**values)


# -- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes, message", [
    (dict(task="RTEE"), "unknown task 'RTEE'"),
    (dict(checkpoint="no/such/folder"), "no/such/folder"),
    (dict(max_length=65), "longer than the 64 positions"),
    (dict(micro_batch_size=3), "not divisible by --micro-batch-size 3"),
    (dict(dtype="float16"), "needs a GPU"),
    (dict(predict_only=True), "has no trained classifier"),
    (dict(chs=True), "no convergent hyperparameter set"),
    (dict(patience=3, resume="auto"), "--patience 3 is of --early-stopping"),
    (dict(resume="no/such"), "not a checkpoint")])
def test_bad_input_is_refused_in_one_line_and_nothing_is_written(small, tmp_path, changes, message):
    with pytest.raises(InputError) as caught:
        command.run(dataclasses.replace(small, output_dir=str(tmp_path / "run"), **changes))
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_several_runs_with_bad_input_leave_nothing(small, tmp_path):
    options = dataclasses.replace(small, epochs=1, seeds=2, output_dir=str(tmp_path / "run"))
    with pytest.raises(InputError, match="no/such"):
        command.run(dataclasses.replace(options, checkpoint="no/such/folder"))
    assert not (tmp_path / "run").exists()
    command.run(options)
    config = (tmp_path / "run/config.json").read_bytes()
    for changes, message in ((dict(weight_decay=0.5), "option weight_decay was"), (dict(seed=5), "option seed was")):
        with pytest.raises(InputError, match=message):
            command.run(dataclasses.replace(options, resume="auto", **changes))
    assert (tmp_path / "run/config.json").read_bytes() == config
    assert sorted(path.name for path in (tmp_path / "run").glob("seed-*")) == ["seed-0", "seed-1"]


@pytest.mark.parametrize("seeds", [1, 2])
def test_an_output_directory_that_cannot_be_is_one_line(small, tmp_path, seeds):
    (tmp_path / "file").write_text("a file")
    for path in (tmp_path / "file", tmp_path / ("x" * 300)):
        with pytest.raises(InputError, match="--output-dir .*: cannot be written") as caught:
            command.run(dataclasses.replace(small, epochs=1, seeds=seeds, output_dir=str(path)))
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be written .File name too long"):
        finetune(dataclasses.replace(small, resume="auto", output_dir=str(tmp_path / ("x" * 300))))
    with pytest.raises(InputError, match="x: no such file|File name too long"):
        finetune(dataclasses.replace(small, checkpoint="x" * 300, output_dir=str(tmp_path / "run")))


def test_the_best_weights_alone_are_nothing_to_resume_from(trained):
    options, _ = trained
    folder = pathlib.Path(options.output_dir)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="holds weights alone, nothing to go on from; give one of .*step-N"):
        finetune(dataclasses.replace(options, resume=str(folder / "checkpoints/best")))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_resume_does_not_overwrite_what_a_directory_holds(small, superglue, tmp_path):
    """One run, several seeds, a benchmark, predictions: each is gone on with by its own kind only."""
    one = dataclasses.replace(small.resolved(*resolve(small.task)), epochs=1, resume="auto")
    several_seeds = dataclasses.replace(small, epochs=1, resume="auto", seeds=2)
    benchmark = dataclasses.replace(several_seeds, task="superglue", data_dir=str(superglue), batch_size=None, seeds=1)
    predicting = dataclasses.replace(one, predict_only=True, checkpoint=str(tmp_path / "one"))
    places = {"one": one, "seeds": several_seeds, "benchmark": benchmark, "predicting": predicting}
    found = {}
    for name, options in places.items():
        command.run(dataclasses.replace(options, output_dir=str(tmp_path / name)))
        found[name] = [(tmp_path / name / file).read_bytes() for file in ("results.json", "config.json")]
    for name, options, message in [
            ("seeds", one, "seeds holds several seeds, and this is one run"),
            ("seeds", predicting, "seeds holds several seeds, and this is one run"),
            ("one", several_seeds, "one holds one run, and this is several seeds"),
            ("benchmark", one, "benchmark holds a benchmark, and this is one run"),
            ("benchmark", dataclasses.replace(benchmark, task="all"), "option task was 'superglue'"),
            ("predicting", one, "option predict_only was True"),
            ("predicting", dataclasses.replace(predicting, checkpoint=small.checkpoint), "is not what .* began with"),
    ]:
        with pytest.raises(InputError, match=message):
            command.run(dataclasses.replace(options, output_dir=str(tmp_path / name)))
    assert {name: [(tmp_path / name / file).read_bytes() for file in ("results.json", "config.json")]
            for name in places} == found


def test_what_came_to_nothing_is_begun_again_with_other_options(small, tmp_path, monkeypatch):
    """Killed or diverged before its first checkpoint: --resume auto starts."""
    options = dataclasses.replace(small, epochs=1, resume="auto", output_dir=str(tmp_path / "run"))
    with monkeypatch.context() as patched:
        patched.setattr(finetune_module, "_train", lambda *rest: (_ for _ in ()).throw(NonFiniteError("no step")))
        with pytest.raises(NonFiniteError):
            finetune(dataclasses.replace(options, learning_rate=1e30))
    assert (tmp_path / "run/config.json").is_file()
    (tmp_path / "run/data").mkdir()  # as pre-training has it
    assert finetune(options)["train_examples"] == 96


def test_the_best_of_a_killed_run_is_not_overwritten_by_another(small, tmp_path, monkeypatch):
    options = dataclasses.replace(small, resume="auto", checkpoint_interval=0, output_dir=str(tmp_path / "run"))
    with monkeypatch.context() as patched:
        patched.setattr(finetune_module, "conclude", lambda *rest: (_ for _ in ()).throw(StopRequested("killed")))
        with pytest.raises(StopRequested):
            finetune(options)
    shutil.rmtree(tmp_path / "run/checkpoints/step-24")
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["best"]
    with pytest.raises(InputError, match="option max_length was None .* and is 12 now"):
        finetune(dataclasses.replace(options, max_length=12))


@pytest.mark.parametrize("of, changes", [("several seeds", {"seeds": 2}), ("a benchmark", {"task": "superglue"})])
def test_several_runs_killed_in_the_first_are_known(small, superglue, tmp_path, monkeypatch, of, changes):
    one = dataclasses.replace(small, epochs=1, resume="auto", batch_size=None, output_dir=str(tmp_path / "run"))
    many = dataclasses.replace(one, data_dir=str(superglue) if of == "a benchmark" else None, **changes)
    with monkeypatch.context() as patched:
        patched.setattr(finetune_module, "_train", lambda *rest: (_ for _ in ()).throw(StopRequested("killed")))
        with pytest.raises(StopRequested):
            command.run(many)
    before = (tmp_path / "run/config.json").read_bytes()
    with pytest.raises(InputError, match=f"run holds {of}, and this is one run"):
        command.run(one)
    assert (tmp_path / "run/config.json").read_bytes() == before
    command.run(many)
    assert (tmp_path / "run/results.json").is_file()


@pytest.mark.parametrize("options, kind", [
    ({"task": "RTE"}, "one run"), ({"task": "RTE", "seeds": 5}, "several seeds"), ({"task": "glue"}, "a benchmark"),
    ({"task": "RTE", "seeds": 5, "agora": True}, "several seeds of Agora"),
    ({"task": "RTE", "seeds": 1, "agora": False}, "one run"), ({"data": ["text"]}, "a run of another program")])
def test_what_a_directory_holds_is_told_by_its_options(options, kind):
    assert kind_of(options) == kind


@pytest.mark.parametrize("seeds", [1, 2])
def test_another_description_of_the_task_is_another_run(small, pairs, tmp_path, seeds):
    shutil.copytree(pairs.parent, tmp_path / "data")
    path = tmp_path / "data/own.yaml"
    before = path.read_text()
    options = dataclasses.replace(small, task=str(path), epochs=1, seeds=seeds, output_dir=str(tmp_path / "run"))
    command.run(options)
    results = results_of(tmp_path / "run")
    for change, what in (("metrics: [f1]\n", "metrics"), ("metrics: [accuracy]\ncut: first\n", "cut")):
        path.write_text(before + change)
        with pytest.raises(InputError, match=f"--resume: task {what} is not what it was when .* began; start anew"):
            command.run(dataclasses.replace(options, resume="auto", seeds=3 if seeds > 1 else 1))
    assert results_of(tmp_path / "run") == results


def test_another_checkpoint_under_resume_is_refused_by_its_content(small, tmp_path, capsys):
    """A copy elsewhere is the same; other weights are not, under whatever name."""
    shutil.copytree(small.checkpoint, tmp_path / "copy")
    options = dataclasses.replace(small, epochs=1, output_dir=str(tmp_path / "run"))
    found = finetune(options)
    again = dataclasses.replace(options, checkpoint=str(tmp_path / "copy"), resume="auto")
    assert finetune(again)["dev"] == found["dev"]
    assert "run is finished already" in capsys.readouterr().out
    (tmp_path / "copy/README.txt").write_text("not a part of it")
    assert finetune(again)["dev"] == found["dev"]
    with pytest.raises(InputError, match="--checkpoint fresh is not what .*run began with, which was"):
        finetune(dataclasses.replace(again, checkpoint="fresh"))
    with pytest.raises(InputError, match="--checkpoint nowhere is not what .*run began with, which was"):
        finetune(dataclasses.replace(again, checkpoint="nowhere"))
    model, tokenizer, _ = load(tmp_path / "copy")
    name = next(name for name in parameters_of(model) if name.startswith("word_embed"))
    parameters_of(model)[name].set_data(parameters_of(model)[name].data() + 1)
    checkpoint_directory.save(tmp_path / "copy", model, tokenizer)
    with pytest.raises(InputError, match="copy is not what .*run began with, which was .*checkpoint; give that as it"):
        finetune(again)
    fresh = dataclasses.replace(options, checkpoint="fresh", output_dir=str(tmp_path / "fresh"))
    finetune(fresh)
    with pytest.raises(InputError, match="copy is not what .*fresh began with, which was fresh"):
        finetune(dataclasses.replace(again, output_dir=fresh.output_dir))


def test_a_run_of_an_older_version_is_resumed(small, tmp_path):
    """Its config.json lacks the options and entries that came later: they are taken to have been their defaults."""
    options = dataclasses.replace(small, output_dir=str(tmp_path / "run"))
    found = finetune(options)
    (tmp_path / "run/results.json").unlink()
    config = json.loads((tmp_path / "run/config.json").read_text())
    del config["options"]["keep_classifier"], config["options"]["clip"], config["checkpoint"]
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    assert finetune(dataclasses.replace(options, resume="auto"))["dev"] == found["dev"]
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="option clip was 1.0 in .* and is 0.5 now"):
        finetune(dataclasses.replace(options, resume="auto", clip=0.5))


@pytest.mark.parametrize("split, row, message", [
    ("train", "one\tcolumn too few", "train.tsv:98: 2 column"),
    ("dev", "a\tb\tperhaps", "dev.tsv:42: unknown label 'perhaps'")])
def test_bad_data_name_file_and_line(small, pairs, tmp_path, split, row, message):
    shutil.copytree(pairs.parent, tmp_path / "data")
    with open(tmp_path / f"data/{split}.tsv", "a") as file:
        file.write(row + "\n")
    with pytest.raises(InputError, match=message):
        finetune(dataclasses.replace(small, task=str(tmp_path / "data/own.yaml"), output_dir=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_a_target_that_is_no_number_is_named(small, regression, tmp_path):
    shutil.copytree(regression.parent, tmp_path / "data")
    with open(tmp_path / "data/train.tsv", "a") as file:
        file.write("a text\tmuch\n")
    with pytest.raises(InputError, match="train.tsv:50: target 'much' is not a number"):
        finetune(dataclasses.replace(small, task=str(tmp_path / "data/length.yaml"), output_dir=str(tmp_path / "run")))


def test_scores_that_are_not_finite_end_the_run():
    examples = Examples([Example(0, ("a",), "entailment")])
    with pytest.raises(RunError, match="not finite"):
        evaluate(get_task("demo"), examples, np.array([[np.nan, 0.0]]))


def test_the_script_exits_with_2_and_one_line(tmp_path):
    process = start("--task", "RTE", "--checkpoint", tmp_path / "absent", "--data-dir", tmp_path / "a file",
                    "--output-dir", tmp_path / "run", "--epochs", "x")
    output, error = process.communicate(timeout=120)
    assert process.returncode == 2 and "--epochs" in error and len(error.strip().splitlines()) == 1


def test_without_a_task_the_demo_is_taken(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    taken = []
    monkeypatch.setattr(command, "run", taken.append)
    command.main(["--epochs", "2"])
    assert (taken[0].task, taken[0].checkpoint, taken[0].epochs) == ("demo", "fresh", 2)
    assert "not pre-trained" in capsys.readouterr().out
    (tmp_path / "runs/demo/student-distilled/checkpoints/step-9").mkdir(parents=True)
    command.main([])
    assert taken[1].checkpoint == "runs/demo/student-distilled"
    command.main(["--checkpoint", "../x"])
    command.main(["--checkpoint=amazon/bort"])
    assert [options.output_dir for options in taken] == [f"runs/finetuning-demo/{name}" for name in (
        "fresh", "runs-demo-student-distilled", "x", "amazon-bort")]
    assert taken[2].checkpoint == "../x" and taken[3].checkpoint == "amazon/bort"


def test_figures_are_drawn_without_training_rows(tmp_path):
    plots.learning_curve([{"step": 3, "dev_loss": 1.0, "dev_f1": 0.5}], "dev_f1", "x", tmp_path / "curve.png")
    plots.confusion([0, 2], [1, 2], ["a", "b", "c"], "x", tmp_path / "confusion.png")
    assert all((tmp_path / name).read_bytes()[:4] == b"\x89PNG" for name in ("curve.png", "confusion.png"))


def test_figures_take_any_and_many_labels(tmp_path, recwarn):
    plots.confusion([0, 1], [1, 1], ["$0_$10", "猫"], "a_$b_$", tmp_path / "odd.png")
    plots.confusion([0, 299], [1, 299], [f"label {i}" for i in range(300)], "x", tmp_path / "many.png")
    plots.scatter([0.0, 1.0], [0.5, 0.5], "$_$", tmp_path / "scatter.png")
    header = (tmp_path / "many.png").read_bytes()[:24]
    assert header[:4] == b"\x89PNG" and int.from_bytes(header[16:20], "big") < 2000  # pixels of its width
    assert not recwarn.list


def test_mxnet_is_not_imported_for_help():
    code = ("import sys; from bort_mx.finetuning import main\n"
            "try: main.main(['--help'])\nexcept SystemExit: pass\nassert 'mxnet' not in sys.modules")
    assert subprocess.call([sys.executable, "-c", code], stdout=subprocess.DEVNULL, cwd=ROOT) == 0

"""The search with its real surrogates: T's states, trained error, latency; `run_search.py` from options to files."""

import dataclasses
import json
import math
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest

from bort_mx import PRESETS, Architecture
from bort_mx.checkpoints import load, save
from bort_mx.cli import run_command
from bort_mx.commands import prepare as preparation
from bort_mx.commands.search import main
from bort_mx.data import Batch, MaskedBatches, TokenShards
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.models import build_model, parameters_of
from bort_mx.options import parse_options
from bort_mx.pretraining.objective import PretrainingObjective, evaluate
from bort_mx.pretraining.student_and_teacher import resolve_architecture
from bort_mx.search import run as running
from bort_mx.search import sources
from bort_mx.search.evaluator import Evaluator
from bort_mx.search.options import Hyperparameters, SearchOptions
from bort_mx.search.space import admit
from bort_mx.search.surrogates import MeasuredLatency, TeacherObjective, TrainedError, parameters_counted
from bort_mx.search.teacher_states import NumberedBatch, SearchBatches, place_of_states, run_teacher, states_shape
from bort_mx.training import schedules
from bort_mx.training.optimizers import SGD, OptimizerSettings
from bort_mx.training.step import TrainingStep

ROOT = pathlib.Path(__file__).resolve().parents[2]
T = Architecture(2, 2, 32, 64)
CPU = mx.cpu()
SMALL = ["--batch-size", "8", "--micro-batch-size", "4", "--seq-len", "24", "--evaluation-lines", "6", "--steps", "2"]
SPACE = "num_layers: [2, 4]\nnum_heads: [2, 4]\nhidden_size: [8, 12]\nintermediate_size: [16]\n"  # 8 architectures


def write_text(path):
    sentence = "the a search space of small models is cut into parts and each part has one candidate"
    words = np.array(sentence.split())
    rng = np.random.default_rng(0)
    path.write_text("".join(" ".join(rng.choice(words, rng.integers(4, 12))) + ".\n" for _ in range(400)))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    text = write_text(folder / "text.txt")
    preparation.main(["--data", str(text), "--output-dir", str(folder / "data"), "--train-vocab", "300", "--workers",
                      "1"])
    return folder / "data"


@pytest.fixture(scope="module")
def tokenizer(data):
    return TokenShards(data, "train").tokenizer()


@pytest.fixture(scope="module")
def checkpoint(data, tokenizer):
    """A T whose distribution is far from uniform, as a trained one's is."""
    model = build_model(T, tokenizer.vocab_size, "mlm", num_positions=32, dropout=0.1, seed=5)
    weight = model.word_embed[0].weight
    weight.set_data(weight.data() * 20)
    save(data.parent / "teacher", model, tokenizer)
    return data.parent / "teacher"


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(SPACE)
    return path


def options_of(data, checkpoint, out, *more):
    return parse_options(SearchOptions, ["--data", str(data), "--teacher", str(checkpoint), "--output-dir", str(out),
                                         *SMALL, "--latency", "flops", *map(str, more)], "run_search.py", "")


def setting_of(data, checkpoint, out, *more):
    return Evaluator(options_of(data, checkpoint, out, *more), admit([Architecture(2, 2, 8, 16)]), checkpoint, data,
                   Workers(), CPU)


def states_of(setting, path=None):
    return run_teacher(setting.load_teacher(), setting.batches, path, Workers(), CPU)


# ------------------------------------------------------------------------------------------------------ T's states

@pytest.mark.parametrize("on_disk", [False, True])
def test_the_head_on_the_kept_states_gives_ts_logits(data, checkpoint, tmp_path, on_disk):
    setting = setting_of(data, checkpoint, tmp_path)
    states = states_of(setting, tmp_path / "states.npy" if on_disk else None)
    model = setting.load_teacher()
    for numbered in (setting.batches.training[1][0], setting.batches.evaluation[-1]):
        batch = numbered.batch
        direct = model(*(mx.nd.array(a) for a in (batch.input_ids, batch.valid_length, batch.masked_positions)))
        np.testing.assert_allclose(states.logits(numbered.index).asnumpy(),
                                   direct.reshape((-1, direct.shape[-1])).asnumpy(), atol=1e-5)


def test_the_states_of_a_family_with_token_types():
    model, rng = build_model(T, 50, "mlm", family="bert", num_positions=24), np.random.default_rng(1)
    batch = Batch(rng.integers(0, 50, (3, 10)), np.array([10, 7, 9]), rng.integers(0, 7, (3, 2)), np.zeros((3, 2)),
                  np.ones((3, 2)))
    states = run_teacher(model, SearchBatches([], [NumberedBatch(0, batch)], 3), None, Workers(), CPU)
    direct = model(*(mx.nd.array(a) for a in (batch.input_ids, batch.valid_length, batch.masked_positions)))
    np.testing.assert_allclose(states.logits(0).asnumpy(), direct.reshape((-1, 50)).asnumpy(), atol=1e-5)


def test_t_makes_one_pass_a_batch(data, checkpoint, tmp_path):
    setting = setting_of(data, checkpoint, tmp_path)
    assert states_of(setting).passes == len(setting.batches.all) == 2 * 2 + 2  # 6 lines are two micro-batches of 4


def test_states_go_to_disk_above_the_limit_or_with_several_workers(tmp_path):
    shape, two = (10, 4, 2, 8), Workers()
    two.size = 2
    size = 4 * 10 * 4 * 2 * 8
    assert place_of_states(shape, tmp_path, size, Workers()) is None
    assert place_of_states(shape, tmp_path, size - 1, Workers()) == tmp_path / "teacher_states.npy"
    assert place_of_states(shape, tmp_path, size, two) == tmp_path / "teacher_states.npy"
    with pytest.raises(InputError, match="MB are free; take fewer --evaluation-lines"):
        place_of_states((10 ** 9, 4, 10 ** 6, 8), tmp_path, 0, Workers())


def test_the_batches_of_a_search_are_those_of_pretraining(data, tokenizer):
    masked = [MaskedBatches(TokenShards(data, split), tokenizer, 24, 0) for split in ("train", "validation")]
    batches = SearchBatches.draw(*masked, steps=2, batch_size=8, micro=4, lines=10 ** 6)
    assert [n.index for n in batches.all] == list(range(len(batches.all)))
    whole = masked[0].at(1, 8)
    np.testing.assert_array_equal(np.concatenate([n.batch.input_ids for n in batches.training[1]]), whole.input_ids)
    assert batches.lines == len(masked[1])  # there are no more
    assert states_shape(batches, 32) == (len(batches.all), 4, masked[0].max_masked, 32)


# ---------------------------------------------------------------------------------------------------- trained error

def test_the_objective_equals_the_formula_in_value_and_gradient(data, checkpoint, tmp_path):
    setting = setting_of(data, checkpoint, tmp_path)
    states, numbered = states_of(setting), setting.batches.evaluation[-1]  # with rows beyond the last line
    model = build_model(Architecture(2, 2, 8, 16), setting.vocab_size, "mlm", num_positions=32, seed=1)
    bias = parameters_of(model)["decoder.3.bias"]
    with mx.autograd.record(train_mode=False):
        sums = TeacherObjective(model, states, CPU)(numbered)
    sums.loss.backward()
    batch = numbered.batch
    logits = model(*(mx.nd.array(a) for a in (batch.input_ids, batch.valid_length, batch.masked_positions)))
    z = logits.asnumpy().reshape(-1, setting.vocab_size).astype(np.float64)
    t = states.logits(numbered.index).asnumpy().astype(np.float64)
    weights = batch.weights.reshape(-1, 1)
    p_t, p_s = (np.exp(x - x.max(1, keepdims=True)) / np.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True)
                for x in (t, z))
    assert 0 < sums.weight == weights.sum() < weights.size
    assert sums.loss.asscalar() == pytest.approx(-(weights * p_t * np.log(p_s)).sum(), rel=1e-5)
    np.testing.assert_allclose(bias.grad().asnumpy(), (weights * (p_s - p_t)).sum(0), atol=1e-4)


def trained_error(setting, theta=(0.05, 1), states=None, **changes):
    thetas = theta if isinstance(theta, list) else [Hyperparameters(*theta)]
    return TrainedError(setting.config, setting.batches, states or states_of(setting), thetas, **changes)


def test_the_error_is_that_of_distillation_with_t_beside_the_candidate(data, checkpoint, tmp_path):
    """The same training with the step core, pre-training's own objective and T run anew each time."""
    setting = setting_of(data, checkpoint, tmp_path, "--dropout", 0, "--micro-batch-size", 8, "--steps", 3)
    a = Architecture(2, 2, 8, 16)
    model = build_model(a, setting.vocab_size, "mlm", num_positions=32, dropout=0.0, seed=0)
    objective = PretrainingObjective(model, setting.load_teacher(), kd_weight=1.0, temperature=1.0)
    core = TrainingStep(objective, SGD(parameters_of(model)), Workers(), clip=1.0)
    for step, batches in enumerate(setting.batches.training, start=1):
        core([n.batch for n in batches], 0.5 * schedules.noam(step, 1))
    expected = evaluate(objective, [n.batch for n in setting.batches.evaluation], Workers())["validation_kd_loss"]
    error = trained_error(setting, (0.5, 0.05))
    assert error(a) == pytest.approx(expected, rel=1e-5)
    assert len(error.step_seconds[a]) == 3 and min(error.step_seconds[a]) > 0


def test_training_lowers_the_error_and_a_longer_one_more(data, checkpoint, tmp_path):
    errors = []
    for steps in (1, 2, 12):
        setting = setting_of(data, checkpoint, tmp_path, "--steps", steps)
        errors.append(trained_error(setting, (1.0, 1))(Architecture(2, 2, 8, 16)))
    assert errors[0] > errors[1] > errors[2]


def test_micro_batches_add_up_to_the_batch(data, checkpoint, tmp_path):
    a, found = Architecture(2, 2, 8, 16), []
    for micro in (2, 8):
        setting = setting_of(data, checkpoint, tmp_path, "--dropout", 0, "--micro-batch-size", micro)
        found.append(trained_error(setting)(a))
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_an_error_depends_on_the_architecture_alone(data, checkpoint, tmp_path):
    setting, a, b = setting_of(data, checkpoint, tmp_path), Architecture(2, 2, 8, 16), Architecture(4, 2, 8, 16)
    error = trained_error(setting)
    first = [error(a), error(b), error(a)]
    assert first[0] == first[2] != first[1]
    assert trained_error(setting)(b) == first[1]
    assert trained_error(setting, seed=1)(b) != first[1]


def test_of_several_hyperparameters_the_least_error_counts(data, checkpoint, tmp_path):
    setting, a = setting_of(data, checkpoint, tmp_path), Architecture(2, 2, 8, 16)
    states = states_of(setting)
    thetas = SearchOptions(learning_rate=(1e-3, 0.5), warmup=(0.05, 2)).theta
    single = [trained_error(setting, [theta], states)(a) for theta in thetas]
    assert len(set(single)) == 4
    assert trained_error(setting, thetas, states)(a) == min(single)


@pytest.mark.parametrize("steps", [2, 12])
def test_a_candidate_that_diverges_has_no_error(data, checkpoint, tmp_path, steps):
    setting, a = setting_of(data, checkpoint, tmp_path, "--steps", steps), Architecture(2, 2, 8, 16)
    assert math.isnan(trained_error(setting, (1e38, 1), clip=0)(a))
    assert math.isfinite(trained_error(setting, [Hyperparameters(1e38, 1), Hyperparameters(1e-3, 1)], clip=0)(a))


def test_adamw_by_option(data, checkpoint, tmp_path):
    setting, a = setting_of(data, checkpoint, tmp_path), Architecture(2, 2, 8, 16)
    by_adamw = trained_error(setting, (1e-2, 1), optimizer=OptimizerSettings("adamw", 0.0))
    assert by_adamw(a) < trained_error(setting, (1e-2, 1))(a)


# --------------------------------------------------------------------------------------------- parameters, latency

@pytest.mark.parametrize("family", ["roberta", "bert"])
def test_counted_parameters_are_the_models(family):
    model = build_model(T, 60, "mlm", family=family, num_positions=16)
    count = parameters_counted(model.config)
    H, types = 32, model.config.token_types
    assert count(T) == sum(p.data().size for p in parameters_of(model).values())
    head = (H * H + H) + 2 * H + 60
    assert count(T) == T.encoder_parameters() + (60 + 16 + types + 2) * H + head


def test_latency_grows_with_the_model():
    config = build_model(T, 60, "mlm", num_positions=64).config
    measure = MeasuredLatency(config, batch_size=4, length=64, repeats=3)
    assert 0 < measure(Architecture(2, 2, 8, 16)) < measure(Architecture(12, 8, 128, 512))


# --------------------------------------------------------------------------------------------------------- options

def test_the_defaults_are_the_papers():
    options = SearchOptions()
    assert (options.steps, options.batch_size, options.epsilon, options.seq_len) == (3, 1024, 2, 512)
    assert (options.theta, options.clip, options.optimizer) == ([(5e-4, 0.05)], 1.0, "sgd")
    assert (options.evaluation_lines, options.latency) == (11828, "measured")


@pytest.mark.parametrize("batch, micro", [(1024, 32), (16, 16), (100, 25), (7, 7)])
def test_a_pass_takes_as_many_sequences_as_divide_the_batch(batch, micro):
    options = SearchOptions(batch_size=batch)
    assert options.micro_batch == micro == SearchOptions(batch_size=batch, micro_batch_size=micro).micro_batch
    assert options.of_an_evaluation()["micro_batch_size"] == micro


def test_theta_is_every_combination():
    assert SearchOptions(learning_rate=(1e-4, 1e-3), warmup=(1.0,)).theta == [(1e-4, 1.0), (1e-3, 1.0)]


@pytest.mark.parametrize("arguments, named", [
    (["--epsilon", "0"], "--epsilon 0: must be at least 1"),
    (["--learning-rate", "0"], "--learning-rate"),
    (["--learning-rate", "1e-3", "1e-3"], "--learning-rate 0.001 0.001: give at least one value, and each value once"),
    (["--batch-size", "100", "--micro-batch-size", "32"], "--batch-size 100: must be a multiple of --micro"),
    (["--batch-size", "37"], "--batch-size 37: has no divisor from 8 to 32"),
    (["--baselines", "best"], "--baselines best: must be one of exhaustive, random"),
    (["--latency", "guessed"], "--latency"),
    (["--representative", "last"], "--representative"),
    (["--cache-memory", "-1"], "must not be negative"),
])
def test_bad_options_are_named(arguments, named):
    with pytest.raises(InputError, match=named):
        parse_options(SearchOptions, arguments, "run_search.py", "")


# -------------------------------------------------------------------------------------------------- the whole search

FILES = ("results.json", "ranking.csv", "pareto.png", "candidates.jsonl")


def contents(directory):
    return {name: (directory / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def finished(data, checkpoint, tmp_path_factory):
    """A search with both baselines."""
    out = tmp_path_factory.mktemp("finished")
    space = out / "space.yaml"
    space.write_text(SPACE)
    options = options_of(data, checkpoint, out / "out", "--space", space, "--baselines", "exhaustive", "random",
                         "--learning-rate", 0.5)
    return running.run_search(options), options, out / "out"


def test_a_search_writes_its_report_and_hands_on_the_winner(finished):
    result, options, out = finished
    results = json.loads((out / "results.json").read_text())
    assert resolve_architecture(str(out / "results.json")) == result.best
    assert results["space"]["candidates"] == 4 and len(results["ranking"]) == 4
    assert 0 <= results["baselines"]["relative_regret"] < 1
    assert results["baselines"]["random"]["strategy"] == "random, budget 4, seed 0"
    assert results["maximum_point"]["parameters"] == T.parameters(300, 34)  # two rows more, as RoBERTa's table has
    assert results["maximum_point"]["latency"] == T.flops()
    runtime = json.loads((out / "runtime.json").read_text())
    assert runtime["teacher_passes"] == runtime["teacher_batches"] == 6
    assert {"preparation", "teacher", "candidates", "exhaustive", "random"} <= set(runtime["phases_s"])
    assert [p["devices"] for p in runtime["predictions"]] == [1, 8]
    assert not (out / "teacher_states.npy").exists()
    report = (out / "report.md").read_text()
    assert "T made 6 forward passes for 6 batches" in report and "random, budget 4, seed 0" in report
    config = json.loads((out / "config.json").read_text())
    assert config["options"]["epsilon"] == 2 and len(config["teacher_sha256"]) == 64


def test_the_same_search_gives_the_same_bytes_in_memory_or_on_disk(finished, tmp_path, capsys):
    result, options, out = finished
    running.run_search(dataclasses.replace(options, output_dir=str(tmp_path), cache_memory=0))
    assert contents(tmp_path) == contents(out)
    assert f"values: 0.0 MB in {tmp_path}" in capsys.readouterr().out


def test_an_interrupted_search_goes_on_to_the_same_bytes(finished, tmp_path, monkeypatch):
    result, options, out = finished
    again = dataclasses.replace(options, output_dir=str(tmp_path))
    evaluated, whole = [], TrainedError.__call__

    def killed(self, architecture):
        if len(evaluated) == 2:
            raise RuntimeError("killed")
        evaluated.append(architecture)
        return whole(self, architecture)

    monkeypatch.setattr(TrainedError, "__call__", killed)
    with pytest.raises(RuntimeError):
        running.run_search(again)
    monkeypatch.setattr(TrainedError, "__call__", lambda self, a: evaluated.append(a) or whole(self, a))
    running.run_search(again)
    assert len(evaluated) == len(set(evaluated)) == 8  # none twice, the baselines share what the search found
    assert contents(tmp_path) == contents(out)


def test_ctrl_c_stops_after_a_candidate_which_is_kept(data, checkpoint, space, tmp_path, monkeypatch, capsys):
    whole = TrainedError.__call__
    monkeypatch.setattr(TrainedError, "__call__", lambda self, a: os.kill(os.getpid(), signal.SIGINT) or whole(self, a))
    arguments = ["--data", str(data), "--teacher", str(checkpoint), "--output-dir", str(tmp_path / "out"), *SMALL,
                 "--space", str(space), "--latency", "flops", "--cache-memory", "0"]
    assert run_command("run_search.py", main, arguments) == 130
    assert len((tmp_path / "out" / "candidates.jsonl").read_text().splitlines()) == 2
    assert not (tmp_path / "out" / "teacher_states.npy").exists()


def test_another_epsilon_takes_what_is_in_the_log(finished, tmp_path):
    result, options, out = finished
    shutil.copytree(out, tmp_path / "out")
    again = dataclasses.replace(options, epsilon=4, baselines=[], output_dir=str(tmp_path / "out"))
    assert running.run_search(again).resumed == 2


def test_measured_latency_is_kept_in_the_log(data, checkpoint, space, tmp_path, monkeypatch):
    arguments = ("--space", space, "--latency", "measured", "--latency-repeats", 1, "--latency-batch-size", 2,
                 "--maximum-point", "8,8,64,256")
    out = tmp_path / "out"
    measured, measure = [], MeasuredLatency.__call__
    monkeypatch.setattr(MeasuredLatency, "__call__", lambda self, a: measured.append(a) or measure(self, a))
    first = running.run_search(options_of(data, checkpoint, out, *arguments))
    assert measured[0] == Architecture(8, 8, 64, 256) and len(measured) == 5
    second = running.run_search(options_of(data, checkpoint, out, *arguments))
    assert len(measured) == 5 and second.ranking == first.ranking
    assert second.maximum_point.latency == first.maximum_point.latency
    results = json.loads((out / "results.json").read_text())
    assert results["latency_unit"] == "s" and "as the teacher" in results["maximum_point"]["name"]


def test_two_workers_find_the_same(finished, tmp_path, two_workers):
    result, options, out = finished
    command = [*two_workers, sys.executable, str(ROOT / "run_search.py"),
               "--data", *options.data, "--teacher", options.teacher, "--space", options.space, *SMALL,
               "--latency", "flops", "--learning-rate", "0.5", "--baselines", "exhaustive", "random",
               "--output-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
                          timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    ours, theirs = (json.loads((directory / "results.json").read_text()) for directory in (out, tmp_path))
    assert [row["architecture"] for row in ours["ranking"]] == [row["architecture"] for row in theirs["ranking"]]
    np.testing.assert_allclose([row["error"] for row in ours["ranking"]], [row["error"] for row in theirs["ranking"]],
                               rtol=1e-5)
    assert json.loads((tmp_path / "runtime.json").read_text())["teacher_passes"] == 6
    assert not list(tmp_path.glob("candidates.rank-*"))


def test_text_is_prepared_with_the_teachers_vocabulary(data, checkpoint, space, tmp_path):
    text = write_text(tmp_path / "text.txt")
    arguments = ("--space", space, "--steps", 1, "--epsilon", 8)
    result = running.run_search(options_of(text, checkpoint, tmp_path / "out", *arguments))
    assert len(result.ranking) == 1
    with pytest.raises(InputError, match="option data was .*text.txt.* and is .*; give the old value"):
        running.run_search(options_of(data, checkpoint, tmp_path / "out", *arguments))


# ------------------------------------------------------------------------------------------------------- bad input

def test_t_below_every_candidate_is_refused_before_any_work(data, checkpoint, tmp_path):
    with pytest.raises(InputError, match="fewer than the smallest architecture of the space"):
        running.run_search(options_of(data, checkpoint, tmp_path, "--epsilon", 2))
    assert not (tmp_path / "candidates.jsonl").exists()


def test_epsilon_beyond_the_space(data, checkpoint, space, tmp_path):
    with pytest.raises(InputError, match=r"epsilon is 9; it must lie in \[1, 8\]"):
        running.run_search(options_of(data, checkpoint, tmp_path, "--space", space, "--epsilon", 9))


def test_what_is_dropped_is_told(data, checkpoint, tmp_path, capsys):
    path = tmp_path / "space.yaml"
    path.write_text("num_layers: [1, 2]\nnum_heads: [2, 3]\nhidden_size: [8]\nintermediate_size: [16]\n")
    running.run_search(options_of(data, checkpoint, tmp_path / "out", "--space", path, "--epsilon", 1, "--steps", 1))
    out = capsys.readouterr().out
    assert "1 of 4 architectures" in out and "dropped 2: hidden_size not divisible" in out
    assert "dropped 1: odd num_layers" in out


def test_another_vocabulary_is_refused(data, space, tmp_path, tokenizer):
    save(tmp_path / "other", build_model(T, tokenizer.vocab_size + 1, "mlm", num_positions=32))
    with pytest.raises(InputError, match="has a vocabulary of 301 entries, the data 300"):
        running.run_search(options_of(data, tmp_path / "other", tmp_path / "out", "--space", space))


def test_a_teacher_without_a_trained_head_is_refused(data, space, tmp_path, tokenizer, caplog):
    save(tmp_path / "other", build_model(T, tokenizer.vocab_size, "encoder", num_positions=32), tokenizer)
    with pytest.raises(InputError, match="lacks a trained MLM head"):
        running.run_search(options_of(data, tmp_path / "other", tmp_path / "out", "--space", space))


def test_sequences_longer_than_ts_positions(data, checkpoint, space, tmp_path):
    with pytest.raises(InputError, match="--seq-len 48: longer than the 32 positions"):
        running.run_search(options_of(data, checkpoint, tmp_path / "out", "--space", space, "--seq-len", 48))


def test_other_options_are_refused_in_the_same_directory(finished):
    result, options, out = finished
    with pytest.raises(InputError, match="steps: 2 there, 3 here"):
        running.run_search(dataclasses.replace(options, steps=3))


def test_the_directory_of_another_run_is_refused(data, checkpoint, space, tmp_path):
    (tmp_path / "config.json").write_text('{"options": {"max_steps": 3}}')
    with pytest.raises(InputError, match="holds a run of another program, and this is a search"):
        running.run_search(options_of(data, checkpoint, tmp_path, "--space", space))


def test_data_without_a_teacher_and_a_run_without_checkpoints(data, tmp_path, capsys):
    out = ["--output-dir", str(tmp_path / "out"), "--space", str(ROOT / "bort_mx" / "search" / "search_small.yaml")]
    assert run_command("run_search.py", main, ["--data", str(data), *out]) == 2
    assert "--teacher must be given with --data" in capsys.readouterr().err
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    assert run_command("run_search.py", main, ["--data", str(data), "--teacher", str(tmp_path / "run"), *out]) == 2
    assert "a run without an undamaged checkpoint" in capsys.readouterr().err


def test_without_data_the_search_is_small_and_takes_that_of_the_teachers_run(data, checkpoint, space, tmp_path, capsys):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "step-7").symlink_to(checkpoint)
    (run / "data").symlink_to(data)
    arguments = ["--teacher", str(run), "--output-dir", str(tmp_path / "out"), "--space", str(space), *SMALL,
                 "--latency", "flops", "--epsilon", "8", "--baselines"]
    assert run_command("run_search.py", main, [*arguments, "random"]) == 0
    assert "no --data: a small search" in capsys.readouterr().out
    assert not (tmp_path / "out" / "data").exists()


def test_presets_that_were_not_evaluated_have_no_measured_latency(finished):
    result, options, out = finished
    for kind in ("flops", "measured"):
        setting = setting_of(pathlib.Path(options.data[0]), pathlib.Path(options.teacher), out, "--latency", kind)
        known = running._presets(setting, result)
        assert set(known) == set(PRESETS) and math.isnan(known["bort"].error)
        latency = known["bort"].latency
        assert latency == PRESETS["bort"].flops() if kind == "flops" else math.isnan(latency)


def test_the_command_without_where_it_writes(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x/run_search.py", "--steps", "3", "--output-dir", "a", "--output-dir=b", "-s=1"])
    assert running._command_without("--output-dir") == "run_search.py --steps 3 -s=1"


def test_a_teacher_named_on_the_hub_prepares_text_with_its_own_vocabulary(tmp_path, monkeypatch):
    """What the Hub's cache would hold is a folder; text is prepared with the vocabulary in it."""
    asked = []
    monkeypatch.setattr(sources.hub, "fetch", lambda name, weights=True: asked.append(name) or tmp_path / "snapshot")
    prepared = []
    monkeypatch.setattr(sources, "prepared_text", lambda *arguments: prepared.append(arguments) or tmp_path / "data")
    found = sources.find_sources("owner/name", ["text.txt"], str(tmp_path / "out"), 0, None, Workers())
    assert found == (tmp_path / "snapshot", tmp_path / "data") and set(asked) == {"owner/name"}
    assert prepared[0][0] == ["text.txt"] and prepared[0][3] == str(tmp_path / "snapshot")


def test_the_folder_of_a_search_is_no_model_and_says_what_to_do(finished):
    with pytest.raises(InputError) as caught:
        load(finished[2])
    said = str(caught.value)
    assert said.startswith(f"{finished[2]}: this is a search, not a model; pre-train its winner by run_pretraining.py ")
    assert f"--architecture {finished[2]}/results.json --teacher " in said and "known are" not in said


def test_a_t_that_is_too_small_is_told_before_and_after_and_nothing_is_recommended(data, checkpoint, tmp_path, capsys,
                                                                                  monkeypatch):
    """T is the smallest of the space: its own W is 0, all others are above it. The command that is told then works."""
    monkeypatch.chdir(tmp_path)
    space = tmp_path / "space.yaml"
    space.write_text("num_layers: [2]\nnum_heads: [2]\nhidden_size: [32, 48]\nintermediate_size: [64, 96]\n")
    argv = ["--data", str(data), "--teacher", str(checkpoint), *SMALL, "--latency", "flops", "--space", str(space),
            "--epsilon", "1"]
    assert main([*argv, "--output-dir", "small"]) == 0
    said = capsys.readouterr().out
    before = ("3 of 4 architectures of the space have more parameters than the maximum point <2,2,32,64> and cannot "
              "win; take a larger --teacher, or a larger point by --maximum-point D,A,H,I\n")
    assert said.index(before) < said.index("1. <2,2,32,64>  W 0, ")
    *_, infeasible, nothing, report, wrote, following = said.splitlines()
    assert infeasible == ("infeasible: 3 of 4 candidates: 3 (parameters above T's and latency above T's); take a "
                          "larger --teacher, or a larger point by --maximum-point D,A,H,I")
    assert nothing.startswith("nothing to choose: ") and report == "report: small/report.md"
    words = shlex.split(following)
    assert words[:5] == ["next:", "python", "-m", "bort_mx", "search"]
    assert words[-4:] == ["--output-dir", "small-larger", "--maximum-point", "2,2,48,96"]
    assert main(words[5:]) == 0
    said = capsys.readouterr().out
    results = json.loads(pathlib.Path("small-larger/results.json").read_text())
    assert results["best"]["w"] > 0 and results["space"]["infeasible"] == 0
    assert "infeasible:" not in said and "cannot win" not in said and "nothing to choose" not in said
    assert said.splitlines()[-1].startswith("next: python -m bort_mx pretrain ")

"""Students that are resumed, and what of their teacher they are trained by: nothing may change in silence."""

import json
import shutil

import numpy as np
import pytest
from test_distilled_students import STUDENT, UNENDED
from test_pretraining import rows, run, same_weights, weights

from bort_mx import Architecture
from bort_mx.checkpoints import load, read, save
from bort_mx.data.shards import TokenShards
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.models import build_model
from bort_mx.pretraining import pretrain as pretraining
from bort_mx.pretraining.timetable import Timetable
from bort_mx.sentence_embedding import SentenceEmbedding
from bort_mx.training.budget import Budget


def teacher_at(path, prepared, weights_of=None, bias=0, **config):
    """An encoder with the vocabulary of the text; or one with another's weights and another configuration."""
    tokenizer = TokenShards(prepared, "train").tokenizer()
    model = build_model(config.pop("architecture", Architecture(3, 3, 24, 36)), tokenizer.vocab_size, seed=3,
                        num_positions=64, **config)
    if weights_of is not None:
        there, _, _ = load(weights_of, "encoder")
        for ours, theirs in zip(model.collect_params().values(), there.collect_params().values()):
            ours.set_data(theirs.data())
    steps = model.config.embedding.steps if model.config.embedding else ()
    if steps and steps[0][0] != "normalize":
        model.embedding_tensors = {"embedding.0.weight": np.eye(24, dtype=np.float32),
                                   "embedding.0.bias": np.full(24, bias, np.float32)}
    save(path, model, tokenizer)
    return path


@pytest.mark.parametrize("loss, changes, message", [
    ("relations", {"architecture": Architecture(3, 4, 24, 36)}, "teacher architecture is not what it was"),
    ("relations", {"activation": "relu"}, "teacher activation is not what it was"),
    ("hidden", {"layer_norm_eps": 1e-3}, "teacher layer_norm_eps is not what it was"),
    ("hidden", {"embedding": SentenceEmbedding(("max",))}, None),  # which that loss does not use
    ("embeddings", {"embedding": SentenceEmbedding(("max",))}, "teacher embedding is not what it was"),
    ("relations", {}, None)])
def test_a_teacher_that_is_another_by_its_configuration_is_refused(prepared, tmp_path, loss, changes, message):
    first = teacher_at(tmp_path / "first", prepared)
    second = teacher_at(tmp_path / "second", prepared, weights_of=first, **changes)
    options = ["--data", prepared, "--distill", loss, *STUDENT, "--schedule", "noam", "--output-dir", tmp_path / "run"]
    run(*options, "--teacher", first, "--max-steps", "4")
    again = [*options, "--teacher", second, "--max-steps", "8", "--resume", "auto"]
    if message is None:
        run(*again)
        assert rows(tmp_path / "run")[-1]["step"] == 8
        return
    with pytest.raises(InputError, match=message):
        run(*again)


def test_a_teacher_with_another_dense_layer_is_refused(prepared, tmp_path):
    first, second = (teacher_at(tmp_path / str(bias), prepared, bias=bias, embedding=SentenceEmbedding(
        steps=(("identity", 24),))) for bias in (0, 1))
    options = ["--data", prepared, "--distill", "embeddings", *STUDENT, "--output-dir", tmp_path / "run"]
    run(*options, "--teacher", first)
    with pytest.raises(InputError, match="teacher embedding_sha256 is not what it was"):
        run(*options, "--teacher", second, "--resume", "auto")


def test_the_micro_batch_stays_when_free_memory_does_not(prepared, tmp_path, monkeypatch):
    teacher = teacher_at(tmp_path / "teacher", prepared)
    options = ["--data", prepared, "--teacher", teacher, "--losses", "hidden", *STUDENT, "--dropout", "0.1"]
    fitting = pretraining.fitting_micro_batch
    monkeypatch.setattr(pretraining, "fitting_micro_batch", lambda share, *rest: min(share, 8))
    run(*options, "--output-dir", tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    for step in (8, 12):
        shutil.rmtree(tmp_path / f"killed/checkpoints/step-{step}")
    shutil.copytree(tmp_path / "killed", tmp_path / "as-asked")
    monkeypatch.setattr(pretraining, "fitting_micro_batch", lambda share, *rest: 2)
    run(*options, "--output-dir", tmp_path / "killed", "--resume", "auto")
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    assert same_weights(weights(tmp_path / "killed"), weights(tmp_path / "whole"))
    assert json.loads((tmp_path / "killed/config.json").read_text())["micro_batch"] == 8
    monkeypatch.setattr(pretraining, "fitting_micro_batch", fitting)
    run(*options, "--output-dir", tmp_path / "as-asked", "--resume", "auto", "--micro-batch-size", "2")
    assert rows(tmp_path / "as-asked")[:4] == rows(tmp_path / "whole")[:4]
    assert not same_weights(weights(tmp_path / "as-asked"), weights(tmp_path / "whole"))  # other masks of dropout


@pytest.mark.parametrize("more", [[], ["--length-warmup", "0.5"]])
def test_a_budget_of_sequences_of_single_lines(prepared, tmp_path, capsys, more):
    """The forecast looks at the batches of steps to come, of which no time is known."""
    teacher = teacher_at(tmp_path / "teacher", prepared)
    run("--data", prepared, "--teacher", teacher, "--distill", "embeddings", *UNENDED, *more, "--budget", "2s",
        "--output-dir", tmp_path / "run")
    assert "a step: some" in capsys.readouterr().out
    results = json.loads((tmp_path / "run/results.json").read_text())
    cost = json.loads((tmp_path / "run/cost.json").read_text())
    assert results["steps"] > 4 and cost["forecast"]["steps"] > 4


def test_steps_whose_time_is_not_known_are_as_now(tmp_path):
    class Kept:
        def keep(self, name, value):
            return value

    clock = iter(range(0, 1000, 10))
    budget = Budget(100, None, 0, Workers(), lambda: next(clock))
    timetable = Timetable(Kept(), 1.0, "linear", 0.1, 2 ** 31, 0.5, budget)
    budget.start()
    assert timetable.is_short(20)
    assert not any(budget.finish(step) for step in range(1, 7))
    assert timetable.is_short(5) and not timetable.is_short(7) and not timetable.is_short(20)


def test_damaged_times_are_passed_over_and_said(tmp_path, caplog):
    path = tmp_path / "clock.jsonl"
    path.write_text('{"step": 1, "elapsed": 2.5}\n{"step": 2}\nno JSON\n7\n{"step": 3, "elapsed": 9}\n')
    assert Budget(100, path, 3, Workers()).progress(4) == 0.09
    assert [f"line {number} is damaged" in caplog.text for number in range(1, 6)] == [False, True, True, True, False]
    with pytest.raises(InputError, match="lacks the time of step 2"):
        Budget(100, path, 2, Workers())


def test_what_the_teacher_does_to_texts_and_the_training_does_not_is_said(prepared, tmp_path, capsys):
    teacher = teacher_at(tmp_path / "teacher", prepared, embedding=SentenceEmbedding(
        steps=(("normalize", 0),), max_tokens=16, lower_case=True, prompt="query: "))
    options = ["--data", prepared, "--teacher", teacher, *STUDENT]
    run(*options, "--distill", "embeddings", "--output-dir", tmp_path / "run")
    assert ("without what the teacher's files say: prompt 'query: ', lower-casing, at most 16 tokens; so the student"
            in capsys.readouterr().out)
    found = read(tmp_path / "run").config.embedding
    assert (found.prompt, found.lower_case, found.max_tokens) == ("", False, 32)


@pytest.mark.parametrize("config", [{"layer_norm_eps": 1e-2}, {"activation": "relu"}, {"activation": "gelu_tanh"}])
def test_a_student_that_starts_from_its_teacher_is_of_its_kind(prepared, tmp_path, config):
    kind = "bert" if TokenShards(prepared, "train").tokenizer().kind == "wordpiece" else "roberta"
    teacher = teacher_at(tmp_path / "teacher", prepared, family=kind, dropout=0.0, **config)
    run("--data", prepared, "--teacher", teacher, "--losses", "hidden=1", "relations=1", *STUDENT, "--architecture",
        "3,3,24,36", "--init-from-teacher", "lower", "--learning-rate", "1e-12", "--max-steps", "1", "--output-dir",
        tmp_path / "run")
    last = rows(tmp_path / "run")[-1]
    assert last["validation_hidden_loss"] < 1e-10 and last["validation_relations_loss"] < 1e-6
    for name, value in config.items():
        assert getattr(read(tmp_path / "run").config, name) == value
    run("--data", prepared, "--teacher", teacher, "--distill", "hidden", *STUDENT, "--output-dir", tmp_path / "fresh")
    assert read(tmp_path / "fresh").config.activation == "gelu"

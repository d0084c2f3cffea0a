"""Batches of examples, the objective and scores."""

import dataclasses
import json
import os
import signal

import numpy as np
import pytest
from finetuning_runs import classifier, rows, training

from bort_mx.data.batches import NOBODY
from bort_mx.distributed import Workers
from bort_mx.finetuning.evaluation import BestEpoch, compute_scores, probabilities
from bort_mx.finetuning.finetune import finetune
from bort_mx.finetuning.objective import FineTuningObjective
from bort_mx.finetuning.trainer import Session
from bort_mx.models import parameters_of
from bort_mx.training.optimizers import AdamW
from bort_mx.training.signals import StopSignals
from bort_mx.training.step import TrainingStep


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


def test_early_stopping_ends_the_run_and_stays_ended(small, tmp_path, capsys):
    """A learning rate that changes nothing: the second evaluation is no better than the first."""
    options = dataclasses.replace(small, epochs=5, learning_rate=1e-12, early_stopping=True, patience=1,
                                  output_dir=str(tmp_path))
    found = finetune(dataclasses.replace(options, output_dir=str(tmp_path / "run")))
    assert found["stopped_early"] and found["best_step"] == 12 and found["planned_steps"] == 60
    assert rows(tmp_path / "run")[-1]["step"] == 24
    best = found["best_value"]
    reason = f"dev accuracy was no better in the last evaluation; the best was {best:.4f} at step 12"
    assert best == found["dev"]["accuracy"] and found["last_step"] == 24 and found["stop_reason"] == reason
    assert f"\nstopped early at step 24 of 60: {reason}\n" in capsys.readouterr().out
    (tmp_path / "run/results.json").unlink()
    again = finetune(dataclasses.replace(options, output_dir=str(tmp_path / "run"), resume="auto"))
    assert again["dev"] == found["dev"] and rows(tmp_path / "run")[-1]["step"] == 24


def test_a_stop_in_the_last_evaluation_is_answered(small, tmp_path, capsys, monkeypatch):
    genuine = Session.dev_values
    monkeypatch.setattr(Session, "dev_values", lambda session: (os.kill(os.getpid(), signal.SIGTERM),
                                                                genuine(session))[1])
    found = finetune(dataclasses.replace(small, epochs=1, output_dir=str(tmp_path / "run")))
    StopSignals.forget()
    assert "the stop came in the last step: this training ends as finished\n" in capsys.readouterr().out
    assert found["last_step"] == found["planned_steps"] and (tmp_path / "run/results.json").is_file()

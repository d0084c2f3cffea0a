"""One worker and two."""

import dataclasses

import numpy as np
import pytest
from finetuning_runs import arguments, classifier, rows, start, training

from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.commands import finetune as command
from bort_mx.distributed import Workers
from bort_mx.finetuning.objective import FineTuningObjective
from bort_mx.models import parameters_of
from bort_mx.training.optimizers import SGD
from bort_mx.training.step import TrainingStep


def predicted(directory):
    lines = [line.split("\t") for line in (directory / "predictions.tsv").read_text().splitlines()[1:]]
    return np.array([[float(share) for share in line[-2:]] for line in lines])


def same_on_two(options, launcher, tmp_path, count, folders=(".",)):
    """Run on one worker and on two; losses, norms and dev probabilities agree in all rows. Returns what two said."""
    command.run(dataclasses.replace(options, output_dir=str(tmp_path / "one")))
    process = start(*arguments(options, output_dir=str(tmp_path / "two")), launcher=launcher)
    output, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    for folder in folders:
        one, two = rows(tmp_path / "one" / folder), rows(tmp_path / "two" / folder)
        assert len(one) == len(two) == count
        for mine, theirs in zip(one, two):
            for name in mine:
                assert theirs[name] == pytest.approx(mine[name], abs=1e-4), (name, mine["step"])
        np.testing.assert_allclose(*(predicted(tmp_path / name / folder) for name in ("two", "one")), atol=1e-4)
    return output


def test_two_workers_equal_one(small, tmp_path, two_workers):
    """Same global batch, clipping active."""
    options = dataclasses.replace(small, dropout=0.0, clip=0.5, batch_size=10, seeds=2, checkpoint_interval=0)
    # 2 epochs of 10 steps, the last batch with 6 of 10 examples, and 2 evaluations
    output = same_on_two(options, two_workers, tmp_path, 22, ("seed-0", "seed-1"))
    assert output.count(": dev accuracy") == 2  # rank 0 alone speaks


def test_two_workers_learn_a_teachers_answers_as_one(small, finished, tmp_path, two_workers):
    """Of the task's 96 examples and of 13 texts without labels."""
    texts = tmp_path / "texts.tsv"
    texts.write_text("first\tsecond\n" + "".join(f"the {i} dogs run\tdogs run {i}\n" for i in range(13)))
    options = dataclasses.replace(small, dropout=0.0, batch_size=10, epochs=1, checkpoint_interval=0,
                                  teacher=str(finished), unlabelled=str(texts))
    same_on_two(options, two_workers, tmp_path, 12)  # 11 steps of 10 of both kinds, an evaluation
    steps = [row for row in rows(tmp_path / "two") if "grad_norm" in row]
    assert len(steps) == 11 and all("kd_loss" in row for row in steps)


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

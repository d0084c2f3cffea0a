"""What training runs against the float64 formula: objective, micro-batches, step core and update together."""

import dataclasses

import mxnet as mx
import numpy as np
import pytest
from test_losses import numpy_distillation, numpy_masked_lm

from bort_mx.distributed import Workers
from bort_mx.pretraining.losses import masked_lm_loss
from bort_mx.pretraining.objective import PretrainingObjective
from bort_mx.training.optimizers import OptimizerSettings, build_optimizer
from bort_mx.training.step import TrainingStep

B, M, V = 4, 3, 40


@dataclasses.dataclass
class Batch:
    """The fields of `bort_mx.data.masking.Batch` that the objective reads."""

    input_ids: np.ndarray
    valid_length: np.ndarray
    masked_positions: np.ndarray
    labels: np.ndarray
    weights: np.ndarray


class Table(mx.gluon.Block):
    """Logits as parameters: row b of the table is what the model says of sequence b."""

    def __init__(self, logits, **kwargs):
        super().__init__(**kwargs)
        self.table = self.params.get("table", shape=(B, M * V))
        self.table.initialize(mx.init.Zero())
        self.table.set_data(mx.nd.array(logits.reshape(B, M * V)))

    def forward(self, input_ids, valid_length, masked_positions):
        """(B', M, V), of the sequences whose number is their first token."""
        return mx.nd.take(self.table.data(), input_ids[:, 0]).reshape((-1, M, V))


@pytest.mark.parametrize("micro", [4, 2, 1])
@pytest.mark.parametrize("with_teacher", [True, False])
def test_the_trained_gradient_is_the_formulas(with_teacher, micro):
    """loss = w·KD + (1−w)·MLM over the whole batch, whatever its micro-batches; then a clipped step of SGD with decay.
    """
    rng, share, tau, decay, rate = np.random.default_rng(micro), 0.3, 2.0, 0.1, 0.5
    student, teacher = rng.normal(0, 2, (2, B, M, V)).astype(np.float32).astype(np.float64)
    labels, weights = rng.integers(0, V, (B, M)), np.ones((B, M))
    weights[1, 2] = weights[3, 1:] = 0  # padding
    value, gradient = numpy_masked_lm(student.reshape(-1, V), labels.reshape(-1), weights.reshape(-1))
    if with_teacher:
        kd, kd_gradient = numpy_distillation(student.reshape(-1, V), teacher.reshape(-1, V), weights.reshape(-1), tau)
        value, gradient = share * kd + (1 - share) * value, share * kd_gradient + (1 - share) * gradient
    norm = np.sqrt((gradient ** 2).sum())
    clip = norm / 2
    model = Table(student)
    objective = PretrainingObjective(model, Table(teacher) if with_teacher else None, share, tau)
    optimizer = build_optimizer({"table": model.table}, OptimizerSettings("sgd", decay))
    parts = [Batch(np.arange(i, i + micro)[:, None].astype(float), np.ones(micro), np.zeros((micro, M)),
                   labels[i:i + micro], weights[i:i + micro]) for i in range(0, B, micro)]
    result = TrainingStep(objective, optimizer, Workers(), clip)(parts, rate, detailed=True)
    assert result.loss == pytest.approx(value, rel=1e-5) and result.grad_norm == pytest.approx(norm, rel=1e-5)
    expected = student.reshape(B, -1) * (1 - rate * decay) - rate * gradient.reshape(B, -1) / 2
    np.testing.assert_allclose(model.table.data().asnumpy(), expected, atol=1e-6)
    right = (student.argmax(-1) == labels) * weights
    assert result.metrics["mlm_accuracy"] == pytest.approx(right.sum() / weights.sum())


def test_a_reduction_of_no_such_name_is_an_error():

    with pytest.raises(ValueError, match="reduction 'average': expected 'mean' or 'sum'"):
        masked_lm_loss(mx.nd.zeros((2, 3)), mx.nd.zeros(2), mx.nd.ones(2), reduction="average")

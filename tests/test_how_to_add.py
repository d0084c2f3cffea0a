"""docs/architecture.md's "How to add", by adding: an optimizer and an architecture; the document names the other tests.
"""

import pathlib
import re
import typing

import mxnet as mx
import numpy as np
import pytest

from bort_mx import PRESETS, Architecture
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.models import build_model
from bort_mx.pretraining.options import PretrainingOptions
from bort_mx.training import options as training_options
from bort_mx.training.optimizers import OPTIMIZERS, Optimizer, OptimizerSettings, build_optimizer
from bort_mx.training.step import Sums, TrainingStep

ROOT = pathlib.Path(__file__).resolve().parents[1]


class SignSGD(Optimizer):
    """Bernstein et al. (2018): a step of fixed size against the gradient's sign."""

    def _update(self, weight, gradient, state, learning_rate, scale, decay):
        weight[:] = weight * (1 - learning_rate * decay) - learning_rate * mx.nd.sign(gradient)


def test_an_optimizer_is_a_class_a_row_and_a_name(monkeypatch):
    monkeypatch.setitem(OPTIMIZERS, "signsgd", lambda parameters, of: SignSGD(parameters, of.weight_decay))
    monkeypatch.setattr(training_options, "OptimizerName", typing.Literal["adamw", "sgd", "signsgd"])
    options = PretrainingOptions(optimizer="signsgd", weight_decay=0.1)
    weight = mx.gluon.Parameter("weight", shape=(3,))
    weight.initialize(mx.init.One())
    optimizer = build_optimizer({"weight": weight}, OptimizerSettings(options.optimizer, options.weight_decay))
    step = TrainingStep(lambda batch, detailed: Sums((weight.data() * mx.nd.array(batch)).sum(), 1.0), optimizer,
                        Workers())
    step([np.array([2.0, -3.0, 0.0])], 0.25)
    np.testing.assert_allclose(weight.data().asnumpy(), np.array([-0.25, 0.25, 0]) + 1 - 0.025, atol=1e-6)


def test_every_optimizer_can_be_asked_for_and_no_other():
    assert set(typing.get_args(training_options.OptimizerName)) == set(OPTIMIZERS)
    with pytest.raises(InputError, match="--optimizer adagrad: must be one of adamw, sgd"):
        PretrainingOptions(optimizer="adagrad")


def test_an_architecture_needs_no_line_and_a_preset_one(monkeypatch):
    assert build_model(Architecture.parse("1,2,16,24"), 50)(mx.nd.ones((1, 3)), mx.nd.array([3])).shape == (1, 3, 16)
    monkeypatch.setitem(PRESETS, "tiny", Architecture(1, 2, 16, 24))
    assert Architecture.parse("tiny").as_tuple() == (1, 2, 16, 24)


def test_the_tests_that_the_document_names_add_a_member():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("## How to add")[1]
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", text))
    assert len(named) >= 6
    for path in named:
        assert re.search(r"\b(register|setitem|FORMATS|ENGINES|COMMANDS|TAUS|EDITS)\b",
                         (ROOT / path).read_text(encoding="utf-8")), path

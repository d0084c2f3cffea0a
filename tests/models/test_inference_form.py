"""The form for inference computes the same to the bit, and is saved as the model that it was."""

import mxnet as mx
import numpy as np
import pytest

from bort_mx import Architecture
from bort_mx.checkpoints.directory import tensors_of
from bort_mx.models import build_model
from bort_mx.models.inference_form import set_for_inference


@pytest.mark.parametrize("head", ["encoder", "classifier", "mlm"])
def test_outputs_and_saved_weights_are_the_same(head):
    model = build_model(Architecture(2, 4, 16, 24), 40, head, num_positions=12)
    for parameter in model.collect_params().values():  # biases too, which begin as zeros
        parameter.set_data(mx.nd.random.normal(scale=0.3, shape=parameter.shape))
    ids = mx.nd.array(np.random.default_rng(0).integers(0, 40, (3, 9)), dtype="int32")
    given = [ids, mx.nd.array([9, 4, 1])] + ([mx.nd.array([[0, 3], [2, 0], [0, 0]])] if head == "mlm" else [])
    outputs, tensors, names = model(*given).asnumpy(), tensors_of(model), set(model.collect_params())
    set_for_inference(model)
    assert (model(*given).asnumpy() == outputs).all() and np.abs(outputs).max() > 0.1
    assert set(model.collect_params()) != names  # the parts are gone, so memory does not grow
    saved = tensors_of(model)
    assert set(saved) == set(tensors) and all((saved[name] == tensors[name]).all() for name in tensors)

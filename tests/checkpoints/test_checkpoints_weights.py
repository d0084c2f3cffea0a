"""The digest of tensors, and the check whether tensors fit a model."""

import hashlib

import mxnet as mx
import numpy as np
import pytest
import safetensors.numpy

from bort_mx.architecture import Architecture
from bort_mx.checkpoints import assemble, lazy_tensor
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints.weights import Weights, check_fit, tensors_digest
from bort_mx.errors import InputError
from bort_mx.models import build_model, parameters_of


@pytest.fixture
def model():
    return build_model(Architecture(2, 2, 8, 12), 19, "mlm", num_positions=7, seed=3)


@pytest.fixture
def weights(model):
    return Weights(model.config, checkpoint_directory.tensors_of(model), None, "test")


def test_the_digest_of_a_model_is_typed(model):
    """SHA-256 over name, type and bytes, by name: of pre-training's teacher."""
    model.cast("float16")
    want = hashlib.sha256()
    for name, parameter in sorted(parameters_of(model).items()):
        tensor = parameter.list_data()[0].asnumpy()
        want.update(name.encode() + str(tensor.dtype).encode() + tensor.tobytes())
    arrays = {name: parameter.list_data()[0] for name, parameter in parameters_of(model).items()}
    assert tensors_digest(arrays, typed=True) == want.hexdigest()
    assert tensors_digest(checkpoint_directory.tensors_of(model), typed=True) == want.hexdigest()
    assert tensors_digest(arrays) != want.hexdigest()


def test_the_digest_of_a_checkpoint_begins_with_its_configuration(weights):
    """As search's candidates are told apart, whatever format the teacher is in."""
    weights.tensors["word_embed.0.weight"] = weights.tensors["word_embed.0.weight"].astype(np.float16)
    weights.tensors["encoder.position_weight"] = np.asfortranarray(weights.tensors["encoder.position_weight"])
    before = repr(sorted(weights.config.to_dict().items()))
    want = hashlib.sha256(before.encode())
    for name in sorted(weights.tensors):
        want.update(name.encode())
        want.update(np.ascontiguousarray(weights.tensors[name].astype(np.float32)).data)
    assert tensors_digest(weights.tensors, before) == want.hexdigest()


def test_the_digest_may_end_with_the_vocabularys(weights):
    """As Agora's runs are told apart."""
    before, after = repr(weights.config) + repr(weights.config.labels or ""), "digest of the vocabulary, ü"
    want = hashlib.sha256(repr(weights.config).encode() + repr(weights.config.labels or "").encode())
    for name in sorted(weights.tensors):
        want.update(name.encode() + weights.float32(name).tobytes())
    want.update(after.encode())
    assert tensors_digest(weights.tensors, before, after) == want.hexdigest()


def test_the_digest_is_the_same_in_the_file_and_of_any_shape(tmp_path):
    tensors = {"b": np.arange(6, dtype=np.float32).reshape(2, 3).T, "a": np.array(2.5, np.float32),
               "empty": np.zeros((0, 3), np.float32)}
    want = hashlib.sha256(b"a" + tensors["a"].tobytes() + b"b" + tensors["b"].tobytes() + b"empty").hexdigest()
    safetensors.numpy.save_file({name: np.ascontiguousarray(tensor).reshape(tensor.shape)
                                 for name, tensor in tensors.items()}, tmp_path / "x.safetensors")
    stored = lazy_tensor.read_safetensors(tmp_path / "x.safetensors")
    assert tensors_digest(tensors) == tensors_digest(stored) == want
    assert tensors_digest(stored, typed=True) == tensors_digest(tensors, typed=True) != want
    assert tensors_digest({name: mx.nd.array(tensors[name]) for name in "ab"}) == tensors_digest(
        {name: tensors[name] for name in "ab"})


def test_tensors_that_do_not_fit_are_listed_by_kind(weights):
    tensors = {**weights.tensors, "more": np.zeros(1), "encoder.layer_norm.beta": np.zeros(8, np.int64),
               "encoder.layer_norm.gamma": np.zeros(9)}
    del tensors["decoder.2.beta"]
    with pytest.raises(InputError) as caught:
        check_fit(tensors, weights.config, "a file")
    assert str(caught.value) == (
        "a file: the tensors do not fit the model that its configuration describes (<D,A,H,I> 2,2,8,12, 19 tokens, 7 "
        "positions): missing: decoder.2.beta; unknown: more; ill-shaped: encoder.layer_norm.gamma is (9,), not (8,); "
        "no fractions: encoder.layer_norm.beta is int64")
    check_fit({name: tensor for name, tensor in weights.tensors.items() if not name.startswith("decoder.")},
              weights.config, "without a head")


def test_a_model_takes_the_tensors_that_it_needs(weights, caplog):
    """A head that it lacks is left out, a head of another size initialised; the encoder must be whole."""
    classifier = assemble(weights, "classifier", num_labels=3)
    assert classifier.initialized == ["classifier.1.bias", "classifier.1.weight"]
    weights.tensors.update(checkpoint_directory.tensors_of(classifier))
    assert assemble(weights, "classifier", num_labels=3).initialized == []
    assert assemble(weights, "classifier", num_labels=4).initialized == classifier.initialized
    assert assemble(weights, "encoder").initialized == []
    assert [record.getMessage() for record in caplog.records] == [
        f"test: a new classifier for {labels} labels, not trained yet" for labels in (3, 4)]
    caplog.clear()
    assemble(weights, "classifier", num_labels=1, pooler=True)
    assert caplog.records[0].getMessage() == "test: a new pooler and classifier for a number, not trained yet"
    del weights.tensors["classifier.1.bias"]
    assemble(weights, "classifier", num_labels=3)
    assert caplog.records[1].getMessage() == "test: initialised, as the checkpoint lacks them: classifier.1.bias"
    with pytest.raises(InputError, match=r"test: the tensors do not fit the model 2,2,8,12: "
                                         r"ill-shaped: encoder.position_weight is \(7, 8\), not \(9, 8\)$"):
        assemble(weights, num_positions=9)
    del weights.tensors["encoder.layer_norm.beta"]
    weights.tensors["other"] = np.zeros(2)
    with pytest.raises(InputError, match="missing: encoder.layer_norm.beta; unknown: other$"):
        assemble(weights)

"""Classifiers that read means of hidden states (--pooling)."""

import mxnet as mx
import numpy as np
import pytest

from bort_mx import Architecture
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints import gluonnlp, huggingface, loading
from bort_mx.checkpoints.weights import Weights
from bort_mx.data.tasks import get_task
from bort_mx.errors import InputError
from bort_mx.finetuning import recipe
from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.finetuning.trainer import build_classifier
from bort_mx.models import build_model
from bort_mx.models.bert import parameters_of
from bort_mx.models.config import ModelConfig

ARCHITECTURE = Architecture(2, 2, 24, 32)
LENGTHS = [9, 6, 5]
TYPES = [[0] * 4 + [1] * 5, [0] * 3 + [1] * 3 + [0] * 3, [0] * 9]  # the last one's second text was cut off whole


def encoder():
    return build_model(ARCHITECTURE, 60, seed=1, num_positions=16, family="bert", dropout=0.0)


def inputs():
    ids = np.random.default_rng(0).integers(5, 60, (3, 9))
    return [mx.nd.array(ids), mx.nd.array(LENGTHS), None, mx.nd.array(TYPES)]


def unit(x):
    return x / np.sqrt((x ** 2).mean()) if x.any() else x


def features(states, pooling):
    """By the definition, text by text in float64."""
    rows = []
    for state, length, types in zip(states.astype(np.float64), LENGTHS, np.array(TYPES)):
        state, types = state[:length], types[:length]
        if pooling == "mean":
            rows.append(unit(state.mean(axis=0)))
            continue
        u, v = (unit(state[types == i].mean(axis=0) if (types == i).any() else np.zeros(state.shape[1]))
                for i in (0, 1))
        rows.append(np.concatenate([u, v, np.abs(u - v), u * v]))
    return np.array(rows)


@pytest.mark.parametrize("pooling, task", [("mean", "RTE"), ("segments", "RTE"), ("segments", "CoLA")])
@pytest.mark.parametrize("extra_layer", [False, True])
def test_logits_by_the_definition(pooling, task, extra_layer):
    body = encoder()
    given = Weights(body.config, checkpoint_directory.tensors_of(body), None, "x")
    options = FineTuningOptions(task=task, pooling=pooling, seed=3, dropout=0.0, extra_layer=extra_layer,
                                classifier_init="uniform", pooler=False)
    model = build_classifier(given, options, get_task(task), mx.cpu())
    used = "mean" if task == "CoLA" else pooling  # one text has no second mean
    assert model.config.pooling == used
    expected = features(body(*inputs()).asnumpy(), used)
    tensors = {name: parameter.data().asnumpy() for name, parameter in parameters_of(model).items()}
    for place in ("1", "3") if extra_layer else ("1",):
        expected = expected @ tensors[f"classifier.{place}.weight"].T + tensors[f"classifier.{place}.bias"]
    np.testing.assert_allclose(model(*inputs()).asnumpy(), expected, rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing():
    model = build_model(ARCHITECTURE, 60, "classifier", seed=1, num_positions=16, family="bert", pooling="segments")
    ids, lengths, _, types = inputs()
    whole = model(ids, lengths, None, types).asnumpy()
    alone = model(ids[1:2, :6], lengths[1:2], None, types[1:2, :6]).asnumpy()
    np.testing.assert_allclose(whole[1:2], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "segments"])
def test_gradient_is_the_slope(pooling):
    """Of the word embedding, by central differences."""
    model = build_model(ARCHITECTURE, 60, "classifier", seed=1, num_positions=16, family="bert", dropout=0.0,
                        pooling=pooling)
    weight = model.word_embed[0].weight
    direction = mx.nd.array(np.random.default_rng(1).standard_normal(weight.shape))

    def total():
        return (model(*inputs()) * mx.nd.array([[1, -2]])).sum()

    with mx.autograd.record():
        loss = total()
    loss.backward()
    slope, start, step = (weight.grad() * direction).sum().asscalar(), weight.data().copy(), 1e-4
    values = []
    for sign in (1, -1):
        weight.set_data(start + sign * step * direction)
        values.append(total().asscalar())
    assert abs(slope) > 0.1
    assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=0.02)


def test_a_checkpoint_keeps_it_and_older_ones_have_none(tmp_path):
    model = build_model(ARCHITECTURE, 60, "classifier", seed=1, num_positions=16, family="bert", pooling="segments")
    tensors = checkpoint_directory.tensors_of(model)
    checkpoint_directory.write(tmp_path / "x", tensors, None, model.config)
    again = loading.assemble(loading.read(tmp_path / "x"), "classifier")
    assert again.config.pooling == "segments"
    np.testing.assert_array_equal(again(*inputs()).asnumpy(), model(*inputs()).asnumpy())
    first = ModelConfig(ARCHITECTURE, 60, "classifier", family="bert")
    assert "pooling" not in first.to_dict() and ModelConfig.from_dict(first.to_dict()).pooling == "first"
    assert model.config.replace(head="encoder").pooling == "first"


@pytest.mark.parametrize("write", [huggingface.write, gluonnlp.write])
def test_programs_that_read_the_first_token_get_no_such_file(write, tmp_path):
    model = build_model(ARCHITECTURE, 60, "classifier", seed=1, num_positions=16, family="bert", pooling="mean")
    weights = Weights(model.config, checkpoint_directory.tensors_of(model), None, "mine")
    with pytest.raises(InputError, match="mine: its classifier reads means .*export it to ONNX"):
        write(tmp_path, weights)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options, message", [
    ({"keep_classifier": True}, "--keep-classifier uses the classifier as it was trained; leave out --pooling mean"),
    ({"predict_only": True}, "--predict-only uses the classifier as it was trained; leave out --pooling mean"),
    ({"pooler": True}, "--pooler puts a pooler on the first token"),
    ({"head": "paper"}, "--head paper puts a pooler on the first token"),
])
def test_options_that_exclude_it(options, message):
    with pytest.raises(InputError, match=message):
        FineTuningOptions(task="RTE", pooling="mean", **options)


@pytest.mark.parametrize("changes, message", [
    ({"pooling": "max"}, "pooling is 'max'; it must be one of first, mean, segments"),
    ({"pooling": ["mean"]}, "pooling is \\['mean'\\]"),
    ({"pooling": "mean", "pooler": True}, "a pooler reads the first token only"),
    ({"pooling": "segments", "family": "roberta"}, "token_types is 0; it must be 2"),
])
def test_configurations_that_no_model_has(changes, message):
    with pytest.raises(InputError, match=message):
        ModelConfig(ARCHITECTURE, 60, "classifier", **{"family": "bert", **changes})


def test_a_recipe_with_a_pooler_leaves_it_out_and_says_what_is_read():
    task = get_task("RTE")
    start = recipe.Start(ARCHITECTURE, True)
    found = recipe.choose(None, False, task, start, 100)
    settled = FineTuningOptions(task="RTE", pooling="segments").resolved(task, task, found.values)
    assert found.values["pooler"] is True and settled.pooler is False
    used = {name: getattr(settled, name) for name in found.values}
    assert recipe.describe(found, used, [], False, "segments").endswith("on the two texts' means")

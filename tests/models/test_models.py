"""The models: shapes of every head, padding, masked positions, hybridization, initial weights."""

import mxnet as mx
import numpy as np
import pytest
from gluonnlp.model import BERTEncoder

from bort_mx import Architecture
from bort_mx.errors import InputError
from bort_mx.models import build_model, initialize, parameters_of
from bort_mx.models.initialization import standard_deviation

SMALL = Architecture(2, 4, 32, 48)
VOCABULARY = 101


def inputs(batch=3, length=11, dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    ids = mx.nd.array(rng.integers(0, VOCABULARY, (batch, length)), dtype=dtype)
    return ids, mx.nd.array([length, 5, 8][:batch], dtype=dtype)


@pytest.mark.parametrize("family", ["roberta", "bert"])
@pytest.mark.parametrize("head, shape", [("encoder", (3, 11, 32)), ("mlm", (3, 2, VOCABULARY)), ("classifier", (3, 5))])
@pytest.mark.parametrize("dtype", ["float32", "int32", "int64", "uint8"])
def test_heads_shapes_and_dtypes(family, head, shape, dtype):
    model = build_model(SMALL, VOCABULARY, head, num_labels=5, family=family)
    ids, lengths = inputs(dtype=dtype)
    positions = [mx.nd.array([[0, 10], [1, 4], [7, 2]], dtype=dtype)] if head == "mlm" else []
    outputs = model(ids, lengths, *positions)
    assert outputs.shape == shape and np.isfinite(outputs.asnumpy()).all()


def test_padding_changes_nothing_and_is_zero_in_the_output():
    model = build_model(SMALL, VOCABULARY)
    ids, lengths = inputs()
    states = model(ids, lengths).asnumpy()
    for row, length in enumerate(lengths.astype(int).asnumpy()):
        alone = model(ids[row:row + 1, :int(length)], mx.nd.array([length])).asnumpy()
        np.testing.assert_allclose(states[row, :length], alone[0], atol=2e-6)
        assert (states[row, length:] == 0).all()


def test_without_lengths_nothing_is_padding():
    model = build_model(SMALL, VOCABULARY)
    ids, _ = inputs()
    assert (model(ids).asnumpy() == model(ids, mx.nd.array([11, 11, 11])).asnumpy()).all()


def test_masked_positions_select_from_all_logits():
    model = build_model(SMALL, VOCABULARY, "mlm")
    ids, lengths = inputs()
    every = model(ids, lengths).asnumpy()
    assert every.shape == (3, 11, VOCABULARY)
    positions = np.array([[0, 10, 3], [4, 4, 0], [7, 1, 2]])
    some = model(ids, lengths, mx.nd.array(positions)).asnumpy()
    np.testing.assert_allclose(some, np.take_along_axis(every, positions[:, :, None], axis=1), atol=1e-6)


def test_the_decoder_is_tied_to_the_word_embedding():
    model = build_model(SMALL, VOCABULARY, "mlm")
    assert model.decoder[3].weight is model.word_embed[0].weight
    assert "decoder.3.weight" not in parameters_of(model) and "decoder.3.bias" in parameters_of(model)


def test_hybridized_equals_imperative():
    model = build_model(SMALL, VOCABULARY, "mlm")
    ids, lengths = inputs()
    compiled = model(ids, lengths).asnumpy()
    model.hybridize(False)
    np.testing.assert_allclose(model(ids, lengths).asnumpy(), compiled, atol=1e-6)


@pytest.mark.parametrize("hybridized", [True, False])
def test_training_and_inference_compute_the_same_with_the_same_gradient(hybridized):
    """Training composes LayerNorm of other operations; without dropout nothing else differs."""
    model = build_model(SMALL, VOCABULARY, "mlm", dropout=0.0, family="bert")
    model.hybridize(hybridized, static_alloc=True)
    ids, lengths = inputs()
    expected = model(ids, lengths).asnumpy()
    found = {}
    for train_mode in (True, False, True):
        with mx.autograd.record(train_mode=train_mode):
            outputs = model(ids, lengths)
            loss = (outputs ** 2).sum()
        loss.backward()
        np.testing.assert_allclose(outputs.asnumpy(), expected, atol=1e-5)
        found[train_mode] = {name: p.grad().asnumpy().copy() for name, p in parameters_of(model).items()}
    for name, gradient in found[False].items():
        bound = 2e-5 * max(1.0, np.abs(gradient).max())
        np.testing.assert_allclose(found[True][name], gradient, atol=bound, err_msg=name)


def test_encoder_equals_gluonnlps_with_the_same_weights():
    ours = build_model(SMALL, VOCABULARY, layer_norm_eps=1e-12)
    ids, lengths = inputs()
    ours(ids, lengths)
    theirs = BERTEncoder(num_layers=2, units=32, hidden_size=48, num_heads=4, max_length=512, dropout=0.1)
    theirs.initialize()
    embedded = ours.word_embed(ids).swapaxes(0, 1)
    theirs(embedded, valid_length=lengths)
    mine = ours.encoder._collect_params_with_prefix()
    for name, parameter in theirs._collect_params_with_prefix().items():
        parameter.set_data(mine[name].data())
    expected, _ = theirs(embedded, valid_length=lengths)
    np.testing.assert_allclose(ours(ids, lengths).asnumpy(), expected.swapaxes(0, 1).asnumpy(), atol=1e-5)


def test_the_parameters_are_eq_13s_less_the_pooler_and_one_row():
    """Eq. 13 counts a pooler H² + H, three rows for token types and a bias, and positions S; ours has what it uses."""
    model = build_model(SMALL, VOCABULARY, family="bert", num_positions=64)
    H = SMALL.hidden_size
    pooler = H * H + H
    counted = sum(int(np.prod(p.shape)) for p in parameters_of(model).values())
    assert counted == SMALL.parameters(VOCABULARY, 64) - pooler - H


def test_initial_weights_hang_on_seed_and_name_alone():
    first, second = (build_model(SMALL, VOCABULARY, "mlm", seed=3) for _ in range(2))
    encoder = build_model(SMALL, VOCABULARY, "encoder", seed=3)
    for name, parameter in parameters_of(first).items():
        values = parameter.data().asnumpy()
        assert (values == parameters_of(second)[name].data().asnumpy()).all()
        if name in parameters_of(encoder):
            assert (values == parameters_of(encoder)[name].data().asnumpy()).all()
    other = build_model(SMALL, VOCABULARY, "mlm", seed=4)
    name = "encoder.transformer_cells.0.ffn.ffn_1.weight"
    assert (parameters_of(first)[name].data().asnumpy() != parameters_of(other)[name].data().asnumpy()).any()
    assert parameters_of(first)[name].data().asnumpy().std() == pytest.approx(standard_deviation(32), rel=0.1)


@pytest.mark.parametrize("hidden_size, deviation", [(1024, 0.02), (768, 0.02), (192, 0.04), (48, 0.08)])
def test_narrow_models_start_wider(hidden_size, deviation):
    assert standard_deviation(hidden_size) == pytest.approx(deviation)


@pytest.mark.parametrize("family", ["roberta", "bert"])
def test_the_classifier_computes_of_the_last_layer_what_it_needs_and_gives_the_same(family):
    """Its encoder ends with the first token alone: values and gradients are those of the whole encoder."""
    classifier = build_model(SMALL, VOCABULARY, "classifier", num_labels=3, family=family, dropout=0.0)
    encoder = build_model(SMALL, VOCABULARY, family=family, dropout=0.0, seed=1)
    own, whole = parameters_of(classifier), parameters_of(encoder)
    for name, parameter in whole.items():
        parameter.set_data(own[name].data())
    ids, lengths = inputs()
    weight, bias = own["classifier.1.weight"].data(), own["classifier.1.bias"].data()
    with mx.autograd.record():
        logits = classifier(ids, lengths)
        expected = mx.nd.dot(encoder(ids, lengths)[:, 0], weight, transpose_b=True) + bias
        loss = (logits ** 2).sum() + (expected ** 2).sum()
    loss.backward()
    assert np.abs(logits.asnumpy() - expected.asnumpy()).max() < 1e-5
    for name, parameter in whole.items():
        difference = np.abs(own[name].grad().asnumpy() - parameter.grad().asnumpy()).max()
        assert difference < 1e-4 * max(1, np.abs(parameter.grad().asnumpy()).max()), name


@pytest.mark.parametrize("family", ["roberta", "bert"])
def test_the_mlm_computes_of_the_last_layer_what_it_needs_and_gives_the_same(family):
    """Values and gradients are those of the whole encoder, with padding and a position named twice."""
    model, head, encoder = (build_model(SMALL, VOCABULARY, kind, family=family, dropout=0.0, seed=seed)
                            for kind, seed in (("mlm", 0), ("mlm", 1), ("encoder", 2)))
    own = parameters_of(model)
    for copy in (head, encoder):
        for name, parameter in parameters_of(copy).items():
            parameter.set_data(own[name].data())
    ids, lengths = inputs()
    positions = mx.nd.array([[1, 4, 3], [4, 4, 0], [2, 0, 0]])
    with mx.autograd.record():
        logits = model(ids, lengths, positions)
        expected = head.decoder(mx.nd.stack(*(mx.nd.take(states, rows) for states, rows
                                              in zip(encoder(ids, lengths), positions))))
        loss = (logits ** 2).sum() + (expected ** 2).sum()
    loss.backward()
    assert np.abs(logits.asnumpy() - expected.asnumpy()).max() < 1e-5
    for name, parameter in own.items():
        parts = [copy[name].grad().asnumpy() for copy in map(parameters_of, (head, encoder))
                 if name in copy and (copy[name].grad().asnumpy() != 0).any()]
        reference = sum(parts)  # the tied embedding has one of each
        difference = np.abs(parameter.grad().asnumpy() - reference).max()
        assert parts and difference < 1e-4 * max(1, np.abs(reference).max()), name


@pytest.mark.parametrize("name", ["word_embed.0.weight", "encoder.transformer_cells.0.ffn.ffn_1.weight"])
def test_gradients_are_those_of_finite_differences(name):
    """The tied embedding's too, whose two gradients (decoder and tokens looked up) MXNet sums in place."""
    model = build_model(SMALL, VOCABULARY, "mlm", dropout=0.0)
    ids, lengths = inputs()
    parameter = parameters_of(model)[name]
    before, direction = parameter.data().copy(), mx.nd.array(np.random.default_rng(0).normal(size=parameter.shape))

    def loss() -> mx.nd.NDArray:
        return mx.nd.log_softmax(model(ids, lengths), axis=-1)[:, :, 7].mean()

    with mx.autograd.record():
        value = loss()
    value.backward()
    expected = float((parameter.grad() * direction).sum().asscalar())
    sides = []
    for step in (1e-3, -1e-3):
        parameter.set_data(before + step * direction)
        sides.append(float(loss().asscalar()))
    assert (sides[0] - sides[1]) / 2e-3 == pytest.approx(expected, rel=0.02)


def test_the_classifier_starts_uniform_in_minus_half_to_half():
    model = build_model(Architecture(1, 1, 256, 8), VOCABULARY, "classifier", num_labels=9)
    weights = parameters_of(model)["classifier.1.weight"].data().asnumpy()
    assert -0.5 <= weights.min() < -0.45 and 0.45 < weights.max() <= 0.5
    initialize(model, 1, ["classifier.1.bias"])
    assert (parameters_of(model)["classifier.1.bias"].data().asnumpy() == 0).all()


@pytest.mark.parametrize("options, field", [
    (dict(head="lm"), "head"), (dict(family="gpt"), "family"), (dict(vocab_size=0), "vocab_size"),
    (dict(dropout=1.0), "dropout"), (dict(num_positions=0), "num_positions"),
    (dict(architecture=Architecture(2, 3, 32, 48)), "hidden_size 32 is not divisible by num_heads 3")])
def test_impossible_models_are_refused_by_field(options, field):
    with pytest.raises(InputError, match=field):
        build_model(**{"architecture": SMALL, "vocab_size": VOCABULARY, **options})


@pytest.mark.parametrize("family", ["roberta", "bert"])
@pytest.mark.parametrize("head", ["encoder", "mlm", "classifier"])
def test_types_agree_in_half_precision(family, head):
    """The CPU has no kernels for it; that every operator gets inputs of one type can be told from the graph."""
    model = build_model(Architecture(2, 2, 16, 24), 50, head, family=family)
    model.cast("float16")
    names = ["input_ids", "valid_length", "masked_positions" if head == "mlm" else None,
             "token_types" if family == "bert" else None]
    graph = mx.gluon.HybridBlock.__call__(model, *(None if name is None else mx.sym.var(name) for name in names))
    _, outputs, _ = graph.infer_type(**{name: "float32" for name in names if name})
    assert outputs == [np.float16]

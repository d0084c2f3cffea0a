"""Classifiers that read means of hidden states (--pooling)."""

import pathlib

import mxnet as mx
import numpy as np
import pytest

from bort_mx import Architecture, pipeline
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints import gluonnlp, huggingface, loading
from bort_mx.checkpoints.weights import Weights
from bort_mx.data.tasks import get_task
from bort_mx.data.tokenizers.wordpiece import WordPieceTokenizer
from bort_mx.errors import InputError, RunError
from bort_mx.finetuning import recipe
from bort_mx.finetuning.benchmark import run_benchmarks
from bort_mx.finetuning.finetune import finetune
from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.finetuning.trainer import build_classifier
from bort_mx.models import build_model
from bort_mx.models.bert import parameters_of
from bort_mx.models.config import ModelConfig

pytest.importorskip("onnxruntime")

from bort_mx.checkpoints import onnx_export, onnx_graph  # noqa: E402

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


@pytest.mark.parametrize("before, after", [("mean", "first"), ("first", "mean"), ("first", "segments")])
def test_a_classifier_of_other_inputs_is_drawn_anew_whole(before, after, tmp_path):
    model = build_model(ARCHITECTURE, 60, "classifier", seed=1, num_positions=16, family="bert", pooling=before)
    tensors = {name: tensor + 1 for name, tensor in checkpoint_directory.tensors_of(model).items()}
    checkpoint_directory.write(tmp_path / "x", tensors, None, model.config)
    again, _, _ = loading.load(tmp_path / "x", pooling=after)
    assert [name for name in again.initialized if name.startswith("classifier.")] == [
        name for name in parameters_of(again) if name.startswith("classifier.")]
    assert not parameters_of(again)["classifier.1.bias"].data().asnumpy().any()  # a trained one would be 1
    same, _, _ = loading.load(tmp_path / "x", pooling=before)
    assert not same.initialized and parameters_of(same)["classifier.1.bias"].data().asnumpy().all()


@pytest.mark.parametrize("write", [huggingface.write, gluonnlp.write])
def test_programs_that_read_the_first_token_get_no_such_file(write, tmp_path):
    model = build_model(ARCHITECTURE, 60, "classifier", seed=1, num_positions=16, family="bert", pooling="mean")
    weights = Weights(model.config, checkpoint_directory.tensors_of(model), None, "mine")
    with pytest.raises(InputError, match="mine: its classifier reads means .*export it to ONNX"):
        write(tmp_path, weights)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options, message", [
    ({"keep_classifier": True}, "--keep-classifier uses the classifier as it was trained; leave out --pooling mean"),
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


def settled(start, **given):
    task = get_task("RTE")
    options = FineTuningOptions(task="RTE", **given)
    found = recipe.choose(options.recipe, False, task, start, 100, None, options.head)
    return found, options.resolved(task, task, found.values)


@pytest.mark.parametrize("read, given, expected", [
    ("first", {}, ("first", True)),
    ("first", {"pooling": "segments"}, ("segments", False)),
    ("mean", {}, ("mean", False)),  # as the checkpoint's classifier
    ("mean", {"recipe": "paper"}, ("mean", False)),
    ("mean", {"pooling": "first"}, ("first", True)),
    ("mean", {"pooler": True}, ("first", True)),
    ("mean", {"head": "usual"}, ("first", True)),
    ("mean", {"head": "linear"}, ("first", False)),
    ("first", {"head": "linear", "pooling": "mean"}, ("mean", False)),
    ("mean", {"keep_classifier": True}, ("first", False)),  # not used: the classifier is the checkpoint's
])
def test_what_is_read_and_by_what(read, given, expected):
    found, options = settled(recipe.Start(ARCHITECTURE, True, read), **given)
    assert (options.pooling, options.pooler) == expected
    used = {name: getattr(options, name) for name in found.values}
    said = {"first": "on the pooler", "mean": "on the mean of all tokens", "segments": "on the texts' means"}
    if options.pooling != "first" or options.pooler:
        assert recipe.describe(found, used, [], False).endswith(said[expected[0]])


# -- whole runs ----------------------------------------------------------------------------------------------------

WORDS = ["the", "cat", "dog", "king", "queen", "sat", "ran", "ate", "slept", "saw"]


@pytest.fixture
def bert(tmp_path):
    """A checkpoint of BERT's family with a WordPiece vocabulary."""
    return checkpoint(tmp_path / "bert")


def checkpoint(folder, typed=True, **options):
    tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS], typed=typed)
    model = build_model(ARCHITECTURE, tokenizer.vocab_size, seed=1, num_positions=32, **{"family": "bert", **options})
    checkpoint_directory.write(folder, checkpoint_directory.tensors_of(model), tokenizer, model.config)
    return folder


def pairs(folder, name="pairs.csv"):
    """Whether the second text has the first one's noun: nothing for a model that cannot tell the texts apart."""
    rng = np.random.default_rng(3)
    lines = ["sentence1,sentence2,label"]
    for i in range(40):
        first, other = rng.choice(WORDS[1:5], 2, replace=False)
        lines.append(f"the {first} sat,the {first if i % 2 else other} ran,{'yes' if i % 2 else 'no'}")
    (folder / name).write_text("\n".join(lines) + "\n")
    return str(folder / name)


def run(folder, **options):
    return finetune(FineTuningOptions(**{
        "train": pairs(folder), "epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "device": "cpu",
        "output_dir": str(folder / "run"), **options}))


def scores(path, folder):
    rows = [line.split(",")[:2] for line in pathlib.Path(pairs(folder)).read_text().splitlines()[1:9]]
    return np.array([[found["scores"][name] for name in ("no", "yes")] for found in pipeline(str(path))(
        [tuple(row) for row in rows])])


def test_a_run_its_file_and_its_prediction_agree(bert, tmp_path, capsys):
    run(tmp_path, checkpoint=str(bert), pooling="segments")
    assert "a new classifier from N(0, 0.02²) on the texts' means" in capsys.readouterr().out
    weights = loading.read(tmp_path / "run")
    assert (weights.config.pooling, len(weights.config.text_columns)) == ("segments", 2)
    onnx_export.export(weights, tmp_path / "model.onnx")
    np.testing.assert_allclose(scores(tmp_path / "model.onnx", tmp_path), scores(tmp_path / "run", tmp_path), atol=1e-5)
    onnx_export.export(weights, tmp_path / "encoder" / "model.onnx", head="encoder")  # what predict --embed advises
    with pytest.raises(InputError, match="--pooling mean: the run in .* was started with segments"):
        run(tmp_path, checkpoint=str(bert), pooling="mean", resume="auto")
    run(tmp_path, checkpoint=str(tmp_path / "run"), output_dir=str(tmp_path / "more"))  # as what it starts from
    assert loading.read(tmp_path / "more").config.pooling == "segments"


def test_the_exports_check_sees_the_second_text(tmp_path, monkeypatch):
    model = build_model(ARCHITECTURE, 60, "classifier", seed=1, num_positions=16, family="bert", pooling="segments")
    given = Weights(model.config, checkpoint_directory.tensors_of(model), None, "mine")
    right = onnx_graph._Graph._means

    def swapped(self, states):
        x = right(self, states)
        u, v, difference, product = (self._add("Slice", x, self._ints(24 * i), self._ints(24 * i + 24), self._ints(1))
                                     for i in range(4))
        return self._add("Concat", u, v, self._add("Abs", self._add("Add", u, v)), product, axis=1)

    monkeypatch.setattr(onnx_graph._Graph, "_means", swapped)
    with pytest.raises(RunError, match="not written, as its largest difference"):
        onnx_export.export(given, tmp_path / "m.onnx")


def test_texts_that_nothing_tells_apart_are_refused_before_training(tmp_path):
    untyped = checkpoint(tmp_path / "untyped", typed=False)
    assert not loading.read(untyped).tokenizer.gives_token_types  # its file says so, and is honoured
    for given in (untyped, checkpoint(tmp_path / "roberta", family="roberta"), "fresh"):
        with pytest.raises(InputError, match="--pooling segments: .* no token types for a second text"):
            run(tmp_path, checkpoint=str(given), pooling="segments")
        assert not (tmp_path / "run").exists() or not any((tmp_path / "run").glob("checkpoints/*"))


def test_a_tokenizer_without_types_answers_the_same_when_it_is_read_again(tmp_path):
    """What it was trained with, token types 0 for both texts, is what it predicts with."""
    given = checkpoint(tmp_path / "untyped", typed=False)
    first = run(tmp_path, checkpoint=str(given), pooling="mean", dev=pairs(tmp_path, "dev.csv"))
    again = run(tmp_path, checkpoint=str(tmp_path / "run"), predict_only=True, dev=pairs(tmp_path, "dev.csv"),
                train=None, output_dir=str(tmp_path / "again"))
    assert first["dev"] == again["dev"]


def test_a_benchmark_is_refused_before_its_first_task(tmp_path):
    roberta = checkpoint(tmp_path / "roberta", family="roberta")
    folder = tmp_path / "data" / "CoLA"
    folder.mkdir(parents=True)
    for split in ("train", "dev"):
        (folder / f"{split}.tsv").write_text("x\t1\t\tthe cat sat\nx\t0\t*\tcat the sat\n")
    with pytest.raises(InputError, match="--pooling segments: .*roberta has no token types"):
        run_benchmarks(FineTuningOptions(task="glue", checkpoint=str(roberta), pooling="segments", device="cpu",
                                         data_dir=str(tmp_path / "data"), output_dir=str(tmp_path / "run")), finetune)
    assert not (tmp_path / "run").exists()


def test_a_reader_of_two_means_is_not_asked_about_one_text(bert, tmp_path):
    run(tmp_path, checkpoint=str(bert), pooling="segments")
    (tmp_path / "one.csv").write_text("sentence1,label\nthe cat sat,no\nthe dog ran,yes\n")
    with pytest.raises(InputError, match="was trained on pairs of texts, but .* has single texts"):
        run(tmp_path, checkpoint=str(tmp_path / "run"), predict_only=True, dev=str(tmp_path / "one.csv"), train=None,
            output_dir=str(tmp_path / "again"))

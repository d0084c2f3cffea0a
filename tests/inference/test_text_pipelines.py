"""`bort_mx.pipeline`: what it takes and what it answers, beside formulas of one's own."""

import json

import mxnet as mx
import numpy as np
import pytest

import bort_mx
from bort_mx.architecture import Architecture
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints import load, onnx_export, read
from bort_mx.data.tokenizers import train_sentencepiece
from bort_mx.errors import InputError
from bort_mx.inference.text_pipelines import Classify, as_texts
from bort_mx.models import build_model
from bort_mx.sentence_embedding import SentenceEmbedding

H = 16
TEXTS = ["the quick brown fox", "the lazy dog and the fox " * 5, "a dog", "", "quick"]
PAIR = ("the quick fox", "a lazy dog")
HEADS = {"classify": "classifier", "embed": "encoder", "fill-mask": "mlm"}


def make(folder, head, **options):
    """A small checkpoint with large random weights, and an ONNX file beside it."""
    tokenizer = train_sentencepiece(["the quick brown fox jumps over the lazy dog and a cat"] * 3, 300)
    model = build_model(Architecture(2, 2, H, 24), tokenizer.vocab_size, head, num_positions=64, seed=1, **options)
    for parameter in model.collect_params().values():
        parameter.set_data(parameter.data() * (2 if head == "classifier" else 8))
    checkpoint_directory.save(folder, model, tokenizer)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipelines")
    for head in HEADS.values():
        labels = {"num_labels": 3, "labels": ("bad", "so so", "good")} if head == "classifier" else {}
        make(folder / head, head, **labels)
        onnx_export.export(read(folder / head), folder / head / "model.onnx")
    return folder


def logits_of(path, text, pair=None):
    """The model's output for one text by itself."""
    model, tokenizer, _ = load(path)
    return model(mx.nd.array([tokenizer.encode(text, pair, max_length=64)])).asnumpy()[0].astype(np.float64)


def softmax(x):
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


@pytest.mark.parametrize("form", ["", "model.onnx"])
def test_classify(folders, form):
    classify = bort_mx.pipeline(folders / "classifier" / form)
    assert classify.task == "classify" and "bad, so so, good" in repr(classify)
    given = [*TEXTS, PAIR]
    answers = classify(given, batch_size=2)
    for text, answer in zip(given, answers):
        want = softmax(logits_of(folders / "classifier", *(text if isinstance(text, tuple) else (text.strip(),))))
        assert list(answer) == ["label", "score", "scores"] and list(answer["scores"]) == ["bad", "so so", "good"]
        np.testing.assert_allclose(list(answer["scores"].values()), want, atol=1e-5)
        assert answer["label"] == ["bad", "so so", "good"][want.argmax()]
        assert answer["score"] == answer["scores"][answer["label"]]
    assert np.ptp([list(answer["scores"].values()) for answer in answers], axis=0).max() > 1e-3  # they tell texts apart
    json.dumps(answers)  # plain numbers
    for single, answer in ((TEXTS[0], answers[0]), (PAIR, answers[-1]), (np.str_(TEXTS[0]), answers[0])):
        assert classify(single)["scores"] == pytest.approx(answer["scores"], abs=1e-6)
    assert classify([TEXTS[0]])[0]["label"] == answers[0]["label"]
    assert [a["label"] for a in classify(np.array(TEXTS))] == [a["label"] for a in answers[:-1]]


@pytest.mark.parametrize("form", ["", "model.onnx"])
def test_embed(folders, form):
    embed = bort_mx.pipeline(str(folders / "encoder" / form))
    found = embed(TEXTS, batch_size=2)
    assert found.shape == (len(TEXTS), H) and found.dtype == np.float32
    states = [logits_of(folders / "encoder", text.strip()) for text in TEXTS]  # (s, H) each
    np.testing.assert_allclose(found, [state.mean(axis=0) for state in states], atol=1e-4)
    np.testing.assert_allclose(embed(TEXTS, pooling="first"), [state[0] for state in states], atol=1e-4)
    assert embed("dog").shape == (1, H)  # one text, not three letters
    np.testing.assert_allclose(embed("dog"), embed(["dog"]), atol=1e-6)
    np.testing.assert_allclose(embed([PAIR])[0], logits_of(folders / "encoder", *PAIR).mean(axis=0), atol=1e-4)


def test_embeds_as_the_folder_says(tmp_path):
    way = SentenceEmbedding(("first",), (("normalize", 0),))
    make(tmp_path / "e", "encoder", embedding=way)
    found = bort_mx.pipeline(tmp_path / "e")(TEXTS[:2])
    want = np.stack([logits_of(tmp_path / "e", text.strip())[0] for text in TEXTS[:2]])
    np.testing.assert_allclose(found, want / np.linalg.norm(want, axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("form", ["", "model.onnx"])
def test_fill_mask(folders, form):
    fill = bort_mx.pipeline(folders / "mlm" / form)
    one, two = "the <mask> fox", "a [MASK] and the <mask>"
    answers = fill([one, two], top_k=4)
    _, tokenizer, _ = load(folders / "mlm")
    for text, answer in ((one, [answers[0]]), (two, answers[1])):
        marked = text.replace("[MASK]", "<mask>")
        ids = tokenizer.encode(marked)
        model, _, _ = load(folders / "mlm")
        places = [i for i, token in enumerate(ids) if token == tokenizer.mask_id]
        logits = model(mx.nd.array([ids]), mx.nd.array([len(ids)]), mx.nd.array([places])).asnumpy()[0]
        assert len(places) == len(answer) == text.count("mask") + text.count("MASK")
        for row, found in zip(logits.astype(np.float64), answer):
            want = np.sort(softmax(row[:tokenizer.vocab_size]))[::-1][:4]
            np.testing.assert_allclose([entry["score"] for entry in found], want, rtol=1e-3)
            best = int(np.argmax(row[:tokenizer.vocab_size]))
            assert found[0]["token"] == tokenizer.decode([best], skip_special_tokens=False)
            assert all(set(entry) == {"token", "score"} for entry in found)
    assert [entry["token"] for entry in fill(one)] == [entry["token"] for entry in fill([one], top_k=5)[0]]


@pytest.mark.parametrize("kind, labels", [("regression", 1), ("regression", 2), ("multi_label_classification", 3)])
def test_regressions_and_classifiers_of_many_labels(kind, labels, tmp_path):
    names = tuple(f"n{i}" for i in range(labels))
    make(tmp_path / "c", "classifier", num_labels=labels, labels=names, problem_type=kind)
    answer = bort_mx.pipeline(tmp_path / "c")(TEXTS[0])
    logits = logits_of(tmp_path / "c", TEXTS[0])
    if kind == "regression":
        assert answer["scores"] == pytest.approx(dict(zip(names, logits)), abs=1e-5)
        assert set(answer) == {"scores", *(["value"] if labels == 1 else [])}
        assert labels > 1 or answer["value"] == answer["scores"]["n0"]
    else:
        want = 1 / (1 + np.exp(-logits))
        assert answer["scores"] == pytest.approx(dict(zip(names, want)), abs=1e-6)
        assert answer["labels"] == [name for name, score in zip(names, want) if score > 0.5]


def test_an_empty_list_has_an_empty_answer(folders):
    assert bort_mx.pipeline(folders / "classifier")([]) == []
    assert bort_mx.pipeline(folders / "mlm")([]) == []
    assert bort_mx.pipeline(folders / "encoder")([]).shape == (0, H)


def test_the_answer_does_not_depend_on_the_company_in_a_batch(folders):
    embed = bort_mx.pipeline(folders / "encoder")
    alone = np.concatenate([embed(text) for text in TEXTS])
    for size in (1, 2, 16):
        np.testing.assert_allclose(embed(TEXTS, batch_size=size), alone, atol=1e-4)


def test_texts_of_similar_length_share_a_batch(folders, monkeypatch):
    embed = bort_mx.pipeline(folders / "encoder")
    seen, forward = [], type(embed.model).__call__
    monkeypatch.setattr(type(embed.model), "__call__", lambda self, ids, lengths, *rest: seen.append(
        (lengths.min().asscalar(), lengths.max().asscalar())) or forward(self, ids, lengths, *rest))
    embed(["dog " * count for count in (9, 1, 8, 2)], batch_size=2)
    assert len(seen) == 2 and seen[0][1] < seen[1][0]


@pytest.mark.parametrize("task", HEADS)
def test_the_task_is_told_by_the_checkpoint_or_asked_for(folders, task):
    assert bort_mx.pipeline(folders / HEADS[task]).task == task
    assert bort_mx.pipeline(folders / "mlm", "embed").task == "embed"
    if task != "embed":
        with pytest.raises(InputError, match=f"has no trained {HEADS[task]} head"):
            bort_mx.pipeline(folders / "encoder", task)
        with pytest.raises(InputError, match=f"has no trained {HEADS[task]} head"):
            bort_mx.pipeline(folders / "encoder" / "model.onnx", task)


@pytest.mark.parametrize("given, said", [
    (3, r"3 \(int\): expected a text, a pair"), (None, r"None \(NoneType\): expected a text"),
    (b"a", r"b'a' \(bytes\): expected a text"), ({"text": "a"}, r"\(dict\): expected"), ({"a"}, r"\(set\): expected"),
    (iter(["a"]), r"\(list_iterator\): expected"), (["a", 3], r"text 2: 3 \(int\): expected a text"),
    (["a", None], r"text 2: None \(NoneType\)"), ([float("nan")], r"text 1: nan \(float\)"),
    (("a", "b", "c"), r"a tuple of 3; a pair is a tuple of two texts, and many texts are a list"),
    (["x", ("a",)], r"text 2: a tuple of 1"), ((), r"a tuple of 0"), (("a", 2), r"2 \(int\): expected a text"),
    ([["a", "b"]], r"text 1: \['a', 'b'\] \(list\): expected a text; a pair is a tuple"),
    (["\ud800"], r"text 1: '\\ud800': holds half a character"), (np.zeros(2), r"text 1: 0.0 \(float\)")])
def test_something_else_than_texts_is_one_input_error(given, said):
    with pytest.raises(InputError, match=said) as caught:
        as_texts(given)
    assert "\n" not in str(caught.value)


def test_other_bad_arguments(folders, tmp_path):
    for arguments, said in (({"task": "sing"}, "task='sing': must be one of classify, embed, fill-mask"),
                            ({"device": "tpu"}, "device='tpu': must be one of auto, cpu, gpu"),
                            ({"batch_size": 0}, "batch_size=0: must be a whole number from 1"),
                            ({"batch_size": True}, "batch_size=True: must be"),
                            ({"device": "gpu"}, "built without CUDA|no GPU")):
        with pytest.raises(InputError, match=said):
            bort_mx.pipeline(folders / "encoder", **arguments)
    with pytest.raises(InputError, match="runs on the CPU alone"):
        bort_mx.pipeline(folders / "encoder" / "model.onnx", device="gpu")
    for path, said in ((tmp_path / "no", "no such file"), (None, "not a path or name"), ("", "not a path or name"),
                       (3, "not a path")):
        with pytest.raises(InputError, match=said):
            bort_mx.pipeline(path)
    with pytest.raises(InputError, match="pooling='max': must be one of mean, first"):
        bort_mx.pipeline(folders / "encoder")("a", pooling="max")
    fill = bort_mx.pipeline(folders / "mlm")
    for text, said in (("no mask", "holds no <mask>"), (("a <mask>", "b"), "text 1: a pair; masks are"),
                       ("<mask> " * 80, "tokens, the model takes 64"), (["a <mask>", 3], "text 2: 3")):
        with pytest.raises(InputError, match=said):
            fill(text)
    with pytest.raises(InputError, match="top_k=0"):
        fill("a <mask>", top_k=0)


def test_pairs_are_refused_where_the_training_had_single_texts(tmp_path):
    make(tmp_path / "c", "classifier", text_columns=("sentence",))
    classify = bort_mx.pipeline(tmp_path / "c")
    with pytest.raises(InputError, match=r"text 2: two texts, but the classifier was trained on single texts \(sent"):
        classify(["a", PAIR])
    assert isinstance(classify, Classify) and set(classify("a")["scores"]) == {"0", "1"}


def test_load_and_save_are_those_of_checkpoints(folders, tmp_path):
    model, tokenizer, config = bort_mx.load(folders / "mlm")
    bort_mx.save(tmp_path / "again", model, tokenizer, config)
    assert read(tmp_path / "again").config == config
    with pytest.raises(AttributeError, match="no attribute 'pipelin'"):
        bort_mx.pipelin  # noqa: B018


def test_short_texts_fill_a_batch_unless_its_size_is_given(folders, monkeypatch):
    embed = bort_mx.pipeline(folders / "encoder")
    seen, forward = [], type(embed.model).__call__
    monkeypatch.setattr(type(embed.model), "__call__",
                        lambda self, ids, *rest: seen.append(ids.shape[0]) or forward(self, ids, *rest))
    embed(["dog"] * 40)
    assert seen == [40] and embed.batch_size == 16
    embed(["dog"] * 40, batch_size=16)
    assert seen[1:] == [16, 16, 8]

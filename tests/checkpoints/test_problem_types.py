"""How a classifier's outputs are read lives in its configuration, and goes through predict, ONNX and conversions."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
from foreign import PAIR, TEXTS, transformers, whole  # noqa: E402

from bort_mx.checkpoints import load, read  # noqa: E402
from bort_mx.checkpoints.convert import convert  # noqa: E402
from bort_mx.commands import export, predict  # noqa: E402
from bort_mx.data.tasks import get_task  # noqa: E402
from bort_mx.errors import InputError  # noqa: E402
from bort_mx.finetuning.classifier import classifier_of, without_classifier  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
KINDS = [("multi_label_classification", 3), ("multi_label_classification", 2), ("multi_label_classification", 1),
         ("regression", 3), ("regression", 1), ("single_label_classification", 3), (None, 3), (None, 1)]


def make(folder, kind, labels):
    return whole("BertForSequenceClassification", "classifier", num_labels=labels, problem_type=kind)(folder)


def answers(path, tmp_path):
    """What predict --classify writes for the texts."""
    (tmp_path / "texts.txt").write_text("\n".join([*TEXTS, "\t".join(PAIR)]) + "\n", encoding="utf-8")
    assert predict.main(["--checkpoint", str(path), "--classify", str(tmp_path / "texts.txt"), "--output",
                         str(tmp_path / "answers.jsonl")]) == 0
    return [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text(encoding="utf-8").splitlines()]


def wanted(folder):
    """Scores by transformers' own pipeline, which reads problem_type too; [{label: score}]."""
    classify = transformers.pipeline("text-classification", model=str(folder), top_k=None, device="cpu")
    found = [*classify(TEXTS), classify({"text": PAIR[0], "text_pair": PAIR[1]})]
    return [{entry["label"]: entry["score"] for entry in (row[0] if isinstance(row[0], list) else row)}
            for row in found]


@pytest.mark.parametrize("kind, labels", KINDS)
def test_predict_onnx_and_conversions_read_outputs_alike(kind, labels, tmp_path):
    make(tmp_path / "theirs", kind, labels)
    config = read(tmp_path / "theirs").config
    assert config.problem_type == kind and config.num_labels == labels
    first = answers(tmp_path / "theirs", tmp_path)
    for to in ("hf", "bort-mx", "gluon"):
        convert(read(tmp_path / "theirs"), tmp_path / to, to)
        assert read(tmp_path / to).config.problem_type == (kind if to != "hf" or labels > 1 or kind else "regression")
        assert_alike(answers(tmp_path / to, tmp_path), first)
    pytest.importorskip("onnxruntime")
    assert export.main([str(tmp_path / "theirs"), str(tmp_path / "onnx" / "m.onnx")]) == 0
    assert_alike(answers(tmp_path / "onnx" / "m.onnx", tmp_path), first)
    if (kind, labels) != (None, 1):  # one output without a word is a regression; transformers shows its sigmoid
        for answer, scores in zip(first, wanted(tmp_path / "theirs")):
            ours = answer["scores"]
            want = [score for _, score in sorted(scores.items())]
            np.testing.assert_allclose(list(ours.values()), want, atol=1e-5)
            if kind == "multi_label_classification":
                assert answer["labels"] == [label for label, score in ours.items() if score > 0.5]


def assert_alike(found, wanted_answers):
    for one, other in zip(found, wanted_answers):
        assert one.keys() == other.keys() and one["text"] == other["text"]
        np.testing.assert_allclose(list(one["scores"].values()), list(other["scores"].values()), atol=2e-5)


SIGMOID, IDENTITY = "torch.nn.modules.activation.Sigmoid", "torch.nn.modules.linear.Identity"


@pytest.mark.parametrize("labels, file, said, kind", [
    (1, "config_sentence_transformers.json", {"model_type": "CrossEncoder", "activation_fn": SIGMOID}, SIGMOID),
    (3, "config_sentence_transformers.json", {"model_type": "CrossEncoder", "activation_fn": SIGMOID}, SIGMOID),
    (1, "config_sentence_transformers.json", {"model_type": "CrossEncoder", "activation_fn": IDENTITY}, IDENTITY),
    (1, "config.json", {"sentence_transformers": {"activation_fn": SIGMOID, "version": "5.1.0"}}, SIGMOID),
    (1, "config.json", {"sbert_ce_default_activation_function": SIGMOID}, SIGMOID),
    (1, "config.json", {"sbert_ce_default_activation_function": IDENTITY}, IDENTITY)])
def test_a_cross_encoders_scores_go_through_its_activation(labels, file, said, kind, tmp_path, caplog):
    peer = make(tmp_path, None, labels)
    before = json.loads((tmp_path / file).read_text()) if (tmp_path / file).is_file() else {}
    (tmp_path / file).write_text(json.dumps({**before, **said}))
    logits = peer.model(**peer.tokenizer(*PAIR, return_tensors="pt")).logits[0].detach().numpy()
    answer = answers(tmp_path, tmp_path)[-1]
    assert ("each output goes through a sigmoid" in caplog.text) == (kind == SIGMOID)
    if kind == SIGMOID:
        np.testing.assert_allclose(list(answer["scores"].values()), 1 / (1 + np.exp(-logits)), atol=1e-6)
    else:
        np.testing.assert_allclose([answer["value"]], logits, atol=1e-6)


def test_another_activation_is_refused_and_names_that_cannot_be_used_are_said(tmp_path, caplog):
    make(tmp_path / "one", None, 1)
    (tmp_path / "one" / "config_sentence_transformers.json").write_text(json.dumps({
        "model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.activation.Tanh"}))
    with pytest.raises(InputError, match="activation_fn is 'torch.nn.modules.activation.Tanh'; known are Sigmoid"):
        read(tmp_path / "one")
    make(tmp_path / "two", None, 2)
    config = json.loads((tmp_path / "two" / "config.json").read_text())
    assert read(tmp_path / "two").config.labels is None and "id2label" not in caplog.text
    for number, names in enumerate(({"1": "bad", "2": "good"}, {"0": "a", "1": "a"}, ["bad", "good"]), 1):
        (tmp_path / "two" / "config.json").write_text(json.dumps({**config, "id2label": names}))
        assert read(tmp_path / "two").config.labels is None
        assert caplog.text.count("id2label does not give each of the 2 outputs a name of its own") == number


def test_it_fits_no_task_of_another_kind_and_goes_with_its_classifier(tmp_path):
    make(tmp_path, "multi_label_classification", 2)
    weights = read(tmp_path)
    with pytest.raises(InputError, match="problem_type is multi_label_classification, but .*RTE has one label"):
        classifier_of(weights, str(tmp_path), get_task("RTE"))
    with pytest.raises(InputError, match="problem_type is multi_label_classification, but RTE has one.*; leave --task"):
        predict._label_names(get_task("RTE"), weights.config, "x")
    assert without_classifier(weights).config.problem_type is None
    assert load(tmp_path, "classifier", num_labels=5)[2].problem_type is None
    assert load(tmp_path, "encoder")[2].problem_type is None

"""What a classifier's outputs stand for."""

import dataclasses
import json
import pathlib
import shutil

import mxnet as mx
import numpy as np
import pytest
from finetuning_runs import TINY, described, results_of, weights

from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints.convert import convert
from bort_mx.checkpoints.loading import assemble
from bort_mx.checkpoints.loading import read as read_checkpoint
from bort_mx.checkpoints.weights import Weights
from bort_mx.data.tasks import Example, Examples, get_task
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.finetuning.classifier import classifier_of, released_note
from bort_mx.finetuning.evaluation import evaluate
from bort_mx.finetuning.finetune import finetune
from bort_mx.finetuning.predictions import write_predictions
from bort_mx.finetuning.start import _vocabulary
from bort_mx.finetuning.teacher import Teacher
from bort_mx.inference.task_outputs import outputs_for
from bort_mx.models import build_model


def test_predicting_alone_takes_the_length_that_the_model_was_trained_with(small, tmp_path, capsys):
    found = finetune(dataclasses.replace(small, epochs=1, max_length=10, output_dir=str(tmp_path / "run")))
    again = dataclasses.replace(small, predict_only=True, checkpoint=str(tmp_path / "run"))
    same = finetune(dataclasses.replace(again, output_dir=str(tmp_path / "same")))
    assert same["dev"] == pytest.approx(found["dev"]) and any("cut to 10 tokens, as " in n for n in same["notes"])
    longer = finetune(dataclasses.replace(again, max_length=64, output_dir=str(tmp_path / "longer")))
    assert longer["dev"]["loss"] != pytest.approx(found["dev"]["loss"], abs=1e-6)


def test_what_predictions_are_of_is_told(trained, pairs, tmp_path, capsys):
    """Of the test set where there is no dev set; of labels that only some examples have there is no score."""
    task = pathlib.Path(described(pairs, tmp_path / "data", "[not_entailment, entailment]"))
    (tmp_path / "data/dev.tsv").unlink()
    lines = (tmp_path / "data/test.tsv").read_text().splitlines()
    lines[2:] = [line.rsplit("\t", 1)[0] + "\t" for line in lines[2:]]
    (tmp_path / "data/test.tsv").write_text("\n".join(lines) + "\n\n")
    options, _ = trained
    found = finetune(dataclasses.replace(options, task=str(task), checkpoint=options.output_dir, predict_only=True,
                                         resume="never", output_dir=str(tmp_path / "run")))
    assert found["predictions_of"] == "test" and "dev" not in found and "test" not in found
    assert "test: not scored, as 1 of 40 examples have labels" in found["notes"]
    said = capsys.readouterr().out
    assert "wrote predictions.tsv (of test), own.tsv" in said and "dev has no labels" not in said


def test_predictions_tell_the_question_where_idx_does_not(tmp_path):
    examples = Examples([Example(idx, ("a passage", "a\tquestion"), str(idx), (7, question))
                         for question in range(2) for idx in range(2)])
    scores = np.array([[1.0, 0.0]] * len(examples))
    task = get_task("superglue/MultiRC")
    write_predictions(tmp_path / "p.tsv", task, evaluate(task, examples, scores))
    rows = [line.split("\t") for line in (tmp_path / "p.tsv").read_text().splitlines()]
    assert rows[0] == ["idx", "group", "text", "text_pair", "label", "prediction", "score(0)", "score(1)"]
    assert [row[:2] for row in rows[1:]] == [["0", "7/0"], ["1", "7/0"], ["0", "7/1"], ["1", "7/1"]]
    assert rows[1][2:6] == ["a passage", "a question", "0", "0"]


@pytest.mark.parametrize("texts", [["nice film really"], [chr(0x4e00 + 7 * i) * 2 for i in range(1200)]])
def test_a_fresh_encoder_has_a_vocabulary_of_any_text(texts):
    """As many pieces as it yields: few of one sentence, all the characters of a large alphabet."""
    vocabulary = _vocabulary(texts)
    for text in texts[:20]:
        ids = vocabulary.encode(text)
        assert vocabulary.decode(ids) == text and len(ids) <= len(text) + 2


def test_outputs_are_told_by_their_labels_not_by_their_order(trained, pairs, tmp_path):
    options, accuracy = trained
    task = described(pairs, tmp_path / "data", "[entailment, not_entailment]")
    predict = dataclasses.replace(options, task=task, checkpoint=options.output_dir, predict_only=True,
                                  output_dir=str(tmp_path / "predict"))
    found = finetune(predict)
    assert found["dev"]["accuracy"] == accuracy and accuracy != 0.5
    header = (tmp_path / "predict/predictions.tsv").read_text().splitlines()[0].split("\t")
    assert header[-2:] == ["score(entailment)", "score(not_entailment)"]
    for source, told in (("hf", "ENTAILMENT"), ("unnamed", None)):  # another library's folder tells them as well
        convert(read_checkpoint(options.output_dir), tmp_path / source, "hf")
        config = json.loads((tmp_path / source / "config.json").read_text())
        assert config["id2label"] == {"0": "not_entailment", "1": "entailment"}
        config["id2label"] = {"0": "Not_Entailment", "1": told} if told else {"0": "LABEL_0", "1": "LABEL_1"}
        (tmp_path / source / "config.json").write_text(json.dumps(config))
        found = finetune(dataclasses.replace(predict, checkpoint=str(tmp_path / source),
                                             output_dir=str(tmp_path / f"predict-{source}")))
        if told:
            assert found["dev"]["accuracy"] == accuracy
        else:  # taken in the task's order, which is said
            assert found["dev"]["accuracy"] == pytest.approx(1 - accuracy)
            assert any("does not tell what its outputs stand for" in note for note in found["notes"])


@pytest.mark.parametrize("outputs, labels, columns", [
    (["1", "0"], "['0', '1']", [1, 0]), (["0", "1"], "['1', '0']", [1, 0]), (["0", "1"], "['0', '1']", [0, 1]),
    (["0", "1"], "[b, a]", [0, 1]), (["a", "b"], "[b, a]", [1, 0]), (None, "['1', '0']", [1, 0]),
    (["-1", "1"], "['1', '-1']", [1, 0]), (["1.0", "0.0"], "['0', '1']", [1, 0]), (["01", "00"], "['0', '1']", [1, 0]),
    (["True", "False"], "['0', '1']", [1, 0]),
    (None, "['1', '2']", [0, 1]), (["LABEL_2", "LABEL_1"], "['1', '2']", [1, 0])])
def test_numbers_that_are_the_tasks_own_labels_are_names(pairs, tmp_path, outputs, labels, columns):
    task = get_task(described(pairs, tmp_path / "data", labels))
    assert outputs_for(outputs, task, "x", "give another") == columns


@pytest.mark.parametrize("outputs, task", [
    (["positive", "other"], "SST-2"), (["positive", "LABEL_1"], "SST-2"), (["1", "x"], "SST-2"),
    (["2", "1"], "['1', '3']"), (["0", "1"], "['1', '2']")])
def test_names_that_contradict_their_order_are_refused(pairs, tmp_path, outputs, task):
    task = get_task(described(pairs, tmp_path / "data", task) if task[0] == "[" else task)
    with pytest.raises(InputError, match=f"^x: has the labels {', '.join(outputs)}, .*; give another$"):
        outputs_for(outputs, task, "x", "give another")


def test_other_labels_are_refused_and_numbers_take_any(trained, pairs, tmp_path):
    options, accuracy = trained
    predict = dataclasses.replace(options, checkpoint=options.output_dir, predict_only=True,
                                  output_dir=str(tmp_path / "predict"))
    for labels, message in (("[no way, entailment]", "has the labels not_entailment, entailment, but .* has no way"),
                            ("[a, not_entailment, entailment]", "has 2 labels, but .* has a, not_entailment, entail")):
        folder = tmp_path / str(len(labels))
        task = described(pairs, folder, labels)
        for split in ("train", "dev", "test"):
            text = (folder / f"{split}.tsv").read_text()
            (folder / f"{split}.tsv").write_text(text.replace("\tnot_entailment\n", "\tno way\n")
                                                 if "no way" in labels else text)
        with pytest.raises(InputError, match=message):
            finetune(dataclasses.replace(predict, task=task))
    task = described(pairs, tmp_path / "data", "['0', '1']")
    for split in ("train", "dev", "test"):
        path = tmp_path / f"data/{split}.tsv"
        path.write_text(path.read_text().replace("\tnot_entailment\n", "\t0\n").replace("\tentailment\n", "\t1\n"))
    found = finetune(dataclasses.replace(predict, task=task))
    assert found["dev"]["accuracy"] == accuracy
    assert any("the labels not_entailment, entailment of" in note and "taken to be 0, 1" in note
               for note in found["notes"])


@pytest.mark.parametrize("family, parts", [
    ("roberta", {}), ("roberta", {"extra_layer": True}), ("bert", {"pooler": True}),
    ("roberta", {"pooler": True, "extra_layer": True})])
def test_outputs_are_reordered_whatever_the_head(family, parts):
    model = build_model(TINY, 300, "classifier", num_labels=2, family=family, labels=("Entailment", "NOT_entailment"),
                        **parts)
    found, notes = classifier_of(Weights(model.config, checkpoint_directory.tensors_of(model), None, "x"), "x",
                                 get_task("RTE"))
    moved = assemble(found)
    ids, lengths = mx.nd.array([[1, 5, 7]]), mx.nd.array([3])
    np.testing.assert_array_equal(moved(ids, lengths).asnumpy()[0], model(ids, lengths).asnumpy()[0, ::-1])
    assert moved.config.labels == ("not_entailment", "entailment") and notes == []


@pytest.mark.parametrize("told, task, columns", [
    ({"0": "similarity"}, "STS-B", [0]), ({"0": "0", "1": "1"}, "RTE", [0, 1]), ({"0": 0, "1": 1}, "RTE", [0, 1]),
    ({"0": "NEGATIVE", "1": "POSITIVE"}, "SST-2", [0, 1]), ({"0": "LABEL_1", "1": "LABEL_0"}, "CoLA", [1, 0]),
    ({"0": "1", "1": "0"}, "SST-2", [1, 0]), ({"0": 1, "1": 0}, "MRPC", [1, 0]),
    ({"0": "POSITIVE", "1": "NEGATIVE"}, "SST-2", [1, 0]), ({"0": "equivalent", "1": "Not equivalent"}, "MRPC", [1, 0]),
    ({"0": "good", "1": "bad"}, "SST-2", [0, 1]), ({"0": "POS", "1": "NEG"}, "SST-2", [1, 0]),
    ({"0": 1.0, "1": 0.0}, "SST-2", [1, 0]), ({"0": True, "1": False}, "CoLA", [1, 0]),
    ({"0": "entailment", "1": "not entailment"}, "RTE", [1, 0]),
    ({"1": "a", "2": "b"}, "RTE", [0, 1]), (["a", "b"], "RTE", [0, 1]), ({"0": None, "1": "x"}, "RTE", [0, 1]),
    ({"0": "\ud800", "1": "x"}, "RTE", [0, 1]), ({"0": "True", "1": "False"}, "BoolQ", [1, 0])])
def test_labels_of_a_hugging_face_folder(tokenizer, tmp_path, told, task, columns):
    task = get_task(task)
    model = build_model(TINY, tokenizer.vocab_size, "classifier", num_labels=task.num_labels, pooler=True)
    convert(Weights(model.config, checkpoint_directory.tensors_of(model), tokenizer, "x"), tmp_path / "hf", "hf")
    config = json.loads((tmp_path / "hf/config.json").read_text())
    (tmp_path / "hf/config.json").write_text(json.dumps({**config, "id2label": told}))
    weights = read_checkpoint(tmp_path / "hf")
    found, _ = classifier_of(weights, str(tmp_path / "hf"), task)
    np.testing.assert_array_equal(found.tensors["classifier.1.bias"], weights.float32("classifier.1.bias")[columns])
    assert found.config.labels == (None if task.is_regression else tuple(task.labels))


@pytest.mark.parametrize("columns, task, message", [
    (("text",), "RTE", r"was trained on single texts, but RTE has pairs of texts \(sentence1, sentence2\)"),
    (("a", "b"), "SST-2", r"was trained on pairs of texts, but SST-2 has single texts \(sentence\)"),
    ((), "RTE", None), (("a", "b"), "RTE", None), (("sentence1", "sentence2"), "RTE", None),
    (("sentence2", "sentence1"), "RTE", r"was trained on sentence2 and sentence1, and RTE has .*the other way round")])
def test_a_classifier_of_another_number_of_texts_is_refused(columns, task, message):
    model = build_model(TINY, 300, "classifier", num_labels=2, text_columns=columns)
    weights = Weights(model.config, checkpoint_directory.tensors_of(model), None, "x")
    if message is None:
        classifier_of(weights, "x", get_task(task))
        return
    with pytest.raises(InputError, match="--teacher x: " + message):
        classifier_of(weights, "x", get_task(task), "--teacher")


def test_how_outputs_without_names_are_taken_is_said(pairs, tmp_path):
    cases = ("['1', '0']", "1, 0, by their numbers; if"), ("[b, a]", "b, a, in this order; if")
    for number, (labels, how) in enumerate(cases):
        task = get_task(described(pairs, tmp_path / str(number), labels))
        model = build_model(TINY, 300, "classifier", num_labels=2)
        weights = Weights(model.config, checkpoint_directory.tensors_of(model), None, "x")
        _, (note,) = classifier_of(weights, "x", task)
        assert f"x does not tell what its outputs stand for; they are taken to be {how}" in note


def test_odd_labels_make_one_line():
    model = build_model(TINY, 300, "classifier", num_labels=2, labels=("a\nb", "x" * 100_000))
    weights = Weights(model.config, checkpoint_directory.tensors_of(model), None, "x")
    with pytest.raises(InputError) as caught:
        classifier_of(weights, "x", get_task("RTE"))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    for labels in (("a",), ("a", "a"), ("a", 1), "ab", ("a", "\ud800"), 3):
        with pytest.raises(InputError, match="model: labels is .*; it must be 2 different texts"):
            model.config.replace(labels=labels)
    assert model.config.replace(head="mlm").labels is None and model.config.replace(num_labels=3).labels is None


def test_a_classifier_is_drawn_anew_unless_it_is_to_be_kept(trained, tmp_path):
    options, _ = trained
    again = dataclasses.replace(options, checkpoint=options.output_dir, epochs=1, learning_rate=1e-12,
                                weight_decay=0.0, seed=1, classifier_init="uniform")
    new = finetune(dataclasses.replace(again, output_dir=str(tmp_path / "new")))
    assert any("the classifier of" in note and "left out for a new one" in note for note in new["notes"])
    kept = finetune(dataclasses.replace(again, keep_classifier=True, output_dir=str(tmp_path / "kept")))
    assert not any("left out for a new one" in note for note in kept["notes"])
    folders = options.output_dir, tmp_path / "new", tmp_path / "kept"
    before, first, second = (weights(folder, "best") for folder in folders)
    for name in before:
        np.testing.assert_allclose(second[name], before[name], atol=1e-6)
    assert np.abs(first["classifier.1.weight"] - before["classifier.1.weight"]).max() > 0.1
    with pytest.raises(InputError, match="has no trained classifier; give a checkpoint fine-tuned on"):
        finetune(dataclasses.replace(options, keep_classifier=True, output_dir=str(tmp_path / "none")))


def test_a_classifier_that_always_says_one_class_is_noted(small, tmp_path, capsys):
    """Without a step worth the name, the classifier says one class; of each set that is noted."""
    options = dataclasses.replace(small, epochs=1, learning_rate=1e-12, output_dir=str(tmp_path / "run"))
    found = finetune(options)
    said = {line.split("\t")[-3] for line in (tmp_path / "run" / "predictions.tsv").read_text().splitlines()[1:]}
    assert len(said) == 1 and found["dev"]["accuracy"] == 0.5
    always = f"predicts the majority class always: {said.pop()}, for all 40 examples"
    assert {f"dev: {always}", f"test: {always}"} <= set(found["notes"])
    assert found["notes"] == results_of(tmp_path / "run")["notes"]
    assert f"note: dev: {always}" in capsys.readouterr().out


def test_a_trained_classifier_is_not(trained):
    options, _ = trained
    assert not any("always" in note for note in results_of(options.output_dir)["notes"])


def test_what_to_know_of_the_papers_checkpoint_is_said():
    note, = released_note("amazon/bort")
    assert "<unk>" in note and "--checkpoint" in note and released_note("runs/RTE") == []


def test_texts_are_cut_as_the_classifier_was_trained_whatever_the_task_says(small, pairs, tmp_path):
    """By a description with cut: first; predicted and taught by one that says nothing of it."""
    first = described(pairs, tmp_path / "first", "[not_entailment, entailment]\ncut: first")
    other = described(pairs, tmp_path / "other", "[not_entailment, entailment]")
    trained = dataclasses.replace(small, task=first, epochs=1, max_length=10, output_dir=str(tmp_path / "run"))
    finetune(trained)
    found = {}
    for name, task in (("as-trained", first), ("other-task", other)):
        options = dataclasses.replace(small, task=task, predict_only=True, checkpoint=str(tmp_path / "run"),
                                      output_dir=str(tmp_path / name))
        found[name] = finetune(options), (tmp_path / name / "predictions.tsv").read_text()
    assert found["as-trained"][1] == found["other-task"][1] == (tmp_path / "run/predictions.tsv").read_text()
    assert any("of two texts the first is cut, as" in note for note in found["other-task"][0]["notes"])
    assert not any("of two texts" in note for note in found["as-trained"][0]["notes"])
    scores = [Teacher(read_checkpoint(tmp_path / "run"), str(tmp_path / "run"), get_task(task), mx.cpu(), 8).scores(
        [("a " * 30, "b " * 30), ("a b " * 20, "c")], Workers()) for task in (first, other)]
    np.testing.assert_array_equal(*scores)


def test_a_resumed_run_tells_what_was_assumed_at_its_start(trained, tmp_path):
    options, _ = trained
    again = dataclasses.replace(options, checkpoint=options.output_dir, epochs=2, output_dir=str(tmp_path / "whole"))
    whole = finetune(again)
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    (tmp_path / "killed/results.json").unlink()
    steps = sorted((tmp_path / "killed/checkpoints").glob("step-*"), key=lambda path: int(path.name[5:]))
    shutil.rmtree(steps[-1])
    assert len(steps) > 1
    resumed = finetune(dataclasses.replace(again, output_dir=str(tmp_path / "killed"), resume="auto"))
    assert resumed["notes"] == whole["notes"] and any("left out for a new one" in note for note in whole["notes"])

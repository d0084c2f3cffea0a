"""A fine-tuned teacher's soft labels, and starting from a model of another task."""

import dataclasses
import types

import mxnet as mx
import numpy as np
import pytest
from finetuning_runs import results_of, rows, weights

from bort_mx.commands.finetune import run
from bort_mx.data.batches import NOBODY, TextBatch
from bort_mx.data.tasks import get_task
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.finetuning import teacher as teacher_module
from bort_mx.finetuning.evaluation import compute_scores
from bort_mx.finetuning.finetune import finetune, read_weights
from bort_mx.finetuning.objective import FineTuningObjective, SoftLabels
from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.finetuning.task_data import read_task_data, resolve
from bort_mx.finetuning.teacher import Distillation, Teacher
from bort_mx.finetuning.unlabelled import read_unlabelled


def batch(targets, rows):
    count = len(rows)
    return TextBatch(np.zeros((count, 3)), np.full(count, 3), np.zeros((count, 3)), np.asarray(targets, np.float32),
                     np.asarray([row != NOBODY for row in rows], np.float32), np.asarray(rows))


def model_of(scores):
    """A stand-in for a model, whose outputs are `scores`."""
    def model(ids, valid_length, masked, token_types):
        return scores
    model.config = types.SimpleNamespace(token_types=0)
    return model


def softmax(z):
    shares = np.exp(z - z.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("weight, temperature", [(0.5, 2.0), (1.0, 1.0), (0.3, 4.0)])
def test_loss_and_gradient_equal_the_formula(weight, temperature):
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(4, 3)) * 3, rng.normal(size=(6, 3)) * 3
    chosen, targets = [5, 0, 2, NOBODY], [2, 0, 1, 0]
    scores = mx.nd.array(student)
    scores.attach_grad()
    objective = FineTuningObjective(model_of(scores), False, soft=SoftLabels(teacher, weight, temperature))
    with mx.autograd.record():
        sums = objective(batch(targets, chosen), detailed=True)
    sums.loss.backward()
    z, t, y = student[:3], teacher[chosen[:3]], np.eye(3)[targets[:3]]
    soft = -temperature ** 2 * (softmax(t / temperature) * np.log(softmax(z / temperature))).sum()
    hard = -(y * np.log(softmax(z))).sum()
    assert sums.loss.asscalar() == pytest.approx(weight * soft + (1 - weight) * hard, rel=1e-5)
    assert sums.metrics["kd_loss"].asscalar() == pytest.approx(soft, rel=1e-5)
    assert sums.metrics["label_loss"].asscalar() == pytest.approx(hard, rel=1e-5)
    gradient = weight * temperature * (softmax(z / temperature) - softmax(t / temperature)) + (1 - weight) * (
        softmax(z) - y)
    np.testing.assert_allclose(scores.grad.asnumpy(), [*gradient, [0, 0, 0]], atol=1e-5)


def test_a_regression_has_the_squared_distance():
    student, teacher = np.array([[1.0], [2.0]]), np.array([[0.5], [4.0]])
    objective = FineTuningObjective(model_of(mx.nd.array(student)), True, soft=SoftLabels(teacher, 0.25, 2.0))
    sums = objective(batch([3.0, 2.5], [1, 0]))
    expected = 0.25 * ((1 - 4) ** 2 + (2 - 0.5) ** 2) + 0.75 * ((1 - 3) ** 2 + (2 - 2.5) ** 2)
    assert sums.loss.asscalar() == pytest.approx(expected)


def test_without_a_label_only_the_distillation_counts_and_right_is_the_teachers_answer():
    rng = np.random.default_rng(1)
    student, teacher = rng.normal(size=(3, 3)) * 3, rng.normal(size=(3, 3)) * 3
    soft = SoftLabels(teacher, 0.4, 1.0, np.array([1, 0, 1], np.float32))
    answers = soft.targets(np.zeros(3, np.float32), False)
    np.testing.assert_array_equal(answers, [0, teacher[1].argmax(), 0])
    np.testing.assert_array_equal(soft.targets(np.full(3, 9.0), True), np.float32([9, teacher[1, 0], 9]))
    objective = FineTuningObjective(model_of(mx.nd.array(student)), False, soft=soft)
    sums = objective(batch(answers, [0, 1, 2]), detailed=True)
    each = -(softmax(teacher) * np.log(softmax(student))).sum(axis=1)
    hard = -np.log(softmax(student))[[0, 2], 0]
    assert sums.loss.asscalar() == pytest.approx(0.4 * each.sum() + 0.6 * hard.sum(), rel=1e-5)
    right = sum(student[i].argmax() == answers[i] for i in range(3))
    assert sums.metrics["accuracy"].asscalar() == right


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "texts.tsv"
    path.write_text("first\tsecond\n" + "".join(f"a word {i}\tanother {i}\n" for i in range(20))
                    + "only\t\u200b\na word 0\tanother 0\n")
    return path


def test_texts_without_labels_are_learnt_too(small, finished, texts, tmp_path):
    options = dataclasses.replace(small, teacher=str(finished), unlabelled=str(texts), epochs=1,
                                  output_dir=str(tmp_path / "run"))
    results = finetune(options)
    plain = finetune(dataclasses.replace(options, unlabelled=None, output_dir=str(tmp_path / "plain")))
    assert results["train_examples"] == plain["train_examples"] == 96
    assert results["steps_per_epoch"] == plain["steps_per_epoch"] + 20 // 8 + 1
    assert (results["unlabelled_examples"], plain["unlabelled_examples"]) == (20, 0)
    assert any("20 texts without labels" in note and "beside 96" in note for note in results["notes"])
    assert "1 of 22 left out, as a text is empty" in " ".join(results["notes"])
    assert "1 of 22 left out, as they stand there before" in " ".join(results["notes"])
    assert any(note.startswith(f"the teacher {finished} on dev: accuracy") for note in results["notes"])
    for row in rows(tmp_path / "run"):
        assert "kd_loss" not in row or row["loss"] == pytest.approx(0.5 * row["kd_loss"] + 0.5 * row["label_loss"],
                                                                    rel=1e-5)
    with open(texts, "a") as file:
        file.write("one more\tpair\n")
    with pytest.raises(InputError, match="unlabelled"):
        finetune(dataclasses.replace(options, resume="auto"))
    for name in ("teacher", "unlabelled"):
        absent = dataclasses.replace(options, resume="auto", **{"teacher": str(finished), "unlabelled": None,
                                                                name: None})
        with pytest.raises(InputError, match=f"was started with --{name} .*; give it again"):
            finetune(absent)
    with pytest.raises(InputError, match="was started without --teacher; leave it out"):
        finetune(dataclasses.replace(small, resume="auto", teacher=str(finished), output_dir=str(finished)))


@pytest.mark.parametrize("content", ["a\tb\n\nc\td\n\n", "a\tb\r\n\r\nc\td\r\n \r\n"])
def test_empty_lines_of_pairs_are_left_out_as_in_other_forms(small, tmp_path, content):
    (tmp_path / "texts.txt").write_bytes(content.encode())
    found = read_unlabelled(str(tmp_path / "texts.txt"), get_task(small.task))
    assert [example.texts for example in found] == [("a", "b"), ("c", "d")]
    assert found.notes == [f"{tmp_path / 'texts.txt'}: 2 of 4 left out, as a text is empty"]


@pytest.mark.parametrize("content, message", [
    ("a text\n", "one text, but the classifier was trained on pairs"),
    ("a\tb\n\na text\n", ":3: one text, but the classifier was trained on pairs"),
    ("", "holds no text"),
    ("\u200b\t\u200b\n", "holds no text"),
    ("a\tb\tc\n", ":1: 2 tabs"),
    (b"\x1f\x8b\x08\x00", "gzip-compressed; decompress it"),
    (None, "no such file"),
    ("a folder", "no regular file"),
])
def test_texts_that_do_not_fit_are_refused_before_anything_is_written(small, finished, tmp_path, content, message):
    path = tmp_path / "texts.txt"
    if content == "a folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=f"^--unlabelled .*{message}"):
        finetune(dataclasses.replace(small, teacher=str(finished), unlabelled=str(path),
                                     output_dir=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_a_regression_has_no_temperature(small, tmp_path):
    lines = [f"page {'very ' * (i % 7)}long {i},{400.5 + 20 * (i % 7)}" for i in range(24)]
    (tmp_path / "pages.csv").write_text("\n".join(["text,pages", *lines]) + "\n")
    options = dataclasses.replace(small, task=None, data_dir=None, train=str(tmp_path / "pages.csv"), teacher="t",
                                  temperature=7.0, output_dir=str(tmp_path / "run"))
    with pytest.raises(InputError, match="--temperature 7: a regression's distance to its teacher has none"):
        finetune(options)


def test_a_file_in_a_tasks_form_is_read_as_the_task_reads_it(shared, tmp_path):
    """GLUE's quotes are ordinary characters; where a task marks words, its own file is not what it asks for."""
    rows = 'id\tquestion1\tquestion2\n0\t"Who" is it?\t"Who was\n1\t"quoted"\tb\n'
    (tmp_path / "test.tsv").write_text(rows)
    texts = [example.texts for example in read_unlabelled(str(tmp_path / "test.tsv"), get_task("QQP"))]
    assert texts == [('"Who" is it?', '"Who was'), ('"quoted"', "b")]
    wic = shared / "data/superglue/WiC/test.jsonl"
    if not wic.is_file():
        pytest.skip("the shared data have no WiC")
    with pytest.raises(InputError, match="no column 'sentence1 with the word .*as superglue/WiC does"):
        read_unlabelled(str(wic), get_task("superglue/WiC"))


@pytest.fixture(scope="module")
def distilled(small, finished, tmp_path_factory):
    out = tmp_path_factory.mktemp("distilled") / "run"
    finetune(dataclasses.replace(small, teacher=str(finished), kd_weight=0.7, output_dir=str(out)))
    return out


def test_a_run_with_a_teacher(distilled, finished, small):
    first = rows(distilled)[0]
    assert first["loss"] == pytest.approx(0.7 * first["kd_loss"] + 0.3 * first["label_loss"], rel=1e-5)
    assert any("soft labels of" in note and "0.7 · distillation at temperature 2" in note
               for note in results_of(distilled)["notes"])
    # The first step's distillation, from the teacher's own outputs: both begin with the same weights and batches.
    task, asked = resolve(small.task)
    data = read_task_data(task, asked, None, 0, Workers())
    teacher = Teacher(read_weights(str(finished), Workers()), str(finished), task, mx.cpu(), 32)
    soft = teacher.soft_labels(Distillation(0.7, 2.0), data.train, Workers())
    assert soft.scores.shape == (len(data.train), 2) and np.isfinite(soft.scores).all()
    entropy = -4 * (softmax(soft.scores / 2) * np.log(softmax(soft.scores / 2))).sum(axis=1)
    assert all(row["kd_loss"] > entropy.min() for row in rows(distilled) if "kd_loss" in row)


def test_several_seeds_ask_the_teacher_once(small, finished, tmp_path, monkeypatch):
    """And learn what a run of one seed learns."""
    asked = []

    def counted(objective, batches, *arguments):
        asked.append(len(batches))
        return compute_scores(objective, batches, *arguments)

    monkeypatch.setattr(teacher_module, "compute_scores", counted)
    options = dataclasses.replace(small, teacher=str(finished), epochs=1, seeds=2, seed=3,
                                  output_dir=str(tmp_path / "two"))
    run(options)
    assert len(asked) == 2  # the dev set and the training set
    run(dataclasses.replace(options, seeds=1, seed=4, output_dir=str(tmp_path / "one")))
    assert len(asked) == 4
    second, alone = (results_of(tmp_path / name) for name in ("two/seed-4", "one"))
    assert second["dev"] == alone["dev"] and second["notes"] == alone["notes"]
    assert rows(tmp_path / "two" / "seed-4") == rows(tmp_path / "one")


def test_it_goes_back_to_a_checkpoint_and_ends_the_same(distilled, small, finished):
    before = weights(distilled)
    finetune(dataclasses.replace(small, teacher=str(finished), kd_weight=0.7, output_dir=str(distilled),
                                 resume=str(distilled / "checkpoints/step-12")))
    after = weights(distilled)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_another_teacher_is_refused_on_resuming(distilled, small, encoder, finished, tmp_path):
    other = tmp_path / "other"
    finetune(dataclasses.replace(small, epochs=1, seed=5, output_dir=str(other)))
    again = dataclasses.replace(small, kd_weight=0.7, output_dir=str(distilled), resume="auto")
    with pytest.raises(InputError, match="--teacher .* is not what .* started from"):
        finetune(dataclasses.replace(again, teacher=str(other)))


def test_transfer_replaces_the_classifier(small, finished, encoder, tmp_path):
    """The same start as --checkpoint of a fine-tuned run; an encoder is refused."""
    options = dataclasses.replace(small, epochs=1, checkpoint=FineTuningOptions.checkpoint)
    found = finetune(dataclasses.replace(options, transfer_from=str(finished), output_dir=str(tmp_path / "a")))
    assert any("is left out for a new one" in note for note in found["notes"])
    finetune(dataclasses.replace(options, checkpoint=str(finished), output_dir=str(tmp_path / "b")))
    one, two = weights(tmp_path / "a", "step-12"), weights(tmp_path / "b", "step-12")
    assert all(np.array_equal(one[name], two[name]) for name in one)
    with pytest.raises(InputError, match="is not fine-tuned on any task; give it as --checkpoint"):
        finetune(dataclasses.replace(options, transfer_from=str(encoder), output_dir=str(tmp_path / "c")))
    with pytest.raises(InputError, match="--transfer-from fresh: is not fine-tuned on any task"):
        finetune(dataclasses.replace(options, transfer_from="fresh", output_dir=str(tmp_path / "c")))
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("values, message", [
    ({"checkpoint": "a", "transfer_from": "b"}, "give one of them"),
    ({"transfer_from": "b", "keep_classifier": True}, "leave out --keep-classifier"),
    ({"teacher": "b", "predict_only": True, "checkpoint": "a"}, "leave out --teacher"),
    ({"unlabelled": "texts.txt", "predict_only": True, "checkpoint": "a"}, "leave out --unlabelled"),
    ({"unlabelled": "texts.txt"}, "--unlabelled texts.txt requires --teacher"),
    ({"unlabelled": "texts.txt", "teacher": "a", "kd_weight": 0.0}, "no effect with --kd-weight 0"),
    ({"kd_weight": 1.5}, r"--kd-weight 1.5: must be in \[0, 1\]"),
    ({"temperature": 0.0}, r"--temperature 0.0: must be in \[0.01, 1000\]"),
])
def test_options_that_make_no_sense(values, message):
    with pytest.raises(InputError, match=message):
        FineTuningOptions(**values)


def test_a_teachers_options_need_a_teacher(small, tmp_path):
    with pytest.raises(InputError, match="--kd-weight 0.9 requires --teacher"):
        finetune(dataclasses.replace(small, kd_weight=0.9, output_dir=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()

"""A model that always says the same: noted, unless one class may be right."""

import pytest

from bort_mx.data.constant_predictions import constant_note, constant_scores, no_better_note
from bort_mx.data.metrics import accuracy, f1

MRPC = ["1"] * 279 + ["0"] * 129  # the dev set's labels


@pytest.mark.parametrize("predictions, labels, expected", [
    (["1"] * 408, MRPC, "predicts the majority class always: 1, for all 408 examples"),
    (["0"] * 408, MRPC, "predicts one class always: 0, for all 408 examples; the majority class is 1, with 279"),
    (["1"] * 407 + ["0"], MRPC, None),
    (["a"] * 4, ["a", "b", "b", "a"], "predicts the majority class always: a, for all 4 examples"),  # a tie
    (["b"] * 4, ["a", "b", "b", "a"], "predicts the majority class always: b, for all 4 examples"),
    (["1"] * 40, ["1"] * 40, None),  # the one class is right
    (["yes"] * 1725, None, "predicts one class always: yes, for all 1,725 examples"),
    (["yes"] * 9, None, None),  # too few to say
    (["yes"] * 10, None, "predicts one class always: yes, for all 10 examples"),
    ([2] * 12, [0, 1] * 6, "predicts one class always: 2, for all 12 examples; the majority class is 0, with 6"),
    ([2.5001 + i / 1e5 for i in range(20)], [float(i % 5) for i in range(20)],
     "predicts one value always: 2.5, for all 20 examples"),
    ([2.5 + i / 1e3 for i in range(20)], [float(i % 5) for i in range(20)], None),
    ([], None, None), ([], [], None)])
def test_one_class_or_value_for_all(predictions, labels, expected):
    assert constant_note(predictions, labels) == expected


@pytest.mark.parametrize("labels, classes", [
    ([1] * 279 + [0] * 129, 2), ([1] * 3 + [0] * 17, 2), ([0] * 9 + [1] * 3 + [2] * 5, 3), ([0, 0, 2], 3)])
def test_the_best_constant_is_that_of_the_metrics_themselves(labels, classes):
    found = constant_scores(["accuracy", "f1", "matthews", "loss"], labels, range(classes))
    always = [[label] * len(labels) for label in range(classes)]
    assert found == {"accuracy": pytest.approx(max(accuracy(one, labels) for one in always)),
                     "f1": pytest.approx(max(f1(one, labels, classes) for one in always))}


def test_what_a_constant_scores_is_left_out_where_it_says_nothing():
    assert constant_scores(["accuracy", "f1"], ["a"] * 5, ["a", "b"]) == {}  # one class is right
    assert constant_scores(["pearson", "spearman"], [1.0, 2.0], []) == {}
    candidates = [3, 3, 1]
    assert constant_scores(["accuracy", "f1"], candidates, ["0", "1"]) == {"accuracy": pytest.approx(2 / 3)}


@pytest.mark.parametrize("value, note", [
    (0.4706, "accuracy 0.4706 is not above 0.5294, which one label for all examples scores"),
    (9 / 17, "accuracy 0.5294 is not above 0.5294, which one label for all examples scores"), (0.6, None)])
def test_a_model_that_is_no_better_is_noted(value, note):
    assert no_better_note("accuracy", {"accuracy": value}, {"accuracy": 9 / 17}) == note
    assert no_better_note("matthews", {"matthews": 0.0}, {"accuracy": 9 / 17}) is None

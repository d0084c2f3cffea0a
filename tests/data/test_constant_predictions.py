"""A model that always says the same: noted, unless one class may be right."""

import pytest

from bort_mx.data.constant_predictions import constant_note

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

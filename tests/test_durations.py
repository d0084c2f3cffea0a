"""Durations in words."""

import pytest

from bort_mx.durations import in_words


@pytest.mark.parametrize("seconds, text", [
    (0.0123, "0.012 s"), (0.25, "0.25 s"), (9.96, "10 s"), (40, "40 s"), (119.4, "119 s"), (120, "2 min"),
    (725, "12 min"), (7199, "2 h"), (7200, "2 h"), (12000, "3 h 20 min"), (170_000, "47 h 13 min"),
    (172_800, "2 days"), (540_000, "6 days 6 h"), (30 * 86400, "30 days"), (72_581_750, "2.3 years")])
def test_a_duration_is_told_in_the_unit_that_suits_it(seconds, text):
    assert in_words(seconds) == text

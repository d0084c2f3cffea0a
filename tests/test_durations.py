"""Durations in words, and durations that are given."""

import pytest

from bort_mx.durations import in_words, seconds_of
from bort_mx.errors import InputError
from bort_mx.training.cost import duration


@pytest.mark.parametrize("seconds, text", [
    (0.0123, "0.012 s"), (0.25, "0.25 s"), (9.96, "10 s"), (40, "40 s"), (119.4, "119 s"), (120, "2 min"),
    (725, "12 min"), (7199, "2 h"), (7200, "2 h"), (12000, "3 h 20 min"), (170_000, "47 h 13 min"),
    (172_800, "2 days"), (540_000, "6 days 6 h"), (30 * 86400, "30 days"), (72_581_750, "2.3 years")])
def test_a_duration_is_told_in_the_unit_that_suits_it(seconds, text):
    assert in_words(seconds) == text


@pytest.mark.parametrize("text, seconds", [
    ("90", 90), ("45s", 45), ("90s", 90), ("30m", 1800), ("45min", 2700), ("45m", 2700), ("2h", 7200), ("1.5h", 5400),
    ("1h30m", 5400), ("1h 30min", 5400), ("1d", 86400), ("1.5d", 129600), (" 2H ", 7200)])
def test_a_duration_is_read(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "2 hours", "h", "-1h", "0", "0s", "1h30", "nan", "soon", "9" * 400])
def test_no_duration(text):
    with pytest.raises(InputError, match="--budget .*: not a duration above 0"):
        seconds_of(text)


def test_a_training_of_more_than_a_month_is_warned_of():
    """25,000 steps of 49 minutes, as the paper's size takes on a small machine; and a month to the second."""
    first, warning = duration(49 * 60, 25_000).splitlines()
    assert first == "about 49 min a step: 2.3 years for 25,000 steps, without evaluations"
    assert warning.startswith("warning: more than a month on this machine; it goes on.") and "Ctrl-C" in warning
    assert duration(86_400, 30) == "about 24 h a step: 30 days for 30 steps, without evaluations"

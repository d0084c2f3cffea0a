"""How long a run has worked, and on what."""

import json

import pytest

from bort_mx.training import hours as module
from bort_mx.training.hours import HOURS, Hours, device_in_words


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


def test_hours_of_all_processes_of_a_run_count(tmp_path, clock):
    first = Hours(tmp_path, "8 x Tesla V100", 8, continues=False)
    clock[0] += 1800
    first.save()
    clock[0] += 900  # killed: this quarter of an hour was not saved
    second = Hours(tmp_path, "8 x Tesla V100", 8, continues=True)
    clock[0] += 3600
    found = second.entries()
    assert found == {"device": "8 x Tesla V100", "hours": pytest.approx(1.5), "gpu_hours": pytest.approx(12.0)}
    second.save()
    assert json.loads((tmp_path / HOURS).read_text())["gpu_hours"] == pytest.approx(12.0)
    assert Hours(tmp_path, "x", 8, continues=False).entries()["hours"] == 0


@pytest.mark.parametrize("content", [None, "{", "[]", '{"hours": "x"}'])
def test_a_run_without_a_readable_clock_starts_anew(tmp_path, clock, content):
    if content is not None:
        (tmp_path / HOURS).write_text(content)
    assert Hours(tmp_path, "x", 0, continues=True).entries() == {"device": "x", "hours": 0.0}


def test_the_device_in_words(monkeypatch):
    monkeypatch.setattr(module.runtime, "set_threads", lambda: 2)
    monkeypatch.setattr(module, "cpu_name", lambda: "Some CPU")
    monkeypatch.setattr(module, "_gpu_name", lambda number: f"GPU model {number}")
    assert device_in_words(None, 1) == "2 threads of Some CPU" and device_in_words(None, 4).startswith("4 x 2 threads")
    assert device_in_words(3, 8) == "8 x GPU model 3"

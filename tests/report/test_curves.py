"""Learning curves: where one reaches another's final value, by hand; the plot; the demo's verdict."""

import json

import pytest

from bort_mx.commands.demo_distillation import verdict
from bort_mx.report.curves import first_step_at, median_curve, plot_curves, read_curve, steps_ratio

SLOW = [(100, 0.1), (200, 0.2), (300, 0.3)]
QUICK = [(100, 0.2), (200, 0.4), (300, 0.5)]


@pytest.mark.parametrize("value, step", [(0.1, 100), (0.05, 50), (0.25, 250), (0.3, 300), (0.31, None)])
def test_first_step_is_interpolated_between_evaluations(value, step):
    found = first_step_at(SLOW, value)
    assert found is None if step is None else found == pytest.approx(step)


def test_ratio_of_steps():
    assert steps_ratio(QUICK, SLOW) == pytest.approx(150 / 300)
    assert steps_ratio(SLOW, QUICK) is None
    assert steps_ratio(SLOW, SLOW) == pytest.approx(1.0)


def test_verdict_says_what_was_found():
    assert "after 0.50 of its steps" in verdict(0.5)
    assert "did not reach" in verdict(None)
    assert "after 0.50 of its steps (each seed: 0.40, 0.50, never)" in verdict(0.5, [0.4, 0.5, None])


def test_median_curve():
    assert median_curve([SLOW, QUICK, [(100, 0.15), (200, 0.9), (300, 0.31)]]) == [(100, 0.15), (200, 0.4), (300, 0.31)]
    assert median_curve([[(1, 0.25)], [(1, 0.75)]]) == [(1, 0.5)]


def test_curves_are_read_from_metrics_and_plotted(tmp_path):
    rows = [{"step": 1, "loss": 3.0}, {"step": 2, "validation_mlm_accuracy": 0.25}, {"step": 4, "loss": 2.0},
            {"step": 4, "validation_mlm_accuracy": 0.5}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    curve = read_curve(tmp_path)
    assert curve == [(2, 0.25), (4, 0.5)]
    plot_curves({"self-supervised": [curve, SLOW], "distillation": [QUICK]}, tmp_path / "plot.png", "title")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_the_axes_of_a_short_run_can_be_read(tmp_path, monkeypatch):
    """Whole steps, and digits for accuracies below 1 %: not "0%" at several marks."""
    from bort_mx import plotting

    drawn = []
    monkeypatch.setattr(plotting, "save", lambda figure, path: drawn.append(figure))
    plot_curves({"a": [[(10, 0.0), (20, 0.009)]]}, tmp_path / "plot.png", "title")
    axes, = drawn[0].axes
    drawn[0].canvas.draw()
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(set(labels)) == len(labels) > 2
    assert all(float(label.get_text()).is_integer() for label in axes.get_xticklabels())

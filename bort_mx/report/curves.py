"""Learning curves: validation MLM accuracy against steps, the paper's Figure 1."""

import itertools
import json
import os
import pathlib
import statistics
from typing import Any, Dict, List, Optional, Sequence, Tuple

from bort_mx import plotting
from bort_mx.training.run_directory import METRICS

Curve = List[Tuple[int, float]]


def read_curve(run: os.PathLike, metric: str = "validation_mlm_accuracy") -> Curve:
    """(step, value) pairs of a metric from a run's metrics.jsonl.

    Args:
        run: the run's output folder.
        metric: a name in the log; lines without it are passed over.
    """
    lines = (pathlib.Path(run) / METRICS).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [(row["step"], row[metric]) for row in rows if metric in row]


def first_step_at(curve: Curve, value: float) -> Optional[float]:
    """The step at which a curve first reaches a value, interpolated between evaluations; None if never."""
    before: Tuple[float, float] = (0, 0.0)
    for step, found in curve:
        if found >= value:
            return before[0] + (step - before[0]) * (value - before[1]) / max(found - before[1], 1e-12)
        before = (step, found)
    return None


def steps_ratio(distilled: Curve, self_supervised: Curve) -> Optional[float]:
    """Steps that distillation takes to the self-supervised run's final accuracy, as a share of that run's steps.

    None if distillation does not reach it.
    """
    last_step, final = self_supervised[-1]
    reached = first_step_at(distilled, final)
    return None if reached is None else reached / last_step


def median_curve(curves: Sequence[Curve]) -> Curve:
    """The median of several curves at each step; of an even number, the mean of the middle two."""
    return [(rows[0][0], statistics.median(value for _, value in rows)) for rows in zip(*curves)]


def plot_curves(curves: Dict[str, Sequence[Curve]], path: os.PathLike, title: str,
                lines: Optional[Dict[str, float]] = None, crossing: Optional[Tuple[Curve, Tuple]] = None) -> None:
    """Write a PNG with learning curves.

    Args:
        curves: for each label its curves, one per seed. They share a colour; the one with the median final value is
            bold.
        path: the file.
        title: of the figure.
        lines: horizontal lines, with their labels.
        crossing: a curve and the last point of another; where the curve first has that point's value is marked.
    """
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure, axes = plotting.new_figure(7, 4.2)
    for (label, value), style in zip((lines or {}).items(), itertools.cycle(("--", ":"))):
        axes.axhline(value, color=plotting.INK, linewidth=1, linestyle=style)
        axes.annotate(label, (1, value), xycoords=("axes fraction", "data"), xytext=(-2, 3),
                      textcoords="offset points", ha="right", fontsize=8, color=plotting.INK)
    for (label, seeds), colour in zip(curves.items(), itertools.cycle(plotting.SERIES)):
        ranked = sorted(seeds, key=lambda curve: curve[-1][1])
        for curve in ranked:
            median = curve is ranked[len(ranked) // 2]
            axes.plot(*zip(*curve), color=colour, alpha=1 if median else 0.35, linewidth=2 if median else 1,
                      label=label if median else None)
    axes.set(xlabel="training steps", ylabel="validation MLM accuracy")
    plotting.set_title(axes, title)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))  # digits by the range: a short run may stay below 1 %
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=(1, 2, 2.5, 5, 10), integer=True))
    if crossing is not None:
        _mark_crossing(axes, *crossing)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    plotting.style_axes(axes)
    axes.legend(frameon=False, loc="upper left" if lines else "lower right")
    plotting.save(figure, path)


def _mark_crossing(axes: Any, curve: Curve, last: Tuple[float, float]) -> None:
    """Mark where a curve first has another's final value, and for which share of the other's steps."""
    reached = first_step_at(curve, last[1])
    if reached is not None:
        axes.plot([reached, last[0]], [last[1]] * 2, color=plotting.INK, linewidth=1)
        axes.plot([reached], [last[1]], "o", color=plotting.INK, markersize=5)
        axes.annotate(f"{reached / last[0]:.2f} of the steps", (reached, last[1]), xytext=(-4, 6),
                      textcoords="offset points", ha="right", fontsize=8, color=plotting.INK)

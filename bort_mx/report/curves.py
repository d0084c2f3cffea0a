"""Learning curves: validation MLM accuracy against steps, the paper's Figure 1."""

import json
import os
import pathlib
from typing import Dict, List, Optional, Sequence, Tuple

from bort_mx.io import files
from bort_mx.training.run_directory import METRICS

Curve = List[Tuple[int, float]]


def read_curve(run: os.PathLike, metric: str = "validation_mlm_accuracy") -> Curve:
    """(step, value) pairs of a metric from a run's metrics.jsonl."""
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
    """The share of the self-supervised run's steps after which the distilled run has its final accuracy."""
    last_step, final = self_supervised[-1]
    reached = first_step_at(distilled, final)
    return None if reached is None else reached / last_step


def plot_curves(curves: Dict[str, Sequence[Curve]], path: os.PathLike, title: str) -> None:
    """Write a PNG: each label's curves (one a seed) in one colour, the median seed's bold, and where distillation
    reaches the self-supervised run's final accuracy is for the caller's title to say.
    """
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), dpi=150)
    colours = dict(zip(curves, ("#1f6f8b", "#d1495b", "#5b8c5a", "#8d6a9f")))
    for label, seeds in curves.items():
        ranked = sorted(seeds, key=lambda curve: curve[-1][1])
        for curve in ranked:
            median = curve is ranked[len(ranked) // 2]
            axes.plot(*zip(*curve), color=colours[label], alpha=1 if median else 0.35, linewidth=2 if median else 1,
                      label=label if median else None)
    axes.set(xlabel="training steps", ylabel="validation MLM accuracy", title=title)
    axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0, decimals=0))
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.tight_layout()
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
    plt.close(figure)

"""The figures of a fine-tuning run: confusion matrix, scatter plot of a regression, and learning curve."""

import os
from typing import Dict, List, Sequence

import numpy as np

from bort_mx import plotting
from bort_mx.plotting import BLUE, RED

MOST_CELLS = 20
"""Up to this number of labels, the cells of a confusion matrix contain numbers."""


def confusion(labels: Sequence[int], predictions: Sequence[int], names: Sequence[str], title: str,
              path: os.PathLike) -> None:
    """Write a confusion matrix as PNG: one row per label, one column per prediction, shaded by share of the row."""
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (np.asarray(labels), np.asarray(predictions)), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    few = len(names) <= MOST_CELLS
    side = 2.6 + 0.75 * len(names) if few else 10.0
    figure, axes = plotting.new_figure(side + 0.6, side)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape) if few else ():
        axes.text(column, row, f"{counts[row, column]}\n{shares[row, column]:.0%}", ha="center", va="center",
                  color="white" if shares[row, column] > 0.6 else "black")
    ticks = range(0, len(names), -(-len(names) // (4 * MOST_CELLS)))
    shown = [_shortened(names[i]) for i in ticks]
    axes.set(xticks=ticks, yticks=ticks, xlabel="prediction", ylabel="label")
    plotting.set_title(axes, f"{title}, dev ({counts.trace() / max(counts.sum(), 1):.1%} right)")
    long = max(map(len, names)) > 6
    axes.set_xticklabels(shown, rotation=20 if long and few else 0 if few else 90, parse_math=False)
    axes.set_yticklabels(shown, rotation=90 if long and few else 0, va="center", parse_math=False)
    if not few:
        axes.tick_params(labelsize=5)
    plotting.save(figure, path)


def _shortened(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"


def scatter(labels: Sequence[float], predictions: Sequence[float], title: str, path: os.PathLike) -> None:
    """Write a scatter plot as PNG: predictions against targets, with the diagonal."""
    figure, axes = plotting.new_figure(5, 4.6)
    axes.scatter(labels, predictions, s=8, alpha=0.4, color=BLUE, edgecolors="none")
    ends = [min(labels), max(labels)]
    axes.plot(ends, ends, color=RED, linewidth=1)
    axes.set(xlabel="target", ylabel="prediction")
    plotting.set_title(axes, f"{title}, dev")
    plotting.style_axes(axes)
    plotting.save(figure, path)


def learning_curve(rows: List[Dict[str, float]], criterion: str, title: str, path: os.PathLike) -> None:
    """Write a learning curve as PNG: training loss, dev loss and the criterion on dev, against steps.

    Args:
        rows: the objects of metrics.jsonl.
        criterion: name of one of their values, for example dev_accuracy.
    """
    figure, (left, right) = plotting.new_figure(9, 3.6, columns=2)
    # null in the log means that the loss was not finite.
    training = [(row["step"], row["loss"]) for row in rows if row.get("loss") is not None]
    if training:
        steps, losses = (np.array(values) for values in zip(*training))
        left.plot(steps, losses, color=BLUE, linewidth=0.8, alpha=0.3)
        left.plot(steps, _smooth(losses), color=BLUE, linewidth=1.5, label="training")
    dev = [row for row in rows if criterion in row]
    steps = [row["step"] for row in dev]
    left.plot(steps, [row["dev_loss"] for row in dev], color=RED, marker="o", markersize=4, label="dev")
    right.plot(steps, [row[criterion] for row in dev], color=RED, marker="o", markersize=4)
    left.set(xlabel="steps", ylabel="loss")
    right.set(xlabel="steps", ylabel=criterion.replace("dev_", "dev "))
    left.legend(frameon=False)
    for axes in (left, right):
        plotting.set_title(axes, title)
        plotting.style_axes(axes)
        axes.set_xlim(left=0)
    plotting.save(figure, path)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Running mean over about 5 % of the values. The loss of a batch of 8 examples is noisy."""
    half = max(1, len(values) // 40)
    return np.array([values[max(0, i - half):i + half + 1].mean() for i in range(len(values))])

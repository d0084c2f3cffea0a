"""A figure of scores over seeds: a panel a task, a column a program or run, a dot a seed, a bar at the median."""

import itertools
import math
import pathlib
from typing import Dict, Optional, Sequence

import numpy as np

from bort_mx.io import files

STYLES = ":", "--", "-."
MOST_UNDER_AXIS = 3
"""Columns of a panel whose names have room under it; of more the names stand in the legend, by their colours."""
COLOURS, MARKERS = 10, "osD^"
"""Colours there are; columns beyond have the next marker."""
IN_A_ROW = 5
"""Entries of the legend."""


def draw(panels: Dict[str, Dict[str, Sequence[float]]], path: pathlib.Path,
         lines: Optional[Dict[str, Dict[str, float]]] = None) -> None:
    """Write a PNG.

    Args:
        panels: title → column → values of its seeds (none: the column stays empty); at least one.
        path: of the PNG.
        lines: title → name → a value without seeds, as a horizontal line.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = dict.fromkeys(name for columns in panels.values() for name in columns)
    colours = {name: f"C{number % COLOURS}" for number, name in enumerate(names)}
    markers = {name: MARKERS[number // COLOURS % len(MARKERS)] for number, name in enumerate(names)}
    by_colour = max(map(len, panels.values())) > MOST_UNDER_AXIS
    figure, all_axes = plt.subplots(1, len(panels), figsize=(2.6 * len(panels), 3.4), dpi=150, squeeze=False)
    for axes, (title, columns) in zip(all_axes[0], panels.items()):
        for style, (name, value) in zip(itertools.cycle(STYLES), (lines or {}).get(title, {}).items()):
            axes.axhline(value, color="#555555", linestyle=style, label=name)
        for place, (name, values) in enumerate(columns.items()):
            axes.scatter(np.full(len(values), place), values, alpha=0.6, color=colours[name], marker=markers[name],
                         zorder=2)
            if len(values):
                axes.hlines(np.median(values), place - 0.3, place + 0.3, color=colours[name], zorder=3)
        axes.set(title=title, xticks=range(len(columns)), xlim=(-0.6, len(columns) - 0.4))
        axes.title.set_fontsize(9)
        axes.set_xticklabels([""] * len(columns) if by_colour else columns, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = all_axes[0, 0].get_legend_handles_labels()
    if by_colour:
        handles += [plt.Line2D([], [], color=colours[name], marker=markers[name], linestyle="") for name in names]
        labels += [name.replace("\n", " ") for name in names]
    figure.tight_layout(rect=(0, 0.06 * math.ceil(len(labels) / IN_A_ROW), 1, 1))
    if labels:
        figure.legend(handles, labels, frameon=False, fontsize=8, ncol=IN_A_ROW, loc="lower center")
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")

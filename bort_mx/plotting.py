"""Figures: one style and one way to save them. Equal inputs give equal bytes.

matplotlib is imported inside the functions: --help and most runs need none. No pyplot, hence no display, no global
state, and nothing to close.
"""

import os
import warnings
from typing import Any, Optional, Tuple

from bort_mx.io.files import atomic_path

BLUE, RED, GREEN, PURPLE, YELLOW, GREY = "#1f6f8b", "#d1495b", "#5b8c5a", "#8d6a9f", "#e9c46a", "#8a8a8a"
SERIES = (BLUE, RED, GREEN, PURPLE, YELLOW, GREY)
"""Colours of lines, bars or points that stand side by side, in this order."""
INK = "#33312e"
"""Frames and reference lines."""
EMPTY = "#eceae6"
"""Cells without a value."""
GRID = "#e4e2de"
COLOUR_MAP = "viridis"
"""For values from low to high."""

DPI = 150
TITLE_SIZE = 10


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **settings: Any) -> Tuple[Any, Any]:
    """A figure for a PNG file, and its axes: one, or an array of several as matplotlib gives them.

    Args:
        width: in inches, of `DPI` pixels.
        height: in inches.
        rows: of axes.
        columns: of axes.
        settings: more arguments of `matplotlib.figure.Figure.subplots`, e.g. sharex.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return figure, figure.subplots(rows, columns, **settings)


def style_axes(axes: Any, grid: str = "both") -> None:
    """Leave out the upper and right spine, and draw a light grid behind the data.

    Args:
        axes: one matplotlib axes.
        grid: of which axis: both, x or y.
    """
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, which="major", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def set_title(axes: Any, text: str) -> None:
    """Set a title in which a dollar sign is a dollar sign: names of tasks and folders are no formulas."""
    axes.set_title(text, fontsize=TITLE_SIZE, parse_math=False)


def save(figure: Any, path: os.PathLike, description: Optional[str] = None) -> None:
    """Write a PNG file, whole or not at all.

    Args:
        figure: from `new_figure`.
        path: the file.
        description: what produced it, kept in the file's metadata.
    """
    with warnings.catch_warnings(), atomic_path(path) as temporary:
        # For letters of a script that no font here has, matplotlib draws boxes and warns of each.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        # matplotlib would write its version ("Software") into the file.
        figure.savefig(temporary, format="png", metadata={"Software": None, "Description": description})

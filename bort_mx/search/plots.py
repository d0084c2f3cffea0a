"""The plot of a search: its candidates by latency and error ê, and by parameters and error ê."""

import math
import os
from typing import Any, Dict, List, Mapping, Tuple

import numpy as np

from bort_mx import plotting
from bort_mx.plotting import GREY, INK, RED
from bort_mx.search.fptas_algorithm import Ranked, SearchResult
from bort_mx.search.objectives import Objectives
from bort_mx.search.pareto import pareto_front


def front_of(result: SearchResult) -> List[Ranked]:
    """The feasible candidates that no other one dominates in the three objectives, in the order of the ranking."""
    feasible = [ranked for ranked in result.ranking if not math.isnan(ranked.w)]
    points = np.array([[r.objectives.parameters, r.objectives.latency, r.objectives.error] for r in feasible])  # (n, 3)
    return [ranked for ranked, on_front in zip(feasible, pareto_front(points)) if on_front]


def draw(path: os.PathLike, result: SearchResult, presets: Mapping[str, Objectives], latency_unit: str,
         description: str) -> List[str]:
    """Write the plot as a PNG. The same input gives the same bytes.

    Args:
        path: the file to write.
        result: the search.
        presets: known architectures. One that was not evaluated (error NaN) is drawn as a dotted line.
        latency_unit: unit of latency, for the axis label.
        description: what produced the plot; stored in the file's metadata.

    Returns:
        Names of presets outside the plotted range; the caller should report them.
    """
    figure, (left, right) = plotting.new_figure(11, 5, columns=2, sharey=True)
    outside = []
    for axes, name, scale in ((left, "latency", 1.0), (right, "parameters", 1e-6)):
        points = _panel(axes, result, name, scale)
        outside.append(_mark_presets(axes, presets, name, scale))
    low, high = left.get_ylim()
    left.set_ylim(low, high + 0.25 * (high - low))  # leaves space for the presets' names
    left.set(xlabel=f"latency, {latency_unit}", ylabel="error ê, nats")
    right.set(xlabel="parameters, millions")
    figure.colorbar(points, ax=[left, right], label="W-coefficient", pad=0.01)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    plotting.save(figure, path, description)
    return sorted(set(outside[0]) | set(outside[1]))


def _panel(axes, result: SearchResult, name: str, scale: float) -> Any:
    """Draw one panel. Returns the coloured points, for the colour bar."""
    feasible = [ranked for ranked in result.ranking if not math.isnan(ranked.w)]
    rest = [r for r in result.ranking if math.isnan(r.w) and math.isfinite(r.objectives.error)]
    front, best = front_of(result), result.ranking[0]

    def places(entries: List[Ranked]) -> Dict[str, List[float]]:
        return {"x": [getattr(r.objectives, name) * scale for r in entries], "y": [r.objectives.error for r in entries]}
    if rest:
        axes.scatter(**places(rest), s=22, marker="x", color=GREY, linewidths=0.9, label="infeasible")
    points = axes.scatter(**places(feasible), c=[r.w for r in feasible], s=26, cmap=plotting.COLOUR_MAP, linewidths=0,
                          alpha=0.9)
    axes.scatter(**places(front), s=70, facecolors="none", edgecolors=INK, linewidths=0.9,
                 label="Pareto front (3 objectives)")
    axes.scatter(**places([best]), s=200, marker="*", color=RED, edgecolors="white", linewidths=0.8, zorder=5,
                 label=f"largest W: ⟨{best.architecture}⟩")
    axes.set_xscale("log")
    _plain_ticks(axes)
    plotting.style_axes(axes)
    return points


def _plain_ticks(axes) -> None:
    """On a logarithmic axis of less than two decades, label round values, not only powers of ten."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, StrMethodFormatter

    low, high = axes.get_xlim()
    if high / low < 100:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low > 12 else (1, 1.5, 2, 3, 5, 7)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_minor_locator(LogLocator(subs=range(1, 10)))
    axes.xaxis.set_major_formatter(EngFormatter(sep="") if high > 1e4 else StrMethodFormatter("{x:g}"))


def _mark_presets(axes, presets: Mapping[str, Objectives], name: str, scale: float) -> List[str]:
    """Mark presets inside the panel's range. Returns those outside; an unknown place (NaN) is neither."""
    low, high = axes.get_xlim()
    axes.set_xlim(low, high)
    places = {preset: getattr(objectives, name) * scale for preset, objectives in presets.items()}
    inside = {preset: x for preset, x in places.items() if low <= x <= high}
    unknown: Dict[float, List[str]] = {}
    for preset, x in inside.items():
        if math.isfinite(presets[preset].error):
            _mark_point(axes, preset, x, presets[preset].error)
        else:
            unknown.setdefault(x, []).append(preset)
    _mark_lines(axes, unknown)
    return sorted(preset for preset, x in places.items() if math.isfinite(x) and preset not in inside)


def _mark_point(axes, preset: str, x: float, y: float) -> None:
    axes.scatter([x], [y], s=60, marker="D", facecolors="none", edgecolors=RED, zorder=4)
    axes.annotate(preset, (x, y), xytext=(6, 6), textcoords="offset points", fontsize=8, color=RED, zorder=6,
                  path_effects=_halo())


def _mark_lines(axes, unknown: Mapping[float, List[str]]) -> None:
    """Draw a dotted line for each preset that was not evaluated. Lines that nearly coincide share a label."""
    low, high = axes.get_xlim()
    groups: List[Tuple[float, List[str]]] = []
    for x in sorted(unknown):
        axes.axvline(x, color=GREY, linewidth=0.7, linestyle=":", zorder=0)
        if groups and math.log(x / groups[-1][0]) < 0.035 * math.log(high / low):
            groups[-1][1].extend(unknown[x])
        else:
            groups.append((x, list(unknown[x])))
    for x, names in groups:
        axes.annotate(", ".join(names), (x, 1), xycoords=("data", "axes fraction"), xytext=(-2, -2), rotation=90,
                      textcoords="offset points", fontsize=7, color=INK, va="top", ha="right", path_effects=_halo())


def _halo() -> List[Any]:
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2, foreground="white")]

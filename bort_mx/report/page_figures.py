"""The figures of the report."""

import pathlib
from typing import Dict, List, Sequence

from bort_mx import plotting
from bort_mx.report.curves import plot_curves
from bort_mx.report.findings import MEASURED, Finding
from bort_mx.report.prose import scores
from bort_mx.report.published import SCORES, Published
from bort_mx.report.sections import Section
from bort_mx.report.sizes import PARAMETERS
from bort_mx.report.training_cost import DISTILLATION, SELF_SUPERVISED, TwoRuns

Bars = Dict[str, List[float]]
"""Label of a series → one value for each place."""


def draw(folder: pathlib.Path, paper: Published, sections: Sequence[Section], two: TwoRuns) -> Dict[str, List[str]]:
    """Write the figures that the sections have values for.

    Returns:
        table → the names of its files.
    """
    found: Dict[str, List[str]] = {}
    by_table = {section.table: section for section in sections}
    if "2" in by_table:
        _sizes(folder / "sizes.png", by_table["2"].findings)
        found["2"] = ["sizes.png"]
    if "text" in by_table:
        _speed_ups(folder / "speed_ups.png", by_table["text"].findings)
        found["text"] = ["speed_ups.png"]
    if "figure1" in by_table and two.curves:
        labels = {DISTILLATION: "distillation, ours", SELF_SUPERVISED: "self-supervised, ours"}
        plot_curves({labels[name]: [curve] for name, curve in two.curves.items()}, folder / "figure1.png",
                    "Figure 1 from our runs")
        found["figure1"] = ["figure1.png"]
    for table in SCORES:
        if table in by_table:
            _scores(folder / f"table{table}.png", paper, table, by_table[table])
            found[table] = [f"table{table}.png"]
    return found


def _sizes(path: pathlib.Path, findings: Sequence[Finding]) -> None:
    rows = list(dict.fromkeys(one.row for one in findings))
    bars = {"the paper": [one.paper for one in findings if one.column == PARAMETERS],
            "eq. 13": [float(one.ours) for one in findings if one.column == PARAMETERS],
            "counted from the model": [float(one.ours) for one in findings if one.column != PARAMETERS]}
    _draw_bars(path, rows, bars, "million parameters", "Table 2: sizes as printed, by eq. 13, and counted")


def _speed_ups(path: pathlib.Path, findings: Sequence[Finding]) -> None:
    lines = [one for one in findings if one.row.startswith("speed-up")]
    rows = list(dict.fromkeys(one.row for one in lines))
    kinds = (("multiply-adds allow", "multiply-adds"), ("measured now", MEASURED))
    bars = {"the paper": [next(one.paper for one in lines if one.row == row) for row in rows]}
    for label, word in kinds:
        bars[label] = [float(next(one.ours for one in lines if one.row == row and word in one.how).split()[0])
                       for row in rows]
    _draw_bars(path, [row.replace("speed-up on a CPU, ", "") for row in rows], bars, "times as fast",
               "Bort's speed-up on a CPU, one sequence of 512 tokens")


def _draw_bars(path: pathlib.Path, rows: Sequence[str], bars: Bars, unit: str, title: str) -> None:
    """Horizontal bars, a group for each row, with their values beside them."""
    figure, axes = plotting.new_figure(7.5, 0.6 + 0.22 * len(rows) * (len(bars) + 1))
    step = 1 / (len(bars) + 1)
    for number, ((label, values), colour) in enumerate(zip(bars.items(), plotting.SERIES)):
        places = [row + number * step for row in range(len(rows))]
        drawn = axes.barh(places, values, height=step, color=colour, label=label)
        axes.bar_label(drawn, labels=[f"{value:.4g}" for value in values], padding=3, fontsize=7)
    axes.set_yticks([row + step * (len(bars) - 1) / 2 for row in range(len(rows))], rows, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(unit, fontsize=8)
    axes.margins(x=0.1)
    plotting.set_title(axes, title)
    plotting.style_axes(axes, "x")
    axes.legend(frameon=False, fontsize=8, loc="best")
    plotting.save(figure, path)


def _scores(path: pathlib.Path, paper: Published, table: str, section: Section) -> None:
    """Dots: the first metric of each task, of the paper's systems and of ours."""
    systems, tasks = paper.columns(table), paper.rows(table)
    figure, axes = plotting.new_figure(7.5, 0.9 + 0.34 * len(tasks))
    drawn = {"RoBERTa-large": plotting.GREEN, "BERT-large": plotting.PURPLE, "Bort": plotting.BLUE}
    grey = dict(zip((system for system in systems if system not in drawn), "^vPX"))  # told apart by their shapes
    for system in systems:
        axes.plot([scores(paper, table, task, system)[0] for task in tasks], range(len(tasks)), grey.get(system, "o"),
                  color=drawn.get(system, plotting.GREY), alpha=1 if system in drawn else 0.5, markersize=6,
                  label=f"{system}, the paper")
    for split, mark, place in (("dev", "D", -2), ("test", "s", -1)):
        points = [(number, _first(row[place])) for number, row in enumerate(section.matrix[1:])
                  if not row[place].startswith("–")]  # no run, or one that lacks the first metric
        if points:
            axes.plot([value for _, value in points], [number for number, _ in points], mark, color=plotting.RED,
                      markersize=6, fillstyle="none", label=f"ours, {split}")
    axes.set_yticks(range(len(tasks)), tasks, fontsize=8)
    axes.set_ylim(len(tasks) - 0.5, -0.5)
    axes.set_xlabel("first metric, %", fontsize=8)
    plotting.set_title(axes, section.title)
    plotting.style_axes(axes)
    axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    plotting.save(figure, path)


def _first(cell: str) -> float:
    return float(cell.rstrip("*").split("/")[0])

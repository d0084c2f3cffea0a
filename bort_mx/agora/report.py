"""The report of a run of Agora: report.md with a heat map and curves, and agora.json with every number."""

import dataclasses
import os
import pathlib
from typing import Any, Dict, Hashable, List, Optional, Sequence

import numpy as np

from bort_mx import plotting
from bort_mx.agora import points
from bort_mx.agora.rounds import AgoraResult, Round
from bort_mx.io.files import write_json, write_text
from bort_mx.plotting import BLUE, EMPTY, GREY, INK, RED

_LINES = {"dev": BLUE, "train": GREY, "audit": RED}
_MOST_LABELS = 40  # thetas whose values can still be read under the heat map


@dataclasses.dataclass(frozen=True)
class Baseline:
    """A result that Agora's is compared with: enumeration of Theta, distillation from Socrates, …"""

    name: str
    dev: float
    audit: Optional[float] = None
    trainings: Optional[int] = None
    note: str = ""


def write_report(result: AgoraResult, folder: os.PathLike, baselines: Sequence[Baseline] = (),
                 title: str = "Agora") -> pathlib.Path:
    """Write agora.json, heatmap.png, rounds.png and report.md into the folder; return the path of report.md."""
    folder = pathlib.Path(folder)
    write_json(folder / "agora.json", as_dict(result, baselines))
    heat_map(result, folder / "heatmap.png")
    curves(result, folder / "rounds.png", baselines)
    write_text(folder / "report.md", _markdown(result, baselines, title))
    return folder / "report.md"


def as_dict(result: AgoraResult, baselines: Sequence[Baseline] = ()) -> Dict[str, Any]:
    """Everything but the model and the data, as JSON can hold it."""
    rounds = [{**dataclasses.asdict(this), "best_theta": points.encode(this.best_theta),
               "pruned": [points.encode(theta) for theta in this.pruned],
               "labels": [[points.encode(name), count] for name, count in this.labels.items()],
               "accuracies": [[points.encode(theta), value] for theta, value in this.accuracies.items()]}
              for this in result.rounds]
    return {"chs": points.encode(result.best_theta), "dev_accuracy": result.best_accuracy,
            "best_round": result.best_round, "bound": list(result.bound), "trainings": result.trainings,
            "stopped": result.stopped, "socrates_accuracy": result.socrates_accuracy,
            "socrates_checked_on": result.socrates_checked_on, "new_points": len(result.origins), "rounds": rounds,
            "baselines": [dataclasses.asdict(baseline) for baseline in baselines]}


def heat_map(result: AgoraResult, path: os.PathLike) -> None:
    """Draw rounds x thetas, coloured by dev accuracy; the CHS is framed, thetas that had been pruned are grey.

    The thetas stand in the order in which they were pruned, so the coloured cells form a staircase.
    """
    order = _by_departure(result)
    values = np.full((len(result.rounds), len(order)), np.nan)  # (rounds, thetas)
    for this in result.rounds:
        for column, theta in enumerate(order):
            values[this.number, column] = this.accuracies.get(theta, np.nan)
    labelled = len(order) <= _MOST_LABELS
    figure, axes = _figure(min(14.0, max(6.0, 0.38 * len(order) + 2.6)),
                           min(9.0, max(2.4, 0.3 * len(result.rounds) + 1.7)) + (0.9 if labelled else 0))
    image = axes.imshow(values, aspect="auto", cmap=_colours(), interpolation="nearest")
    if len(order) <= _MOST_LABELS and len(result.rounds) <= _MOST_LABELS:
        _grid(axes, values.shape)
    _frame(axes, order.index(result.best_theta), result.best_round)
    axes.set(xlabel="hyperparameter set, in the order of pruning", ylabel="round")
    plotting.set_title(axes, f"Dev accuracy; framed: the convergent set, {_show(result.best_theta)}, "
                             f"{result.best_accuracy:.3f}")
    axes.set_yticks(_ticks(len(result.rounds)))
    axes.set_xticks(range(len(order)) if labelled else _ticks(len(order)))
    if labelled:
        axes.set_xticklabels([_show(theta) for theta in order], rotation=60, ha="right", rotation_mode="anchor",
                             fontsize=7)
    bar = figure.colorbar(image, ax=axes, pad=0.015, fraction=0.035)
    bar.outline.set_visible(False)
    plotting.save(figure, path)


def curves(result: AgoraResult, path: os.PathLike, baselines: Sequence[Baseline] = ()) -> None:
    """Draw each round's best accuracy on dev, with the other measures of that model, above the size of the data."""
    figure, (top, bottom) = plotting.new_figure(7.2, 5.2, rows=2, sharex=True,
                                                gridspec_kw={"height_ratios": [2.2, 1]})
    rounds = [this.number for this in result.rounds]
    series = {"dev": [this.best_accuracy for this in result.rounds]}
    for name in _measured(result.rounds):
        series[name] = [this.measures.get(name, np.nan) for this in result.rounds]
    for name, line in series.items():
        top.plot(rounds, line, marker="o", markersize=4, linewidth=1.8, label=name, color=_LINES.get(name))
    for baseline, style in zip(baselines, ("--", ":", "-.") * len(baselines)):
        value, where = (baseline.dev, "dev") if baseline.audit is None else (baseline.audit, "audit")
        top.axhline(value, color=INK, linewidth=1, linestyle=style, label=f"{baseline.name}, {where}")
    top.set(ylabel="accuracy of the round's best")
    plotting.set_title(top, "Accuracy by round")
    top.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    _stack(bottom, result.rounds)
    for axes in (top, bottom):
        plotting.style_axes(axes, grid="y")
    plotting.save(figure, path)


def _stack(axes: Any, rounds: Sequence[Round]) -> None:
    """Bars of the points trained on, one colour per class; with many classes (a regression) only the sum."""
    classes: List[Any] = list(dict.fromkeys(name for this in rounds for name in this.labels))
    numbers = [this.number for this in rounds]
    if len(classes) > len(plotting.SERIES):
        axes.bar(numbers, [this.size for this in rounds], color=BLUE)
    else:
        base = np.zeros(len(rounds))
        for name, colour in zip(classes, plotting.SERIES):
            height = np.array([this.labels.get(name, 0) for this in rounds])
            axes.bar(numbers, height, bottom=base, color=colour, label=str(name), width=0.72)
            base += height
        axes.legend(title="label", frameon=False, fontsize=8, title_fontsize=8, loc="center left",
                    bbox_to_anchor=(1.01, 0.5))
    axes.set(xlabel="round", ylabel="training points")
    axes.set_xticks(_ticks(len(rounds)))


def _markdown(result: AgoraResult, baselines: Sequence[Baseline], title: str) -> str:
    socrates = "not checked" if result.socrates_accuracy is None else \
        f"accuracy {result.socrates_accuracy:.4f} on {result.socrates_checked_on}"
    pruned = any(this.pruned for this in result.rounds)
    limit = f", at most {len(result.thetas) ** 2} without replays" if pruned else ""
    advice = "Judge by the audit slice, which is neither trained on nor mined." if "audit" in _measured(result.rounds) \
        else "There is no audit slice to show by how much."
    lines = [f"# {title}", "",
             f"Convergent hyperparameter set: **{_show(result.best_theta)}**, dev accuracy "
             f"{result.best_accuracy:.4f}, round {result.best_round}.", "",
             f"- {len(result.rounds)} rounds, {result.trainings} trainings (|Theta| = {len(result.thetas)}{limit}); "
             f"ended: {result.stopped}.",
             f"- {len(result.origins)} new points on {len(result.data) - len(result.origins)} given ones.",
             f"- Socrates: {socrates}.",
             f"- Bound over enumerating Theta: {result.bound[0]:g} <= r <= 2 (1 - 2^-{len(result.thetas)}) = "
             f"{result.bound[1]:.6g}.", "",
             f"Dev accuracy after round 0 is optimistic: its mistakes, perturbed, are trained on. {advice}", "",
             "![heat map](heatmap.png)", "", "![rounds](rounds.png)", ""]
    return "\n".join(lines + _comparison(result, baselines) + _round_table(result)) + "\n"


def _comparison(result: AgoraResult, baselines: Sequence[Baseline]) -> List[str]:
    if not baselines:
        return []
    audit = result.rounds[result.best_round].measures.get("audit")
    rows = [Baseline("Agora", result.best_accuracy, audit, result.trainings), *baselines]
    lines = ["## Beside the baselines", "", "| | dev | audit | trainings | |", "|---|---|---|---|---|"]
    return lines + [f"| {row.name} | {row.dev:.4f} | {_or_dash(row.audit, '.4f')} | {_or_dash(row.trainings, 'd')} | "
                    f"{row.note} |" for row in rows] + [""]


def _round_table(result: AgoraResult) -> List[str]:
    names = _measured(result.rounds)
    head = ["round", "thetas", "points", "labels", "best", "dev", *names, "mistakes", "new", "dropped", "pruned: why"]
    lines = ["## Rounds", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for this in result.rounds:
        labels = ", ".join(f"{name}: {count}" for name, count in this.labels.items())
        dropped = ", ".join(f"{count} {why}" for why, count in this.dropped.items() if count) or "–"
        cells = [this.number, len(this.accuracies), this.size, labels, _show(this.best_theta),
                 f"{this.best_accuracy:.4f}", *(_or_dash(this.measures.get(name), ".4f") for name in names),
                 _or_dash(this.mistakes, "d"), f"{this.added} of {this.made}", dropped,
                 f"{len(this.pruned)}: {this.reason}"]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    lines += ["", "## Pruned sets", ""]
    return lines + [f"- round {this.number}: {', '.join(_show(theta) for theta in this.pruned)}"
                    for this in result.rounds if this.pruned]


def _by_departure(result: AgoraResult) -> List[Hashable]:
    """The thetas, those pruned first at the left; within a round the worst first."""
    last = {theta: this.number for this in result.rounds for theta in this.accuracies}
    final = {theta: this.accuracies[theta] for this in result.rounds for theta in this.accuracies}
    return sorted(result.thetas, key=lambda theta: (last[theta], final[theta]))


def _measured(rounds: Sequence[Round]) -> List[str]:
    return list(dict.fromkeys(name for this in rounds for name in this.measures))


def _show(theta: Hashable) -> str:
    values = theta if isinstance(theta, tuple) else (theta,)
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)


def _or_dash(value: Optional[float], form: str) -> str:
    return "–" if value is None else format(value, form)


def _ticks(count: int) -> List[int]:
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, count) if count / s <= 20)
    return list(range(0, count, step))


def _figure(width: float, height: float) -> Any:
    figure, axes = plotting.new_figure(width, height)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, colors=INK)
    return figure, axes


def _colours() -> Any:
    import matplotlib

    return matplotlib.colormaps[plotting.COLOUR_MAP].with_extremes(bad=EMPTY)


def _grid(axes: Any, shape: Any) -> None:
    for row in range(1, shape[0]):
        axes.axhline(row - 0.5, color="white", linewidth=1)
    for column in range(1, shape[1]):
        axes.axvline(column - 0.5, color="white", linewidth=1)


def _frame(axes: Any, column: int, row: int) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=RED, linewidth=2.2, clip_on=False,
                             zorder=3))

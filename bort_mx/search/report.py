"""The output of a search: results.json, ranking.csv, pareto.png, runtime.json and report.md.

results.json, ranking.csv and pareto.png contain no times and no machine names. If the surrogates are functions (ê, p,
eq. 12) and the provenance is the same, the same search writes the same bytes. Times are in runtime.json and report.md.
"""

import csv
import dataclasses
import io
import math
import os
import pathlib
from typing import Any, Dict, List, Mapping, Optional, Sequence

from bort_mx.architecture import PRESETS, Architecture
from bort_mx.io.files import write_json, write_text
from bort_mx.search.abnc import Condition, RuntimeTerms, approximation_bound, as_rows, bound_note
from bort_mx.search.baselines import interval_bound, random_regrets, regret
from bort_mx.search.cost_model import Prediction
from bort_mx.search.feasibility import counted
from bort_mx.search.fptas_algorithm import Ranked, SearchResult
from bort_mx.search.objectives import Objectives
from bort_mx.search.plots import draw, front_of

RESULTS, RANKING, FIGURE, RUNTIME, REPORT = "results.json", "ranking.csv", "pareto.png", "runtime.json", "report.md"
_DRAWS = 1000  # number of simulated random searches for the baseline


@dataclasses.dataclass(frozen=True)
class SearchReport:
    """Everything that a report shows."""

    result: SearchResult
    """The search."""
    provenance: Mapping[str, Any]
    """What produced the search: command, versions, commit, seed and data hashes, as JSON values."""
    maximum_point: str
    """T in words, for example its architecture and its checkpoint."""
    latency_unit: str = "s"
    """Unit of latency: "s" (per sample) or "FLOPs per token"."""
    conditions: Sequence[Condition] = ()
    """The AB^nC conditions, with the results of their checks."""
    runtime_terms: Optional[RuntimeTerms] = None
    """The terms of the runtime bound."""
    exhaustive: Optional[SearchResult] = None
    """An exhaustive search with the same surrogates, if there was one. Only then is the regret known."""
    random: Optional[SearchResult] = None
    """A random search with the same surrogates and budget, if there was one."""
    presets: Mapping[str, Objectives] = dataclasses.field(default_factory=dict)
    """Known architectures to mark in the plot. Their error is NaN if they were not evaluated."""
    phases: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Seconds per phase, in this run of the program."""
    predictions: Sequence[Prediction] = ()
    """`cost_model.predict_paper_search` at the rate measured here."""
    measured_on: str = "this machine"
    """The device on which this rate was measured."""
    teacher_passes: Optional[int] = None
    """Number of forward passes of T, over all workers, in this run of the program."""
    teacher_batches: Optional[int] = None
    """Number of training and evaluation batches for which T was needed."""


def write_report(directory: os.PathLike, report: SearchReport) -> List[pathlib.Path]:
    """Write all files of a report into a directory. Returns their paths."""
    directory = pathlib.Path(directory)
    description = "; ".join(f"{key}: {value}" for key, value in report.provenance.items())
    outside = draw(directory / FIGURE, report.result, report.presets, report.latency_unit, description)
    write_json(directory / RESULTS, results(report))
    write_text(directory / RANKING, ranking_csv(report.result))
    write_json(directory / RUNTIME, runtime(report))
    write_text(directory / REPORT, markdown(report, outside))
    return [directory / name for name in (RESULTS, RANKING, FIGURE, RUNTIME, REPORT)]


def results(report: SearchReport) -> Dict[str, Any]:
    """The content of results.json. `--architecture OUT/results.json` reads its `best.architecture`."""
    result, front = report.result, {r.architecture for r in front_of(report.result)}
    rows = [_row(rank, ranked, result, ranked.architecture in front)
            for rank, ranked in enumerate(result.ranking, start=1)]
    return {
        "best": {"architecture": list(result.best.as_tuple()), **_values(result.ranking[0])},
        "strategy": result.strategy,
        "maximum_point": {"name": report.maximum_point, "parameters": _number(result.maximum_point.parameters),
                          "latency": _number(result.maximum_point.latency)},
        "latency_unit": report.latency_unit,
        "space": _space(result),
        "bound": {"rho": None if result.epsilon is None else approximation_bound(result.epsilon),
                  "note": None if result.epsilon is None else bound_note(result.epsilon)},
        "runtime_bound": _runtime_terms(report.runtime_terms),
        "baselines": baselines(report),
        "conditions": as_rows(report.conditions),
        "pareto_front": [list(r.architecture.as_tuple()) for r in front_of(result)],
        "ranking": rows,
        "provenance": dict(report.provenance),
    }


def ranking_csv(result: SearchResult) -> str:
    """The whole ranking as CSV, best first. Infeasible candidates have no W, but a reason."""
    front = {r.architecture for r in front_of(result)}
    text = io.StringIO()
    names = ["rank", "num_layers", "num_heads", "hidden_size", "intermediate_size", "w", "parameters", "latency",
             "error", "pareto", "infeasible", "interval"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for rank, ranked in enumerate(result.ranking, start=1):
        row = _row(rank, ranked, result, ranked.architecture in front)
        architecture = dataclasses.asdict(ranked.architecture)
        writer.writerow({**architecture, **{name: row[name] for name in names if name in row},
                         "pareto": int(row["pareto"])})
    return text.getvalue()


def runtime(report: SearchReport) -> Dict[str, Any]:
    """The content of runtime.json: times, and the predicted cost of the paper's search."""
    return {"phases_s": dict(report.phases), "taken_from_log": report.result.resumed,
            "teacher_passes": report.teacher_passes, "teacher_batches": report.teacher_batches,
            "predictions": [{**dataclasses.asdict(p), "seconds": p.seconds, "device_hours": p.device_hours}
                            for p in report.predictions],
            "measured_on": report.measured_on, "provenance": dict(report.provenance)}


def baselines(report: SearchReport) -> Optional[Dict[str, Any]]:
    """The random search, if any; and, if the whole space was evaluated, the regrets of the search and random ones."""
    drawn = None if report.random is None else {
        "strategy": report.random.strategy, "best": list(report.random.best.as_tuple()),
        "w": report.random.ranking[0].w}
    if report.exhaustive is None:
        return drawn and {"random": drawn}
    budget, lost = len(report.result.ranking), regret(report.result, report.exhaustive)
    draws = random_regrets(report.exhaustive, budget, _DRAWS)
    answer = {"random": drawn, "optimum": list(report.exhaustive.best.as_tuple()),
              "optimum_w": report.exhaustive.ranking[0].w,
              "budget": budget, "regret": lost.absolute, "relative_regret": lost.relative,
              "random_relative_regret": {"draws": _DRAWS, "mean": float(draws.mean()),
                                         "median": float(draws[_DRAWS // 2]), "p95": float(draws[_DRAWS * 95 // 100])}}
    if report.result.epsilon is not None:
        bound = interval_bound(report.result, report.exhaustive)
        answer["interval"] = {"representative": list(bound.representative.as_tuple()), "w_at_least": bound.lower,
                              "error_ratio": bound.error_ratio}
    return answer


def markdown(report: SearchReport, outside: Sequence[str] = ()) -> str:
    """The content of report.md. `outside`: presets outside the plot's range."""
    sections = [_head(report), _table_1(report), _space_section(report), _pareto_section(report, outside),
                _conditions_section(report), _bound_section(report), _baseline_section(report),
                _runtime_section(report), _provenance_section(report)]
    return "\n\n".join(section for section in sections if section) + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table. A bar inside a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _head(report: SearchReport) -> str:
    best = report.result.ranking[0]
    return (f"# Architecture search\n\nThe largest W-coefficient is {best.w:.4g}. **⟨{best.architecture}⟩** "
            f"(D, A, H, I) has it, out of {len(report.result.ranking)} candidates. The maximum point T is "
            f"{report.maximum_point} ({report.result.maximum_point.parameters / 1e6:.2f} M parameters, latency "
            f"{report.result.maximum_point.latency:.4g} {report.latency_unit}).")


def _table_1(report: SearchReport) -> str:
    rows = [[rank, f"⟨{r.architecture}⟩", f"{r.w:.4g}", f"{r.objectives.parameters / 1e6:.2f}",
             f"{r.objectives.latency:.4g}", f"{r.objectives.error:.4f}"]
            for rank, r in enumerate(report.result.top(3), start=1)]
    header = ["rank", "⟨D, A, H, I⟩", "W", "parameters, M", f"latency, {report.latency_unit}", "ê, nats"]
    return f"## The three best (as in the paper's Table 1)\n\n{table(header, rows)}\n\nAll candidates: `{RANKING}`."


def _space_section(report: SearchReport) -> str:
    result = report.result
    lines = [f"- {note}" for note in result.space.notes()]
    lines.append(f"- strategy: {result.strategy}; {len(result.ranking)} candidates, one for each of "
                 f"{len(result.intervals)} intervals" if result.epsilon else f"- strategy: {result.strategy}")
    lines.append(f"- infeasible: {counted(result.infeasible)}")
    return "## Search space\n\n" + "\n".join(lines + _presets_in(result))


def _presets_in(result: SearchResult) -> List[str]:
    """Which known architectures lie in the space, and which candidates represent them."""
    candidates, lines = result.objectives(), []
    for name, preset in PRESETS.items():
        part = next((part for part in result.intervals if preset in part), ())
        if preset in candidates:
            lines.append(f"- {name} ⟨{preset}⟩ is a candidate")
        elif part:
            stand_in = next(a for a in part if a in candidates)
            lines.append(f"- {name} ⟨{preset}⟩ was not evaluated; ⟨{stand_in}⟩ stands for its interval")
    return lines


def _pareto_section(report: SearchReport, outside: Sequence[str]) -> str:
    front = front_of(report.result)
    note = f" Outside the plotted range: {', '.join(outside)}." if outside else ""
    return (f"## Pareto front\n\n![candidates, Pareto front and the largest W]({FIGURE})\n\n{len(front)} of "
            f"{len(report.result.ranking)} candidates are dominated by no other in the three objectives: "
            + ", ".join(f"⟨{r.architecture}⟩" for r in front) + "." + note)


def _conditions_section(report: SearchReport) -> str:
    if not report.conditions:
        return ""
    rows = [[c.name, c.source, c.status, c.found] for c in report.conditions]
    return "## AB^nC conditions\n\n" + table(["condition", "paper", "status", "found"], rows)


def _bound_section(report: SearchReport) -> str:
    lines = [] if report.result.epsilon is None else [bound_note(report.result.epsilon)]
    if report.runtime_terms:
        t = report.runtime_terms
        lines.append("Runtime bound O(|Xi| + |W*_T| (1 + |Theta| |B| |Xi| / (epsilon s^1.5))): "
                     f"|Xi| = {t.architectures}, |W*_T| = {t.weights:,}, |Theta| = {t.hyperparameter_sets}, "
                     f"|B| = {t.batch_size}, epsilon = {t.epsilon}: {t.architectures} + {t.weights:,} × (1 + "
                     f"{t.factor:,.0f} / s^1.5) steps, up to an unknown constant. What s is, the papers do not say.")
    return "## Bounds\n\n" + "\n\n".join(lines) if lines else ""


def _baseline_section(report: SearchReport) -> str:
    found = baselines(report)
    if found is None:
        return "## Baselines\n\nNot run. Without an exhaustive search of the space, the regret is not known."
    drawn = [] if report.random is None else [
        [report.random.strategy, len(report.random.ranking), f"⟨{report.random.best}⟩",
         f"{report.random.ranking[0].w:.4g}", _relative_regret(report, report.random)]]
    ours = [report.result.strategy, len(report.result.ranking), f"⟨{report.result.best}⟩",
            f"{report.result.ranking[0].w:.4g}", _relative_regret(report, report.result)]
    rows = [*_exhaustive_rows(report, found), ours, *drawn]
    header = ["search", "candidates", "choice", "W", "relative regret (W* − W) / W*"]
    return "\n\n".join(["## Baselines", table(header, rows), *_interval_note(found)])


def _exhaustive_rows(report: SearchReport, found: Mapping[str, Any]) -> List[List[Any]]:
    """The optimum, and the regret of random searches with the same budget."""
    if report.exhaustive is None:
        return []
    random = found["random_relative_regret"]
    return [["exhaustive", len(report.exhaustive.ranking), f"⟨{report.exhaustive.best}⟩", f"{found['optimum_w']:.4g}",
             "0"],
            [f"random ({random['draws']} simulated)", found["budget"], "", "",
             f"mean {random['mean']:.2%}, median {random['median']:.2%}, 95 % below {random['p95']:.2%}"]]


def _relative_regret(report: SearchReport, result: SearchResult) -> str:
    return "unknown" if report.exhaustive is None else f"{regret(result, report.exhaustive).relative:.2%}"


def _interval_note(found: Mapping[str, Any]) -> List[str]:
    if "interval" not in found:
        return []
    stand_in = Architecture(*found["interval"]["representative"])
    return [f"The candidate of the optimum's interval is ⟨{stand_in}⟩. Therefore the intervals guarantee W ≥ "
            f"{found['interval']['w_at_least']:.4g}; the optimum has W = {found['optimum_w']:.4g}."]


def _runtime_section(report: SearchReport) -> str:
    lines = ["## Runtime"]
    if report.phases:
        lines.append(table(["phase", "seconds"], [[name, f"{s:.1f}"] for name, s in report.phases.items()]))
    if report.teacher_passes is not None:
        lines.append(f"T made {report.teacher_passes} forward passes for {report.teacher_batches} batches. The number "
                     "does not depend on the number of candidates, because T's hidden states are stored.")
    if report.result.resumed:
        lines.append(f"{report.result.resumed} candidates were taken from the log of an earlier run. Their time is "
                     "not in this table.")
    if report.predictions:
        rows = [[p.devices, f"{p.teacher_seconds / 3600:.2f}", f"{p.candidate_seconds / 3600:.2f}",
                 f"{p.seconds / 3600:.2f}", f"{p.device_hours:.2f}"] for p in report.predictions]
        lines.append("The paper's search (150 candidates, n = 3 steps of 1,024 sequences of 512 tokens, 11,828 lines), "
                     f"predicted from the step times measured here on {report.measured_on}:\n\n"
                     + table(["devices", "teacher, h", "candidates, h", "wall clock, h", "device hours"], rows)
                     + "\n\nThis extrapolates by multiply-adds to devices of the same speed.")
    return "\n\n".join(lines) if len(lines) > 1 else ""


def _provenance_section(report: SearchReport) -> str:
    lines = []
    for key, value in report.provenance.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{name} {entry}" for name, entry in value.items())
        lines.append(f"- {key}: `{value}`")
    return "## What produced this\n\n" + "\n".join(lines)


def _row(rank: int, ranked: Ranked, result: SearchResult, on_front: bool) -> Dict[str, Any]:
    interval = next(i for i, part in enumerate(result.intervals) if ranked.architecture in part)
    return {"rank": rank, "architecture": list(ranked.architecture.as_tuple()), **_values(ranked), "pareto": on_front,
            "infeasible": result.infeasible.get(ranked.architecture), "interval": interval}


def _values(ranked: Ranked) -> Dict[str, Any]:
    return {"w": _number(ranked.w), **{name: _number(v) for name, v in dataclasses.asdict(ranked.objectives).items()}}


def _number(value: float) -> Optional[float]:
    """A number for JSON: None if it is not finite; ints stay ints."""
    if not math.isfinite(value):
        return None
    return int(value) if isinstance(value, int) else float(value)


def _space(result: SearchResult) -> Dict[str, Any]:
    space = result.space
    return {"architectures": len(space.architectures), "raw": space.raw, "indivisible": space.indivisible,
            "odd": space.odd, "duplicates": space.duplicates, "epsilon": result.epsilon, "order": result.order,
            "intervals": len(result.intervals), "candidates": len(result.ranking), "infeasible": len(result.infeasible)}


def _runtime_terms(terms: Optional[RuntimeTerms]) -> Optional[Dict[str, Any]]:
    if terms is None:
        return None
    return {**dataclasses.asdict(terms), "factor": terms.factor}

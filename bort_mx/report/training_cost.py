"""Table 3 and Figure 1: GPU hours, MLM accuracy and convergence of the two pre-trainings, from finished runs."""

import dataclasses
from typing import Dict, List, Optional, Sequence

from bort_mx.report import commands_to_run
from bort_mx.report.curves import Curve, first_step_at
from bort_mx.report.findings import FORMULA, FROM_RUN, HOLDS, NOT_RUN, Finding, judge
from bort_mx.report.published import Published
from bort_mx.report.sizes import text_finding
from bort_mx.training.finished_runs import FinishedRun

SELF_SUPERVISED, DISTILLATION = "self-supervised", "distillation"
ACCURACY, CONVERGED = "MLM accuracy (%)", "converged after (steps)"
PAPER_SETTING = {"batch_size": 1024, "seq_len": 512, "max_steps": 25000}
PAPER_ARCHITECTURE = [4, 8, 1024, 768]
THE_PAPERS_TRAINING = {"losses": None, "distill": "mlm", "init_from_teacher": None, "teacher_cache": None,
                       "schedule": "noam", "length_warmup": 0, "budget": None}
"""Options of another training than the paper's, with the values that they have in the paper's. Older runs lack them."""
ALIKE = ("batch_size", "seq_len", "max_steps", "seed", "mask_probability")
"""Options that must be equal in two runs that are compared."""
NEAR_THE_END = 0.99
"""A curve has converged where it first has this share of the self-supervised run's last accuracy [I]."""
COMMANDS = {SELF_SUPERVISED: commands_to_run.SELF_SUPERVISED, DISTILLATION: commands_to_run.DISTILLATION}
NEEDS = "not run: needs eight GPUs, the seven corpora and RoBERTa-large's weights"


@dataclasses.dataclass(frozen=True)
class TwoRuns:
    """The two pre-trainings that Table 3 compares; None: there is none."""

    runs: Dict[str, Optional[FinishedRun]]

    @property
    def curves(self) -> Dict[str, Curve]:
        """Validation MLM accuracy against steps, of those that are there."""
        return {name: [(step, value) for step, value in run.results["validation_curve"]]
                for name, run in self.runs.items() if run is not None}

    def is_at_the_papers_setting(self) -> bool:
        """Whether all runs have the paper's architecture, batch, length and steps."""
        return all(run is None or run.results.get("architecture") == PAPER_ARCHITECTURE and all(
            run.options.get(name) == value for name, value in PAPER_SETTING.items()) for run in self.runs.values())

    def difference(self) -> str:
        """What the runs have in place of the paper's setting, in words."""
        run = next(run for run in self.runs.values() if run is not None)
        shape = ", ".join(map(str, run.results.get("architecture", "?")))
        return (f"⟨{shape}⟩, {run.options['max_steps']:,} steps of {run.options['batch_size']} sequences of "
                f"{run.options['seq_len']} tokens in place of ⟨4, 8, 1024, 768⟩, 25,000 of 1,024 of 512")


def find_two_runs(runs: Sequence[FinishedRun]) -> TwoRuns:
    """The pair of a distilled and a self-supervised run that are alike but for the teacher; the one with most steps.

    If there is no pair, the single run with most steps. Runs with other losses, schedules or lengths than the paper's
    do not count.
    """
    usable = sorted((run for run in runs if run.stage == "pre-training" and _has_curve(run) and _is_the_papers(run)),
                    key=lambda run: (-run.options["max_steps"], str(run.path)))
    plain = [run for run in usable if not run.options.get("teacher")]
    distilled = [run for run in usable if run.options.get("teacher")]
    for one in distilled:
        for other in plain:
            if _alike(one, other):
                return TwoRuns({SELF_SUPERVISED: other, DISTILLATION: one})
    if distilled:
        return TwoRuns({SELF_SUPERVISED: None, DISTILLATION: distilled[0]})
    return TwoRuns({SELF_SUPERVISED: plain[0] if plain else None, DISTILLATION: None})


def _has_curve(run: FinishedRun) -> bool:
    curve = run.results.get("validation_curve")
    return bool(curve) and isinstance(run.options.get("max_steps"), int)


def _is_the_papers(run: FinishedRun) -> bool:
    return run.options.get("sequences") != "single" and all(
        run.options.get(name, value) == value for name, value in THE_PAPERS_TRAINING.items())


def _alike(one: FinishedRun, other: FinishedRun) -> bool:
    return one.results.get("architecture") == other.results.get("architecture") and all(
        one.options.get(name) == other.options.get(name) for name in ALIKE)


# -- Table 3 -------------------------------------------------------------------------------------------------------


def table_3(paper: Published, two: TwoRuns) -> List[Finding]:
    """GPU hours as products, and the accuracies of runs."""
    found = []
    for row in paper.rows("3"):
        found += [_product(paper, row)]
        if row in two.runs:
            found += [_accuracy(paper, row, two), *_hours(paper, row, two.runs[row])]
    return found


def _product(paper: Published, row: str) -> Finding:
    gpus, hours, printed = (paper("3", row, name) for name in ("GPUs", "hours", "GPU hours"))
    minutes = round(hours * 60)
    verdict, note = judge(printed, gpus * hours, [(gpus * minutes / 60, (
        f"{hours} hours is a rounded figure; {minutes} minutes times {gpus:,} GPUs are "
        f"{gpus * minutes / 60:,.0f} GPU hours"))])
    if row == "RoBERTa-large" and verdict != HOLDS:
        note = (f"{gpus:,} GPUs times {hours} hours are {gpus * hours:,}, which is what the introduction says; the "
                "table has the same digits in another order")
    return Finding("3", row, "GPU hours", printed, f"{gpus * hours:,.0f}", f"{FORMULA}: GPUs times hours", verdict,
                   note)


def _accuracy(paper: Published, row: str, two: TwoRuns) -> Finding:
    printed, run = paper("3", row, ACCURACY), two.runs[row]
    if run is None:
        return Finding("3", row, ACCURACY, printed, None, NEEDS, NOT_RUN, _honest_accuracy(), COMMANDS[row])
    ours = 100 * two.curves[row][-1][1]
    how = f"{FROM_RUN}: {run.name}"
    if not two.is_at_the_papers_setting():
        return Finding("3", row, ACCURACY, printed, f"{ours:.1f}", how, NOT_RUN,
                       f"not at the paper's setting: {two.difference()}", COMMANDS[row])
    verdict, note = judge(printed, ours)
    return Finding("3", row, ACCURACY, printed, f"{ours:.1f}", how, verdict, note or _honest_accuracy())


def _honest_accuracy() -> str:
    return ("the released data step made every word <unk>, which gives such accuracies; honest ones of models of this "
            "size lie far lower")


def _hours(paper: Published, row: str, run: Optional[FinishedRun]) -> List[Finding]:
    """The hours of a run, and its GPU hours, as far as it has recorded them."""
    results = {} if run is None else run.results
    return [Finding("3", row, f"{column} of our run", paper("3", row, column), f"{results[name]:,.3g}",
                    f"{FROM_RUN}: {run.name}", NOT_RUN,
                    f"on {results.get('device', 'another device')}, not on eight V100s", COMMANDS[row])
            for column, name in (("hours", "hours"), ("GPU hours", "gpu_hours")) if name in results]


# -- Figure 1 ------------------------------------------------------------------------------------------------------


def figure_1(paper: Published, two: TwoRuns) -> List[Finding]:
    """The steps after which each run has converged, and their ratio."""
    ours = _converged(two)
    found = [_steps(paper, row, two, ours) for row in paper.rows("figure1")]
    printed = round(paper("figure1", DISTILLATION, CONVERGED) / paper("figure1", SELF_SUPERVISED, CONVERGED), 2)
    row = "distillation's steps as a share of self-supervised"
    if ours is None:
        return [*found, Finding("figure1", row, "ratio", printed, None, NEEDS, NOT_RUN, "", COMMANDS[DISTILLATION])]
    ratio = ours[DISTILLATION] / ours[SELF_SUPERVISED]
    how = f"{FROM_RUN}: " + " and ".join(run.name for run in two.runs.values() if run)
    if not two.is_at_the_papers_setting():
        return [*found, Finding("figure1", row, "ratio", printed, f"{ratio:.2f}", how, NOT_RUN,
                                f"not at the paper's setting: {two.difference()}", COMMANDS[DISTILLATION])]
    verdict, note = judge(printed, ratio, relative=0.1)
    return [*found, Finding("figure1", row, "ratio", printed, f"{ratio:.2f}", how, verdict, note)]


def _converged(two: TwoRuns) -> Optional[Dict[str, float]]:
    """The step at which each curve has converged; None without two runs, or if one never gets there."""
    curves = two.curves
    if set(curves) != {SELF_SUPERVISED, DISTILLATION}:
        return None
    level = NEAR_THE_END * curves[SELF_SUPERVISED][-1][1]
    if level <= 0:  # after few steps a model may predict no word: that is no convergence
        return None
    steps = {name: first_step_at(curve, level) for name, curve in curves.items()}
    return None if None in steps.values() else steps


def _steps(paper: Published, row: str, two: TwoRuns, ours: Optional[Dict[str, float]]) -> Finding:
    printed, run = paper("figure1", row, CONVERGED), two.runs[row]
    rule = (f"where the curve first has {NEAR_THE_END:.0%} of the self-supervised run's last accuracy; the paper "
            "states no rule")
    if ours is None or run is None:
        return Finding("figure1", row, CONVERGED, printed, None, NEEDS, NOT_RUN, rule, COMMANDS[row])
    how = f"{FROM_RUN}: {run.name}"
    if not two.is_at_the_papers_setting():
        return Finding("figure1", row, CONVERGED, printed, f"{ours[row]:,.0f}", how, NOT_RUN,
                       f"{rule}; not at the paper's setting: {two.difference()}", COMMANDS[row])
    verdict, _ = judge(printed, ours[row], relative=0.1)
    return Finding("figure1", row, CONVERGED, printed, f"{ours[row]:,.0f}", how, verdict, rule)


# -- the prose -----------------------------------------------------------------------------------------------------


def text_costs(paper: Published) -> List[Finding]:
    """The shares of GPU hours in the prose."""
    hours = {row: paper("3", row, "GPU hours") for row in paper.rows("3")}
    bort, roberta = hours[DISTILLATION], paper("3", "RoBERTa-large", "GPUs") * paper("3", "RoBERTa-large", "hours")
    found = []
    for row, ours, formula, readings, why in (
            ("GPU hours of RoBERTa-large", roberta, "Table 3: GPUs times hours", [],
             ""),
            ("GPU hours of Bort, % of RoBERTa-large", 100 * bort / roberta,
             f"{bort} of {roberta:,}, the product of Table 3's GPUs and hours", [],
             f"of the table's own {hours['RoBERTa-large']:,} it is {100 * bort / hours['RoBERTa-large']:.1f} %"),
            ("GPU hours of Bort, % of BERT-large", 100 * bort / hours["BERT-large"],
             f"{bort} of {hours['BERT-large']:,}", [], "a quarter, not a third"),
            ("cycles that distillation saves, %", 100 * (1 - bort / hours[SELF_SUPERVISED]),
             f"1 − {bort}/{hours[SELF_SUPERVISED]}", [], "")):
        verdict, note = judge(paper("text", row), ours, readings)
        found.append(text_finding(paper, row, f"{ours:,.1f}".removesuffix(".0"), formula, verdict, note or why))
    for row in ("sentences for pre-training (M)", "MLM accuracy of BERT (%)"):
        needs = ("not run: needs the seven corpora" if row.startswith("sentences") else
                 "not run: the repository that the footnote names must be read")
        found.append(Finding("text", row, paper("text", row, "place"), paper("text", row), None, needs, NOT_RUN, "",
                             commands_to_run.PREPARE if row.startswith("sentences") else ""))
    return found

"""Tables 4 to 6: the paper's scores beside those of finished runs, dev and test apart."""

import dataclasses
import math
from typing import Any, Dict, List, Optional, Sequence, Tuple

from bort_mx.architecture import PRESETS, ROBERTA_VOCABULARY, Architecture
from bort_mx.data.tasks import Task, get_task
from bort_mx.data.tasks.tables import load_table
from bort_mx.io import files
from bort_mx.report import commands_to_run
from bort_mx.report.findings import FAILS, FROM_RUN, HOLDS, NOT_RUN, READING, Finding
from bort_mx.report.published import SCORES, Published
from bort_mx.training.finished_runs import FinishedRun, without_single_seeds, without_teachers

COMPARANDS = {"RoBERTa-large": ("roberta-large", "roberta-large"), "BERT-large": ("bert-large", "bert-large-cased"),
              "BERT-of-Theseus": ("bert-of-theseus", "canwenxu/BERT-of-Theseus-MNLI"),
              "TinyBERT": ("tinybert-4", "huawei-noah/TinyBERT_General_4L_312D"),
              "BERT-small": ("bert-small", "google/bert_uncased_L-4_H-512_A-8"), "Bort": ("bort", "amazon/bort")}
"""System of Tables 4 to 6 → the preset of its architecture, and its checkpoint on the Hugging Face Hub."""
WITH_ROBERTAS_VOCABULARY = ("RoBERTa-large", "Bort")
"""Systems with RoBERTa's vocabulary; others of the same architecture have BERT's."""
ERRORS = 2
"""A score holds if it reaches the paper's less this many standard errors."""


@dataclasses.dataclass(frozen=True)
class ScoredRun:
    """A finished run on a task of the paper's tables."""

    task: str
    """A key of `bort_mx.data.tasks.TASKS`."""
    system: Optional[str]
    """The column it belongs to; None: none of the paper's systems has this architecture and vocabulary."""
    dev: Dict[str, float]
    test: Dict[str, float]
    run: FinishedRun


def scored_runs(runs: Sequence[FinishedRun]) -> List[ScoredRun]:
    """Every result of the runs on a task of the tables, those on diagnostic sets included.

    A run that taught another one counts only as the paper's system that it is, such as RoBERTa-large.
    """
    found, counted = [], without_single_seeds(runs)
    learners = {run.path for run in without_teachers(counted)}
    for run in counted:
        if run.stage != "fine-tuning" or not isinstance(run.results.get("task"), str):
            continue
        system, results = _system(run), run.results
        if system is None and run.path not in learners:
            continue
        found.append(ScoredRun(results["task"], system, results.get("dev") or {}, results.get("test") or {}, run))
        found += [ScoredRun(key, system, values, {}, run)
                  for key, values in (results.get("diagnostics") or {}).items() if values]
    return found


def _system(run: FinishedRun) -> Optional[str]:
    """The paper's system that has the model's architecture and vocabulary."""
    shape = shape_of(run)
    for name, (preset, _) in COMPARANDS.items():
        if shape and shape[0] == PRESETS[preset].as_tuple() and (
                (shape[1] == ROBERTA_VOCABULARY) == (name in WITH_ROBERTAS_VOCABULARY)):
            return name
    return None


def shape_of(run: FinishedRun) -> Optional[Tuple[Tuple[int, ...], int]]:
    """<D, A, H, I> and V of the model that a run left; None if its checkpoints are gone."""
    for config in sorted(run.path.glob("checkpoints/*/config.json")) + sorted(
            run.path.glob("seed-*/checkpoints/*/config.json")):
        model = files.read_json(config)
        model = model.get("model", model) if isinstance(model, dict) else {}
        shape = model.get("architecture")
        if isinstance(shape, dict):
            return tuple(shape[field.name] for field in dataclasses.fields(Architecture)), model["vocab_size"]
    return None


def score_findings(paper: Published, table: str, scored: Sequence[ScoredRun]) -> List[Finding]:
    """Lines for each task and system: its runs, the best on dev first."""
    found = []
    for name in paper.rows(table):
        task = get_task(f"{SCORES[table]}/{name}")
        of_task = runs_on(task, scored)
        for system in paper.columns(table):
            found += _lines(task, table, system, paper(table, name, system), of_task)
    return found


def runs_on(task: Task, scored: Sequence[ScoredRun]) -> List[ScoredRun]:
    """The results on a task, the best on dev first."""
    return sorted((one for one in scored if one.task == task.key),
                  key=lambda one: -one.dev.get(task.criterion, -math.inf))


def _lines(task: Task, table: str, system: str, printed: Any, of_task: Sequence[ScoredRun]) -> List[Finding]:
    """The runs of a system on a task; else those of other models for Bort; else what would be needed."""
    here = [one for one in of_task if one.system == system]
    other = [one for one in of_task if one.system is None] if system == "Bort" and not here else []
    column = f"{system}, {'/'.join(_printed_metrics(task))}"
    lines = []
    for one in [*here, *other]:
        for split, values in (("dev", one.dev), ("test", one.test)):
            if values:
                lines.append(_line(task, table, f"{column}, {split}", printed, values, split, one))
    return lines or [Finding(table, task.name, column, printed, None, _needs(system), NOT_RUN, "",
                             _command(task, system))]


def _needs(system: str) -> str:
    if system == "Bort":
        return "not run: needs a pre-trained Bort (step 3 of docs/reproduce.md) and the task's official files"
    return "not run: the paper copies it from a leaderboard; needs this system's checkpoint"


def _command(task: Task, system: str) -> str:
    if system == "Bort":
        return commands_to_run.agora(_trained_on(task))
    if system not in COMPARANDS:
        return ""
    return commands_to_run.comparand(_trained_on(task), COMPARANDS[system][1])


def _trained_on(task: Task) -> str:
    return task.scored_by or task.key


def _line(task: Task, table: str, column: str, printed: Any, values: Dict[str, float], split: str,
          one: ScoredRun) -> Finding:
    names = _printed_metrics(task)
    ours = "/".join(f"{100 * values[name]:.1f}" if name in values else "–" for name in names)
    how = f"{FROM_RUN}: {one.run.name}"
    if one.system is None:
        shape = shape_of(one.run)
        model = f"⟨{', '.join(map(str, shape[0]))}⟩, V = {shape[1]:,}" if shape else "another model"
        return Finding(table, task.name, column, printed, ours, how, NOT_RUN,
                       f"not at the paper's setting: {model} in place of Bort", _command(task, "Bort"))
    verdict, note = verdict_on_scores(task, printed, [values.get(name) for name in names], split)
    return Finding(table, task.name, column, printed, ours, how, verdict, note)


def verdict_on_scores(task: Task, printed: Any, ours: Sequence[Optional[float]], split: str) -> Tuple[str, str]:
    """Whether scores (fractions) reach the printed ones (percent), within two standard errors."""
    wanted = [float(part) / 100 for part in str(printed).split("/")]
    if None in ours or len(wanted) != len(ours):
        return NOT_RUN, "the run lacks one of the paper's metrics"
    size = load_table("counts.yaml")[task.benchmark][task.name][1 if split == "dev" else 2]
    reached = all(value >= want - ERRORS * math.sqrt(max(want * (1 - want), 0) / size)
                  for want, value in zip(wanted, ours))
    rule = f"reaches the paper's less {ERRORS} standard errors of a share of {size:,} examples"
    if not reached:
        return FAILS, f"it holds if it {rule}"
    if split == "test":
        return HOLDS, rule
    return READING, f"read on dev: the paper's figure is of the test set, whose labels are not public; {rule}"


def _printed_metrics(task: Task) -> List[str]:
    metrics = load_table("paper_scores.yaml")[task.benchmark]["metrics"]
    return metrics.get(task.name, metrics["*"]).split("/")

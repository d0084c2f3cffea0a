"""The sections of the report: which findings stand under which heading, and with which words before them."""

import dataclasses
from typing import Any, Dict, List, Optional, Sequence

from bort_mx.report import convergent_sets, latency_table, prose, score_tables, sizes, training_cost, w_coefficients
from bort_mx.report.findings import FROM_RUN, NOT_RUN, Finding
from bort_mx.report.latency_table import Latencies
from bort_mx.report.published import CONVERGENT_SETS, SCORES, TABLES, Published
from bort_mx.report.score_tables import ScoredRun
from bort_mx.report.training_cost import TwoRuns
from bort_mx.training.finished_runs import FinishedRun

TITLES = {
    "1": "Table 1: the three best architectures", "2": "Table 2: sizes of BERTs", "3": "Table 3: cost of pre-training",
    "4": "Table 4: GLUE", "5": "Table 5: SuperGLUE", "6": "Table 6: RACE",
    "7": "Table 7: convergent hyperparameter sets of GLUE", "8": "Table 8: convergent hyperparameter sets of RACE",
    "9": "Table 9: convergent hyperparameter sets of SuperGLUE", "figure1": "Figure 1: convergence of pre-training",
    "text": "The numbers of the prose",
}
INTRODUCTIONS = {
    "1": "Parameters by eq. 13 and counted from the Gluon model that is built at full size; seconds measured on this "
         "machine, which is not the paper's; W from a search.",
    "2": "The same two counts for every system. Sizes that the paper takes from their authors are rounded, so they "
         "hold within 2 %.",
    "3": "GPU hours as products of the table's own figures; accuracies from pre-training runs.",
    "4": "The paper's figures are of the test sets, from the leaderboard. Ours are of dev, or of test where a test "
         "set has labels; the two are kept apart.",
    "7": "The set that a run of Agora found; and whether the printed set can come from the paper's own Θ (§5).",
    "figure1": "The step after which each pre-training has converged, from two runs that differ in the teacher only.",
    "text": "Statements with numbers: each follows from the tables, from a formula, from the official data, or from a "
            "measurement on this machine.",
}
for _like, _others in (("4", "56"), ("7", "89")):
    INTRODUCTIONS.update(dict.fromkeys(_others, INTRODUCTIONS[_like]))


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading with what stands under it."""

    table: str
    findings: List[Finding]
    matrix: Optional[List[List[str]]] = None
    """The paper's whole table beside ours, if its other systems are no findings of their own; the first row is the
    header."""

    @property
    def title(self) -> str:
        """The heading."""
        return TITLES[self.table]

    @property
    def introduction(self) -> str:
        """The paragraph below the heading."""
        return INTRODUCTIONS[self.table]

    def listed(self) -> List[Finding]:
        """The findings to list: with a matrix, those of other systems that were not run stand in it alone."""
        return [one for one in self.findings if not self._stands_in_matrix(one)]

    def unlisted(self) -> List[Finding]:
        """The findings that stand in the matrix alone."""
        return [one for one in self.findings if self._stands_in_matrix(one)]

    def _stands_in_matrix(self, one: Finding) -> bool:
        return self.matrix is not None and one.ours is None and not one.column.startswith("Bort,")


def build_sections(paper: Published, tables: Sequence[str], runs: Sequence[FinishedRun]) -> List[Section]:
    """Compute, measure, and take from runs, whatever the tables ask for.

    Args:
        paper: the paper's values.
        tables: of `TABLES`.
        runs: finished runs.
    """
    latencies = latency_table.measure(paper) if {"1", "text"} & set(tables) else None
    two, scored = training_cost.find_two_runs(runs), score_tables.scored_runs(runs)
    return [_section(paper, table, runs, two, scored, latencies) for table in TABLES if table in tables]


def _section(paper: Published, table: str, runs: Sequence[FinishedRun], two: TwoRuns, scored: Sequence[ScoredRun],
             latencies: Optional[Latencies]) -> Section:
    if table == "1":
        return Section(table, [*sizes.table_sizes(paper, table),
                               *latency_table.seconds_findings(paper, latencies, runs),
                               *w_coefficients.w_findings(paper, runs)])
    if table == "2":
        return Section(table, sizes.table_sizes(paper, table))
    if table == "3":
        return Section(table, training_cost.table_3(paper, two))
    if table == "figure1":
        return Section(table, training_cost.figure_1(paper, two))
    if table in SCORES:
        findings = score_tables.score_findings(paper, table, scored)
        return Section(table, findings, _matrix(paper, table, findings))
    if table in CONVERGENT_SETS:
        return Section(table, convergent_sets.table_findings(paper, table, scored))
    return Section(table, [*sizes.text_sizes(paper), *latency_table.speed_up_findings(paper, latencies),
                           *training_cost.text_costs(paper), *convergent_sets.text_sets(paper),
                           *prose.text_claims(paper)])


def _matrix(paper: Published, table: str, findings: Sequence[Finding]) -> List[List[str]]:
    """The paper's table with all its systems, and ours of Bort: dev and test in columns of their own."""
    systems = paper.columns(table)
    rows = [["task", *systems, "ours, dev", "ours, test"]]
    for task in paper.rows(table):
        ours: Dict[str, str] = {}
        for one in findings:
            if one.row == task and one.how.startswith(FROM_RUN) and one.column.startswith("Bort,"):
                mark = "*" if one.verdict == NOT_RUN else ""
                ours.setdefault(one.column.rpartition(", ")[2], f"{one.ours}{mark}")
        rows.append([task, *(_score(paper(table, task, system)) for system in systems), ours.get("dev", "–"),
                     ours.get("test", "–")])
    return rows


def _score(printed: Any) -> str:
    """A score as the paper prints it, with one digit after the point."""
    return printed if isinstance(printed, str) else f"{printed:.1f}"

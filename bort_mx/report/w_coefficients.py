"""Table 1's W-coefficients: from a finished search of the paper's space, and what the printed ones imply."""

import math
from typing import List, Sequence

from bort_mx.architecture import ROBERTA_VOCABULARY
from bort_mx.report import commands_to_run
from bort_mx.report.findings import FROM_RUN, NOT_RUN, Finding, judge, shown
from bort_mx.report.latency_table import SECONDS
from bort_mx.report.published import Published
from bort_mx.report.sizes import PARAMETERS
from bort_mx.search.space import PAPER_SPACE, admit, read_space
from bort_mx.training.finished_runs import FinishedRun

T = "RoBERTa-large"
SETTING = {"steps": 3, "batch_size": 1024, "seq_len": 512, "epsilon": 2}
NEAR = 0.1
NEEDS = "not run: needs a V100, Bookcorpus and RoBERTa-large's weights"


def w_findings(paper: Published, runs: Sequence[FinishedRun]) -> List[Finding]:
    """W of every row that has one; of the searches in `runs`, the first of the paper's space counts."""
    searches = [run for run in runs if run.stage == "search"]
    of_the_paper = [run for run in searches if _is_of_the_papers_space(run)]
    return [_finding(paper, row, (of_the_paper or searches or [None])[0], bool(of_the_paper))
            for row in paper.rows("1") if paper("1", row, "W") is not None]


def _is_of_the_papers_space(run: FinishedRun) -> bool:
    return run.results.get("space", {}).get("architectures") == len(admit(read_space(PAPER_SPACE)).architectures)


def _finding(paper: Published, row: str, run, is_of_the_papers_space: bool) -> Finding:
    printed, note = paper("1", row, "W"), _implied(paper, row)
    shape = list(paper.architecture("1", row).as_tuple())
    ranking = [] if run is None else run.results.get("ranking", [])
    ours = next((entry["w"] for entry in ranking if entry["architecture"] == shape), None)
    if ours is None:
        where = f"{NEEDS}; the search in {run.name} has no such candidate" if run else NEEDS
        return Finding("1", row, "W", printed, None, where, NOT_RUN, note, commands_to_run.SEARCH)
    how = f"{FROM_RUN}: {run.name}"
    if not is_of_the_papers_space or any(run.options.get(name) != value for name, value in SETTING.items()):
        return Finding("1", row, "W", printed, shown(ours), how, NOT_RUN, f"not at the paper's setting; {note}",
                       commands_to_run.SEARCH)
    verdict, _ = judge(printed, ours, relative=NEAR)
    return Finding("1", row, "W", printed, shown(ours), how, verdict, note)


def _implied(paper: Published, row: str) -> str:
    """The error ê that eq. 2 needs for the printed W, with Table 1's own parameters and seconds."""
    def gain(column: str) -> float:
        return 1 - paper("1", row, column) / paper("1", T, column)

    error = gain(PARAMETERS) * gain(SECONDS) / paper("1", row, "W")
    return (f"eq. 2 with the table's parameters and seconds needs ê = {error:.3g} nats for this W. A uniform guess "
            f"over V = {ROBERTA_VOCABULARY:,} has {math.log(ROBERTA_VOCABULARY):.1f} nats, so ê must have been "
            "averaged in a way that the paper does not say")

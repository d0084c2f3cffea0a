"""Latency: Table 1's seconds and the speed-ups of the text, measured now and as multiply-adds allow them."""

import dataclasses
import statistics
from typing import List, Mapping, Optional, Sequence, Tuple

from bort_mx.architecture import ROBERTA_VOCABULARY, Architecture
from bort_mx.checkpoints.directory import RESULTS
from bort_mx.errors import InputError
from bort_mx.report import commands_to_run
from bort_mx.report.findings import FORMULA, FROM_RUN, HOLDS, MEASURED, NOT_RUN, Finding, judge
from bort_mx.report.published import Published
from bort_mx.training.finished_runs import FinishedRun
from bort_mx.training.hours import device_in_words

LENGTH, ROUNDS, BORT = 512, 5, "A1 (Bort)"
NEAR = 0.15
"""A speed-up holds within this share: a measured one depends on the machine."""
SECONDS = "seconds per sample"
SPEED_UPS = {"speed-up on a CPU, over BERT-base": "BERT-base", "speed-up on a CPU, over RoBERTa-large": "RoBERTa-large"}


@dataclasses.dataclass(frozen=True)
class Latencies:
    """Seconds of a forward pass of one sequence: a row of the paper's Table 1 → one value for each round."""

    seconds: Mapping[str, List[float]]
    machine: str

    def median(self, row: str) -> float:
        """The median of a row, in seconds."""
        return statistics.median(self.seconds[row])

    def ratios(self, slow: str, quick: str) -> List[float]:
        """How many times as long `slow` takes as `quick`: one ratio for each round."""
        return [a / b for a, b in zip(self.seconds[slow], self.seconds[quick])]


def measure(paper: Published, rounds: int = ROUNDS, length: int = LENGTH) -> Latencies:
    """Time every row of Table 1 by the table's protocol, but with few trials, and with an element of random ids."""
    import mxnet as mx

    from bort_mx.search.latency_protocol import draw_element, time_trials  # loads MXNet

    rows = paper.rows("1")
    element = draw_element(None, length, 0, ROBERTA_VOCABULARY)
    found = time_trials([paper.architecture("1", row) for row in rows], element, ROBERTA_VOCABULARY, rounds, mx.cpu())
    return Latencies({row: timed.seconds.tolist() for row, timed in zip(rows, found)}, device_in_words(None, 1))


def seconds_findings(paper: Published, measured: Latencies, runs: Sequence[FinishedRun]) -> List[Finding]:
    """Table 1's column of seconds, of `bort-mx latency` or measured now: not on the paper's machine."""
    found = []
    for row in paper.rows("1"):
        spread = measured.seconds[row]
        ours, how = _of_trials(runs, paper.architecture("1", row)) or (
            f"{measured.median(row):.3f} ({min(spread):.3f} to {max(spread):.3f})",
            f"{MEASURED}: median of {len(spread)} passes in turn, b = 1, s = {LENGTH}, on {measured.machine}")
        found.append(Finding(
            "1", row, SECONDS, paper("1", row, SECONDS), ours, how, NOT_RUN,
            "the paper's seconds are of 8 Xeon Platinum 8000 at 3.5 GHz and 21 GiB, which this machine is not; compare "
            "the ratios in the text's section", commands_to_run.LATENCY))
    return found


def _of_trials(runs: Sequence[FinishedRun], architecture: Architecture) -> Optional[Tuple[str, str]]:
    """What `bort-mx latency` found for an architecture at Table 1's length, and how; None: no such run.

    Raises:
        InputError: a run's results.json is not of that command.
    """
    shape = list(architecture.as_tuple())
    for run in runs:
        if run.stage != "latency" or run.options.get("seq_len") != LENGTH:
            continue
        try:
            for one in run.results["rows"]:
                if one["architecture"] == shape:
                    return (f"{one['mean_s']:.3f} ({one['quartile_1_s']:.3f} to {one['quartile_3_s']:.3f})",
                            f"{FROM_RUN}: {run.name}; mean of {run.options['trials']:,} passes (and quartiles), b = 1, "
                            f"s = {LENGTH}, on {run.results['machine']}")
        except (KeyError, TypeError, ValueError):
            raise InputError(f"{run.path / RESULTS}: not results of `bort-mx latency`; move this folder away, or time "
                             "again into it") from None
    return None


def speed_up_findings(paper: Published, measured: Latencies) -> List[Finding]:
    """The text's speed-ups: from Table 1's seconds, from multiply-adds, and measured now."""
    found = []
    for row, slow in SPEED_UPS.items():
        printed, place = paper("text", row), paper("text", row, "place")
        table = paper("1", slow, SECONDS) / paper("1", BORT, SECONDS)
        allowed = work_ratio(paper, slow)
        ratios = measured.ratios(slow, BORT)
        of_the_table = "" if judge(printed, table)[0] == HOLDS else "Table 1's own seconds give another figure"
        of_the_work = (f"multiply-adds at s = {LENGTH}, attention included, allow {allowed:.1f} times, and "
                       f"{work_ratio(paper, slow, swapped=True):.1f} with H and I swapped; no reading of the "
                       "architecture gives the printed figure")
        # What is divided from the table must have the table's digits; the others are near or not.
        for ours, how, shown, near, note in (
                (table, f"{FORMULA}: Table 1's seconds divided", f"{table:.2f}", 0.0, of_the_table),
                (allowed, f"{FORMULA}: multiply-adds divided", f"{allowed:.1f}", NEAR, of_the_work),
                (statistics.median(ratios), f"{MEASURED} on {measured.machine}",
                 f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})", NEAR, of_the_work)):
            verdict, _ = judge(printed, ours, relative=near)
            found.append(Finding("text", row, place, printed, shown, how, verdict, note))
    return found


def work_ratio(paper: Published, slow: str, swapped: bool = False) -> float:
    """Multiply-adds of a row of Table 1 over Bort's; `swapped`: Bort with H and I exchanged."""
    D, A, H, I = paper.architecture("1", BORT).as_tuple()
    bort = Architecture(D, A, I, H) if swapped else Architecture(D, A, H, I)
    return paper.architecture("1", slow).multiply_adds(LENGTH) / bort.multiply_adds(LENGTH)

"""Latency: Table 1's seconds and the speed-ups of the text, measured now and as multiply-adds allow them."""

import dataclasses
import statistics
import time
from typing import Dict, List, Mapping

import numpy as np

from bort_mx import runtime
from bort_mx.architecture import ROBERTA_VOCABULARY, Architecture
from bort_mx.machine import cpu_name
from bort_mx.report import commands_to_run
from bort_mx.report.findings import FORMULA, MEASURED, NOT_RUN, Finding, judge
from bort_mx.report.published import Published

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
    """Time the encoder of every row of Table 1, one pass of each in turn, batch 1. The weights are zeros."""
    models = {row: _model(paper.architecture("1", row), length) for row in paper.rows("1")}
    ids = np.random.default_rng(0).integers(5, ROBERTA_VOCABULARY, (1, length))
    for model in models.values():
        _seconds(model, ids)  # compiles the graph
    found: Dict[str, List[float]] = {row: [] for row in models}
    for _ in range(rounds):
        for row, model in models.items():
            found[row].append(_seconds(model, ids))
    threads = runtime.set_threads()
    return Latencies(found, f"{cpu_name()}, {threads} thread{'s' if threads > 1 else ''}")


def _model(architecture: Architecture, length: int):
    from bort_mx.models.build import build_from_config  # loads MXNet
    from bort_mx.models.config import ModelConfig

    config = ModelConfig(architecture, ROBERTA_VOCABULARY, "encoder", num_positions=length)
    return build_from_config(config, seed=None, gradients=False)


def _seconds(model, ids: np.ndarray) -> float:
    import mxnet as mx

    array = mx.nd.array(ids)
    mx.nd.waitall()
    start = time.perf_counter()
    model(array).wait_to_read()
    return time.perf_counter() - start


def seconds_findings(paper: Published, measured: Latencies) -> List[Finding]:
    """Table 1's column of seconds: ours are of this machine, so they are not the paper's experiment."""
    found = []
    for row in paper.rows("1"):
        spread = measured.seconds[row]
        found.append(Finding(
            "1", row, SECONDS, paper("1", row, SECONDS),
            f"{measured.median(row):.3f} ({min(spread):.3f} to {max(spread):.3f})",
            f"{MEASURED}: median of {len(spread)} passes in turn, b = 1, s = {LENGTH}, on {measured.machine}", NOT_RUN,
            "the paper's seconds are of 8 Xeon Platinum 8000 at 3.5 GHz and 21 GiB, which this machine is not; compare "
            "the ratios in the text's section", commands_to_run.LATENCY))
    return found


def speed_up_findings(paper: Published, measured: Latencies) -> List[Finding]:
    """The text's speed-ups: from Table 1's seconds, from multiply-adds, and measured now."""
    found = []
    for row, slow in SPEED_UPS.items():
        printed, place = paper("text", row), paper("text", row, "place")
        table = paper("1", slow, SECONDS) / paper("1", BORT, SECONDS)
        allowed = work_ratio(paper, slow)
        ratios = measured.ratios(slow, BORT)
        note = (f"multiply-adds at s = {LENGTH}, attention included, allow {allowed:.1f} times, and "
                f"{work_ratio(paper, slow, swapped=True):.1f} with H and I swapped; no reading of the architecture "
                "gives the printed figure")
        for ours, how, shown in (
                (table, f"{FORMULA}: Table 1's seconds divided", f"{table:.2f}"),
                (allowed, f"{FORMULA}: multiply-adds divided", f"{allowed:.1f}"),
                (statistics.median(ratios), f"{MEASURED} on {measured.machine}",
                 f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})")):
            # What is divided from the table must have the table's digits; the others are near or not.
            verdict, _ = judge(printed, ours, relative=0.0 if ours is table else NEAR)
            found.append(Finding("text", row, place, printed, shown, how, verdict,
                                 "" if ours is table and verdict == "holds" else
                                 "Table 1's own seconds give another figure" if ours is table else note))
    return found


def work_ratio(paper: Published, slow: str, swapped: bool = False) -> float:
    """Multiply-adds of a row of Table 1 over Bort's; `swapped`: Bort with H and I exchanged."""
    D, A, H, I = paper.architecture("1", BORT).as_tuple()
    bort = Architecture(D, A, I, H) if swapped else Architecture(D, A, H, I)
    return paper.architecture("1", slow).multiply_adds(LENGTH) / bort.multiply_adds(LENGTH)

"""Predict hours and disk of the steps of docs/reproduce.md: prints the table that tools/bench_tables.py writes there.

    python tools/predict_hours.py [--share 0.5]

Work is counted in multiply-adds (`Architecture.multiply_adds`, and the output layer at masked positions; a backward
pass counts twice; of the search, as `bort_mx.search.cost_model` counts). A device reaches a share of its peak: the
share that the paper's own hours mean for its eight V100s. Where docs/experiments/bench.json has both, the share of the
float32 matrix product that the training step reaches there makes the other end of a range.
No GPU has run these commands here.
"""

import argparse
import json
import pathlib
import sys
from typing import Dict, List, Optional, Sequence, Tuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bort_mx.architecture import PRESETS, ROBERTA_VOCABULARY, Architecture  # noqa: E402
from bort_mx.data.tasks import TASKS  # noqa: E402
from bort_mx.data.tasks.tables import load_table  # noqa: E402
from bort_mx.report.published import SCORES  # noqa: E402
from bort_mx.search.cost_model import Workload, candidate_work, paper_candidates, teacher_work  # noqa: E402

KEPT = ROOT / "docs" / "experiments" / "bench.json"
PEAKS = {"8 x V100": (8 * 125e12, 8 * 15.7e12), "1 x A100": (312e12, 19.5e12)}
"""Peaks of the devices in operations a second, from their data sheets: half precision, and float32."""
HALF, SINGLE = 0, 1
BATCH, LENGTH, STEPS, MASKED = 1024, 512, 25000, 77
PAPER_HOURS = {"distillation": 36, "self-supervised": 40}
EPOCHS, TOKENS = 10, 64
"""Of fine-tuning: epochs, and the mean length of an example, both rough."""
SENTENCES, BYTES_OF_SENTENCE, TOKENS_OF_SENTENCE = 270e6, 110, 25
PREPARE_BYTES_PER_SECOND = 4.5e6
"""Measured on two cores and plain text, see docs/results.md."""


def pass_work(architecture: Architecture, sequences: float, length: int, masked: int) -> float:
    """Operations of a forward pass, with the output layer at the masked positions."""
    head = masked * architecture.hidden_size * (ROBERTA_VOCABULARY + architecture.hidden_size)
    return 2 * sequences * (architecture.multiply_adds(length) + head)


def pretraining_work(distilled: bool) -> float:
    """Operations of the paper's 25,000 steps."""
    student = 3 * pass_work(PRESETS["bort"], BATCH, LENGTH, MASKED)
    teacher = pass_work(PRESETS["roberta-large"], BATCH, LENGTH, MASKED) if distilled else 0
    return STEPS * (student + teacher)


def search_work() -> float:
    """Operations of the paper's search: each candidate's three steps and evaluation lines, and T."""
    teacher = PRESETS["roberta-large"]
    return 2 * (teacher_work(teacher, Workload())
                + sum(candidate_work(one, Workload(), teacher) for one in paper_candidates()))


def finetuning_work(architecture: Architecture) -> float:
    """Operations of one training on every task of the three benchmarks."""
    sizes = [counts[0] or 0 for benchmark in ("glue", "superglue", "race")
             for counts in load_table("counts.yaml")[benchmark].values()]
    return 3 * EPOCHS * pass_work(architecture, sum(sizes), TOKENS, 0)


def paper_share() -> float:
    """The share of eight V100s' peak that the paper's 36 hours of distillation mean."""
    return pretraining_work(True) / (PAPER_HOURS["distillation"] * 3600 * PEAKS["8 x V100"][HALF])


def measured_share(found: Dict) -> Optional[float]:
    """The share of the matrix product's speed that the training step of 8 x 128 tokens reaches; None if the results
    of `bort-mx bench` have not both.
    """
    rows = [row for suite in ("latency", "training") for run in found["results"].get(suite, []) for row in run["rows"]]
    peak = next((row["gemm_peak_gflops"] for row in rows if "gemm_peak_gflops" in row), None)
    row = next((row for row in rows if row.get("shape") == "8x128"), None)
    if peak is None or row is None:
        return None
    work = 3 * pass_work(PRESETS["bort"], 1, 128, 19) / 128
    return row["tokens_per_s"]["bort_mx"] * work / (peak * 1e9)


def rows() -> List[Tuple[str, float, int, str]]:
    """Step, operations, which peak, disk."""
    checkpoint = PRESETS["bort"].parameters() * 4 * 3 * 3 / 1e9  # weights and two moments; the three newest are kept
    tasks = sum(kind.scored_by is None and kind.benchmark in SCORES.values() for kind in TASKS.values())
    return [("search", search_work(), SINGLE, "0.1 GB"),
            ("pre-training by distillation", pretraining_work(True), HALF, f"{checkpoint:.0f} GB"),
            ("self-supervised pre-training", pretraining_work(False), HALF, f"{checkpoint:.0f} GB"),
            ("RoBERTa-large on every task, once", finetuning_work(PRESETS["roberta-large"]), HALF, f"{tasks} x 4 GB"),
            ("Bort on every task, once", finetuning_work(PRESETS["bort"]), HALF, f"{tasks} x 1 GB"),
            ("Agora's 500 sets on every task, one round", 500 * finetuning_work(PRESETS["bort"]), HALF,
             f"{tasks} x 2 GB")]


def hours(work: float, peak: float, shares: Sequence[float]) -> str:
    """The range of hours in which a device does the work; two digits, as more would mean nothing."""
    found = [work / (peak * share) / 3600 for share in sorted(shares, reverse=True)]
    return " to ".join(f"{float(f'{value:.2g}'):,g}" for value in found)


def table(shares: Sequence[float]) -> str:
    """The document's table."""
    head = ["step", "operations", *(f"{device}, hours" for device in PEAKS), "disk"]
    text = SENTENCES * BYTES_OF_SENTENCE
    prepare = f"{text / PREPARE_BYTES_PER_SECOND / 3600:.1f} and reading, on two CPU cores"
    lines = [head, ["---"] * len(head),
             ["prepare", "", *[prepare] * len(PEAKS),
              f"{text / 1e9:.0f} GB of text, {2 * SENTENCES * TOKENS_OF_SENTENCE / 1e9:.0f} GB of shards"]]
    lines += [[name, f"{work:.1e}", *(hours(work, peaks[kind], shares) for peaks in PEAKS.values()), disk]
              for name, work, kind, disk in rows()]
    shown = " and ".join(f"{share:.0%}" for share in shares)
    others = (", and what the training step reaches\nof the matrix product on a CPU ([benchmarks.md](benchmarks.md)). "
              "A GPU is far from that in half precision:\nplan with the longer time" if len(shares) > 1 else "")
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + (
        f"\nThe hours are for {shown} of the devices' peak, in half precision (the search: in float32): what the "
        f"paper's own\n36 hours of distillation mean{others}.\n")


def predicted(found: Dict, share: Optional[float] = None) -> str:
    """The table for the paper's share, and for `share` or the one measured by `bort-mx bench`, where there is one."""
    other = share or measured_share(found)
    return table([paper_share(), *([other] if other else [])])


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--share", type=float, help="in place of the share from bench.json")
    found = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {"results": {}}
    print(predicted(found, parser.parse_args(arguments).share), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Runs of several seeds beside each other: medians, ranges, and how likely means so far apart are by chance.

    python benchmarks/compare_seeds.py --metric accuracy runs/head/linear/RTE runs/head/paper/RTE runs/head/usual/RTE

Prints a JSON object a run: the metric of the best epoch on dev over its seeds in percent, and the median over seeds of
the mean training loss of the last 50 steps that metrics.jsonl has; then one a pair of runs, with Welch's p.
"""

import argparse
import itertools
import json
import pathlib
import statistics

import scipy.stats

from bort_mx.io import files
from bort_mx.io.jsonl_log import JsonlLog

LAST = 50


def last_loss(folder: pathlib.Path) -> float:
    """Mean training loss of the last steps of one seed."""
    losses = [row["loss"] for _, row in JsonlLog(folder / "metrics.jsonl", write=False).records if "loss" in row]
    return statistics.mean(losses[-LAST:])


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=pathlib.Path)
    parser.add_argument("--metric", required=True)
    arguments = parser.parse_args()
    values = {}
    for run in arguments.runs:
        found = files.read_json(run / "results.json")["dev_over_seeds"][arguments.metric]["values"]
        values[run] = [100 * value for value in found]
        losses = [last_loss(seed) for seed in sorted(run.glob("seed-*"))]
        spread = {"median": statistics.median(values[run]), "low": min(values[run]), "high": max(values[run])}
        print(json.dumps({"run": str(run), **{name: round(value, 1) for name, value in spread.items()},
                          "last_loss": round(statistics.median(losses), 2)}))
    for one, other in itertools.combinations(values, 2):
        p = scipy.stats.ttest_ind(values[one], values[other], equal_var=False).pvalue
        print(json.dumps({"runs": [str(one), str(other)], "p": round(float(p), 3)}))


if __name__ == "__main__":
    main()

"""What each part of a recipe gives alone: short students of all recipes, told apart by linear models on frozen states.

    python benchmarks/students_ablation.py run --data-dir ../shared/data --teacher MINILM --runs runs/students \
        --record runs/students/students_ablation.jsonl
    python benchmarks/students_ablation.py table

The recipes are those of students_plan.py, each trained for as many steps as take `CPU_SECONDS`; the scores are those
of students_probe.py, on dev. Rules are in docs/experiments/students.md. `run` goes on where it was stopped; several may
run at once. Seconds of a step are measured as students.py does it, and kept in its record.
"""

import argparse
import pathlib
import signal
import statistics
from typing import Any, Dict

from recorded_scores import parser_of, rows, run_or_table
from students import METRIC, STOPPED, Driver, locked
from students_plan import RECIPES, WITH_HEAD, Step
from students_probe import all_scores

from bort_mx.io.jsonl_log import JsonlLog
from bort_mx.provenance import provenance

CPU_SECONDS = 510
SEEDS = 3
NAMES = [name for name, recipe in RECIPES.items() if not recipe.peer and name != "wide"]


def train(driver: Driver, name: str, seed: int) -> Dict[str, Any]:
    """A student of `CPU_SECONDS`; its losses and cost."""
    for step in ([Step("head")] if RECIPES[name].teacher == WITH_HEAD else []) + [Step("calibrate", name)]:
        driver.ensure(step)
        if driver.stopping:
            raise SystemExit(STOPPED)
    steps = round(CPU_SECONDS / driver.done()[Step("calibrate", name)]["cpu_seconds_a_step"])
    found = driver.train(name, folder(name, seed), steps, "--seed", str(seed))
    if found is None:
        raise SystemExit(STOPPED)
    return found


def folder(name: str, seed: int) -> str:
    """Where a student is, below --runs."""
    return f"ablations/{name}-{seed}"


def run(arguments: argparse.Namespace) -> None:
    """Do what is not in the record and no other process works on."""
    arguments.students_record = arguments.students_record or pathlib.Path(arguments.record).with_name("students.jsonl")
    driver, runs = Driver(arguments), pathlib.Path(arguments.runs)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, driver.stop)
    for seed in arguments.seeds:
        for name in arguments.recipes:
            if driver.stopping:
                raise SystemExit(STOPPED)
            with locked(runs / "locks" / f"ablation-{name}-{seed}") as mine:
                if not mine or (name, seed) in {(row["recipe"], row["seed"]) for row in rows(arguments.record)}:
                    continue
                found = train(driver, name, seed)
                scores = all_scores(str(runs / folder(name, seed)), arguments.data_dir)
                print(f"{name}, seed {seed}: {scores}", flush=True)
                with locked(runs / "locks" / "ablation-record", wait=True):
                    JsonlLog(arguments.record, "delete the line").append({
                        "recipe": name, "seed": seed, **found["results"], "cpu_seconds": found["cost"]["cpu_seconds"],
                        "scores": scores, "commit": provenance()["git_commit"]})


def table(record: str) -> str:
    """Means over seeds in percent by recipe, as Markdown, with the range of the mean of the tasks."""
    lines = ["| recipe | seeds | steps | CPU seconds | " + " | ".join(METRIC) + " | mean |",
             "|---|---|---|---|" + "---|" * (len(METRIC) + 1)]
    for name in NAMES:
        found = [row for row in rows(record) if row["recipe"] == name]
        if not found:
            continue
        means = [100 * statistics.mean(row["scores"].values()) for row in found]
        cells = [f"{100 * statistics.mean(row['scores'][task] for row in found):.1f}" for task in METRIC]
        spread = f" ({min(means):.1f} to {max(means):.1f})" if len(means) > 1 else ""
        seconds = statistics.mean(row["cpu_seconds"] for row in found)
        lines.append(f"| {name} | {len(found)} | {found[0]['steps']:,} | {seconds:.0f} | {' | '.join(cells)} | "
                     f"{statistics.mean(means):.1f}{spread} |")
    return "\n".join(lines)


def main() -> None:
    """Run or tell."""
    parser = parser_of(__doc__, "students_ablation.jsonl")
    parser.add_argument("--teacher", default="", help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--runs", default="runs/students")
    parser.add_argument("--students-record", help="of students.py, for the seconds of a step; default: students.jsonl "
                        "beside --record")
    parser.add_argument("--recipes", nargs="+", default=NAMES, choices=NAMES)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(SEEDS)))
    run_or_table(parser, run, table)


if __name__ == "__main__":
    main()

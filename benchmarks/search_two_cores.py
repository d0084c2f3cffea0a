"""A search four times over: alone, by two workers, again, killed and restarted: do they agree, and how fast are they?

Every run has one thread a worker. What follows `--` goes to run_search.py; --latency flops is added, without which no
two runs could give the same bytes.

    python benchmarks/search_two_cores.py --output-dir runs/search-two-cores -- --data DIR --teacher CKPT \\
        --space configs/search_two_cores.yaml --batch-size 64 --seq-len 128 --evaluation-lines 256

One JSON line is printed for each run, and one with the comparison, which is also written to OUT/comparison.json.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from typing import List, Sequence

from launched import launched

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMPARED = ("results.json", "ranking.csv", "candidates.jsonl", "pareto.png")


def command(arguments: Sequence[str], output: pathlib.Path, workers: int) -> List[str]:
    """The command line of one search."""
    search = [sys.executable, str(ROOT / "run_search.py"), *arguments, "--latency", "flops",
              "--output-dir", str(output)]
    return launched(search, workers)


def run(arguments: Sequence[str], output: pathlib.Path, workers: int = 1) -> dict:
    """One search from start to end: wall-clock seconds, and those of its phases."""
    with open(output.with_suffix(".log"), "ab") as log:
        start = time.perf_counter()
        subprocess.run(command(arguments, output, workers), check=True, env=environment(), stdout=log, stderr=log)
        seconds = time.perf_counter() - start
    runtime = json.loads((output / "runtime.json").read_text())
    return {"run": output.name, "workers": workers, "seconds": round(seconds, 1),
            "phases_s": {name: round(value, 1) for name, value in runtime["phases_s"].items()},
            "taken_from_log": runtime["taken_from_log"], "teacher_passes": runtime["teacher_passes"],
            "batches": runtime["teacher_batches"]}


def run_killed(arguments: Sequence[str], output: pathlib.Path, after: int) -> dict:
    """A search killed (SIGKILL) when `after` candidates are in its log, then started again."""
    with open(output.with_suffix(".log"), "ab") as log:
        process = subprocess.Popen(command(arguments, output, 1), env=environment(), stdout=log, stderr=log,
                                   start_new_session=True)
        while finished(output) < after:
            if process.poll() is not None:
                raise SystemExit(f"{output}: ended before {after} candidates were finished; see its .log")
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return run(arguments, output)


def finished(output: pathlib.Path) -> int:
    """Candidates in the log, its header not counted."""
    log = output / "candidates.jsonl"
    return max(0, log.read_bytes().count(b"\n") - 1) if log.is_file() else 0


def environment() -> dict:
    """One thread a worker."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def compare(one: pathlib.Path, other: pathlib.Path) -> dict:
    """Which files are equal byte for byte, and whether the rankings are the same."""
    equal = {name: (one / name).read_bytes() == (other / name).read_bytes() for name in COMPARED}
    rankings = [[row["architecture"] for row in json.loads((directory / "results.json").read_text())["ranking"]]
                for directory in (one, other)]
    return {"equal_bytes": equal, "same_ranking": rankings[0] == rankings[1], "candidates": len(rankings[0])}


def main() -> None:
    """Run and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output-dir", required=True, type=pathlib.Path)
    parser.add_argument("--kill-after", type=int, default=10, help="candidates")
    parser.add_argument("search", nargs="*", help="options of run_search.py, after --")
    arguments = parser.parse_args()
    out = arguments.output_dir
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    rows = {}
    for name, make in (("alone", lambda path: run(arguments.search, path)),
                       ("two-workers", lambda path: run(arguments.search, path, workers=2)),
                       ("again", lambda path: run(arguments.search, path)),
                       ("killed", lambda path: run_killed(arguments.search, path, arguments.kill_after))):
        rows[name] = make(out / name)
        print(json.dumps(rows[name]), flush=True)
    alone = (rows["alone"]["seconds"] + rows["again"]["seconds"]) / 2
    candidates = (rows["alone"]["phases_s"]["candidates"] + rows["again"]["phases_s"]["candidates"]) / 2
    comparison = {"speed_up": {"whole command": round(alone / rows["two-workers"]["seconds"], 2),
                               "candidates": round(candidates / rows["two-workers"]["phases_s"]["candidates"], 2)},
                  **{name: compare(out / "alone", out / name) for name in ("again", "two-workers", "killed")}}
    print(json.dumps(comparison), flush=True)
    (out / "comparison.json").write_text(json.dumps({"runs": rows, **comparison}, indent=2) + "\n")


if __name__ == "__main__":
    main()

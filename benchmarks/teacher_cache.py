"""What a step of distillation costs when the teacher's states are kept, beside computing them: CPU seconds.

    python benchmarks/teacher_cache.py --data runs/students/data --teacher MINILM [--rounds 3]

Each side is run twice in turn, for 5 and for 25 steps; the difference is 20 steps without start and evaluation. The
kept sequences are those of the first five steps, so that the 20 steps read all of them from the file. Prints one JSON
object a round and one with the median ratio.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from typing import List

from students_plan import COMMON, RECIPES, SMALL

from bort_mx.io import files

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIRST, MORE = 5, 20
GIGABYTES = "0.0316"
"""Holds the states of the first five steps, 160 sequences of 64 tokens."""


def cpu_seconds(arguments: argparse.Namespace, steps: int, options: List[str]) -> float:
    """CPU seconds of a run."""
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([sys.executable, str(ROOT / "run_pretraining.py"), "--data", arguments.data, "--teacher",
                        arguments.teacher, "--architecture", SMALL, *COMMON, *RECIPES["inner"].options, *options,
                        "--evaluation-sequences", "32", "--max-steps", str(steps), "--output-dir", f"{out}/run"],
                       check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)})
        return files.read_json(pathlib.Path(out) / "run" / "cost.json")["cpu_seconds"]


def main() -> None:
    """Measure in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    ratios = []
    for _ in range(arguments.rounds):
        seconds = {}
        for name, options in (("computed", []), ("kept", ["--teacher-cache", GIGABYTES])):
            first, all_steps = (cpu_seconds(arguments, steps, options) for steps in (FIRST, FIRST + MORE))
            seconds[name] = (all_steps - first) / MORE
        ratios.append(seconds["computed"] / seconds["kept"])
        print(json.dumps({**seconds, "ratio": ratios[-1]}), flush=True)
    print(json.dumps({"ratio": {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}}))


if __name__ == "__main__":
    main()

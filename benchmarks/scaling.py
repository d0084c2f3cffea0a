"""Pre-training on two workers of one thread each beside one worker of one thread, and one of two: tokens a second.

    python benchmarks/scaling.py [--steps 30] [--rounds 3]

Two runs at once that know nothing of each other show what the processor allows. The four take turns; a run is
`run_pretraining.py` on the built-in text with a small model. Its speed is the median over the log steps after the
first.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from launched import launched
from side_by_side import spread

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = ["--architecture", "4,4,256,1024", "--batch-size", "16", "--seq-len", "128", "--evaluation-interval", "0",
         "--checkpoint-interval", "0", "--log-interval", "5"]
PREPARE = """
import sys
from bort_mx.commands.prepare import PrepareOptions, prepare
from bort_mx.data import sample_text
prepare(PrepareOptions([str(sample_text.write_corpus(sys.argv[1]))], sys.argv[2], train_vocab=4000))
"""


CASES = {"1 worker": (1, 1, 1), "2 workers": (2, 1, 1), "1 worker of 2 threads": (1, 2, 1),
         "2 runs at once": (1, 1, 2)}
"""Name → workers, threads of each, and how many such runs at once."""


def speed(output: pathlib.Path, workers: int, threads: int, runs: int, data: pathlib.Path, steps: int) -> float:
    """Tokens a second of all runs together."""
    with concurrent.futures.ThreadPoolExecutor(runs) as pool:
        return sum(pool.map(lambda number: speed_of_run(output / str(number), workers, threads, data, steps),
                            range(runs)))


def speed_of_run(output: pathlib.Path, workers: int, threads: int, data: pathlib.Path, steps: int) -> float:
    """Tokens a second of one run.

    Raises:
        subprocess.CalledProcessError: the run failed.
    """
    command = [sys.executable, str(ROOT / "run_pretraining.py"), "--data", str(data), *MODEL, "--max-steps", str(steps),
               "--output-dir", str(output)]
    subprocess.run(launched(command, workers), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   env={**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)})
    rows = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return statistics.median(row["tokens_per_s"] for row in rows[1:] if "tokens_per_s" in row)


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not pathlib.Path(sys.executable).with_name("horovodrun").is_file():
        print(json.dumps({"missing": {"two workers": "Horovod is not installed"}}))
        return
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        subprocess.run([sys.executable, "-c", PREPARE, str(place / "text"), str(place / "data")], check=True,
                       stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)})
        speeds = {name: [] for name in CASES}
        for number in range(options.rounds):
            for name, case in CASES.items():
                speeds[name].append(speed(place / f"{number} {name}", *case, place / "data", options.steps))
    one, two, threaded, apart = speeds.values()
    print(json.dumps({"cores": os.cpu_count(), "tokens_per_s": {name: spread(found) for name, found in speeds.items()},
                      "share_of_twice_one": spread([b / (2 * a) for a, b in zip(one, two)]),
                      "over_one_of_two_threads": spread([b / a for a, b in zip(threaded, two)]),
                      "over_two_runs_at_once": spread([b / a for a, b in zip(apart, two)])}))


if __name__ == "__main__":
    main()

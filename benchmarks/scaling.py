"""Pre-training on one and on two workers of this machine, one thread each: tokens a second, and the share of twice one.

    python benchmarks/scaling.py [--steps 30] [--rounds 3]

Runs of the two alternate; a run is `run_pretraining.py` on the built-in text with a small model. Its speed is the
median over the log steps after the first.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

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


def speed(output: pathlib.Path, workers: int, data: pathlib.Path, steps: int) -> float:
    """Tokens a second of one run.

    Raises:
        subprocess.CalledProcessError: the run failed.
    """
    command = [sys.executable, str(ROOT / "run_pretraining.py"), "--data", str(data), *MODEL, "--max-steps", str(steps),
               "--output-dir", str(output)]
    if workers > 1:
        horovodrun = pathlib.Path(sys.executable).with_name("horovodrun")
        command = [str(horovodrun), "--gloo", "-np", str(workers), "-H", f"localhost:{workers}", *command]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)})
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
        speeds = {workers: [] for workers in (1, 2)}
        for number in range(options.rounds):
            for workers, found in speeds.items():
                found.append(speed(place / f"{workers}-{number}", workers, place / "data", options.steps))
    shares = [two / (2 * one) for one, two in zip(speeds[1], speeds[2])]
    print(json.dumps({"cores": os.cpu_count(), "tokens_per_s": {f"{n} workers" if n > 1 else "1 worker": spread(values)
                                                                for n, values in speeds.items()},
                      "share_of_twice_one": spread(shares)}))


if __name__ == "__main__":
    main()

"""A run of two workers loses one; it continues on one worker and on three. How far from the run left alone?

    python benchmarks/other_workers.py --output-dir OUT --data SHARDS [--dropout 0] [--two-hosts]

Prints the largest difference of the training losses. With --two-hosts the workers are on two hosts, which are network
namespaces of this machine (`network_hosts.py`; needs root).
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import psutil
from network_hosts import two_hosts

ROOT = pathlib.Path(__file__).resolve().parent.parent
STEPS, KILL_AFTER = 60, 30
OPTIONS = ["--architecture", "2,4,128,512", "--seq-len", "64", "--batch-size", "12", "--warmup", "10", "--max-steps",
           str(STEPS), "--log-interval", "5", "--checkpoint-interval", "20", "--evaluation-sequences", "24",
           "--resume", "auto"]


def start(output, data, workers, hosts=None):
    """The run with a number of workers, in the background; of two hosts, the second has one of them."""
    command = [sys.executable, str(ROOT / "run_pretraining.py"), *OPTIONS, "--data", str(data), "--output-dir",
               str(output)]
    if workers > 1:
        command = [*(hosts.horovodrun([workers - 1, 1]) if hosts else ["horovodrun", "-np", str(workers)]), *command]
    environment = hosts.environment() if hosts else dict(os.environ)
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), environment["PATH"]])
    return subprocess.Popen(command, cwd=ROOT, env={**environment, "OMP_NUM_THREADS": "1", "PATH": path,
                                                    "PYTHONPATH": str(ROOT)})


def losses(output):
    """Training loss by step."""
    rows = map(json.loads, (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


def kill_a_worker(output, job):
    """SIGKILL one of the workers once the log has come to a step; wait for the end of the others."""
    while not (output / "metrics.jsonl").is_file() or max(losses(output), default=0) < KILL_AFTER:
        assert job.poll() is None, "the run ended before it was to be killed"
        time.sleep(0.1)
    workers = [p for p in psutil.Process(job.pid).children(recursive=True)
               if "run_pretraining.py" in " ".join(p.cmdline()) and p.name().startswith("python")
               and not p.children() and "horovodrun" not in " ".join(p.cmdline())]
    workers[-1].send_signal(signal.SIGKILL)
    code = job.wait(timeout=300)
    print(f"killed one of {len(workers)} workers after step {KILL_AFTER}; exit code of the run: {code}", flush=True)
    return code


def main():
    """The run left alone; the run cut; the cut one continued on one, two and three workers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output-dir", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--dropout", default="0", help="with dropout, its draws differ with the number of workers")
    parser.add_argument("--two-hosts", action="store_true", help="in network namespaces of this machine")
    arguments = parser.parse_args()
    OPTIONS.extend(["--dropout", arguments.dropout])
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        made = two_hosts(pathlib.Path(folder)) if arguments.two_hosts else contextlib.nullcontext()
        with made as hosts:
            compare(arguments.output_dir, arguments.data, hosts)


def compare(out, data, hosts):
    """Print the differences."""
    alone, cut = out / "two-left-alone", out / "two-cut"
    assert start(alone, data, 2, hosts).wait() == 0
    assert kill_a_worker(cut, start(cut, data, 2, hosts)) != 0
    expected, found = losses(alone), {}
    for workers in (1, 2, 3):
        shutil.copytree(cut, out / f"then-{workers}")
        assert start(out / f"then-{workers}", data, workers, hosts).wait() == 0
        got = losses(out / f"then-{workers}")
        assert set(got) == set(expected)
        found[workers] = max(abs(got[step] - expected[step]) for step in expected)
        print(f"continued on {workers} worker(s): largest difference of a training loss {found[workers]:.2e} "
              f"(losses {min(expected.values()):.2f} to {max(expected.values()):.2f})", flush=True)


if __name__ == "__main__":
    main()

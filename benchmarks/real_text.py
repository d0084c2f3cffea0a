"""The whole path on real text, as a user goes it: prepare, a teacher, students under Horovod, SIGKILL half way, resume.

Two workers pre-train a student by distillation twice: once undisturbed, and once killed with SIGKILL half way and
started again by the same command; and once without a teacher. All are then asked to fill masks in text that none of
them was trained on.

    python benchmarks/real_text.py --text TEXT … --held-out TEXT --tokenizer VOCABULARY --runs RUNS

Writes real-text.{md,json} into --output-dir. What is finished is not repeated; the killed run always is.
"""

import argparse
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from typing import Dict, List

from bort_mx.io import files
from bort_mx.provenance import provenance
from bort_mx.report.curves import read_curve

ROOT = pathlib.Path(__file__).resolve().parent.parent
TWO_WORKERS = ["horovodrun", "-np", "2"]
COMMON = ["--seq-len", "64", "--evaluation-sequences", "512", "--evaluation-batch-size", "32", "--log-interval", "10",
          "--checkpoint-interval", "50"]


class Walk:
    """The commands as they were run, with their seconds, and what they wrote."""

    def __init__(self, runs: pathlib.Path):
        self.runs, record = runs, runs / "commands.json"
        self.commands = files.read_json(record) if record.is_file() else []

    def run(self, output: str, command: List[str], done: str, kill_at: int = 0) -> str:
        """Run a command whose result is `output`/`done`; returns what it printed. `kill_at`: SIGKILL all of its
        processes as soon as that step is in its metrics.
        """
        target, log = self.runs / output, self.runs / f"{output}.log"
        if (target / done).is_file() and not kill_at:
            return log.read_text(encoding="utf-8")
        self.runs.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        with open(log, "w", encoding="utf-8") as stream:
            process = subprocess.Popen([*command, "--output-dir", str(target)], cwd=ROOT, stdout=stream, stderr=stream,
                                       env=environment(), start_new_session=True)
            killed_at = self._kill(process, target, kill_at) if kill_at else process.wait()
        printed = log.read_text(encoding="utf-8")
        if not kill_at and process.returncode:
            raise SystemExit(f"{shlex.join(command)} ended with {process.returncode}:\n{printed[-2000:]}")
        if kill_at:  # anew, with all that came of it before
            self.commands = [row for row in self.commands if not row["command"].endswith(f" {target}")]
        self.commands.append({"command": shlex.join([*command, "--output-dir", str(target)]),
                              "seconds": round(time.monotonic() - start),
                              **({"killed_after_step": killed_at} if kill_at else {})})
        files.write_json(self.runs / "commands.json", self.commands)
        return printed

    def _kill(self, process: subprocess.Popen, target: pathlib.Path, step: int) -> int:
        """Wait for a step, then SIGKILL the launcher, its workers and all they started; the last step recorded."""
        while process.poll() is None and (last := last_step(target)) < step:
            time.sleep(0.2)
        if process.returncode is not None:
            raise SystemExit(f"{target}: ended before step {step}")
        os.killpg(process.pid, signal.SIGKILL)  # the launcher; its workers have sessions of their own
        for worker in workers_of(target):
            os.kill(worker, signal.SIGKILL)
        process.wait()
        return last


def environment() -> Dict[str, str]:
    """That of the commands: one thread a worker, and this Python's programs."""
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}


def last_step(run: pathlib.Path) -> int:
    """The last step in a run's metrics, 0 before the first."""
    metrics = run / "metrics.jsonl"
    lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.is_file() else []
    return json.loads(lines[-1])["step"] if lines else 0


def workers_of(run: pathlib.Path) -> List[int]:
    """Process ids of all that have this run's directory on their command line, this program excepted."""
    import psutil

    return [process.pid for process in psutil.process_iter(["cmdline"])
            if str(run) in (process.info["cmdline"] or []) and process.pid != os.getpid()]


def walk(arguments: argparse.Namespace) -> Dict:
    """Everything in order; what the report says."""
    path, runs = Walk(arguments.runs), arguments.runs
    module, pretraining = ["python", "-m", "bort_mx", "prepare"], ["python", "run_pretraining.py"]
    tokenizer = ["--tokenizer", arguments.tokenizer]
    prepared = path.run("data", [*module, "--data", *arguments.text, *tokenizer], "manifest.json")
    path.run("held-out", [*module, "--data", arguments.held_out, *tokenizer], "manifest.json")
    data = ["--data", str(runs / "data"), *COMMON, "--resume", "auto"]
    path.run("teacher", [*TWO_WORKERS, *pretraining, *data, "--architecture", "2,4,256,1024", "--max-steps",
                         str(arguments.teacher_steps), "--batch-size", "32", "--learning-rate", "2e-3", "--warmup",
                         "100"], "results.json")
    student = [*TWO_WORKERS, *pretraining, *data, "--architecture", "2,4,128,512", "--max-steps",
               str(arguments.student_steps), "--batch-size", "8", "--learning-rate", "1.5e-3", "--warmup", "100"]
    distilled = [*student, "--teacher", str(runs / "teacher"), "--temperature", "1"]
    path.run("student", student, "results.json")
    path.run("distilled", distilled, "results.json")
    shutil.rmtree(runs / "distilled-killed", ignore_errors=True)
    path.run("distilled-killed", distilled, "results.json", kill_at=arguments.student_steps // 2)
    resumed = path.run("distilled-killed", distilled, "results.json")
    names = ["teacher", "student", "distilled", "distilled-killed"]
    return {"commands": files.read_json(runs / "commands.json"), "prepared": prepared.strip().splitlines()[-12:],
            "resumed": re.findall(r"resuming after step \d+", resumed),
            "curves": {name: read_curve(runs / name) for name in names},
            "held_out": held_out([str(runs / name) for name in names], runs),
            "equal": final_weights(runs / "distilled") == final_weights(runs / "distilled-killed"),
            "provenance": provenance()}


def held_out(checkpoints: List[str], runs: pathlib.Path) -> List[Dict]:
    """benchmarks/evaluate_text.py on the text held out."""
    command = [sys.executable, "benchmarks/evaluate_text.py", *checkpoints, "--data", str(runs / "held-out"),
               "--sequences", "2000"]
    printed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [json.loads(line) for line in printed.splitlines()]


def final_weights(run: pathlib.Path) -> str:
    """SHA-256 of the newest checkpoint's weights."""
    newest = max((run / "checkpoints").glob("step-*"), key=lambda folder: int(folder.name.split("-")[1]))
    return files.sha256(newest / "model.safetensors")


def report(found: Dict) -> str:
    """The walk as Markdown."""
    rows = [f"| `{pathlib.Path(row['checkpoint']).name}` | {100 * found['curves'][name][-1][1]:.2f} | "
            f"{100 * row['mlm_accuracy']:.2f} | {row['perplexity']} |"
            for name, row in zip(found["curves"], found["held_out"])]
    commands = [f"    {c['command']}  # {c['seconds']} s" + (f", killed after step {c['killed_after_step']}"
                if "killed_after_step" in c else "") for c in found["commands"]]
    verdict = "equal, byte for byte" if found["equal"] else "NOT equal"
    return "\n".join([
        "# The whole path on real text", "",
        "Two cores, two workers of one thread each. Expected before the run: every command ends well; the run that was "
        "killed ends with the same bytes as the one that was not; the distilled student fills more masks than the "
        "other after as many steps.", "", *commands, "",
        f"Weights of `distilled` and of `distilled-killed`, which was resumed ({'; '.join(found['resumed'])}): "
        f"{verdict}.", "",
        "| run | validation MLM accuracy % | accuracy on text held out % | perplexity there |", "|---|---|---|---|",
        *rows,
        "", "Held out: `python benchmarks/evaluate_text.py RUN … --data RUNS/held-out --sequences 2000`.",
        "", f"Made by: `{found['provenance']['command']}`, commit {found['provenance']['git_commit']}", ""])


def main() -> None:
    """Walk and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", nargs="+", required=True)
    parser.add_argument("--held-out", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--runs", required=True, type=pathlib.Path)
    parser.add_argument("--teacher-steps", type=int, default=700)
    parser.add_argument("--student-steps", type=int, default=500)
    parser.add_argument("--output-dir", type=pathlib.Path, help="default: --runs")
    arguments = parser.parse_args()
    found = walk(arguments)
    stem = (arguments.output_dir or arguments.runs) / "real-text"
    files.write_text(f"{stem}.json", json.dumps(found) + "\n")
    files.write_text(f"{stem}.md", report(found))
    print(report(found))


if __name__ == "__main__":
    main()

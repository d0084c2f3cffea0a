"""Run the commands of docs/reproduce.md, in order and unattended, at reduced size: from raw samples to a filled page.

    python tools/reproduce_small.py --data SAMPLES --work DIR [--tasks RTE WNLI] [--corpora NAME ...]

SAMPLES holds pretrain/ (raw text), vocab/roberta/ (vocab.json, merges.txt) and the official files of the tasks. What is
reduced is added to a command by its script's name (`REDUCED`); a small teacher that is trained here stands in for
RoBERTa-large. What is finished in DIR is not repeated. DIR/commands.json lists what ran, with its seconds on the clock
and of processor time.
"""

import argparse
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import time
from typing import Collection, List, Optional

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "reproduce.md"
CPU_SIZE = ("--max-steps 20 --batch-size 4 --seq-len 64 --num-positions 128 --warmup 5 --dtype float32 "
            "--learning-rate 1e-3 --evaluation-interval 10 --evaluation-sequences 16 --log-interval 10 "
            "--checkpoint-interval 0 --resume auto")
REDUCED = {
    "run_pretraining.py": f"--architecture 2,2,64,128 {CPU_SIZE}",
    "run_search.py": "--space configs/tour_space.yaml --steps 1 --batch-size 8 --micro-batch-size 8 --seq-len 64 "
                     "--evaluation-lines 8 --epsilon 4",
    "run_finetune.py": "--epochs 1 --max-length 48 --batch-size 32 --learning-rate 5e-4 --resume auto",
}
LATENCY = "--architectures 2,2,64,128 --trials 3 --seq-len 64"
WITH_CHS = "--epochs 1 --max-length 48 --resume auto"
AGORA = "--theta configs/tour_theta.yaml --rounds 1 --points 20 --tau typo --baselines enumeration --accept-socrates"
TEACHER = f"python run_pretraining.py --data shards --output-dir teacher --architecture 4,4,128,256 {CPU_SIZE}"
SAMPLES = {name: name for name in ("wikipedia", "wiktionary", "openwebtext", "one_billion_words", "cc_news")}
SAMPLES.update(urbandictionary="urban_dictionary", bookcorpus="bookcorpus")
"""Folder of corpora/ → folder of SAMPLES/pretrain."""
HELD_OUT = ("bookcorpus=11828", "bookcorpus=100")
"""The paper's number of held-out lines, and one that the sample has."""


def commands(text: str) -> List[str]:
    """The commands of the indented blocks from step 1 on."""
    steps = text[text.index("## 1."):text.index("## Hours")]
    lines = re.sub(r" *\\\n *", " ", steps)
    return [re.sub(r"\s+", " ", line.strip()) for line in re.findall(r"(?m)^    (\S.*)$", lines)]


def reduced(command: str, corpora: Collection[str] = tuple(SAMPLES)) -> str:
    """A command at reduced size, on one worker, of some of the corpora."""
    command = re.sub(r" --corpus (\w+)=\S+", lambda match: match[0] if match[1] in corpora else "", command)
    command = re.sub(r"^horovodrun -np \d+ ", "", command).replace(*HELD_OUT)
    for script, flags in REDUCED.items():
        if script in command.split():
            command = f"{command} {WITH_CHS if '--chs' in command.split() else flags}"
    if command.split()[:4] == ["python", "-m", "bort_mx", "latency"]:
        command = f"{command} {LATENCY}"
    return f"{command} {AGORA}" if "--agora" in command.split() else command


def for_tasks(command: str, tasks: List[str]) -> List[str]:
    """A command of each task; "/" of a task's name is "-" in folders."""
    if "TASK" not in command:
        return [command]
    return [command.replace("--task TASK", f"--task {task}").replace("/TASK", f"/{task.replace('/', '-')}")
            for task in tasks]


def lay_out(samples: pathlib.Path, work: pathlib.Path) -> None:
    """The folders that the document says one needs first, with RoBERTa's vocabulary alone in roberta-large/."""
    work.mkdir(parents=True, exist_ok=True)
    (work / "corpora").mkdir(exist_ok=True)
    links = {name: ROOT / name for name in ("bort_mx", "configs", *(path.name for path in ROOT.glob("run_*.py")))}
    links.update({f"corpora/{name}": samples.resolve() / "pretrain" / folder for name, folder in SAMPLES.items()})
    for name, target in {**links, "data": samples.resolve()}.items():
        if not (work / name).is_symlink():
            (work / name).symlink_to(target)
    (work / "roberta-large").mkdir(exist_ok=True)
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(samples / "vocab" / "roberta" / name, work / "roberta-large" / name)


class Walk:
    """The commands as they ran, with their seconds; those of earlier starts of this program stay in the list."""

    def __init__(self, work: pathlib.Path):
        self.work, self._list = work, work / "commands.json"
        self.done = json.loads(self._list.read_text()) if self._list.is_file() else []

    def run(self, command: str, unless: Optional[str] = None) -> None:
        """Run a command, unless a file says that it is finished; ends the program if it fails."""
        if unless is not None and (self.work / unless).exists():
            return
        print(f"$ {command}", flush=True)
        start, processor = time.monotonic(), _processor_seconds()
        path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
        code = subprocess.call(["sh", "-c", command], cwd=self.work,
                               env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"})
        self.done.append({"command": command, "seconds": round(time.monotonic() - start, 1),
                          "processor_seconds": round(_processor_seconds() - processor, 1), "exit_code": code})
        self._list.write_text(json.dumps(self.done, indent=1) + "\n")
        if code:
            raise SystemExit(f"exit code {code} of: {command}")


def main() -> None:
    """Lay out, then run every command of the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=pathlib.Path, help="SAMPLES")
    parser.add_argument("--work", required=True, type=pathlib.Path, help="folder to work in")
    parser.add_argument("--tasks", nargs="+", default=["RTE", "WNLI"])
    parser.add_argument("--corpora", nargs="+", choices=SAMPLES, default=list(SAMPLES), metavar="NAME",
                        help="the corpora to prepare, bookcorpus among them; all take some minutes on one core")
    options = parser.parse_args()
    lay_out(options.data, options.work)
    walk = Walk(options.work)
    for number, command in enumerate(commands(DOCUMENT.read_text(encoding="utf-8"))):
        if "roberta-large" in command and "prepare" not in command.split() and number:
            _make_teacher(walk)
        for one in for_tasks(reduced(command, options.corpora), options.tasks):
            walk.run(one, _finished(one))
    seconds, processor = (sum(entry[name] for entry in walk.done) for name in ("seconds", "processor_seconds"))
    print(f"{seconds:.0f} s in all, {processor:.0f} s of processor time; {options.work}/page/reproduction.html")


def _processor_seconds() -> float:
    """Of all commands that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _make_teacher(walk: Walk) -> None:
    """Train the small teacher, and put it into roberta-large/ in place of RoBERTa-large."""
    if not (walk.work / "roberta-large" / "config.json").is_file():
        walk.run(TEACHER, "teacher/results.json")
        shutil.rmtree(walk.work / "roberta-large")
        walk.run("python -m bort_mx convert teacher roberta-large --to hf")


def _finished(command: str) -> Optional[str]:
    """The file that says that a command has finished before; None for the page, which is always written anew."""
    output = re.search(r"--output-dir (\S+)", command)
    if output is None or "reproduce" in command.split():
        return None
    return f"{output[1]}/{'manifest.json' if 'prepare' in command.split() else 'results.json'}"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped; the same command continues", flush=True)
        sys.exit(130)

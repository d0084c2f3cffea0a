"""Does Agora beat enumeration, plain fine-tuning and distillation on real tasks, where nothing was mined?

    python benchmarks/agora_real.py --data-dir GLUE --teacher MINILM --student STUDENT --runs runs/agora-real --jobs 2
    python benchmarks/agora_real.py … --quick      # proves the path in a minute or two

Socrates is TEACHER fine-tuned on the task without any of the audit slices, Timaeus is STUDENT, a small encoder with an
MLM head. Every arm is a run of run_finetune.py; one that is finished is not repeated, so a stopped experiment goes on
where it was. Rules and expectations are in `RULES` and `EXPECTED`, written before the first run. Writes
agora-real.{md,json,png} into --output-dir; the section after `KEPT` in the .md is written by hand and stays.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import pathlib
import subprocess
import sys
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

import numpy as np
import scipy.stats
import yaml

from bort_mx.agora import audit
from bort_mx.agora.points import key
from bort_mx.data.tasks import Example, Examples, get_task
from bort_mx.finetuning.task_data import examples_digest
from bort_mx.io import files
from bort_mx.provenance import provenance
from bort_mx.random import generator

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEPT = "## What it means"
ACCURACY = "example_accuracy"
RULES = """\
Every run of a seed has a training set, an audit slice drawn from the official training set by that seed, and the
official dev set. The audit slice is neither trained on nor mined, and Socrates, who is fine-tuned once a task, has
seen none of the slices; of SST-2 and CoLA he has seen examples that the student has not, as a teacher may. Theta:
three learning rates, two seeds. Of every arm the model with the best dev accuracy counts, as a user would take it;
what decides is its accuracy on the audit slice. Gains are over enumeration of the same seed and slice, the unbalanced
arm's over unbalanced enumeration, with their 95 % interval by Student's t over the seeds, wide as it is for three. Won
and lost are the audit examples that only the arm, or only enumeration, has right, over all seeds, with the p of a sign
test, which is of these models, not of the algorithm. Agora beats enumeration where it is better in every seed and p is
below 0.05. One student, one teacher: nothing is said of others. SST-2 trains on phrases, of 9 words on average, and its
audit slice is of such, while dev is of whole sentences, of 20 words: there a gain on dev may be real and yet not show
on the slice; and phrases of one sentence stand on both sides, for all arms alike."""
EXPECTED = (
    ("dev", "Agora is never below enumeration, as its round 0 is that; it will claim 1 to 4 points"),
    ("audit", "half of that or less; on MRPC nothing, as Socrates knows little more there than the student can learn"),
    ("worst against lcs", "no difference that three seeds could show, at twice the trainings"),
    ("tau", "mlm, typo and drop within noise of each other: what counts are Socrates' labels near dev"),
    ("balance", "where labels are unequal (MRPC, CoLA), training on all examples beats it in accuracy, with or without "
                "Agora: balancing discards up to half of the data"),
    ("distillation", "between plain fine-tuning and Socrates; on SST-2 with 2,000 examples near enumeration"),
)
ADDED = """\
Added when the runs were over: 1,000 sentences, or their ends, of SST-2's official training set (16 words on average,
dev's 20), none of which shares five words in a row with another, or with anything that a student or Socrates was
trained on. They tell a gain on dev that is real from one that is dev's own. Enumeration's best models are trained again
for it, and refused unless their predictions on dev are what they were. Changed: the unbalanced arm was to be compared
with balanced enumeration too."""
PAIR = ("--baselines", "enumeration")
SIGNIFICANT = 0.05


@dataclasses.dataclass(frozen=True)
class Size:
    """Examples of a task's runs; None: all that are left."""

    train: Optional[int]
    audit: int
    more: int = 0
    """Examples that only Socrates is trained on."""
    unseen: int = 0
    """Sentences like dev's that nobody is trained on."""


SHARED = 5
"""Words in a row that an unseen sentence shares with none that was trained on: SST-2's training set is of phrases, many
of one sentence."""
SIZES = {"MRPC": Size(None, 400), "SST-2": Size(2000, 800, 4000, 1000), "CoLA": Size(3000, 800, 3000),
         "RTE": Size(None, 300)}
QUICK = Size(40, 12, 20, 30)
ARMS: Dict[str, Tuple[str, ...]] = {
    "Agora": ("--tau", "mlm"),
    "Agora, worst": ("--tau", "mlm", "--pruning", "worst", *PAIR),
    "Agora, tau typo": ("--tau", "typo", *PAIR),
    "Agora, tau drop": ("--tau", "drop", *PAIR),
    "Agora, unbalanced": ("--tau", "mlm", "--no-balance", *PAIR),
}
"""Arm → options. Baselines come with the first; the unbalanced one's enumeration is a baseline too."""
REPEATED = {"enumeration": "Agora", "enumeration, unbalanced": "Agora, unbalanced"}
"""Baseline whose best model is trained again → the arm that it comes with, and is beside."""
ORDER = ["plain", "enumeration", "enumeration, unbalanced", "distillation", *ARMS]


class Experiment:
    """The runs of all tasks and seeds.

    Args:
        options: the command line's.
    """

    def __init__(self, options: argparse.Namespace):
        self.options, self.runs = options, pathlib.Path(options.runs)
        self._slices: Dict[Tuple[str, int], Examples] = {}
        self._dev: Dict[str, Examples] = {}
        self._labels: Dict[str, List[str]] = {}

    def collect(self) -> List[Dict[str, Any]]:
        """Do what is not done yet; a row for each task, seed and arm."""
        for task in self.options.tasks:
            self._prepare(task)
        arms = [arm for arm in ARMS if arm in ("Agora", *self.options.arms)]
        todo = [(task, seed, arm) for seed in self.options.seeds for task in self.options.tasks for arm in arms]
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:  # of programs: the threads only wait
            list(pool.map(self._teach, self.options.tasks))
            refusals = list(pool.map(lambda job: self._run(*job), todo))
            rows = [row for job, refusal in zip(todo, refusals) for row in self._rows(*job, refusal)]
            list(pool.map(self._score_unseen, rows))
        return rows

    # Data

    def _prepare(self, name: str) -> None:
        """Write the task as one's own, and a second one for Socrates that lacks every seed's audit slice."""
        folder, size, task = self.runs / name, self._size(name), get_task(name)
        train, dev = (list(task.read(self.options.data_dir, split)) for split in ("train", "dev"))
        more, others = [], []
        if size.train is not None:
            order = generator(0, f"agora real {name}").permutation(len(train))
            count = size.train + size.audit
            more, others = ([train[i] for i in part] for part in np.split(order[count:], [size.more]))
            train = [train[i] for i in sorted(order[:count])]
        dev = dev[:24] if self.options.quick else dev
        _write_task(folder / "data", task, {"train": train, "dev": dev})
        own = get_task(str(folder / "data/task.yaml"))
        read, known = (own.read(None, split) for split in ("train", "dev"))
        self._labels[name], self._dev[name] = list(own.labels), known
        for seed in self.options.seeds:  # as run_finetune.py draws them, which `_rows` makes sure of
            self._slices[name, seed] = Examples(audit.split(read, size.audit, seed, known)[1])
        kept_from = {key(example.texts) for seed in self.options.seeds for example in self._slices[name, seed]}
        _write_task(folder / "data-socrates", task, {
            "train": [example for example in [*read, *more] if key(_cleaned(example.texts)) not in kept_from],
            "dev": known})
        unseen = _strangers(others, [*read, *more])[:size.unseen]
        if unseen:
            _write_task(folder / "data-unseen", task, {"train": unseen, "dev": unseen})
        for seed in self.options.seeds:
            theta = {"learning_rate": [5e-4] if self.options.quick else [2e-4, 5e-4, 1e-3], "weight_decay": [0.01],
                     "warmup": [0.1], "seed": [10 * seed, 10 * seed + 1]}
            files.write_text(folder / f"theta-{seed}.yaml", yaml.safe_dump(theta))

    def _size(self, name: str) -> Size:
        return QUICK if self.options.quick else SIZES[name]

    # Runs

    def _teach(self, name: str) -> None:
        self._finetune(self.runs / name / "socrates", "--config", ROOT / "configs/finetune_bert.yaml", "--task",
                       self.runs / name / "data-socrates/task.yaml", "--checkpoint", self.options.teacher,
                       "--checkpoint-interval", 0)
        data = get_task(str(self.runs / name / "data-socrates/task.yaml")).read(None, "train")
        if _digest(self.runs / name / "socrates", "train") != examples_digest(data):
            raise SystemExit(f"{self.runs / name}: Socrates was trained on other data, and perhaps on a slice of these "
                             "seeds; delete the runs of this task")

    def _run(self, name: str, seed: int, arm: str, theta: Optional[pathlib.Path] = None) -> str:
        """One arm; returns why it was refused, or ""."""
        words = (*ARMS[REPEATED[arm]], *PAIR, "--rounds", "1") if arm in REPEATED else ARMS[arm]
        extra = ["--extra-layer", "true"] if name == "CoLA" else []
        extra += ["--mlm", self.options.mlm] if self.options.mlm and "mlm" in words else []
        extra += ["--accept-socrates"] if self.options.quick else []
        return self._finetune(
            self._folder(name, seed, arm), "--config", ROOT / "configs/finetune_small_encoder.yaml", "--task",
            self.runs / name / "data/task.yaml", "--checkpoint", self.options.student, "--agora", "--socrates",
            self.runs / name / "socrates", "--theta", theta or self.runs / name / f"theta-{seed}.yaml", "--audit-size",
            self._size(name).audit, "--seed", seed, *words, *extra)

    def _folder(self, name: str, seed: int, arm: str) -> pathlib.Path:
        return self.runs / name / f"seed-{seed}" / arm.lower().replace(", ", "-").replace(" ", "-")

    def _finetune(self, out: pathlib.Path, *words: Any) -> str:
        if (out / "results.json").is_file():
            return ""
        quick = ["--epochs", 1, "--max-length", 32] if self.options.quick else []
        command = [sys.executable, self.options.program / "run_finetune.py", "--output-dir", out, "--resume", "auto",
                   *words, *quick]
        out.mkdir(parents=True, exist_ok=True)
        with open(out / "log.txt", "a") as log:
            done = subprocess.run([str(word) for word in command], stdout=log, stderr=subprocess.PIPE, text=True)
        if done.returncode == 2 and "Socrates: accuracy" in done.stderr:
            return done.stderr.strip().splitlines()[-1].partition("error: ")[2]
        if done.returncode:
            raise SystemExit(f"{out}: {done.stderr.strip()}")
        print(f"{out}: done", flush=True)
        return ""

    def _score_unseen(self, row: Dict[str, Any]) -> None:
        """Give a row of enumeration or of Agora its accuracy on the unseen sentences, where the task has some."""
        name, seed, arm = row["task"], row["seed"], row["arm"]
        task = self.runs / name / "data-unseen/task.yaml"
        if "refused" in row or not task.is_file() or not (arm in REPEATED or arm in ARMS):
            return
        folder = self._folder(name, seed, arm)
        if arm in REPEATED:
            self._repeat(name, seed, arm, row["theta"], folder)
        out = folder.with_name(f"unseen-{folder.name}")
        self._finetune(out, "--task", task, "--checkpoint", folder, "--predict-only")
        row["unseen"] = {ACCURACY: files.read_json(out / "results.json")["dev"]["accuracy"]}

    def _repeat(self, name: str, seed: int, arm: str, theta: List[float], folder: pathlib.Path) -> None:
        """Train enumeration's best model again, whose weights were not kept.

        Raises:
            SystemExit: it is another one.
        """
        names = ("learning_rate", "weight_decay", "warmup", "seed")
        files.write_text(folder / "theta.yaml", yaml.safe_dump({name: [value] for name, value in zip(names, theta)}))
        self._run(name, seed, arm, folder / "theta.yaml")
        first, again = (self._predictions(path, "round-000", theta)
                        for path in (self._folder(name, seed, REPEATED[arm]), folder))
        if first["dev_predictions"] != again["dev_predictions"]:
            raise SystemExit(f"{folder}: not the model that it was; take the version of the program that made the runs")

    # Rows

    def _rows(self, name: str, seed: int, arm: str, refusal: str) -> Iterator[Dict[str, Any]]:
        row: Dict[str, Any] = {"task": name, "seed": seed, "arm": arm}
        if refusal:
            yield {**row, "refused": refusal}
            return
        folder = self._folder(name, seed, arm)
        found, numbers, config = (files.read_json(folder / path)
                                  for path in ("results.json", "agora/agora.json", "config.json"))
        self._check_slice(folder, name, seed)
        details = found["agora"]
        kind, theta = f"round-{details['best_round']:03d}", list(details["chs"].values())
        yield {**row, "right": self._right(folder, kind, theta, name, seed), "dev": found["dev"],
               "audit": found["audit"], "commit": config["provenance"]["git_commit"], "data": config["data"],
               "trainings": details["trainings"], "new_points": details["new_points"],
               "best_round": details["best_round"],
               "socrates": [details["socrates_accuracy"], details["socrates_audit_accuracy"]],
               "rounds": [[this["best_accuracy"], this["measures"]["audit"]] for this in numbers["rounds"]],
               "relabelled": _relabelled(folder)}
        for baseline in found["baselines"]:
            label = {"Agora": baseline["name"], "Agora, unbalanced": f"{baseline['name']}, unbalanced"}.get(arm)
            if label:
                kind = "round-000" if baseline["name"] == "enumeration" else baseline["name"]
                yield {**row, "arm": label, "theta": baseline["theta"],
                       "right": self._right(folder, kind, baseline["theta"], name, seed), "dev": baseline["dev"],
                       "audit": baseline["audit"], "trainings": baseline["trainings"]}

    def _check_slice(self, folder: pathlib.Path, name: str, seed: int) -> None:
        """Raises SystemExit if a run's audit slice is not the one that Socrates was kept from."""
        if _digest(folder, "audit") != examples_digest(self._slices[name, seed]):
            raise SystemExit(f"{folder}: its audit slice is not the one that Socrates was kept from; delete the runs "
                             f"of {name}")

    def _right(self, folder: pathlib.Path, kind: str, theta: List[float], name: str, seed: int) -> Dict[str, str]:
        """A 1 for each example of dev and of the audit slice that a training (of a round or a baseline) got right, else
        a 0.
        """
        found = self._predictions(folder, kind, theta)
        sets = {"dev": self._dev[name], "audit": self._slices[name, seed]}
        gold = {split: [self._labels[name].index(example.label) for example in examples]
                for split, examples in sets.items()}
        return {split: "".join(str(int(a == b)) for a, b in zip(found[f"{split}_predictions"], gold[split]))
                for split in sets}

    @staticmethod
    def _predictions(folder: pathlib.Path, kind: str, theta: List[float]) -> Dict[str, Any]:
        """What a run has recorded of one training."""
        found = map(files.read_json, sorted(folder.glob(f"agora/predictions/{kind}-*.json")))
        return next(this for this in found if this["theta"] == theta)


def _write_task(folder: pathlib.Path, task: Any, splits: Dict[str, List[Example]]) -> None:
    """Splits as TSV files with their description, a task of one's own with accuracy first."""
    pair = len(next(iter(splits["dev"])).texts) == 2
    columns = ["text", *(["text_pair"] if pair else []), "label"]
    for split, examples in splits.items():
        rows = [columns, *((*_cleaned(example.texts), example.label) for example in examples)]
        files.write_text(folder / f"{split}.tsv", "".join("\t".join(row) + "\n" for row in rows))
    metrics = ["accuracy", *(metric for metric in task.metrics if metric in ("f1", "matthews"))]
    files.write_text(folder / "task.yaml", yaml.safe_dump({
        "name": task.name, "files": {split: f"{split}.tsv" for split in splits}, "labels": list(task.labels),
        "columns": {name: name for name in columns}, "metrics": metrics}))


def _digest(folder: pathlib.Path, split: str) -> str:
    """The hash of a split in a run's configuration."""
    return files.read_json(folder / "config.json")["data"][split]


def _cleaned(texts: Tuple[str, ...]) -> Tuple[str, ...]:
    """Texts as they stand in a TSV file."""
    return tuple(" ".join(text.split()) for text in texts)


def _strangers(examples: List[Example], met: List[Example]) -> List[Example]:
    """Those that are whole sentences and share `SHARED` words in a row with none of the others, nor with those met."""
    taken = {gram for example in met for gram in _grams(example)}
    found = []
    for example in examples:
        grams = _grams(example)
        if grams and example.texts[0].rstrip().endswith((".", "!", "?")) and not grams & taken:
            found.append(example)
            taken |= grams
    return found


def _grams(example: Example) -> Set[Tuple[str, ...]]:
    words = example.texts[0].lower().split()
    return {tuple(words[i:i + SHARED]) for i in range(len(words) - SHARED + 1)}


def _relabelled(folder: pathlib.Path) -> Optional[float]:
    """The part of the new points whose label is another than that of the dev example they were made from."""
    points = [json.loads(line) for path in sorted((folder / "agora/data").glob("round-*.jsonl"))
              for line in path.read_text(encoding="utf-8").split("\n") if line]
    return float(np.mean([point["label"] != point["seed_label"] for point in points])) if points else None


# -- the report --------------------------------------------------------------------------------------------------------


def of_arm(rows: List[Dict[str, Any]], task: str, arm: str) -> List[Dict[str, Any]]:
    """The rows of an arm that was not refused, one a seed, in the order of seeds."""
    found = [row for row in rows if (row["task"], row["arm"]) == (task, arm) and "refused" not in row]
    return sorted(found, key=lambda row: row["seed"])


def enumeration_of(arm: str) -> str:
    """What an arm is compared with."""
    return next((baseline for baseline, its in REPEATED.items() if its == arm), "enumeration")


def gains(rows: List[Dict[str, Any]], task: str, arm: str, split: str) -> np.ndarray:
    """Accuracy over enumeration's of the same seed on dev, audit or unseen, in points, (seeds,)."""
    mine, theirs = of_arm(rows, task, arm), {row["seed"]: row for row in of_arm(rows, task, enumeration_of(arm))}
    return 100 * np.array([row[split][ACCURACY] - theirs[row["seed"]][split][ACCURACY] for row in mine])


def beside_enumeration(rows: List[Dict[str, Any]], task: str, arm: str, split: str) -> List[Tuple[str, str]]:
    """For each example, all seeds together: whether the arm, and enumeration of the same seed, have it right."""
    theirs = {row["seed"]: row["right"][split] for row in of_arm(rows, task, enumeration_of(arm))}
    return [pair for row in of_arm(rows, task, arm) for pair in zip(row["right"][split], theirs[row["seed"]])]


def won_and_lost(rows: List[Dict[str, Any]], task: str, arm: str) -> Tuple[int, int, float]:
    """Audit examples that only the arm, or only enumeration of the same seed, has right; and a sign test's p."""
    pairs = beside_enumeration(rows, task, arm, "audit")
    won, lost = pairs.count(("1", "0")), pairs.count(("0", "1"))
    return won, lost, float(scipy.stats.binomtest(won, won + lost).pvalue) if won + lost else 1.0


def turned(rows: List[Dict[str, Any]], task: str, arm: str, split: str) -> Tuple[float, float]:
    """Percent that the arm has right of what enumeration has wrong, and wrong of what enumeration has right."""
    pairs = beside_enumeration(rows, task, arm, split)
    of_wrong, of_right = ([mine for mine, theirs in pairs if theirs == had] for had in "01")
    return 100 * of_wrong.count("1") / max(1, len(of_wrong)), 100 * of_right.count("0") / max(1, len(of_right))


def report(rows: List[Dict[str, Any]], tasks: List[str], made_by: Dict[str, Any], kept: str) -> str:
    """The experiment as Markdown."""
    lines = ["# Agora on real tasks", "", "    python benchmarks/" + made_by["command"], "",
             "Numbers of every run: [agora-real.json](agora-real.json).", "", "![arms](agora-real.png)", "", "## Rules",
             "", RULES, "", *([ADDED, ""] if any("unseen" in row for row in rows) else []),
             "## Expected, before the runs", "", "| | |", "|---|---|",
             *(f"| {name} | {text} |" for name, text in EXPECTED), "", "## Found", ""]
    for task in tasks:
        lines += _task_report(rows, task)
    commits = sorted({row["commit"] for row in rows if "commit" in row})
    lines += [f"Runs of commit {', '.join(commits)}; this report of {made_by['git_commit']}.", "", KEPT + kept]
    return "\n".join(lines) + "\n"


def _task_report(rows: List[Dict[str, Any]], task: str) -> List[str]:
    refused = next((row["refused"] for row in rows if row["task"] == task and "refused" in row), None)
    if refused:
        return [f"### {task}", "", f"Not run: {refused}.", ""]
    main = of_arm(rows, task, "Agora")
    socrates = [100 * float(np.mean([row["socrates"][i] for row in main])) for i in (0, 1)]
    more = [name for name in main[0]["audit"] if name not in (ACCURACY, "accuracy")]
    unseen = "unseen" in main[0]
    head = ["", "dev", "audit", *(f"audit {name}" for name in more), "gain on dev", "gain on audit", "won / lost",
            *(["unseen", "gain on unseen"] if unseen else []), "trainings", "new points"]
    hashes = "; ".join(f"{split} {', '.join(sorted({row['data'][split][:12] for row in main}))}"
                       for split in main[0]["data"])
    seeds = ", ".join(str(row["seed"]) for row in main)
    lines = [f"### {task}", "", f"Seeds {seeds}. SHA-256 of the examples: {hashes}.", "",
             f"Socrates: {socrates[0]:.1f} % on dev, {socrates[1]:.1f} % on the audit slices. Means of {len(main)} "
             "seeds, accuracy in %, range in brackets; gains over enumeration in points, with their 95 % interval; won "
             "and lost on audit.", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += [_arm_row(rows, task, arm, more, unseen) for arm in ORDER if of_arm(rows, task, arm)]
    return [*lines, "", *_origin_of_gain(rows, task), ""]


def _arm_row(rows: List[Dict[str, Any]], task: str, arm: str, more: List[str], unseen: bool) -> str:
    mine = of_arm(rows, task, arm)
    won, lost, p = won_and_lost(rows, task, arm)
    cells = [arm, *(_spread([row[split][ACCURACY] for row in mine]) for split in ("dev", "audit")),
             *(_spread([row["audit"][name] for row in mine]) for name in more)]
    if arm == "enumeration":
        cells += ["", "", ""]
    else:
        cells += [*(_mean(gains(rows, task, arm, split)) for split in ("dev", "audit")),
                  f"{won} / {lost} (p {p:.2g})"]
    if unseen:
        scored = "unseen" in mine[0]
        cells += [_spread([row["unseen"][ACCURACY] for row in mine]) if scored else "",
                  _mean(gains(rows, task, arm, "unseen")) if scored and arm != "enumeration" else ""]
    cells += [f"{np.mean([row['trainings'] for row in mine]):.0f}",
              f"{np.mean([row['new_points'] for row in mine]):.0f}" if "new_points" in mine[0] else ""]
    return "| " + " | ".join(cells) + " |"


def _origin_of_gain(rows: List[Dict[str, Any]], task: str) -> List[str]:
    """Does Agora beat enumeration on the audit slice; and if dev says more, where that comes from."""
    main = of_arm(rows, task, "Agora")
    dev, aside = (gains(rows, task, "Agora", split) for split in ("dev", "audit"))
    won, lost, p = won_and_lost(rows, task, "Agora")
    beats = "beats" if aside.min() > 0 and p < SIGNIFICANT else "does not beat"
    text = (f"Agora {beats} enumeration on the audit slice: {_mean(aside)} points, better in {int((aside > 0).sum())} "
            f"of {len(aside)} seeds, {won} examples won and {lost} lost (p {p:.2g}), where dev claims {_mean(dev)}.")
    later = [100 * (np.array(this) - row["rounds"][0]) for row in main for this in row["rounds"][1:]]  # (dev, audit)
    if later:
        over = np.mean(later, axis=0)
        text += (f" From round 0 to the later rounds' best models dev changed by {over[0]:+.1f} points and the audit "
                 f"slice by {over[1]:+.1f}; dev looks at points whose neighbours are trained on, and the best of "
                 "several rounds is taken on it.")
    dev_won, dev_lost, audit_won, audit_lost = (*turned(rows, task, "Agora", "dev"),
                                                *turned(rows, task, "Agora", "audit"))
    text += (f" Of what enumeration's best model has wrong, Agora's has {dev_won:.0f} % right on dev and "
             f"{audit_won:.0f} % on the audit slice; of what it has right, Agora's loses {dev_lost:.0f} % and "
             f"{audit_lost:.0f} %. Dev's mistakes are what points are made from, the slice's are not: what the first "
             "share has over the second is dev's own.")
    if "unseen" in main[0]:
        text += f" On unseen sentences like dev's Agora gains {_mean(gains(rows, task, 'Agora', 'unseen'))} points."
    changed = [row["relabelled"] for row in main if row["relabelled"] is not None]
    if changed:
        text += (f" Socrates gave {100 * np.mean(changed):.0f} % of the new points another label than that of the dev "
                 "example they were made from.")
    return [text]


def _spread(values: List[float]) -> str:
    low, high = 100 * min(values), 100 * max(values)
    return f"{100 * np.mean(values):.1f} ({low:.1f}–{high:.1f})"


def _mean(values: np.ndarray) -> str:
    half = half_interval(values)
    return f"{values.mean():+.1f}" + (f" ± {half:.1f}" if half is not None else "")


def half_interval(values: np.ndarray) -> Optional[float]:
    """Half the 95 % interval of the mean by Student's t (4.3 standard errors of three values), None of a single one."""
    if len(values) < 2:
        return None
    return float(scipy.stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)


def draw(rows: List[Dict[str, Any]], tasks: List[str], path: pathlib.Path) -> None:
    """A panel a task: every seed's accuracy by each arm, on dev (open) and on the audit slice (filled)."""
    from matplotlib.figure import Figure

    tasks = [task for task in tasks if of_arm(rows, task, "Agora")]
    figure = Figure(figsize=(1.2 + 5.4 * max(1, len(tasks)), 4.8), layout="constrained")
    for axes, task in zip(np.ravel(figure.subplots(1, max(1, len(tasks)))), tasks):
        arms = [arm for arm in ORDER if of_arm(rows, task, arm)]
        for split, offset, style in (("dev", -0.13, {"facecolors": "none", "edgecolors": "#2a6f97"}),
                                     ("audit", 0.13, {"color": "#d1495b"})):
            for place, arm in enumerate(arms):
                values = [100 * row[split][ACCURACY] for row in of_arm(rows, task, arm)]
                axes.scatter([place + offset] * len(values), values, s=22, label=split if not place else None, **style)
                axes.plot([place + offset - 0.1, place + offset + 0.1], [np.mean(values)] * 2, color="#33312e")
        axes.set_xticks(range(len(arms)), arms, rotation=35, ha="right", fontsize=8)
        axes.set(title=task, ylabel="accuracy, %")
        axes.legend(frameon=False, fontsize=8)
        axes.grid(axis="y", color="#e4e2de", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})


def main() -> None:
    """Run what is not finished, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="the official files of GLUE")
    parser.add_argument("--teacher", required=True, help="what Socrates is fine-tuned from, e.g. all-MiniLM-L6-v2")
    parser.add_argument("--student", required=True, help="Timaeus: a small encoder pre-trained by distillation")
    parser.add_argument("--mlm", help="whose words tau mlm takes; by default the student's")
    parser.add_argument("--runs", required=True, help="the folder of all runs")
    parser.add_argument("--tasks", nargs="+", choices=list(SIZES), default=["MRPC", "SST-2"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS), help="besides the first, Agora")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time; set OMP_NUM_THREADS to share cores")
    parser.add_argument("--program", type=pathlib.Path, default=ROOT,
                        help="the checkout whose run_finetune.py trains, to keep all runs of one version")
    parser.add_argument("--quick", action="store_true", help="a few examples and sets: proves the path only")
    parser.add_argument("--output-dir", type=pathlib.Path, help="default: --runs")
    options = parser.parse_args()
    options.output_dir = options.output_dir or pathlib.Path(options.runs)
    rows, made_by = Experiment(options).collect(), provenance()
    for name in ("teacher", "student", "data_dir", "program"):  # where they lie is this machine's affair
        made_by["command"] = made_by["command"].replace(str(getattr(options, name)), name.upper())
    path = options.output_dir / "agora-real.md"
    kept = path.read_text(encoding="utf-8").partition(KEPT)[2].rstrip("\n") if path.is_file() else ""
    files.write_json(options.output_dir / "agora-real.json", {"rows": rows, "provenance": made_by})
    draw(rows, options.tasks, options.output_dir / "agora-real.png")
    files.write_text(path, report(rows, options.tasks, made_by, kept))
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()

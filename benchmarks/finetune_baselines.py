"""What a fine-tuned encoder has to beat: the majority class, and TF-IDF with logistic regression.

    python benchmarks/finetune_baselines.py --data-dir ../shared/data --tasks SST-2 CoLA MRPC RTE \
        --runs encoder=runs/small --output runs/finetune-small-encoder

TF-IDF: scikit-learn's words and pairs of words, sublinear counts; of a pair of texts each has features of its own, and
the cosine of both is one more. The regularisation C is chosen on a tenth of the training set. Prints a Markdown table
of the tasks' metrics on dev, in percent; of `--runs NAME=FOLDER` the median and range of the seeds, or the one
score, in FOLDER/TASK/results.json. Then, of the criterion, the scores after the last epoch, and how far the seeds'
means lie from those of the first run, with Welch's p. `--output` writes the same as .json, with what produced each,
and the criterion as .png.
"""

import argparse
import pathlib
from typing import Any, Dict, List

import numpy as np
import scipy.sparse
import scipy.stats
import seed_dots
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from bort_mx.data.tasks import Examples, Task, get_task
from bort_mx.finetuning.task_data import examples_digest
from bort_mx.io import files
from bort_mx.provenance import provenance
from bort_mx.random import generator

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
BASELINES = ("majority class", "TF-IDF, logistic regression")


def features(train: Examples, *sets: Examples) -> List[scipy.sparse.csr_matrix]:
    """Rows of features of each set, with a vocabulary of the training texts."""
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[^\w\s]")
    vectorizer.fit([text for example in train for text in example.texts])
    return [_rows(vectorizer, examples) for examples in sets]


def _rows(vectorizer: TfidfVectorizer, examples: Examples) -> scipy.sparse.csr_matrix:
    columns = [vectorizer.transform(texts) for texts in zip(*(example.texts for example in examples))]
    if len(columns) == 2:
        columns.append(scipy.sparse.csr_matrix(columns[0].multiply(columns[1]).sum(axis=1)))
    return scipy.sparse.hstack(columns).tocsr()


def logistic_regression(train: Examples, dev: Examples, targets: np.ndarray) -> np.ndarray:
    """Label indices predicted for dev; C is the best on a tenth of train, then all of train is fitted."""
    rows, dev_rows = features(train, train, dev)
    order = generator(0, "baseline's held-out tenth").permutation(len(train))
    held, rest = order[:len(train) // 10], order[len(train) // 10:]
    best = max(STRENGTHS, key=lambda c: _fit(rows[rest], targets[rest], c).score(rows[held], targets[held]))
    return _fit(rows, targets, best).predict(dev_rows)


def _fit(rows, targets, strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=300, solver="liblinear").fit(rows, targets)


def baselines(task: Task, train: Examples, dev: Examples) -> Dict[str, Dict[str, float]]:
    """Dev metrics of each of BASELINES."""
    targets = np.array([task.label_index(example.label) for example in train])
    majority = np.full(len(dev), np.bincount(targets).argmax())
    predictions = majority, logistic_regression(train, dev, targets)
    return {name: dict(task.metrics_of(dev, list(found))) for name, found in zip(BASELINES, predictions)}


def of_runs(folder: pathlib.Path, task: Task) -> Dict[str, Any]:
    """Dev metrics over the seeds of a task's run, with its checkpoint and command; {} if there is none."""
    path = folder / task.name / "results.json"
    if not path.is_file():
        return {}
    found = files.read_json(path)
    seeds = [files.read_json(folder / task.name / f"seed-{seed}" / "results.json") for seed in found.get("seeds", [])]
    values = {metric: [seed["dev"][metric] for seed in seeds or [found]] for metric in task.metrics}
    last = [seed["history"][-1][task.criterion] for seed in seeds or [found]]
    return {"values": values, "last_epoch": last,
            **{key: found["provenance"][key] for key in ("command", "git_commit")}}


def cells(found: Dict[str, Any], metric: str) -> str:
    """One cell of the table, in percent."""
    if not found:
        return "–"
    values = 100 * np.array(found["values"][metric])
    if len(values) == 1:
        return f"{values[0]:.1f} (one seed)"
    return f"{np.median(values):.1f} ({values.min():.1f}–{values.max():.1f}; {len(values)} seeds)"


def remarks(runs: Dict[str, Any], metric: str) -> List[str]:
    """Each run's scores after the last epoch, and its distance from the first run, in percent."""
    lines, first = [], next(iter(runs), None)
    for name, found in runs.items():
        if found:
            last = 100 * np.array(found["last_epoch"])
            line = f"{name}: last epoch {np.median(last):.1f} ({last.min():.1f}–{last.max():.1f})"
            mine, theirs = (100 * np.array(run["values"][metric]) if run else [] for run in (found, runs[first]))
            if name != first and min(len(mine), len(theirs)) > 1:
                p = scipy.stats.ttest_ind(mine, theirs, equal_var=False).pvalue
                line += f"; mean {np.mean(mine) - np.mean(theirs):+.1f} from {first} (p {p:.2g})"
            lines.append(line)
    return lines


def draw(table: Dict[str, Dict[str, Any]], path: pathlib.Path) -> None:
    """Write a PNG: each task's criterion, baselines as lines and seeds as dots."""
    panels, lines = {}, {}
    for name, entry in table.items():
        metric = get_task(name).criterion
        title = f"{name}, dev {metric}"
        panels[title] = {run: [100 * value for value in found["values"][metric]] if found else []
                         for run, found in entry["runs"].items()}
        lines[title] = {baseline: 100 * entry["baselines"][baseline][metric] for baseline in BASELINES}
    seed_dots.draw(panels, path, lines)


def main() -> None:
    """Compute, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--tasks", nargs="+", default=["SST-2", "CoLA", "MRPC", "RTE"])
    parser.add_argument("--runs", nargs="*", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--output", help="path without the ending")
    options = parser.parse_args()
    runs = dict(given.split("=", 1) for given in options.runs)
    print(f"| task | metric | {' | '.join([*BASELINES, *runs])} |\n|{'---|' * (2 + len(BASELINES) + len(runs))}")
    table: Dict[str, Dict[str, Any]] = {}
    for name in options.tasks:
        task = get_task(name)
        train, dev = (task.read(options.data_dir, split) for split in ("train", "dev"))
        table[name] = {"data": {"train": examples_digest(train), "dev": examples_digest(dev)},
                       "baselines": baselines(task, train, dev),
                       "runs": {run: of_runs(pathlib.Path(folder), task) for run, folder in runs.items()}}
        for metric in task.metrics:
            row = [f"{100 * table[name]['baselines'][baseline][metric]:.1f}" for baseline in BASELINES]
            row += [cells(found, metric) for found in table[name]["runs"].values()]
            print(f"| {name} | {metric} | {' | '.join(row)} |", flush=True)
    for name, entry in table.items():
        metric = get_task(name).criterion
        print("\n".join(["", f"{name}, {metric}:", *(f"- {line}" for line in remarks(entry["runs"], metric))]))
    if options.output:
        files.write_json(f"{options.output}.json", {"tasks": table, "provenance": provenance()})
        draw(table, pathlib.Path(f"{options.output}.png"))


if __name__ == "__main__":
    main()

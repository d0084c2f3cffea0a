"""Several fine-tuning runs as one: seeds with their median and range, a whole benchmark with its table."""

import dataclasses
import pathlib
import shutil
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from bort_mx.data.metrics import benchmark_average
from bort_mx.data.tasks import TASKS, Task, get_task, write_benchmark_zip
from bort_mx.data.tasks.examples import SPLITS
from bort_mx.data.tasks.submissions import submission_names
from bort_mx.data.tasks.tables import load_table
from bort_mx.distributed import Workers, connect
from bort_mx.errors import InputError
from bort_mx.finetuning.options import BENCHMARKS, FineTuningOptions, kind_of
from bort_mx.finetuning.predictions import metric_names
from bort_mx.finetuning.task_data import diagnostics_of, prepare_folder, resolve
from bort_mx.io import files
from bort_mx.training.run_directory import RunDirectory

TABLE, SUBMISSION = "table.md", "submission"
Begin = Callable[[], None]
Finetune = Callable[[FineTuningOptions, Begin], Dict[str, Any]]


# -- seeds -----------------------------------------------------------------------------------------------------------


def run_seeds(options: FineTuningOptions, finetune: Finetune, begin: Optional[Begin] = None) -> Dict[str, Any]:
    """Train with `options.seeds` seeds, each into OUTPUT_DIR/seed-N; write results.json with medians and ranges.

    The submission files are those of the seed with the best criterion on dev.

    Args:
        options: of all runs; the first seed is --seed.
        finetune: runs one.
        begin: see `bort_mx.finetuning.finetune.finetune`.
    Raises:
        InputError: see `bort_mx.finetuning.finetune.finetune`.
    """
    workers = connect()
    task, asked = resolve(options.task)
    first = options.resolved(task, asked).seed
    run = _parent(options, workers)

    def begun() -> None:
        if begin is not None:
            begin()
        run.write_config()

    runs = [finetune(_child(options, f"seed-{seed}", seed=seed, seeds=1), begun)
            for seed in range(first, first + options.seeds)]
    results = {"task": task.key, "checkpoint": options.checkpoint, **summarise(runs)}
    if workers.is_first:
        for name in results["submissions"]:
            shutil.copyfile(run.path / f"seed-{results['best_seed']}" / name, run.path / name)
        print(f"{task.key}, {len(runs)} seeds: " + ", ".join(
            f"{name} {s['median']:.4f} ({s['min']:.4f} to {s['max']:.4f})"
            for name, s in results["dev_over_seeds"].items()), flush=True)
    run.write_config()
    run.write_results(results)
    return results


def summarise(runs: List[Dict[str, Any]]) -> Dict[str, Any]:
    """Medians, ranges and values over seeds of each dev metric, and which seed was best on dev."""
    best = max(runs, key=lambda run: run["dev"][run["criterion"]])
    over = {name: _spread([run["dev"][name] for run in runs]) for name in runs[0]["dev"]}
    diagnostics = {key: {name: float(np.median([run["diagnostics"][key][name] for run in runs])) for name in values}
                   for key, values in runs[0]["diagnostics"].items()}
    return {"seeds": [run["seed"] for run in runs], "criterion": best["criterion"], "best_seed": best["seed"],
            "dev": {name: spread["median"] for name, spread in over.items()}, "dev_over_seeds": over,
            "diagnostics": diagnostics, "submissions": best["submissions"],
            "notes": list(dict.fromkeys(note for run in runs for note in run["notes"]))}


def _spread(values: List[float]) -> Dict[str, Any]:
    return {"median": float(np.median(values)), "min": min(values), "max": max(values), "values": values}


# -- benchmarks ------------------------------------------------------------------------------------------------------


def run_benchmarks(options: FineTuningOptions, finetune: Finetune) -> Dict[str, Any]:
    """Train on every task of one or all benchmarks; print and write each benchmark's table and submission zip.

    A task whose files are not there and cannot be fetched is left out, and the table says so.

    Args:
        options: of all runs; `task` is a name in BENCHMARKS.
        finetune: runs one task, with one or several seeds.
    Raises:
        InputError: no task's files are there, or a bad one is; or see `bort_mx.finetuning.finetune.finetune`.
    """
    workers = connect()
    names = BENCHMARKS[options.task]
    for name in ("predict_only", "keep_classifier"):
        if getattr(options, name):
            raise InputError(f"--task {options.task} --{name.replace('_', '-')}: a classifier is of one task; give its "
                             "name")
    available = {benchmark: _available(benchmark, options, workers) for benchmark in names}
    if not any(ready for ready, _ in available.values()):
        raise InputError(next(reason for _, absent in available.values() for reason in absent.values()))
    run = _parent(options, workers)
    results = {}
    for benchmark, (ready, absent) in available.items():
        scores = {}
        for key in ready:
            scores[key] = finetune(_child(options, f"{benchmark}/{get_task(key).name}", task=key), run.write_config)
        if workers.is_first:
            results[benchmark] = _conclude(run.path, benchmark, scores, absent)
    run.write_config()
    run.write_results(results)
    return results


def _available(benchmark: str, options: FineTuningOptions, workers: Workers) -> Tuple[List[str], Dict[str, str]]:
    """The tasks that can be trained on, and the others with the reason.

    Raises:
        InputError: a bad file, of any split.
    """
    ready, absent = [], {}
    for key, kind in TASKS.items():
        if kind.benchmark == benchmark and kind.scored_by is None:
            task = get_task(key)
            try:
                folder = prepare_folder(task, options.data_dir, workers)
                for split in ("train", "dev"):
                    task.locate(folder, split)
            except InputError as reason:
                absent[key] = str(reason)
                continue
            for one in (task, *diagnostics_of(task)):
                for split in SPLITS:  # rather now than after hours of training on the tasks before it
                    if one.has(folder, split):
                        one.check(folder, split)
            ready.append(key)
    return ready, absent


def _conclude(folder: pathlib.Path, benchmark: str, scores: Dict[str, Dict], absent: Dict[str, str]) -> Dict[str, Any]:
    """Write a benchmark's table and zip, print the table; returns what goes into results.json."""
    notes = [f"{key} left out: {reason}" for key, reason in absent.items()]
    if not scores:
        print("\n".join([f"{benchmark}: none of its tasks is there", *(f"- {note}" for note in notes)]), flush=True)
        return {"dev": {}, "average": None, "notes": notes}
    notes += [f"{get_task(key).name}: {note}" for key, result in scores.items() for note in result["notes"]]
    notes += _zip(folder / benchmark, benchmark, scores)
    metrics = {}
    for key, result in scores.items():
        metrics[get_task(key).name] = {name: result["dev"][name] for name in metric_names(result)}
        metrics.update({get_task(other).name: found for other, found in result["diagnostics"].items() if found})
    table = benchmark_table(benchmark, {name: {n: v for n, v in found.items() if n != "loss"}
                                        for name, found in metrics.items()})
    text = "\n".join([table, "", *(f"- {note}" for note in notes)]) + "\n"
    files.write_text(folder / benchmark / TABLE, text)
    print(text, flush=True)
    return {"dev": metrics, "average": _average(benchmark, metrics), "notes": notes}


def _zip(folder: pathlib.Path, benchmark: str, scores: Dict[str, Dict]) -> List[str]:
    """Gather the submission files of these runs alone and zip them; returns notes on what is missing."""
    target = folder / SUBMISSION
    target.mkdir(exist_ok=True)
    for name in [f"{benchmark}.zip", *(f"{SUBMISSION}/{name}" for name in submission_names(benchmark))]:
        (folder / name).unlink(missing_ok=True)  # of a task that was there before
    for key, result in scores.items():
        for name in result["submissions"]:
            shutil.copyfile(folder / get_task(key).name / name, target / name)
    if not any(result["submissions"] for result in scores.values()):
        return ["no test set is there, so there is nothing to submit"]
    missing = write_benchmark_zip(folder / f"{benchmark}.zip", benchmark, target)
    return [f"{benchmark}.zip lacks {', '.join(missing)}, and the leaderboard wants every file"] if missing else []


def _average(benchmark: str, metrics: Dict[str, Dict[str, float]]):
    """The benchmark's own average on dev, or None if tasks are missing."""
    try:
        return benchmark_average(benchmark, metrics)
    except InputError:
        return None


def benchmark_table(benchmark: str, metrics: Dict[str, Dict[str, float]]) -> str:
    """A Markdown table: the paper's systems (its Tables 4 to 6) and our dev scores, in percent.

    Args:
        benchmark: "glue", "superglue" or "race".
        metrics: task name → metric → value.
    """
    systems = load_table("paper_scores.yaml")[benchmark]["systems"]
    tasks = [get_task(key) for key, kind in TASKS.items() if kind.benchmark == benchmark]
    rows = [["task", "metric", *(f"{system} (paper)" for system in systems), "here, dev"]]
    rows += [["---"] * len(rows[0])]
    for task in tasks:
        rows.append([task.name, "/".join(task.metrics), *(str(score) for score in _paper_row(task, systems)),
                     "/".join(f"{100 * value:.1f}" for value in metrics.get(task.name, {}).values()) or "–"])
    average = _average(benchmark, metrics)
    if average is not None:
        rows.append(["average", "", *("" for _ in systems), f"{100 * average:.1f}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _paper_row(task: Task, systems: List[str]) -> List[Any]:
    scores = task.paper_scores()
    return [scores.get(system, "–") for system in systems]


# -- common ----------------------------------------------------------------------------------------------------------


def _parent(options: FineTuningOptions, workers: Workers) -> RunDirectory:
    """The directory above several runs, each of which compares the content of --checkpoint for itself.

    Raises:
        InputError: it holds a run already, and --resume is not given; or one of other options, or something else.
    """
    run = RunDirectory(options.output_dir, options, options.MAY_CHANGE, workers.is_first, options.resume,
                       kind=kind_of)
    workers.gather(0, "directory checked")  # before rank 0 writes into it what another would refuse
    return run


def _child(options: FineTuningOptions, name: str, **changes: Any) -> FineTuningOptions:
    """The options of one of several runs; it goes on where it is, if the whole is resumed."""
    return dataclasses.replace(options, output_dir=str(pathlib.Path(options.output_dir) / name), **changes)

"""A whole benchmark: all available tasks, a table beside the paper's scores, and the submission zip."""


import pathlib
import shutil
from typing import Any, Dict, List, Optional, Tuple

from bort_mx.data.metrics import benchmark_average
from bort_mx.data.tasks import TASKS, Task, get_task, write_benchmark_zip
from bort_mx.data.tasks.examples import SPLITS
from bort_mx.data.tasks.submissions import submission_names
from bort_mx.data.tasks.tables import load_table
from bort_mx.distributed import Workers, connect
from bort_mx.errors import InputError
from bort_mx.finetuning.options import BENCHMARKS, FineTuningOptions
from bort_mx.finetuning.predictions import metric_names
from bort_mx.finetuning.seeds import Finetune, child_options, parent_directory
from bort_mx.finetuning.task_data import diagnostics_of, prepare_folder, scorer_of
from bort_mx.io import files

TABLE, SUBMISSION = "table.md", "submission"


def run_benchmarks(options: FineTuningOptions, finetune: Finetune) -> Dict[str, Any]:
    """Train on every task of one or several benchmarks. Print and write each benchmark's table and submission zip.

    A task whose files are missing and cannot be downloaded is left out. The table says so.

    Args:
        options: options of all runs; `task` is a key of BENCHMARKS.
        finetune: runs one task, with one or several seeds.
    Raises:
        InputError: no task has its files, or a file is bad; or see `bort_mx.finetuning.finetune.finetune`.
    """
    workers = connect(options)
    names = BENCHMARKS[options.task]
    for name in ("predict_only", "keep_classifier"):
        if getattr(options, name):
            raise InputError(f"--task {options.task} --{name.replace('_', '-')}: a classifier belongs to one task; "
                             "give the name of a task")
    available = {benchmark: _available(benchmark, options.data_dir, workers) for benchmark in names}
    if not any(ready for ready, _ in available.values()):
        raise InputError(next(reason for _, absent in available.values() for reason in absent.values()))
    run = parent_directory(options, workers)
    results = {}
    for benchmark, (ready, absent) in available.items():
        scores = {}
        for key in ready:
            one = child_options(options, f"{benchmark}/{get_task(key).name}", task=key)
            scores[key] = finetune(one, run.write_config)
        if workers.is_first:
            results[benchmark] = _conclude(run.path, benchmark, scores, absent, options.chs)
    run.write_config()
    run.write_results(results)
    return results


def _available(benchmark: str, data_dir: Optional[str], workers: Workers) -> Tuple[List[str], Dict[str, str]]:
    """The tasks with files to train on; and the other tasks, with the reasons.

    Raises:
        InputError: a file of any split is bad.
    """
    ready, absent = [], {}
    for key, kind in TASKS.items():
        if kind.benchmark == benchmark and kind.scored_by is None:
            task = get_task(key)
            try:
                folder = prepare_folder(task, data_dir, workers)
                for split in ("train", "dev"):
                    task.locate(folder, split)
            except InputError as reason:
                absent[key] = str(reason)
                continue
            for one in (task, *diagnostics_of(task)):
                for split in SPLITS:  # check now, not after hours of training on the tasks before it
                    if one.has(folder, split):
                        one.check(folder, split)
            ready.append(key)
    return ready, absent


def _conclude(folder: pathlib.Path, benchmark: str, scores: Dict[str, Dict], absent: Dict[str, str],
              chs: bool) -> Dict[str, Any]:
    """Write a benchmark's table and zip, and print the table. Returns its entry of results.json."""
    notes = [f"{key} left out: {reason}" for key, reason in absent.items()]
    if not scores:
        print("\n".join([f"{benchmark}: none of its tasks is available", *(f"- {note}" for note in notes)]), flush=True)
        return {"dev": {}, "average": None, "notes": notes}
    notes += [f"{get_task(key).name}: {note}" for key, result in scores.items() for note in result["notes"]]
    scorers = scorers_of(scores, chs)
    notes += _both(scores, scorers) + _zip(folder / benchmark, benchmark, scores, scorers)
    metrics = {}
    for key, result in scores.items():
        metrics[get_task(key).name] = {name: result["dev"][name] for name in metric_names(result)}
        metrics.update({get_task(other).name: found for other, found in result["diagnostics"].items()
                        if found and scorers[other] == key})
    table = benchmark_table(benchmark, {name: {n: v for n, v in found.items() if n != "loss"}
                                        for name, found in metrics.items()})
    text = "\n".join([table, "", *(f"- {note}" for note in notes)]) + "\n"
    files.write_text(folder / benchmark / TABLE, text)
    print(text, flush=True)
    return {"dev": metrics, "average": _average(benchmark, metrics), "notes": notes}


def scorers_of(scores: Dict[str, Dict], chs: bool) -> Dict[str, str]:
    """Diagnostic set -> the task whose model's predictions count.

    Args:
        scores: task -> results of its run.
        chs: trained with the paper's convergent hyperparameters. The paper's set for AX is that of MNLI-mismatched.
    """
    found: Dict[str, str] = {}
    for key, result in scores.items():
        for other in result["diagnostics"]:
            if other not in found or key == scorer_of(get_task(other), chs):
                found[other] = key
    return found


def _both(scores: Dict[str, Dict], scorers: Dict[str, str]) -> List[str]:
    """A note for each diagnostic set that several models predict: the values of all, and whose count."""
    notes = []
    for other, counts in scorers.items():
        values = {key: result["diagnostics"][other] for key, result in scores.items()
                  if result["diagnostics"].get(other)}
        if len(values) > 1:
            said = "; ".join(f"by the model of {get_task(key).name} " + ", ".join(
                f"{name} {100 * value:.1f}" for name, value in found.items() if name != "loss")
                for key, found in values.items())
            notes.append(f"{get_task(other).name} {said}; that of {get_task(counts).name} counts")
    return notes


def _zip(folder: pathlib.Path, benchmark: str, scores: Dict[str, Dict], scorers: Dict[str, str]) -> List[str]:
    """Collect the submission files of these runs only, and zip them. Returns notes about what is missing."""
    target = folder / SUBMISSION
    target.mkdir(exist_ok=True)
    for name in [f"{benchmark}.zip", *(f"{SUBMISSION}/{name}" for name in submission_names(benchmark))]:
        (folder / name).unlink(missing_ok=True)  # may belong to a task of an earlier run
    for key, result in scores.items():
        others = {get_task(other).submission_name for other in result["diagnostics"] if scorers[other] != key}
        for name in sorted(set(result["submissions"]) - others):
            shutil.copyfile(folder / get_task(key).name / name, target / name)
    if not any(result["submissions"] for result in scores.values()):
        return ["no test set is there, so there is nothing to submit"]
    missing = write_benchmark_zip(folder / f"{benchmark}.zip", benchmark, target)
    return [f"{benchmark}.zip lacks {', '.join(missing)}, and the leaderboard wants every file"] if missing else []


def _average(benchmark: str, metrics: Dict[str, Dict[str, float]]):
    """The benchmark's own average on dev; None if tasks are missing."""
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

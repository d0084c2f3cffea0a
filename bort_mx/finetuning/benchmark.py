"""A whole benchmark: all available tasks, a table beside the paper's scores, and the submission zip."""


import pathlib
import shutil
from typing import Any, Dict, List, Optional, Sequence, Tuple

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
from bort_mx.finetuning.start import FRESH, read_weights, refuse_without_types
from bort_mx.finetuning.task_data import diagnostics_of, prepare_folder, scorer_of
from bort_mx.io import files
from bort_mx.training.earlier_run import earlier_options
from bort_mx.training.finished_runs import FinishedRun, without_single_seeds, without_teachers

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
    options = options.continued(earlier_options(options.output_dir, options.resume))
    names = BENCHMARKS[options.task]
    for name in ("predict_only", "keep_classifier", "teacher"):
        if getattr(options, name):
            raise InputError(f"--task {options.task} --{name.replace('_', '-')}: a classifier belongs to one task; "
                             "give the name of a task")
    available = {benchmark: _available(benchmark, options.data_dir, workers) for benchmark in names}
    if not any(ready for ready, _ in available.values()):
        raise InputError(next(reason for _, absent in available.values() for reason in absent.values()))
    if options.pooling == "segments" and not earlier_options(options.output_dir, options.resume):
        weights = None if options.checkpoint == FRESH else read_weights(options.checkpoint, workers)
        refuse_without_types(options.checkpoint, weights)  # now, not after hours of training on tasks with one text
    run = parent_directory(options, workers)
    results = {}
    for benchmark, (ready, absent) in available.items():
        scores = {}
        for key in ready:
            one = child_options(options, f"{benchmark}/{get_task(key).name}", task=key)
            scores[key] = finetune(one, run.write_config)
        if workers.is_first:
            folders = {key: run.path / benchmark / get_task(key).name for key in scores}
            results[benchmark] = _conclude(run.path, benchmark, scores, absent, folders, options.chs)
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


def collect_runs(runs: Sequence[FinishedRun], folder: pathlib.Path) -> Dict[str, Dict[str, Any]]:
    """Make each benchmark's table and submission zip from finished runs, plain or of Agora, one for each task.

    Of several runs on a task, the best on dev by the task's criterion is taken; a note names it and the others. A run
    that taught another one (Socrates) is not counted. The runs of several seeds count as one, as their folder's results
    say.

    Args:
        runs: finished runs, wherever they lie.
        folder: gets a folder for each benchmark that has a run.
    Returns:
        benchmark → its scores on dev, their average, and notes.
    """
    by_task = _by_task(runs)
    found = {}
    for benchmark in BENCHMARKS["all"]:
        chosen = {key: max(by_task[key], key=_dev_score) for key, kind in TASKS.items()
                  if kind.benchmark == benchmark and key in by_task}
        if chosen:
            absent = {key: "no finished run" for key, kind in TASKS.items()
                      if kind.benchmark == benchmark and kind.scored_by is None and key not in chosen}
            (folder / benchmark).mkdir(parents=True, exist_ok=True)
            results = {key: run.results for key, run in chosen.items()}
            folders = {key: run.path for key, run in chosen.items()}
            chs = all(run.options.get("chs") for run in chosen.values())
            found[benchmark] = _conclude(folder, benchmark, results, absent, folders, chs, _choices(chosen, by_task))
    return found


def _by_task(runs: Sequence[FinishedRun]) -> Dict[str, List[FinishedRun]]:
    """Key of a task → the runs on it that have a score on dev, without those that taught another run."""
    by_task: Dict[str, List[FinishedRun]] = {}
    for run in without_teachers(without_single_seeds(runs)):
        key = run.results.get("task")
        if key in TASKS and _dev_score(run) is not None:
            by_task.setdefault(key, []).append(run)
    return by_task


def _dev_score(run: FinishedRun) -> Optional[float]:
    """The run's score on dev by which runs on its task are compared."""
    return (run.results.get("dev") or {}).get(get_task(run.results["task"]).criterion)


def _choices(chosen: Dict[str, FinishedRun], by_task: Dict[str, List[FinishedRun]]) -> List[str]:
    """Notes on which run was taken for each task."""
    return [f"{get_task(key).name}: {run.name}" + "".join(
        f"; not {other.path}, whose {get_task(key).criterion} is {_dev_score(other):.4f} and not {_dev_score(run):.4f}"
        for other in by_task[key] if other is not run) for key, run in chosen.items()]


def _conclude(folder: pathlib.Path, benchmark: str, scores: Dict[str, Dict], absent: Dict[str, str],
              folders: Dict[str, pathlib.Path], chs: bool, choices: Sequence[str] = ()) -> Dict[str, Any]:
    """Write a benchmark's table and zip, and print the table. Returns its entry of results.json.

    Args:
        folder: gets the table and zip, in a folder of the benchmark's name.
        benchmark: "glue", "superglue" or "race".
        scores: key of a task → the results of its run.
        absent: key of a task without a run → the reason.
        folders: key of a task → the folder of its run.
        chs: see `scorers_of`.
        choices: notes on which runs these are.
    """
    notes = [f"{key} left out: {reason}" for key, reason in absent.items()]
    if not scores:
        print("\n".join([f"{benchmark}: none of its tasks is available", *(f"- {note}" for note in notes)]), flush=True)
        return {"dev": {}, "average": None, "notes": notes}
    notes += [f"{get_task(key).name}: {note}" for key, result in scores.items() for note in result["notes"]]
    scorers = scorers_of(scores, chs)
    notes += [*choices, *_both(scores, scorers), *_zip(folder / benchmark, benchmark, scores, scorers, folders)]
    metrics, on_test = {}, {}
    for key, result in scores.items():
        metrics[get_task(key).name] = {name: result["dev"][name] for name in metric_names(result)}
        if result.get("test"):
            on_test[get_task(key).name] = _own(get_task(key), result["test"])
        metrics.update({get_task(other).name: found for other, found in result["diagnostics"].items()
                        if found and scorers[other] == key})
    table = benchmark_table(benchmark, {name: _own(get_task(f"{benchmark}/{name}"), found)
                                        for name, found in metrics.items()}, on_test)
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


def _own(task: Task, found: Dict[str, float]) -> Dict[str, float]:
    """The task's own metrics, in its order, of all that a run has measured."""
    return {name: found[name] for name in task.metrics if name in found}


def _zip(folder: pathlib.Path, benchmark: str, scores: Dict[str, Dict], scorers: Dict[str, str],
         folders: Dict[str, pathlib.Path]) -> List[str]:
    """Collect the submission files of these runs only, and zip them. Returns notes about what is missing."""
    target = folder / SUBMISSION
    target.mkdir(exist_ok=True)
    for name in [f"{benchmark}.zip", *(f"{SUBMISSION}/{name}" for name in submission_names(benchmark))]:
        (folder / name).unlink(missing_ok=True)  # may belong to a task of an earlier run
    for key, result in scores.items():
        others = {get_task(other).submission_name for other in result["diagnostics"] if scorers[other] != key}
        for name in sorted(set(result["submissions"]) - others):
            shutil.copyfile(folders[key] / name, target / name)
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


def benchmark_table(benchmark: str, metrics: Dict[str, Dict[str, float]],
                    on_test: Optional[Dict[str, Dict[str, float]]] = None) -> str:
    """A Markdown table: the paper's systems (its Tables 4 to 6) and our scores, in percent; dev and test apart.

    Args:
        benchmark: "glue", "superglue" or "race".
        metrics: task name → metric → value on dev.
        on_test: the same on test sets that have labels; without any, the table has no such column.
    """
    systems = load_table("paper_scores.yaml")[benchmark]["systems"]
    tasks = [get_task(key) for key, kind in TASKS.items() if kind.benchmark == benchmark]
    rows = [["task", "metric", *(f"{system} (paper)" for system in systems), "here, dev",
             *(["here, test"] if on_test else [])]]
    rows += [["---"] * len(rows[0])]
    for task in tasks:
        rows.append([task.name, "/".join(task.metrics), *(str(score) for score in _paper_row(task, systems)),
                     *(_percent(of.get(task.name, {})) for of in (metrics, on_test) if of or of is metrics)])
    average = _average(benchmark, metrics)
    if average is not None:
        rows.append(["average", "", *("" for _ in systems), f"{100 * average:.1f}", *([""] if on_test else [])])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _percent(found: Dict[str, float]) -> str:
    return "/".join(f"{100 * value:.1f}" for value in found.values()) or "–"


def _paper_row(task: Task, systems: List[str]) -> List[Any]:
    scores = task.paper_scores()
    return [scores.get(system, "–") for system in systems]

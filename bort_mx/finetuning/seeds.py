"""One task with several seeds: medians, ranges, and the submission files of the best seed."""


import dataclasses
import pathlib
import shutil
from typing import Any, Callable, Dict, List, Optional

import numpy as np

from bort_mx.distributed import Workers, connect
from bort_mx.finetuning.options import FineTuningOptions, kind_of
from bort_mx.finetuning.predictions import constant_line
from bort_mx.finetuning.task_data import shown_name, task_of
from bort_mx.training.earlier_run import earlier_options
from bort_mx.training.run_directory import RunDirectory

Begin = Callable[[], None]
Finetune = Callable[[FineTuningOptions, Begin], Dict[str, Any]]


def run_seeds(options: FineTuningOptions, finetune: Finetune, begin: Optional[Begin] = None) -> Dict[str, Any]:
    """Train with `options.seeds` seeds, each in OUTPUT_DIR/seed-N. Writes results.json with medians and ranges.

    The submission files are those of the seed with the best criterion on dev.

    Args:
        options: options of all runs; the first seed is --seed.
        finetune: runs one seed.
        begin: see `bort_mx.finetuning.finetune.finetune`.
    Raises:
        InputError: see `bort_mx.finetuning.finetune.finetune`.
    """
    workers = connect(options)
    options = options.continued(earlier_options(options.output_dir, options.resume))
    task, asked = task_of(options)
    first = options.resolved(task, asked).seed
    run = parent_directory(options, workers)

    def begun() -> None:
        """Called by the first run when nothing is left to refuse."""
        if begin is not None:
            begin()
        run.write_config()

    runs = [finetune(child_options(options, f"seed-{seed}", seed=seed, seeds=1), begun)
            for seed in range(first, first + options.seeds)]
    results = {"task": shown_name(task), "checkpoint": options.checkpoint, **summarise(runs)}
    if workers.is_first:
        for name in results["submissions"]:
            shutil.copyfile(run.path / f"seed-{results['best_seed']}" / name, run.path / name)
        print(f"{shown_name(task)}, {len(runs)} seeds: " + ", ".join(
            f"{name} {s['median']:.4f} ({s['min']:.4f} to {s['max']:.4f})"
            for name, s in results["dev_over_seeds"].items()) + constant_line(results, "dev"), flush=True)
    run.write_config()
    run.write_results(results)
    return results


def summarise(runs: List[Dict[str, Any]]) -> Dict[str, Any]:
    """Medians, ranges and values over seeds of each dev metric, and the seed that was best on dev."""
    best = max(runs, key=lambda run: run["dev"][run["criterion"]])
    over = {name: _spread([run["dev"][name] for run in runs]) for name in runs[0]["dev"]}
    diagnostics = {key: {name: float(np.median([run["diagnostics"][key][name] for run in runs])) for name in values}
                   for key, values in runs[0]["diagnostics"].items()}
    return {"seeds": [run["seed"] for run in runs], "criterion": best["criterion"], "best_seed": best["seed"],
            "dev": {name: spread["median"] for name, spread in over.items()}, "dev_over_seeds": over,
            "one_label_for_all": best.get("one_label_for_all", {}), "diagnostics": diagnostics,
            "submissions": best["submissions"],
            "notes": list(dict.fromkeys(note for run in runs for note in run["notes"]))}


def _spread(values: List[float]) -> Dict[str, Any]:
    return {"median": float(np.median(values)), "min": min(values), "max": max(values), "values": values}


def parent_directory(options: FineTuningOptions, workers: Workers) -> RunDirectory:
    """The directory of several runs. Each run compares the content of --checkpoint itself.

    Raises:
        InputError: the directory already holds a run and --resume is not given; or it holds a run with other options,
            or something else; or a new run has options without effect.
    """
    run = RunDirectory(options.output_dir, options, options.MAY_CHANGE, workers.is_first, options.resume,
                       kind=kind_of)
    if not run.before:
        options.refuse_unused()
    run.agree(workers)
    return run


def child_options(options: FineTuningOptions, name: str, **changes: Any) -> FineTuningOptions:
    """The options of one of several runs. If the whole is resumed, the run is resumed.

    A patience without effect, as the whole's config.json has it from an older version, is left out: a run that has
    begun takes its own, and a new one is not refused for it.
    """
    patience, place = options.patience if options.early_stopping else None, pathlib.Path(options.output_dir) / name
    return dataclasses.replace(options, patience=patience, output_dir=str(place), **changes)

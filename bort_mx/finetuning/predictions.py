"""Outputs of a fine-tuning run: predictions.tsv, submission files, figures, and a summary."""

import pathlib
from typing import Any, Dict, Hashable, List, NamedTuple, Optional, Sequence

from bort_mx.data.tasks import Task
from bort_mx.finetuning import plots
from bort_mx.finetuning.evaluation import Evaluation, is_labelled, probabilities
from bort_mx.finetuning.task_data import shown_name
from bort_mx.io import files
from bort_mx.training.run_directory import RunDirectory

PREDICTIONS = "predictions.tsv"
CONFUSION, SCATTER, CURVE = "confusion.png", "scatter.png", "learning_curve.png"


class Predicted(NamedTuple):
    """A set of examples with the model's results on it."""

    task: Task
    split: str
    name: str
    """Name of the split; for a diagnostic set, preceded by the task's key."""
    evaluation: Evaluation


def write_all(run: RunDirectory, task: Task, sets: Sequence[Predicted], trained: bool) -> List[str]:
    """Write all outputs except results.json.

    Args:
        run: the output directory.
        task: the task that was trained on.
        sets: at least one set; predictions.tsv is written for the first.
        trained: whether there is a learning curve.
    Returns:
        The names of the submission files, one for each test set.
    """
    write_predictions(run.path / PREDICTIONS, sets[0].task, sets[0].evaluation)
    for found in sets:
        if found.name == "dev" and is_labelled(found.evaluation.examples):
            _write_agreement(run.path, task, found.evaluation)
    if trained:
        plots.learning_curve(run.metrics(), f"dev_{task.criterion}", shown_name(task), run.path / CURVE)
    return [_submit(run.path, found.task, found.evaluation) for found in sets if found.split == "test"]


def _submit(folder: pathlib.Path, task: Task, evaluation: Evaluation) -> str:
    return task.write_submission(folder / task.submission_name, evaluation.predictions, evaluation.examples).name


def write_predictions(path: pathlib.Path, task: Task, evaluation: Evaluation) -> None:
    """Write one row per example: idx, texts, label, prediction and, for a classifier, the probability of each label as
    `score(LABEL)`.

    If examples belong together (the answers to a question) and idx does not show it, a column `group` does. If
    candidates are compared, the candidate has its own column, and the prediction is that of its question. Tabs and line
    ends in texts become spaces.
    """
    examples, picked = evaluation.examples, _picked(evaluation)
    paired = any(len(example.texts) > 1 for example in examples)
    grouped = any(example.group is not None and _spelled(example.group) != str(example.idx) for example in examples)
    shares = None if task.is_regression else probabilities(evaluation.scores)
    rows: List[Dict[str, Any]] = []
    for number, example in enumerate(examples):
        row = {"idx": example.idx}
        if grouped:
            row["group"] = _spelled(example.group)
        row["text"] = example.texts[0]
        if paired:
            row["text_pair"] = example.texts[1] if len(example.texts) > 1 else ""
        if picked is not None:
            row["candidate"] = example.meta["candidate"]
        row["label"] = "" if example.label is None else example.label
        row["prediction"] = evaluation.predictions[number] if picked is None else picked[example.group]
        if shares is not None:
            row.update({f"score({label})": f"{share:.6f}" for label, share in zip(task.labels, shares[number])})
        rows.append(row)
    lines = [list(rows[0]), *(row.values() for row in rows)]
    files.write_text(path, "".join("\t".join(map(_cell, line)) + "\n" for line in lines))


def _spelled(group: Hashable) -> str:
    """A group's name. For MultiRC it consists of the numbers of passage and question."""
    return "/".join(map(str, group)) if isinstance(group, tuple) else str(group)


def _cell(value: Any) -> str:
    return " ".join(str(value).split()) if isinstance(value, str) else str(value)


def _picked(evaluation: Evaluation) -> Optional[Dict[Hashable, Any]]:
    """Question → the chosen candidate, if candidates are compared; otherwise None."""
    if not all("candidate" in example.meta for example in evaluation.examples):
        return None
    groups = dict.fromkeys(example.group for example in evaluation.examples)
    return dict(zip(groups, evaluation.predictions))


def _write_agreement(folder: pathlib.Path, task: Task, dev: Evaluation) -> None:
    """Plot predictions against labels: a confusion matrix, or a scatter plot for regression."""
    labels = [example.label for example in dev.examples]
    if task.is_regression:
        plots.scatter(labels, dev.predictions, shown_name(task), folder / SCATTER)
        return
    picked = _picked(dev)
    predictions = dev.predictions if picked is None else [
        str(int(picked[example.group] == example.meta["candidate"])) for example in dev.examples]
    plots.confusion([task.label_index(label) for label in labels], [task.label_index(p) for p in predictions],
                      task.labels, shown_name(task), folder / CONFUSION)


def describe(results: Dict[str, Any], folder: pathlib.Path) -> str:
    """A summary of a run's results in a few lines."""
    of, lines = results.get("predictions_of", "dev"), []
    if of == "dev":
        lines += [f"{results['task']}: dev " + _values(results.get("dev", {}))
                  + (f" (best epoch: {results['best_epoch']:.3g})" if "best_epoch" in results else "")
                  + constant_line(results, "dev")]
    lines += [f"{results['task']}: test {_values(results['test'])}{constant_line(results, 'test')}"
              ] if results.get("test") else []
    lines += [f"{key}: {_values(values)}" for key, values in results["diagnostics"].items() if values]
    lines += [f"note: {note}" for note in results["notes"]]
    written = [PREDICTIONS if of == "dev" else f"{PREDICTIONS} (of {of})", *results["submissions"]]
    return "\n".join([*lines, f"wrote {', '.join(written)} … into {folder}"])


def constant_line(results: Dict[str, Any], split: str) -> str:
    """The end of a line: what one label for all examples scores, where that is known; else nothing."""
    found = results.get("one_label_for_all", {}).get(split)
    return f"; one label for all: {_values(found)}" if found else ""


def _values(metrics: Dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()) or "has no labels"


def metric_names(results: Dict[str, Any]) -> Sequence[str]:
    """The names of the task's own metrics among a run's dev values."""
    return [name for name in results["dev"] if name != "loss"]

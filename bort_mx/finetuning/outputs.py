"""What a fine-tuning run leaves: predictions.tsv, submission files, figures, and a line that sums it up."""

import pathlib
from typing import Any, Dict, Hashable, List, Optional, Sequence, Tuple

from bort_mx import files
from bort_mx.data.tasks import Task
from bort_mx.finetuning import figures
from bort_mx.finetuning.evaluation import Evaluation, is_labelled, probabilities
from bort_mx.training.run import RunDirectory

PREDICTIONS = "predictions.tsv"
CONFUSION, SCATTER, CURVE = "confusion.png", "scatter.png", "learning_curve.png"
Diagnostics = Dict[str, Tuple[Task, Dict[str, Evaluation]]]


def write_all(run: RunDirectory, task: Task, dev: Optional[Evaluation], test: Optional[Evaluation],
              diagnostics: Diagnostics, trained: bool) -> List[str]:
    """Write every output but results.json.

    Args:
        run: its directory.
        task, dev, test: the task and its sets. Without dev (which only predicting can do without) predictions.tsv is
            of test, without both of the first diagnostic set; without test there is no submission.
        diagnostics: key → (task, split → evaluation).
        trained: there is a learning curve.
    Returns:
        the names of the submission files.
    """
    write_predictions(run.path / PREDICTIONS, *_first(task, dev, test, diagnostics))
    if dev and is_labelled(dev.examples):
        _write_agreement(run.path, task, dev)
    if trained:
        figures.learning_curve(run.metrics(), f"dev_{task.criterion}", task.key, run.path / CURVE)
    written = [] if test is None else [_submit(run.path, task, test)]
    for diagnostic, found in diagnostics.values():
        written += [_submit(run.path, diagnostic, found["test"])] if "test" in found else []
    return written


def _first(task: Task, dev: Optional[Evaluation], test: Optional[Evaluation],
           diagnostics: Diagnostics) -> Tuple[Task, Evaluation]:
    sets = [(task, dev), (task, test), *((of, found.get(split)) for of, found in diagnostics.values()
                                         for split in ("dev", "test"))]
    return next((of, evaluation) for of, evaluation in sets if evaluation)


def _submit(folder: pathlib.Path, task: Task, evaluation: Evaluation) -> str:
    return task.write_submission(folder / task.submission_name, evaluation.predictions, evaluation.examples).name


def write_predictions(path: pathlib.Path, task: Task, evaluation: Evaluation) -> None:
    """One row an example: index, texts, label, prediction, and a classifier's probabilities of each label.

    Where candidates are compared, the candidate stands in a column of its own and the prediction is that of its
    question. Tabs and line ends in texts become spaces.
    """
    examples = evaluation.examples
    pair = any(len(example.texts) > 1 for example in examples)
    picked = _picked(evaluation)
    columns = ["idx", "text", *(["text_pair"] if pair else []), *([] if picked is None else ["candidate"]), "label",
               "prediction", *(f"p({label})" for label in task.labels)]
    shared = None if task.is_regression else probabilities(evaluation.scores)
    rows = []
    for number, example in enumerate(examples):
        texts = [*example.texts, ""][:1 + pair]
        candidate, prediction = (([], evaluation.predictions[number]) if picked is None else
                                 ([example.meta["candidate"]], picked[example.group]))
        shares = [] if shared is None else [f"{share:.6f}" for share in shared[number]]
        label = "" if example.label is None else example.label
        rows.append([example.idx, *texts, *candidate, label, prediction, *shares])
    files.write_text(path, "".join("\t".join(_cell(value) for value in row) + "\n" for row in [columns, *rows]))


def _cell(value: Any) -> str:
    return " ".join(str(value).split()) if isinstance(value, str) else str(value)


def _picked(evaluation: Evaluation) -> Optional[Dict[Hashable, Any]]:
    """Question → the candidate picked, where candidates are compared; else None."""
    if not all("candidate" in example.meta for example in evaluation.examples):
        return None
    groups = dict.fromkeys(example.group for example in evaluation.examples)
    return dict(zip(groups, evaluation.predictions))


def _write_agreement(folder: pathlib.Path, task: Task, dev: Evaluation) -> None:
    """Predictions against labels: a confusion matrix, or a regression's scatter plot."""
    labels = [example.label for example in dev.examples]
    if task.is_regression:
        figures.scatter(labels, dev.predictions, task.key, folder / SCATTER)
        return
    picked = _picked(dev)
    predictions = dev.predictions if picked is None else [
        str(int(picked[example.group] == example.meta["candidate"])) for example in dev.examples]
    figures.confusion([task.label_index(label) for label in labels], [task.label_index(p) for p in predictions],
                      task.labels, task.key, folder / CONFUSION)


def describe(results: Dict[str, Any], folder: pathlib.Path) -> str:
    """A run's results in a few lines."""
    lines = [] if results["diagnostics"] and "dev" not in results else [
        f"{results['task']}: dev " + _values(results.get("dev", {}))
        + (f" (best epoch: {results['best_epoch']:.3g})" if "best_epoch" in results else "")]
    lines += [f"{results['task']}: test {_values(results['test'])}"] if results.get("test") else []
    lines += [f"{key}: {_values(values)}" for key, values in results["diagnostics"].items() if values]
    lines += [f"note: {note}" for note in results["notes"]]
    return "\n".join([*lines, f"wrote {', '.join([PREDICTIONS, *results['submissions']])} … into {folder}"])


def _values(metrics: Dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()) or "has no labels"


def metric_names(results: Dict[str, Any]) -> Sequence[str]:
    """The task's own metrics among a run's dev values."""
    return [name for name in results["dev"] if name != "loss"]

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
Sets = Dict[str, Tuple[Task, Evaluation]]
"""What was predicted: "dev" and "test" of the task, "KEY dev" and "KEY test" of its diagnostic sets, where there."""


def write_all(run: RunDirectory, task: Task, sets: Sets, trained: bool) -> List[str]:
    """Write every output but results.json.

    Args:
        run: its directory.
        task: what was trained on.
        sets: at least one; predictions.tsv is of the first, which is dev where it is there.
        trained: there is a learning curve.
    Returns:
        the names of the submission files, of the test sets.
    """
    write_predictions(run.path / PREDICTIONS, *next(iter(sets.values())))
    if "dev" in sets and is_labelled(sets["dev"][1].examples):
        _write_agreement(run.path, *sets["dev"])
    if trained:
        figures.learning_curve(run.metrics(), f"dev_{task.criterion}", task.key, run.path / CURVE)
    return [_submit(run.path, of, found) for name, (of, found) in sets.items() if name.endswith("test")]


def _submit(folder: pathlib.Path, task: Task, evaluation: Evaluation) -> str:
    return task.write_submission(folder / task.submission_name, evaluation.predictions, evaluation.examples).name


def write_predictions(path: pathlib.Path, task: Task, evaluation: Evaluation) -> None:
    """One row an example: idx, texts, label, prediction, and a classifier's probabilities of each label.

    Where examples belong together (the answers to a question) and idx does not say so, what they share stands in a
    column `group`. Where candidates are compared, the candidate stands in a column of its own and the prediction is
    that of its question. Tabs and line ends in texts become spaces.
    """
    examples, picked = evaluation.examples, _picked(evaluation)
    texts = ["text", *(["text_pair"] if any(len(example.texts) > 1 for example in examples) else [])]
    grouped = any(example.group is not None and _spelled(example.group) != str(example.idx) for example in examples)
    shares = None if task.is_regression else probabilities(evaluation.scores)
    rows = [["idx", *(["group"] if grouped else []), *texts, *([] if picked is None else ["candidate"]), "label",
             "prediction", *(f"p({label})" for label in task.labels)]]
    for number, example in enumerate(examples):
        rows.append([example.idx, *([_spelled(example.group)] if grouped else []), *[*example.texts, ""][:len(texts)],
                     *([] if picked is None else [example.meta["candidate"]]),
                     "" if example.label is None else example.label,
                     evaluation.predictions[number] if picked is None else picked[example.group],
                     *([] if shares is None else [f"{share:.6f}" for share in shares[number]])])
    files.write_text(path, "".join("\t".join(_cell(value) for value in row) + "\n" for row in rows))


def _spelled(group: Hashable) -> str:
    """A group's name; MultiRC's is the passage's and the question's number."""
    return "/".join(map(str, group)) if isinstance(group, tuple) else str(group)


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
    of, lines = results.get("predictions_of", "dev"), []
    if of == "dev":
        lines += [f"{results['task']}: dev " + _values(results.get("dev", {}))
                  + (f" (best epoch: {results['best_epoch']:.3g})" if "best_epoch" in results else "")]
    lines += [f"{results['task']}: test {_values(results['test'])}"] if results.get("test") else []
    lines += [f"{key}: {_values(values)}" for key, values in results["diagnostics"].items() if values]
    lines += [f"note: {note}" for note in results["notes"]]
    written = [PREDICTIONS if of == "dev" else f"{PREDICTIONS} (of {of})", *results["submissions"]]
    return "\n".join([*lines, f"wrote {', '.join(written)} … into {folder}"])


def _values(metrics: Dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()) or "has no labels"


def metric_names(results: Dict[str, Any]) -> Sequence[str]:
    """The task's own metrics among a run's dev values."""
    return [name for name in results["dev"] if name != "loss"]

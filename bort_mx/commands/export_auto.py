"""`bort-mx export --auto`: the texts or the task that forms are judged by, and the choice."""

from typing import Any, Dict, Optional, Sequence, Tuple, Union

from bort_mx.checkpoints.onnx_calibration import calibrate
from bort_mx.checkpoints.onnx_export import with_head
from bort_mx.checkpoints.onnx_model import optional_package
from bort_mx.checkpoints.quantization import Calibration, Quantization
from bort_mx.data.input_texts import Text
from bort_mx.data.tasks import MissingSplit
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.finetuning.task_data import prepare_folder, resolve
from bort_mx.inference import deployment
from bort_mx.inference.int8_quality import MOST_TEXTS, batches_of, calibrated, sample_texts
from bort_mx.inference.pipeline import evenly, texts_of
from bort_mx.inference.yardstick import Yardstick, of_task, of_texts


def fastest(weights: Any, head: Optional[str], texts: Optional[Sequence[Text]], task: Optional[str],
            data_dir: Optional[str], opset: int, within: float,
            purpose: str) -> Tuple[Union[bool, Quantization], Dict[str, Any]]:
    """Try the forms and engines of this machine, say what was found, and return the form and what to keep beside it.

    Args:
        weights: a `bort_mx.checkpoints.Weights`.
        head, opset: see `bort_mx.checkpoints.onnx_export.export`.
        texts, task, data_dir: what to judge by.
        within, purpose: see `bort_mx.inference.deployment.choose`.
    Raises:
        InputError: a package is not installed, the task has no labelled dev set, or the weights have no tokenizer.
    """
    for package in ("onnx", "onnxruntime"):
        optional_package(package)
    weights = with_head(weights, head)
    calibration, yardstick = (_by_texts(weights, texts) if task is None else _by_task(weights, task, data_dir))
    chosen, every = deployment.choose(weights, calibration, yardstick, opset, within, purpose)
    for line in deployment.report(chosen, every, yardstick, within, purpose):
        print(line, flush=True)
    return chosen.form or False, deployment.record(chosen, every, yardstick, within, purpose)


def _by_task(weights: Any, name: str, data_dir: Optional[str]) -> Tuple[Calibration, Yardstick]:
    """Calibrate on texts of the training set, score on dev."""
    task, _ = resolve(name)
    if weights.config.head != "classifier":
        raise InputError(f"--task {name}: needs a classifier, and the model has the head {weights.config.head}; give "
                         "--texts FILE")
    if weights.tokenizer is None:
        raise InputError(f"{weights.source}: has no tokenizer; put its files beside the weights")
    folder = prepare_folder(task, data_dir, Workers(), any_of=("dev",))
    dev = task.read(folder, "dev").cleaned()
    try:
        examples = task.read(folder, "train")
    except MissingSplit:
        print(f"{task.key}: no training set, so calibration takes texts of dev")
        examples = dev
    stick = of_task(task, dev, weights.tokenizer, weights.config)
    return calibrate(weights, batches_of(weights, weights.tokenizer, texts_of(examples))), stick


def _by_texts(weights: Any, texts: Optional[Sequence[Text]]) -> Tuple[Calibration, Yardstick]:
    """Calibrate on every second text, compare with float32 on the others (at most `MOST_TEXTS`)."""
    from bort_mx.checkpoints.loading import assemble

    calibration, left = calibrated(weights, None, texts)
    source = "the built-in text" if left is None else "every second one that was given"
    left = sample_texts(weights.config) if left is None else evenly(left, MOST_TEXTS)
    return calibration, of_texts(assemble(weights), weights.tokenizer, left, source)

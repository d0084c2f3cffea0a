"""What an exported form of a model is measured by: a task's score on dev, or its agreement with float32 on texts.

N texts, C outputs, M masks.
"""

import logging
from typing import Any, Callable, List, NamedTuple, Sequence

import numpy as np

from bort_mx.data.input_texts import Text
from bort_mx.data.tasks import Task
from bort_mx.data.tasks.examples import Examples
from bort_mx.errors import InputError
from bort_mx.inference.engines import forward
from bort_mx.inference.int8_quality import MASK_EVERY
from bort_mx.inference.pipeline import classify, embed, encode_texts, pad, problem_type, texts_of
from bort_mx.inference.task_outputs import fit

logger = logging.getLogger(__name__)


class Yardstick(NamedTuple):
    """A score in percent; the higher the better."""

    name: str
    """What is measured, in words."""
    texts: List[Text]
    score: Callable[[Any], float]
    """Model or engine → percent."""


def of_task(task: Task, dev: Examples, tokenizer: Any, config: Any) -> Yardstick:
    """The task's criterion on its dev set.

    Args:
        task, dev: the task and its examples.
        tokenizer, config: the model's; `config` is a `ModelConfig`.
    Raises:
        InputError: an example without a label; a model with other outputs or labels than the task's.
    """
    task.gold(dev)
    columns, notes = fit(config, list(config.labels or []) or None, task, "the model", "",
                         "give the task that it was fine-tuned on")
    for note in notes:
        logger.warning("%s", note)
    texts = texts_of(dev)

    def score(model: Any) -> float:
        """The criterion, times 100."""
        found = np.array(list(classify(model, tokenizer, texts)))  # (N, C)
        found = found[:, columns]  # perhaps in another order
        return 100 * task.metrics_of(dev, task.predictions_from_scores(dev, found))[task.criterion]

    return Yardstick(f"{task.criterion} on the {len(texts):,} dev examples of {task.key}", texts, score)


def of_texts(reference: Any, tokenizer: Any, texts: Sequence[Text], source: str) -> Yardstick:
    """Without labels: agreement with float32; of an MLM, the share of masked tokens that it fills with the text's own.

    A classifier's share of equal classes bounds the change of any accuracy: if 99.5 % are equal, it moves by 0.5 points
    at most. For an encoder it is the correlation of the cosines of all pairs of texts, on which a search depends.

    Args:
        reference: the float32 model or engine.
        tokenizer: its tokenizer.
        texts: what to run on.
        source: where they are from, in words.
    Raises:
        InputError: float32's own outputs do not vary on the texts, so that nothing could be told from them.
    """
    config = reference.config
    texts, source = list(texts), f"{len(texts):,} texts ({source})"
    if config.head == "mlm":
        return Yardstick(f"own words at masks of {source}", texts,
                         lambda model: masked_accuracy(model, tokenizer, texts))
    if config.head == "encoder":
        def cosines(model: Any) -> np.ndarray:
            """Of all pairs of texts."""
            vectors = np.array(list(embed(model, tokenizer, texts)), np.float64)  # (N, E)
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
            return (vectors @ vectors.T)[np.triu_indices(len(texts), 1)]
        outputs, agreement, what = cosines, correlation, "correlation of cosines"
    else:
        def outputs(model: Any) -> np.ndarray:
            """(N, C)."""
            return np.array(list(classify(model, tokenizer, texts)))
        kind = problem_type(config)
        agreement, what = {"regression": (correlation, "correlation of values"),
                           "multi_label_classification": (same_labels, "same labels"),
                           "single_label_classification": (same_classes, "same classes")}[kind]
    want = outputs(reference)
    if agreement(want, want) < 99:  # it is 0 where nothing varies, and any form would hold beside 0
        raise InputError(f"{source}: the float32 model answers all of them alike, so forms cannot be compared on them; "
                         "give more texts by --texts FILE")
    return Yardstick(f"{what}, beside float32 on {source}", texts, lambda model: agreement(want, outputs(model)))


def same_classes(want: np.ndarray, got: np.ndarray) -> float:
    """Percent of rows (N, C) with the same highest output."""
    return 100 * float((want.argmax(axis=1) == got.argmax(axis=1)).mean())


def same_labels(want: np.ndarray, got: np.ndarray) -> float:
    """Percent of probabilities (N, C) on the same side of 1/2."""
    return 100 * float(((want > 0.5) == (got > 0.5)).mean())


def correlation(want: np.ndarray, got: np.ndarray) -> float:
    """Pearson's, times 100; 0 where either does not vary."""
    if want.size < 2:
        return 0.0
    want, got = want.ravel() - want.mean(), got.ravel() - got.mean()
    length = np.sqrt(np.square(want).sum() * np.square(got).sum())
    return 100 * float((want * got).sum() / length) if length > 0 else 0.0


def masked_accuracy(model: Any, tokenizer: Any, texts: Sequence[Text]) -> float:
    """Percent of masked tokens, every seventh of each text, that an MLM fills with the text's own."""
    right = total = 0
    for text in texts:
        ids = np.array(encode_texts(model, tokenizer, [text])[0])  # (1, s)
        positions = np.arange(1, ids.shape[1] - 1, MASK_EVERY)[None]  # (1, M)
        if not positions.size:
            continue
        truth = ids[0, positions[0]].copy()
        ids[0, positions[0]] = tokenizer.mask_id
        batch = pad(ids.tolist(), tokenizer, model.config.token_types)
        logits = forward(model, batch["ids"], batch["lengths"], positions, batch["types"])  # (1, M, V)
        right, total = right + int((logits[0].argmax(axis=1) == truth).sum()), total + len(truth)
    return 100 * right / max(total, 1)

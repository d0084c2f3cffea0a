"""How much an 8-bit file differs from its float32 model on texts.

Random ids do not tell: a good file of a fine-tuned model may be off by a third on them.

B batch, s length, M masked positions, V vocabulary size, H hidden size, N texts (or masks, or tokens).
"""

import itertools
import logging
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from bort_mx.checkpoints.onnx_calibration import calibrate
from bort_mx.checkpoints.onnx_export import with_head
from bort_mx.checkpoints.quantization import Calibration, Quantization
from bort_mx.data import sample_text
from bort_mx.data.input_texts import Text
from bort_mx.errors import InputError, RunError
from bort_mx.inference.engines import forward
from bort_mx.inference.pipeline import encode_texts, evenly, pad, problem_type
from bort_mx.models.config import ModelConfig

SAMPLE, STRIDE = 64, 8
"""Number of paragraphs of the built-in text, and the distance between two of them."""
MOST_TEXTS = 256
"""Of more texts, so many are taken, evenly."""
MOST_CALIBRATION = 128
"""Texts that calibration takes, evenly."""
MASK_EVERY = 7
"""An MLM is asked for every seventh token."""
LEAST_SAME_CLASS, MOST_CHANGE = 0.9, 0.1
"""A classifier's worst share of texts with the same class, and largest mean change of a probability."""
LEAST_SAME_WORD = 0.75
"""An MLM's worst share of masks with the same word. At 0.90 the accuracy was the same within 0.3 points."""
LEAST_COSINE = 0.95
"""An encoder's lowest mean cosine of hidden states."""
MOST_SHIFT = 0.2
"""A regression's largest mean change, in standard deviations of its values."""
REMEDY = "use the float32 file (without --int8), or judge on texts of the model's own task by --texts FILE"
logger = logging.getLogger(__name__)


class Quality(NamedTuple):
    """A comparison of two outputs."""

    text: str
    """The figures, in words."""
    good: bool


def sample_texts(config: ModelConfig, first: int = 0) -> List[Text]:
    """Some paragraphs of the text that every machine has, from the paragraph `first` on; for a model of pairs of texts,
    each with the one after it.
    """
    found = list(itertools.islice(sample_text.paragraphs(), first, first + SAMPLE * STRIDE + 1))
    pairs = config.head == "classifier" and (len(config.text_columns) == 2 or config.pooling == "segments")
    return [(found[i], found[i + 1] if pairs else None) for i in range(0, len(found) - 1, STRIDE)]


def form_of(weights: Any, head: Optional[str], texts: Optional[Sequence[Text]], static: bool, weight_bits: int,
            float_layers: int) -> Tuple[Quantization, Optional[Sequence[Text]]]:
    """The form of an 8-bit file as options describe it, and the texts that are left to judge it.

    Args:
        weights, head, texts: see `calibrated`.
        static: over fixed ranges, from calibration.
        weight_bits: see `Quantization`.
        float_layers: so many layers, those with the largest errors, stay in float32.
    """
    if not static and not float_layers:
        return Quantization(weight_bits), texts
    calibration, left = calibrated(weights, head, texts)
    return Quantization(weight_bits, calibration.ranges if static else None, calibration.worst(float_layers)), left


def calibrated(weights: Any, head: Optional[str],
               texts: Optional[Sequence[Text]]) -> Tuple[Calibration, Optional[Sequence[Text]]]:
    """Calibrate dense layers on every second text; without texts, on other paragraphs than `sample_texts`.

    Args:
        weights: a `bort_mx.checkpoints.Weights`.
        head: as in `bort_mx.checkpoints.onnx_export.export`.
        texts: one or two strings each, or None.
    Returns:
        what was found, and the other texts, to judge on.
    Raises:
        InputError: fewer than two texts, or no tokenizer.
    """
    weights = with_head(weights, head)
    if weights.tokenizer is None:
        raise InputError(f"{weights.source}: has no tokenizer, so there is nothing to calibrate on; put its files "
                         "beside the weights")
    if texts is not None and len(texts) < 2:
        raise InputError("--texts: one text; calibration and comparison need at least two")
    mine = sample_texts(weights.config, STRIDE // 2) if texts is None else texts[::2]
    return calibrate(weights, batches_of(weights, weights.tokenizer, mine)), texts and texts[1::2]


def batches_of(model: Any, tokenizer: Any, texts: Sequence[Text], most: int = MOST_CALIBRATION,
               size: int = 8) -> Iterator[Dict[str, Optional[np.ndarray]]]:
    """Padded batches of at most `most` texts, taken evenly; `model` is what has a config."""
    taken = evenly(texts, most)
    for begin in range(0, len(taken), size):
        ids, _ = encode_texts(model, tokenizer, taken[begin:begin + size])
        yield pad(ids, tokenizer, model.config.token_types)


def judge(model: Any, exported: Any, tokenizer: Any, texts: Optional[Sequence[Text]], strict: bool) -> List[str]:
    """Compare an 8-bit file with its model on texts. A bad one is a warning, or refused.

    Args:
        model: the float32 model, a `BERT`.
        exported: the file, an `Engine` with the same head.
        tokenizer: their tokenizer, or None: then nothing can be compared, which counts as bad.
        texts: what to judge on; None: `sample_texts`.
        strict: refuse a bad file.
    Returns:
        Lines with the figures.
    Raises:
        RunError: the file is bad, and `strict`.
    """
    given = sample_texts(model.config) if texts is None else texts
    taken = evenly(given, MOST_TEXTS)
    if tokenizer is None:
        quality = Quality("not compared with float32 on texts, as there is no tokenizer", False)
    else:
        quality = compare_on_texts(model, exported, tokenizer, taken)
    source = "the built-in text; --texts FILE takes others" if texts is None else f"{len(given):,} given"
    said = f"int8 beside float32, {len(taken)} texts ({source}):\n  {quality.text}"
    if not quality.good and strict:
        raise RunError(f"int8: not written, as it is far from float32: {quality.text}; {REMEDY}")
    if not quality.good:
        logger.warning("int8 is far from float32: %s; %s", quality.text, REMEDY)
    return said.splitlines()


def compare_on_texts(model: Any, exported: Any, tokenizer: Any, texts: Sequence[Text]) -> Quality:
    """Run both on texts, and compare by the head that they have."""
    config = model.config
    batch_size = 1 if config.head == "mlm" else 8  # logits of an MLM's file are (B, s, V)
    outputs: Tuple[List[np.ndarray], List[np.ndarray]] = [], []
    for begin in range(0, len(texts), batch_size):
        ids, _ = encode_texts(model, tokenizer, texts[begin:begin + batch_size])
        positions = None
        if config.head == "mlm":
            positions = np.arange(1, len(ids[0]), MASK_EVERY)[None]  # (1, M)
            ids = [[tokenizer.mask_id if i in positions else token for i, token in enumerate(ids[0])]]
        batch = pad(ids, tokenizer, config.token_types)
        real = np.arange(batch["ids"].shape[1])[None] < batch["lengths"][:, None]  # (B, s)
        for found, engine in zip(outputs, (model, exported)):
            output = forward(engine, batch["ids"], batch["lengths"], positions, batch["types"])
            found.append({"mlm": lambda out: out[0], "encoder": lambda out, real=real: out[real],
                          "classifier": lambda out: out}[config.head](output))  # (N, C), C = V, H or labels
    want, got = (np.concatenate(found).astype(np.float64) for found in outputs)
    if config.head == "encoder":
        return of_states(want, got)
    if config.head == "mlm":
        return of_classes(want, got, "word")
    return {"regression": of_values, "multi_label_classification": of_labels,
            "single_label_classification": of_classes}[problem_type(config)](want, got)


def of_classes(want: np.ndarray, got: np.ndarray, what: str = "class") -> Quality:
    """Compare logits (N, C): the share of equal classes, and the change of the probability of float32's class."""
    first = want.argmax(axis=1)
    same = int((first == got.argmax(axis=1)).sum())
    before, after = (_probabilities(logits)[np.arange(len(first)), first] for logits in (want, got))
    change = np.abs(before - after)
    least = LEAST_SAME_WORD if what == "word" else LEAST_SAME_CLASS
    return Quality(f"same {what} at {same} of {len(first)} ({same / len(first):.1%}), its probability changes by "
                   f"{change.mean():.3f} (at most {change.max():.3f})",
                   bool(same >= least * len(first) and change.mean() <= MOST_CHANGE))


def of_labels(want: np.ndarray, got: np.ndarray) -> Quality:
    """Compare logits (N, labels) of labels that are each for themselves: the share of equal answers, and the change."""
    same, change = (want > 0) == (got > 0), np.abs(np.tanh(want / 2) - np.tanh(got / 2)) / 2  # of the sigmoid
    return Quality(f"same answer for {same.sum()} of {same.size} labels ({same.mean():.1%}), probabilities change by "
                   f"{change.mean():.3f} (at most {change.max():.3f})",
                   bool(same.mean() >= LEAST_SAME_CLASS and change.mean() <= MOST_CHANGE))


def of_values(want: np.ndarray, got: np.ndarray) -> Quality:
    """Compare a regression's values (N, outputs)."""
    change, deviation = np.abs(want - got), float(want.std(axis=0).mean())
    return Quality(f"values change by {change.mean():.3f} (at most {change.max():.3f}); their standard deviation is "
                   f"{deviation:.3f}", bool(change.mean() <= MOST_SHIFT * deviation))


def of_states(want: np.ndarray, got: np.ndarray) -> Quality:
    """Compare hidden states (N, H) by their cosine."""
    norms = np.linalg.norm(want, axis=1) * np.linalg.norm(got, axis=1)
    cosine = (want * got).sum(axis=1) / np.maximum(norms, 1e-30)
    return Quality(f"cosine of {len(cosine):,} hidden states {cosine.mean():.4f} (at least {cosine.min():.4f})",
                   bool(cosine.mean() >= LEAST_COSINE))


def _probabilities(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)

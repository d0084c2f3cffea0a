"""A trained model as a function of texts: `bort_mx.pipeline`. The commands `predict` and `serve` use the same.

n texts, E size of an embedding.
"""

import os
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from bort_mx.errors import InputError
from bort_mx.inference import fill_mask
from bort_mx.inference.pipeline import (
    BATCH,
    POOLINGS,
    Text,
    classify,
    embed,
    embedding_of,
    open_model,
    problem_type,
)

DEVICES = ("auto", "cpu", "gpu")


class TextPipeline:
    """What is common to the pipelines: a model with its tokenizer, called with texts.

    Args:
        model: a `BERT` or an engine (`bort_mx.inference.engines`).
        tokenizer: its tokenizer.
        batch_size: texts in one forward pass. Default: 16, of short texts more.
    """

    task: str
    """As in `PIPELINES`."""

    def __init__(self, model: Any, tokenizer: Any, batch_size: Optional[int] = None):
        self.model, self.tokenizer, self.config = model, tokenizer, model.config
        self._by_tokens = batch_size is None
        self.batch_size = BATCH if batch_size is None else _whole("batch_size", batch_size)

    def __repr__(self) -> str:
        return f"<bort_mx pipeline {self.task}: <D,A,H,I> {self.config.architecture}{self._detail()}>"

    def _detail(self) -> str:
        return ""

    def _size(self, asked: Optional[int]) -> Optional[int]:
        if asked is not None:
            return _whole("batch_size", asked)
        return None if self._by_tokens else self.batch_size


class Classify(TextPipeline):
    """Labels of texts or pairs; call it with a text, a pair as a tuple, or a list of either.

    Args:
        model, tokenizer, batch_size: see `TextPipeline`.
        labels: names of the classifier's outputs, in their order. Default: the checkpoint's own, else "0", "1", ….
    """

    task = "classify"

    def __init__(self, model: Any, tokenizer: Any, batch_size: Optional[int] = None,
                 labels: Optional[Sequence[str]] = None):
        super().__init__(model, tokenizer, batch_size)
        self.labels = list(labels or self.config.labels or map(str, range(self.config.num_labels)))
        self.problem_type = problem_type(self.config)

    def __call__(self, texts: Any, batch_size: Optional[int] = None) -> Any:
        """One answer for a text or a pair, a list of answers for a list.

        An answer is {"label", "score", "scores"}: the most probable label, its probability, and the probabilities of
        all labels by name. A regression gives {"value", "scores"} ("value" only if it has one output), where the scores
        are the outputs as they are. A classifier of many labels gives {"labels", "scores"}: the labels with a
        probability above 0.5, and each label's own probability.

        Raises:
            InputError: something else than texts; pairs where the training had single texts, or the other way round.
        """
        given, single = as_texts(texts)
        answers = list(self.stream(given, batch_size))
        return answers[0] if single else answers

    def stream(self, texts: Sequence[Text], batch_size: Optional[int] = None) -> Iterator[Dict[str, Any]]:
        """The answers to many texts, in order, as they are found."""
        rows = classify(self.model, self.tokenizer, texts, self._size(batch_size))
        return map(self._answer, rows)

    def _answer(self, values: np.ndarray) -> Dict[str, Any]:
        scores = {label: float(value) for label, value in zip(self.labels, values)}
        if self.problem_type == "regression":
            return {**({"value": float(values[0])} if len(values) == 1 else {}), "scores": scores}
        if self.problem_type == "multi_label_classification":
            return {"labels": [label for label, score in scores.items() if score > 0.5], "scores": scores}
        label = self.labels[int(values.argmax())]
        return {"label": label, "score": scores[label], "scores": scores}

    def _detail(self) -> str:
        shown = ", ".join(self.labels[:6]) + (", …" if len(self.labels) > 6 else "")
        return f", {self.problem_type}, outputs {shown}"


class Embed(TextPipeline):
    """Embeddings of texts or pairs; call it with a text, a pair as a tuple, or a list of either."""

    task = "embed"

    def __call__(self, texts: Any, pooling: Optional[str] = None, batch_size: Optional[int] = None) -> np.ndarray:
        """Embeddings (n, E), float32; one text gives (1, E).

        Args:
            texts: the texts.
            pooling: "mean" or "first"; None: as the checkpoint says, else "mean". See `bort_mx.inference.pipeline`.
            batch_size: texts in one forward pass.
        Raises:
            InputError: something else than texts, or an unknown pooling.
        """
        given, _ = as_texts(texts)
        found = np.empty((len(given), self.size(pooling)), np.float32)
        for row, values in zip(found, self.stream(given, pooling, batch_size)):
            row[:] = values
        return found

    def stream(self, texts: Sequence[Text], pooling: Optional[str] = None,
               batch_size: Optional[int] = None) -> Iterator[np.ndarray]:
        """The embeddings (E,) of many texts, in order, as they are found."""
        _known("pooling", pooling, (None, *POOLINGS))
        return embed(self.model, self.tokenizer, texts, pooling, self._size(batch_size))

    def size(self, pooling: Optional[str] = None) -> int:
        """E."""
        return embedding_of(self.config, pooling).size(self.config.architecture.hidden_size)

    def _detail(self) -> str:
        return f", {embedding_of(self.config)}"


class FillMask(TextPipeline):
    """Tokens for the masks of texts; call it with a text or a list. A mask is written <mask> or [MASK]."""

    task = "fill-mask"

    def __call__(self, texts: Any, top_k: int = 5, batch_size: Optional[int] = None) -> Any:
        """[{"token", "score"}], best first, for a text with one mask; a list of them for a list of texts.

        Of a text with several masks, the answer is a list with one such list for each.

        Raises:
            InputError: something else than single texts, a text without a mask, or one that is too long.
        """
        given, single = as_texts(texts)
        answers = [masks[0] if len(masks) == 1 else masks for masks in self.stream(given, top_k, batch_size)]
        return answers[0] if single else answers

    def stream(self, texts: Sequence[Text], top_k: int = 5,
               batch_size: Optional[int] = None) -> Iterator[List[List[Dict[str, Any]]]]:
        """For each text, in order, a list with the answer for each of its masks."""
        pair = next((number for number, text in enumerate(texts, 1) if text[1] is not None), None)
        if pair is not None:
            raise InputError(f"text {pair}: a pair; masks are filled in single texts")
        return fill_mask.fill_masks(self.model, self.tokenizer, [text for text, _ in texts], _whole("top_k", top_k),
                                    self._size(batch_size) or self.batch_size)


PIPELINES = {"classify": ("classifier", Classify), "embed": ("encoder", Embed), "fill-mask": ("mlm", FillMask)}
"""Task: the head that it needs, and its class."""


def pipeline(path_or_name: os.PathLike, task: Optional[str] = None, *, device: str = "auto",
             batch_size: Optional[int] = None) -> TextPipeline:
    """Open a trained model as a function of texts.

    Args:
        path_or_name: a checkpoint of any format, the output folder of a run, a name on the Hugging Face Hub, or an
            .onnx file of `bort-mx export`.
        task: "classify", "embed" or "fill-mask". Default: what the head of the checkpoint is for.
        device: "auto" (a GPU if MXNet finds one, otherwise the CPU), "cpu" or "gpu". ONNX files run on the CPU.
        batch_size: texts in one forward pass; texts of similar length share a batch. Default: 16, of short texts more.
    Returns:
        `Classify`, `Embed` or `FillMask`.
    Raises:
        InputError: no such checkpoint, a damaged one, none with a trained head for the task, or no such device.
    """
    _known("task", task, (None, *PIPELINES))
    _known("device", device, DEVICES)
    if not isinstance(path_or_name, (str, os.PathLike)) or not str(path_or_name):
        raise InputError(f"{_shown(path_or_name)}: not a path or name; give a checkpoint, such as the output folder of "
                         "a run")
    model, tokenizer = open_model(path_or_name, None if task is None else PIPELINES[task][0])
    _move(model, device, path_or_name)
    kind = next(kind for head, kind in PIPELINES.values() if head == model.config.head)
    return kind(model, tokenizer, batch_size)


def _move(model: Any, device: str, path: os.PathLike) -> None:
    """Bring a model to its device, without gradients."""
    if not hasattr(model, "collect_params"):  # an engine's
        if device == "gpu":
            raise InputError(f"device='gpu': {path} runs on the CPU alone; leave device out, or give a checkpoint")
        return
    from bort_mx.devices import device_of  # brings MXNet
    from bort_mx.distributed import Workers

    ctx, parameters = device_of(device, Workers()), model.collect_params()
    if any(parameter.list_ctx() != [ctx] for parameter in parameters.values()):  # moving copies every weight
        parameters.reset_ctx(ctx)
    parameters.setattr("grad_req", "null")  # gradients would take as much memory as the weights


def as_texts(given: Any) -> Tuple[List[Text], bool]:
    """Texts and pairs as (text, None) and (text, second text), and whether a single one was given.

    Args:
        given: a text; a pair as a tuple of two texts; or a list of them (also a NumPy array or pandas Series).
    Raises:
        InputError: anything else; the message says which and what was found.
    """
    if hasattr(given, "tolist"):
        given = given.tolist()
    if isinstance(given, (str, tuple)):
        return [_text(given, "")], True
    if not isinstance(given, list):
        raise InputError(f"{_shown(given)}: expected a text, a pair of texts as a tuple, or a list of either")
    return [_text(entry, f"text {number}: ") for number, entry in enumerate(given, 1)], False


def _text(given: Any, place: str) -> Text:
    parts = given if isinstance(given, tuple) else (given,)
    if not 1 <= len(parts) <= 2 or isinstance(given, tuple) and len(parts) == 1:
        raise InputError(f"{place}a tuple of {len(parts)}; a pair is a tuple of two texts, and many texts are a list")
    for part in parts:
        if not isinstance(part, str):
            advice = "; a pair is a tuple" if isinstance(part, list) else ""
            raise InputError(f"{place}{_shown(part)}: expected a text{advice}")
        try:
            part.encode()
        except UnicodeEncodeError:
            raise InputError(f"{place}{ascii(part)[:60]}: holds half a character (a lone surrogate); decode the text "
                             "anew") from None
    return (parts[0], parts[1] if len(parts) == 2 else None)


def _shown(value: Any) -> str:
    """A value of a wrong type, in a message."""
    text = repr(value)
    return (text if len(text) <= 40 else text[:40] + "…") + f" ({type(value).__name__})"


def _known(name: str, value: Any, known: Sequence[Any]) -> None:
    if not any(value is choice or isinstance(value, str) and value == choice for choice in known):
        raise InputError(f"{name}={value!r:.60}: must be one of {', '.join(choice for choice in known if choice)}")


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InputError(f"{name}={value!r:.60}: must be a whole number from 1")
    return int(value)

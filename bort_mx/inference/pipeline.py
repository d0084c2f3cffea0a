"""A trained model applied to texts: class probabilities and embeddings, batched by length.

The model may be one of MXNet or of another engine; nothing here depends on which.
B batch, s length, H hidden size.
"""

import logging
import os
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from bort_mx.errors import InputError
from bort_mx.inference.engines import forward, open_with_engine
from bort_mx.models.sentence_embedding import SentenceEmbedding, embedded

WINDOW = 64
"""Batches whose texts are sorted by length together. More would pad less, but the first answers would come later."""
POOLINGS = ("mean", "first")
logger = logging.getLogger(__name__)

Text = Tuple[str, Optional[str]]
"""One text, or two."""


def open_model(path: os.PathLike, head: str) -> Tuple[Any, Any]:
    """A model with a trained head, and its tokenizer, from a checkpoint of any format or an ONNX file.

    Raises:
        InputError: no such checkpoint, none with this head, or no tokenizer beside it.
    """
    model, tokenizer, untrained = open_with_engine(path, head)
    if untrained:
        advice = {"mlm": f"train one by run_pretraining.py --init {path}", "encoder": "export one by --head encoder",
                  "classifier": f"train one by run_finetune.py --checkpoint {path}"}[head]
        raise InputError(f"{path}: has no trained {head} head; {advice}")
    if tokenizer is None:
        raise InputError(f"{path}: has no tokenizer files; put them beside the weights")
    return model, tokenizer


def classify(model: Any, tokenizer: Any, texts: Sequence[Text], batch_size: int = 16) -> Iterator[np.ndarray]:
    """Class probabilities (num_labels,) of each text or pair, in order. A regression gives its values (num_labels,).

    The model's problem_type tells which. The probabilities of a multi-label classifier are each for itself.

    Args:
        model: a classifier.
        tokenizer: its tokenizer.
        texts: single texts or pairs. Those longer than the model's positions are cut; a warning says how many.
        batch_size: texts in one forward pass.
    """
    kind = problem_type(model.config)

    def answer(output: Output) -> np.ndarray:
        """Softmax or sigmoid of logits (B, num_labels); a regression's values stay as they are."""
        logits = output.run().astype(np.float64)
        if kind == "regression":
            return logits
        if kind == "multi_label_classification":
            return 0.5 + 0.5 * np.tanh(0.5 * logits)  # the sigmoid, without overflow
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    return _apply(model, tokenizer, texts, batch_size, answer)


def problem_type(config: Any) -> str:
    """How a classifier's outputs are read, one of `bort_mx.models.bert.PROBLEM_TYPES`."""
    return config.problem_type or ("regression" if config.num_labels == 1 else "single_label_classification")


def embedding_of(config: Any, pooling: Optional[str] = None) -> SentenceEmbedding:
    """How texts are embedded: by a pooling that is given, else as the checkpoint says, else by the mean."""
    if pooling is None and config.embedding is not None:
        return config.embedding
    return SentenceEmbedding((pooling or "mean",))


def embed(model: Any, tokenizer: Any, texts: Sequence[Text], pooling: Optional[str] = None,
          batch_size: int = 16) -> Iterator[np.ndarray]:
    """Embeddings (E,), float32, of each text or pair, in order.

    Args:
        model: an encoder.
        tokenizer: its tokenizer.
        texts: as in `classify`.
        pooling: None: as the checkpoint says (the model's config.embedding), else "mean". "mean": the mean of all
            tokens' hidden states, special tokens included; "first": the first token's. Either alone: without the dense
            layers and the normalization that a checkpoint has.
        batch_size: texts in one forward pass.
    """
    embedding = embedding_of(model.config, pooling)
    own = embedding is model.config.embedding

    def answer(output: Output) -> np.ndarray:
        if own and hasattr(model, "embeddings"):  # an engine that computes them itself
            return model.embeddings(output.ids, output.lengths, output.types)
        return embedded(embedding, model.embedding_tensors if own else {}, output.run(), output.lengths)

    def prepared(text: str) -> str:
        text = embedding.prompt + text
        return text.strip().lower() if embedding.lower_case else text

    if own and (embedding.lower_case or embedding.prompt):
        texts = [(prepared(first), second and prepared(second)) for first, second in texts]
    return _apply(model, tokenizer, texts, batch_size, answer, embedding.max_tokens)


class Output(NamedTuple):
    """A batch on its way through a model."""

    model: Any
    """A `BERT` or an engine."""
    ids: np.ndarray
    """(B, s)."""
    lengths: np.ndarray
    """(B,)."""
    types: Optional[np.ndarray]
    """Token types (B, s), or None."""

    def run(self) -> np.ndarray:
        """The model's output: hidden states (B, s, H), 0 at padding, or logits (B, num_labels)."""
        return forward(self.model, self.ids, self.lengths, types=self.types)


def _apply(model: Any, tokenizer: Any, texts: Sequence[Text], batch_size: int, answer: Callable[[Output], np.ndarray],
           longest: Optional[int] = None) -> Iterator[np.ndarray]:
    """`answer` to the model's output for each text, in order. Texts are cut to `longest` tokens or the positions."""
    cut, size = 0, WINDOW * batch_size
    longest = min(longest or model.config.num_positions, model.config.num_positions)
    for begin in range(0, len(texts), size):
        window, shortened = _encode(tokenizer, texts[begin:begin + size], longest)
        cut += shortened
        order = sorted(range(len(window)), key=lambda i: len(window[i]))
        answers: List[Any] = [None] * len(window)
        for start in range(0, len(order), batch_size):
            part = order[start:start + batch_size]
            batch = pad([window[i] for i in part], tokenizer, model.config.token_types)
            rows = answer(Output(model, batch["ids"], batch["lengths"], batch["types"]))
            for i, row in zip(part, rows):
                answers[i] = row
        if cut and begin + size >= len(texts):  # before the last answers: a caller may stop asking after those
            logger.warning("%d of %d texts were cut to %d tokens, the most the model takes", cut, len(texts), longest)
        yield from answers


def _encode(tokenizer: Any, texts: Sequence[Text], longest: int) -> Tuple[List[List[int]], int]:
    """Ids of texts or pairs, cut to `longest`, and how many were cut."""
    encoded = [tokenizer.encode(*text, recognise_specials=False) for text in texts]
    long = [i for i, ids in enumerate(encoded) if len(ids) > longest]
    for i in long:
        encoded[i] = tokenizer.encode(*texts[i], recognise_specials=False, max_length=longest)
    return encoded, len(long)


def pad(encoded: Sequence[Sequence[int]], tokenizer: Any, token_types: int) -> Dict[str, Optional[np.ndarray]]:
    """Ids (B, s) padded on the right, lengths (B,), and token types (B, s) where the model has more than one."""
    lengths = np.array([len(ids) for ids in encoded])
    ids = np.full((len(encoded), lengths.max()), tokenizer.pad_id)
    types = np.zeros(ids.shape) if token_types > 1 else None
    for row, sequence in enumerate(encoded):
        ids[row, :len(sequence)] = sequence
        if types is not None:
            types[row, :len(sequence)] = tokenizer.token_types(sequence)
    return {"ids": ids, "lengths": lengths, "types": types}

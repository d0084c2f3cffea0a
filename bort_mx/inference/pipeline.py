"""A trained model applied to texts: class probabilities and embeddings, batched by length.

The model is an MXNet one or an exported ONNX file; what is here does not tell them apart.
B batch, s length, H hidden size.
"""

import logging
import os
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from bort_mx.errors import InputError

WINDOW = 64
"""Batches that are sorted by length together: texts of like length meet, and answers come in order soon enough."""
POOLINGS = ("mean", "first")
logger = logging.getLogger(__name__)

Text = Tuple[str, Optional[str]]
"""One text, or two."""


def open_model(path: os.PathLike, head: str) -> Tuple[Any, Any]:
    """A model with a trained head, and its tokenizer, from a checkpoint of any format or an ONNX file.

    Raises:
        InputError: no such checkpoint, none with this head, or no tokenizer beside it.
    """
    if str(path).endswith(".onnx"):
        from bort_mx.checkpoints.onnx_model import OnnxModel

        model = OnnxModel(path)
        tokenizer, lacking = model.tokenizer, [] if model.config.head == head else [head]
    else:
        from bort_mx.checkpoints import load

        model, tokenizer, _ = load(path, head)
        lacking = model.initialized
    if lacking:
        advice = {"mlm": f"train one by run_pretraining.py --init {path}", "encoder": "export one by --head encoder",
                  "classifier": f"train one by run_finetune.py --checkpoint {path}"}[head]
        raise InputError(f"{path}: has no trained {head} head; {advice}")
    if tokenizer is None:
        raise InputError(f"{path}: has no tokenizer files; put them beside the weights")
    return model, tokenizer


def forward(model: Any, ids: np.ndarray, lengths: np.ndarray, positions: Optional[np.ndarray] = None,
            types: Optional[np.ndarray] = None) -> np.ndarray:
    """The model's output for ids (B, s), lengths (B,), masked positions (B, M) and token types (B, s)."""
    from bort_mx.models import BERT

    if not isinstance(model, BERT):
        return model(ids, lengths, positions, types)
    import mxnet as mx

    context = next(iter(model.collect_params().values())).list_ctx()[0]
    given = (ids, lengths, positions, types)
    return model(*(None if values is None else mx.nd.array(values, ctx=context) for values in given)).asnumpy()


def classify(model: Any, tokenizer: Any, texts: Sequence[Text], batch_size: int = 16) -> Iterator[np.ndarray]:
    """Class probabilities (num_labels,) of each text or pair, in order; for a regression its value (1,).

    Args:
        model: a classifier.
        tokenizer: its tokenizer.
        texts: one text each, or two. Those longer than the model's positions are cut, and counted in a warning.
        batch_size: texts in one forward pass.
    """
    def answer(logits: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Softmax of logits (B, num_labels); a regression's as they are."""
        logits = logits.astype(np.float64)
        if logits.shape[1] == 1:
            return logits
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    return _apply(model, tokenizer, texts, batch_size, answer)


def embed(model: Any, tokenizer: Any, texts: Sequence[Text], pooling: str = "mean",
          batch_size: int = 16) -> Iterator[np.ndarray]:
    """Embeddings (H,), float32, of each text or pair, in order.

    Args:
        model: an encoder.
        tokenizer: its tokenizer.
        texts: as in `classify`.
        pooling: "mean" of the hidden states of all tokens, special ones too, or that of the "first" token.
        batch_size: texts in one forward pass.
    """
    def answer(states: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return states[:, 0] if pooling == "first" else states.sum(axis=1) / lengths[:, None].astype(np.float32)

    return _apply(model, tokenizer, texts, batch_size, answer)


def _apply(model: Any, tokenizer: Any, texts: Sequence[Text], batch_size: int,
           answer: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Iterator[np.ndarray]:
    """`answer` to the model's output for each text, in order."""
    cut, size = 0, WINDOW * batch_size
    for begin in range(0, len(texts), size):
        window, shortened = _encode(model, tokenizer, texts[begin:begin + size])
        cut += shortened
        order = sorted(range(len(window)), key=lambda i: len(window[i]))
        answers: List[Any] = [None] * len(window)
        for start in range(0, len(order), batch_size):
            part = order[start:start + batch_size]
            batch = pad([window[i] for i in part], tokenizer, model.config.token_types)
            output = forward(model, batch["ids"], batch["lengths"], types=batch["types"])
            for i, row in zip(part, answer(output, batch["lengths"])):
                answers[i] = row
        if cut and begin + size >= len(texts):  # before the last answers, as a caller may not ask for more than those
            logger.warning("%d of %d texts were cut to %d tokens, the most the model takes", cut, len(texts),
                           model.config.num_positions)
        yield from answers


def _encode(model: Any, tokenizer: Any, texts: Sequence[Text]) -> Tuple[List[List[int]], int]:
    """Ids of texts or pairs, cut to the model's positions, and how many were cut."""
    longest = model.config.num_positions
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

"""The most probable tokens for the masks of texts, by a model with an MLM head.

The model may be one of MXNet or of another engine. B batch, M masks of a text, V vocabulary size.
"""

from typing import Any, Dict, Iterator, List, Sequence

import numpy as np

from bort_mx.data.text import clean_text
from bort_mx.errors import InputError
from bort_mx.inference.pipeline import WINDOW, forward, in_batches, pad


def fill_masks(model: Any, tokenizer: Any, texts: Sequence[str], top_k: int = 5,
               batch_size: int = 16) -> Iterator[List[List[Dict[str, Any]]]]:
    """The best tokens for each mask of each text, in order.

    Args:
        model: a model with an MLM head.
        tokenizer: its tokenizer.
        texts: texts with at least one mask, written as <mask> or [MASK].
        top_k: tokens for each mask.
        batch_size: texts in one forward pass.
    Yields:
        For each text a list with, for each of its masks, [{"token", "score"}], best first. A token is spelled as in a
        text, with the space before it; its score is its probability by the softmax over the vocabulary.
    Raises:
        InputError: a text without a mask, or longer than the model's positions.
    """
    for begin in range(0, len(texts), WINDOW * batch_size):
        encoded = [encode(tokenizer, text, model.config.longest)
                   for text in texts[begin:begin + WINDOW * batch_size]]

        def answer(part: List[List[int]]) -> List[List[List[Dict[str, Any]]]]:
            """Of one batch."""
            return [[_top(tokenizer, row, top_k) for row in rows[:ids.count(tokenizer.mask_id)]]
                    for ids, rows in zip(part, _logits_at_masks(model, tokenizer, part))]

        yield from in_batches(encoded, batch_size, answer)


def encode(tokenizer: Any, text: str, longest: int, place: str = "") -> List[int]:
    """Ids of a text with masks.

    Args:
        tokenizer: the model's.
        text: with at least one <mask> or [MASK].
        longest: ids that the model takes.
        place: for messages, where the text stands.
    Raises:
        InputError: no mask, or too many ids.
    """
    marked = clean_text(text).replace("<mask>", tokenizer.mask_token).replace("[MASK]", tokenizer.mask_token)
    ids = tokenizer.encode(marked)
    if tokenizer.mask_id not in ids:
        raise InputError(f"{place}{text[:60]!r}: holds no {tokenizer.mask_token}; write it where a word is to be found")
    if len(ids) > longest:
        raise InputError(f"{place}{text[:60]!r}…: {len(ids)} tokens, the model takes {longest}; shorten it")
    return ids


def _logits_at_masks(model: Any, tokenizer: Any, encoded: List[List[int]]) -> np.ndarray:
    """Logits (B, M, V) in float64 at each text's masks; rows beyond the number of a text's masks mean nothing."""
    masks = [[i for i, token in enumerate(ids) if token == tokenizer.mask_id] for ids in encoded]
    positions = np.zeros((len(encoded), max(map(len, masks))))
    for row, places in enumerate(masks):
        positions[row, :len(places)] = places
    batch = pad(encoded, tokenizer, model.config.token_types)
    return forward(model, batch["ids"], batch["lengths"], positions, batch["types"]).astype(np.float64)


def _top(tokenizer: Any, logits: np.ndarray, top_k: int) -> List[Dict[str, Any]]:
    """The most probable tokens, from logits (V,)."""
    logits = logits[:tokenizer.vocab_size]  # some models have more rows of the embedding than words
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    best = np.argsort(-probabilities, kind="stable")[:top_k]
    return [{"token": tokenizer.decode([int(i)], skip_special_tokens=False), "score": float(probabilities[i])}
            for i in best]

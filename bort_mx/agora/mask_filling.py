"""The fill function of tau `mlm`: words for masks, from a checkpoint with an MLM head (paper §5, which names no model).

Dimensions: B texts, s tokens, M masks of a text, V vocabulary.
"""

from typing import Any, List, NamedTuple, Sequence

import mxnet as mx
import numpy as np

from bort_mx.agora.perturbation_edits import MASK, Candidates
from bort_mx.checkpoints import loading
from bort_mx.checkpoints.weights import Weights
from bort_mx.data.tokenizers import Tokenizer
from bort_mx.errors import InputError
from bort_mx.inference import pipeline

MORE = 8
"""Candidates beyond top_k, as tau leaves the masked word itself, in upper or lower case, out of them."""
_CONTINUATION = "##"
_WORD_STARTS = {"byte-bpe": "\u0120", "sentencepiece": "\u2581"}


class _Piece(NamedTuple):
    """A part of a text that fits the model, with special tokens around it."""

    text: int
    ids: List[int]
    masks: List[int]
    """Positions of the masks in `ids`."""


class MaskFiller:
    """texts with `MASK` -> for each text, for each mark, words with their probabilities, best first.

    Only whole words are given: tokens that begin a word. Probabilities are those of the whole softmax. A text that is
    longer than the model's positions is cut into pieces. The model is built when it is first needed.

    Args:
        weights: of a checkpoint with an MLM head, and its tokenizer.
        top_k: words to draw from; `MORE` more are given.
        batch_size: pieces in one forward pass.
        ctx: the device.
    Raises:
        InputError: `weights` have no MLM head.
    """

    def __init__(self, weights: Weights, top_k: int, batch_size: int, ctx: mx.Context):
        if not has_mlm_head(weights):
            raise InputError(f"--tau mlm: {weights.source} has no MLM head; give --mlm CHECKPOINT with one, or another "
                             "--tau")
        self.weights, self._count, self._batch_size, self._ctx = weights, top_k + MORE, batch_size, ctx
        self._tokenizer: Tokenizer = weights.tokenizer
        self._model: Any = None
        self._words = np.array([_is_word(self._tokenizer, i) for i in range(self._tokenizer.vocab_size)])  # (V,)

    def __call__(self, texts: Sequence[str]) -> List[List[Candidates]]:
        """See the class."""
        if self._model is None:
            self._model = loading.assemble(self.weights, "mlm", dropout=0.0)
            self._model.collect_params().reset_ctx(self._ctx)
        pieces = [piece for number, text in enumerate(texts) for piece in self._pieces(number, text)]
        answers: List[List[List[Candidates]]] = [[] for _ in pieces]
        order = sorted(range(len(pieces)), key=lambda i: len(pieces[i].ids))
        for begin in range(0, len(order), self._batch_size):
            part = order[begin:begin + self._batch_size]
            for i, found in zip(part, self._candidates([pieces[i] for i in part])):
                answers[i] = found
        result: List[List[Candidates]] = [[] for _ in texts]
        for piece, found in zip(pieces, answers):
            result[piece.text] += found
        return result

    def _pieces(self, number: int, text: str) -> List[_Piece]:
        """The parts of a text that hold masks, none longer than the model's positions."""
        tokenizer, room = self._tokenizer, self.weights.config.num_positions - 2
        # not by the tokenizer's own reading of marks, which would find others in the text
        bare = tokenizer.encode_around_masks(text.split(MASK))
        cut = [[tokenizer.bos_id, *bare[i:i + room], tokenizer.eos_id] for i in range(0, len(bare), room)]
        masks = [[i for i, token in enumerate(ids) if token == tokenizer.mask_id] for ids in cut]
        return [_Piece(number, ids, places) for ids, places in zip(cut, masks) if places]

    def _candidates(self, pieces: List[_Piece]) -> List[List[Candidates]]:
        positions = np.zeros((len(pieces), max(len(piece.masks) for piece in pieces)))  # (B, M)
        for row, piece in enumerate(pieces):
            positions[row, :len(piece.masks)] = piece.masks
        batch = pipeline.pad([piece.ids for piece in pieces], self._tokenizer, self.weights.config.token_types)
        logits = pipeline.forward(self._model, batch["ids"], batch["lengths"], positions, batch["types"])  # (B, M, V)
        return [[self._best(row.astype(np.float64)) for row in rows[:len(piece.masks)]]
                for piece, rows in zip(pieces, logits)]

    def _best(self, logits: np.ndarray) -> Candidates:
        """The best whole words by logits (V,). Rows beyond the vocabulary, as some models have, are ignored."""
        logits = logits[:len(self._words)]
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        order = np.argsort(np.where(self._words, -shares, np.inf), kind="stable")[:self._count]
        return [(self._tokenizer.decode([int(i)]), float(shares[i])) for i in order if self._words[i]]


def has_mlm_head(weights: Weights) -> bool:
    """Whether the weights have an MLM head."""
    return any(name.startswith("decoder.") for name in weights.tensors)


def _is_word(tokenizer: Tokenizer, index: int) -> bool:
    """Whether a token begins a word and has a letter or digit."""
    token = tokenizer.id_to_token(index)
    if index in tokenizer.special_ids:
        return False
    start = _WORD_STARTS.get(tokenizer.kind)
    begins = token.startswith(start) if start else not token.startswith(_CONTINUATION)
    return begins and any(letter.isalnum() for letter in tokenizer.decode([index]))

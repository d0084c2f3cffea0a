"""A trained model applied to texts: class probabilities and embeddings, batched by length.

The model may be one of MXNet or of another engine; nothing here depends on which.
B batch, s length, H hidden size.
"""

import concurrent.futures
import logging
import os
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

import numpy as np

from bort_mx.data.encoding import encode_examples
from bort_mx.data.input_texts import Text, wrong_number_of_texts
from bort_mx.data.tasks.examples import Example
from bort_mx.data.text import clean_text
from bort_mx.errors import InputError
from bort_mx.inference.engines import forward, open_with_engine
from bort_mx.sentence_embedding import SentenceEmbedding, embedded

WINDOW = 64
"""Batches whose texts are sorted by length together. More would pad less, but the first answers would come later."""
BATCH, BATCH_TOKENS = 16, 2048
"""Texts in a batch by default, and tokens up to which it takes more: short texts alone leave the processor waiting."""
POOLINGS = ("mean", "first")
END = object()
logger = logging.getLogger(__name__)

T = TypeVar("T")


def texts_of(examples: Iterable[Example]) -> List[Text]:
    """The one or two texts of each example."""
    return [(example.texts[0], example.texts[1] if len(example.texts) > 1 else None) for example in examples]


def evenly(texts: Sequence[T], most: int) -> Sequence[T]:
    """At most so many of the texts, at equal distances."""
    return texts[::max(1, -(-len(texts) // most))]


def open_model(path: os.PathLike, head: Optional[str]) -> Tuple[Any, Any]:
    """A model with a trained head, and its tokenizer, from a checkpoint of any format or an ONNX file.

    Args:
        path: the checkpoint or file.
        head: "encoder", "mlm" or "classifier"; None: the one that it holds.
    Raises:
        InputError: no such checkpoint, none with this head, or no tokenizer beside it.
    """
    model, tokenizer, untrained = open_with_engine(path, head)
    if untrained:
        head = head or model.config.head
        advice = {"mlm": f"train one by run_pretraining.py --init {path}",
                  "classifier": f"train one by run_finetune.py --checkpoint {path}"}
        if model is not None and not hasattr(model, "collect_params"):  # an engine's file, which has one head
            advice = {head: f"it holds {model.config.head}; export the checkpoint by --head {head}"}
        raise InputError(f"{path}: has no trained {head} head; {advice[head]}")
    if tokenizer is None:
        raise InputError(f"{path}: has no tokenizer files; put them beside the weights")
    if hasattr(model, "collect_params"):  # one of MXNet
        from bort_mx.models.inference_form import set_for_inference

        set_for_inference(model)
    if model.config.head == "encoder" and model.config.embedding is not None:
        logger.warning("%s: embeds as its files say: %s", path, model.config.embedding)
    return model, tokenizer


def classify(model: Any, tokenizer: Any, texts: Sequence[Text],
             batch_size: Optional[int] = None) -> Iterator[np.ndarray]:
    """Class probabilities (num_labels,) of each text or pair, in order. A regression gives its values (num_labels,).

    The model's problem_type tells which. The probabilities of a multi-label classifier are each for itself.

    Args:
        model: a classifier.
        tokenizer: its tokenizer.
        texts: single texts or pairs. Those longer than in the model's training (by default, its positions) are cut; a
            warning says how many.
        batch_size: texts in one forward pass. Default: `BATCH`, of short ones more, up to `BATCH_TOKENS` tokens.
    Raises:
        InputError: a single text where the classifier was trained on pairs, or a pair where it was on single texts.
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

    for number, text in enumerate(texts, 1):
        problem = wrong_number_of_texts(text, model.config.text_columns)
        if problem:
            raise InputError(f"text {number}: {problem}")
    return _apply(model, tokenizer, texts, batch_size, answer)


def problem_type(config: Any) -> str:
    """How a classifier's outputs are read, one of `bort_mx.models.config.PROBLEM_TYPES`."""
    return config.problem_type or ("regression" if config.num_labels == 1 else "single_label_classification")


def embedding_of(config: Any, pooling: Optional[str] = None) -> SentenceEmbedding:
    """How texts are embedded: by a pooling that is given, else as the checkpoint says, else by the mean."""
    if pooling is None and config.embedding is not None:
        return config.embedding
    return SentenceEmbedding((pooling or "mean",))


def embed(model: Any, tokenizer: Any, texts: Sequence[Text], pooling: Optional[str] = None,
          batch_size: Optional[int] = None) -> Iterator[np.ndarray]:
    """Embeddings (E,), float32, of each text or pair, in order.

    Args:
        model: an encoder.
        tokenizer: its tokenizer.
        texts: as in `classify`.
        pooling: None: as the checkpoint says (the model's config.embedding), else "mean". "mean": the mean of all
            tokens' hidden states, special tokens included; "first": the first token's. Either alone: without the dense
            layers and the normalization that a checkpoint has.
        batch_size: texts in one forward pass. Default: `BATCH`, of short ones more, up to `BATCH_TOKENS` tokens.
    """
    embedding = embedding_of(model.config, pooling)
    own = embedding is model.config.embedding

    def answer(output: Output) -> np.ndarray:
        """Embeddings (B, E) of a batch."""
        if own and hasattr(model, "embeddings"):  # an engine that computes them itself
            return model.embeddings(output.ids, output.lengths, output.types)
        return embedded(embedding, model.embedding_tensors if own else {}, output.run(), output.lengths)

    def prepared(text: str) -> str:
        text = embedding.prompt + text
        return text.strip().lower() if embedding.lower_case else text

    if own and (embedding.lower_case or embedding.prompt):
        texts = [(prepared(first), second and prepared(second)) for first, second in texts]
    # sentence-transformers strips texts and leaves the spaces inside, so its models know them
    return _apply(model, tokenizer, texts, batch_size, answer, str.strip if own else clean_text)


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


def _apply(model: Any, tokenizer: Any, texts: Sequence[Text], batch_size: Optional[int],
           answer: Callable[[Output], np.ndarray],
           clean: Callable[[str], str] = clean_text) -> Iterator[np.ndarray]:
    """`answer` to the model's output for each text, in order. Texts are cut to the model's `config.longest`."""
    cut, size = 0, WINDOW * (batch_size or BATCH)
    encoded = one_ahead(encode_texts(model, tokenizer, texts[begin:begin + size], clean)
                        for begin in range(0, len(texts), size))
    for begin, (window, shortened) in zip(range(0, len(texts), size), encoded):
        cut += shortened

        def run(part: List[List[int]]) -> np.ndarray:
            """Of one batch."""
            batch = pad(part, tokenizer, model.config.token_types)
            return answer(Output(model, batch["ids"], batch["lengths"], batch["types"]))

        answers = in_batches(window, batch_size or BATCH, run, 0 if batch_size else BATCH_TOKENS)
        if cut and begin + size >= len(texts):  # before the last answers: a caller may stop asking after those
            why = ("the most the model takes" if model.config.longest == model.config.num_positions
                   else "as in its training")
            logger.warning("%d of %d texts were cut to %d tokens, %s", cut, len(texts), model.config.longest, why)
        yield from answers


def one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items; while the caller works on one, a thread makes the next. An error of the thread is raised here."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(next, items, END)
        while True:
            item = coming.result()
            if item is END:
                return
            coming = pool.submit(next, items, END)
            yield item


def in_batches(encoded: Sequence[List[int]], batch_size: int, run: Callable[[List[List[int]]], Iterable],
               tokens: int = 0) -> List[Any]:
    """An answer to each text, in order. Texts of similar length share a batch, so that little is padding.

    Args:
        encoded: ids of each text.
        batch_size: texts in one batch.
        run: a batch of texts → an answer to each.
        tokens: a batch of short texts may hold more, up to so many tokens with padding.
    """
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
    answers: List[Any] = [None] * len(encoded)
    start = 0
    while start < len(order):
        end = start + batch_size
        while end < len(order) and (end + 1 - start) * len(encoded[order[end]]) <= tokens:
            end += 1
        part, start = order[start:end], end
        for i, found in zip(part, run([encoded[i] for i in part])):
            answers[i] = found
    return answers


def encode_texts(model: Any, tokenizer: Any, texts: Sequence[Text],
                 clean: Callable[[str], str] = clean_text) -> Tuple[List[List[int]], int]:
    """Ids of texts or pairs, cleaned and cut as in the model's training, and how many were cut."""
    examples = [Example(i, text[:1] if text[1] is None else text) for i, text in enumerate(texts)]
    encoded = encode_examples(tokenizer, examples, model.config.longest, model.config.cut, clean)
    return encoded.ids, encoded.truncated


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

"""The one way from texts to token ids, for training and prediction: cleaned, in RoBERTa's or BERT's pair format, cut
without losing the answer.
"""

from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

from bort_mx.data.tasks.examples import Example
from bort_mx.data.text import clean_text
from bort_mx.data.tokenizers import Tokenizer


class EncodedExamples(NamedTuple):
    """Ids of N examples, with special tokens; their token types; how many examples had to be cut."""

    ids: List[List[int]]
    token_types: List[List[int]]
    truncated: int


def truncate_pair(ids_a: Sequence[int], ids_b: Sequence[int], max_tokens: int,
                  cut: str = "longest") -> Tuple[List[int], List[int]]:
    """Shorten a pair to max_tokens in all, special tokens not counted.

    Args:
        ids_a: the first text; for reading tasks the passage.
        ids_b: the second text; for reading tasks the question and, at its end, the answer.
        max_tokens: what both may have together.
        cut: "longest": off the end of the longer text until they are of equal length, then off both (the first keeps
            the odd one); "first": off the end of the first only, and when nothing is left of it, off the beginning of
            the second, so that the answer at its end is never lost.

    Raises:
        ValueError: max_tokens negative, or another `cut`.
    """
    if max_tokens < 0 or cut not in ("longest", "first"):
        raise ValueError(f"max_tokens {max_tokens} with cut {cut!r}; expected 0 or more with 'longest' or 'first'")
    ids_a, ids_b = list(ids_a), list(ids_b)
    if len(ids_a) + len(ids_b) <= max_tokens:
        return ids_a, ids_b
    if cut == "first":
        ids_b = ids_b[max(len(ids_b) - max_tokens, 0):]
        return ids_a[:max_tokens - len(ids_b)], ids_b
    keep_b = min(len(ids_b), max(max_tokens // 2, max_tokens - len(ids_a)))
    return ids_a[:max_tokens - keep_b], ids_b[:keep_b]


def encode_examples(tokenizer: Tokenizer, examples: Sequence[Example], max_tokens: int,
                    cut: str = "longest", clean: Callable[[str], str] = clean_text) -> EncodedExamples:
    """Encode the texts of examples, `<s> A </s>` or `<s> A </s></s> B </s>` (BERT: one separator between).

    The texts are cleaned by `bort_mx.data.text.clean_text` first.

    Args:
        tokenizer: as `bort_mx.data.load_tokenizer` gives.
        examples: one or two texts each.
        max_tokens: of a whole sequence, special tokens included.
        cut: as in `truncate_pair`; a task's `cut`. Single texts lose their end.
        clean: another cleaning, for a model of a library that has its own.

    Raises:
        ValueError: max_tokens leaves no room beside the special tokens.
    """
    texts = list(dict.fromkeys(text for example in examples for text in example.texts))  # a passage has many questions
    cleaned = [clean(text) for text in texts]
    bare: Dict[str, List[int]] = dict(zip(texts, tokenizer.encode_batch(cleaned, add_special_tokens=False)))
    separator = [tokenizer.eos_id] * (1 if tokenizer.has_token_types else 2)
    specials = 2 + len(separator) * any(len(example.texts) > 1 for example in examples)
    room = max_tokens - 2 - len(separator)
    if max_tokens <= specials:
        raise ValueError(f"max_tokens {max_tokens} leaves no room beside {specials} special tokens")
    all_ids, truncated = [], 0
    for example in examples:
        parts = [bare[text] for text in example.texts]
        if len(parts) == 1:
            kept = [parts[0][:max_tokens - 2]]
        else:
            kept = list(truncate_pair(*parts, room, cut))
        truncated += sum(map(len, kept)) < sum(map(len, parts))
        inner = [token for part in kept[1:] for token in (*separator, *part)]
        all_ids.append([tokenizer.bos_id, *kept[0], *inner, tokenizer.eos_id])
    return EncodedExamples(all_ids, [tokenizer.token_types(ids) for ids in all_ids], truncated)

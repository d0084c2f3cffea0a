"""RoBERTa's byte-level BPE."""

from typing import Dict, Sequence, Tuple

import tokenizers

from bort_mx.data.tokenizers.added_tokens import AddedToken
from bort_mx.data.tokenizers.program import ROBERTA_SPECIALS, ProgramTokenizer
from bort_mx.errors import InputError


class ByteBPETokenizer(ProgramTokenizer):
    """RoBERTa's byte-level BPE (GPT-2's merges): lossless, cased, without unknown tokens.

    Args:
        vocab: token → id.
        merges: pairs of tokens, in the order of their rank.
        add_prefix_space: encode "word" as " word" at the beginning of a text.
        source: the file to name in errors.
        added: tokens added to the vocabulary, or of it, that are found in texts before the merges are applied.
    Raises:
        InputError: a vocabulary with gaps, without the special tokens or a byte, or with merges of another one.
    """

    def __init__(self, vocab: Dict[str, int], merges: Sequence[Tuple[str, str]], add_prefix_space: bool = False,
                 source: str = "vocabulary", added: Sequence[AddedToken] = ()):
        known = vocab.keys() | {token.content for token in added}
        absent = set(tokenizers.pre_tokenizers.ByteLevel.alphabet()) - known
        if absent and set(ROBERTA_SPECIALS.values()) <= known:
            raise InputError(f"{source}: not a byte-level vocabulary, {len(absent)} of the 256 bytes have no token")
        unknown = next((pair for pair in merges if "".join(pair) not in vocab or not set(pair) <= vocab.keys()), None)
        if unknown and not absent:
            raise InputError(f"{source}: vocabulary and merges do not match (the merge {' '.join(unknown)!r} is of "
                             "tokens that are not in the vocabulary)")
        splitter = {"type": "ByteLevel", "add_prefix_space": bool(add_prefix_space), "trim_offsets": True,
                    "use_regex": True}
        super().__init__({
            "version": "1.0", "normalizer": None, "pre_tokenizer": splitter, "decoder": splitter,
            "model": {"type": "BPE", "unk_token": "<unk>", "vocab": vocab, "merges": [list(pair) for pair in merges]},
        }, ROBERTA_SPECIALS, source, added)

"""RoBERTa's byte-level BPE."""

import json
import pathlib
import re
from typing import Dict, List, Sequence, Tuple

import tokenizers

from bort_mx.data.tokenizers.added_tokens import AddedToken
from bort_mx.data.tokenizers.base import Tokenizer, canonical_bytes, tokens_in_order
from bort_mx.errors import InputError
from bort_mx.io import files

ROBERTA_SPECIALS = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask>"}


class ByteBPETokenizer(Tokenizer):
    """RoBERTa's byte-level BPE (GPT-2's merges): lossless, cased, without unknown tokens.

    Args:
        vocab: token → id.
        merges: pairs of tokens, in the order of their rank.
        add_prefix_space: encode "word" as " word" at the beginning of a text.
        source: the file to name in errors.
        added: tokens added to the vocabulary, or of it, that are found in texts before the merges are applied.
    """

    kind = "byte-bpe"

    def __init__(self, vocab: Dict[str, int], merges: Sequence[Tuple[str, str]], add_prefix_space: bool = False,
                 source: str = "vocabulary", added: Sequence[AddedToken] = ()):
        super().__init__(tokens_in_order(vocab, source), ROBERTA_SPECIALS, source, added)
        absent = set(tokenizers.pre_tokenizers.ByteLevel.alphabet()) - self._ids.keys()
        if absent:
            raise InputError(f"{source}: not a byte-level vocabulary, {len(absent)} of the 256 bytes have no token")
        self._merges, self._prefix = list(merges), bool(add_prefix_space)
        try:
            model = tokenizers.models.BPE(vocab, self._merges, unk_token=ROBERTA_SPECIALS["unk"])
        except Exception as error:  # the Rust library raises plain Exception for a merge that is not in the vocabulary
            raise InputError(f"{source}: vocabulary and merges do not match ({error})") from None
        self._rust = tokenizers.Tokenizer(model)
        self._rust.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=self._prefix)
        self._rust.decoder = tokenizers.decoders.ByteLevel()
        self._find_added(self._rust, added)

    def encode_plain(self, texts: List[str]) -> List[List[int]]:
        """As `Tokenizer`'s."""
        return [encoding.ids for encoding in self._rust.encode_batch_fast(texts, add_special_tokens=False)]

    def _decode_plain(self, ids: List[int]) -> str:
        return self._rust.decode(ids, skip_special_tokens=False)

    def _mask_regex(self) -> str:
        return r"\s*" + re.escape(self.mask_token)  # as in RoBERTa, the mask stands for a word with its space

    def _content(self) -> bytes:
        return canonical_bytes([self.kind, self._tokens, [" ".join(pair) for pair in self._merges], self._prefix])

    def _save_files(self, directory: pathlib.Path) -> List[str]:
        own = {token: i for i, token in enumerate(self._tokens[:self._own])}
        files.write_text(directory / "vocab.json", json.dumps(own, ensure_ascii=False))
        lines = ["#version: 0.2", *(" ".join(pair) for pair in self._merges)]
        files.write_text(directory / "merges.txt", "\n".join(lines) + "\n")
        return ["vocab.json", "merges.txt"]

    def _config(self) -> dict:
        return {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": self._prefix}

"""BERT's WordPiece."""

import pathlib
from typing import List, Optional, Sequence

import tokenizers

from bort_mx.data.tokenizers.added_tokens import AddedToken
from bort_mx.data.tokenizers.base import Tokenizer, canonical_bytes
from bort_mx.errors import InputError
from bort_mx.io import files

BERT_SPECIALS = {"bos": "[CLS]", "pad": "[PAD]", "eos": "[SEP]", "unk": "[UNK]", "mask": "[MASK]"}


class WordPieceTokenizer(Tokenizer):
    """BERT's WordPiece, cased or not.

    Args:
        tokens: the lines of vocab.txt.
        lower_case: fold case; accents are then stripped too unless `strip_accents` is False.
        strip_accents: None follows `lower_case`.
        chinese: put every CJK character in a word of its own.
        source: the file to name in errors.
        added: tokens added to the vocabulary, or of it, that are found in texts before they are cut into words.
    """

    kind = "wordpiece"
    has_token_types = True
    _joint = " "

    def __init__(self, tokens: Sequence[str], lower_case: bool = True, strip_accents: Optional[bool] = None,
                 chinese: bool = True, source: str = "vocabulary", added: Sequence[AddedToken] = ()):
        super().__init__(tokens, BERT_SPECIALS, source, added)
        if len(self._ids) != len(self._tokens):
            line = next(i for i, token in enumerate(self._tokens) if self._ids[token] != i) + 1
            raise InputError(f"{source}:{line}: token {self._tokens[line - 1]!r} stands twice in the vocabulary")
        self._lower, self._accents, self._chinese = bool(lower_case), strip_accents, bool(chinese)
        own = {token: i for i, token in enumerate(self._tokens[:self._own])}
        if BERT_SPECIALS["unk"] not in own:
            raise InputError(f"{source}: {BERT_SPECIALS['unk']} is an added token; a wordpiece "
                             "vocabulary must have it itself")
        model = tokenizers.models.WordPiece(own, unk_token=BERT_SPECIALS["unk"], max_input_chars_per_word=100)
        self._rust = tokenizers.Tokenizer(model)
        self._rust.normalizer = tokenizers.normalizers.BertNormalizer(
            clean_text=True, handle_chinese_chars=self._chinese, strip_accents=strip_accents, lowercase=self._lower)
        self._rust.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        self._rust.decoder = tokenizers.decoders.WordPiece()
        self._find_added(self._rust, added)

    def encode_plain(self, texts: List[str]) -> List[List[int]]:
        """As `Tokenizer`'s."""
        return [encoding.ids for encoding in self._rust.encode_batch_fast(texts, add_special_tokens=False)]

    def _decode_plain(self, ids: List[int]) -> str:
        return self._rust.decode(ids, skip_special_tokens=False)

    def _content(self) -> bytes:
        return canonical_bytes([self.kind, self._tokens, self._lower, self._accents, self._chinese])

    def _save_files(self, directory: pathlib.Path) -> List[str]:
        files.write_text(directory / "vocab.txt", "\n".join(self._tokens[:self._own]) + "\n")
        return ["vocab.txt"]

    def _config(self) -> dict:
        return {"tokenizer_class": "BertTokenizer", "do_lower_case": self._lower, "strip_accents": self._accents,
                "tokenize_chinese_chars": self._chinese}

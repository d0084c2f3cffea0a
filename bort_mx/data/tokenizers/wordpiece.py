"""BERT's WordPiece."""

from typing import Optional, Sequence

from bort_mx.data.tokenizers.added_tokens import AddedToken
from bort_mx.data.tokenizers.program import BERT_SPECIALS, ProgramTokenizer
from bort_mx.errors import InputError


class WordPieceTokenizer(ProgramTokenizer):
    """BERT's WordPiece, cased or not.

    Args:
        tokens: the lines of vocab.txt.
        lower_case: fold case; accents are then stripped too unless `strip_accents` is False.
        strip_accents: None follows `lower_case`.
        chinese: put every CJK character in a word of its own.
        source: the file to name in errors.
        added: tokens added to the vocabulary, or of it, that are found in texts before they are cut into words.
        typed: the second text of a pair has token type 1.
    Raises:
        InputError: a token that stands twice, or special tokens that are missing.
    """

    def __init__(self, tokens: Sequence[str], lower_case: bool = True, strip_accents: Optional[bool] = None,
                 chinese: bool = True, source: str = "vocabulary", added: Sequence[AddedToken] = (),
                 typed: bool = True):
        vocab = {token: i for i, token in enumerate(tokens)}
        if len(vocab) != len(tokens):
            line = next(i for i, token in enumerate(tokens) if vocab[token] != i) + 1
            raise InputError(f"{source}:{line}: token {tokens[line - 1]!r} stands twice in the vocabulary")
        if BERT_SPECIALS["unk"] in {token.content for token in added} - vocab.keys():
            raise InputError(f"{source}: {BERT_SPECIALS['unk']} is an added token; a wordpiece "
                             "vocabulary must have it itself")
        super().__init__({
            "version": "1.0", "pre_tokenizer": {"type": "BertPreTokenizer"},
            "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": bool(chinese),
                           "strip_accents": strip_accents, "lowercase": bool(lower_case)},
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100, "vocab": vocab},
        }, BERT_SPECIALS, source, added, typed)

"""Vocabularies: RoBERTa's byte-level BPE, BERT's WordPiece, SentencePiece; one interface for all three."""

from bort_mx.data.tokenizers.added_tokens import CONFIG, AddedToken
from bort_mx.data.tokenizers.base import Tokenizer
from bort_mx.data.tokenizers.byte_bpe import ByteBPETokenizer
from bort_mx.data.tokenizers.loading import load_tokenizer
from bort_mx.data.tokenizers.sentencepiece import SentencePieceTokenizer, train_sentencepiece
from bort_mx.data.tokenizers.wordpiece import WordPieceTokenizer

__all__ = ["CONFIG", "AddedToken", "ByteBPETokenizer", "SentencePieceTokenizer", "Tokenizer", "WordPieceTokenizer",
           "load_tokenizer", "train_sentencepiece"]

"""Text to batches: vocabularies, prepared token shards, packing and masking. Knows nothing of models or MXNet."""

from bort_mx.data.masking import Batch, MaskedBatches, mask_tokens, max_masked
from bort_mx.data.packing import PackedSequences
from bort_mx.data.shards import TokenShards
from bort_mx.data.tokenizers import Tokenizer, load_tokenizer, train_sentencepiece

__all__ = ["Batch", "MaskedBatches", "PackedSequences", "TokenShards", "Tokenizer", "load_tokenizer", "mask_tokens",
           "max_masked", "train_sentencepiece"]

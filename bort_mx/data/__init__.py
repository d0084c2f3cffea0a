"""Text to batches: vocabularies, prepared token shards, packing and masking. Knows nothing of models or MXNet."""

import bort_mx.data.tasks  # noqa: F401  (every task registers itself; metrics.task_metrics looks it up)
from bort_mx.data.masking import Batch, MaskedBatches, mask_tokens, max_masked
from bort_mx.data.packing import PackedSequences
from bort_mx.data.shards import TokenShards
from bort_mx.data.tokenizers import Tokenizer, load_tokenizer, train_sentencepiece

__all__ = ["Batch", "MaskedBatches", "PackedSequences", "TokenShards", "Tokenizer", "load_tokenizer", "mask_tokens",
           "max_masked", "train_sentencepiece"]

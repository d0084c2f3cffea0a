"""Masked-LM accuracy and perplexity of checkpoints on prepared text that they were not trained on.

    python benchmarks/evaluate_text.py CHECKPOINT … --data SHARDS --split train --seq-len 64

Prints one JSON line a checkpoint. The masks are fixed, so that all checkpoints answer the same questions.
"""

import argparse
import json

from bort_mx.data.masking import MaskedBatches
from bort_mx.data.shards import TokenShards
from bort_mx.distributed import Workers
from bort_mx.pretraining.objective import PretrainingObjective, evaluate
from bort_mx.pretraining.student_and_teacher import load_on_vocabulary


def main() -> None:
    """Evaluate every checkpoint given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("--data", required=True, help="what `bort-mx prepare` wrote")
    parser.add_argument("--split", default="train", help="train, test or validation")
    parser.add_argument("--seq-len", type=int, default=64)
    parser.add_argument("--sequences", type=int, help="only the first so many")
    arguments = parser.parse_args()
    shards = TokenShards(arguments.data, arguments.split)
    tokenizer = shards.tokenizer()
    batches = MaskedBatches(shards, tokenizer, arguments.seq_len, seed=0)
    for checkpoint in arguments.checkpoints:
        import mxnet

        model = load_on_vocabulary(checkpoint, tokenizer, mxnet.cpu(), dropout=0.0)
        found = evaluate(PretrainingObjective(model), batches.evaluation(32, limit=arguments.sequences), Workers())
        print(json.dumps({"checkpoint": checkpoint, "sequences": min(len(batches), arguments.sequences or len(batches)),
                          "mlm_accuracy": round(found["validation_mlm_accuracy"], 4),
                          "perplexity": round(found["validation_perplexity"], 1)}), flush=True)


if __name__ == "__main__":
    main()

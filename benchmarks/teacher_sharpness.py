"""How sure of itself a teacher is at temperatures 1 and 2: the mass of its likeliest words at masked positions.

    python benchmarks/teacher_sharpness.py TEACHER --data SHARDS --sequences 64

Prints one JSON line a temperature: mean mass of the 10 and 100 likeliest words, median perplexity of the distribution.
"""

import argparse
import json

import numpy as np

from bort_mx.data.masking import MaskedBatches
from bort_mx.data.shards import TokenShards
from bort_mx.pretraining.student_and_teacher import load_on_vocabulary


def sharpness(logits: np.ndarray, temperature: float) -> dict:
    """Figures of the distributions softmax(logits / temperature); logits (N, V)."""
    exponents = np.exp((logits - logits.max(1, keepdims=True)) / temperature)
    p = np.sort(exponents / exponents.sum(1, keepdims=True), axis=1)
    perplexity = np.exp(-(p * np.log(p + 1e-30)).sum(1))
    return {"temperature": temperature, "top_10": round(float(p[:, -10:].sum(1).mean()), 3),
            "top_100": round(float(p[:, -100:].sum(1).mean()), 3),
            "median_perplexity": round(float(np.median(perplexity)))}


def main() -> None:
    """Run the teacher and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher")
    parser.add_argument("--data", required=True, help="what `bort-mx prepare` wrote")
    parser.add_argument("--sequences", type=int, default=64)
    arguments = parser.parse_args()
    import mxnet as mx

    shards = TokenShards(arguments.data, "validation")
    tokenizer = shards.tokenizer()
    model = load_on_vocabulary(arguments.teacher, tokenizer, mx.cpu(), dropout=0.0)
    rows = []
    for batch in MaskedBatches(shards, tokenizer, 64, seed=0).evaluation(32, limit=arguments.sequences):
        logits = model(*(mx.nd.array(a) for a in (batch.input_ids, batch.valid_length, batch.masked_positions)))
        rows.append(logits.asnumpy().reshape(-1, tokenizer.vocab_size)[batch.weights.reshape(-1) > 0])
    for temperature in (1, 2):
        print(json.dumps(sharpness(np.concatenate(rows), temperature)))


if __name__ == "__main__":
    main()

"""Training throughput at Bort's size beside Hugging Face transformers' stock masked-LM step on PyTorch.

Both train <4,8,1024,768> with a vocabulary of 50,265 on the same random tokens, 15 % of them masked, dropout 0.1,
AdamW, gradients clipped to 1. The stock step is BertForMaskedLM with labels −100 outside the masked positions, as
DataCollatorForLanguageModeling makes them, and torch.optim.AdamW; it computes the loss over all positions. Steps of the
two alternate, each in a process of its own, as in use, with the same number of threads; printed are the medians and the
quartiles of the ratio.

    python benchmarks/training_throughput.py --shapes 8x128 4x512 --repeats 7
"""

import argparse
import functools
import json
import os

import numpy as np
from side_by_side import Missing, SideBySide, Work, spread

from bort_mx import PRESETS
from bort_mx.data.masking import Batch, MaskingVocabulary, mask_tokens, max_masked
from bort_mx.distributed import Workers
from bort_mx.machine import instructions
from bort_mx.models import build_model, parameters_of
from bort_mx.pretraining.objective import PretrainingObjective
from bort_mx.training.optimizers import AdamW
from bort_mx.training.step import TrainingStep

VOCABULARY, MASK, SPECIAL = 50265, 50264, {0, 1, 2, 3, 50264}


def make_batch(size: int, length: int, seed: int) -> Batch:
    """Full sequences of random tokens, masked."""
    rng, vocabulary = np.random.default_rng(seed), MaskingVocabulary(VOCABULARY, MASK, SPECIAL)
    shape = (size, max_masked(length))
    batch = Batch(np.zeros((size, length), np.int32), np.full(size, length, np.int32), np.zeros(shape, np.int32),
                  np.zeros(shape, np.int32), np.zeros(shape, np.float32))
    for row in range(size):
        ids = np.concatenate([[0], rng.integers(4, VOCABULARY - 1, length - 2), [2]])
        masked, positions, labels = mask_tokens(ids, rng, vocabulary)
        batch.input_ids[row] = masked
        batch.masked_positions[row, :len(positions)] = positions
        batch.labels[row, :len(labels)] = labels
        batch.weights[row, :len(labels)] = 1
    return batch


def our_step(seed: int) -> Work:
    """This project's step: the same core that run_pretraining.py runs."""
    import mxnet

    model = build_model(PRESETS["bort"], VOCABULARY, "mlm")
    core = TrainingStep(PretrainingObjective(model), AdamW(parameters_of(model)), Workers(), clip=1.0)
    batches = functools.cache(lambda case: make_batch(*map(int, case.split("x")), seed))

    def run(case: str) -> None:
        """One step."""
        core([batches(case)], 1e-4)
        mxnet.nd.waitall()
    return run


def stock_step(seed: int, bf16: bool) -> Work:
    """transformers' stock step, in float32 or with bf16 autocast."""
    import torch
    import transformers

    if bf16 and not instructions()["bf16"]:
        raise Missing("the processor has no bf16 instructions, so bf16 would be emulated")
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    D, A, H, I = PRESETS["bort"].as_tuple()
    model = transformers.BertForMaskedLM(transformers.BertConfig(
        vocab_size=VOCABULARY, hidden_size=H, num_hidden_layers=D, num_attention_heads=A, intermediate_size=I))
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    batches = functools.cache(lambda case: make_batch(*map(int, case.split("x")), seed))

    def run(case: str) -> None:
        """One step, loss over all positions."""
        batch = batches(case)
        labels = np.full(batch.input_ids.shape, -100)
        for row, count in enumerate(batch.weights.sum(1).astype(int)):
            labels[row, batch.masked_positions[row, :count]] = batch.labels[row, :count]
        ids = torch.from_numpy(batch.input_ids.astype(np.int64))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=torch.from_numpy(labels)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return run


STEPS = {"bort_mx": (our_step, (0,)), "transformers' stock step": (stock_step, (0, False)),
         "transformers' stock step, bf16 autocast": (stock_step, (0, True))}


def measure(shape: str, repeats: int) -> dict:
    """Steps in turn, each side in a process of its own, the others waiting."""
    size, length = map(int, shape.split("x"))
    with SideBySide(STEPS) as sides:
        seconds = sides.rounds(shape, repeats, warm_up=2)  # compiling, and the first touch of all memory
    found = {"shape": shape, "threads": int(os.environ["OMP_NUM_THREADS"]), "repeats": repeats,
             "tokens_per_s": {name: round(size * length / float(np.median(values)), 1)
                              for name, values in seconds.items()},
             "missing": sides.missing, "ratio": {}}
    for name, values in seconds.items():
        if name != "bort_mx" and "bort_mx" in seconds:
            found["ratio"][name] = spread([theirs / ours for theirs, ours in zip(values, seconds["bort_mx"])])
    return found


def main() -> None:
    """Measure and print one JSON line a shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", default=["8x128", "4x512"])
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    for shape in arguments.shapes:
        print(json.dumps(measure(shape, arguments.repeats)), flush=True)


if __name__ == "__main__":
    main()

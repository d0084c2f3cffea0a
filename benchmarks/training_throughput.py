"""Training throughput at Bort's size beside Hugging Face transformers' stock masked-LM step on PyTorch.

Both train <4,8,1024,768> with a vocabulary of 50,265 on the same random tokens, 15 % of them masked, dropout 0.1,
AdamW, gradients clipped to 1. The stock step is BertForMaskedLM with labels −100 outside the masked positions, as
DataCollatorForLanguageModeling makes them, and torch.optim.AdamW; it computes the loss over all positions. Steps of the
two alternate, each in a process of its own, as in use, with the same number of threads; printed are the medians and the
quartiles of the ratio.

    python benchmarks/training_throughput.py --shapes 8x128 4x512 --repeats 7
"""

import argparse
import json
import multiprocessing
import multiprocessing.connection
import os
import time
from typing import Callable

import numpy as np

from bort_mx import PRESETS
from bort_mx.data.masking import Batch, MaskingVocabulary, mask_tokens, max_masked
from bort_mx.distributed import Workers
from bort_mx.models import build_model, parameters_of
from bort_mx.pretraining.objective import PretrainingObjective
from bort_mx.training.optimizers import AdamW
from bort_mx.training.step import TrainingStep

VOCABULARY, MASK, SPECIAL = 50265, 50264, {0, 1, 2, 3, 50264}
Step = Callable[[Batch], None]
"""A training step on a batch; it returns when the work is done."""


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


def our_step() -> Step:
    """This project's step: the same core that run_pretraining.py runs."""
    import mxnet

    model = build_model(PRESETS["bort"], VOCABULARY, "mlm")
    core = TrainingStep(PretrainingObjective(model), AdamW(parameters_of(model)), Workers(), clip=1.0)

    def run(batch: Batch) -> None:
        """One step."""
        core([batch], 1e-4)
        mxnet.nd.waitall()
    return run


def stock_step() -> Step:
    """transformers' stock step."""
    import torch
    import transformers

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    D, A, H, I = PRESETS["bort"].as_tuple()
    model = transformers.BertForMaskedLM(transformers.BertConfig(
        vocab_size=VOCABULARY, hidden_size=H, num_hidden_layers=D, num_attention_heads=A, intermediate_size=I))
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def run(batch: Batch) -> None:
        """One step, loss over all positions."""
        labels = np.full(batch.input_ids.shape, -100)
        for row, count in enumerate(batch.weights.sum(1).astype(int)):
            labels[row, batch.masked_positions[row, :count]] = batch.labels[row, :count]
        ids = torch.from_numpy(batch.input_ids.astype(np.int64))
        loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=torch.from_numpy(labels)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return run


def serve(connection: multiprocessing.connection.Connection, kind: str, size: int, length: int) -> None:
    """A process of its own: take one step whenever asked, and answer with its seconds."""
    batch, run = make_batch(size, length, seed=0), {"ours": our_step, "stock": stock_step}[kind]()
    while connection.recv():
        start = time.perf_counter()
        run(batch)
        connection.send(time.perf_counter() - start)


def measure(shape: str, repeats: int) -> dict:
    """Steps of the two in turn, each in its own process, the other one waiting."""
    size, length = map(int, shape.split("x"))
    context, pipes, processes = multiprocessing.get_context("spawn"), {}, []
    for kind in ("ours", "stock"):
        pipes[kind], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(theirs, kind, size, length), daemon=True))
        processes[-1].start()

    def step(kind: str) -> float:
        pipes[kind].send(True)
        return pipes[kind].recv()

    for _ in range(2):  # compiling, and the first touch of all memory
        step("ours"), step("stock")
    pairs = np.array([(step("ours"), step("stock")) for _ in range(repeats)])
    for kind, process in zip(pipes, processes):
        pipes[kind].send(False)
        process.join()
    ratio, tokens = pairs[:, 1] / pairs[:, 0], size * length
    return {"shape": shape, "threads": int(os.environ["OMP_NUM_THREADS"]),
            "bort_mx_tokens_per_s": round(tokens / np.median(pairs[:, 0]), 1),
            "stock_tokens_per_s": round(tokens / np.median(pairs[:, 1]), 1),
            "ratio_median": round(float(np.median(ratio)), 2),
            "ratio_quartiles": [round(float(q), 2) for q in np.percentile(ratio, [25, 75])], "repeats": repeats}


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

"""A pre-training step beside what a PyTorch user would run: tokens a second, and the ratio of neighbouring steps.

Works: masked-LM steps of Bort, 8 x 128 and 4 x 512, and of <4,4,256,1024>, 32 x 128; a distillation step of Bort from a
teacher of RoBERTa-base's size, 8 x 128. All train with a vocabulary of 50,265 on the same random tokens, 15 % of them
masked, dropout 0.1, AdamW, gradients clipped to 1. The peers are transformers' BertForMaskedLM on PyTorch:

- stock: labels -100 outside the masked positions, as DataCollatorForLanguageModeling makes them, torch.optim.AdamW; the
  loss is computed over all positions;
- gathered: the output layer and the loss at the masked positions only, and fused AdamW, as who knows PyTorch writes it;
- gathered, compiled: the same through torch.compile; each with bf16 autocast too where the processor has bf16.

Steps alternate, each side in a process of its own, as in use, with the same number of threads; printed are the medians
and the quartiles of the ratio, and each side's peak memory, with what its libraries take.

    python benchmarks/training_throughput.py --works "MLM, Bort" --repeats 7
"""

import argparse
import functools
import json
import os
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from side_by_side import Missing, SideBySide, Work, spread

from bort_mx import runtime
from bort_mx.architecture import PRESETS, Architecture
from bort_mx.data.masking import Batch, MaskingVocabulary, mask_tokens, max_masked
from bort_mx.machine import instructions

VOCABULARY, MASK, SPECIAL = 50265, 50264, {0, 1, 2, 3, 50264}
WEIGHT, TEMPERATURE = 0.5, 1.0
BUDGET = 30
"""Seconds that the counted rounds of a work and shape may take, if there are five of them."""
Shape = Tuple[int, int, int, int]


class Training(NamedTuple):
    """What is trained."""

    student: Shape
    shapes: Tuple[str, ...]
    """Sequences x tokens of a step."""
    teacher: Optional[Shape] = None


BORT = PRESETS["bort"].as_tuple()
WORKS: Dict[str, Training] = {
    "MLM, Bort": Training(BORT, ("8x128", "4x512")),
    "MLM, <4,4,256,1024>": Training((4, 4, 256, 1024), ("32x128",)),
    "distillation, Bort": Training(BORT, ("8x128",), (12, 12, 768, 3072)),
}


PEERS: Dict[str, Tuple[bool, bool, bool]] = {
    f"transformers, {name}{', bf16' if bf16 else ''}": (*kind, bf16) for bf16 in (False, True) for name, kind in (
        ("stock", (False, False)), ("gathered", (True, False)), ("gathered, compiled", (True, True)))}
"""Name → gathers, compiled, bf16 of `their_step`."""


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


def our_step(seed: int, student: Shape, teacher: Optional[Shape]) -> Work:
    """This project's step: the same core that run_pretraining.py runs, in a process that is set up as there."""
    runtime.keep_freed_memory()  # before MXNet starts its threads
    import mxnet

    from bort_mx.distributed import Workers
    from bort_mx.models import build_model, parameters_of
    from bort_mx.pretraining.objective import PretrainingObjective
    from bort_mx.training.optimizers import AdamW
    from bort_mx.training.step import TrainingStep

    model = build_model(Architecture(*student), VOCABULARY, "mlm")
    teaches = build_model(Architecture(*teacher), VOCABULARY, "mlm", dropout=0.0) if teacher else None
    objective = PretrainingObjective(model, teaches, WEIGHT, TEMPERATURE)
    core = TrainingStep(objective, AdamW(parameters_of(model)), Workers(), clip=1.0)
    batches = functools.cache(lambda case: make_batch(*map(int, case.split("x")), seed))

    def run(case: str) -> None:
        """One step."""
        core([batches(case)], 1e-4)
        mxnet.nd.waitall()
    return run


def their_step(seed: int, student: Shape, teacher: Optional[Shape], gathers: bool, compiled: bool, bf16: bool) -> Work:
    """A step of transformers' model on PyTorch."""
    if bf16 and not instructions()["bf16"]:
        raise Missing("the processor has no bf16 instructions, so bf16 would be emulated")
    import torch
    import transformers

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

    def build(shape: Shape):
        """transformers' model of an architecture, with its MLM head."""
        D, A, H, I = shape
        return transformers.BertForMaskedLM(transformers.BertConfig(
            vocab_size=VOCABULARY, hidden_size=H, num_hidden_layers=D, num_attention_heads=A, intermediate_size=I))

    model, teaches = build(student).train(), build(teacher).eval() if teacher else None
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=gathers)

    def logits_of(of, ids, places):
        """Logits at the masked positions."""
        if not gathers:
            return of(input_ids=ids).logits.flatten(0, 1)[places]
        return of.cls(of.bert(input_ids=ids).last_hidden_state.flatten(0, 1)[places])

    def loss_of(ids, places, labels):
        """The loss of a step."""
        if not gathers and not teacher:  # the stock model's own loss, over all positions
            everywhere = torch.full(ids.shape, -100)
            everywhere.view(-1)[places] = labels
            return model(input_ids=ids, labels=everywhere).loss
        logits = logits_of(model, ids, places)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        if teaches is None:
            return loss
        with torch.no_grad():
            target = torch.softmax(logits_of(teaches, ids, places) / TEMPERATURE, -1)
        taught = torch.nn.functional.cross_entropy(logits / TEMPERATURE, target) * TEMPERATURE ** 2
        return WEIGHT * taught + (1 - WEIGHT) * loss

    forward = torch.compile(loss_of) if compiled else loss_of

    @functools.cache
    def tensors(case: str):
        """Ids, the places of the masked positions among all, and their labels."""
        batch = make_batch(*map(int, case.split("x")), seed)
        kept = batch.weights > 0
        places = (np.arange(len(kept))[:, None] * batch.input_ids.shape[1] + batch.masked_positions)[kept]
        return tuple(torch.from_numpy(array.astype(np.int64))
                     for array in (batch.input_ids, places, batch.labels[kept]))

    def run(case: str) -> None:
        """One step."""
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = forward(*tensors(case))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return run


def steps(work: Training) -> Dict[str, Tuple]:
    """The sides: name → what makes its step, and the arguments."""
    of = (0, work.student, work.teacher)
    return {"bort_mx": (our_step, of), **{name: (their_step, (*of, *kind)) for name, kind in PEERS.items()}}


def measure(name: str, shape: str, repeats: int, peers: Sequence[str]) -> dict:
    """Steps in turn, each side in a process of its own, the others waiting."""
    size, length = map(int, shape.split("x"))
    makers = {side: maker for side, maker in steps(WORKS[name]).items() if side == "bort_mx" or side in peers}
    with SideBySide(makers) as sides:
        # Two rounds first: compiling, and the first touch of all memory.
        seconds = sides.rounds(shape, repeats, 2, BUDGET, least=min(repeats, 5))
        peaks = sides.peaks_mb()
    found = {"work": name, "shape": shape, "threads": int(os.environ["OMP_NUM_THREADS"]), "repeats": repeats,
             "tokens_per_s": {side: round(size * length / float(np.median(values)), 1)
                              for side, values in seconds.items()},
             "peak_mb": peaks, "missing": sides.missing, "ratio": {}}
    for side, values in seconds.items():
        if side != "bort_mx" and "bort_mx" in seconds:
            found["ratio"][side] = spread([theirs / ours for theirs, ours in zip(values, seconds["bort_mx"])])
    return found


def main() -> None:
    """Measure and print one JSON line a work and shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), metavar="PEER",
                        help=f"those of {', '.join(PEERS)}")
    parser.add_argument("--repeats", type=int, default=7, help="the most steps of each side")
    parser.add_argument("--quick", action="store_true", help="Bort's masked-LM step of 2 x 128, two of each")
    arguments = parser.parse_args()
    if arguments.quick:
        print(json.dumps(measure("MLM, Bort", "2x128", 2, arguments.peers)), flush=True)
        return
    for name in arguments.works:
        for shape in WORKS[name].shapes:
            print(json.dumps(measure(name, shape, arguments.repeats, arguments.peers)), flush=True)


if __name__ == "__main__":
    main()

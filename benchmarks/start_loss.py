"""The loss of an untrained classifier on the training set, by its head: docs/experiments/classifier-head.md.

    python benchmarks/start_loss.py --checkpoint CKPT --data-dir DATA [--tasks RTE MRPC CoLA] [--examples 512]

Without --checkpoint: an untrained encoder of Bort's width with random ids and labels. Prints one JSON object a line.
"""

import argparse
import json

import mxnet as mx
import numpy as np

from bort_mx import PRESETS
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints import loading
from bort_mx.checkpoints.weights import Weights
from bort_mx.data.batches import Batches, TextBatch
from bort_mx.data.encoding import encode_examples
from bort_mx.data.tasks import Examples, Task, get_task
from bort_mx.distributed import Workers
from bort_mx.finetuning.evaluation import compute_scores, mean_loss, targets_of
from bort_mx.finetuning.objective import FineTuningObjective
from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.finetuning.paper_values import head_values
from bort_mx.finetuning.trainer import build_classifier
from bort_mx.models import build_model
from bort_mx.random import generator

HEADS = ("linear", "paper", "usual")


def classifier(weights: Weights, head: str, task: Task, seed: int) -> FineTuningObjective:
    """A classifier of the task with new weights from the seed."""
    options = FineTuningOptions(dropout=0.0, seed=seed, **head_values(head, task))
    return FineTuningObjective(build_classifier(weights, options, task, mx.cpu()), False)


def say(**values) -> None:
    """One line."""
    print(json.dumps(values), flush=True)


def on_tasks(options) -> None:
    """The mean loss over the first training examples of each task."""
    weights = loading.read(options.checkpoint)
    for name in options.tasks:
        task = get_task(name)
        train = task.read(options.data_dir, "train")
        order = generator(0, "start loss").permutation(len(train))[:options.examples]
        examples = Examples([train[i] for i in order])
        batches = Batches(encode_examples(weights.tokenizer, examples, 128, task.cut), targets_of(task, examples),
                          weights.tokenizer.pad_id)
        for head in HEADS:
            found = [mean_loss(compute_scores(classifier(weights, head, task, seed), batches, 2, 32, Workers()),
                               targets_of(task, examples), False)
                     for seed in range(options.seeds)]
            say(task=name, head=head, median=float(np.median(found)), low=min(found), high=max(found), losses=found)


def at_borts_width(options) -> None:
    """The same on random ids, by an untrained encoder of Bort's architecture."""
    encoder = build_model(PRESETS["bort"], 5000, seed=0, num_positions=64)
    weights = Weights(encoder.config, checkpoint_directory.tensors_of(encoder), None, "an untrained encoder")
    rng = generator(0, "start loss")
    count = options.examples
    batch = TextBatch(rng.integers(0, 5000, (count, 32)), np.full(count, 32), np.zeros((count, 32)),
                      rng.integers(0, 2, count).astype(np.float32), np.ones(count, np.float32), np.arange(count))
    for task in map(get_task, ("RTE", "CoLA")):  # CoLA has one more layer
        for head in HEADS:
            found = [float(sums.loss.asscalar()) / count for seed in range(options.seeds)
                     for sums in [classifier(weights, head, task, seed)(batch)]]
            further = head_values(head, task)["extra_layer"]
            say(task="random ids", width=1024, head=head, further_layer=further, median=float(np.median(found)),
                low=min(found), high=max(found), losses=found)


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--checkpoint")
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--tasks", nargs="+", default=["RTE", "MRPC", "CoLA"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--examples", type=int, default=512)
    options = parser.parse_args()
    at_borts_width(options) if options.checkpoint is None else on_tasks(options)


if __name__ == "__main__":
    main()

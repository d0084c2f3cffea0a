"""Throughput of fine-tuning beside transformers' Trainer on PyTorch.

Both train a classifier on <4,8,1024,768>, or another --architecture, with RoBERTa's vocabulary of 50,265 on the real
texts of SST-2 (batch 16) and RTE (batch 8), dropout 0.1, AdamW, gradients clipped to 1, a linear schedule. Ours is what
run_finetune.py runs: the step core and batches of similar length. The other is `transformers.Trainer` as it comes, with
the DataCollatorWithPadding (to the longest of a random batch) that it takes when given a tokenizer; its data are
tokenised beforehand, as ours are. Runs of the two alternate, in one process with the same threads; an example is
counted once it has been trained on. Compilation of shapes, data order and schedule are inside the clock; building the
models is not.

    python benchmarks/finetune_throughput.py --data-dir ../shared/data --vocab ../shared/data/vocab/roberta \
        --tasks SST-2 RTE --steps 60 --repeats 5

Prints one JSON line a task: examples per second of both, medians over the repeats, and the median and quartiles of the
ratio of neighbouring runs; also that of processor times, which is steadier on a machine that others use too. With
--tuned-peer the Trainer makes batches of similar length too, in bf16 where the processor has it. With
--widths it trains nothing: one line a task of the mean length of an example and the mean width of an epoch's batches.
"""

import argparse
import json
import os
import tempfile
import time
from typing import Callable, Tuple

import numpy as np

from bort_mx import PRESETS, Architecture, runtime
from bort_mx.data.encoding import EncodedExamples, encode_examples
from bort_mx.data.tasks import Task, get_task
from bort_mx.data.tokenizers import Tokenizer, load_tokenizer
from bort_mx.machine import instructions

LONGEST = 512
Run = Callable[[int], np.ndarray]
"""seed → seconds for the benchmark's number of steps: by the clock on the wall, and of processor time."""


def now() -> np.ndarray:
    """Both clocks."""
    return np.array([time.perf_counter(), time.process_time()])


def our_run(encoded: EncodedExamples, targets: np.ndarray, pad_id: int, batch_size: int, steps: int,
            architecture: Architecture) -> Run:
    """This project's step core and batches."""
    import mxnet as mx

    from bort_mx.data.batches import TrainingBatches
    from bort_mx.distributed import Workers
    from bort_mx.finetuning.vocabulary_subset import trainee_of
    from bort_mx.models import build_model
    from bort_mx.training import schedules
    from bort_mx.training.optimizers import OptimizerSettings
    from bort_mx.training.step import TrainingStep

    model = build_model(architecture, 50265, "classifier", num_labels=2)
    tokens = TrainingBatches(encoded, targets, pad_id, batch_size, 0).tokens()
    trainee = trainee_of(model, tokens, OptimizerSettings(weight_decay=0.01), False, mx.cpu())
    core = TrainingStep(trainee.objective, trainee.optimizer, Workers(), clip=1.0)

    def run(seed: int) -> np.ndarray:
        """All steps, in the order of a seed."""
        batches = TrainingBatches(encoded, targets, pad_id, batch_size, seed)
        start = now()
        for step in range(steps):
            rate = 1e-5 * schedules.linear(step + 1, steps // 10, steps)
            core(map(trainee.translate, batches.at(step, 0, 1, batch_size)), rate)
        mx.nd.waitall()
        return now() - start
    return run


def trainer_run(encoded: EncodedExamples, targets: np.ndarray, vocabulary: str, batch_size: int, steps: int,
                architecture: Architecture, tuned: bool) -> Run:
    """transformers' Trainer; the clock runs from its first training step to its end. `tuned`: see --tuned-peer."""
    import accelerate  # noqa: F401  the Trainer needs it, and says so only when it starts
    import torch
    import transformers

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    transformers.utils.logging.set_verbosity_error()
    D, A, H, I = architecture.as_tuple()
    model = transformers.RobertaForSequenceClassification(transformers.RobertaConfig(
        vocab_size=50265, hidden_size=H, num_hidden_layers=D, num_attention_heads=A, intermediate_size=I,
        max_position_embeddings=514, type_vocab_size=1))
    tokenizer = transformers.RobertaTokenizerFast(f"{vocabulary}/vocab.json", f"{vocabulary}/merges.txt")
    rows = [{"input_ids": ids, "attention_mask": [1] * len(ids), "labels": int(target)}
            for ids, target in zip(encoded.ids, targets)]

    class Clock(transformers.TrainerCallback):
        def on_train_begin(self, *_, **__):
            self.start = now()

        def on_train_end(self, *_, **__):
            self.seconds = now() - self.start

    def run(seed: int) -> np.ndarray:
        """All steps, in the order of a seed."""
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            options = transformers.TrainingArguments(
                folder, per_device_train_batch_size=batch_size, max_steps=steps, learning_rate=1e-5, weight_decay=0.01,
                warmup_steps=steps // 10, seed=seed, use_cpu=True, report_to=[], save_strategy="no",
                logging_strategy="no", disable_tqdm=True, bf16=tuned and instructions()["bf16"],
                train_sampling_strategy="group_by_length" if tuned else "random")
            trainer = transformers.Trainer(model, options, train_dataset=rows, processing_class=tokenizer,
                                           callbacks=[clock])
            trainer.remove_callback(transformers.PrinterCallback)
            trainer.train()
        return clock.seconds
    return run


def training_set(name: str, data_dir: str, tokenizer: Tokenizer) -> Tuple[Task, EncodedExamples, np.ndarray]:
    """A task, its training set and what is to be predicted."""
    from bort_mx.finetuning.evaluation import targets_of

    task = get_task(name)
    examples = task.read(data_dir, "train")
    return task, encode_examples(tokenizer, examples, LONGEST, task.cut), targets_of(task, examples)


def widths(name: str, data_dir: str, vocabulary: str) -> dict:
    """Mean tokens of an example, and mean width of the batches of an epoch: of similar length, and random ones."""
    from bort_mx.data.batches import TrainingBatches

    tokenizer = load_tokenizer(vocabulary)
    task, encoded, targets = training_set(name, data_dir, tokenizer)

    def mean(grouped: bool) -> float:
        """Width, by the batches that training would make."""
        batches = TrainingBatches(encoded, targets, tokenizer.pad_id, task.batch_size, 0, grouped)
        return round(float(np.mean([batch.input_ids.shape[1] for step in range(batches.steps_per_epoch)
                                    for batch in batches.at(step, 0, 1, task.batch_size)])), 1)

    return {"task": name, "batch_size": task.batch_size,
            "mean_length": round(float(np.mean([len(ids) for ids in encoded.ids])), 1),
            "similar_lengths": mean(True), "random_batches": mean(False)}


def compare(name: str, data_dir: str, vocabulary: str, steps: int, repeats: int, architecture: Architecture,
            tuned: bool) -> dict:
    """One task; the first run of each is left out."""
    tokenizer = load_tokenizer(vocabulary)
    task, encoded, targets = training_set(name, data_dir, tokenizer)
    ours = our_run(encoded, targets, tokenizer.pad_id, task.batch_size, steps, architecture)
    missing = {}
    try:
        runs = [ours, trainer_run(encoded, targets, vocabulary, task.batch_size, steps, architecture, tuned)]
    except ImportError as reason:
        runs, missing = [ours], {"transformers' Trainer": str(reason)}
    for run in runs:
        run(0)
    measured = np.array([[run(seed) for run in runs] for seed in range(1, repeats + 1)])  # (repeats, runs, two clocks)
    examples = steps * task.batch_size / np.median(measured[:, :, 0], axis=0)  # a second, of each
    found = {"task": name, "architecture": list(architecture.as_tuple()), "batch_size": task.batch_size, "steps": steps,
             "repeats": repeats, "tuned_peer": tuned, "threads": int(os.environ["OMP_NUM_THREADS"]),
             "bort_mx_examples_per_s": round(float(examples[0]), 1), "missing": missing}
    if missing:
        return found
    ratio, processor = (measured[:, 1, clock] / measured[:, 0, clock] for clock in (0, 1))
    return {**found, "trainer_examples_per_s": round(float(examples[1]), 1),
            "ratio_median": round(float(np.median(ratio)), 2),
            "ratio_quartiles": [round(float(q), 2) for q in np.percentile(ratio, [25, 75])],
            "processor_time_ratio_median": round(float(np.median(processor)), 2)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--vocab", required=True)
    parser.add_argument("--tasks", nargs="+", default=["SST-2", "RTE"])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--architecture", default=",".join(map(str, PRESETS["bort"].as_tuple())))
    parser.add_argument("--tuned-peer", action="store_true",
                        help="let the Trainer group texts by length, and use bf16 autocast where the processor has it")
    parser.add_argument("--widths", action="store_true", help="count the batches' widths, train nothing")
    options = parser.parse_args()
    runtime.keep_freed_memory()  # before MXNet starts its threads, as a run does; the Trainer gains from it too
    for name in options.tasks:
        found = (widths(name, options.data_dir, options.vocab) if options.widths else
                 compare(name, options.data_dir, options.vocab, options.steps, options.repeats,
                         Architecture.parse(options.architecture), options.tuned_peer))
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()

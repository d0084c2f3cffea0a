"""What several test files of fine-tuning share: sizes, command lines, readers of what a run wrote, small data sets."""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import safetensors.numpy

from bort_mx import Architecture
from bort_mx.data.batches import TrainingBatches
from bort_mx.data.encoding import EncodedExamples
from bort_mx.data.tasks import synthetic
from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.models import build_model

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIZES = {"train": 96, "dev": 40, "test": 40}
TINY = Architecture(1, 2, 16, 24)


def arguments(options, **changes):
    """Options as a command line."""
    values = dataclasses.asdict(dataclasses.replace(options, **changes))
    default = dataclasses.asdict(FineTuningOptions())
    return [part for name, value in values.items() if value != default[name]
            for part in (f"--{name.replace('_', '-')}", str(value))]


def start(*words, launcher=()):
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    return subprocess.Popen([*launcher, sys.executable, str(ROOT / "run_finetune.py"), *map(str, words)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT)


def rows(directory):
    """metrics.jsonl without the clock."""
    lines = (pathlib.Path(directory) / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "tokens_per_s"} for line in lines]


def results_of(directory):
    return json.loads((pathlib.Path(directory) / "results.json").read_text())


def weights(directory, name="step-24"):
    return safetensors.numpy.load_file(pathlib.Path(directory) / f"checkpoints/{name}/model.safetensors")


def copa(folder, counts):
    """A few questions in COPA's format; the right alternative repeats the premise."""
    nouns = ("cat", "dog", "king", "queen")
    for split, count in counts.items():
        records = [{"idx": i, "premise": f"the {nouns[i % 4]} slept .", "question": ("cause", "effect")[i % 2],
                    f"choice{1 + i % 2}": f"the {nouns[i % 4]} ate .",
                    f"choice{2 - i % 2}": f"the {nouns[(i + 1) % 4]} ate .",
                    **({} if split == "test" else {"label": i % 2})} for i in range(count)]
        path = folder / "superglue/COPA" / f"{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(record) + "\n" for record in records))


def entailment(folder):
    """RTE's and its diagnostics' files, a few examples each."""
    pairs = synthetic.generate({"train": 24, "dev": 12})
    names = {"train": "train.jsonl", "dev": "val.jsonl"}
    for split, found in pairs.items():
        path = folder / "superglue/RTE" / names[split]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps({"idx": i, "premise": a, "hypothesis": b, "label": label}) + "\n"
                                for i, (a, b, label) in enumerate(found)))
    path = folder / "superglue/AX-b/AX-b.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps({"idx": str(i), "sentence1": a, "sentence2": b, "label": label, "logic": "x"})
                            + "\n" for i, (a, b, label) in enumerate(pairs["dev"])))


def described(pairs, folder, labels, name="own.yaml"):
    """The small task with its labels in another order, or spelled otherwise."""
    shutil.copytree(pairs.parent, folder)
    description = (folder / name).read_text()
    assert "labels: [not_entailment, entailment]" in description
    (folder / name).write_text(description.replace("[not_entailment, entailment]", labels))
    return str(folder / name)


def classifier(tokenizer, **options):
    return build_model(TINY, tokenizer.vocab_size, "classifier", num_positions=64, dropout=0.0, **options)


def training(tokenizer, batch_size=8, count=24, **options):
    rng = np.random.default_rng(0)
    ids = [[0, *rng.integers(4, tokenizer.vocab_size - 1, rng.integers(3, 40)), 2] for _ in range(count)]
    encoded = EncodedExamples(ids, [[0] * len(row) for row in ids], 0)
    return TrainingBatches(encoded, rng.integers(0, 2, count), tokenizer.pad_id, batch_size, 0, **options)

"""The share of a training step that loading and masking its batch takes, at Bort's size.

    python benchmarks/loading_share.py --shapes 8x128 4x512 --repeats 7

The batches are real ones, of the built-in text; loading means reading the sequences from the memory-mapped shards,
masking them and making the arrays, as run_pretraining.py does before each step.
"""

import argparse
import itertools
import json
import pathlib
import tempfile
import time

import numpy as np

from bort_mx import PRESETS
from bort_mx.commands.prepare import PrepareOptions, prepare
from bort_mx.data import sample_text
from bort_mx.data.masking import MaskedBatches
from bort_mx.data.shards import TokenShards
from bort_mx.distributed import Workers
from bort_mx.models import build_model, parameters_of
from bort_mx.pretraining.objective import PretrainingObjective
from bort_mx.training.optimizers import AdamW
from bort_mx.training.step import TrainingStep


def shards(folder: pathlib.Path) -> TokenShards:
    """Token shards of the built-in text."""
    text = folder / "text.txt"
    text.write_text("\n".join(itertools.islice(sample_text.paragraphs(), 6000)), encoding="utf-8")
    prepare(PrepareOptions([str(text)], str(folder / "data"), train_vocab=4000))
    return TokenShards(folder / "data", "train")


def measure(source: TokenShards, size: int, length: int, repeats: int) -> dict:
    """Median seconds of loading and of the step, and the share of loading in both together."""
    tokenizer = source.tokenizer()
    batches = MaskedBatches(source, tokenizer, length, seed=0)
    model = build_model(PRESETS["bort"], 50265, "mlm")
    core = TrainingStep(PretrainingObjective(model), AdamW(parameters_of(model)), Workers(), clip=1.0)
    weights = parameters_of(model)["word_embed.0.weight"].data()
    rows = []
    for step in range(repeats + 1):
        start = time.perf_counter()
        batch = batches.at(step, size)
        loaded = time.perf_counter()
        core([batch], 1e-4)
        weights.wait_to_read()
        rows.append((loaded - start, time.perf_counter() - loaded))
    loading, training = np.median(np.array(rows[1:]), axis=0)
    return {"shape": f"{size}x{length}", "loading_ms": round(1e3 * loading, 2), "step_ms": round(1e3 * training, 1),
            "share_percent": round(100 * loading / (loading + training), 3), "repeats": repeats}


def main() -> None:
    """Measure and print one JSON line a shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", default=["8x128", "4x512"])
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = shards(pathlib.Path(folder))
        for shape in arguments.shapes:
            print(json.dumps(measure(source, *map(int, shape.split("x")), arguments.repeats)), flush=True)


if __name__ == "__main__":
    main()

"""How often an int8 ONNX file of a trained MLM has the float32 file's most probable word, on real text.

    python benchmarks/int8_agreement.py CHECKPOINT TEXT [--lines 200]

15 % of each line's tokens are masked at random (seed 0); both files are exported anew and see the same input. Printed:
the share of masked positions at which their most probable words agree, and the accuracy of each.
"""

import argparse
import json
import pathlib
import sys
import tempfile
from typing import Iterable, Iterator, Tuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from bort_mx import random  # noqa: E402
from bort_mx.checkpoints import onnx_export, read  # noqa: E402
from bort_mx.checkpoints.onnx_model import OnnxModel  # noqa: E402
from bort_mx.data import Tokenizer  # noqa: E402

Masked = Tuple[np.ndarray, np.ndarray, np.ndarray]


def masked_lines(tokenizer: Tokenizer, lines: Iterable[str], longest: int, seed: int = 0) -> Iterator[Masked]:
    """(ids with masks, positions of the masks, the true ids there) of each line with at least one mask."""
    for number, line in enumerate(lines):
        ids = np.array(tokenizer.encode(line, recognise_specials=False, max_length=longest))
        rng = random.generator(seed, "int8 agreement", number)
        places = 1 + np.flatnonzero(rng.random(len(ids) - 2) < 0.15)
        if len(places):
            truth = ids[places].copy()
            ids[places] = tokenizer.mask_id
            yield ids, places, truth


def main() -> None:
    """Export both files, ask both, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--output", help="write the figures to this JSON file")
    options = parser.parse_args()
    weights = read(options.checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        models = []
        for int8 in (False, True):
            path = pathlib.Path(folder) / f"int8-{int8}.onnx"
            print("\n".join(onnx_export.export(weights, path, "mlm", int8)))
            models.append(OnnxModel(path))
        lines = [line for line in options.text.read_text(encoding="utf-8").splitlines() if line.strip()][:options.lines]
        best, truths = ([], []), []
        for ids, places, truth in masked_lines(weights.tokenizer, lines, weights.config.num_positions):
            for found, model in zip(best, models):
                found.append(model(ids[None])[0, places].argmax(-1))
            truths.append(truth)
    full, small, truth = (np.concatenate(values) for values in (*best, truths))
    figures = {"masked_positions": len(truth), "top1_agreement": float((full == small).mean()),
               "accuracy_fp32": float((full == truth).mean()), "accuracy_int8": float((small == truth).mean())}
    print(", ".join(f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}"
                    for name, value in figures.items()))
    if options.output:
        pathlib.Path(options.output).write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Latency of the students' shapes beside their teacher's, as ONNX files in float32 and int8, one thread, batch 1.

    python benchmarks/students_latency.py [--rounds 60] [--lengths 16 64 128]

Weights are random, as a pass takes the same time with any; files are written by `bort-mx export`. One pass of each file
in turn. Printed, as Markdown: median milliseconds (quartiles); speed is the median over rounds of the teacher's int8
time by this one's. To be run alone.
"""

import argparse
import os
import pathlib
import sys
import tempfile
import time
from typing import Dict, List

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402

from bort_mx.architecture import Architecture  # noqa: E402
from bort_mx.checkpoints import directory as checkpoint_directory  # noqa: E402
from bort_mx.checkpoints import onnx_export  # noqa: E402
from bort_mx.checkpoints.weights import Weights  # noqa: E402
from bort_mx.machine import cpu_name, instructions  # noqa: E402
from bort_mx.models import build_model  # noqa: E402

SHAPES = {"teacher": "6,12,384,1536", "wide": "4,12,384,1536", "inner": "4,4,256,1024"}
BASE = "teacher, int8"
VOCABULARY, POSITIONS = 30522, 512


def sessions(folder: pathlib.Path) -> Dict[str, onnxruntime.InferenceSession]:
    """Every shape in float32 and in int8."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    found = {}
    for name, shape in SHAPES.items():
        model = build_model(Architecture.parse(shape), VOCABULARY, num_positions=POSITIONS, family="bert", dropout=0.0)
        weights = Weights(model.config, checkpoint_directory.tensors_of(model), None, "benchmark")
        for kind in ("float32", "int8"):
            path = folder / f"{name}-{kind}.onnx"
            onnx_export.export(weights, path, int8=kind == "int8")
            found[f"{name}, {kind}"] = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return found


def measure(found: Dict[str, onnxruntime.InferenceSession], length: int, rounds: int) -> Dict[str, List[float]]:
    """Milliseconds of every round, after two that are not counted."""
    ids = np.random.default_rng(0).integers(1000, VOCABULARY, (1, length))
    given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    times: Dict[str, List[float]] = {name: [] for name in found}
    for _ in range(rounds + 2):
        for name, session in found.items():
            feed = {put.name: given[put.name] for put in session.get_inputs()}
            begin = time.perf_counter()
            session.run(None, feed)
            times[name].append(1e3 * (time.perf_counter() - begin))
    return {name: values[2:] for name, values in times.items()}


def main() -> None:
    """Write the files, time them in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 64, 128])
    options = parser.parse_args()
    has = ", ".join(name for name, there in instructions().items() if there)
    print(f"{cpu_name()} ({has}), onnxruntime {onnxruntime.__version__}, one thread, "
          f"{options.rounds} rounds\n")
    print("| model | " + " | ".join(f"{length} tokens | speed" for length in options.lengths) + " |")
    print("|---|" + "---|---|" * len(options.lengths))
    with tempfile.TemporaryDirectory() as folder:
        found = sessions(pathlib.Path(folder))
        columns = [measure(found, length, options.rounds) for length in options.lengths]
    for name in found:
        kind = name.split(", ")[0]
        cells = []
        for times in columns:
            low, median, high = np.percentile(times[name], [25, 50, 75])
            faster = np.median(np.array(times[BASE]) / np.array(times[name]))
            cells += [f"{median:.2f} ms ({low:.2f} to {high:.2f})", f"{faster:.2f}"]
        print(f"| {name.replace(kind, f'{kind} <{SHAPES[kind]}>')} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

"""ONNX files of Bort and their peers at b = 1, s = 512 on ONNX Runtime, interleaved, two threads.

    python benchmarks/onnx_speed.py [--architecture bort] [--rounds 30] [--int8-tools DIR]

Files: ours in float32 and int8 (`bort-mx export`), and transformers' model with the same weights exported by PyTorch
(TorchScript exporter, opset 17, dynamic axes; attention eager and sdpa), and its dynamic int8 graph by
`onnxruntime.quantization.quantize_dynamic` with default settings but signed weights. To hold: ours in float32 no slower
than PyTorch's, ours in int8 no slower than its int8. Both int8 graphs' distance from float32 is printed too.

ONNX Runtime 1.32's quantizer does not import beside onnx 1.14. `--int8-tools` names a folder with an onnx and an
ml_dtypes that it can use (pip install --no-deps --target DIR onnx==1.17.0 ml_dtypes==0.5.1); without it the peer's int8
graph is left out, and said to be.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
THREADS = 2
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np  # noqa: E402

from bort_mx.architecture import Architecture  # noqa: E402

QUANTIZE = """
import sys
sys.path.insert(0, sys.argv[1])
from onnxruntime.quantization import QuantType, quantize_dynamic
quantize_dynamic(sys.argv[2], sys.argv[3], weight_type=QuantType.QInt8)
"""


def write_files(folder: pathlib.Path, architecture: Architecture, tools: str) -> None:
    """Write every file to compare; the same random weights in all."""
    from bort_mx.checkpoints import convert, onnx_export, read
    from bort_mx.checkpoints import directory as checkpoint_directory
    from bort_mx.checkpoints.weights import Weights
    from bort_mx.models import build_model

    model = build_model(architecture, 50265, dropout=0.0)
    weights = Weights(model.config, checkpoint_directory.tensors_of(model), None, "benchmark")
    convert.convert(weights, folder / "hf", "hf")
    weights = read(folder / "hf")
    for name, int8 in (("ours-fp32", False), ("ours-int8", True)):
        print("\n".join(onnx_export.export(weights, folder / f"{name}.onnx", int8=int8)), flush=True)
    for attention in ("eager", "sdpa"):
        write_peer(folder, attention)
    if tools:
        for attention in ("eager", "sdpa"):
            arguments = [str(folder / f"torch-{attention}-{kind}.onnx") for kind in ("fp32", "int8")]
            subprocess.run([sys.executable, "-W", "ignore", "-c", QUANTIZE, tools, *arguments], check=True)
    else:
        print("the peer's int8 graph is left out: no --int8-tools")


def write_peer(folder: pathlib.Path, attention: str) -> None:
    """Export transformers' model by PyTorch."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = transformers.AutoModel.from_pretrained(folder / "hf", attn_implementation=attention,
                                                   add_pooling_layer=False).eval()

    class States(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask):
            return self.model(input_ids=input_ids, attention_mask=attention_mask)[0]

    ids = torch.full((1, 512), 7)
    axes = {0: "batch_size", 1: "sequence_length"}
    torch.onnx.export(States(), (ids, torch.ones_like(ids)), str(folder / f"torch-{attention}-fp32.onnx"), dynamo=False,
                      opset_version=17, input_names=["input_ids", "attention_mask"], output_names=["last_hidden_state"],
                      dynamic_axes={"input_ids": axes, "attention_mask": axes, "last_hidden_state": axes})


def measure(folder: pathlib.Path, rounds: int, length: int) -> dict:
    """Seconds of each file, one run of each in turn, and the distance of its output from our float32 file's."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    ids = np.random.default_rng(0).integers(5, 50000, (1, length))
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    files = sorted(folder.glob("*.onnx"))
    sessions = {file.stem: onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
                for file in files}
    outputs = {name: session.run(None, feed)[0] for name, session in sessions.items()}
    times = {name: [] for name in sessions}
    for _ in range(rounds):
        for name, session in sessions.items():
            begin = time.perf_counter()
            session.run(None, feed)
            times[name].append(time.perf_counter() - begin)
            time.sleep(0.02)  # lets the threads of this session stop spinning before the next one starts
    want = outputs["ours-fp32"]
    return {f.stem: {"median_s": float(np.median(times[f.stem])), "min_s": min(times[f.stem]),
                     "relative_rms": float(np.sqrt(np.square(outputs[f.stem] - want).mean() / np.square(want).mean())),
                     "megabytes": f.stat().st_size / 1e6} for f in files}


def main() -> None:
    """Export all files, time them in turn, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--architecture", default="bort")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--int8-tools", default="")
    parser.add_argument("--output", help="write the figures to this JSON file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_files(pathlib.Path(folder), Architecture.parse(options.architecture), options.int8_tools)
        figures = measure(pathlib.Path(folder), options.rounds, options.length)
    for name, row in figures.items():
        print(f"{name:18} median {row['median_s'] * 1e3:7.1f} ms, least {row['min_s'] * 1e3:7.1f} ms, "
              f"{row['megabytes']:6.1f} MB, relative rms from ours-fp32 {row['relative_rms']:.1e}")
    if options.output:
        pathlib.Path(options.output).write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()

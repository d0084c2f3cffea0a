"""Load a checkpoint of RoBERTa-large's size: seconds, and peak memory over the file's size.

    python benchmarks/load_large.py

Writes a Hugging Face directory with 355 M random weights (1.4 GB) to a temporary folder, loads it in a process of its
own as a user would, and removes it. To hold: peak resident memory (VmHWM, so Linux only) below 2.2 times the file, and
under 20 s on two cores. The peak is that of the whole process, Python's and MXNet's libraries included.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import safetensors.numpy

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bort_mx.architecture import PRESETS  # noqa: E402
from bort_mx.checkpoints import tensor_names  # noqa: E402
from bort_mx.models import ModelConfig  # noqa: E402

LOAD = """
import json, re, sys, time
def memory(field):
    return int(re.search(field + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
sys.path.insert(0, sys.argv[1])
begin = time.perf_counter()
import mxnet as mx
from bort_mx.checkpoints import load
imported = time.perf_counter()
before = memory("VmRSS")
model, _, config = load(sys.argv[2])
mx.nd.waitall()
print(json.dumps({"import_s": imported - begin, "load_s": time.perf_counter() - imported, "before_bytes": before,
                  "peak_bytes": memory("VmHWM")}))
"""


def write_random(directory: pathlib.Path, architecture: str) -> int:
    """Write random weights in Hugging Face's layout; returns the size of model.safetensors in bytes."""
    config = ModelConfig(PRESETS[architecture], 50265)
    D, A, H, I = config.architecture.as_tuple()
    table = tensor_names.hugging_face_names(D, "roberta")
    rng = np.random.default_rng(0)
    tensors = {}
    for name, shape in {**tensor_names.encoder_shapes(config), **tensor_names.head_shapes(config)}.items():
        if name in table and not name.startswith("pooler"):
            rows = (shape[0] + 2, *shape[1:]) if name == "encoder.position_weight" else shape
            prefix = "" if table[name].startswith("lm_head") else "roberta."
            tensors[prefix + table[name]] = rng.standard_normal(rows, np.float32) * np.float32(0.02)
    tensors["roberta.embeddings.token_type_embeddings.weight"] = np.zeros((1, H), np.float32)
    safetensors.numpy.save_file(tensors, directory / "model.safetensors")
    (directory / "config.json").write_text(json.dumps({
        "model_type": "roberta", "num_hidden_layers": D, "num_attention_heads": A, "hidden_size": H,
        "intermediate_size": I, "vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1,
        "layer_norm_eps": 1e-5, "hidden_act": "gelu", "pad_token_id": 1}))
    return (directory / "model.safetensors").stat().st_size


def main() -> None:
    """Write the file, load it in a process of its own, print time and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--architecture", default="roberta-large", choices=sorted(PRESETS))
    parser.add_argument("--output", help="append the figures to this file of JSON lines")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        size = write_random(pathlib.Path(folder), options.architecture)
        done = subprocess.run([sys.executable, "-c", LOAD, str(ROOT), folder], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    figures = {"architecture": options.architecture, "file_bytes": size, **json.loads(done.stdout)}
    figures["peak_over_file"] = figures["peak_bytes"] / size
    print(f"{options.architecture}: file {size / 1e9:.2f} GB; import {figures['import_s']:.1f} s, "
          f"load {figures['load_s']:.1f} s; peak memory {figures['peak_bytes'] / 1e9:.2f} GB, "
          f"{figures['peak_over_file']:.2f} times the file")
    print(json.dumps(figures))
    if options.output:
        with open(options.output, "a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()

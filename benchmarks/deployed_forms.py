"""A fine-tuned classifier as `export --auto` deploys it, beside what a user would deploy instead.

    python benchmarks/deployed_forms.py CHECKPOINT OURS.onnx TASK DATA_DIR [--rounds 5] [--int8-tools DIR]

CHECKPOINT is a fine-tuning run, OURS.onnx what `bort-mx export CHECKPOINT OURS.onnx --auto --task TASK` wrote. Peers
have the same weights: transformers' model in PyTorch float32, compiled, and in dynamic int8; PyTorch's ONNX export
of it in ONNX Runtime, float32 and dynamic int8 (`--int8-tools`: see onnx_speed.py); and in OpenVINO, float32 (bfloat16
where the CPU has it). What is not installed is left out, and said to be. Timed are 32 dev texts of the lengths that
occur, one by one, and in batches of 16 of mixed lengths as they come: ours sorts them first, as its pipeline does.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import numpy as np  # noqa: E402
from onnx_speed import QUANTIZE  # noqa: E402

THREADS = int(os.environ["OMP_NUM_THREADS"])


def torch_model(folder: pathlib.Path):
    """transformers' classifier."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(THREADS)
    return transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval().requires_grad_(False)


def torch_call(model):
    """ids (B, s), mask (B, s) → logits (B, C)."""
    import torch

    def run(ids, mask):
        with torch.inference_mode():
            return model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))[0].numpy()
    return run


def peers(folder: pathlib.Path, tools: str) -> dict:
    """Name → function of ids and mask."""
    import onnxruntime
    import torch

    model = torch_model(folder)
    found = {"PyTorch": torch_call(model), "PyTorch compiled": torch_call(torch.compile(model, dynamic=True)),
             "PyTorch dynamic int8": torch_call(torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}))}
    axes, ids = {0: "batch", 1: "length"}, torch.full((1, 16), 7)
    exported = folder / "torch.onnx"

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model  # a part of it, so that the weights become initializers, which quantizing looks at

        def forward(self, input_ids, attention_mask):
            return self.model(input_ids=input_ids, attention_mask=attention_mask)[0]

    torch.onnx.export(Logits().eval(), (ids, torch.ones_like(ids)), str(exported), dynamo=False, opset_version=17,
                      input_names=["input_ids", "attention_mask"], output_names=["logits"],
                      dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "batch"}})
    files = {"ONNX Runtime": exported}
    if tools:
        files["ONNX Runtime dynamic int8"] = folder / "torch-int8.onnx"
        subprocess.run([sys.executable, "-W", "ignore", "-c", QUANTIZE, tools, str(exported),
                        str(folder / "torch-int8.onnx")], check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    for name, path in files.items():
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        found[name] = lambda ids, mask, session=session: session.run(
            None, {"input_ids": ids, "attention_mask": mask})[0]
    if importlib.util.find_spec("openvino"):
        import openvino

        request = openvino.Core().compile_model(str(exported), "CPU", {
            "INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY"}).create_infer_request()
        found["OpenVINO"] = lambda ids, mask: request.infer({"input_ids": ids, "attention_mask": mask})[0].copy()
    else:
        print("OpenVINO is left out: not installed")
    return found


def padded(part, pad_id: int):
    """Ids and mask (B, s), int64."""
    ids = np.full((len(part), max(map(len, part))), pad_id, np.int64)
    for row, text in enumerate(part):
        ids[row, :len(text)] = text
    return ids, (np.arange(ids.shape[1])[None] < np.array([[len(text)] for text in part])).astype(np.int64)


def main() -> None:
    """Time in turn, score all, print one JSON line for each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("checkpoint", "ours", "task", "data_dir"):
        parser.add_argument(name)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--int8-tools", default="")
    options = parser.parse_args()
    from bort_mx.checkpoints import convert, read
    from bort_mx.data.tasks import get_task
    from bort_mx.inference import pipeline

    model, tokenizer = pipeline.open_model(options.ours, "classifier")
    task = get_task(options.task)
    dev = task.read(options.data_dir, "dev").cleaned()
    encoded, _ = pipeline.encode_texts(model, tokenizer, pipeline.texts_of(dev))
    with tempfile.TemporaryDirectory() as folder:
        convert.convert(read(options.checkpoint), pathlib.Path(folder) / "hf", "hf")
        runs = {"ours": lambda ids, mask: model(ids, mask.sum(1)), **peers(pathlib.Path(folder) / "hf",
                                                                         options.int8_tools)}
        by_length = sorted(encoded, key=len)
        sample = [by_length[i] for i in np.linspace(0, len(encoded) - 1, 32).round().astype(int)]
        mixed = [sample[i] for i in np.random.default_rng(0).permutation(32)]
        single = [padded([text], tokenizer.pad_id) for text in sample]
        batches = {True: [padded(sample[i:i + 16], tokenizer.pad_id) for i in (0, 16)],
                   False: [padded(mixed[i:i + 16], tokenizer.pad_id) for i in (0, 16)]}
        times = {name: [] for name in runs}
        for number in range(options.rounds + 1):
            for name, run in runs.items():
                row = []
                for work in (single, batches[name == "ours"]):
                    begin = time.perf_counter()
                    for ids, mask in work:
                        run(ids, mask)
                    row.append((time.perf_counter() - begin) / 32)
                if number:  # the first round compiles
                    times[name].append(row)
        scores = {}
        for name, run in runs.items():
            logits = np.concatenate([run(*padded(encoded[i:i + 8], tokenizer.pad_id))
                                     for i in range(0, len(encoded), 8)])
            scores[name] = task.metrics_of(dev, task.predictions_from_scores(dev, logits))[task.criterion]
    for name, found in times.items():
        found = np.array(found)
        alone, batched = np.median(found, axis=0) * 1e3
        ratios = np.median(found / np.array(times["ours"]), axis=0)
        print(json.dumps({"form": name, "ms_alone": round(alone, 2), "ms_in_batch": round(batched, 2),
                          "ours_is_faster": [round(float(r), 2) for r in ratios],
                          task.criterion: round(100 * scores[name], 2)}), flush=True)


if __name__ == "__main__":
    main()

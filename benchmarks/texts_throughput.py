"""Texts a second, end to end with tokenisation, of `bort_mx` beside sentence-transformers on the same model and texts.

    python benchmarks/texts_throughput.py MODEL TEXTS [--onnx FILE] [--count 10000] [--rounds 3]

MODEL is a folder of sentence-transformers, TEXTS a file with a text a line, FILE what `bort-mx export MODEL FILE
--auto` wrote. Each embeds all texts in a process of its own; rounds are in turn. Printed are the median of texts a
second, the peak memory, and the largest difference of an embedding from sentence-transformers'.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import resource
import time

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np  # noqa: E402


def ours(path: str):
    """A function of texts, by a checkpoint in MXNet or an ONNX file."""
    from bort_mx.inference import pipeline

    model, tokenizer = pipeline.open_model(path, "encoder")
    return lambda texts: np.array(list(pipeline.embed(model, tokenizer, [(text, None) for text in texts])))


def theirs(path: str):
    """sentence-transformers with its own batches: by length, 32 texts each."""
    import sentence_transformers
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    return sentence_transformers.SentenceTransformer(path, device="cpu").encode


def serve(connection, kind: str, path: str, texts) -> None:
    """A process of its own: embed all texts whenever asked; answer with seconds, embeddings and peak memory."""
    run = {"ours": ours, "theirs": theirs}[kind](path)
    run(texts[:64])
    while connection.recv():
        begin, cpu = time.perf_counter(), time.process_time()
        found = run(texts)
        connection.send((time.perf_counter() - begin, time.process_time() - cpu, found,
                         resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def main() -> None:
    """Measure in turn, print one JSON line for each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("texts")
    parser.add_argument("--onnx")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    texts = pathlib.Path(options.texts).read_text(encoding="utf-8").splitlines()[:options.count]
    paths = {"sentence-transformers": ("theirs", options.model), "bort_mx, MXNet": ("ours", options.model)}
    if options.onnx:
        paths["bort_mx, --auto"] = ("ours", options.onnx)
    pipes, context = {}, multiprocessing.get_context("spawn")
    for name, (kind, path) in paths.items():
        pipes[name], other = context.Pipe()
        context.Process(target=serve, args=(other, kind, path, texts), daemon=True).start()
    rows = {name: [] for name in paths}
    for _ in range(options.rounds):
        for name, pipe in pipes.items():
            pipe.send(True)
            rows[name].append(pipe.recv())
    for pipe in pipes.values():
        pipe.send(False)
    want = rows["sentence-transformers"][0][2]
    rate = {name: len(texts) / np.median([row[0] for row in found]) for name, found in rows.items()}
    for name, found in rows.items():
        ratios = [theirs[0] / mine[0] for theirs, mine in zip(rows["sentence-transformers"], found)]
        print(json.dumps({"engine": name, "texts": len(texts), "texts_per_s": round(rate[name], 1),
                          "cpu_s": round(float(np.median([row[1] for row in found])), 2),
                          "ratio": round(float(np.median(ratios)), 3), "ratios": [round(r, 3) for r in ratios],
                          "peak_mb": round(found[-1][3]), "difference": float(np.abs(found[0][2] - want).max()),
                          "cosine": float((found[0][2] * want).sum(1).min())}), flush=True)


if __name__ == "__main__":
    main()

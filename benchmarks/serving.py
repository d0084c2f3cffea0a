"""`bort-mx serve` under load on loopback, beside the same ONNX file behind a plain FastAPI loop.

    python benchmarks/serving.py speed --texts DEV.tsv --tokenizer DIR --work DIR [--rounds 3] [--seconds 5]
    python benchmarks/serving.py soak --texts DEV.tsv --model MODEL [--requests 100000] [--clients 8]

Every client keeps one connection, sends a request with one text, waits for the answer, and sends the next. The clients
run in this process, the server in another, on the same cores. Weights are random: they decide no time. `speed` gives
rounds in turn to the servers and prints one JSON object for each server and number of clients: p50 and p99 of the
latency (ms, over all rounds) and texts a second (median and range over rounds). `soak` prints the server's resident
memory as it goes. The plain loop is what one writes first: each request is tokenized and run as it is, in FastAPI's
threads, without batches.
"""

import argparse
import asyncio
import contextlib
import csv
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import psutil  # noqa: E402

SMALL, BORT = "4,4,256,1024", "4,8,1024,768"
MODELS = {"small": (SMALL, "<4,4,256,1024>, MXNet, float32"), "bort": (BORT, "Bort <4,8,1024,768>, ONNX int8")}
CLIENTS = (1, 8, 64)
PARTS = 25
"""How often a soak looks at the memory."""


def write_models(work: pathlib.Path, tokenizer_path: str) -> None:
    """Classifiers with random weights: `small` as a checkpoint, `bort` as an int8 ONNX file."""
    if (work / "small").exists() and (work / "onnx" / "bort.onnx").exists():
        return
    from bort_mx.architecture import Architecture
    from bort_mx.checkpoints import onnx_export, read, save
    from bort_mx.data import load_tokenizer
    from bort_mx.models import build_model

    tokenizer = load_tokenizer(tokenizer_path)
    for name, (architecture, _) in MODELS.items():
        if not (work / name).exists():
            model = build_model(Architecture.parse(architecture), tokenizer.vocab_size, "classifier", 2)
            save(work / name, model, tokenizer)
    if not (work / "onnx" / "bort.onnx").exists():
        print("\n".join(onnx_export.export(read(work / "bort"), work / "onnx" / "bort.onnx", int8=True)), flush=True)


def plain_loop(path: str) -> None:
    """The other server: ONNX Runtime behind a function of FastAPI. Prints its address as `bort-mx serve` does."""
    from typing import List

    import fastapi
    import onnxruntime
    import pydantic
    import uvicorn

    from bort_mx.commands.serve import address_of, bind
    from bort_mx.data import load_tokenizer

    class Texts(pydantic.BaseModel):
        """A request."""

        texts: List[str]

    tokenizer, session = load_tokenizer(pathlib.Path(path).parent), onnxruntime.InferenceSession(path)
    app = fastapi.FastAPI()

    @app.post("/classify")
    def classify(request: Texts):
        """Tokenize, pad, run, answer."""
        rows = [tokenizer.encode(text) for text in request.texts]
        ids = np.ones((len(rows), max(map(len, rows))), np.int64)
        mask = np.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, :len(row)], mask[i, :len(row)] = row, 1
        logits = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        weights = np.exp(logits - logits.max(1, keepdims=True))
        return {"answers": [{"scores": row.tolist()} for row in weights / weights.sum(1, keepdims=True)]}

    listening = bind("127.0.0.1", 0)
    listening.listen(2048)
    print(f"plain loop on {address_of(listening)}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])


@contextlib.contextmanager
def server(*command: str):
    """A server's process and port."""
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


def port_of(process) -> int:
    """The port that a server prints when it is ready."""
    found = (re.search(r"127\.0\.0\.1:(\d+)", line) for line in process.stdout)
    return next(int(match[1]) for match in found if match)


async def client(port: int, bodies, first: int, step: int, until, latencies: list) -> None:
    """Requests in turn over one connection: bodies first, first + step, … ; `until(i)` says when to stop."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    i = first
    while not until(i):
        body = bodies[i % len(bodies)]
        began = time.perf_counter()
        writer.write(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                     b"Content-Length: %d\r\n\r\n"
                     % len(body) + body)
        head = await reader.readuntil(b"\r\n\r\n")
        answer = await reader.readexactly(int(re.search(rb"content-length: (\d+)", head.lower())[1]))
        if b" 200 " not in head.split(b"\r\n")[0] or b"answers" not in answer:
            raise RuntimeError(f"{head!r} {answer[:200]!r}")
        latencies.append(time.perf_counter() - began)
        i += step
    writer.close()
    await writer.wait_closed()


def load(port: int, bodies, clients: int, seconds: float = 0.0, requests: int = 0, begin: int = 0):
    """Latencies in seconds, and the time that all took."""
    latencies: list = []
    began = time.perf_counter()

    def until(i: int) -> bool:
        """Whether a client has done its part."""
        return i >= begin + requests if requests else time.perf_counter() - began >= seconds

    async def run() -> None:
        """All clients at once."""
        await asyncio.gather(*(client(port, bodies, begin + c, clients, until, latencies) for c in range(clients)))

    asyncio.run(run())
    return latencies, time.perf_counter() - began


def read_texts(path: str):
    """The sentences of a table with a column `sentence`, as bodies of requests."""
    with open(path, encoding="utf-8", newline="") as file:
        texts = [row["sentence"].strip() for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    return [json.dumps({"texts": [text]}).encode() for text in texts]


def speed(options) -> None:
    """Rounds in turn; see the module."""
    bodies = read_texts(options.texts)
    onnx = str(options.work / "onnx" / "bort.onnx")
    serve = ["-m", "bort_mx", "serve", "--port", "0", "--batch-wait", str(options.batch_wait)]
    commands = {MODELS["small"][1]: [*serve, str(options.work / "small")], MODELS["bort"][1]: [*serve, onnx],
                "the same ONNX file, plain FastAPI loop": [__file__, "plain", "--work", onnx]}
    measured: dict = {}
    with contextlib.ExitStack() as stack:
        processes = {name: stack.enter_context(server(*command)) for name, command in commands.items()}
        ports = {name: port_of(process) for name, process in processes.items()}
        for port in ports.values():
            for clients in CLIENTS:  # every shape is met before
                load(port, bodies, clients, seconds=options.seconds)
        for number in range(options.rounds):
            for clients in CLIENTS:
                for name, port in ports.items():
                    latencies, took = load(port, bodies, clients, seconds=options.seconds)
                    measured.setdefault((name, clients), []).append((latencies, len(latencies) / took))
                    print(f"round {number}, {clients} clients, {name}: {len(latencies) / took:.1f} texts/s", flush=True)
    for (name, clients), rounds in sorted(measured.items()):
        every = np.concatenate([latencies for latencies, _ in rounds]) * 1000
        rates = [rate for _, rate in rounds]
        print(json.dumps({"server": name, "clients": clients, "requests": len(every),
                          "p50_ms": round(float(np.percentile(every, 50)), 2),
                          "p99_ms": round(float(np.percentile(every, 99)), 2),
                          "texts_per_s": round(statistics.median(rates), 1),
                          "range": [round(min(rates), 1), round(max(rates), 1)]}), flush=True)


def soak(options) -> None:
    """Many requests; the server's memory after each part of them."""
    bodies = read_texts(options.texts)
    with server("-m", "bort_mx", "serve", "--port", "0", options.model) as process:
        port, memory = port_of(process), psutil.Process(process.pid)
        began, count = time.perf_counter(), options.requests // PARTS
        for part in range(PARTS + 1):
            if part:
                load(port, bodies, options.clients, requests=count, begin=(part - 1) * count)
            took = time.perf_counter() - began
            print(json.dumps({"requests": count * part, "resident_mb": round(memory.memory_info().rss / 1e6, 1),
                              "threads": memory.num_threads(), "open_files": memory.num_fds(),
                              "seconds": round(took, 1)}), flush=True)
            if took > options.limit:
                break


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=("speed", "soak", "plain"))
    parser.add_argument("--texts", help="a table with a column `sentence`")
    parser.add_argument("--tokenizer", help="a vocabulary, such as RoBERTa's folder")
    parser.add_argument("--work", type=pathlib.Path, help="folder for the models, which are made once")
    parser.add_argument("--model", help="of the soak: a classifier")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of one round with one number of clients")
    parser.add_argument("--batch-wait", type=float, default=0.0, help="ms, as in bort-mx serve")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds after which a soak ends early")
    chosen = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    if chosen.part == "plain":
        plain_loop(str(chosen.work))
    elif chosen.part == "soak":
        soak(chosen)
    else:
        write_models(chosen.work, chosen.tokenizer)
        speed(chosen)

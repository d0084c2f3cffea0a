"""Speed and memory of `prepare` beside the bare tokenizer: python benchmarks/prepare.py TEXT --tokenizer DIR.

Rules: the text is a real file, repeated to the size asked for, with a tenth of the words of every repetition drawn
anew from the file's own words, so that hardly a sentence is a duplicate. Both programs run alone, in turn, in fresh
processes, on all cores. Bare: `tokenizers.encode_batch` over the same lines, in batches of 1,000, its results thrown
away; reading the file and loading the vocabulary are not counted. Prepare: everything from start to exit is counted.
Processor time is given beside, as it says more on a machine that others use too. Memory is the sum of the resident
sets of prepare's processes, sampled every 50 ms (pages that they share count twice).
"""

import argparse
import gzip
import json
import os
import pathlib
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Iterator, List, Tuple

import psutil
import tokenizers

from bort_mx.data import sample_text

BARE = """
import sys, time
from tokenizers import ByteLevelBPETokenizer
tokenizer = ByteLevelBPETokenizer(sys.argv[2] + "/vocab.json", sys.argv[2] + "/merges.txt")
lines = [line.rstrip("\\n") for line in open(sys.argv[1], encoding="utf-8")]
begin, processor = time.perf_counter(), time.process_time()
for start in range(0, len(lines), 1000):
    tokenizer.encode_batch(lines[start:start + 1000])
print(time.perf_counter() - begin, time.process_time() - processor)
"""


def read_lines(path: pathlib.Path) -> List[str]:
    """Lines of a text file, plain or .gz."""
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8").splitlines()


def perturbed(lines: List[str], size: int, seed: int = 0) -> Iterator[str]:
    """Lines of about `size` bytes in all: the given ones again and again, a tenth of their words replaced."""
    rng = random.Random(seed)
    words = [word for line in lines[:2000] for word in line.split()]
    written = 0
    while True:
        for line in lines:
            text = line.split()
            for place in range(rng.randrange(10), len(text), 10):
                text[place] = rng.choice(words)
            joined = " ".join(text) + "\n"
            written += len(joined.encode())
            yield joined
            if written >= size:
                return


def train_vocabulary(text: pathlib.Path, folder: pathlib.Path) -> str:
    """A byte-level BPE vocabulary of 16,000, trained on a text file; the directory that holds it."""
    tokenizer = tokenizers.ByteLevelBPETokenizer()
    tokenizer.train([str(text)], vocab_size=16000, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    folder.mkdir()
    tokenizer.save_model(str(folder))
    return str(folder)


def run_bare(text: pathlib.Path, vocabulary: str) -> Tuple[float, float]:
    """Seconds of encode_batch over the file: on the clock, and of all processors."""
    result = subprocess.run([sys.executable, "-c", BARE, str(text), vocabulary], check=True, capture_output=True,
                            text=True)
    clock, processor = map(float, result.stdout.split())
    return clock, processor


def run_prepare(text: pathlib.Path, vocabulary: str, output: pathlib.Path) -> Tuple[float, float, int]:
    """Seconds of the whole command, on the clock and of all processors, and the most bytes resident in all together."""
    command = [sys.executable, "-m", "bort_mx", "prepare", "--data", str(text), "--output-dir", str(output),
               "--tokenizer", vocabulary]
    begin, before, peak = time.perf_counter(), children_time(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    root = psutil.Process(process.pid)
    while process.poll() is None:
        peak = max(peak, resident(root))
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"prepare failed with exit code {process.returncode}")
    return time.perf_counter() - begin, children_time() - before, peak


def children_time() -> float:
    """Processor seconds of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def resident(root: psutil.Process) -> int:
    """Bytes resident in a process and its descendants."""
    total = 0
    try:
        for process in [root, *root.children(recursive=True)]:
            total += process.memory_info().rss
    except psutil.NoSuchProcess:
        pass  # it ended while being looked at
    return total


def main() -> None:
    """Make the text, run both programs in turn, print one line of figures a round and the medians as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("text", type=pathlib.Path, nargs="?", help="a real text file, plain or .gz [built-in]")
    parser.add_argument("--tokenizer", help="directory with vocab.json and merges.txt [trained on the text]")
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the text to prepare")
    parser.add_argument("--rounds", type=int, default=3, help="times to run each program")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = pathlib.Path(folder, "text.txt")
        options.text = options.text or sample_text.write_corpus(pathlib.Path(folder, "built-in"))
        options.tokenizer = options.tokenizer or train_vocabulary(options.text, pathlib.Path(folder, "vocabulary"))
        with open(text, "w", encoding="utf-8") as file:
            file.writelines(perturbed(read_lines(options.text), options.megabytes * 1_000_000))
        size, rounds = text.stat().st_size / 1e6, []
        for number in range(options.rounds):
            bare, bare_cpu = run_bare(text, options.tokenizer)
            whole, whole_cpu, peak = run_prepare(text, options.tokenizer, pathlib.Path(folder, "out"))
            rounds.append({"encode_batch_mb_s": size / bare, "prepare_mb_s": size / whole, "ratio": bare / whole,
                           "ratio_of_processor_time": bare_cpu / whole_cpu, "peak_resident_mib": peak / 2**20})
            print(f"round {number + 1}: {json.dumps({k: round(v, 2) for k, v in rounds[-1].items()})}", flush=True)
        medians = {name: round(statistics.median(entry[name] for entry in rounds), 2) for name in rounds[0]}
        print(json.dumps({"megabytes": round(size, 1), "cores": len(os.sched_getaffinity(0)), **medians}))


if __name__ == "__main__":
    main()

"""Time the programs of docs/compared.md, each in a process of its own, imports included, in turns.

    python benchmarks/compared.py --messages messages.csv --classifier runs/messages --texts TEXTS [--rounds 3]
"""

import argparse
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
COUNT = 2000


def programs():
    """Name → program, from the document."""
    text = (ROOT / "docs/compared.md").read_text(encoding="utf-8")
    return dict(re.findall(r"`([\w-]+)`:\n\n```python\n(.*?)```", text, re.DOTALL))


def prepare(folder, messages, classifier, texts):
    """The files that the programs name."""
    from bort_mx import hub
    from bort_mx.checkpoints import read
    from bort_mx.checkpoints.convert import convert

    (folder / "messages.csv").write_bytes(messages.read_bytes())
    (folder / "classifier").symlink_to(classifier.resolve())
    convert(read(classifier), folder / "classifier-hf", "hf")
    (folder / "encoder").symlink_to(hub.fetch("sentence-transformers/all-MiniLM-L6-v2"))
    lines = [line.split("\t")[0] for line in texts.read_text(encoding="utf-8").splitlines()[1:COUNT + 1]]
    (folder / "texts.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(folder, program):
    """Seconds of a program in a process of its own."""
    for name in ("ours", "theirs"):
        shutil.rmtree(folder / name, ignore_errors=True)
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "HF_HUB_OFFLINE": "1"})
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return time.perf_counter() - start


def main():
    """Run every program in each round; print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("messages", "classifier", "texts"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        prepare(folder, arguments.messages, arguments.classifier, arguments.texts)
        seconds = {name: [] for name in programs()}
        for _ in range(arguments.rounds):
            for name, program in programs().items():
                seconds[name].append(run(folder, program))
                print(f"{name}: {seconds[name][-1]:.1f} s", flush=True)
    print("| program | lines | seconds, median (least–most) |\n|---|---|---|")
    for name, program in programs().items():
        found = seconds[name]
        spread = f"{statistics.median(found):.1f} ({min(found):.1f}–{max(found):.1f})"
        print(f"| {name} | {len(program.splitlines())} | {spread} |")


if __name__ == "__main__":
    main()

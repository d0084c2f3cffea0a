"""What one candidate of a search costs: three SGD steps below a teacher, and its evaluation, on the built-in text.

    python benchmarks/search_speed.py [--quick]

Runs `run_search.py` on the tour's space with a teacher that is not trained (speed does not depend on its weights).
Printed is one JSON line: seconds of the phases, and of a candidate.
"""

import argparse
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main() -> None:
    """Prepare text, write a teacher, search, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer candidates and lines")
    quick = parser.parse_args().quick
    from bort_mx import Architecture
    from bort_mx.checkpoints import save
    from bort_mx.commands.prepare import PrepareOptions, prepare
    from bort_mx.data import TokenShards, sample_text
    from bort_mx.models import build_model

    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        text = place / "text.txt"
        text.write_text("\n".join(itertools.islice(sample_text.paragraphs(), 3000)), encoding="utf-8")
        prepare(PrepareOptions([str(text)], str(place / "data"), train_vocab=4000))
        tokenizer = TokenShards(place / "data", "train").tokenizer()
        save(place / "teacher", build_model(Architecture(4, 4, 128, 512), tokenizer.vocab_size, "mlm",
                                            num_positions=64), tokenizer)
        command = [sys.executable, str(ROOT / "run_search.py"), "--config", "configs/tour_search.yaml", "--data",
                   str(place / "data"), "--teacher", str(place / "teacher"), "--output-dir", str(place / "search"),
                   *(["--epsilon", "6", "--evaluation-lines", "32"] if quick else [])]
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL,
                       env={**os.environ, "PYTHONPATH": str(ROOT)})
        runtime = json.loads((place / "search/runtime.json").read_text())
        candidates = len(json.loads((place / "search/results.json").read_text())["ranking"])
    phases = {name: round(seconds, 2) for name, seconds in runtime["phases_s"].items()}
    print(json.dumps({"candidates": candidates, "phases_s": phases, "threads": int(os.environ["OMP_NUM_THREADS"])}))


if __name__ == "__main__":
    main()

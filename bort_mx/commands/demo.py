"""`bort-mx demo`: the two things that this program is for, offline, in a few minutes on two cores.

The first part makes a model of one's own: it fine-tunes real pre-trained weights (all-MiniLM-L6-v2) on a small labelled
set, classifies sentences, and writes an 8-bit ONNX file. The second part is the paper's Figure 1 on a small scale: the
same student pre-trained alone and by distillation. Without the weights the demo has the second part alone.
"""

import contextlib
import dataclasses
import pathlib
import time
from typing import List, Optional

from bort_mx import hub
from bort_mx.commands import demo_classifier, demo_distillation
from bort_mx.commands.last_lines import command_line, say_last
from bort_mx.durations import in_words
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.options import at_least, parse_options
from bort_mx.provenance import provenance

DESCRIPTION = "Fine-tune a real model on a small labelled set, and repeat the paper's Figure 1 on a small scale."


@dataclasses.dataclass
class DemoOptions:
    """Options of `bort-mx demo`."""

    output_dir: str = "runs/demo"
    """Folder that everything is written into. An interrupted demo continues there."""

    texts: List[str] = dataclasses.field(default_factory=lambda: list(demo_classifier.TEXTS))
    """Sentences to classify in the first part: messages to a shop."""

    checkpoint: Optional[str] = None
    """Pre-trained checkpoint for the first part. Default: all-MiniLM-L6-v2 from its Python package, if that is
    installed."""

    teacher_steps: int = 700
    """Optimizer steps of the second part's teacher; a step has 32 sequences."""

    student_steps: int = 800
    """Optimizer steps of each student; a step has 4 sequences."""

    seeds: int = 3
    """Number of seeds of the students: of their initial weights, data order, masks and dropout."""

    seed: int = 0
    """The first seed."""

    def __post_init__(self):
        at_least(self, 1, "teacher_steps", "student_steps", "seeds")
        if not all(text.strip() for text in self.texts):
            raise InputError("--texts: a text is empty")


def main(argv: List[str]) -> int:
    """Run the demo; see the module."""
    options = parse_options(DemoOptions, argv, "bort-mx demo", DESCRIPTION)

    start, out = time.monotonic(), pathlib.Path(options.output_dir)
    checkpoint = options.checkpoint or hub.packaged(demo_classifier.WEIGHTS) and demo_classifier.WEIGHTS
    parts = [demo_classifier.FORECAST] if checkpoint else []
    print("The demo has these parts (times of two free cores):")
    for number, (what, minutes) in enumerate([*parts, demo_distillation.FORECAST], 1):
        print(f"  {number}. {what}: about {minutes} minutes")
    if not checkpoint:
        print(f"left out, since there are no weights here: {demo_classifier.FORECAST[0]} ({demo_classifier.REMEDY})")
    results = {}
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: print(f"{in_words(time.monotonic() - start)} in all", flush=True))
        if checkpoint:
            results["classifier"] = demo_classifier.run(out / "classifier", str(checkpoint), options.texts)
        seeds = range(options.seed, options.seed + options.seeds)
        results.update(demo_distillation.run(out, options.teacher_steps, options.student_steps, seeds))
        files.write_json(out / "results.json", {**results, "provenance": provenance()})
    first, *others = _following(out, checkpoint)
    say_last(f"{out}: results.json, demo.png", *first)
    for words in others:
        print(f"or: {command_line(*words)}", flush=True)
    return 0


def _following(out: pathlib.Path, checkpoint: Optional[object]) -> List[List[str]]:
    """The words of three commands that may come next."""
    student = f"{out / demo_distillation.STUDENTS['distillation']}-0"
    return [["finetune", "--train", "your-table.csv", "--checkpoint", str(checkpoint or student), "--output-dir",
             "runs/own"],
            ["search", "--config", "configs/tour_search.yaml", "--data", str(out / "data"), "--teacher",
             str(out / "teacher"), "--output-dir", "runs/search"],
            ["convert", str(out / "classifier" / "model") if checkpoint else student, "my-model", "--to", "hf"]]

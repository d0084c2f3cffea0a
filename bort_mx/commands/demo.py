"""`bort-mx demo`: the paper's Figure 1 on a small scale, offline, in a few minutes on two cores.

The text is the documentation of Python's standard library. The demo trains a vocabulary and a teacher, then a smaller
student twice: self-supervised, and by distillation from the teacher. It prints and plots the two students' validation
accuracy against steps.
"""

import contextlib
import dataclasses
import pathlib
import time
from typing import Any, Dict, List, Optional

from bort_mx.commands.last_lines import say_last
from bort_mx.io import files
from bort_mx.options import parse_options
from bort_mx.provenance import provenance

DESCRIPTION = "Repeat the paper's Figure 1 on a small scale: self-supervised pre-training beside distillation."
TEACHER = "2,4,192,768"
STUDENT = "2,4,128,512"
SENTENCES = ["The <mask> of the function is a string.", "Return the <mask> of the list.",
             "If the argument is not given, the default <mask> is used."]


@dataclasses.dataclass
class DemoOptions:
    """Options of `bort-mx demo`."""

    output_dir: str = "runs/demo"
    """Folder that everything is written into. An interrupted demo continues there."""

    teacher_steps: int = 800
    """Optimizer steps of the teacher; a step has 32 sequences."""

    student_steps: int = 1500
    """Optimizer steps of each student; a step has 4 sequences."""

    seed: int = 0
    """Random seed for the students' initial weights, data order, masks and dropout."""


def main(argv: List[str]) -> int:
    """Run the demo; see the module."""
    options = parse_options(DemoOptions, argv, "bort-mx demo", DESCRIPTION)
    start, out = time.monotonic(), pathlib.Path(options.output_dir)
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: print(f"{time.monotonic() - start:.0f} s in all", flush=True))
        data = _data(out)
        _train(out / "teacher", data, architecture=TEACHER, max_steps=options.teacher_steps, learning_rate=3e-3,
               batch_size=32, warmup=100)
        # τ = 1, not the paper's 2: so small a teacher's distribution is nearly flat, and τ = 2 would flatten it more.
        for name, extras in (("student-mlm", {}),
                             ("student-distilled", dict(teacher=str(out / "teacher"), temperature=1.0))):
            _train(out / name, data, architecture=STUDENT, max_steps=options.student_steps, learning_rate=1.5e-3,
                   batch_size=4, warmup=200, seed=options.seed, **extras)
        _report(out, options.teacher_steps)
    say_last(f"{out}: results.json, demo.png", "finetune", "--task", "demo", "--checkpoint", out / "student-distilled",
             "--output-dir", out / "finetuning")
    return 0


def _data(out: pathlib.Path) -> pathlib.Path:
    """Prepare the built-in text as token shards, with a vocabulary of 4,000 trained on it; return their folder."""
    from bort_mx.commands.prepare import PrepareOptions, prepare, summary
    from bort_mx.data import sample_text

    target = out / "data"
    if not (target / "manifest.json").is_file():
        print("1. Text: the documentation of Python's own standard library, and a vocabulary of 4,000", flush=True)
        text = sample_text.write_corpus(out / "text")
        print(summary(prepare(PrepareOptions([str(text)], str(target), train_vocab=4000))), flush=True)
    return target


def _train(directory: pathlib.Path, data: pathlib.Path, **changes: Any) -> None:
    from bort_mx.pretraining.options import PretrainingOptions
    from bort_mx.pretraining.pretrain import pretrain

    print(f"\n{directory.name}:", flush=True)
    options = dict(data=[str(data)], output_dir=str(directory), seq_len=64, log_interval=50, evaluation_interval=100,
                   evaluation_sequences=1024, evaluation_batch_size=32, checkpoint_interval=200, keep_checkpoints=1,
                   resume="auto")
    pretrain(PretrainingOptions(**{**options, **changes}))


def _report(out: pathlib.Path, teacher_steps: int) -> None:
    """Print the table, draw the plot, and fill some masks with the distilled student."""
    from bort_mx.checkpoints import load
    from bort_mx.commands.predict import fill_masks, table
    from bort_mx.report.curves import plot_curves, read_curve, steps_ratio

    runs = {"self-supervised": "student-mlm", "distillation": "student-distilled"}
    curves = {label: read_curve(out / run) for label, run in runs.items()}
    ratio = steps_ratio(curves["distillation"], curves["self-supervised"])
    teacher = read_curve(out / "teacher")[-1][1]
    print("\nvalidation MLM accuracy\n  step  self-supervised  distillation")
    for (step, mlm), (_, distilled) in zip(curves["self-supervised"], curves["distillation"]):
        print(f"{step:6d}  {mlm:15.1%}  {distilled:12.1%}")
    print(f"teacher <{TEACHER}>, {teacher_steps} steps: {teacher:.1%}\n" + verdict(ratio))
    plot_curves({label: [curve] for label, curve in curves.items()}, out / "demo.png",
                "Pre-training a student: Figure 1 of the paper, in small")
    files.write_json(out / "results.json", _results(curves, ratio, teacher))
    print(f"plot: {out / 'demo.png'}\n\nmasks filled by the distilled student:")
    model, tokenizer, _ = load(out / "student-distilled", "mlm")
    for answer in fill_masks(model, tokenizer, SENTENCES, top_k=3):
        print(table(answer))


def verdict(ratio: Optional[float]) -> str:
    """Say after which share of its steps distillation reaches the self-supervised student's final accuracy."""
    if ratio is None:
        return "distillation did not reach the self-supervised student's final accuracy"
    return (f"distillation has the self-supervised student's final accuracy after {ratio:.2f} of its steps "
            f"(the paper's Figure 1: 17,000 of 22,000, which is 0.77)")


def _results(curves: Dict, ratio: Optional[float], teacher: float) -> Dict:
    return {"curves": curves, "steps_ratio": ratio, "teacher_accuracy": teacher, "provenance": provenance()}

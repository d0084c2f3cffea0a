"""The demo's second part: the paper's Figure 1 on a small scale.

The text is the documentation of Python's standard library. A vocabulary and a teacher are trained on it, then a smaller
student with each seed twice: self-supervised, and by distillation from the teacher. Students of one seed are trained at
the same time, in two processes of one thread.
"""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from bort_mx.errors import RunError
from bort_mx.io import files

FORECAST = ("pre-train a small student alone and by distillation, on Python's documentation, three seeds", 7)
TEACHER = "2,4,192,768"
STUDENT = "2,4,128,512"
STUDENTS = {"self-supervised": "student-mlm", "distillation": "student-distilled"}
"""What the figure calls them, and how their folders begin; the seed follows."""
COMMON = dict(seq_len=64, log_interval=50, evaluation_interval=100, evaluation_sequences=512, evaluation_batch_size=32,
              checkpoint_interval=200, keep_checkpoints=1, resume="auto")


def run(out: pathlib.Path, teacher_steps: int, student_steps: int, seeds: Sequence[int]) -> Dict[str, Any]:
    """Prepare the text, train the teacher and all students, print the table and draw the figure.

    Args:
        out: the folder that everything is written into.
        teacher_steps: optimizer steps of the teacher.
        student_steps: optimizer steps of each student.
        seeds: of the students.
    Returns:
        the curves and what they show, for results.json.
    """
    from bort_mx.pretraining.options import PretrainingOptions
    from bort_mx.pretraining.pretrain import pretrain

    print("\nDistillation: the paper's Figure 1 in small", flush=True)
    data = _data(out)
    print(f"\nteacher <{TEACHER}>, {teacher_steps} steps", flush=True)
    pretrain(PretrainingOptions(data=[str(data)], output_dir=str(out / "teacher"), architecture=TEACHER,
                                max_steps=teacher_steps, learning_rate=3e-3, batch_size=32, warmup=100, **COMMON))
    for seed in seeds:
        print(f"\nstudents <{STUDENT}> with seed {seed}, both at once, {student_steps} steps", flush=True)
        _train_students(out, data, student_steps, seed)
    return _report(out, data, seeds)


def _data(out: pathlib.Path) -> pathlib.Path:
    """Prepare the built-in text as token shards, with a vocabulary of 4,000 trained on it; return their folder."""
    from bort_mx.commands.prepare import PrepareOptions, prepare, summary
    from bort_mx.data import sample_text

    target = out / "data"
    if not (target / "manifest.json").is_file():
        print("text: the documentation of Python's own standard library, and a vocabulary of 4,000", flush=True)
        text = sample_text.write_corpus(out / "text")
        print(summary(prepare(PrepareOptions([str(text)], str(target), train_vocab=4000))), flush=True)
    return target


def _train_students(out: pathlib.Path, data: pathlib.Path, steps: int, seed: int) -> None:
    """Train both students of a seed, each in a process of one thread; what they print goes to a file beside them."""
    # τ = 1, not the paper's 2: so small a teacher's distribution is nearly flat, and τ = 2 would flatten it more.
    extras = {"self-supervised": {}, "distillation": dict(teacher=str(out / "teacher"), temperature=1.0)}
    common = dict(data=str(data), architecture=STUDENT, max_steps=steps, learning_rate=1.5e-3, batch_size=4, warmup=200,
                  seed=seed, **COMMON)
    with concurrent.futures.ThreadPoolExecutor(len(extras)) as pool:
        lines = pool.map(lambda name: _train(out / f"{STUDENTS[name]}-{seed}", {**common, **extras[name]}), extras)
        for name, line in zip(extras, lines):
            print(f"  {name:16s} {line}", flush=True)


def _train(directory: pathlib.Path, flags: Dict[str, Any]) -> str:
    """One student in a process of its own; returns the line of its last evaluation."""
    words = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
    command = [sys.executable, "-m", "bort_mx", "pretrain", f"--output-dir={directory}", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    log = directory.with_suffix(".log")
    files.write_text(log, done.stdout)
    if done.returncode:
        raise RunError(f"{directory}: the training failed with exit code {done.returncode}; {log} has its output")
    return next((line for line in reversed(done.stdout.splitlines()) if ", validation: " in line), "already trained")


def most_frequent_share(data: pathlib.Path) -> float:
    """The share of the validation split's tokens that are the training split's most frequent token.

    This is the expected MLM accuracy of a model that knows this token only, but for chance in what is masked.
    """
    from bort_mx.data import TokenShards

    train, held_out = (TokenShards(data, split) for split in ("train", "validation"))
    train, held_out = (np.concatenate([split[i] for i in range(len(split))]) for split in (train, held_out))
    return float(np.mean(held_out == np.bincount(train).argmax()))


def _report(out: pathlib.Path, data: pathlib.Path, seeds: Sequence[int]) -> Dict[str, Any]:
    """Print the table and what it means, and draw the figure."""
    from bort_mx.report.curves import median_curve, plot_curves, read_curve, steps_ratio

    curves = {label: [read_curve(out / f"{run}-{seed}") for seed in seeds] for label, run in STUDENTS.items()}
    medians = {label: median_curve(found) for label, found in curves.items()}
    ratios = [steps_ratio(*pair) for pair in zip(curves["distillation"], curves["self-supervised"])]
    median_ratio = steps_ratio(medians["distillation"], medians["self-supervised"])
    teacher, frequent = read_curve(out / "teacher")[-1][1], most_frequent_share(data)
    print("\nvalidation MLM accuracy, median of the seeds\n  step  self-supervised  distillation")
    for (step, alone), (_, distilled) in zip(medians["self-supervised"], medians["distillation"]):
        print(f"{step:6d}  {alone:15.1%}  {distilled:12.1%}")
    print(f"the teacher has {teacher:.1%}; always the most frequent token would have {frequent:.1%}\n"
          f"{verdict(median_ratio, ratios)}")
    plot_curves(curves, out / "demo.png", "Pre-training a student: Figure 1 of the paper, in small",
                lines={f"teacher, {teacher:.1%}": teacher, f"most frequent token, {frequent:.1%}": frequent},
                crossing=(medians["distillation"], medians["self-supervised"][-1]))
    print(f"plot: {out / 'demo.png'}")
    return {"curves": curves, "steps_ratio": median_ratio, "steps_ratio_of_seeds": ratios, "teacher_accuracy": teacher,
            "most_frequent_token_accuracy": frequent}


def verdict(median: Optional[float], ratios: List[Optional[float]] = ()) -> str:
    """Say after which share of its steps distillation reaches the self-supervised student's final accuracy.

    Args:
        median: of the seeds' median curves; None if it does not reach it.
        ratios: of each seed.
    """
    if median is None:
        return "distillation did not reach the self-supervised student's final accuracy"
    each = ", ".join("never" if ratio is None else f"{ratio:.2f}" for ratio in ratios)
    return (f"distillation has the self-supervised student's final accuracy after {median:.2f} of its steps"
            + (f" (each seed: {each})" if len(ratios) > 1 else "")
            + ";\nthe paper's Figure 1 has it after 17,000 of 22,000, which is 0.77")

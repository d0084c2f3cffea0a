"""The students of docs/experiments/students.md: how each is trained, and in which order."""

from typing import Collection, Dict, Iterable, List, NamedTuple, Optional, Tuple

COMMON = ["--seq-len", "64", "--batch-size", "32", "--schedule", "linear", "--warmup", "0.1", "--log-interval", "20",
          "--evaluation-interval", "0", "--evaluation-sequences", "512", "--evaluation-batch-size", "32",
          "--checkpoint-interval", "50", "--keep-checkpoints", "1"]
OWN_HEAD = ["--max-steps", "600", "--batch-size", "16", "--seq-len", "64", "--learning-rate", "5e-4", "--warmup", "60",
            "--evaluation-interval", "0", "--checkpoint-interval", "50", "--evaluation-sequences", "512"]
DISTILLED = ["--dropout", "0", "--learning-rate", "3e-3"]
SPREAD = ["--init-from-teacher", "spread"]
INNER = ["--losses", "relations=1", "hidden=1"]
SMALL, WIDE = "4,4,256,1024", "4,12,384,1536"
NONE, GIVEN, WITH_HEAD = "", "given", "with head"


class Recipe(NamedTuple):
    """How a student is trained."""

    options: List[str]
    """Of run_pretraining.py, after `COMMON`, some of which they replace."""
    teacher: str = GIVEN
    """`NONE`, `GIVEN`, or `WITH_HEAD`: the given one with an MLM head of its own, which the paper's loss needs."""
    shape: str = SMALL
    peer: bool = False
    """Trained by students_peer.py, that is by transformers; the options are that script's."""


RECIPES: Dict[str, Recipe] = {
    "inner": Recipe([*SPREAD, *INNER, *DISTILLED]),
    "paper": Recipe(["--kd-weight", "0.5", "--temperature", "1", "--learning-rate", "1e-3"], WITH_HEAD),
    "mlm": Recipe(["--learning-rate", "1e-3"], NONE),
    "transformers": Recipe(["--learning-rate", "1e-3", "--seq-len", "64", "--batch-size", "32"], NONE, peer=True),
    "wide": Recipe([*SPREAD, *INNER, "--dropout", "0", "--learning-rate", "1e-3"], shape=WIDE),
    "inner-fresh": Recipe([*INNER, *DISTILLED]),
    "inner-fresh-1e-3": Recipe([*INNER, "--dropout", "0", "--learning-rate", "1e-3"]),
    "inner-lower": Recipe(["--init-from-teacher", "lower", *INNER, *DISTILLED]),
    "relations": Recipe([*SPREAD, "--losses", "relations=1", *DISTILLED]),
    "hidden": Recipe([*SPREAD, "--losses", "hidden=1", *DISTILLED]),
    "embeddings": Recipe([*SPREAD, "--losses", "relations=1", "hidden=1", "embeddings=1", *DISTILLED]),
    "inner-noam": Recipe([*SPREAD, *INNER, *DISTILLED, "--schedule", "noam"]),
    "inner-128": Recipe([*SPREAD, *INNER, *DISTILLED, "--seq-len", "128", "--batch-size", "16"]),
    "inner-warmed": Recipe([*SPREAD, *INNER, *DISTILLED, "--seq-len", "128", "--first-seq-len", "64",
                            "--length-warmup", "0.9"]),
    "mlm-40": Recipe(["--learning-rate", "1e-3", "--mask-probability", "0.4"], NONE),
    "paper-spread": Recipe([*SPREAD, "--kd-weight", "0.5", "--temperature", "1", "--learning-rate", "1e-3"], WITH_HEAD),
    "mlm-spread": Recipe([*SPREAD, "--losses", "mlm=1", "--learning-rate", "1e-3"]),
    "inner-mlm": Recipe([*SPREAD, *INNER, "mlm=0.1", *DISTILLED]),
    "inner-kd": Recipe([*SPREAD, *INNER, "kd=0.1", "--temperature", "1", *DISTILLED], WITH_HEAD),
    "replaced": Recipe(["--losses", "replaced=50", "--learning-rate", "1e-3"], NONE),
}
"""paper, mlm, transformers, mlm-40 and replaced start from fresh weights."""
MEANS = ["--pooling", "segments"]
LONG_MEANS = [*MEANS, "--dropout", "0", "--epochs", "6"]
OF_A_TEACHER = ["--teacher", "{work}/teacher-means-1e-4-0"]
WITH_MORE = [*OF_A_TEACHER, "--unlabelled", "{work}/more.txt"]
OF_A_TEACHER_OF_MNLI = ["--teacher", "{work}/teacher-mnli-means-1e-4-0"]
"""students_selection.py puts the task's folder for {work}; there is what way "means, 1e-4" leaves of the student named
"teacher" or "teacher-mnli", and more.txt, texts without labels."""
WAYS: Dict[str, List[str]] = {
    "first": [],
    "means": [*MEANS, "--dropout", "0"],
    "means, 1e-3": [*MEANS, "--dropout", "0", "--learning-rate", "1e-3"],
    "means, 1e-4": [*MEANS, "--dropout", "0", "--learning-rate", "1e-4"],
    "means, 6 epochs": LONG_MEANS,
    "task teacher, 6 epochs": [*LONG_MEANS, *OF_A_TEACHER],
    "task teacher of MNLI, 6 epochs": [*LONG_MEANS, *OF_A_TEACHER_OF_MNLI],
    "task teacher, 6 epochs, w 0.9": [*LONG_MEANS, *OF_A_TEACHER, "--kd-weight", "0.9"],
    "task teacher, more texts, 2 epochs": [*LONG_MEANS, *WITH_MORE, "--epochs", "2"],
    "task teacher, more texts, 6 epochs": [*LONG_MEANS, *WITH_MORE],
    "means, dropout": MEANS,
}
"""Ways of fine-tuning: options beside finetune_small_encoder.yaml."""
WAY = {name: "means" for name, recipe in RECIPES.items() if recipe.teacher != NONE or name == "transformers"}
"""How each recipe's students are fine-tuned, as students_selection.py found it. The others without a teacher have none
yet: it is to be chosen with a student of their own before they are fine-tuned."""
WAY_OF_TASK_TEACHER = [*LONG_MEANS, "--teacher"]
"""The teacher's folder follows."""
COMPARED = ("inner", "paper", "mlm")
ABLATIONS = tuple(name for name in RECIPES if name not in (*COMPARED, "transformers", "wide"))
TASKS = ("RTE", "MRPC", "CoLA", "STS-B", "SST-2")
TEACHER = "teacher"
"""In place of a recipe: the teacher itself, fine-tuned."""


class FineTuned(NamedTuple):
    """What is fine-tuned, and how."""

    base: str
    """A recipe, of the same hours, or `TEACHER`."""
    teacher: str = ""
    """Whose answers are learnt by `WAY_OF_TASK_TEACHER`: a student without hours, fine-tuned on the same task."""
    mnli: bool = False
    """On the sample of MNLI first, two epochs."""
    more: bool = False
    """With the texts of students_more_texts.py beside the task's, without labels."""
    tasks: Tuple[str, ...] = TASKS[:-1]

    @property
    def wide(self) -> bool:
        """Whether it is of the teacher's width."""
        return self.base in ("wide", TEACHER)


SECOND: Dict[str, FineTuned] = {
    TEACHER: FineTuned(TEACHER, tasks=TASKS),
    "inner, task teacher": FineTuned("inner", teacher=TEACHER),
    "wide, task teacher": FineTuned("wide", teacher=TEACHER),
    "inner, task teacher, more texts": FineTuned("inner", teacher=TEACHER, more=True, tasks=("CoLA",)),
    "inner, MNLI first": FineTuned("inner", mnli=True, tasks=("RTE", "MRPC", "STS-B")),
    "teacher of MNLI": FineTuned(TEACHER, mnli=True, tasks=("RTE",)),
    "inner, task teacher of MNLI": FineTuned("inner", teacher="teacher of MNLI", mnli=True, tasks=("RTE",)),
}
"""In place of recipes, which are fine-tuned from labels alone."""


class Step(NamedTuple):
    """One thing to do."""

    kind: str
    """head, calibrate, pretrain, transfer (to MNLI) or finetune."""
    recipe: str = ""
    hours: int = 0
    task: str = ""


def fine_tuned(name: str) -> FineTuned:
    """How a student is fine-tuned: those of recipes on all five tasks, ablations on the four small ones."""
    return SECOND.get(name, FineTuned(name, tasks=TASKS[:-1] if name in ABLATIONS else TASKS))


def seeds_of(step: Step) -> int:
    """Five; three for ablations and wide models, of which SST-2, hours of a core, has one, and for SST-2 of 2 hours."""
    if fine_tuned(step.recipe).wide:
        return 1 if step.task == "SST-2" else 3
    return 3 if step.recipe in ABLATIONS or (step.hours, step.task) == (2, "SST-2") else 5


def plan(only: Optional[Collection[str]] = None) -> List[Step]:
    """All steps, in order; `only` those of some students, each as "RECIPE HOURS"."""
    students = [("inner", 1), ("inner, MNLI first", 1), ("transformers", 1), ("paper", 1), ("mlm", 1), ("inner", 8),
                (TEACHER, 0), ("inner, task teacher", 1), ("inner, task teacher, more texts", 1),
                ("teacher of MNLI", 0), ("inner, task teacher of MNLI", 1),
                ("wide", 1), ("wide, task teacher", 1), ("wide", 4), ("inner", 2), ("inner, task teacher", 2),
                ("inner", 4), ("inner, task teacher", 4),
                *((name, 1) for name in ABLATIONS)]
    students += [(name, hours) for hours in (2, 4) for name in COMPARED] + [(name, 8) for name in COMPARED]
    steps: List[Step] = []
    for name, hours in dict.fromkeys(students):
        if only is not None and f"{name} {hours}" not in only:
            continue
        if name in RECIPES:
            steps += [Step("head")] if RECIPES[name].teacher == WITH_HEAD else []
            steps += [Step("calibrate", name), Step("pretrain", name, hours)]
        made = fine_tuned(name)
        steps += [Step("transfer", name, hours)] if made.mnli else []
        tasks: Iterable[str] = made.tasks
        if not made.wide:  # whose small tasks come first
            tasks = sorted(tasks, key=lambda task: task != "SST-2")  # longest first
        steps += [Step("finetune", name, hours, task) for task in tasks]
    return list(dict.fromkeys(steps))


def needs(step: Step) -> List[Step]:
    """What must be done before a step."""
    if step.kind == "calibrate":
        return [Step("head")] if RECIPES[step.recipe].teacher == WITH_HEAD else []
    if step.kind == "pretrain":
        return [Step("calibrate", step.recipe)]
    if step.kind == "head":
        return []
    made = fine_tuned(step.recipe)
    found = [] if made.base == TEACHER else [Step("pretrain", made.base, step.hours)]
    if made.mnli and step.kind == "finetune":
        found = [Step("transfer", step.recipe, step.hours)]
    return found + ([step._replace(recipe=made.teacher, hours=0)] if made.teacher else [])

"""The options of `run_finetune.py --agora`, beside those of fine-tuning."""

import dataclasses
from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional, Tuple

from bort_mx.agora.hyperparameters import Theta, load_thetas, paper_thetas
from bort_mx.agora.loop_options import SOCRATES_MINIMUM, AgoraOptions
from bort_mx.agora.perturbation_edits import fills_masks
from bort_mx.data.tasks import Task
from bort_mx.durations import seconds_of
from bort_mx.errors import InputError
from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.options import at_least, positive, within

FEW_ROUNDS = 3
"""Rounds of --chs, the paper's cheap reproduction; [I] the paper says "a few"."""
RECORDED = (
    "task", "predict_only", "chs", "epochs", "batch_size", "micro_batch_size", "learning_rate", "weight_decay",
    "warmup", "clip", "dropout", "classifier_init", "pooler", "extra_layer", "max_length", "group_by_length",
    "early_stopping", "patience", "evaluation_interval", "seed", "dtype", "agora", "socrates_threshold", "budget",
    "pruning", "replay", "points", "balance", "tau", "tau_copies", "tau_which", "tau_top_k", "tau_temperature",
    "audit_share", "audit_size", "data_parallel")
"""Options in the record of every run. An option that came later is recorded only where it has not its default, so that
the records of older runs are continued; do not add it here."""

OF_OLDER_RUNS = (("score", "examples"), ("pooling", "first"))
"""Options with the values of runs that were recorded before these options came; they are not recorded either."""


@dataclasses.dataclass
class AgoraRunOptions(FineTuningOptions):
    """All options of `run_finetune.py`.

    Raises:
        InputError: values out of range or that exclude each other; the message names them.
    """

    GROUP: ClassVar[str] = "Agora, with --agora"
    ASKED: ClassVar[Tuple[str, ...]] = ("rounds", "baselines", "socrates", "accept_socrates", "mlm", "theta")
    """Options that may differ when a finished run is resumed."""
    MAY_CHANGE: ClassVar[Tuple[str, ...]] = (*FineTuningOptions.MAY_CHANGE, *ASKED)

    agora: bool = False
    """Fine-tune by Agora (App. D). A round trains --checkpoint with every hyperparameter set of Theta, makes new points
    from the best model's mistakes on dev, has --socrates label them, and prunes Theta; it ends when Theta is empty. The
    result is compared with a plain run, which has --learning-rate and its like."""

    socrates: Optional[str] = None
    """The teacher: the output directory of a fine-tuning run on this task, or another checkpoint with a classifier."""

    accept_socrates: bool = False
    """Take a teacher even if its score on dev is below 2/3 or no better than a constant answer's."""

    socrates_threshold: Optional[float] = None
    """Take a new point only if the teacher's confidence in its label is at least this. Default: take all."""

    score: Optional[Literal["task", "examples"]] = None
    """What models are chosen, pruned and mined by, and Socrates is checked by. task: per question where candidates
    belong to one (COPA, ReCoRD, RACE), else balanced accuracy; STS-B rounded to 0.2. examples: the rule of earlier
    versions, plain accuracy of examples, by which constant answers win where dev is unbalanced. Default: task."""

    soft_labels: bool = False
    """Train on the teacher's probabilities too, beside the labels, with --kd-weight and --temperature. The plain
    baseline is not."""

    theta: Optional[str] = None
    """A YAML file with the hyperparameter sets: lists learning_rate, weight_decay, warmup and seed, meaning their
    product, or a list of sets. Default: the paper's 500 sets; with --chs the one set of the task."""

    budget: Optional[str] = None
    """Time for all trainings, baselines included, such as 45m or 2h. A part of Theta, drawn by the seed, is used, whose
    expected cost fits."""

    pruning: Optional[Literal["lcs", "worst", "none"]] = None
    """Which sets leave Theta after a round: lcs (the worst set, and all that contain what it shares with another),
    worst (the worst set alone), or none (needs --rounds). Default: lcs; with --chs none."""

    replay: int = 0
    """Repeat a round that did not improve, on grown data, at most this many times in a row before pruning."""

    rounds: Optional[int] = None
    """Stop after this many rounds. Default: when Theta is empty; with --chs 3. May be raised on resuming."""

    points: Optional[int] = None
    """Take at most this many new points in all. Default: no limit."""

    balance: bool = True
    """Train on equally many examples of each label; examples of the larger labels are discarded at random."""

    tau: str = "mlm"
    """How new points are made: mlm (15 % of the words masked and refilled by an MLM), typo, swap, drop, or
    module:function. One+another does both to a text, one,another makes points by each."""

    tau_copies: int = 1
    """New points for each mistake and tau."""

    tau_which: Literal["both", "first", "second", "either"] = "both"
    """Which text of a pair is changed. Questions and answers about a passage are never changed."""

    tau_top_k: int = 10
    """Tau mlm draws a word from this many best candidates."""

    tau_temperature: float = 1.0
    """Temperature at which tau mlm draws: 1 keeps the MLM's probabilities, less makes its best candidates likelier."""

    mlm: Optional[str] = None
    """The MLM of tau mlm, a checkpoint with an MLM head. Default: --checkpoint."""

    audit_share: float = 0.1
    """Share of the training set put aside as the audit slice, which is neither trained on nor mined; 0 for none."""

    audit_size: Optional[int] = None
    """Examples of the audit slice, instead of --audit-share."""

    baselines: Literal["all", "enumeration"] = "all"
    """What the result is compared with. enumeration: every set of Theta trained once, which round 0 does anyway. all:
    also plain fine-tuning with the given set, and distillation (every set of Theta, on the teacher's labels of the
    training set)."""

    data_parallel: bool = False
    """Under horovodrun: all workers share each training. Default: each worker takes trainings of its own."""

    EITHER: ClassVar[Tuple[Tuple[str, ...], ...]] = (
        *FineTuningOptions.EITHER, ("audit_size", "audit_share"), ("chs", "theta"))

    def __post_init__(self):
        if self.agora and self.unlabelled is not None:
            raise InputError(f"--unlabelled {self.unlabelled}: not with --agora, which makes more texts itself by "
                             "--tau; leave it out")
        super().__post_init__()
        if not self.agora:
            self._refuse_what_only_agora_has()
            return
        if self.socrates is None:
            raise InputError("--agora needs a teacher: give --socrates, a run's output directory or another checkpoint "
                             "with a classifier fine-tuned on this task")
        if self.predict_only:
            raise InputError("--predict-only trains nothing; leave out --agora")
        if self.keep_classifier:
            raise InputError("--keep-classifier: every training of --agora begins with a new classifier; leave it out")
        if self.teacher is not None:
            raise InputError(f"--teacher {self.teacher}: Agora's teacher is --socrates; give --soft-labels to train on "
                             "its probabilities")
        if self.chs and self.theta is not None:
            raise InputError("--chs is a Theta of one set and --theta another; give one of them")
        if self.resume not in ("never", "auto"):
            raise InputError(f"--resume {self.resume}: with --agora give auto")
        self._check_numbers()

    def _check_numbers(self) -> None:
        at_least(self, 1, "rounds", "points", "tau_copies", "tau_top_k", "audit_size")
        at_least(self, 0, "replay")
        positive(self, "tau_temperature")
        within(self, "[0, 1]", "socrates_threshold")
        within(self, "[0, 1)", "audit_share")
        if self.strategy == "none" and self.max_rounds is None:
            raise InputError("--pruning none removes no set and would never end; give --rounds")
        if self.strategy == "none" and self.replay:
            raise InputError(f"--replay {self.replay}: repeats a round before it prunes, but --pruning none (which "
                             "--chs implies) never prunes; leave it out")
        if self.mlm is not None and not self.fills_masks:
            raise InputError(f"--mlm {self.mlm}: is for tau mlm, and --tau is {self.tau}; give --tau mlm, or leave it "
                             "out")
        if self.budget is not None:
            seconds_of(self.budget)

    def refuse_unused(self) -> None:
        """As of fine-tuning; and what draws words for a tau that draws none, and soft labels without weight."""
        super().refuse_unused()
        if not self.agora:
            return
        for name in ("tau_top_k", "tau_temperature"):
            if not self.fills_masks and getattr(self, name) != getattr(AgoraRunOptions, name):
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name):g}: is for tau mlm, and --tau is "
                                 f"{self.tau}; give --tau mlm, or leave it out")
        if self.soft_labels and self.kd_weight == 0:
            raise InputError("--soft-labels with --kd-weight 0 has no effect; leave both out, or give another weight")

    def _refuse_what_only_agora_has(self) -> None:
        own = {field.name: field.default for field in dataclasses.fields(AgoraRunOptions)}
        for field in dataclasses.fields(FineTuningOptions):
            del own[field.name]
        given = [name for name, default in own.items() if getattr(self, name) != default]
        if given:
            raise InputError(f"--{given[0].replace('_', '-')} is an option of --agora; give both, or neither")

    def audit_examples(self, count: int) -> int:
        """Size of the audit slice, where there are so many examples to train on."""
        return self.audit_size or round(self.audit_share * count)

    @property
    def fills_masks(self) -> bool:
        """Whether a tau that was asked for has masks refilled by an MLM."""
        return any(fills_masks(name.strip()) for name in self.tau.replace("+", ",").split(","))

    @property
    def strategy(self) -> str:
        """The pruning strategy."""
        return self.pruning or ("none" if self.chs else "lcs")

    @property
    def max_rounds(self) -> Optional[int]:
        """The limit on rounds, or None."""
        return FEW_ROUNDS if self.rounds is None and self.chs else self.rounds

    def thetas(self) -> List[Theta]:
        """Theta: of --theta, the task's one set with --chs, or the paper's; of resolved options.

        Raises:
            InputError: see `load_thetas`.
        """
        if self.chs:
            return [Theta(self.learning_rate, self.weight_decay, self.warmup, self.seed)]
        return paper_thetas() if self.theta is None else load_thetas(self.theta)

    def plain_theta(self, task: Task, asked: Task, recipe: Optional[Mapping[str, Any]] = None) -> Theta:
        """The hyperparameter set of the plain baseline: what is given, else the defaults; --chs is not for it.

        Of options as given, not resolved ones. Arguments as for `resolved`.
        """
        plain = dataclasses.replace(self.without_agora(), chs=False).resolved(task, asked, recipe)
        return Theta(plain.learning_rate, plain.weight_decay, plain.warmup, plain.seed)

    def loop_options(self) -> AgoraOptions:
        """The options of the loop itself; of resolved options."""
        return AgoraOptions(self.strategy, self.replay, self.balance, self.max_rounds, self.points,
                            self.socrates_threshold, 0 if self.accept_socrates else SOCRATES_MINIMUM, self.seed)

    def asked(self) -> Dict[str, Any]:
        """The options that may differ when a finished run is resumed; if one does, the run is not finished after all.
        """
        return {name: getattr(self, name) for name in self.ASKED}

    def fingerprint(self) -> Dict[str, Any]:
        """The options that recorded jobs depend on, as "--name"; of resolved options, which say all that a recipe does.
        """
        known = (*RECORDED, *self.MAY_CHANGE, "recipe")
        later = [field.name for field in dataclasses.fields(self)
                 if field.name not in known and getattr(self, field.name) != field.default
                 and (field.name, getattr(self, field.name)) not in OF_OLDER_RUNS]
        return {f"--{name.replace('_', '-')}": getattr(self, name) for name in (*RECORDED, *later)}

    def without_agora(self) -> FineTuningOptions:
        """The options of fine-tuning alone."""
        return FineTuningOptions(**{field.name: getattr(self, field.name)
                                    for field in dataclasses.fields(FineTuningOptions)})

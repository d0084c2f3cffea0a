"""The options of `run_finetune.py --agora`, beside those of fine-tuning."""

import dataclasses
from typing import ClassVar, Literal, Optional, Tuple

from bort_mx.agora.budget import parse_duration
from bort_mx.agora.loop import AgoraOptions
from bort_mx.errors import InputError
from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.options import at_least, positive, within

FEW_ROUNDS = 3
"""Rounds of --chs, the paper's cheap reproduction; [I] the paper says "a few"."""
SOCRATES_MINIMUM = 2 / 3
"""[P] Socrates' accuracy on dev must exceed it; here [I] it may equal it."""


@dataclasses.dataclass
class AgoraRunOptions(FineTuningOptions):
    """All options of `run_finetune.py`.

    Raises:
        InputError: values out of range or that exclude each other; the message names them.
    """

    GROUP: ClassVar[str] = "Agora, with --agora"
    ASKED: ClassVar[Tuple[str, ...]] = ("rounds", "baselines", "socrates", "accept_socrates", "mlm", "theta")
    """What a finished run may be asked again with another value of."""
    MAY_CHANGE: ClassVar[Tuple[str, ...]] = (*FineTuningOptions.MAY_CHANGE, *ASKED)

    agora: bool = False
    """Fine-tune by Agora (App. D): train --checkpoint with every hyperparameter set of Theta, make new points from the
    best model's mistakes on dev, have --socrates label them, prune Theta, and again until it is empty. --learning-rate
    and its like are then those of the plain run that the result is compared with."""

    socrates: Optional[str] = None
    """The teacher: the output directory of a fine-tuning run on this task, or another checkpoint with a classifier."""

    accept_socrates: bool = False
    """Take a teacher whose accuracy on dev is below 2/3 too."""

    socrates_threshold: Optional[float] = None
    """Take a new point only if the teacher's confidence in its label is at least this. Default: take all."""

    theta: Optional[str] = None
    """A YAML file with the hyperparameter sets: lists learning_rate, weight_decay, warmup and seed, meaning their
    product, or a list of sets. Default: the paper's 500 sets; with --chs the one set of the task."""

    budget: Optional[str] = None
    """Time for all trainings, as in 45m or 2h: a part of Theta, drawn by the seed, whose expected cost, the baselines'
    counted in, fits it."""

    pruning: Optional[Literal["lcs", "worst", "none"]] = None
    """What leaves Theta after a round: lcs (the worst set and all that contain what it shares with another), worst (it
    alone), or none (needs --rounds). Default: lcs; with --chs none."""

    replay: int = 0
    """How often in a row a round that did not improve is repeated, on grown data, before pruning."""

    rounds: Optional[int] = None
    """Stop after so many rounds. Default: when Theta is empty; with --chs 3. May be raised on resuming."""

    points: Optional[int] = None
    """Take at most so many new points in all. Default: no limit."""

    balance: bool = True
    """Train on equally many examples of each label, by discarding from the larger ones at random."""

    tau: str = "mlm"
    """How new points are made: mlm (15 % of the words masked and refilled by an MLM), typo, swap, drop, or
    module:function. One+another does both to a text, one,another makes points by each."""

    tau_copies: int = 1
    """New points of each mistake and tau."""

    tau_which: Literal["both", "first", "second", "either"] = "both"
    """Which of two texts is changed. Questions and answers about a passage are never changed."""

    tau_top_k: int = 10
    """mlm: draw a word from so many best candidates."""

    tau_temperature: float = 1.0
    """mlm: 1 draws as the MLM says, less makes its best candidates likelier."""

    mlm: Optional[str] = None
    """The MLM of tau mlm, a checkpoint with an MLM head. Default: --checkpoint."""

    audit_share: float = 0.1
    """Part of the training set put aside as the audit slice, which is neither trained on nor mined; 0 for none."""

    audit_size: Optional[int] = None
    """Examples of the audit slice, instead of --audit-share."""

    baselines: Literal["all", "enumeration"] = "all"
    """What the result is compared with: all (plain fine-tuning with the given set, and every set of Theta on the
    teacher's labels of the training set), or only the enumeration of Theta, which round 0 is anyway."""

    data_parallel: bool = False
    """Under horovodrun: all workers share each training. Default: each takes trainings of its own."""

    def __post_init__(self):
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
            raise InputError(f"--replay {self.replay}: repeats a round before it prunes, and with --pruning none, as "
                             "--chs has it, none does; leave it out")
        if self.mlm is not None and not self.fills_masks:
            raise InputError(f"--mlm {self.mlm}: is for tau mlm, and --tau is {self.tau}; give --tau mlm, or leave it "
                             "out")
        if self.budget is not None:
            parse_duration(self.budget)

    def _refuse_what_only_agora_has(self) -> None:
        own = {field.name: field.default for field in dataclasses.fields(AgoraRunOptions)}
        for field in dataclasses.fields(FineTuningOptions):
            del own[field.name]
        given = [name for name, default in own.items() if getattr(self, name) != default]
        if given:
            raise InputError(f"--{given[0].replace('_', '-')} is an option of --agora; give both, or neither")

    @property
    def fills_masks(self) -> bool:
        """Whether tau mlm is among those asked for."""
        return "mlm" in [name.strip() for name in self.tau.replace("+", ",").split(",")]

    @property
    def strategy(self) -> str:
        """The pruning strategy."""
        return self.pruning or ("none" if self.chs else "lcs")

    @property
    def max_rounds(self) -> Optional[int]:
        """The limit on rounds, or None."""
        return FEW_ROUNDS if self.rounds is None and self.chs else self.rounds

    def loop_options(self) -> AgoraOptions:
        """The options of the loop itself; of resolved options."""
        return AgoraOptions(self.strategy, self.replay, self.balance, self.max_rounds, self.points,
                            self.socrates_threshold, 0 if self.accept_socrates else SOCRATES_MINIMUM, self.seed)

    def without_agora(self) -> FineTuningOptions:
        """The options of fine-tuning alone."""
        return FineTuningOptions(**{field.name: getattr(self, field.name)
                                    for field in dataclasses.fields(FineTuningOptions)})

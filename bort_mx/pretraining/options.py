"""The options of pre-training."""

import dataclasses
from typing import Any, ClassVar, Dict, List, Literal, Mapping, NamedTuple, Optional, Tuple

from bort_mx.durations import seconds_of
from bort_mx.errors import InputError
from bort_mx.options import at_least, one_of, positive, within
from bort_mx.training.options import OTHER_PROGRAM, TEMPERATURES, LoopOptions, RunOptions, TextOptions

OF_OUTPUTS = ("mlm", "kd")
"""Losses at the masked positions. With one of them, all losses see the masked text; without, the text as it is."""
OF_TEACHER = ("kd", "relations", "hidden", "attention", "embeddings")
"""Losses that need a teacher."""
REPLACED = "replaced"
"""The loss of replaced tokens, which stands alone."""
LOSSES = ("mlm", *OF_TEACHER, REPLACED)
"""What --losses takes."""
PACKED, SINGLE = "packed", "single"
"""What a sequence is: as many lines of the text as fit, or one of them."""
FIRST_SEQ_LEN = 128
SHORTEST = 8
"""Tokens of the shortest sequence."""


def head_of(weights: Optional[Mapping[str, float]]) -> str:
    """The head that the losses need: "mlm", or "encoder" for none. None means the paper's objective."""
    return "mlm" if weights is None or any(name in OF_OUTPUTS for name in weights) else "encoder"


def masks(weights: Optional[Mapping[str, float]]) -> bool:
    """Whether the losses need masked text."""
    return head_of(weights) == "mlm" or REPLACED in weights


class Recipe(NamedTuple):
    """What a student learns and where it starts, as `DistillationOptions` say."""

    weights: Optional[Dict[str, float]] = None
    """Name of a loss → its weight; None: the paper's objective."""
    kd_weight: float = 0.5
    temperature: float = 2.0
    teacher_layer: Optional[int] = None
    relation_heads: Optional[int] = None
    every_layer: bool = False
    start: Optional[str] = None
    """The value of --init-from-teacher."""


@dataclasses.dataclass
class DistillationOptions(RunOptions):
    """Options for what a student learns from its teacher."""

    GROUP: ClassVar[str] = "Distillation"

    teacher: Optional[str] = None
    """Checkpoint of the teacher to distil from. Default: none; training is self-supervised."""

    kd_weight: float = 0.5
    """With a teacher: w in loss = w·distillation + (1−w)·MLM."""

    temperature: float = 2.0
    """Temperature τ of the distillation loss."""

    distill: Literal["mlm", "relations", "hidden", "embeddings"] = "mlm"
    """What of the teacher the student learns. mlm: its words at the masked positions, the paper's loss. relations: its
    self-attention relations (MiniLMv2). hidden: its last hidden states. embeddings: its embeddings of texts."""

    losses: Optional[List[str]] = None
    """In place of --distill: losses with weights, such as relations=1 mlm=0.1. Known are mlm, kd (the paper's without
    its MLM), relations, hidden, attention (TinyBERT's), embeddings, and replaced=50 (ELECTRA's, alone and without a
    teacher)."""

    teacher_layer: Optional[int] = None
    """Layer of the teacher whose relations are learnt, and which the student's last layer follows in the losses hidden
    and attention. It counts from 1. Default: the last."""

    relation_heads: Optional[int] = None
    """Number of relation heads; it must divide both widths. Default: the largest such number up to 48."""

    every_layer: bool = False
    """Losses hidden and attention: compare all layers at equal distances (TinyBERT), not only the last."""

    teacher_cache: Optional[float] = None
    """Compute the teacher once for each of a fixed set of sequences, and keep its states in OUTPUT_DIR: as many as fit
    into this many gigabytes. The run trains on these only. For losses of text that is not masked."""

    init_from_teacher: Optional[Literal["lower", "spread"]] = None
    """Start from the teacher's embeddings and layers: lower takes its first ones, spread takes them at equal distances.
    A narrower student gets the hidden units that are largest on some text, and the heads and neurons with the largest
    norms."""

    def __post_init__(self):
        super().__post_init__()
        within(self, TEMPERATURES, "temperature")
        within(self, "[0, 1]", "kd_weight")
        at_least(self, 1, "teacher_layer", "relation_heads")
        one_of(self, ("mlm", "relations", "hidden", "embeddings"), "distill")
        one_of(self, ("lower", "spread"), "init_from_teacher")
        weights = self.loss_weights or {}
        if self.losses is not None and self.distill != "mlm":
            raise InputError(f"--losses and --distill {self.distill} exclude each other; give one")
        needing = [name for name in weights if name in OF_TEACHER]
        if needing and self.teacher is None:
            raise InputError(f"the loss {needing[0]} needs a --teacher")
        self._refuse_idle(weights)
        positive(self, "teacher_cache")
        if self.teacher_cache is not None and (self.teacher is None or not weights
                                               or any(name in OF_OUTPUTS for name in weights)):
            raise InputError(f"--teacher-cache {self.teacher_cache:g}: needs a --teacher and losses of text that is "
                             "not masked, such as relations and hidden")
        if self.init_from_teacher and self.teacher is None:
            raise InputError(f"--init-from-teacher {self.init_from_teacher} needs a --teacher")
        if REPLACED in weights and (len(weights) > 1 or self.teacher is not None):
            raise InputError("--losses replaced stands alone, without a --teacher; leave out the others")
        if "embeddings" in weights and any(name in weights for name in OF_OUTPUTS):
            raise InputError("--losses: embeddings cannot be added to mlm or kd, as a checkpoint holds one head; leave "
                             "one of them out")

    def _refuse_idle(self, weights: Dict[str, float]) -> None:
        """Raises InputError if an option is given that no loss uses."""
        for name, users in (("teacher_layer", ("relations", "hidden", "attention")),
                            ("relation_heads", ("relations",)), ("every_layer", ("hidden", "attention"))):
            if getattr(self, name) and not any(user in weights for user in users):
                raise InputError(f"--{name.replace('_', '-')}: requires --losses with {' or '.join(users)}; leave it "
                                 "out, or add such a loss")
        if self.losses and self.teacher and not self.init_from_teacher and REPLACED not in weights and not any(
                name in OF_TEACHER for name in weights):
            raise InputError(f"--teacher {self.teacher}: no loss of --losses {' '.join(self.losses)} learns from it; "
                             f"add one of {', '.join(OF_TEACHER)}, or leave it out")

    def refuse_unused(self) -> None:
        """Refuse w and τ of the paper's loss beside others, and without a teacher. A run that was started with them may
        be resumed with them.

        Raises:
            InputError: see above.
        """
        weights = self.loss_weights
        of_paper = weights is None and self.teacher is not None
        with_kd = weights is not None and "kd" in weights
        for name, used in (("kd_weight", of_paper), ("temperature", of_paper or with_kd)):
            if not used and getattr(self, name) != getattr(DistillationOptions, name):
                instead = (", and give kd and mlm weights" if with_kd
                           else ", or give a --teacher" if weights is None else "")
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name):g}: no loss here uses it; leave it "
                                 f"out{instead}")

    @property
    def recipe(self) -> Recipe:
        """What `bort_mx.pretraining.recipe` takes."""
        return Recipe(self.loss_weights, self.kd_weight, self.temperature, self.teacher_layer, self.relation_heads,
                      self.every_layer, self.init_from_teacher)

    @property
    def loss_weights(self) -> Optional[Dict[str, float]]:
        """Name of a loss → its weight; None: the paper's objective.

        Raises:
            InputError: an entry of --losses is not NAME=WEIGHT with a known name and a positive weight.
        """
        if self.losses is None:
            return None if self.distill == "mlm" else {self.distill: 1.0}
        weights: Dict[str, float] = {}
        for entry in self.losses:
            name, given, value = entry.partition("=")
            try:
                weight = float(value) if given else 1.0
            except ValueError:
                weight = 0.0
            if name not in LOSSES or name in weights or not 0 < weight < 1e9:
                raise InputError(f"--losses {entry}: give NAME=WEIGHT, each name once, weights above 0; names are "
                                 f"{', '.join(LOSSES)}")
            weights[name] = weight
        if not weights:
            raise InputError("--losses: is empty; give at least one loss")
        return weights


@dataclasses.dataclass
class ScheduleOptions(RunOptions):
    """Options for the learning rate and the length of a run."""

    GROUP: ClassVar[str] = "Schedule"

    max_steps: int = 25000
    """Number of optimizer steps."""

    budget: Optional[str] = None
    """End after this time instead of --max-steps: 90s, 45min, 2h. Warm-up and decay follow the time that is left. The
    time in which a stopped run does not run, and the evaluation at the end are not counted."""

    learning_rate: float = 1e-4
    """Peak learning rate."""

    warmup: float = 0.01
    """Length of the linear warm-up: a proportion of --max-steps (below 1) or a number of steps; kept when resuming."""

    schedule: Literal["noam", "linear", "cosine"] = "noam"
    """What follows the warm-up: noam (inverse square root, the paper's), or linear or cosine down to 0 at the end."""

    length_warmup: float = 0.0
    """Share of the run with sequences of --first-seq-len tokens; the rest has --seq-len. 0: none."""

    first_seq_len: Optional[int] = None
    """Number of tokens in a sequence during --length-warmup. Default: 128, or half of a --seq-len that is
    not above."""

    def __post_init__(self):
        super().__post_init__()
        at_least(self, 1, "max_steps")
        at_least(self, SHORTEST, "first_seq_len")
        positive(self, "learning_rate", "warmup")
        one_of(self, ("noam", "linear", "cosine"), "schedule")
        within(self, "[0, 1]", "length_warmup")
        if self.budget is not None:
            seconds_of(self.budget)
            if self.warmup >= 1:
                raise InputError(f"--warmup {self.warmup:g}: with --budget give a proportion below 1, as the number of "
                                 "steps is not known")


@dataclasses.dataclass
class PretrainingOptions(TextOptions, DistillationOptions, ScheduleOptions, LoopOptions):
    """Options of `run_pretraining.py`. Defaults are the paper's (§4.2) where it states them.

    Raises:
        InputError: a value is out of range, or two values exclude each other; the message names them.
    """

    GROUP: ClassVar[str] = ""
    MAY_CHANGE: ClassVar[Tuple[str, ...]] = (*LoopOptions.MAY_CHANGE, "max_steps", "evaluation_interval", "data",
                                             "teacher", "init", "tokenizer", "train_vocab", "sequences",
                                             "micro_batch_size")
    RENAMED: ClassVar[Dict[str, str]] = {"adam_epsilon": "epsilon"}
    EITHER: ClassVar[Tuple[Tuple[str, ...], ...]] = (
        ("max_steps", "budget"), ("losses", "distill"), ("init", "init_from_teacher"), ("tokenizer", "train_vocab"))

    architecture: Optional[str] = None
    """A preset (bort, bert-base, …), "D,A,H,I", or a search's results.json. Default: bort, or that of --init."""

    init: Optional[str] = None
    """Checkpoint whose weights to start from. What it lacks (such as an MLM head) is initialised and reported."""

    train_vocab: Optional[int] = None
    """For text: train a SentencePiece vocabulary with this many entries instead of using --tokenizer. Not with --init,
    whose model has its own."""

    num_positions: int = 512
    """Number of positions of a new model: the longest sequence, in tokens, that it can ever process."""

    sequences: Optional[Literal["packed", "single"]] = None
    """What a sequence is. packed: as many lines as fit into --seq-len. single: one line, or a piece of --seq-len; lines
    of similar length come together. A line is a sentence if the text was prepared from documents. Default: single with
    the loss embeddings, which takes a sequence as one text; else packed."""

    evaluation_sequences: int = 2048
    """Number of validation sequences to evaluate on: the first of a fixed order. 0: all."""

    output_dir: str = "runs/pretraining"

    evaluation_interval: Optional[int] = 500

    checkpoint_interval: Optional[int] = 500

    keep_checkpoints: int = 3

    def __post_init__(self):
        super().__post_init__()
        at_least(self, 1, "num_positions", "train_vocab")
        at_least(self, 0, "evaluation_sequences")
        if self.sequences is not None:
            one_of(self, (PACKED, SINGLE), "sequences")
        if self.first_seq_len is None:  # as older runs have it recorded, where they could start
            half = max(SHORTEST, self.seq_len // 2)
            self.first_seq_len = half if self.length_warmup and self.seq_len <= FIRST_SEQ_LEN else FIRST_SEQ_LEN
        if self.init and self.init_from_teacher:
            raise InputError(f"--init {self.init} and --init-from-teacher {self.init_from_teacher} exclude each other; "
                             "give one")
        if self.length_warmup and self.first_seq_len > self.seq_len:
            raise InputError(f"--first-seq-len {self.first_seq_len}: longer than --seq-len {self.seq_len}")
        if self.resume == "never":
            self.refuse_unused()
        if self.length_warmup and self.teacher_cache is not None:
            raise InputError(f"--teacher-cache {self.teacher_cache:g} and --length-warmup {self.length_warmup:g} "
                             "exclude each other; give one")
        if self.tokenizer and self.train_vocab:
            raise InputError(f"--tokenizer {self.tokenizer} and --train-vocab {self.train_vocab} exclude each other; "
                             "give one")

    def refuse_unused(self) -> None:
        """As of distillation; a share of masks in text that is not masked; lengths and positions without effect."""
        super().refuse_unused()
        if self.length_warmup and self.first_seq_len == self.seq_len:
            raise InputError(f"--first-seq-len {self.first_seq_len}: is --seq-len; give fewer tokens, or leave "
                             "--length-warmup out")
        if not self.length_warmup and self.first_seq_len != FIRST_SEQ_LEN:
            raise InputError(f"--first-seq-len {self.first_seq_len} requires --length-warmup; give both, or leave it "
                             "out")
        if self.init and self.num_positions != PretrainingOptions.num_positions:
            raise InputError(f"--num-positions {self.num_positions}: the model of --init {self.init} has its own; "
                             "leave it out")
        if self.mask_probability != TextOptions.mask_probability and not masks(self.loss_weights):
            raise InputError(f"--mask-probability {self.mask_probability:g}: no loss here masks the text; leave it "
                             "out, or add mlm")

    @property
    def sequences_or_default(self) -> str:
        """`PACKED` or `SINGLE`."""
        return self.sequences or (SINGLE if "embeddings" in (self.loss_weights or {}) else PACKED)

    @property
    def may_change(self) -> Tuple[str, ...]:
        """Options that a resumed run may change: --max-steps only if no learning rate or length follows from it."""
        fixed = self.schedule != "noam" or self.length_warmup > 0
        return tuple(name for name in self.MAY_CHANGE if not (fixed and name == "max_steps"))


def kind_of(values: Mapping[str, Any]) -> str:
    """The kind of run that a directory holds, told from the options in its config.json."""
    return "a pre-training run" if "max_steps" in values else OTHER_PROGRAM

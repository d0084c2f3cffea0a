"""The options of a search."""

import dataclasses
import itertools
from typing import Any, ClassVar, Dict, List, Literal, NamedTuple, Optional, Tuple

from bort_mx.errors import InputError
from bort_mx.options import at_least, check, one_of, positive
from bort_mx.search.space import ORDERS
from bort_mx.training.options import OTHER_PROGRAM, OptimizerName, OptimizerOptions, TextOptions

BASELINES = ("exhaustive", "random")
MOST_IN_A_PASS = 32
FEWEST_IN_A_PASS = 8
"""Bounds on the sequences in one forward pass, if --micro-batch-size is not given. Very small passes are slow."""


class Hyperparameters(NamedTuple):
    """theta: one set of hyperparameters out of Theta."""

    learning_rate: float
    """Peak learning rate."""
    warmup: float
    """Warm-up: a proportion of the steps (below 1) or a number of steps (1 or more)."""


@dataclasses.dataclass
class SearchOptions(TextOptions, OptimizerOptions):
    """Options of `run_search.py`. Defaults are the paper's (§3.3) where it states them.

    Raises:
        InputError: a value is out of range; the message names the option.
    """

    GROUP: ClassVar[str] = ""

    teacher: Optional[str] = None
    """The maximum point T, which is also the teacher: a checkpoint with a trained MLM head, or the output directory of
    run_pretraining.py (its newest checkpoint is used). Without --teacher and --data, a tiny teacher is pre-trained."""

    maximum_point: Optional[str] = None
    """Take T's parameters and latency from this preset or "D,A,H,I" instead of the teacher's architecture."""

    space: Optional[str] = None
    """Search space: a YAML file with lists for D, A, H and I, or a list of architectures. Default: the paper's 360."""

    epsilon: int = 2
    """Interval size: of this many neighbouring architectures, one is evaluated. 1 evaluates all architectures."""

    order: Optional[str] = None
    """Order of the space before it is cut into intervals. size: by parameters, then FLOPs. Four letters, such as HIAD:
    by these values, the first one first. Default: as the space file says; else size."""

    representative: Optional[Literal["first", "middle"]] = None
    """Which architecture of each interval is evaluated: the first or the middle one (of two, the second). Default: as
    the space file says; else first."""

    allow_odd: bool = False
    """Keep architectures with an odd number of layers, for which the AB^nC property is not proven."""

    steps: int = 3
    """Number of training steps n of each candidate."""

    learning_rate: Tuple[float, ...] = (5e-4,)
    """Peak learning rate. With several values, each candidate is trained with every combination of --learning-rate and
    --warmup (Theta), and its lowest error is used."""

    warmup: Tuple[float, ...] = (0.05,)
    """Length of the linear warm-up: a proportion of the steps (below 1) or a number of steps. Several values may be
    given. After the warm-up, the learning rate falls with the inverse square root of the step."""

    evaluation_lines: int = 11828
    """Number of validation sequences on which the error is measured: the first of a fixed order."""

    parameters: Literal["formula", "counted"] = "formula"
    """How to count parameters p: formula (eq. 13), or counted in the model with its MLM head."""

    latency: Literal["measured", "flops"] = "measured"
    """How to obtain latency î: measured (seconds per sample, on worker 0, after all candidates are trained), or flops
    (FLOPs per token by eq. 12, which makes a search reproducible to the bit)."""

    latency_batch_size: int = 32
    """Number of sequences of --seq-len tokens in a timed forward pass."""

    latency_repeats: int = 7
    """Number of timed passes, after two untimed ones. The median is used."""

    cache_memory: int = 1024
    """Memory for T's hidden states, in megabytes. If they need more, they are stored in a file in OUTPUT_DIR."""

    baselines: List[str] = dataclasses.field(default_factory=list)
    """Also run these baselines. exhaustive: evaluate the whole space, which gives the regret. random: evaluate as many
    random candidates as there are intervals."""

    output_dir: str = "runs/search"

    resume: str = "auto"
    """auto: continue the search in OUTPUT_DIR, or start a new one. never: refuse a folder that holds a search."""

    optimizer: OptimizerName = "sgd"

    weight_decay: Optional[float] = 0.0

    def __post_init__(self):
        super().__post_init__()
        at_least(self, 1, "epsilon", "steps", "evaluation_lines", "latency_batch_size", "latency_repeats")
        at_least(self, 0, "cache_memory")
        positive(self, "learning_rate", "warmup")
        one_of(self, BASELINES, "baselines")
        one_of(self, ORDERS, "order")
        one_of(self, ("auto", "never"), "resume")
        for name in ("learning_rate", "warmup"):
            values = getattr(self, name)
            if len(set(values)) != len(values) or not values:
                raise InputError(f"--{name.replace('_', '-')} {' '.join(map(str, values))}: give at least one value, "
                                 "and each value once")
        check(self, ["batch_size"],
              lambda value: self.micro_batch_size or self.micro_batch >= min(value, FEWEST_IN_A_PASS),
              f"has no divisor from {FEWEST_IN_A_PASS} to {MOST_IN_A_PASS} for forward passes; choose a multiple of "
              f"{FEWEST_IN_A_PASS}, or give --micro-batch-size")
        check(self, ["batch_size"], lambda value: value % self.micro_batch == 0,
              f"must be a multiple of --micro-batch-size {self.micro_batch_size}")

    @property
    def micro_batch(self) -> int:
        """Sequences in one forward pass of T and candidates; default: the largest divisor of --batch-size up to 32."""
        if self.micro_batch_size is not None:
            return self.micro_batch_size
        return max(size for size in range(1, MOST_IN_A_PASS + 1) if self.batch_size % size == 0)

    @property
    def theta(self) -> List[Hyperparameters]:
        """Theta: every combination of learning rate and warm-up."""
        return [Hyperparameters(*values) for values in itertools.product(self.learning_rate, self.warmup)]

    def of_an_evaluation(self) -> Dict[str, Any]:
        """The options that determine a candidate's objectives. Options that only select candidates are left out."""
        names = ("steps", "learning_rate", "warmup", "optimizer", "weight_decay", "clip", "batch_size", "seq_len",
                 "mask_probability", "dropout", "evaluation_lines", "parameters", "latency", "seed")
        measured = ("latency_batch_size", "latency_repeats") if self.latency == "measured" else ()
        adam = ("beta1", "beta2", "adam_epsilon") if self.optimizer == "adamw" else ()
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        chosen = {name: getattr(self, name) for name in (*names, *measured)}
        # Left out at their defaults: logs written before these options existed do not contain them.
        other = {name: getattr(self, name) for name in adam if getattr(self, name) != defaults[name]}
        return {**chosen, **other, "micro_batch_size": self.micro_batch}


def kind_of(values: Dict[str, Any]) -> str:
    """The kind of run that a directory holds, told from the options in its config.json."""
    return "a search" if {"epsilon", "representative"} <= set(values) else OTHER_PROGRAM

"""The options of a search."""

import dataclasses
import itertools
from typing import Any, ClassVar, Dict, List, Literal, NamedTuple, Optional, Tuple

from bort_mx.errors import InputError
from bort_mx.options import at_least, check, one_of, positive
from bort_mx.training.options import OTHER_PROGRAM, OptimizerName, OptimizerOptions, TextOptions

BASELINES = ("exhaustive", "random")
MOST_IN_A_PASS = 32
FEWEST_IN_A_PASS = 8
"""Sequences in a forward pass where --micro-batch-size does not say: with fewer a pass is slow."""


class Hyperparameters(NamedTuple):
    """One theta of Theta."""

    learning_rate: float
    """Peak learning rate."""
    warmup: float
    """Warm-up: a proportion of the steps (below 1) or a number of steps."""


@dataclasses.dataclass
class SearchOptions(TextOptions, OptimizerOptions):
    """Options of `run_search.py`; defaults are the paper's (§3.3) where it states one.

    Raises:
        InputError: values out of range; the message names the option.
    """

    GROUP: ClassVar[str] = ""

    teacher: Optional[str] = None
    """The maximum point T and teacher: a checkpoint with a trained MLM head, or the output directory of
    run_pretraining.py (its newest checkpoint is used). Without it and without --data a tiny one is pre-trained."""

    maximum_point: Optional[str] = None
    """Take p and i of T from this preset or "D,A,H,I" rather than from the teacher's architecture."""

    space: Optional[str] = None
    """A YAML file: lists for D, A, H and I, or a list of architectures. Default: the paper's 360."""

    epsilon: int = 2
    """Interval size: one candidate is evaluated for every so many architectures; 1 evaluates all."""

    representative: Literal["first", "middle"] = "first"
    """Which member of an interval is its candidate."""

    allow_odd: bool = False
    """Keep architectures of odd depth, which the proof of the AB^nC property leaves out."""

    steps: int = 3
    """Training steps n of each candidate."""

    learning_rate: Tuple[float, ...] = (5e-4,)
    """Peak learning rate. Several values, with those of --warmup, make up Theta: each candidate is trained with every
    combination, and its lowest error is used."""

    warmup: Tuple[float, ...] = (0.05,)
    """Warm-up as a proportion of the steps (below 1) or a number of steps, then the inverse square root."""

    evaluation_lines: int = 11828
    """Sequences of the validation split on which the error is measured, the first of a fixed order."""

    parameters: Literal["formula", "counted"] = "formula"
    """Parameters p: by eq. 13, or counted in the model with its MLM head."""

    latency: Literal["measured", "flops"] = "measured"
    """Latency î: seconds a sample, measured on worker 0 when all candidates are trained; or FLOPs per token by eq. 12,
    which makes a search reproducible to the bit."""

    latency_batch_size: int = 32
    """Sequences of --seq-len tokens in a forward pass whose time is measured."""

    latency_repeats: int = 7
    """Timed passes, after two untimed ones; the median counts."""

    cache_memory: int = 1024
    """Megabytes of T's hidden states that may be kept in memory; more are kept in OUTPUT_DIR, memory-mapped."""

    baselines: List[str] = dataclasses.field(default_factory=list)
    """exhaustive: evaluate the whole space too, which tells the regret. random: a random search of the same budget."""

    output_dir: str = "runs/search"

    resume: str = "auto"
    """auto: continue the search that OUTPUT_DIR holds, or start one. never: refuse a folder that holds a search."""

    optimizer: OptimizerName = "sgd"

    weight_decay: Optional[float] = 0.0

    def __post_init__(self):
        super().__post_init__()
        at_least(self, 1, "epsilon", "steps", "evaluation_lines", "latency_batch_size", "latency_repeats")
        at_least(self, 0, "cache_memory")
        positive(self, "learning_rate", "warmup")
        one_of(self, BASELINES, "baselines")
        one_of(self, ("auto", "never"), "resume")
        for name in ("learning_rate", "warmup"):
            values = getattr(self, name)
            if len(set(values)) != len(values) or not values:
                raise InputError(f"--{name.replace('_', '-')} {' '.join(map(str, values))}: give every value once, and "
                                 "one at least")
        check(self, ["batch_size"],
              lambda value: self.micro_batch_size or self.micro_batch >= min(value, FEWEST_IN_A_PASS),
              f"has no divisor from {FEWEST_IN_A_PASS} to {MOST_IN_A_PASS} for forward passes; choose a multiple of "
              f"{FEWEST_IN_A_PASS}, or give --micro-batch-size")
        check(self, ["batch_size"], lambda value: value % self.micro_batch == 0,
              f"must be a multiple of --micro-batch-size {self.micro_batch_size}")

    @property
    def micro_batch(self) -> int:
        """Sequences in one forward pass of T and of candidates: the largest divisor of --batch-size up to 32."""
        if self.micro_batch_size is not None:
            return self.micro_batch_size
        return max(size for size in range(1, MOST_IN_A_PASS + 1) if self.batch_size % size == 0)

    @property
    def theta(self) -> List[Hyperparameters]:
        """Theta: every combination of learning rate and warm-up."""
        return [Hyperparameters(*values) for values in itertools.product(self.learning_rate, self.warmup)]

    def of_an_evaluation(self) -> Dict[str, Any]:
        """Those options that determine a candidate's objectives, and not which architectures are candidates."""
        names = ("steps", "learning_rate", "warmup", "optimizer", "weight_decay", "clip", "batch_size", "seq_len",
                 "mask_probability", "dropout", "evaluation_lines", "parameters", "latency", "seed")
        measured = ("latency_batch_size", "latency_repeats") if self.latency == "measured" else ()
        adam = ("beta1", "beta2", "adam_epsilon") if self.optimizer == "adamw" else ()
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        chosen = {name: getattr(self, name) for name in (*names, *measured)}
        # Left out at their defaults, so that logs from before there were such options are continued.
        other = {name: getattr(self, name) for name in adam if getattr(self, name) != defaults[name]}
        return {**chosen, **other, "micro_batch_size": self.micro_batch}


def kind_of(values: Dict[str, Any]) -> str:
    """What a directory holds, by the options in its config.json."""
    return "a search" if {"epsilon", "representative"} <= set(values) else OTHER_PROGRAM

"""The options of a search."""

import dataclasses
import itertools
from typing import Any, Dict, List, Literal, NamedTuple, Optional, Tuple

from bort_mx.errors import InputError
from bort_mx.options import at_least, check, one_of, positive, within

BASELINES = ("exhaustive", "random")
MOST_IN_A_PASS = 32
FEWEST_IN_A_PASS = 8
"""Sequences, where --micro-batch-size does not say: with fewer a pass is slow, which nobody would know."""


class Hyperparameters(NamedTuple):
    """One theta of Theta."""

    learning_rate: float
    """Peak learning rate."""
    warmup: float
    """Warm-up: a proportion of the steps (below 1) or a number of steps."""


@dataclasses.dataclass
class SearchOptions:
    """Options of `run_search.py`; defaults are the paper's (§3.3) where it states one.

    Raises:
        InputError: values out of range; the message names the option.
    """

    data: Optional[List[str]] = None
    """A directory that `python -m bort_mx prepare` wrote, or text files or folders, which are prepared into
    OUTPUT_DIR/data first. Default: a small search on text that Python itself brings."""

    teacher: Optional[str] = None
    """The maximum point T and teacher: a checkpoint with a trained MLM head, or the output directory of
    run_pretraining.py (its newest checkpoint is taken). Without it and without --data a tiny one is pre-trained."""

    output_dir: str = "runs/search"
    """Where everything is written: candidates.jsonl, results.json, ranking.csv, pareto.png, report.md, config.json. A
    search that was interrupted goes on from there."""

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
    """n, training steps of each candidate."""

    learning_rate: Tuple[float, ...] = (5e-4,)
    """Peak learning rate. Several, with the values of --warmup, make up Theta: each candidate is trained with every
    combination, and its least error counts."""

    warmup: Tuple[float, ...] = (0.05,)
    """Warm-up as a proportion of the steps (below 1) or a number of steps, then the inverse square root."""

    optimizer: Literal["sgd", "adamw"] = "sgd"
    """The candidates' optimizer."""

    weight_decay: float = 0.0
    """λ of the candidates' training, decoupled: a step decays by lr·λ."""

    clip: float = 1.0
    """Bound on the norm of the gradient; 0 for none."""

    batch_size: int = 1024
    """Sequences in a training step of a candidate."""

    micro_batch_size: Optional[int] = None
    """Sequences in one forward pass, of T and of candidates alike; gradients are accumulated up to the batch. Default:
    the largest divisor of --batch-size up to 32."""

    seq_len: int = 512
    """Tokens of a packed sequence, <s> and </s> included."""

    mask_probability: float = 0.15
    """Share of the tokens chosen for prediction."""

    dropout: float = 0.1
    """Dropout of the candidates' training."""

    evaluation_lines: int = 11828
    """Sequences of the validation split on which the error is taken, the first of a fixed order."""

    parameters: Literal["formula", "counted"] = "formula"
    """p: by eq. 13, or counted in the model with its MLM head."""

    latency: Literal["measured", "flops"] = "measured"
    """î: seconds a sample, measured on worker 0 when all candidates are trained; or FLOPs per token by eq. 12, which
    makes a search reproducible to the bit."""

    latency_batch_size: int = 32
    """Sequences of --seq-len tokens in a forward pass whose time is measured."""

    latency_repeats: int = 7
    """Timed passes, after two untimed ones; the median counts."""

    cache_memory: int = 1024
    """Megabytes of T's hidden states that may be kept in memory; more are kept in OUTPUT_DIR, memory-mapped."""

    baselines: List[str] = dataclasses.field(default_factory=list)
    """exhaustive: evaluate the whole space too, which tells the regret; random: a random search of the same budget."""

    tokenizer: Optional[str] = None
    """For text: a vocabulary's file or directory. Default: the teacher's own."""

    seed: int = 0
    """Of initial weights, data order, masks and dropout."""

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto: a GPU if MXNet sees one."""

    def __post_init__(self):
        at_least(self, 1, "epsilon", "steps", "batch_size", "micro_batch_size", "evaluation_lines",
                 "latency_batch_size", "latency_repeats")
        at_least(self, 0, "weight_decay", "clip", "cache_memory")
        at_least(self, 8, "seq_len")
        positive(self, "learning_rate", "warmup")
        within(self, "(0, 1)", "mask_probability")
        within(self, "[0, 1)", "dropout")
        one_of(self, BASELINES, "baselines")
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
        """Sequences in one forward pass."""
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
        chosen = {name: getattr(self, name) for name in (*names, *measured)}
        return {**chosen, "micro_batch_size": self.micro_batch}

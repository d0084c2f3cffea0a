"""The options of pre-training."""

import dataclasses
from typing import Any, ClassVar, Dict, Mapping, Optional, Tuple

from bort_mx.errors import InputError
from bort_mx.options import at_least, positive, within
from bort_mx.training.options import OTHER_PROGRAM, LoopOptions, TextOptions


@dataclasses.dataclass
class PretrainingOptions(TextOptions, LoopOptions):
    """Options of `run_pretraining.py`. Defaults are the paper's (§4.2) where it states them.

    Raises:
        InputError: a value is out of range, or two values exclude each other; the message names them.
    """

    GROUP: ClassVar[str] = ""
    MAY_CHANGE: ClassVar[Tuple[str, ...]] = (*LoopOptions.MAY_CHANGE, "max_steps", "evaluation_interval", "data",
                                             "teacher", "init", "tokenizer")
    RENAMED: ClassVar[Dict[str, str]] = {"adam_epsilon": "epsilon"}

    architecture: Optional[str] = None
    """A preset (bort, bert-base, …), "D,A,H,I", or a search's results.json. Default: bort, or that of --init."""

    teacher: Optional[str] = None
    """Checkpoint of the teacher to distil from. Default: none; training is self-supervised."""

    init: Optional[str] = None
    """Checkpoint whose weights to start from. What it lacks (such as an MLM head) is initialised and reported."""

    train_vocab: Optional[int] = None
    """For text: train a SentencePiece vocabulary with this many entries instead of using --tokenizer."""

    max_steps: int = 25000
    """Number of optimizer steps."""

    num_positions: int = 512
    """Number of positions of a new model: the longest sequence, in tokens, that it can ever process."""

    learning_rate: float = 1e-4
    """Peak learning rate."""

    warmup: float = 0.01
    """Length of the linear warm-up: a proportion of --max-steps (below 1) or a number of steps; kept when resuming."""

    kd_weight: float = 0.5
    """With a teacher: w in loss = w·distillation + (1−w)·MLM."""

    temperature: float = 2.0
    """Temperature τ of the distillation loss."""

    evaluation_sequences: int = 2048
    """Number of validation sequences to evaluate on: the first of a fixed order. 0: all."""

    output_dir: str = "runs/pretraining"

    evaluation_interval: Optional[int] = 500

    checkpoint_interval: Optional[int] = 500

    keep_checkpoints: int = 3

    def __post_init__(self):
        super().__post_init__()
        at_least(self, 1, "max_steps", "num_positions", "train_vocab")
        at_least(self, 0, "evaluation_sequences")
        positive(self, "learning_rate", "temperature", "warmup")
        within(self, "[0, 1]", "kd_weight")
        if self.tokenizer and self.train_vocab:
            raise InputError(f"--tokenizer {self.tokenizer} and --train-vocab {self.train_vocab} exclude each other; "
                             "give one")


def kind_of(values: Mapping[str, Any]) -> str:
    """The kind of run that a directory holds, told from the options in its config.json."""
    return "a pre-training run" if "max_steps" in values else OTHER_PROGRAM

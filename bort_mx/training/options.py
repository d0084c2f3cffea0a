"""Options that several stages share: each declared once, with one type and one help.

A stage inherits the classes that apply to it and gives its own defaults by declaring a field again. A field whose
default is None has a default that depends on something else (the task, the checkpoint, an epoch's length); where a
stage's default is a value, None is refused.
"""

import dataclasses
from typing import ClassVar, Dict, List, Literal, Optional, Tuple, get_args

from bort_mx.errors import InputError
from bort_mx.options import at_least, one_of, positive, within

OptimizerName = Literal["adamw", "sgd"]
"""The keys of `bort_mx.training.optimizers.OPTIMIZERS`, which is not imported here, as it brings MXNet."""
OTHER_PROGRAM = "a run of another program"
"""What a directory holds whose options are not those of the stage that asks."""


@dataclasses.dataclass
class RunOptions:
    """What every run has: where it writes, whether it goes on, its seed and device."""

    GROUP: ClassVar[str] = "Run"
    MAY_CHANGE: ClassVar[Tuple[str, ...]] = ("output_dir", "resume", "device")
    """Options that may differ when a run is resumed."""
    RENAMED: ClassVar[Dict[str, str]] = {}
    """Options by their present name, with the name that older runs have in their config.json."""

    output_dir: str = "runs"
    """Folder that everything is written into: config.json, results.json, logs, checkpoints, figures."""

    resume: str = "never"
    """never: refuse a folder that holds a run. auto: continue from the newest undamaged checkpoint of OUTPUT_DIR, or
    start a new run there. Or the path of one of its checkpoints: go back there and drop what came after."""

    seed: Optional[int] = 0
    """Random seed for initial weights, data order, masks and dropout."""

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto (a GPU if MXNet finds one), cpu or gpu."""

    def __post_init__(self):
        one_of(self, ("auto", "cpu", "gpu"), "device")
        for field in dataclasses.fields(self):
            default = field.default if field.default_factory is dataclasses.MISSING else ()
            if default is not None and getattr(self, field.name) is None:
                raise InputError(f"--{field.name.replace('_', '-')} null: give a value, or leave the option out")


@dataclasses.dataclass
class OptimizerOptions(RunOptions):
    """How a model is trained."""

    GROUP: ClassVar[str] = "Training"

    batch_size: Optional[int] = 1024
    """Examples or sequences in a step, over all workers together."""

    micro_batch_size: Optional[int] = None
    """Examples or sequences in one forward pass of one worker; gradients are accumulated up to the batch. Default: in
    pre-training as many as fit into memory, in a search at most 32, in fine-tuning the whole batch."""

    optimizer: OptimizerName = "adamw"
    """adamw or sgd."""

    weight_decay: Optional[float] = 0.01
    """Weight decay λ, decoupled: a step multiplies weights by 1 − lr·λ, except biases and LayerNorm."""

    beta1: float = 0.9
    """AdamW's decay of the first moment."""

    beta2: float = 0.999
    """AdamW's decay of the second moment."""

    adam_epsilon: float = 1e-8
    """AdamW's ε."""

    clip: float = 1.0
    """Upper bound on the norm of the gradient, averaged over all workers; 0 for no bound."""

    dropout: float = 0.1
    """Dropout of hidden states and attention weights, and before a classifier."""

    def __post_init__(self):
        super().__post_init__()
        at_least(self, 1, "batch_size", "micro_batch_size")
        at_least(self, 0, "clip", "weight_decay")
        positive(self, "adam_epsilon")
        one_of(self, get_args(OptimizerName), "optimizer")
        within(self, "[0, 1)", "dropout", "beta1", "beta2")


@dataclasses.dataclass
class LoopOptions(OptimizerOptions):
    """When a training logs, evaluates and saves."""

    GROUP: ClassVar[str] = "Log, evaluation and checkpoints"
    MAY_CHANGE: ClassVar[Tuple[str, ...]] = (*RunOptions.MAY_CHANGE, "log_interval", "checkpoint_interval",
                                             "keep_checkpoints")

    dtype: Literal["float32", "float16"] = "float32"
    """float32, or float16 (GPUs only) with dynamic loss scaling and float32 master weights."""

    log_interval: int = 10
    """Steps between lines of metrics.jsonl."""

    evaluation_interval: Optional[int] = None
    """Steps between evaluations; 0: only at the end. Default of fine-tuning: the steps of an epoch."""

    evaluation_batch_size: Optional[int] = None
    """Examples or sequences in one forward pass of evaluation, per worker. Default: 32, in pre-training at most the
    micro-batch."""

    checkpoint_interval: Optional[int] = None
    """Steps between checkpoints; 0: only at the end. Default of fine-tuning: as --evaluation-interval."""

    keep_checkpoints: int = 1
    """How many of the newest checkpoints are kept, beside the best one of fine-tuning."""

    def __post_init__(self):
        super().__post_init__()
        one_of(self, ("float32", "float16"), "dtype")
        at_least(self, 1, "log_interval", "keep_checkpoints", "evaluation_batch_size")
        at_least(self, 0, "checkpoint_interval", "evaluation_interval")


@dataclasses.dataclass
class TextOptions(RunOptions):
    """Text to train on, and how it becomes sequences."""

    GROUP: ClassVar[str] = "Text"

    data: Optional[List[str]] = None
    """A folder that `bort-mx prepare` wrote; or text files or folders, which are prepared into OUTPUT_DIR/data first.
    Default: a small run on text that Python itself brings."""

    tokenizer: Optional[str] = None
    """Vocabulary for text: a file or folder (RoBERTa's vocab.json and merges.txt, BERT's vocab.txt,
    sentencepiece.model). Default of a search: the teacher's."""

    seq_len: int = 512
    """Tokens of a packed sequence, <s> and </s> included."""

    mask_probability: float = 0.15
    """Share of the tokens that are masked."""

    def __post_init__(self):
        super().__post_init__()
        at_least(self, 8, "seq_len")
        within(self, "(0, 1)", "mask_probability")

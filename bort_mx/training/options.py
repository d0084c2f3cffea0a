"""Options that several stages share. Each is declared once, with one type and one help text.

A stage inherits the classes that apply to it. It sets its own default by declaring a field again. A default of None
means that the value depends on something else (the task, the checkpoint, the length of an epoch). If a stage's default
is a value, None is refused.
"""

import dataclasses
from typing import ClassVar, Dict, List, Literal, NamedTuple, Optional, Tuple, get_args

from bort_mx.errors import InputError
from bort_mx.options import at_least, one_of, positive, within

OptimizerName = Literal["adamw", "sgd"]
"""The keys of `bort_mx.training.optimizers.OPTIMIZERS`. That is not imported here, because it imports MXNet."""
class OptimizerSettings(NamedTuple):
    """The optimizer's name and its hyperparameters. An optimizer ignores those that it does not have."""

    name: str = "adamw"
    """A key of `OPTIMIZERS`."""
    weight_decay: float = 0.01
    """λ of decoupled weight decay."""
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8


TEMPERATURES = "[0.01, 1000]"
"""What --temperature may be [I]. Below, a softmax of usual logits is one label; above, it is the same for all."""
OTHER_PROGRAM = "a run of another program"
"""The answer of a stage's `kind_of` for a directory whose options belong to another stage."""


@dataclasses.dataclass
class RunOptions:
    """Options of every run: where it writes, whether it resumes, its seed and its device."""

    GROUP: ClassVar[str] = "Run"
    MAY_CHANGE: ClassVar[Tuple[str, ...]] = ("output_dir", "resume", "device")
    """Options that may differ when a run is resumed."""
    RENAMED: ClassVar[Dict[str, str]] = {}
    """Present name of an option → the name that it has in the config.json of older runs."""

    output_dir: str = "runs"
    """Folder for all output: config.json, results.json, logs, checkpoints, figures."""

    resume: str = "never"
    """never: refuse a folder that holds a run. auto: continue from the newest undamaged checkpoint in OUTPUT_DIR, or
    start a new run there. A path: go back to this checkpoint of the run, and drop all later steps."""

    seed: Optional[int] = 0
    """Random seed for initial weights, data order, masks and dropout."""

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto (a GPU if MXNet finds one, otherwise the CPU), cpu or gpu."""

    def __post_init__(self):
        one_of(self, ("auto", "cpu", "gpu"), "device")
        if not self.output_dir:
            raise InputError('--output-dir "": is empty; give a folder')
        for field in dataclasses.fields(self):
            default = field.default if field.default_factory is dataclasses.MISSING else ()
            if default is not None and getattr(self, field.name) is None:
                raise InputError(f"--{field.name.replace('_', '-')} null: give a value, or leave the option out")


@dataclasses.dataclass
class OptimizerOptions(RunOptions):
    """Options that control how a model is trained."""

    GROUP: ClassVar[str] = "Training"

    batch_size: Optional[int] = 1024
    """Number of examples or sequences in one step, over all workers together."""

    micro_batch_size: Optional[int] = None
    """Number of examples or sequences in one forward pass of one worker. Gradients are accumulated over several passes
    until the batch is complete. Default: in pre-training as many as fit into memory; in a search the largest divisor of
    --batch-size up to 32; in fine-tuning the worker's whole share."""

    optimizer: OptimizerName = "adamw"
    """Optimizer: adamw or sgd."""

    weight_decay: Optional[float] = 0.01
    """Decoupled weight decay λ: each step multiplies the weights by 1 − lr·λ, except biases and LayerNorm."""

    beta1: float = 0.9
    """AdamW's decay rate of the first moment."""

    beta2: float = 0.999
    """AdamW's decay rate of the second moment."""

    adam_epsilon: float = 1e-8
    """AdamW's ε, which is added to the denominator."""

    clip: float = 1.0
    """Upper bound on the norm of the averaged gradient; larger gradients are scaled down. 0: no bound."""

    dropout: float = 0.1
    """Dropout rate of hidden states, of attention weights, and before a classifier."""

    def __post_init__(self):
        super().__post_init__()
        at_least(self, 1, "batch_size", "micro_batch_size")
        at_least(self, 0, "clip", "weight_decay")
        positive(self, "adam_epsilon")
        one_of(self, get_args(OptimizerName), "optimizer")
        within(self, "[0, 1)", "dropout", "beta1", "beta2")

    @property
    def optimizer_settings(self) -> OptimizerSettings:
        """What `bort_mx.training.optimizers.build_optimizer` takes."""
        return OptimizerSettings(self.optimizer, self.weight_decay, self.beta1, self.beta2, self.adam_epsilon)


@dataclasses.dataclass
class LoopOptions(OptimizerOptions):
    """Options that control when a training logs, evaluates and saves."""

    GROUP: ClassVar[str] = "Log, evaluation and checkpoints"
    MAY_CHANGE: ClassVar[Tuple[str, ...]] = (*RunOptions.MAY_CHANGE, "log_interval", "checkpoint_interval",
                                             "keep_checkpoints")

    dtype: Literal["float32", "float16"] = "float32"
    """Numeric type of the model: float32, or float16 with loss scaling and float32 master weights (GPUs only)."""

    log_interval: int = 10
    """Number of steps between lines of metrics.jsonl."""

    evaluation_interval: Optional[int] = None
    """Number of steps between evaluations; 0: only at the end. Default of fine-tuning: one epoch."""

    evaluation_batch_size: Optional[int] = None
    """Number of examples or sequences in one forward pass of evaluation, per worker. Default: 32; in pre-training at
    most the micro-batch."""

    checkpoint_interval: Optional[int] = None
    """Number of steps between checkpoints; 0: only at the end. Default of fine-tuning: --evaluation-interval."""

    keep_checkpoints: int = 1
    """How many of the newest checkpoints are kept. Fine-tuning keeps its best checkpoint as well."""

    def __post_init__(self):
        super().__post_init__()
        one_of(self, ("float32", "float16"), "dtype")
        at_least(self, 1, "log_interval", "keep_checkpoints", "evaluation_batch_size")
        at_least(self, 0, "checkpoint_interval", "evaluation_interval")


@dataclasses.dataclass
class TextOptions(RunOptions):
    """Options for the text to train on and the sequences made from it."""

    GROUP: ClassVar[str] = "Text"

    data: Optional[List[str]] = None
    """A folder written by `bort-mx prepare`; or text files or folders, which are first prepared into OUTPUT_DIR/data.
    Default: a small run on text that comes with Python."""

    tokenizer: Optional[str] = None
    """Vocabulary for the text: a file or folder (RoBERTa's vocab.json and merges.txt, BERT's vocab.txt, or
    sentencepiece.model), a checkpoint or a run, or a name on the Hugging Face Hub. Default: that of --init or
    --teacher."""

    seq_len: int = 512
    """Number of tokens in a packed sequence, including <s> and </s>."""

    mask_probability: float = 0.15
    """Share of tokens that are masked."""

    def __post_init__(self):
        super().__post_init__()
        at_least(self, 8, "seq_len")
        within(self, "(0, 1)", "mask_probability")

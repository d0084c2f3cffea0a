"""The options of pre-training."""

import dataclasses
from typing import List, Optional

from bort_mx.errors import InputError
from bort_mx.options import at_least, one_of, positive, within

MAY_CHANGE_ON_RESUME = ["output_dir", "resume", "max_steps", "log_interval", "checkpoint_interval",
                        "keep_checkpoints", "evaluation_interval", "data", "teacher", "init", "tokenizer", "device"]


@dataclasses.dataclass
class PretrainingOptions:
    """Options of `run_pretraining.py`; defaults are the paper's (§4.2) where it states one.

    Raises:
        InputError: values out of range or that exclude each other; the message names them.
    """

    data: Optional[List[str]] = None
    """A directory that `python -m bort_mx prepare` wrote, or text files or folders, which are prepared into
    OUTPUT_DIR/data first. Default: a small run on text that Python itself brings."""

    output_dir: str = "runs/pretraining"
    """Where everything is written: config.json, metrics.jsonl, results.json, checkpoints/, TensorBoard events."""

    architecture: Optional[str] = None
    """A preset (bort, bert-base, …), "D,A,H,I", or the results.json of a search. Default: bort, or that of --init."""

    teacher: Optional[str] = None
    """A checkpoint to distil from; without one, training is self-supervised."""

    init: Optional[str] = None
    """A checkpoint whose weights to start from; what it lacks (an MLM head, say) is initialised and named."""

    tokenizer: Optional[str] = None
    """For text: a vocabulary's file or directory (RoBERTa's vocab.json and merges.txt, BERT's vocab.txt,
    sentencepiece.model)."""

    train_vocab: Optional[int] = None
    """For text: train a SentencePiece vocabulary of this many entries instead of --tokenizer."""

    max_steps: int = 25000
    """Optimizer steps."""

    batch_size: int = 1024
    """Sequences in a step, over all workers together."""

    micro_batch_size: Optional[int] = None
    """Sequences in one forward pass of one worker; gradients are accumulated up to the batch. Default: no splitting."""

    seq_len: int = 512
    """Tokens of a packed sequence, <s> and </s> included."""

    num_positions: int = 512
    """Rows of a fresh model's position table: the longest sequence it will ever take."""

    dropout: float = 0.1
    """Dropout of hidden states and attention weights."""

    mask_probability: float = 0.15
    """Share of the tokens that are masked."""

    learning_rate: float = 1e-4
    """Peak learning rate."""

    warmup: float = 0.01
    """Steps of linear warm-up, as a proportion of --max-steps (below 1) or as their number; it stays on resuming."""

    optimizer: str = "adamw"
    """adamw or sgd."""

    weight_decay: float = 0.01
    """λ; a step decays weights by lr·λ, biases and LayerNorm not at all."""

    beta1: float = 0.9
    """AdamW's decay of the first moment."""

    beta2: float = 0.999
    """AdamW's decay of the second moment."""

    epsilon: float = 1e-8
    """AdamW's ε."""

    clip: float = 1.0
    """Bound on the norm of the gradient, averaged over all workers; 0 for none."""

    kd_weight: float = 0.5
    """w: loss = w·distillation + (1−w)·MLM, with a teacher."""

    temperature: float = 2.0
    """τ of the distillation."""

    dtype: str = "float32"
    """float32, or float16 (GPUs only) with dynamic loss scaling and float32 master weights."""

    device: str = "auto"
    """auto (a GPU if MXNet sees one), cpu or gpu."""

    seed: int = 0
    """Of initial weights, data order, masks and dropout."""

    log_interval: int = 10
    """Steps between lines of metrics.jsonl."""

    checkpoint_interval: int = 500
    """Steps between checkpoints."""

    keep_checkpoints: int = 3
    """How many of the newest checkpoints stay."""

    evaluation_interval: int = 500
    """Steps between evaluations on the validation split; 0: only at the end."""

    evaluation_sequences: int = 2048
    """Sequences of the validation split to evaluate on, the first of a fixed order; 0 for all."""

    evaluation_batch_size: Optional[int] = None
    """Sequences in one forward pass of evaluation, per worker. Default: as in training, at most 32."""

    resume: str = "never"
    """auto: go on from the newest undamaged checkpoint of OUTPUT_DIR, or start; or the path of one of its checkpoints,
    which goes back there and drops what came after."""

    def __post_init__(self):
        at_least(self, 1, "max_steps", "batch_size", "num_positions", "log_interval", "keep_checkpoints",
                 "micro_batch_size", "evaluation_batch_size", "train_vocab")
        at_least(self, 0, "checkpoint_interval", "evaluation_interval", "evaluation_sequences", "clip", "weight_decay")
        at_least(self, 8, "seq_len")
        positive(self, "learning_rate", "temperature", "epsilon", "warmup")
        within(self, "[0, 1)", "dropout", "beta1", "beta2")
        within(self, "(0, 1)", "mask_probability")
        within(self, "[0, 1]", "kd_weight")
        one_of(self, ("adamw", "sgd"), "optimizer")
        one_of(self, ("float32", "float16"), "dtype")
        one_of(self, ("auto", "cpu", "gpu"), "device")
        if self.tokenizer and self.train_vocab:
            raise InputError(f"--tokenizer {self.tokenizer} and --train-vocab {self.train_vocab} exclude each other; "
                             "give one")

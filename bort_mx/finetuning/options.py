"""The options of fine-tuning."""

import dataclasses
from typing import Any, ClassVar, Literal, Mapping, Optional, Tuple

from bort_mx.data.tasks import Task
from bort_mx.errors import InputError
from bort_mx.options import at_least, positive, within

BENCHMARKS = {"glue": ("glue",), "superglue": ("superglue",), "race": ("race",), "all": ("glue", "superglue", "race")}
"""What --task may name beside tasks, with the benchmarks it means."""


def kind_of(options: Mapping[str, Any]) -> str:
    """What a directory holds, by the options in its config.json: several kinds may differ in nothing else.

    Args:
        options: name → value, of any version.
    """
    if "task" not in options:
        return "a run of another program"
    kind = ("a benchmark" if options["task"] in BENCHMARKS else
            "several seeds" if options.get("seeds", 1) > 1 else "one run")
    return f"{kind} of Agora" if options.get("agora") else kind


@dataclasses.dataclass
class FineTuningOptions:
    """Options of `run_finetune.py`; defaults are the paper's (§5.1) where it states one.

    Raises:
        InputError: values out of range or that exclude each other; the message names them.
    """

    MAY_CHANGE: ClassVar[Tuple[str, ...]] = (
        "output_dir", "resume", "log_interval", "checkpoint_interval", "keep_checkpoints", "data_dir", "checkpoint",
        "device", "seeds", "evaluation_batch_size")
    """What a resumed run may have changed; of --checkpoint the content is compared."""

    task: Optional[str] = None
    """A task of GLUE, SuperGLUE or RACE (RTE, superglue/RTE, RACE-M …), demo, a YAML file that describes one's own, or
    a whole benchmark: glue, superglue, race, all. Default: the demo, a small entailment task made by rules."""

    checkpoint: str = "amazon/bort"
    """What to fine-tune: a checkpoint of ours, the output directory of a run, a Hugging Face or fairseq folder,
    GluonNLP's .params, or a name on the Hugging Face Hub."""

    data_dir: Optional[str] = None
    """The folder of the official files, which are fetched into it where the training set is not there. Default: data;
    for one's own task the folder of its description."""

    output_dir: str = "runs/finetuning"
    """Where everything is written: config.json, metrics.jsonl, results.json, predictions.tsv, the submission file,
    checkpoints/, figures, TensorBoard events."""

    predict_only: bool = False
    """Train nothing: score and predict with a checkpoint that has a classifier. What says how to train is not used."""

    chs: bool = False
    """Take learning rate, weight decay, warm-up, seed and batch size from the paper's convergent hyperparameter set of
    the task (App. D); those that are given beside it win."""

    epochs: int = 3
    """Passes over the training set."""

    batch_size: Optional[int] = None
    """Examples in a step, over all workers together. Default: the task's in the paper, 8 or 16."""

    micro_batch_size: Optional[int] = None
    """Examples in one forward pass of one worker; gradients are accumulated up to the batch. Default: no splitting."""

    learning_rate: Optional[float] = None
    """Peak learning rate. Default: 1e-5."""

    weight_decay: Optional[float] = None
    """λ; a step decays weights by lr·λ, biases and LayerNorm not at all. Default: 0.01."""

    warmup: Optional[float] = None
    """Steps of linear warm-up, as a proportion of all steps (below 1) or as their number; then linear decay to 0.
    Default: 0.1."""

    clip: float = 1.0
    """Bound on the norm of the gradient, averaged over all workers; 0 for none."""

    dropout: float = 0.1
    """Dropout of hidden states, attention weights and classifier."""

    classifier_init: Literal["uniform", "normal"] = "uniform"
    """The classifier's initial weights: uniform in (-1/2, 1/2) as in the paper, or N(0, 0.02²) as BERT's."""

    keep_classifier: bool = False
    """Train on the classifier that --checkpoint has for the task's labels. Default: a new one is drawn."""

    pooler: bool = False
    """Put BERT's pooler (Dense and tanh on the first token) before the classifier."""

    extra_layer: Optional[bool] = None
    """One more linear layer before the classifier. Default: for CoLA, as in the paper."""

    max_length: Optional[int] = None
    """Tokens of an example, special ones included; longer texts are cut and counted. Default: 512, or the checkpoint's
    positions if they are fewer."""

    group_by_length: bool = True
    """Put examples of similar length into a batch; False: batches in random order alone."""

    early_stopping: bool = False
    """Stop when the criterion has not improved for --patience evaluations."""

    patience: int = 1
    """Evaluations in a row without a better criterion after which --early-stopping stops."""

    evaluation_interval: Optional[int] = None
    """Steps between evaluations on dev. Default: those of an epoch."""

    evaluation_batch_size: int = 32
    """Examples in one forward pass of evaluation, per worker."""

    seed: Optional[int] = None
    """Of the classifier's weights, data order and dropout. Default: 0."""

    seeds: int = 1
    """Train with so many seeds, from --seed on, each into OUTPUT_DIR/seed-N; results.json has median and range."""

    dtype: Literal["float32", "float16"] = "float32"
    """float32, or float16 (GPUs only) with dynamic loss scaling and float32 master weights."""

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto (a GPU if MXNet sees one), cpu or gpu."""

    log_interval: int = 10
    """Steps between lines of metrics.jsonl."""

    checkpoint_interval: Optional[int] = None
    """Steps between checkpoints to resume from. Default: as --evaluation-interval; 0: only at the end."""

    keep_checkpoints: int = 1
    """How many of the newest checkpoints stay, beside the best."""

    resume: str = "never"
    """auto: go on from the newest undamaged checkpoint of OUTPUT_DIR, or start; what is finished is not done again. Or
    the path of one of its checkpoints."""

    def __post_init__(self):
        at_least(self, 1, "epochs", "batch_size", "micro_batch_size", "evaluation_batch_size", "log_interval", "seeds",
                 "keep_checkpoints", "patience", "evaluation_interval")
        at_least(self, 0, "clip", "weight_decay", "warmup", "checkpoint_interval")
        positive(self, "learning_rate")
        within(self, "[0, 1)", "dropout")
        at_least(self, 8, "max_length")
        if self.predict_only and (self.seeds > 1 or self.chs):
            raise InputError("--predict-only trains nothing; leave out --" + ("seeds" if self.seeds > 1 else "chs"))
        if self.resume == "never":
            self.refuse_unused()
        if self.keep_classifier and (self.pooler or self.extra_layer or self.classifier_init != "uniform"):
            raise InputError("--keep-classifier takes the classifier as it was trained; leave out --pooler, "
                             "--extra-layer and --classifier-init")
        if self.checkpoint == "fresh" and (self.predict_only or self.keep_classifier):
            raise InputError("--checkpoint fresh has no classifier yet; leave out --"
                             + ("predict-only" if self.predict_only else "keep-classifier"))
        if self.seeds > 1 and self.resume not in ("never", "auto"):
            raise InputError(f"--resume {self.resume} is one run's checkpoint and --seeds {self.seeds} are several "
                             "runs; give --resume auto")

    def refuse_unused(self) -> None:
        """Refuse what would do nothing; a run that was begun with it may be ended with it.

        Raises:
            InputError: --patience without --early-stopping.
        """
        if self.patience != 1 and not self.early_stopping and not self.predict_only:
            raise InputError(f"--patience {self.patience} is of --early-stopping; give that as well, or leave it out")

    def resolved(self, task: Task, asked: Task) -> "FineTuningOptions":
        """A copy in which every hyperparameter has its value.

        Args:
            task: what is trained on; gives batch size and extra layer.
            asked: what --task names, a diagnostic set perhaps; gives the convergent hyperparameter set.
        Raises:
            InputError: --chs, and the paper gives no set for the task.
        """
        values = {"learning_rate": 1e-5, "weight_decay": 0.01, "warmup": 0.1, "seed": 0, "batch_size": task.batch_size,
                  "extra_layer": task.extra_layer}
        if self.keep_classifier:
            del values["extra_layer"]
        if self.chs:
            values.update({name: value for name, value in asked.chs()._asdict().items() if value is not None})
        return dataclasses.replace(self, **{name: value for name, value in values.items()
                                            if getattr(self, name) is None})

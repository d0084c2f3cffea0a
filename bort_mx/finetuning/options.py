"""The options of fine-tuning."""

import dataclasses
from typing import Any, ClassVar, Literal, Mapping, Optional, Tuple

from bort_mx.data.tasks import Task
from bort_mx.errors import InputError
from bort_mx.options import at_least, positive
from bort_mx.training.options import OTHER_PROGRAM, LoopOptions

BENCHMARKS = {"glue": ("glue",), "superglue": ("superglue",), "race": ("race",), "all": ("glue", "superglue", "race")}
"""What --task may name beside tasks, with the benchmarks it means."""


def kind_of(values: Mapping[str, Any]) -> str:
    """What a directory holds, by the options in its config.json: several kinds may differ in nothing else.

    Args:
        values: name → value, of any version.
    """
    if "task" not in values:
        return OTHER_PROGRAM
    kind = ("a benchmark" if values["task"] in BENCHMARKS else
            "several seeds" if values.get("seeds", 1) > 1 else "one run")
    return f"{kind} of Agora" if values.get("agora") else kind


@dataclasses.dataclass
class FineTuningOptions(LoopOptions):
    """Options of `run_finetune.py`; defaults are the paper's (§5.1) where it states one.

    Raises:
        InputError: values out of range or that exclude each other; the message names them.
    """

    GROUP: ClassVar[str] = ""
    MAY_CHANGE: ClassVar[Tuple[str, ...]] = (*LoopOptions.MAY_CHANGE, "data_dir", "checkpoint", "seeds",
                                             "evaluation_batch_size")
    """Options that may differ when a run is resumed; of --checkpoint the content is compared."""

    task: Optional[str] = None
    """A task of GLUE, SuperGLUE or RACE (RTE, superglue/RTE, RACE-M …), demo, a YAML file that describes one's own, or
    a whole benchmark: glue, superglue, race, all. Default: the demo, a small entailment task made by rules."""

    checkpoint: str = "amazon/bort"
    """What to fine-tune: a checkpoint of ours, the output directory of a run, a Hugging Face or fairseq folder,
    GluonNLP's .params, or a name on the Hugging Face Hub."""

    data_dir: Optional[str] = None
    """The folder of the official files, which are fetched into it where the training set is not there. Default: data;
    for one's own task the folder of its description."""

    predict_only: bool = False
    """Train nothing: score and predict with a checkpoint that has a classifier. Options of training are not used."""

    chs: bool = False
    """Use the paper's convergent hyperparameter set of the task (App. D): learning rate, weight decay, warm-up, seed
    and batch size; those that are given beside it win."""

    epochs: int = 3
    """Passes over the training set."""

    learning_rate: Optional[float] = None
    """Peak learning rate. Default: 1e-5."""

    warmup: Optional[float] = None
    """Steps of linear warm-up, as a proportion of all steps (below 1) or as their number; then linear decay to 0.
    Default: 0.1."""

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

    seeds: int = 1
    """Train with this many seeds, from --seed on, each into OUTPUT_DIR/seed-N; results.json has median and range."""

    output_dir: str = "runs/finetuning"

    seed: Optional[int] = None

    batch_size: Optional[int] = None

    weight_decay: Optional[float] = None

    evaluation_batch_size: Optional[int] = 32

    def __post_init__(self):
        super().__post_init__()
        at_least(self, 1, "epochs", "seeds", "patience")
        at_least(self, 0, "warmup")
        positive(self, "learning_rate")
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
            raise InputError(f"--patience {self.patience} requires --early-stopping; give both, or leave it out")

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

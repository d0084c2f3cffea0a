"""The options of fine-tuning."""

import dataclasses
from typing import Any, ClassVar, Dict, Literal, Mapping, Optional, Tuple

from bort_mx.data.tasks import Task
from bort_mx.errors import InputError
from bort_mx.finetuning.own_file_options import OwnFileOptions
from bort_mx.finetuning.paper_values import paper_values
from bort_mx.options import at_least, positive, within
from bort_mx.training.options import OTHER_PROGRAM, TEMPERATURES, LoopOptions

BENCHMARKS = {"glue": ("glue",), "superglue": ("superglue",), "race": ("race",), "all": ("glue", "superglue", "race")}
"""Values of --task that name whole benchmarks → these benchmarks."""

RECIPE_FIELDS = ("learning_rate", "weight_decay", "warmup", "epochs", "batch_size", "classifier_init", "pooler",
                 "extra_layer", "pooling")
"""The options that a recipe gives values, see `bort_mx.finetuning.recipe`."""
PATIENCE = 3
"""[I] The default of --patience; the paper's own script has 200 (`bort_mx.finetuning.epochs`)."""
OF_A_CHS = ("learning_rate", "weight_decay", "warmup", "batch_size")
"""Those of them that the paper's convergent hyperparameter set of a task (--chs) has too."""


def kind_of(values: Mapping[str, Any]) -> str:
    """The kind of run that a directory holds, told from the options in its config.json.

    Two kinds may differ in nothing else.

    Args:
        values: option → value, as written by any version of this program.
    """
    if "task" not in values:
        return OTHER_PROGRAM
    kind = ("a benchmark" if values["task"] in BENCHMARKS else
            "several seeds" if values.get("seeds", 1) > 1 else "one run")
    return f"{kind} of Agora" if values.get("agora") else kind


@dataclasses.dataclass
class FineTuningOptions(LoopOptions, OwnFileOptions):
    """Options of `run_finetune.py`. What is left open is set by --recipe, see `bort_mx.finetuning.recipe`.

    Raises:
        InputError: a value is out of range, or two values exclude each other; the message names them.
    """

    GROUP: ClassVar[str] = "Fine-tuning"
    USUAL: ClassVar[Tuple[str, ...]] = ("train", "dev", "test", "task", "checkpoint", "output_dir", "epochs",
                                        "learning_rate", "batch_size", "resume")
    """What --help shows first."""
    MAY_CHANGE: ClassVar[Tuple[str, ...]] = (*LoopOptions.MAY_CHANGE, *OwnFileOptions.FILES, "data_dir", "checkpoint",
                                             "transfer_from", "teacher", "unlabelled", "seeds", "evaluation_batch_size")
    """Options that may differ when a run is resumed. Of checkpoints and files, the content is compared instead of the
    path."""

    EITHER: ClassVar[Tuple[Tuple[str, ...], ...]] = (("checkpoint", "transfer_from"), ("task", "train"))

    task: Optional[str] = None
    """The task: one of GLUE, SuperGLUE or RACE (RTE, superglue/RTE, RACE-M …), demo, a YAML file that describes your
    own task, or a whole benchmark: glue, superglue, race, all. Default: demo, a small synthetic entailment task."""

    checkpoint: str = "amazon/bort"
    """Model to fine-tune: a checkpoint of this program, the output directory of a run, a Hugging Face or fairseq
    folder, GluonNLP's .params, or a name on the Hugging Face Hub. fresh: a small model without pre-training. The
    default is what the paper's authors released; their pre-training code has faults: see
    docs/interpretation.md."""

    transfer_from: Optional[str] = None
    """In place of --checkpoint: a checkpoint fine-tuned on another task, such as MNLI for RTE. Its classifier is
    replaced by a new one."""

    teacher: Optional[str] = None
    """A checkpoint fine-tuned on this task, whose outputs for the training set are soft labels: the loss is w · τ² ·
    cross-entropy(teacher/τ, student/τ) + (1 − w) · the loss of the labels. A regression has the squared distance."""

    unlabelled: Optional[str] = None
    """With --teacher: a file of more texts, without labels: a table with the columns of the task's texts, or one text
    in a line, or two with a tab between. On these the loss is w · the distillation alone."""

    kd_weight: float = 0.5
    """With --teacher, or with --soft-labels of --agora: w in the loss."""

    temperature: float = 2.0
    """With --teacher, or with --soft-labels of --agora: τ in the loss."""

    data_dir: Optional[str] = None
    """Folder with the official files. Missing files are downloaded into it. Default: data; for your own task, the
    folder of its description."""

    predict_only: bool = False
    """Do not train: predict, and score, with a checkpoint that has a classifier. Training options are not used."""

    chs: bool = False
    """Use the paper's convergent hyperparameter set for the task (App. D): learning rate, weight decay, warm-up, seed
    and batch size. Values given as options take precedence."""

    recipe: Optional[Literal["paper", "usual", "roberta"]] = None
    """Values of the training options that are not given. paper: as the paper fine-tunes Bort (§5.1). usual: as encoders
    are usually fine-tuned. roberta: RoBERTa's own for each task. Default: paper for checkpoints of Bort's architecture
    and with --chs, else usual."""

    head: Optional[Literal["paper", "linear", "usual"]] = None
    """A new classifier. paper: a pooler and a linear layer from U(-1/2, 1/2), for CoLA one more (eq. 3 and 8). linear:
    the same without the pooler. usual: a pooler and a linear layer from N(0, 0.02²). --pooler, --extra-layer and
    --classifier-init change parts of it. Default: the recipe's; paper's is paper."""

    epochs: Optional[int] = None
    """Number of passes over the training set. Default: usual 3 to 5, more for a small training set; paper 3, roberta
    10; with --chs 50 to 1,000 by the size of the training set, and training stops after 200 without improvement."""

    max_epochs: Optional[int] = None
    """Upper limit on the epochs that a recipe or --chs gives."""

    learning_rate: Optional[float] = None
    """Peak learning rate. Default: usual 3e-4, 5e-5 (MiniLM's size) or 2e-5 (BERT's size); paper 1e-5."""

    warmup: Optional[float] = None
    """Length of the linear warm-up: a proportion of all steps (below 1) or a number of steps. Afterwards the learning
    rate decays linearly to 0. Default: 0.1; roberta 0.06 for most tasks."""

    classifier_init: Optional[Literal["uniform", "normal"]] = None
    """Initial weights of the classifier: uniform in (-1/2, 1/2) as in the paper, or normal, N(0, 0.02²), as in BERT.
    Default: usual normal; paper uniform."""

    keep_classifier: bool = False
    """Start from the classifier in --checkpoint, which must have the task's labels. Default: a new classifier."""

    pooler: Optional[bool] = None
    """Add BERT's pooler (a dense layer and tanh on the first token) before the classifier. Default: usual where the
    checkpoint has one; paper always."""

    extra_layer: Optional[bool] = None
    """Add one more linear layer before the classifier. Default: usual never; paper only for CoLA."""

    pooling: Optional[Literal["first", "mean", "segments"]] = None
    """What a new classifier reads. first: the first token, as BERT does. mean: the mean over all tokens. segments: of a
    pair of texts the means u and v over each, as (u, v, |u − v|, u·v); of one text its mean. For students of
    sentence-transformers models, whose first token was never trained: see docs/finetuning.md. Default: as the
    classifier read that --checkpoint or --transfer-from has; without one first."""

    clean_multirc: bool = False
    """MultiRC: mend typos in all sets, as the paper did by rules that it does not give (§5.2). A note counts them.
    Other tasks are read as they are."""

    max_length: Optional[int] = None
    """Number of tokens in an example, including special tokens. Longer texts are cut, and the cut ones are counted.
    Default: 512, or the checkpoint's number of positions if that is smaller."""

    group_by_length: bool = True
    """Form batches from examples of similar length. False: from examples in random order."""

    early_stopping: bool = False
    """Stop when the criterion has not improved for --patience evaluations."""

    patience: Optional[int] = None
    """With --early-stopping: training stops after so many evaluations in a row without improvement. Default: 3."""

    seeds: int = 1
    """Train with this many seeds, starting at --seed, each in OUTPUT_DIR/seed-N. Reports median and range."""

    output_dir: str = "runs/finetuning"

    seed: Optional[int] = None

    batch_size: Optional[int] = None

    weight_decay: Optional[float] = None

    evaluation_batch_size: Optional[int] = 32

    def __post_init__(self):
        super().__post_init__()
        at_least(self, 1, "epochs", "max_epochs", "seeds", "patience")
        at_least(self, 0, "warmup")
        positive(self, "learning_rate")
        within(self, TEMPERATURES, "temperature")
        within(self, "[0, 1]", "kd_weight")
        if self.transfer_from is not None:
            self._take_transfer()
        if self.teacher is not None and self.predict_only:
            raise InputError("--predict-only does not train; leave out --teacher")
        if self.unlabelled is not None:
            self._check_unlabelled()
        at_least(self, 8, "max_length")
        self.check_own_files(self.task, self.data_dir, self.predict_only)
        if self.predict_only and (self.seeds > 1 or self.chs):
            raise InputError("--predict-only does not train; leave out --" + ("seeds" if self.seeds > 1 else "chs"))
        if self.resume == "never":
            self.refuse_unused()
        if self.keep_classifier and (self.head or self.pooler or self.extra_layer or self.classifier_init == "normal"):
            raise InputError("--keep-classifier uses the classifier as it was trained; leave out --head, --pooler, "
                             "--extra-layer and --classifier-init")
        if self.pooling not in (None, "first") and not self.predict_only:  # which uses no option of training
            self._check_pooling()
        if self.checkpoint == "fresh" and (self.predict_only or self.keep_classifier):
            raise InputError("--checkpoint fresh has no classifier; leave out --"
                             + ("predict-only" if self.predict_only else "keep-classifier"))
        if self.seeds > 1 and self.resume not in ("never", "auto"):
            raise InputError(f"--resume {self.resume} is the checkpoint of one run, but --seeds {self.seeds} means "
                             "several runs; give --resume auto")

    def _check_pooling(self) -> None:
        """Means are read by a new classifier, without a pooler."""
        if self.keep_classifier:
            raise InputError(f"--keep-classifier uses the classifier as it was trained; leave out --pooling "
                             f"{self.pooling}")
        pooler = "--pooler" if self.pooler else f"--head {self.head}" if self.head in ("paper", "usual") else ""
        if pooler:
            raise InputError(f"{pooler} puts a pooler on the first token, and --pooling {self.pooling} reads all "
                             "tokens; leave one of them out")

    def _check_unlabelled(self) -> None:
        """--unlabelled is for a training with a teacher that counts."""
        if self.predict_only:
            raise InputError("--predict-only does not train; leave out --unlabelled")
        if self.teacher is None:
            raise InputError(f"--unlabelled {self.unlabelled} requires --teacher, which answers for the texts")
        if self.kd_weight == 0:
            raise InputError("--unlabelled has no effect with --kd-weight 0; leave one of them out")

    def _take_transfer(self) -> None:
        """--transfer-from stands for --checkpoint."""
        if self.checkpoint not in (FineTuningOptions.checkpoint, self.transfer_from):
            raise InputError(f"--checkpoint {self.checkpoint} and --transfer-from {self.transfer_from} are both what "
                             "to start from; give one of them")
        if self.keep_classifier or self.predict_only:
            raise InputError("--transfer-from replaces the classifier; leave out --keep-classifier and --predict-only")
        self.checkpoint = self.transfer_from

    def refuse_without_teacher(self, teaches: bool, needs: str, is_regression: bool) -> None:
        """Raises InputError for --kd-weight and --temperature without a teacher, which the option `needs` gives, and
        for a temperature in a regression.
        """
        if is_regression and self.temperature != FineTuningOptions.temperature:
            raise InputError(f"--temperature {self.temperature:g}: a regression's distance to its teacher has none; "
                             "leave it out")
        for name in ("kd_weight", "temperature"):
            if not teaches and getattr(self, name) != getattr(FineTuningOptions, name):
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name):g} requires {needs}; give both, or "
                                 "leave it out")

    @property
    def stops_by_rule(self) -> bool:
        """Whether the rule of epochs for --chs says when to stop early; of options as given."""
        return self.chs and self.epochs is None and not self.early_stopping

    def refuse_unused(self) -> None:
        """Refuse options without effect. A run that was started with them may still be resumed with them.

        Raises:
            InputError: --patience without --early-stopping, a weight of 0 for --teacher, and such.
        """
        if self.patience is not None and not self.early_stopping and not self.predict_only:
            raise InputError(f"--patience {self.patience} requires --early-stopping; give both, or leave it out")
        if self.early_stopping and self.evaluation_interval == 0:
            raise InputError("--early-stopping: with --evaluation-interval 0 there is one evaluation, at the end; "
                             "leave one of them out")
        if self.teacher is not None and self.kd_weight == 0:
            raise InputError(f"--kd-weight 0: nothing would be learnt from --teacher {self.teacher}; leave both out, "
                             "or give another weight")
        if self.split_seed and (self.train is None or self.dev is not None or self.predict_only):
            raise InputError(f"--split-seed {self.split_seed}: no dev set is split off here, as it is of --train "
                             "alone; leave it out")

    def continued(self, before: Mapping[str, Any]) -> "FineTuningOptions":
        """The options of a run that is resumed: what a recipe would give, and was not given, is as in its config.json.

        A run that was started before there were recipes trained by the paper's. With --chs, what a convergent
        hyperparameter set has is left to it.

        Args:
            before: the options in config.json; empty for a new run.
        """
        if not before:
            return self
        before = {"recipe": "paper", "head": None, "pooling": "first", **before}
        if self.head not in (None, before["head"]):
            raise InputError(f"--resume: --head {self.head}: the run in {self.output_dir} was started with "
                             f"{'another' if before['head'] else 'none'}; leave it out, or start anew elsewhere")
        if before["pooling"] not in (None, self.pooling) and self.pooling is not None:
            raise InputError(f"--resume: --pooling {self.pooling}: the run in {self.output_dir} was started with "
                             f"{before['pooling']}; leave it out, or start anew elsewhere")
        names = [name for name in ("recipe", "head", *RECIPE_FIELDS) if not (self.chs and name in OF_A_CHS)]
        kept = {name: before[name] for name in ("early_stopping", "patience") if name in before and (
            self.stops_by_rule or name == "patience" and self.patience is None)}
        return dataclasses.replace(self, **kept, **{name: before[name] for name in names
                                            if getattr(self, name) is None and before.get(name) is not None})

    def resolved(self, task: Task, asked: Task, recipe: Optional[Mapping[str, Any]] = None) -> "FineTuningOptions":
        """A copy in which every hyperparameter has a value, also the seed.

        Args:
            task: the task to train on. It determines batch size and extra layer.
            asked: the task that --task names; it may be a diagnostic set. It determines the convergent hyperparameter
                set.
            recipe: values for options that are not given. Default: the paper's.
        Raises:
            InputError: --chs is given, but the paper has no such set for the task.
        """
        values: Dict[str, Any] = {"seed": 0, "patience": PATIENCE if self.early_stopping else None,
                                  **(paper_values(task) if recipe is None else recipe)}
        if self.chs:
            values.update({name: value for name, value in asked.chs()._asdict().items() if value is not None})
        if self.pooling is None and (self.pooler or self.keep_classifier):
            values["pooling"] = "first"
        if (self.pooling or values["pooling"]) != "first":
            values["pooler"] = False
        if self.keep_classifier:  # its form is the checkpoint's
            values.update(classifier_init="uniform", pooler=False, extra_layer=None)
        return dataclasses.replace(self, **{name: value for name, value in values.items()
                                            if getattr(self, name) is None})

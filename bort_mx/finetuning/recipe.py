"""The recipe: values of the hyperparameters that the user leaves open, by what the checkpoint is.

- paper: as the paper fine-tunes Bort (§5.1): learning rate 1e-5, a new pooler (eq. 8) and linear classifier from
  U(-1/2, 1/2). [I] 3 epochs, 10 % warm-up, weight decay 0.01; with --chs the epochs of `bort_mx.finetuning.epochs`.
- usual: as encoders are usually fine-tuned (Devlin et al. 2018, App. A.3): AdamW with a learning rate by the model's
  size, a classifier from N(0, 0.02²), the checkpoint's pooler where it has one, 3 to 5 epochs by the size of the
  training set.
- roberta: as the commands published with Liu et al. (2019) fine-tune RoBERTa: learning rate and batch by task, weight
  decay 0.1, 10 epochs, 6 % warm-up (fairseq, examples/roberta/README.glue.md); RACE with weight decay 0.01, 5 epochs
  and no warm-up (README.race.md, whose learning rate is constant). [I] Other tasks as MRPC.

The first two warm up linearly over 10 % of the steps; all decay linearly to 0. The rules of "usual" and what they are
worth: docs/experiments/default-recipe.md.
"""

from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence

from bort_mx.architecture import PRESETS, Architecture
from bort_mx.data.tasks import Task
from bort_mx.finetuning.epochs import paper_epochs
from bort_mx.finetuning.paper_values import head_values, paper_values

RATES = ((6e6, 3e-4), (30e6, 5e-5), (float("inf"), 2e-5))
"""Learning rate of models with fewer parameters in their layers than this: the small encoders that are pre-trained here
(docs/experiments/finetune-small-encoder.md; the largest rate of Turc et al. 2019), MiniLM's size, BERT's size."""
EPOCHS = ((2_000, 5), (10_000, 4), (float("inf"), 3))
"""Epochs of training sets with at most this number of examples."""
BATCH = 16

ROBERTA: Dict[str, Dict[str, Any]] = {
    **dict.fromkeys(("MNLI-matched", "MNLI-mismatched", "QNLI", "SST-2"), {"batch_size": 32}),
    "QQP": {"batch_size": 32, "warmup": 0.25},  # 28,318 of 113,272 steps
    **dict.fromkeys(("RTE", "STS-B"), {"learning_rate": 2e-5}),
    **dict.fromkeys(("RACE-H", "RACE-M"), {"weight_decay": 0.01, "warmup": 0.0, "epochs": 5})}
"""What RoBERTa's recipe of a task has other than that of MRPC and CoLA."""


class Start(NamedTuple):
    """What a training starts from."""

    architecture: Architecture
    pooler: bool
    """Whether the checkpoint has a pre-trained pooler."""
    pooling: str = "first"
    """What its classifier reads, if it has one: `ModelConfig.pooling`."""


class Recipe(NamedTuple):
    """A recipe's values, and its line for the user."""

    name: str
    values: Dict[str, Any]
    """A value for each of `RECIPE_FIELDS`."""
    reason: str


def usual(task: Task, start: Start, examples: int, reason: str) -> Recipe:
    """The usual recipe.

    Args:
        task: its batch size is used if its description states one.
        start: what the training starts from.
        examples: the number of training examples.
        reason: why this recipe was chosen.
    """
    size = layer_parameters(start.architecture)
    rate = next(rate for below, rate in RATES if size < below)
    epochs = next(epochs for most, epochs in EPOCHS if examples <= most)
    batch = task.batch_size if task.states_batch_size else BATCH
    return Recipe("usual", {"learning_rate": rate, "weight_decay": 0.01, "warmup": 0.1, "epochs": epochs,
                            "batch_size": batch, "classifier_init": "normal", "pooler": start.pooler,
                            "extra_layer": False, "pooling": "first"},
                  f"{reason}; {size / 1e6:.1f} M parameters in the layers, without embeddings; "
                  f"{examples:,} training examples")


def roberta_values(task: Task) -> Dict[str, Any]:
    """RoBERTa's own recipe for a task."""
    return {"learning_rate": 1e-5, "weight_decay": 0.1, "warmup": 0.06, "epochs": 10, "batch_size": 16,
            **head_values("usual", task), **ROBERTA.get(task.name, {})}


def layer_parameters(architecture: Architecture) -> int:
    """Number of parameters of the encoder's layers, without embeddings and pooler: D(4H² + 2HI + 9H + I), of eq. 13."""
    D, H, I = architecture.num_layers, architecture.hidden_size, architecture.intermediate_size
    return D * (4 * H * H + 2 * H * I + 9 * H + I)


def choose(asked: Optional[str], chs: bool, task: Task, start: Optional[Start], examples: int,
           max_epochs: Optional[int] = None, head: Optional[str] = None) -> Recipe:
    """The recipe of a run: as --recipe says; else the paper's for Bort and with --chs; else the usual one.

    Args:
        asked: the option --recipe; of a run that is resumed, what it was.
        chs: the option --chs.
        task: the task to train on.
        start: what the training starts from; None for a run that trains nothing or is resumed.
        examples: the number of training examples.
        max_epochs, head: the options --max-epochs and --head.
    """
    if start is None:
        return Recipe(asked or "paper", paper_values(task), "as the run was started")
    of_bort = start.architecture == PRESETS["bort"]
    name = asked or ("paper" if of_bort or chs else "usual")
    reason = ("as --recipe says" if asked is not None else "--chs is the paper's" if chs else
              f"the checkpoint is {'' if of_bort else 'not '}Bort's")
    fixed = {"paper": paper_values, "roberta": roberta_values}
    found = Recipe(name, fixed[name](task), reason) if name in fixed else usual(task, start, examples, reason)
    if chs:
        found.values["epochs"] = paper_epochs(examples)
    found.values["epochs"] = min(found.values["epochs"], max_epochs or found.values["epochs"])
    found.values["pooling"] = start.pooling
    if head is not None:
        found.values.update(head_values(head, task))
    return found


def describe(recipe: Recipe, used: Mapping[str, Any], given: Sequence[str], keeps_classifier: bool) -> str:
    """The recipe in one line, with the values that are used.

    Args:
        recipe: the recipe.
        used: a value for each of `RECIPE_FIELDS`.
        given: those of `RECIPE_FIELDS` that the user gave to a new run.
        keeps_classifier: the option --keep-classifier.
    """
    head = "N(0, 0.02²)" if used["classifier_init"] == "normal" else "U(-1/2, 1/2)"
    read = {"first": ["the pooler"] if used["pooler"] else [], "mean": ["the mean of all tokens"],
            "segments": ["the texts' means"]}[used["pooling"]]
    layers = [*read, *(["one more linear layer"] if used["extra_layer"] else [])]
    form = "the checkpoint's own classifier" if keeps_classifier else (
        f"a new classifier from {head} on " + (" and ".join(layers) or "the first token"))
    asked = [f"--{'no-' if used[name] is False else ''}{name.replace('_', '-')}" for name in given]
    return (f"recipe {recipe.name} ({recipe.reason}): lr {used['learning_rate']:g}, {used['epochs']} "
            f"epoch{'s' if used['epochs'] > 1 else ''} of batches of {used['batch_size']}, warm-up {used['warmup']:g}, "
            f"then linear to 0, {form}" + (f"; given: {', '.join(asked)}" if asked else ""))

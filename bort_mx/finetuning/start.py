"""What a training starts from: the weights of --checkpoint, and the options with all values that follow from them."""

import dataclasses
import os
from typing import List, NamedTuple, Optional, Tuple

from bort_mx import hub
from bort_mx.architecture import Architecture
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints import loading
from bort_mx.checkpoints.weights import Weights
from bort_mx.data.tasks import Task
from bort_mx.data.tokenizers import Tokenizer, train_sentencepiece
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.finetuning import epochs
from bort_mx.finetuning import recipe as recipes
from bort_mx.finetuning.classifier import without_classifier
from bort_mx.finetuning.options import RECIPE_FIELDS, FineTuningOptions
from bort_mx.finetuning.task_data import TaskData, once_a_host
from bort_mx.finetuning.trainer import pooling_of
from bort_mx.models.build import build_from_config
from bort_mx.models.config import ModelConfig
from bort_mx.training.earlier_run import earlier_options

FRESH = "fresh"
"""Value of --checkpoint for no pre-training: a small encoder, with a vocabulary from the task's own texts."""
FRESH_ARCHITECTURE, FRESH_VOCABULARY, FRESH_POSITIONS = Architecture(2, 4, 128, 512), 2000, 512


class Settled(NamedTuple):
    """A run's options and weights."""

    options: FineTuningOptions
    """Every hyperparameter has a value."""
    given: FineTuningOptions
    """The options as given; of a run that is resumed, as `FineTuningOptions.continued` returns them."""
    weights: Optional[Weights]
    """What --checkpoint holds; None for fresh, and for a run that is resumed with the values of its config.json."""
    recipe: recipes.Recipe
    line: str
    """The recipe, for the user."""


def settle(options: FineTuningOptions, asked: Task, data: TaskData, workers: Workers) -> Settled:
    """Give every hyperparameter its value: as given, else as in the run that is resumed, else by the recipe.

    Args:
        options: as the user gave them.
        asked: see `FineTuningOptions.resolved`.
        data: the task's data.
        workers: all make this call.
    Raises:
        InputError: there is no such checkpoint, it is damaged, or it has no tokenizer.
    """
    before = earlier_options(options.output_dir, options.resume)
    continued = options.continued(before)
    trains = not options.predict_only and not before
    weights = read_weights(options.checkpoint, workers) if trains and options.checkpoint != FRESH else None
    start = None
    if trains:
        start = recipes.Start(FRESH_ARCHITECTURE, False) if weights is None else _start_of(weights)
    recipe = recipes.choose(continued.recipe, options.chs, data.task, start, len(data.train), options.max_epochs,
                            continued.head)
    settled = dataclasses.replace(continued.resolved(data.task, asked, recipe.values), recipe=recipe.name)
    if trains and pooling_of(settled.pooling, data.task) == "segments" and not options.keep_classifier:
        refuse_without_types(options.checkpoint, weights)
    if trains and options.stops_by_rule:
        settled = dataclasses.replace(settled, early_stopping=True, patience=epochs.PATIENCE)
    used = {name: getattr(settled, name) for name in RECIPE_FIELDS}
    given = [] if before else [name for name in RECIPE_FIELDS if getattr(options, name) is not None]
    return Settled(settled, continued, weights, recipe,
                   recipes.describe(recipe, used, given, options.keep_classifier))


def refuse_without_types(checkpoint: str, weights: Optional[Weights]) -> None:
    """For --pooling segments.

    Args:
        checkpoint: the option --checkpoint.
        weights: what it holds; None for fresh.
    Raises:
        InputError: no token types tell the two texts of a pair apart.
    """
    if weights is None or weights.config.token_types != 2 or not weights.tokenizer.gives_token_types:
        raise InputError(f"--pooling segments: {checkpoint} has no token types for a second text, in its model or by "
                         "its tokenizer; take --pooling mean")


def _start_of(weights: Weights) -> recipes.Start:
    pooler = any(name.startswith("pooler.") for name in without_classifier(weights).tensors)
    return recipes.Start(weights.config.architecture, pooler, weights.config.pooling)


def starting_weights(checkpoint: str, weights: Optional[Weights], seed: int, data: TaskData,
                     transfers: bool = False) -> Tuple[Weights, List[str]]:
    """The weights that a new classifier starts from, with their tokenizer; and notes.

    Args:
        checkpoint: the option --checkpoint.
        weights: what it holds; None for fresh.
        seed: seed of a fresh encoder.
        data: a fresh encoder's vocabulary is made from its training texts.
        transfers: the option --transfer-from is given.
    Raises:
        InputError: it `transfers` from another task, and has no classifier.
    """
    trained = weights is not None and weights.config.head == "classifier"
    if transfers and not trained:
        raise InputError(f"--transfer-from {checkpoint}: is not fine-tuned on any task; give it as --checkpoint")
    if weights is None:
        return _fresh(data, seed), []
    if not trained:
        return weights, []
    return without_classifier(weights), [f"the classifier of {checkpoint} is left out for a new one"]


def read_weights(path: str, workers: Workers) -> Weights:
    """Read the weights of a checkpoint, with their tokenizer.

    Raises:
        InputError: there is no such checkpoint, it is damaged, or it has no tokenizer.
    """
    if not os.path.exists(path):  # one worker per host downloads it, before all read it
        once_a_host(workers, lambda: hub.find(path))
    weights = loading.read(path)
    if weights.tokenizer is None:
        raise InputError(f"{weights.source}: has no tokenizer files; put vocab.json and merges.txt, vocab.txt or "
                         "sentencepiece.model beside the weights")
    return weights


def _fresh(data: TaskData, seed: int) -> Weights:
    """A small encoder with random weights and a vocabulary from the training texts: the baseline for pre-training."""
    tokenizer = _vocabulary([text for example in data.train for text in example.texts])
    config = ModelConfig(FRESH_ARCHITECTURE, tokenizer.vocab_size, "encoder", num_positions=FRESH_POSITIONS)
    model = build_from_config(config, seed=seed)
    return Weights(config, checkpoint_directory.tensors_of(model), tokenizer, "a fresh encoder")


def _vocabulary(texts: List[str]) -> Tokenizer:
    """Train a SentencePiece vocabulary: all bytes, all characters of the texts, and as many longer pieces as fit."""
    characters = len(set().union(*texts))
    return train_sentencepiece(texts, max(FRESH_VOCABULARY, 300 + 2 * characters), "the training set", exact=False)

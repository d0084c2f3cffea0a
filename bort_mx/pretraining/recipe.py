"""What the options of distillation mean for a given student and teacher: the head, the objective, the first weights."""

import math
from typing import Mapping, Optional, Tuple, Union

import mxnet as mx
import numpy as np

from bort_mx.architecture import Architecture
from bort_mx.errors import InputError
from bort_mx.models.bert import BERT
from bort_mx.pretraining.from_teacher import start_from_teacher
from bort_mx.pretraining.inner_objective import InnerObjective, embedding_like, left_out_of_texts
from bort_mx.pretraining.objective import PretrainingObjective
from bort_mx.pretraining.options import OF_TEACHER, REPLACED, Recipe
from bort_mx.pretraining.replaced_tokens import ReplacedTokens, build_generator

MOST_RELATION_HEADS = 48
"""As MiniLMv2 has."""


def head_of_teacher(weights: Optional[Mapping[str, float]]) -> str:
    """The head that the losses need of the teacher, likewise."""
    return "mlm" if weights is None or "kd" in weights else "encoder"


def start_as_told(recipe: Recipe, model: BERT, teacher: Optional[BERT], longest: int,
                  sample: Tuple[np.ndarray, np.ndarray], fresh: bool) -> Tuple[Tuple[str, ...], Optional[np.ndarray]]:
    """Copy the teacher's weights into a new student, if asked.

    Args:
        recipe: what is asked.
        model, teacher: the two models.
        longest: tokens of the longest sequence in training.
        sample: token ids (B, s) and lengths (B,) of some text.
        fresh: False for a run that is resumed: its student has its weights already.
    Returns:
        lines for the user; and the teacher's hidden units that the student has (H_S,), if it starts from it.

    Raises:
        InputError: the student cannot start from this teacher; or a loss does not fit the two models.
    """
    if teacher is not None:
        check_fit(recipe, model, teacher)
    if not fresh:
        return (), None
    said = _embedding_as_told(recipe, model, teacher, longest)
    if not recipe.start:
        return said, None
    copied, units = start_from_teacher(model, teacher, recipe.start, sample)
    return (copied, *said), units


def _embedding_as_told(recipe: Recipe, model: BERT, teacher: Optional[BERT], longest: int) -> Tuple[str, ...]:
    """Let a student's embedding of texts be the one that is trained: that of the loss, or none with dense layers.

    Those of --init would stay as they are, behind states that become others. Returns lines for the user.
    """
    before, said = model.config.embedding, ()
    if "embeddings" in (recipe.weights or {}):
        now, without = embedding_like(teacher, longest), left_out_of_texts(teacher, longest)
        said = ("the text of training is taken as it is, without what the teacher's files say: "
                f"{', '.join(without)}; so the student embeds texts without it",) if without else ()
        same = before is not None and (before.pooling, before.steps) == (now.pooling, now.steps)
    else:
        trained = before is not None and before.shapes(model.config.architecture.hidden_size)
        now, same = (None if trained else before), not trained
    model.config = model.config.replace(embedding=now)
    if same or before is None:
        return said
    model.embedding_tensors = {}
    instead = f"is replaced by {now}" if now else "is left out, as no loss trains its dense layers"
    return (*said, f"the embedding of texts that --init has ({before}) {instead}")


def check_fit(recipe: Recipe, model: BERT, teacher: BERT) -> None:
    """Raises InputError if a layer is out of range, or heads do not divide or differ."""
    own, theirs = model.config.architecture, teacher.config.architecture
    weights = recipe.weights or {}
    if recipe.teacher_layer and recipe.teacher_layer > theirs.num_layers:
        raise InputError(f"--teacher-layer {recipe.teacher_layer}: the teacher has {theirs.num_layers} layers")
    heads = recipe.relation_heads
    for who, size in (("student", own.hidden_size), ("teacher", theirs.hidden_size)):
        if heads and "relations" in weights and size % heads:
            raise InputError(f"--relation-heads {heads}: does not divide the {who}'s width {size}; give a divisor of "
                             f"{math.gcd(own.hidden_size, theirs.hidden_size)}")
    if "attention" in weights and own.num_heads != theirs.num_heads:
        raise InputError(f"--losses attention: the student has {own.num_heads} heads, the teacher {theirs.num_heads}; "
                         "take relations, which allow any heads")


def relation_heads(own: int, theirs: int) -> int:
    """The largest number of relation heads up to `MOST_RELATION_HEADS` that divides two widths."""
    return max(heads for heads in range(1, MOST_RELATION_HEADS + 1) if own % heads == 0 and theirs % heads == 0)


def scores_of_sequence(recipe: Recipe, own: Architecture, theirs: Optional[Architecture], seq_len: int,
                       compiled: bool = False) -> int:
    """Elements of the arrays of scores that the losses compare for one sequence.

    Relations have (3R, s, s), or none if their loss is `compiled`; attention has (A, s, s) for each layer that is
    compared; the other losses have none.
    """
    weights, heads = recipe.weights or {}, 0
    if "relations" in weights and not compiled:
        heads += 3 * (recipe.relation_heads or relation_heads(own.hidden_size, theirs.hidden_size))
    if "attention" in weights:
        heads += own.num_heads * (own.num_layers if recipe.every_layer else 1)
    return heads * seq_len ** 2


def objective_of(recipe: Recipe, model: BERT, teacher: Optional[BERT], units: Optional[np.ndarray],
                 seed: int, ctx: mx.Context) -> Union[PretrainingObjective, InnerObjective, ReplacedTokens]:
    """The objective: the paper's, unless --distill or --losses ask for another."""
    weights = recipe.weights
    if weights is None:
        return PretrainingObjective(model, teacher, recipe.kd_weight, recipe.temperature, ctx)
    if REPLACED in weights:
        return ReplacedTokens(model, build_generator(model, seed, ctx), weights[REPLACED], seed, ctx)
    if not any(name in OF_TEACHER for name in weights):
        teacher = None  # it served for the first weights only
    own = model.config.architecture.hidden_size
    theirs = teacher.config.architecture.hidden_size if teacher is not None else own
    return InnerObjective(model, teacher, weights, recipe.relation_heads or relation_heads(own, theirs),
                          recipe.teacher_layer, recipe.every_layer, recipe.temperature, units, seed, ctx)

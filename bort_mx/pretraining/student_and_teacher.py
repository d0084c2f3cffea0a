"""The two models of distillation: the student (new or from a checkpoint) and the teacher, with one vocabulary."""

import dataclasses
import os
from typing import Any, Dict, Optional

import mxnet as mx

from bort_mx import hub
from bort_mx.architecture import Architecture
from bort_mx.checkpoints import loading
from bort_mx.checkpoints.weights import tensors_digest
from bort_mx.data.tokenizers import Tokenizer
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.io.near_names import missing
from bort_mx.models.bert import BERT
from bort_mx.models.build import build_from_config
from bort_mx.models.config import ModelConfig

NEW = "the new model"
"""The source of a model that is built, not loaded, for errors."""


def resolve_architecture(text: Optional[str]) -> Architecture:
    """Read a preset, "D,A,H,I", or the best architecture of a search's results.json. None means Bort.

    Raises:
        InputError: the text is none of these.
    """
    if text is None or not text.endswith(".json"):
        return Architecture.parse(text or "bort")
    results = files.read_json(text)
    best = results.get("best") if isinstance(results, dict) else None
    if not isinstance(best, dict) or not isinstance(best.get("architecture"), list):
        raise InputError(f"{text}: no field best.architecture; give the results.json of run_search.py")
    return Architecture.parse(",".join(str(v) for v in best["architecture"]))


def fresh_student(architecture: Optional[str], tokenizer: Tokenizer, num_positions: int, dropout: float, seed: int,
                  ctx: mx.Context, head: str = "mlm", **others: Any) -> BERT:
    """A student with random weights. Its family follows from the vocabulary's kind. `others` are of `ModelConfig`.

    Raises:
        InputError: see `resolve_architecture`.
    """
    config = ModelConfig(resolve_architecture(architecture), tokenizer.vocab_size, head, dropout=dropout,
                         num_positions=num_positions, family="bert" if tokenizer.kind == "wordpiece" else "roberta",
                         **others)
    return build_from_config(config, seed=seed, ctx=ctx)


def student_of(checkpoint: os.PathLike, architecture: Optional[str], tokenizer: Tokenizer, dropout: float, seed: int,
               ctx: mx.Context, head: str = "mlm") -> BERT:
    """A student that starts from a checkpoint's weights.

    Raises:
        InputError: the checkpoint has another vocabulary, or another architecture than --architecture.
    """
    model = load_on_vocabulary(checkpoint, tokenizer, ctx, head, seed=seed, dropout=dropout)
    if architecture and model.config.architecture != resolve_architecture(architecture):
        raise InputError(f"--architecture {architecture} is not that of {checkpoint} "
                         f"({model.config.architecture}); leave it out")
    return model


def load_teacher(path: os.PathLike, tokenizer: Tokenizer, seq_len: int, ctx: mx.Context, head: str = "mlm") -> BERT:
    """Load the model of --teacher onto a device, with its MLM head or, with head "encoder", without any.

    Raises:
        InputError: another vocabulary, too few positions, or no trained MLM head.
    """
    teacher = load_on_vocabulary(path, tokenizer, ctx, head)
    if teacher.initialized:
        raise _lacks_head(path)
    check_length(seq_len, teacher.config, str(path))
    return teacher


def _lacks_head(path: os.PathLike) -> InputError:
    return InputError(f"--teacher {path}: lacks a trained MLM head; train one first by run_pretraining.py --init "
                      f"{path}, or learn from its inside by --losses relations hidden")


def refuse_unfit(option: str, path: str, seq_len: int, head: str) -> None:
    """Raises InputError if a checkpoint cannot be what an option asks for, before text is prepared for it.

    Args:
        option: "init" or "teacher".
        path: its value.
        seq_len: tokens of a sequence.
        head: what a teacher needs, "mlm" or "encoder".
    """
    if not hub.find(path).exists():
        raise InputError(f"--{option} {missing(path, 'no such file or directory')}")
    weights = loading.read(path)
    check_length(seq_len, weights.config, path)
    if option == "teacher" and head == "mlm" and not any(name.startswith("decoder.") for name in weights.tensors):
        raise _lacks_head(path)


def load_on_vocabulary(path: os.PathLike, tokenizer: Tokenizer, ctx: mx.Context, head: str = "mlm", *,
                       seed: int = 0, **changes: Any) -> BERT:
    """Load a checkpoint, with its MLM head or without any head, onto a device. Its vocabulary must be the data's.

    Raises:
        InputError: the vocabulary differs in size or content; or see `bort_mx.checkpoints.load`.
    """
    weights = loading.read(path).without_padding()
    theirs = weights.tokenizer
    if weights.config.vocab_size != tokenizer.vocab_size:
        raise InputError(f"{path}: has a vocabulary of {weights.config.vocab_size} entries, the data "
                         f"{tokenizer.vocab_size}; prepare the data with --tokenizer {path}")
    if theirs is not None and theirs.digest != tokenizer.digest:
        raise InputError(f"{path}: its vocabulary is not the data's (same size, other entries); prepare the data "
                         f"with --tokenizer {path}")
    weights = dataclasses.replace(weights, config=weights.config.without_texts())  # a limit of tasks, not of this text
    model = loading.assemble(weights, head, seed=seed, **changes)
    model.collect_params().reset_ctx(ctx)
    return model


def beside_tensors(teacher: BERT, embeds: bool) -> Dict[str, Any]:
    """What a teacher's states and, if it `embeds`, embeddings follow from, beside its parameters. JSON values."""
    config = teacher.config
    found: Dict[str, Any] = {"architecture": list(config.architecture.as_tuple()), "activation": config.activation,
                             "layer_norm_eps": config.layer_norm_eps}
    if embeds:
        found["embedding"] = str(config.embedding)
        found["embedding_sha256"] = tensors_digest(teacher.embedding_tensors)
    return found


def check_length(seq_len: int, config: ModelConfig, source: str) -> None:
    """Raises InputError if sequences are longer than the model has positions."""
    if seq_len > config.num_positions:
        more = ", or raise --num-positions" if source == NEW else ""
        raise InputError(f"--seq-len {seq_len}: longer than the {config.num_positions} positions of {source}; "
                         f"lower it{more}")

"""What was probably meant by an unknown name: by its meaning in other programs, else by its letters.

The table holds the names that transformers, sentence-transformers, fairseq, GluonNLP and everyday speech use for
options of this program.
"""

import difflib
import re
from types import MappingProxyType
from typing import Dict, Iterable, Mapping, Optional, Sequence

MEANINGS: Dict[str, str] = {
    "learning_rate": "lr peak_lr base_lr learningrate step_size",
    "batch_size": "bs bsz batch batchsize train_batch_size per_device_train_batch_size per_gpu_train_batch_size "
                  "max_sentences minibatch",
    "evaluation_batch_size": "eval_batch_size per_device_eval_batch_size dev_batch_size test_batch_size "
                             "max_sentences_valid",
    "micro_batch_size": "gradient_accumulation_steps update_freq accumulate accumulation_steps grad_accum",
    "epochs": "epoch num_train_epochs num_epochs max_epoch max_epochs n_epochs nb_epochs",
    "max_steps": "steps num_steps total_steps num_train_steps max_update total_num_update training_steps",
    "warmup": "warmup_steps warmup_ratio warmup_updates warmup_proportion num_warmup_steps",
    "weight_decay": "wd decay l2 weightdecay",
    "clip": "max_grad_norm clip_norm grad_clip gradient_clip gradient_clip_val max_norm",
    "adam_epsilon": "eps epsilon adam_eps",
    "beta1": "adam_beta1", "beta2": "adam_beta2",
    "dropout": "dropout_rate hidden_dropout_prob hidden_dropout attention_dropout",
    "optimizer": "optim optimiser",
    "max_length": "max_len maxlen max_seq_length max_seq_len max_sequence_length seq_len seq_length sequence_length",
    "seq_len": "max_seq_length max_seq_len max_length max_len seq_length sequence_length tokens_per_sample block_size",
    "checkpoint": "model model_name model_path model_name_or_path pretrained pretrained_model restore_file bert_model "
                  "init_checkpoint load ckpt",
    "init": "checkpoint model_name_or_path restore_file init_checkpoint",
    "output_dir": "out output out_dir output_path save save_dir save_path logging_dir log_dir outdir run_dir",
    "output": "out output_file output_dir",
    "task": "task_name dataset dataset_name",
    "data": "train train_data train_file train_files corpus corpora text input dataset data_path data_dir",
    "data_dir": "data data_path dataset_path",
    "train": "train_file train_path train_data training_file training_data",
    "dev": "validation_file validation valid val eval_file dev_file valid_file val_file",
    "test": "test_file predict_file",
    "text_column": "text_column_name text_col text_field text sentence_column sentence1_key",
    "text_pair_column": "text_pair text2_column sentence2_key second_text_column",
    "id_column": "idx_column index_column id_col",
    "label_column": "label_column_name label_col label_field label target_column",
    "teacher": "teacher_model teacher_name_or_path teacher_checkpoint",
    "socrates": "teacher teacher_checkpoint",
    "tokenizer": "tokenizer_name tokenizer_name_or_path vocab vocab_file vocabulary bpe dict",
    "temperature": "kd_temperature distill_temperature",
    "kd_weight": "alpha kd_alpha alpha_ce distill_weight",
    "mask_probability": "mlm_probability mask_prob masked_lm_prob",
    "architecture": "arch size config_name",
    "seed": "random_seed random_state manual_seed",
    "seeds": "num_seeds n_seeds",
    "device": "gpu gpus cuda use_cuda no_cuda use_gpu ctx accelerator use_cpu cpu",
    "dtype": "fp16 half amp bf16 precision use_fp16 torch_dtype",
    "resume": "resume_from_checkpoint resume_from restart continue reload",
    "predict_only": "do_predict do_eval eval_only only_evaluate predict evaluate no_train",
    "patience": "early_stopping_patience",
    "early_stopping": "early_stop",
    "evaluation_interval": "eval_steps eval_interval evaluation_steps validate_interval val_check_interval",
    "checkpoint_interval": "save_steps save_interval save_every ckpt_interval save_interval_updates",
    "keep_checkpoints": "save_total_limit keep_last_epochs keep_interval_updates max_checkpoints",
    "log_interval": "logging_steps log_every print_freq logging_interval",
    "classify": "predict infer file input_file",
    "top_k": "k topk top",
    "config": "config_file yaml cfg",
}
"""Our option → names elsewhere, by spaces."""

VALUES: Dict[str, str] = {
    "gpu": "cuda cuda:0 mps device", "cpu": "none no", "auto": "default true yes",
    "float16": "fp16 half bf16 bfloat16 amp 16", "float32": "fp32 float full single 32",
    "adamw": "adam bertadam adamw_torch adam_w lamb", "sgd": "momentum",
    "normal": "gaussian bert truncated_normal", "uniform": "bort paper",
    "usual": "bert default standard field", "paper": "bort",
}
"""A value that we know → the same elsewhere."""

COMMANDS: Dict[str, str] = {
    "pretrain": "train pre-train pre-training pretraining distil distill mlm", "finetune": "fine-tune finetuning tune",
    "predict": "infer inference classify embed fill-mask evaluate eval run", "prepare": "tokenize preprocess data",
    "convert": "conversion import", "export": "onnx", "bench": "benchmark speed", "doctor": "check env info",
    "serve": "server api", "search": "nas fptas", "demo": "tour example quickstart",
}
"""Our command → what others call it."""
TASKS: Dict[str, str] = {"MNLI-matched": "mnli mnlim", "MNLI-mismatched": "mnlimm", "SST-2": "sst", "STS-B": "sts"}
"""A task's name here → other spellings, in small letters without other signs."""


def meant(name: str, known: Iterable[str], elsewhere: Mapping[str, str]) -> Optional[str]:
    """The known name that was probably meant: the same but for case and signs; the same in other programs; alike.

    Args:
        name: what was written.
        known: the names that there are.
        elsewhere: known name → its names elsewhere, by spaces.
    Returns:
        One of `known`, or None.
    """
    plain = {_plain(ours): ours for ours in reversed(list(known))}
    if _plain(name) in plain:
        return plain[_plain(name)]
    aliases = {_plain(alias): ours for ours in plain.values() for alias in elsewhere.get(ours, "").split()}
    if _plain(name) in aliases:
        return aliases[_plain(name)]
    found = difflib.get_close_matches(_plain(name), [*plain, *aliases], n=1, cutoff=0.7)
    return {**aliases, **plain}[found[0]] if found else None


def hint(name: str, known: Sequence[str], elsewhere: Mapping[str, str] = MappingProxyType({})) -> str:
    """ (did you mean X?), or nothing."""
    found = meant(name, known, elsewhere)
    return f" (did you mean {found}?)" if found and found != name else ""


def _plain(name: str) -> str:
    """Small letters and digits only."""
    return re.sub(r"[\W_]+", "", name).lower()

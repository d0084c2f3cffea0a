"""The training that a command proposes as the next one: of minutes to an hour, since the defaults are the paper's.

The paper's run has 25,000 steps of 1,024 sequences, which takes years on a small machine.
"""

import itertools
import pathlib
from typing import Dict, List, Optional

from bort_mx.architecture import Architecture
from bort_mx.commands.last_lines import OWN_TABLE
from bort_mx.errors import InputError

TOUR, DOMAIN = "configs/tour_pretraining.yaml", "configs/domain_pretraining.yaml"
STUDENT, OF_STUDENT = "configs/distill_student.yaml", "configs/finetune_student.yaml"
SMALL_RUNS: Dict[str, Dict[str, object]] = {
    TOUR: {"max_steps": 400, "batch_size": 32, "seq_len": 64, "learning_rate": 2e-3, "warmup": 40,
           "evaluation_interval": 200, "evaluation_sequences": 256},
    DOMAIN: {"max_steps": 300, "batch_size": 16, "seq_len": 64, "learning_rate": 1e-4, "warmup": 0.1,
             "schedule": "linear", "evaluation_interval": 100, "evaluation_sequences": 256,
             "checkpoint_interval": 100},
    STUDENT: {"architecture": "4,4,256,1024", "losses": ["relations=1", "hidden=1"], "init_from_teacher": "spread",
              "budget": "1h", "batch_size": 32, "seq_len": 64, "learning_rate": 3e-3, "schedule": "linear",
              "warmup": 0.1, "dropout": 0.0, "evaluation_interval": 0, "evaluation_sequences": 512,
              "checkpoint_interval": 50},
    OF_STUDENT: {"pooling": "segments", "dropout": 0.0, "learning_rate": 3e-4, "weight_decay": 0.01, "warmup": 0.1,
                 "batch_size": 32, "epochs": 3, "max_length": 128, "classifier_init": "normal",
                 "evaluation_batch_size": 64}}
"""What these files say, for folders where they are not."""
SMALL = "4,4,128,512"
"""The architecture of a new model, as the README's."""
WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "*.params", "*/*.safetensors", "checkpoints/*")
"""What a folder holds that is a model, and not only a vocabulary."""


def on_shards(shards: str, tokenizer: Optional[str]) -> List[str]:
    """The words of the command that trains on prepared text.

    Args:
        shards: the folder that `prepare` wrote.
        tokenizer: where its vocabulary is from. If that is a model, its pre-training is continued.
    """
    if tokenizer is not None and _is_model(tokenizer):
        return ["pretrain", *_settings(DOMAIN), "--data", shards, "--init", tokenizer, "--output-dir",
                _free("runs/domain")]
    return ["pretrain", *_settings(TOUR), "--data", shards, "--architecture", SMALL, "--output-dir",
            _free("runs/pretraining")]


def student_of(shards: str, tokenizer: Optional[str]) -> List[str]:
    """The words of the command that makes a smaller model of the one whose vocabulary a text has.

    [] without a model there, or if it is not large enough to give the smaller one its first weights.
    """
    if tokenizer is None or not _is_model(tokenizer) or not _is_larger(tokenizer):
        return []
    return ["pretrain", *_settings(STUDENT), "--data", shards, "--teacher", tokenizer, "--output-dir",
            _free("runs/student")]


def of_student(checkpoint: str, has_token_types: bool) -> List[str]:
    """The words of the command that fine-tunes a student whose first token was never trained to stand for the text."""
    return ["finetune", *_settings(OF_STUDENT), *([] if has_token_types else ["--pooling", "mean"]), "--train",
            OWN_TABLE, "--checkpoint", checkpoint]


def of_winner(search: str, data: List[str], teacher: str, seq_len: int, batch_size: int) -> List[str]:
    """The words of the command that pre-trains what a search has found.

    Args:
        search: the search's folder.
        data: its --data with the option's name; [] for the built-in text.
        teacher: its teacher.
        seq_len, batch_size: its settings. One of the paper's size is followed by the paper's pre-training.
    """
    of_tour = SMALL_RUNS[TOUR]
    is_small = seq_len * batch_size <= 4 * of_tour["seq_len"] * of_tour["batch_size"]
    shorter = ["--seq-len", str(seq_len)] if is_small and seq_len < of_tour["seq_len"] else []  # as T may have no more
    settings = [*_settings(TOUR), "--temperature", "1"] if is_small else []  # a small teacher is not so sure of itself
    return ["pretrain", *settings, *shorter, *data, "--teacher", teacher,
            "--architecture", str(pathlib.Path(search) / "results.json"), "--output-dir", _free("runs/found")]


def _settings(config: str) -> List[str]:
    """--config, if its file is here; else what it says, as options."""
    if pathlib.Path(config).is_file():
        return ["--config", config]
    return [word for name, value in SMALL_RUNS[config].items()
            for word in (f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value]))]


def _is_model(tokenizer: str) -> bool:
    """Whether the place of a vocabulary is a name of the Hub, or a folder with weights."""
    path = pathlib.Path(tokenizer)
    return not path.exists() or path.is_dir() and any(next(path.glob(pattern), None) for pattern in WEIGHTS)


def _is_larger(model: str) -> bool:
    """Whether a student of `STUDENT` can start from a model. One that is only a name on the Hub may."""
    if not pathlib.Path(model).exists():
        return True
    from bort_mx.checkpoints import loading  # loads MXNet

    try:
        config = loading.read(model).config
    except InputError:  # a vocabulary beside weights of another kind
        return False
    student = Architecture.parse(str(SMALL_RUNS[STUDENT]["architecture"]))
    theirs = config.architecture
    fits = theirs.num_layers >= student.num_layers and theirs.hidden_size >= student.hidden_size and (
        theirs.intermediate_size >= student.intermediate_size)
    return fits and theirs != student and config.activation == "gelu"


def _free(folder: str) -> str:
    """A folder that is not there yet: this one, or with a number behind."""
    return next(name for number in itertools.count(1)
                for name in [folder if number == 1 else f"{folder}-{number}"] if not pathlib.Path(name).exists())

"""A checkpoint directory: config.json, model.safetensors, tokenizer files, and what a resumed run needs.

It is written under a temporary name, synced, hashed into manifest.json and renamed, so that it is there whole or not
at all; `latest` passes over a torn or altered one by name and takes the one before it.
"""

import logging
import os
import pathlib
import re
import shutil
from typing import Any, Dict, List, Optional

import numpy as np
import safetensors
import safetensors.numpy

from bort_mx.checkpoints import lazy_tensor
from bort_mx.checkpoints.weights import Format, Weights, check_fit, model_config
from bort_mx.data.tokenizers import load_tokenizer
from bort_mx.errors import InputError, Unreadable
from bort_mx.io import files
from bort_mx.io.output import disk_error, whole_folder
from bort_mx.models.bert import BERT, parameters_of
from bort_mx.models.config import ModelConfig
from bort_mx.models.inference_form import separate

FORMAT_NAME = "bort_mx"
"""Value of "format" in config.json."""
VERSION = 1
WEIGHTS, CONFIG, MANIFEST, STATES, PROGRESS = ("model.safetensors", "config.json", "manifest.json", "trainer.states",
                                               "progress.json")
CHECKPOINTS = "checkpoints"
"""The folder of a run that holds its checkpoints step-N, and of a fine-tuning run `BEST` beside them."""
BEST = "best"
"""The checkpoint of the best epoch on dev."""
DAMAGED, DROPPED = "damaged-", "dropped-"
"""Put before the name of a checkpoint that is set aside; see `set_aside_after`."""
RESULTS = "results.json"
"""What a finished run leaves; of several seeds it names the best."""
logger = logging.getLogger(__name__)


def tensors_of(model: BERT) -> Dict[str, np.ndarray]:
    """The model's weights by GluonNLP's names, as NumPy arrays."""
    tensors = {name: parameter.data(parameter.list_ctx()[0]).asnumpy()
               for name, parameter in parameters_of(model).items()}
    return {**dict(separate(model, tensors)), **model.embedding_tensors}


def save(path: os.PathLike, model: BERT, tokenizer: Any = None, config: Optional[ModelConfig] = None, *,
         states: Optional[Dict[str, np.ndarray]] = None, progress: Optional[Dict] = None) -> None:
    """Write a checkpoint directory, whole or not at all.

    Args:
        path: the directory; one that stands there is replaced if it is a checkpoint.
        model: the model.
        tokenizer: its tokenizer, whose files are stored beside it.
        config: the model's configuration (by default `model.config`).
        states: the optimizer's arrays, for resuming (written as safetensors: nothing is pickled).
        progress: step and counters, for resuming.
    Raises:
        InputError: `path` is something else than a checkpoint; a weight is not finite.
        OSError: the disk is full; what stood at `path` before is untouched.
    """
    write(path, tensors_of(model), tokenizer, config or model.config, states=states, progress=progress)


def write(path: os.PathLike, tensors: Dict[str, np.ndarray], tokenizer: Any, config: ModelConfig, *,
          states: Optional[Dict[str, np.ndarray]] = None, progress: Optional[Dict] = None) -> None:
    """As `save`, of tensors by GluonNLP's names rather than a model."""
    path = pathlib.Path(path)
    if path.exists() and not is_checkpoint(path):
        raise InputError(f"{path}: is there and is not a checkpoint; choose another directory")
    bad = [name for name, tensor in tensors.items() if not np.isfinite(tensor).all()]
    if bad:
        raise InputError(f"{path}: not written, as the weights {', '.join(bad)} are not finite")
    with whole_folder(path) as temporary:
        write_files(temporary, tensors, tokenizer, config, states=states, progress=progress)


def write_files(directory: pathlib.Path, tensors: Dict[str, np.ndarray], tokenizer: Any, config: ModelConfig, *,
                states: Optional[Dict[str, np.ndarray]] = None, progress: Optional[Dict] = None) -> None:
    """Write the files of a checkpoint into an empty directory. `write` does so under a temporary name."""
    _save_tensors(tensors, directory / WEIGHTS)
    if states is not None:
        _save_tensors(states, directory / STATES)
    if progress is not None:
        files.write_json(directory / PROGRESS, progress)
    if tokenizer is not None:
        tokenizer.save(directory)
    files.write_json(directory / CONFIG, {"format": FORMAT_NAME, "format_version": VERSION, **config.to_dict()})
    names = sorted(entry.name for entry in directory.iterdir())
    files.write_json(directory / MANIFEST, {name: files.sha256(directory / name) for name in names})


def _save_tensors(tensors: Dict[str, np.ndarray], path: pathlib.Path) -> None:
    """A safetensors file; its library tells of a full disk by an error of its own, which becomes the usual one."""
    try:
        safetensors.numpy.save_file(tensors, path)
    except safetensors.SafetensorError as error:
        number = disk_error(error)
        raise OSError(number, os.strerror(number), str(path)) from error


def is_checkpoint(path: os.PathLike) -> bool:
    """Whether `path` is a directory with a config.json of ours (its contents may still be damaged)."""
    config = pathlib.Path(path) / CONFIG
    if not config.is_file():
        return False
    try:
        values = files.read_json(config)
    except InputError:
        return (config.parent / MANIFEST).is_file()
    return isinstance(values, dict) and values.get("format") == FORMAT_NAME


class Damaged(InputError):
    """A checkpoint that is proven damaged: a file is missing or altered. An earlier one may be used in its place."""


def verify(path: os.PathLike) -> None:
    """Check every file of a checkpoint against its manifest.

    Raises:
        Damaged: names the file that is missing or altered.
        Unreadable: a file is there and cannot be read, which proves nothing.
    """
    path = pathlib.Path(path)
    try:
        manifest = files.read_json(path / MANIFEST)
    except Unreadable:
        raise
    except InputError as error:
        raise Damaged(str(error)) from None
    if not isinstance(manifest, dict):
        raise Damaged(f"{path / MANIFEST}: not a JSON object of file: SHA-256; use an earlier checkpoint")
    absent = sorted({CONFIG, WEIGHTS} - set(manifest))
    outside = [name for name in manifest if pathlib.PurePath(name).name != name]
    if absent or outside:
        said = f"does not name {absent[0]}" if absent else f"{outside[0]!r} is not the name of a file beside it"
        raise Damaged(f"{path / MANIFEST}: {said}; use an earlier checkpoint")
    for name, digest in manifest.items():
        try:
            found = files.sha256(path / name)
        except FileNotFoundError:
            raise Damaged(f"{path / name}: missing from the checkpoint; use an earlier one") from None
        if found != digest:
            raise Damaged(f"{path / name}: altered or torn (its SHA-256 is not the manifest's); use an earlier one")


def verify_step(path: os.PathLike) -> None:
    """As `verify`, of a checkpoint step-N; its contents must be of step N.

    Raises:
        Damaged, Unreadable: see `verify`.
    """
    path = pathlib.Path(path)
    verify(path)
    if not (path / PROGRESS).is_file():
        return  # weights alone, of no stated step
    progress = read_progress(path)
    step = progress.get("step") if isinstance(progress, dict) else None
    if type(step) is not int or step != int(path.name[5:]):
        raise Damaged(f"{path}: its {PROGRESS} is of step {step!r}; use an earlier checkpoint")


def read(path: os.PathLike) -> Weights:
    """Read a checkpoint directory.

    Raises:
        InputError: a damaged file, or one of a later format version.
    """
    path = pathlib.Path(path)
    verify(path)
    values = files.read_json(path / CONFIG)
    version = values.pop("format_version", None)
    values.pop("format", None)
    if version != VERSION:
        raise InputError(f"{path / CONFIG}: format version {version!r}, this program reads {VERSION}; upgrade bort_mx")
    has_tokenizer = (path / "tokenizer_config.json").is_file()
    weights = Weights(config=_as_trained(path, model_config(values, str(path / CONFIG))),
                      tensors=lazy_tensor.read_safetensors(path / WEIGHTS),
                      tokenizer=load_tokenizer(path) if has_tokenizer else None, source=str(path))
    check_fit(weights.tensors, weights.config, weights.source)
    return weights


def _as_trained(path: pathlib.Path, config: ModelConfig) -> ModelConfig:
    """The configuration with the length of texts in training. Classifiers of version 0.1 have it in their run alone."""
    run = path.parent.parent / CONFIG
    if config.head != "classifier" or config.max_length is not None or path.parent.name != CHECKPOINTS:
        return config
    values = files.read_json(run) if run.is_file() else {}
    options = values.get("options") if isinstance(values, dict) else None
    length = options.get("max_length") if isinstance(options, dict) else None
    return config.replace(max_length=length) if type(length) is int and length > 2 else config


FORMAT = Format("a folder of bort_mx", is_checkpoint, lambda path, _: read(path))


def read_tensors(path: os.PathLike) -> Dict[str, np.ndarray]:
    """The tensors of a safetensors file.

    Raises:
        InputError: truncated or not safetensors.
    """
    try:
        return safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: not a whole safetensors file ({error})") from None


def read_states(path: os.PathLike) -> Dict[str, np.ndarray]:
    """The optimizer's arrays of a checkpoint."""
    return read_tensors(pathlib.Path(path) / STATES)


def read_progress(path: os.PathLike) -> Dict:
    """The step and counters of a checkpoint."""
    return files.read_json(pathlib.Path(path) / PROGRESS)


def is_resumable(path: os.PathLike) -> bool:
    """Whether a checkpoint holds what a training goes on from, beside weights."""
    return (pathlib.Path(path) / STATES).is_file()


def steps(directory: os.PathLike) -> List[pathlib.Path]:
    """The checkpoints step-N of a run, oldest first."""
    found = [p for p in pathlib.Path(directory).glob("step-*") if re.fullmatch("[0-9]+", p.name[5:]) and p.is_dir()]
    return sorted(found, key=lambda p: int(p.name[5:]))


def set_aside_after(directory: os.PathLike, step: int) -> None:
    """Rename a run's checkpoints of later steps, as the run continues from `step`.

    Those that are damaged stay beside as damaged-step-N. The others, which the user goes back before, are called
    dropped-step-N and deleted once a new checkpoint stands (`keep_last`).
    """
    for path in steps(directory):
        if int(path.name[5:]) > step:
            try:
                verify_step(path)
                kind = DROPPED
            except Damaged:
                kind = DAMAGED
            aside = set_aside(path, kind)
            logger.warning("%s is now %s, as the run continues from %s", path, aside.name,
                           f"step {step}" if step else "its start")


def set_aside(path: pathlib.Path, kind: str = DAMAGED) -> pathlib.Path:
    """Rename a checkpoint, which stays beside as damaged-NAME (or dropped-NAME). Returns its new path."""
    aside = path.with_name(kind + path.name)
    while aside.exists():
        aside = aside.with_name(aside.name + "-again")
    if path.exists():
        os.rename(path, aside)
    return aside


def of_output(directory: os.PathLike) -> Optional[pathlib.Path]:
    """The checkpoint that stands for an output directory: a run's best where it keeps one, else its newest; of several
    seeds that of the best seed. Undamaged ones only.

    Raises:
        InputError: of several seeds none is said to be the best.
    """
    run = run_of_output(directory)
    return None if run is None else _of_run(run / CHECKPOINTS)


def run_of_output(directory: os.PathLike) -> Optional[pathlib.Path]:
    """The run whose checkpoints stand for an output directory: itself, or the best of several seeds; None if it holds
    neither.

    Raises:
        InputError: of several seeds none is said to be the best.
    """
    directory = pathlib.Path(directory)
    if (directory / CHECKPOINTS).is_dir():
        return directory
    seeds = sorted(path.name for path in directory.glob("seed-*") if (path / CHECKPOINTS).is_dir())
    if not seeds:
        return None
    results = files.read_json(directory / RESULTS) if (directory / RESULTS).is_file() else {}
    best = f"seed-{results.get('best_seed') if isinstance(results, dict) else None}"
    if best not in seeds:
        raise InputError(f"{directory}: holds {', '.join(seeds)}, and no {RESULTS} that says which is the best; give "
                         "one of them")
    return directory / best


def _of_run(directory: pathlib.Path) -> Optional[pathlib.Path]:
    best = directory / BEST
    if is_checkpoint(best):
        try:
            verify(best)
            return best
        except Damaged as error:
            logger.warning("passed over: %s", error)
    return latest(directory)


def latest(directory: os.PathLike) -> Optional[pathlib.Path]:
    """The newest undamaged checkpoint of a run; damaged ones are named in a warning and passed over.

    Raises:
        Unreadable: one cannot be read: it may be whole, and continuing from an earlier one would lose its steps.
    """
    for path in reversed(steps(directory)):
        try:
            verify_step(path)
            return path
        except Damaged as error:
            logger.warning("passed over: %s", error)
    return None


def keep_last(directory: os.PathLike, count: int) -> None:
    """Delete all but the `count` newest checkpoints of a run, and what an interrupted writer left behind."""
    for path in steps(directory)[:-count]:
        shutil.rmtree(path)
    directory = pathlib.Path(directory)
    for path in [*directory.glob(".step-*"), *directory.glob(f".{BEST}.*"), *directory.glob(f"{DROPPED}step-*")]:
        shutil.rmtree(path, ignore_errors=True)

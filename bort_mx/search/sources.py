"""Where a search takes T and its data from: what is given, or what is made first."""

import hashlib
import pathlib
from typing import Tuple

import numpy as np

from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints.weights import Weights
from bort_mx.commands.pretrain import BUILT_IN as PRETRAINING_BUILT_IN
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.options import parse_options
from bort_mx.pretraining import pretrain as pretraining
from bort_mx.pretraining.options import PretrainingOptions
from bort_mx.search.options import SearchOptions
from bort_mx.training.run_directory import CONFIG

BUILT_IN_TEACHER = [*PRETRAINING_BUILT_IN, "--architecture", "4,4,128,512"]
"""The tiny T of a search without --teacher, which is pre-trained first."""


def find_sources(options: SearchOptions, workers: Workers) -> Tuple[pathlib.Path, pathlib.Path]:
    """T's checkpoint and the directory of prepared data, made first where they must be.

    Raises:
        InputError: text without a teacher, a run without a checkpoint, or text that cannot be prepared.
    """
    if options.teacher is None and options.data is not None:
        raise InputError("--teacher must be given with --data: a checkpoint with an MLM head over the data's "
                         "vocabulary, such as the output directory of run_pretraining.py")
    run = pathlib.Path(options.teacher) if options.teacher else _pretrained_here(options, workers)
    teacher = newest_checkpoint(run)
    if options.data is None and teacher != run and (run / "data" / "manifest.json").is_file():
        return teacher, run / "data"
    prepared = PretrainingOptions(data=options.data, output_dir=options.output_dir, seed=options.seed, resume="auto",
                                  tokenizer=options.tokenizer or str(teacher))
    return teacher, pretraining.prepared_data(prepared, workers)


def newest_checkpoint(path: pathlib.Path) -> pathlib.Path:
    """The newest undamaged checkpoint of a run of run_pretraining.py; any other path is a checkpoint itself.

    Raises:
        InputError: a run without an undamaged checkpoint.
    """
    if not (path / "checkpoints").is_dir():
        return path
    newest = checkpoint_directory.latest(path / "checkpoints")
    if newest is None:
        raise InputError(f"{path}: a run without an undamaged checkpoint; go on with it by run_pretraining.py "
                         "--resume auto")
    return newest


def _pretrained_here(options: SearchOptions, workers: Workers) -> pathlib.Path:
    """A tiny T, pre-trained on text that every machine has; a later sitting takes the one that stands."""
    target = pathlib.Path(options.output_dir) / "teacher"
    argv = [*BUILT_IN_TEACHER, "--output-dir", str(target), "--seed", str(options.seed),
            "--device", options.device]
    wanted = parse_options(PretrainingOptions, argv, "run_pretraining.py", "")
    if not checkpoint_directory.is_checkpoint(target / "checkpoints" / f"step-{wanted.max_steps}"):
        if workers.is_first:
            print("no --teacher: a tiny one is pre-trained first", flush=True)
        pretraining.pretrain(wanted)
    return target


def hash_of(weights: Weights) -> str:
    """SHA-256 of a checkpoint's configuration and tensors, whatever its format."""
    digest = hashlib.sha256(repr(sorted(weights.config.to_dict().items())).encode())
    for name in sorted(weights.tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(weights.tensors[name].astype(np.float32)).data)
    return digest.hexdigest()


def refuse_another_run(options: SearchOptions) -> None:
    """Refuse an output directory that holds another kind of run, or a search of other text prepared into it.

    Raises:
        InputError: as said; whatever else differs, the log of candidates finds.
    """
    path = pathlib.Path(options.output_dir) / CONFIG
    if not path.is_file():
        return
    before = files.read_json(path).get("options", {})
    if "epsilon" not in before or "representative" not in before:
        raise InputError(f"{path}: of another run, not of a search; choose another --output-dir")
    prepared = (path.parent / "data" / "manifest.json").is_file()
    for name in ("data", "tokenizer", "seed") if prepared else ():
        if before.get(name) != getattr(options, name):
            raise InputError(f"--{name} was {before.get(name)!r} in {path} and is {getattr(options, name)!r} now; give "
                             "the old value, or another --output-dir")

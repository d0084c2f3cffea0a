"""Where a search finds T's checkpoint and its data."""

import pathlib
from typing import List, Optional, Tuple

from bort_mx import hub
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints.weights import Weights, tensors_digest
from bort_mx.data.prepared_text import MANIFEST, prepared_text
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.pretraining.student_and_teacher import refuse_unfit


def find_sources(teacher: Optional[str], data: Optional[List[str]], output_dir: str, seed: int,
                 tokenizer: Optional[str], workers: Workers,
                 seq_len: Optional[int] = None) -> Tuple[pathlib.Path, pathlib.Path]:
    """Find T's checkpoint and the directory of prepared data. Text is first prepared into the output directory.

    Args:
        teacher, data, output_dir, seed, tokenizer: options of the search. Without --data, the teacher's data are used.
            The teacher may be a name on the Hub.
        workers: all workers must make this call.
        seq_len: tokens of a sequence. A teacher that has fewer positions, or no MLM head, is refused before text is
            prepared. None: it is not looked at.
    Raises:
        InputError: no teacher is given, the teacher's run has no checkpoint, or text cannot be prepared.
    """
    if teacher is None:
        raise InputError("--teacher must be given with --data: a checkpoint with an MLM head over the data's "
                         "vocabulary, such as the output directory of run_pretraining.py")
    with workers.agreeing("teacher"):
        if workers.local_rank == 0:  # one worker per host downloads it, before all read it
            hub.find(teacher)
    run = hub.find(teacher)
    checkpoint = newest_checkpoint(run)
    if seq_len is not None:
        with workers.agreeing("fitting teacher"):
            if workers.local_rank == 0:
                refuse_unfit("teacher", teacher, seq_len, "mlm")
    if data is None and checkpoint != run and (run / "data" / MANIFEST).is_file():
        return checkpoint, run / "data"
    return checkpoint, prepared_text(data, pathlib.Path(output_dir) / "data", seed, tokenizer or str(checkpoint), None,
                                     True, workers, "" if tokenizer else f"--teacher {teacher}")


def newest_checkpoint(path: pathlib.Path) -> pathlib.Path:
    """The newest undamaged checkpoint in the output directory of a pre-training run; other paths are checkpoints.

    Raises:
        InputError: the run has no undamaged checkpoint.
    """
    if not (path / "checkpoints").is_dir():
        return path
    newest = checkpoint_directory.latest(path / "checkpoints")
    if newest is None:
        raise InputError(f"{path}: a run without an undamaged checkpoint; continue it with run_pretraining.py "
                         "--resume auto")
    return newest


def digest(weights: Weights) -> str:
    """SHA-256 of a checkpoint's configuration and tensors. It does not depend on the checkpoint's format."""
    return tensors_digest(weights.tensors, before=repr(sorted(weights.config.without_texts().to_dict().items())))

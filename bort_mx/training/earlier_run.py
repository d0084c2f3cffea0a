"""What an output directory holds from an earlier run, before anything is opened there."""

import os
import pathlib
from typing import Any, Dict, List, Optional

from bort_mx.checkpoints.directory import CHECKPOINTS, RESULTS
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.io.output import writing

CONFIG = "config.json"


def lasting(path: pathlib.Path) -> List[pathlib.Path]:
    """What a run leaves that is worth keeping, perhaps: results, checkpoints, runs of its own in folders below."""
    return [path / RESULTS, *path.glob(f"{CHECKPOINTS}/*"), *path.glob("agora/jobs.jsonl"),
            *path.glob("candidates*.jsonl"), *path.glob(f"*/{CONFIG}"), *path.glob(f"*/*/{CONFIG}")]


def has_results(path: pathlib.Path) -> bool:
    """Whether a run here got anywhere. A run without results or checkpoints may simply be started again."""
    return (path / CONFIG).is_file() and any(place.exists() for place in lasting(path))


def refuse_a_run(path: os.PathLike) -> None:
    """Raises InputError if an output directory already holds a run."""
    path = pathlib.Path(path)
    if any(place.exists() for place in lasting(path)):
        raise InputError(f"{path}: already holds a run; continue it with --resume auto, or choose another --output-dir")


def refuse_foreign(path: os.PathLike, option: Optional[str] = None) -> None:
    """Raises InputError if the config.json of an output directory is of something else: it would be written over.

    Args:
        path: the output directory.
        option: one that only this command has. None: the config.json of any run will do.
    """
    config = pathlib.Path(path) / CONFIG
    if not config.is_file():
        return
    found = files.read_json(config)
    options = found.get("options") if isinstance(found, dict) else None
    if not isinstance(options, dict):
        raise InputError(f"{path}: has a {CONFIG} that is not a run's, as a checkpoint's folder has, which a run "
                         "would replace; choose another --output-dir")
    if option is not None and option not in options:
        raise InputError(f"{path}: has the {CONFIG} of another command, without the option {option}, which would be "
                         "replaced; choose another --output-dir")


def earlier_options(path: os.PathLike, resume: str) -> Dict[str, Any]:
    """The options in the config.json of the run that is resumed; {} if none is.

    Args:
        path: the output directory.
        resume: the option --resume.
    Raises:
        InputError: config.json is damaged, or no folder can be at this path.
    """
    path = pathlib.Path(path)
    if resume == "never":
        return {}
    with writing(path, "--output-dir"):
        if not has_results(path):
            return {}
    found = files.read_json(path / CONFIG)
    options = found.get("options") if isinstance(found, dict) else None
    return options if isinstance(options, dict) else {}


def started_without(path: os.PathLike, resume: str, option: str) -> bool:
    """Whether a run that is resumed was started by a version of this program that had no such option."""
    before = earlier_options(path, resume)
    return bool(before) and option not in before

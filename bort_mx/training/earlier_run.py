"""What an output directory holds from an earlier run, before anything is opened there."""

import fcntl
import fnmatch
import os
import pathlib
from typing import Any, Dict, List, Optional

from bort_mx.checkpoints.directory import CHECKPOINTS, RESULTS
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.io.output import writing

CONFIG, LOCK = "config.json", ".lock"
MAY_STAND = (".*", "*.out", "*.err", "*.log", "*.o[0-9]*", "*.e[0-9]*", "lost+found")
"""Patterns of names that a folder without a run may hold: hidden files, and what schedulers, `nohup` and file systems
leave."""
PREPARED = ("data/manifest.json", "data/.bort-mx-prepare", "text/standard-library.txt")
"""Text that a run prepares before it writes its config.json."""
MOST_NAMED = 3


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
        if is_at_work(path):
            raise InputError(f"{path}: another run is at work there; wait for it, stop it, or choose another "
                             "--output-dir")
        raise InputError(f"{path}: already holds a run; continue it with --resume auto, or choose another --output-dir")


def is_at_work(path: pathlib.Path) -> bool:
    """Whether another process has locked an output directory."""
    try:
        descriptor = os.open(path / LOCK, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:  # no run has begun there
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def refuse_other_files(path: os.PathLike) -> None:
    """Raises InputError if an output directory holds other files and no run, which would spread its own among them.

    A run is known by its config.json or, killed before it wrote that, by its lock. See `MAY_STAND` for what may be
    there without a run; so may folders with runs in them.
    """
    path = pathlib.Path(path)
    if not path.is_dir() or any((path / name).exists() for name in (CONFIG, LOCK)):
        return
    with writing(path, "--output-dir"):
        found = sorted(entry.name for entry in path.iterdir())
    own = [*lasting(path), *(path / name for name in PREPARED)]
    known = {place.relative_to(path).parts[0] for place in own if place.exists()}
    others = [name for name in found if name not in known and not any(fnmatch.fnmatchcase(name, p) for p in MAY_STAND)]
    if others:
        shown = ", ".join(others[:MOST_NAMED]) + (f" and {len(others) - MOST_NAMED:,} more"
                                                  if len(others) > MOST_NAMED else "")
        raise InputError(f"{path}: holds other files ({shown}), and no run; choose an empty or new folder as "
                         "--output-dir")


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

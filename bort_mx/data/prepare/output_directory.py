"""The output directory of `prepare`: claimed by one process, written in a working directory, published whole."""

import fcntl
import os
import pathlib
import shutil
from typing import Any, List, Optional, Sequence, Tuple

from bort_mx.data.shards import FORMAT, MANIFEST, SPLITS, TOKENIZER
from bort_mx.errors import InputError, RunError
from bort_mx.io import files

PARTS, PLAN = "parts", "plan.json"
WORK = ".bort-mx-prepare"  # unfinished work, inside the output directory; also the mark of an interrupted run


class Claim:
    """The working directory inside `output`, a context manager. One process at a time has it.

    It is removed at the end, also after an error. It stays where a run was stopped or its workers died: the same
    command goes on from there.

    Args:
        output: the output directory.
        data: the files and folders of text.

    Raises:
        InputError: `output` lies in a data folder or holds other files, or another process is writing there.
    """

    def __init__(self, output: pathlib.Path, data: List[str]):
        self._output, self._work = output, output / WORK
        for folder in map(pathlib.Path, data):
            if folder.is_dir() and folder.resolve() in (output.resolve(), *output.resolve().parents):
                raise InputError(f"{output}: the output directory lies inside the data folder {folder}")
        refuse_foreign(output)

    def __enter__(self) -> pathlib.Path:
        self._new = not self._output.exists()
        self._work.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self._work, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise InputError(f"{self._output}: another prepare is writing there") from None
        return self._work

    def __exit__(self, kind: Optional[type], *exception: Any) -> None:
        if kind is None or issubclass(kind, Exception) and not issubclass(kind, RunError):
            shutil.rmtree(self._work, ignore_errors=True)
        os.close(self._lock)
        if self._new and not any(self._output.iterdir()):
            self._output.rmdir()


def refuse_foreign(output: pathlib.Path) -> None:
    """Raise an InputError where `output` is a file, or a folder with files that `prepare` did not write."""
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: not a directory")
    if not output.exists() or (output / WORK).exists() or not any(output.iterdir()):
        return
    manifest = files.read_json(output / MANIFEST) if (output / MANIFEST).is_file() else None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{output}: has files in it that prepare did not write; give a new or empty directory")


def parts_of_this_plan(work: pathlib.Path, plan: dict) -> Tuple[pathlib.Path, bool]:
    """The folder for finished parts, and whether a stopped run with the same plan has left some; other work is removed.

    Args:
        work: the working directory.
        plan: everything that decides the bytes.
    """
    folder, path = work / PARTS, work / PLAN
    same = path.is_file() and folder.is_dir() and files.read_json(path) == plan
    for left_over in work.iterdir():
        if same and left_over in (folder, path):
            continue
        shutil.rmtree(left_over) if left_over.is_dir() else left_over.unlink()
    if not same:
        folder.mkdir()
        files.write_json(path, plan)
    return folder, same


def publish(work: pathlib.Path, output: pathlib.Path, manifest: dict, further: Sequence[str] = ()) -> None:
    """Replace an earlier output by the finished folders. The manifest makes them valid, so it comes last.

    Args:
        work: the working directory.
        output: the output directory.
        manifest: the manifest.
        further: names of folders that an output may have beside splits and tokenizer.
    """
    files.write_json(work / MANIFEST, manifest)  # now, as a disk that is full must leave the earlier output whole
    (output / MANIFEST).unlink(missing_ok=True)
    for name in (*SPLITS, TOKENIZER, *further):
        shutil.rmtree(output / name, ignore_errors=True)
        if name not in further or (work / name).exists():
            os.replace(work / name, output / name)
    files.sync_directory(output)
    os.replace(work / MANIFEST, output / MANIFEST)
    files.sync_directory(output)

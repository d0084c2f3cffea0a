"""Places to write to. Every write error becomes one line that names the place. Folders are written atomically."""

import contextlib
import errno
import os
import pathlib
import shutil
from typing import Iterator

import safetensors

from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.io.files import clean_leftovers

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers that mean a full disk, or a file beyond the limit set for its size."""
BAD_PLACE = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP,
             errno.EEXIST)
"""Error numbers that mean a path which the user must choose otherwise."""


@contextlib.contextmanager
def writing(path: os.PathLike, option: str = "") -> Iterator[None]:
    """Turn errors of writing to `path` into an InputError that names it. A full disk stays an OSError.

    Args:
        path: the file or folder.
        option: the option that gave the path, for example "--output-dir".
    Raises:
        InputError: no permission, a read-only disk, an impossible name, or a file where a folder must be (or vice
            versa).
    """
    name, advice = (f"{option} {path}", "; choose another") if option else (f"{path}", "")
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise
        where = f": {error.filename}" if error.filename and not option else ""
        raise InputError(f"{name}: cannot be written ({error.strerror or error}{where}){advice}") from None
    except safetensors.SafetensorError as error:  # safetensors reports disk errors with its own exception
        number = disk_error(error)
        if number in FULL:
            raise OSError(number, os.strerror(number), str(path)) from error
        raise InputError(f"{name}: cannot be written ({error}){advice}") from None


def disk_error(error: safetensors.SafetensorError) -> int:
    """The error number of a full disk, if a safetensors error mentions one; otherwise EIO."""
    return next((number for number in FULL if f"os error {number})" in str(error)), errno.EIO)


def new_folder(path: os.PathLike) -> pathlib.Path:
    """Check that a path can become a new folder: it does not exist, or is an empty folder other than the current one.

    Raises:
        InputError: the path cannot become a new folder.
    """
    path = pathlib.Path(path)
    if not path.name:
        raise InputError(f"{path}: give the name of the new folder")
    if os.path.lexists(path) and (path.is_symlink() or not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path}: already exists; choose a folder that does not exist, or an empty one")
    if path.is_dir() and path.samefile(os.curdir):
        raise InputError(f"{path}: is the current folder, which would be replaced; go to another folder, or choose "
                         "another one")
    return path


@contextlib.contextmanager
def whole_folder(path: os.PathLike, replace: bool = True) -> Iterator[pathlib.Path]:
    """Yield a temporary folder beside `path`. At the end it replaces whatever is at `path`.

    On an error the temporary folder is removed, and `path` is unchanged. The caller decides what may be replaced.
    Folders that killed processes left in earlier attempts are cleaned up.

    Args:
        path: the folder.
        replace: False: only an empty folder is replaced. Another process may have written there in the meantime.
    Raises:
        OSError: something stands at `path`, which may not be replaced.
    """
    path = pathlib.Path(path)
    clean_leftovers(path)
    temporary, old = (files.beside(path, end) for end in ("tmp", "old"))
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for entry in temporary.rglob("*"):
            files.give_usual_mode(entry)
            if entry.is_file():
                with open(entry, "rb") as file:
                    os.fsync(file.fileno())
        files.sync_directory(temporary)
        if path.exists() and replace:
            os.rename(path, old)  # move the old folder aside and delete it last: one of the two always exists
        os.rename(temporary, path)
        files.sync_directory(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

"""Places to write to: refused in one line where nothing can be written, before or after the work."""

import contextlib
import errno
import os
import pathlib
from typing import Iterator

import safetensors

from bort_mx.errors import InputError

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def writing(path: os.PathLike) -> Iterator[None]:
    """Turn the errors of writing to `path` into one line that names it; a full disk stays an OSError.

    Raises:
        InputError: no permission, a read-only disk, a file where a folder is due or the other way round.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise
        where = f": {error.filename}" if error.filename else ""
        raise InputError(f"{path}: cannot be written ({error.strerror or error}{where})") from None
    except safetensors.SafetensorError as error:  # its own name for errors of the disk
        number = next((number for number in _FULL if f"os error {number})" in str(error)), None)
        if number:
            raise OSError(number, os.strerror(number), str(path)) from error
        raise InputError(f"{path}: cannot be written ({error})") from None


def new_folder(path: os.PathLike) -> pathlib.Path:
    """The path, if it can become a folder: it is not there, or is an empty folder and not the current one.

    Raises:
        InputError: otherwise.
    """
    path = pathlib.Path(path)
    if not path.name:
        raise InputError(f"{path}: give the new folder by its name")
    if os.path.lexists(path) and (path.is_symlink() or not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path}: is there already; choose a folder that is not, or an empty one")
    if path.is_dir() and path.samefile(os.curdir):
        raise InputError(f"{path}: is the current folder, which would be replaced; go to another or choose another")
    return path

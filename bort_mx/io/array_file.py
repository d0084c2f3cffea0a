"""Arrays that live in a file, for what does not fit into memory. Their disk space is taken at once."""

import errno
import os
from typing import Sequence

import numpy as np

BLOCK = 1 << 20
UNSUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def new_array(path: os.PathLike, shape: Sequence[int], dtype: type = np.float32) -> np.ndarray:
    """Create a .npy file for an array, mapped into memory and filled with zeros.

    A sparse file takes disk space only when a page is written. On a full disk, that ends the process by SIGBUS, without
    a word. Therefore all space is allocated here.

    Raises:
        OSError: the disk is full; the file is removed.
    """
    array = np.lib.format.open_memmap(path, "w+", dtype, tuple(shape))
    try:
        _allocate(path, os.path.getsize(path))
    except OSError as error:
        os.unlink(path)
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from None
    return array


def _allocate(path: os.PathLike, size: int) -> None:
    """Give a sparse file its disk space. Where the file system cannot, every block is written."""
    with open(path, "r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
            return
        except AttributeError:  # not on macOS
            pass
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
        header = len(file.read(min(size, 4096)))
        for start in range(header, size, BLOCK):
            file.write(bytes(min(BLOCK, size - start)))
        file.flush()
        os.fsync(file.fileno())

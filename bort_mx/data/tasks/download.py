"""Fetching the official data, by pooch. Addresses, sizes and SHA-256 are in downloads.yaml.

pooch fetches and hashes. The size is checked here, since pooch does not: a file that turns out longer than the official
one is given up at once. See `archives` for the unpacking.
"""

import contextlib
import errno
import pathlib
import shutil
import tempfile
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Optional, Sequence

import pooch

from bort_mx.data.tasks.archives import unpack
from bort_mx.data.tasks.base import Folder, Task
from bort_mx.data.tasks.tables import load_table
from bort_mx.errors import InputError
from bort_mx.io.files import atomic_path
from bort_mx.io.network import reason_of
from bort_mx.progress import Progress

Transfer = Callable[[str, BinaryIO], None]
BLOCK = 1 << 16  # bytes read at once


def ensure_data(task: Task, data_dir: Folder, transfer: Optional[Transfer] = None,
                any_of: Sequence[str] = ("train",)) -> pathlib.Path:
    """Make sure that a task's files lie under data_dir. Fetch the official files if they do not.

    Args:
        task: whose files.
        data_dir: gets glue/…, superglue/… or race/….
        transfer: copies what is at an address into a file; by default over HTTP with a timeout of 60 s.
        any_of: if one of these splits is there, nothing is fetched. A diagnostic set has no training set: its test set
            counts for it.

    Returns:
        the folder to give to `task.read`.

    Raises:
        InputError: offline, a wrong size or hash, a bad archive; says which file to put where.
    """
    root = pathlib.Path(data_dir)
    with _a_data_folder(root):
        new = [folder for folder in (root, *root.parents) if not folder.exists()]
        root.mkdir(parents=True, exist_ok=True)
        wanted = [split for split in any_of if split in task.files] or ["test"]
        if any(task.has(root, split) for split in wanted):
            return root
        try:
            fetch(task, root, transfer or _over_http)
        finally:
            for folder in new:
                if not any(folder.iterdir()):
                    folder.rmdir()
    return root


@contextlib.contextmanager
def _a_data_folder(root: pathlib.Path) -> Iterator[None]:
    """Turn errors of a folder that cannot be written into an InputError of one line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f"{error.filename}: " if error.filename and str(error.filename) != str(root) else ""
        raise InputError(f"{root}: cannot be made a data folder ({where}{error.strerror})") from None


def fetch(task: Task, root: pathlib.Path, transfer: Transfer) -> None:
    """Download a task's files into `root` and check and unpack them.

    Raises:
        InputError: as `ensure_data`, and for a task that has no official files.
    """
    entries = load_table("downloads.yaml").get(task.benchmark, {}).get(task.download_name or task.name)
    if entries is None:
        raise InputError(f"{task.key} has no official files to fetch; give its folder with --data-dir")
    for entry in entries:
        target = root / entry["into"]
        with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as scratch:
            file = pathlib.Path(scratch) / entry["url"].rsplit("/", 1)[-1]
            _download(entry, file, target, transfer)
            if entry.get("unpack"):
                unpack(file, target)
            else:
                with atomic_path(target) as temporary:
                    shutil.copyfile(file, temporary)
    task.assemble(root)


def _over_http(url: str, out: BinaryIO) -> None:
    """Write what is at an address into a file. The server is asked not to compress it."""
    responses: List[Any] = []

    def remember(response: Any, *_: Any, **__: Any) -> None:
        responses.append(response)

    fetcher = pooch.HTTPDownloader(chunk_size=BLOCK, timeout=60, headers={"Accept-Encoding": "identity"},
                                   hooks={"response": remember})
    try:
        fetcher(url, out, None)
    finally:  # pooch leaves the connection open where the transfer breaks off
        for response in responses:
            response.close()


def _download(entry: Dict[str, Any], file: pathlib.Path, target: pathlib.Path, transfer: Transfer) -> None:
    """Fetch one file and compare size and hash with the table's."""
    url = entry["url"]
    advice = f"fetch {url} by hand and " + (f"unpack it in {target}" if entry.get("unpack") else f"save it as {target}")
    try:
        with open(file, "wb") as out, Progress(entry["bytes"], file.name, "B") as progress, \
                contextlib.suppress(_TooLong):
            transfer(url, _LimitedFile(out, entry["bytes"], progress))
    except OSError as error:  # the errors of requests and time-outs are among them
        raise InputError(f"{url} cannot be fetched ({reason_of(error)}); {advice}") from None
    size, digest = file.stat().st_size, pooch.file_hash(str(file))
    if size != entry["bytes"] or digest != entry["sha256"]:
        found = f"{size} bytes" if size <= entry["bytes"] else "more bytes"
        raise InputError(f"{url} is not the official file: {found}, SHA-256 {digest[:12]}…; expected "
                         f"{entry['bytes']} bytes, {entry['sha256'][:12]}…; nothing was kept; {advice}")


class _TooLong(Exception):
    """A file that is fetched has more bytes than the official one."""


class _LimitedFile:
    """A file to write that ends the transfer where it gets longer than `limit` bytes."""

    def __init__(self, file: BinaryIO, limit: int, progress: Progress):
        self._file, self._left, self._progress = file, limit, progress

    def write(self, block: bytes) -> int:
        """Append.

        Raises:
            _TooLong: after a block that went beyond the limit.
        """
        self._file.write(block)
        self._left -= len(block)
        self._progress.update(len(block))
        if self._left < 0:
            raise _TooLong
        return len(block)

    def flush(self) -> None:
        """Do nothing: pooch flushes after every block, which is not needed."""

"""Fetching the official data: addresses, sizes and SHA-256 in downloads.yaml, unpacked safely, written whole or not."""

import contextlib
import errno
import gzip
import hashlib
import os
import pathlib
import shutil
import stat
import tarfile
import tempfile
import urllib.request
import zipfile
import zlib
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from bort_mx.data.tasks.base import Folder, Task, load_table
from bort_mx.data.tasks.glue.mrpc import build_from_release
from bort_mx.errors import InputError
from bort_mx.io.files import atomic_path
from bort_mx.progress import Progress

MAX_UNPACKED = 4 << 30  # bytes; the largest official archive (MNLI) unpacks to about 1 GB
Opener = Callable[[str], BinaryIO]


def ensure_data(task: Task, data_dir: Folder, opener: Optional[Opener] = None,
                any_of: Sequence[str] = ("train",)) -> pathlib.Path:
    """Make sure what is wanted of a task lies under data_dir, fetching the official files if not.

    Args:
        task: whose files.
        data_dir: gets glue/…, superglue/… or race/….
        opener: opens an address for reading; by default urllib with a timeout of 60 s.
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
            fetch(task, root, opener or _open)
        finally:
            for folder in new:
                if not any(folder.iterdir()):
                    folder.rmdir()
    return root


@contextlib.contextmanager
def _a_data_folder(root: pathlib.Path) -> Iterator[None]:
    """Turn the errors of a folder that cannot be written into one line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f"{error.filename}: " if error.filename and str(error.filename) != str(root) else ""
        raise InputError(f"{root}: cannot be made a data folder ({where}{error.strerror})") from None


def fetch(task: Task, root: pathlib.Path, opener: Opener) -> None:
    """Download a task's files into `root` and check and unpack them.

    Raises:
        InputError: as `ensure_data`, and for a task that has no official files.
    """
    entries = load_table("downloads.yaml").get(task.benchmark, {}).get(_entry_name(task))
    if entries is None:
        raise InputError(f"{task.key} has no official files to fetch; give its folder with --data-dir")
    for entry in entries:
        target = root / entry["into"]
        with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as scratch:
            file = pathlib.Path(scratch) / entry["url"].rsplit("/", 1)[-1]
            _download(entry, file, target, opener)
            if entry.get("unpack"):
                unpack(file, target)
            else:
                with atomic_path(target) as temporary:
                    shutil.copyfile(file, temporary)
    if task.key == "MRPC":
        build_from_release(root / "glue" / "MRPC")


def _entry_name(task: Task) -> str:
    return {"MNLI-matched": "MNLI", "MNLI-mismatched": "MNLI", "RACE-M": "RACE", "RACE-H": "RACE"}.get(
        task.name, task.name)


def _open(url: str) -> BinaryIO:
    return urllib.request.urlopen(url, timeout=60)


def _download(entry: Dict[str, Any], file: pathlib.Path, target: pathlib.Path, opener: Opener) -> None:
    """Fetch one file and compare size and hash with the table's."""
    url, digest, size = entry["url"], hashlib.sha256(), 0
    advice = f"fetch {url} by hand and " + (f"unpack it in {target}" if entry.get("unpack") else f"save it as {target}")
    try:
        with opener(url) as source, open(file, "wb") as out, Progress(entry["bytes"], file.name, "B") as progress:
            while size <= entry["bytes"]:  # one block too many is enough to see that a file is too long
                block = source.read(1 << 16)
                if not block:
                    break
                out.write(block)
                digest.update(block)
                size += len(block)
                progress.update(len(block))
    except OSError as error:  # urllib's errors and time-outs are among them
        raise InputError(f"{url} cannot be fetched ({error}); {advice}") from None
    if size != entry["bytes"] or digest.hexdigest() != entry["sha256"]:
        found = f"{size} bytes" if size <= entry["bytes"] else "more bytes"
        raise InputError(f"{url} is not the official file: {found}, SHA-256 {digest.hexdigest()[:12]}…; expected "
                         f"{entry['bytes']} bytes, {entry['sha256'][:12]}…; nothing was kept; {advice}")


def unpack(archive: os.PathLike, folder: os.PathLike) -> List[pathlib.Path]:
    """Unpack a zip or tar archive into a folder; whole or not at all, and never outside it.

    Returns:
        the files written.

    Raises:
        InputError: not a whole zip or tar archive, or a member that is absolute, goes up ("../") or is a link.
    """
    archive, folder = pathlib.Path(archive), pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as scratch:
        root = pathlib.Path(scratch)
        try:
            with contextlib.closing(_members(archive)) as members:
                names = _write_members(members, root, archive)
        except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError,
                RuntimeError) as error:  # RuntimeError: an encrypted zip
            raise InputError(f"{archive}: not a whole zip or tar archive ({error}); fetch it anew") from None
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(root / name, folder / name)
    return [folder / name for name in names]


def _write_members(members: Iterator[Tuple[str, BinaryIO]], root: pathlib.Path, archive: pathlib.Path) -> List[str]:
    names, left = [], MAX_UNPACKED
    for name, source in members:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as out:
            for block in iter(lambda: source.read(1 << 20), b""):  # noqa: B023 - read before the loop moves on
                left -= len(block)
                if left < 0:
                    raise InputError(f"{archive}: unpacks to more than {MAX_UNPACKED >> 30} GiB; not unpacked")
                out.write(block)
        names.append(name)
    return names


def _members(archive: pathlib.Path) -> Iterator[Tuple[str, BinaryIO]]:
    """Yield (safe relative name, open file) of every regular file in a zip or tar archive."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for info in file.infolist():
                check_name(info.filename, archive)
                if stat.S_ISLNK(info.external_attr >> 16):
                    raise InputError(f"{archive}: member {info.filename!r} is a link; not unpacked")
                if not info.is_dir():
                    with file.open(info) as source:
                        yield info.filename, source
    else:
        yield from tar_members(archive)


def tar_members(archive: pathlib.Path) -> Iterator[Tuple[str, BinaryIO]]:
    """Yield (safe relative name, open file) of every regular file in a .tar or .tar.gz, reading it once, to its end.

    Raises:
        InputError: a member that could lead outside the folder.
        tarfile.TarError, EOFError, OSError, zlib.error: not a whole archive.
    """
    with open(archive, "rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        with gzip.GzipFile(fileobj=raw) if zipped else contextlib.nullcontext(raw) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as file:
                for member in file:
                    check_member(member, archive)
                    if member.isfile():
                        yield member.name, file.extractfile(member)
            for _ in iter(lambda: stream.read(1 << 20), b""):
                pass  # gzip compares its checksum at the end of the file only, and tarfile stops before it


def check_member(member: tarfile.TarInfo, archive: pathlib.Path) -> None:
    """Refuse a tar member that could write or read outside the folder it is unpacked into.

    Raises:
        InputError: its name is absolute or goes up, or it is a link or a device.
    """
    check_name(member.name, archive)
    if not (member.isfile() or member.isdir()):
        raise InputError(f"{archive}: member {member.name!r} is a link or a device; not unpacked")


def check_name(name: str, archive: pathlib.Path) -> None:
    """Refuse an absolute name (also Windows') or one with "..".

    Raises:
        InputError: such a name.
    """
    parts = name.replace("\\", "/").split("/")
    if not name or name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
        raise InputError(f"{archive}: member {name!r} would be written outside the folder; not unpacked")

"""Zip and tar archives, unpacked whole or not at all, and never outside their folder.

pooch fetches the archives, but does not unpack them: its processors lack these checks. On the Pythons supported here,
`Untar` extracts links and members outside the folder, sets the owner and mode that the archive names, and need not read
a gzip stream to the checksum at its end. `Unzip` renames a member that points outside, where this refuses the archive.
Neither limits the size.
"""

import contextlib
import gzip
import os
import pathlib
import stat
import tarfile
import tempfile
import zipfile
import zlib
from typing import BinaryIO, Iterator, List, Tuple

from bort_mx.errors import InputError

MAX_UNPACKED = 4 << 30  # bytes; the largest official archive (MNLI) unpacks to about 1 GB


def unpack(archive: os.PathLike, folder: os.PathLike) -> List[pathlib.Path]:
    """Unpack a zip or tar archive into a folder.

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

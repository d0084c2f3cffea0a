"""Members of tar archives, streamed: nothing is unpacked to the disk, whatever names they have."""

import functools
import io
import itertools
import operator
import tarfile
import zlib
from typing import Iterable, Iterator, Tuple

from bort_mx.data.corpora.source import CHUNK, MAGIC, RECORD, Source

USTAR = slice(257, 262)


def is_tar(source: Source) -> bool:
    """Whether the file is a tar archive, plain or compressed."""
    return source.beginning()[USTAR] == b"ustar"


def members(source: Source) -> Iterator[Tuple[str, bytes]]:
    """Names and contents of the files in a tar archive. A file of more than 16 MiB is dropped, and counted."""
    for member, chunks in streamed_members(source):
        if member.size > RECORD:
            source.drop_unread("too_long")
            continue
        data = b"".join(chunks)
        if len(data) == member.size:  # else the archive ends within it
            yield member.name, data


def streamed_members(source: Source) -> Iterator[Tuple[tarfile.TarInfo, Iterator[bytes]]]:
    """The files in a tar archive, of any size, and their contents in chunks: to be read before the next file.

    Of archives in it (as OpenWebText's subsets), theirs.
    """
    for member, parts in itertools.groupby(_parts(source, source.chunks()), operator.itemgetter(0)):
        yield member, map(operator.itemgetter(1), parts)


def _parts(source: Source, chunks: Iterable[bytes], depth: int = 0) -> Iterator[Tuple[tarfile.TarInfo, bytes]]:
    """File after file, each in one or more chunks."""
    try:
        with tarfile.open(fileobj=io.BufferedReader(_Joined(chunks)), mode="r|") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is None:
                    continue
                beginning = file.read(8)
                kind = next((name for magic, name in MAGIC.items() if beginning.startswith(magic)), "")
                if kind and depth < 2:
                    inner = source.within(member.name, kind)
                    yield from _parts(source, inner.decompressed(_After(beginning, file)), depth + 1)
                else:
                    yield member, beginning
                    yield from ((member, data) for data in iter(functools.partial(file.read, CHUNK), b""))
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        source.problem(f"truncated or damaged tar archive ({error})")


class _Joined(io.RawIOBase):
    """Chunks of bytes as a file that is read once."""

    def __init__(self, chunks: Iterable[bytes]):
        self._chunks, self._rest = iter(chunks), b""

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:
        """The next bytes."""
        while not self._rest:
            self._rest = next(self._chunks, None)
            if self._rest is None:
                self._rest = b""
                return 0
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


class _After:
    """A member whose first bytes were read already."""

    def __init__(self, beginning: bytes, file: io.BufferedIOBase):
        self._beginning, self._file = beginning, file

    def read(self, size: int) -> bytes:
        """The next bytes."""
        data, self._beginning = self._beginning, b""
        return data + self._file.read(size)

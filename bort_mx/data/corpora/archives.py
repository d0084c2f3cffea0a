"""Members of tar archives in a piece, streamed: nothing is unpacked to the disk, whatever names they have."""

import io
import tarfile
import zlib
from typing import Iterable, Iterator, Tuple

from bort_mx.data.corpora.source import MAGIC, RECORD, Source


class Joined(io.RawIOBase):
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


def members(source: Source, chunks: Iterable[bytes], depth: int = 0) -> Iterator[Tuple[str, bytes]]:
    """Names and contents of the files in a tar archive; of archives in it (as OpenWebText's subsets), theirs.

    A file of more than 16 MiB that is no archive is dropped, and counted.
    """
    try:
        with tarfile.open(fileobj=io.BufferedReader(Joined(chunks)), mode="r|") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is None:
                    continue
                beginning = file.read(8)
                kind = next((name for magic, name in MAGIC.items() if beginning.startswith(magic)), "")
                if kind and depth < 2:
                    inner = source.within(member.name, kind)
                    yield from members(source, inner.decompressed(_After(beginning, file)), depth + 1)
                elif member.size > RECORD:
                    source.take()
                    source.drop("too_long")
                else:
                    yield member.name, beginning + file.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        source.problem(f"truncated or damaged tar archive ({error})")


class _After:
    """A member whose first bytes were read already."""

    def __init__(self, beginning: bytes, file: io.BufferedIOBase):
        self._beginning, self._file = beginning, file

    def read(self, size: int) -> bytes:
        """The next bytes."""
        data, self._beginning = self._beginning, b""
        return data + self._file.read(size)

    def tell(self) -> int:
        """No place is needed of a member."""
        return 0

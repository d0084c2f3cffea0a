"""Text files, plain or gzip: found, and read in blocks of whole lines.

A block is some hundred kilobytes. One process reads and only cuts the bytes. Decoding and cleaning are pure functions
of a block, so that any worker process may do them.
"""

import dataclasses
import gzip
import hashlib
import os
import pathlib
import zlib
from typing import BinaryIO, Iterable, Iterator, List, Tuple

from bort_mx.data.text import clean, looks_like_documents
from bort_mx.errors import InputError
from bort_mx.io import files

BLOCK = 1 << 19  # bytes of text in a block
LONGEST_LINE = 1 << 24  # bytes; a line beyond is cut at a space
AUTO = "auto"


@dataclasses.dataclass(frozen=True)
class Block:
    """Whole lines of one file."""

    path: str
    """The file, as it is named in errors."""
    offset: int
    """Where the block begins in the file's (uncompressed) text, in bytes."""
    data: bytes
    """The lines, undecoded."""
    format: str
    """What a line holds: a name in `bort_mx.data.corpora.formats.FORMATS`."""
    disk: int = 0
    """Bytes of the file on disk read since the block before, for the progress bar."""


def list_files(paths: Iterable[os.PathLike]) -> Tuple[List[pathlib.Path], int]:
    """All files meant by a list of files and folders: folders recursively, sorted, without hidden names.

    Returns:
        The files, each once, and the number of hidden files and folders passed over.

    Raises:
        InputError: no such file or folder, or nothing in any of them.
    """
    found, hidden = {}, 0
    for path in map(pathlib.Path, paths):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        if path.is_file():
            found[path.resolve()] = path
        for folder, folders, names in os.walk(path, followlinks=True):
            hidden += sum(name.startswith(".") for name in (*folders, *names))
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(name for name in names if not name.startswith(".")):
                file = pathlib.Path(folder, name)
                found.setdefault(file.resolve(), file)
    if not found:
        raise InputError(f"{', '.join(map(str, paths))}: no files in there")
    return list(found.values()), hidden


class TextFile:
    """One text file, plain or gzip (told by its first bytes), read in blocks.

    Args:
        path: the file.
        format: a name in `FORMATS`, or "auto": "sentences" or "documents", judged by the file's first block.

    Attributes:
        position: bytes of the file on disk read so far.
        digest: after reading, the SHA-256 of the file on disk.
        cut_lines: lines too long to be held, cut at a space.
    """

    def __init__(self, path: os.PathLike, format: str = "auto"):
        self.path, self.format = pathlib.Path(path), format
        self.position = self.cut_lines = 0
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes read so far, in hexadecimal."""
        return self._hash.hexdigest()

    def read(self, size: int = -1) -> bytes:
        """The next bytes on disk, counted and hashed (what gzip reads from)."""
        data = self._raw.read(size)
        self.position += len(data)
        self._hash.update(data)
        return data

    def blocks(self) -> Iterator[Block]:
        """The file's text, block by block.

        Raises:
            InputError: the file cannot be read, or its gzip stream is truncated or damaged.
        """
        offset, rest, format, seen = 0, b"", None, 0
        try:
            with open(self.path, "rb") as self._raw:
                stream = self._stream()
                while True:
                    data = stream.read(BLOCK)
                    lines, rest = self._cut(rest + data, final=not data)
                    if lines:
                        format = format or self._format(lines)
                        yield Block(str(self.path), offset, lines, format, self.position - seen)
                        offset, seen = offset + len(lines), self.position
                    if not data:
                        break
        except EOFError:
            raise InputError(f"{self.path}: truncated gzip, it ends after {offset + len(rest):,} bytes of text; "
                             "fetch the file again") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{self.path}: damaged gzip after {offset + len(rest):,} bytes of text ({error}); "
                             "fetch the file again") from None
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror or error})") from None

    def _stream(self) -> BinaryIO:
        compressed = self._raw.read(2) == b"\x1f\x8b"
        self._raw.seek(0)
        if self.path.suffix == ".gz" and not compressed and self.path.stat().st_size:
            raise InputError(f"{self.path}: named .gz but not gzip")
        return gzip.GzipFile(fileobj=self, mode="rb") if compressed else self

    def _cut(self, data: bytes, final: bool) -> Tuple[bytes, bytes]:
        """Whole lines, and the beginning of the next one."""
        if final:
            return data, b""
        end = data.rfind(b"\n") + 1
        if not end and len(data) > LONGEST_LINE:
            end = data.rfind(b" ") + 1
            self.cut_lines += 1
            if not end:
                raise InputError(f"{self.path}: {len(data):,} bytes without a space or a line end; not text?")
        return data[:end], data[end:]

    def _format(self, lines: bytes) -> str:
        if self.format != AUTO:
            return self.format
        text, _ = clean(lines[:BLOCK].decode("utf-8", "replace"))
        return "documents" if looks_like_documents(text) else "sentences"


def text_bytes(path: pathlib.Path) -> int:
    """Bytes of text in a file, about: a compressed file is taken to hold four times its size."""
    return path.stat().st_size * (4 if path.suffix == ".gz" else 1)


def decode(block: Block) -> str:
    """The block's text, without a byte order mark.

    Raises:
        InputError: bytes that are not UTF-8, or a NUL, with the place in the file.
    """
    zero = block.data.find(b"\0")
    if zero >= 0:
        raise InputError(f"{block.path}: not a text file, it has a NUL at byte {block.offset + zero:,}")
    try:
        return block.data.decode("utf-8-sig" if not block.offset else "utf-8")
    except UnicodeDecodeError as error:
        mark = 3 if not block.offset and block.data.startswith(b"\xef\xbb\xbf") else 0
        raise files.not_utf8(block.path, error, block.offset + mark) from None

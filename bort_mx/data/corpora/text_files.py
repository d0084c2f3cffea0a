"""Text files, plain or compressed, and columns of tables: found, and read in blocks of whole lines.

A block is some hundred kilobytes. One process reads and only cuts the bytes. Decoding and cleaning are pure functions
of a block, so that any worker process may do them.
"""

import bz2
import dataclasses
import gzip
import hashlib
import itertools
import lzma
import os
import pathlib
import zlib
from typing import Any, Callable, Dict, Iterable, Iterator, List, Tuple

from bort_mx.data.corpora.other_kinds import refuse_other_kinds
from bort_mx.data.corpora.text_columns import kind_of_table, texts_of_column
from bort_mx.data.corpora.wrapped_lines import PARAGRAPH_END, looks_wrapped
from bort_mx.data.text import JUDGED, clean, looks_like_documents
from bort_mx.errors import InputError
from bort_mx.io import files

BLOCK = 1 << 19  # bytes of text in a block
LONGEST_LINE = 1 << 24  # bytes; a line beyond is cut at a space
AUTO, WRAPPED = "auto", "wrapped"
PLAIN = (AUTO, "sentences", "documents", WRAPPED)
"""Formats of plain text. A table is read by its column for these; another format gets its lines as they are."""
COMPRESSED: Dict[str, Tuple[bytes, Callable[[Any], Any]]] = {
    ".gz": (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file, mode="rb")),
    ".bz2": (b"BZh", bz2.BZ2File),
    ".xz": (b"\xfd7zXZ\x00", lzma.LZMAFile),
}
"""Suffix → the first bytes of such a file, and what opens it."""


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
    """One text file, plain or compressed (told by its first bytes), read in blocks.

    Args:
        path: the file. Of a .csv, .tsv or JSON-lines file, the texts of a column are read.
        format: a name in `FORMATS`, or "auto": "wrapped", "documents" or "sentences", judged by the file's beginning.
        text_column: the column of a table.

    Attributes:
        read_as: after reading, the format, after the column of a table: "JSON lines, text: documents".
        position: bytes of the file on disk read so far.
        digest: after reading, the SHA-256 of the file on disk.
        cut_lines: lines too long to be held, cut at a space.
    """

    def __init__(self, path: os.PathLike, format: str = "auto", text_column: str = "text"):
        self.path, self.format, self.text_column, self.read_as = pathlib.Path(path), format, text_column, format
        self.position = self.cut_lines = 0
        self._compression = self._table = ""
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes read so far, in hexadecimal."""
        return self._hash.hexdigest()

    def read(self, size: int = -1) -> bytes:
        """The next bytes on disk, counted and hashed (what decompression reads from)."""
        data = self._raw.read(size)
        self.position += len(data)
        self._hash.update(data)
        return data

    def blocks(self) -> Iterator[Block]:
        """The file's text, block by block.

        Raises:
            InputError: the file cannot be read, is no text, or its compressed stream is truncated or damaged.
        """
        offset, rest, format, seen = 0, b"", None, 0
        try:
            with open(self.path, "rb") as self._raw:
                for data in itertools.chain(self._texts(), [b""]):
                    rest += data
                    if data and len(rest) < BLOCK // 2:  # short texts of a table
                        continue
                    format = format or self._judged(rest)
                    lines, rest = self._cut(rest, format, final=not data)
                    if lines:
                        yield Block(str(self.path), offset, lines, format, self.position - seen)
                        offset, seen = offset + len(lines), self.position
        except EOFError:
            raise InputError(f"{self.path}: truncated {self._compression}, it ends after {offset + len(rest):,} bytes "
                             "of text; fetch the file again") from None
        except (OSError, zlib.error, lzma.LZMAError) as error:
            if self._compression and getattr(error, "errno", None) is None:  # the libraries' own, for bad data
                raise InputError(f"{self.path}: damaged {self._compression} after {offset + len(rest):,} bytes of text "
                                 f"({error}); fetch the file again") from None
            raise InputError(f"{self.path}: cannot be read ({error.strerror or error})") from None

    def _texts(self) -> Iterator[bytes]:
        """The file's bytes, decompressed; of a table, the texts of its column."""
        stream = self._stream()
        chunks = iter(lambda: stream.read(BLOCK), b"")
        first = next(chunks, b"")
        refuse_other_kinds(self.path, first)
        chunks, kind = itertools.chain([first], chunks), kind_of_table(self.path, first)
        if kind is None or self.format not in PLAIN:
            return chunks
        self._table = f"{kind}, {self.text_column}: "
        return texts_of_column(self.path, kind, chunks, self.text_column)

    def _stream(self) -> Any:
        beginning = self._raw.read(8)
        self._raw.seek(0)
        for suffix, (magic, opened) in COMPRESSED.items():
            if beginning.startswith(magic):
                self._compression = suffix[1:].replace("gz", "gzip")
                return opened(self)
        if self.path.suffix in COMPRESSED and beginning:
            kind = self.path.suffix[1:].replace("gz", "gzip")
            raise InputError(f"{self.path}: named {self.path.suffix} but not {kind}")
        return self

    def _cut(self, data: bytes, format: str, final: bool) -> Tuple[bytes, bytes]:
        """Whole lines, of wrapped text whole paragraphs, and the beginning of the next."""
        if final:
            return data, b""
        if format == WRAPPED and len(data) <= LONGEST_LINE:
            end = max((match.end() for match in PARAGRAPH_END.finditer(data)), default=0)
            return data[:end], data[end:]
        end = data.rfind(b"\n") + 1
        if not end and len(data) > LONGEST_LINE:
            end = data.rfind(b" ") + 1
            self.cut_lines += 1
            if not end:
                raise InputError(f"{self.path}: {len(data):,} bytes without a space or a line end; not text?")
        return data[:end], data[end:]

    def _judged(self, beginning: bytes) -> str:
        """The format: as it was given, or judged by the beginning of the text, whole lines."""
        format, whole = self.format, beginning[:beginning.rfind(b"\n") + 1] or beginning
        if format == AUTO:
            raw = whole[:BLOCK].decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
            text, _ = clean(raw)
            format = (WRAPPED if looks_wrapped(raw[:JUDGED]) else "documents" if looks_like_documents(text)
                      else "sentences")
        self.read_as = self._table + format
        return format


def text_bytes(path: pathlib.Path) -> int:
    """Bytes of text in a file, about: a compressed file is taken to hold four times its size."""
    return path.stat().st_size * (4 if path.suffix in COMPRESSED else 1)


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

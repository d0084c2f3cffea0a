"""Text files, plain or compressed, and columns of tables: found, and read in blocks of whole lines.

A block is some hundred kilobytes. One process reads and only cuts the bytes. Decoding and cleaning are pure functions
of a block, so that any worker process may do them.
"""

import bz2
import dataclasses
import gzip
import itertools
import lzma
import os
import pathlib
import sys
import zlib
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple

from bort_mx.data.corpora.other_kinds import refuse_other_kinds
from bort_mx.data.corpora.source import COMPRESSIONS, Piece, compression_of
from bort_mx.data.corpora.text_columns import QUOTED_TSV, is_quoted, kind_of_table, texts_of_column
from bort_mx.data.corpora.wrapped_lines import PARAGRAPH_END, looks_wrapped
from bort_mx.data.text import JUDGED, clean, looks_like_documents
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.io.near_names import missing

BLOCK = 1 << 19  # bytes of text in a block
LONGEST_LINE = 1 << 24  # bytes; a line beyond is cut at a space
AUTO, WRAPPED = "auto", "wrapped"
PLAIN = (AUTO, "sentences", "documents", WRAPPED)
"""Formats of plain text. A table is read by its column for these; another format gets its lines as they are."""
_OPENED: Dict[str, Callable[[Any], Any]] = {
    "gzip": lambda file: gzip.GzipFile(fileobj=file, mode="rb"), "bz2": bz2.BZ2File, "xz": lzma.LZMAFile}


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
    found, hidden, seen = {}, 0, set()
    for path in map(pathlib.Path, paths):
        if not path.exists():
            raise InputError(missing(path, "no such file or folder"))
        if path.is_file():
            found[path.resolve()] = path
        for folder, folders, names in os.walk(path, followlinks=True):
            here = os.path.realpath(folder)
            if here in seen:  # links may lead in circles
                folders[:] = []
                continue
            seen.add(here)
            hidden += sum(name.startswith(".") for name in (*folders, *names))
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(name for name in names if not name.startswith(".")):
                file = pathlib.Path(folder, name)
                if not file.is_file():
                    kind = "a link to nothing" if file.is_symlink() else "a pipe, a socket or a device"
                    raise InputError(f"{file}: {kind}, not a text file; move it out of the data folder")
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
        cut_lines: lines too long to be held, cut at a space.
    """

    def __init__(self, path: os.PathLike, format: str = "auto", text_column: str = "text"):
        self.path, self.format, self.text_column, self.read_as = pathlib.Path(path), format, text_column, format
        self.cut_lines, self._position, self._left = 0, 0, sys.maxsize
        self._compression = self._table = ""
        self._inside = False  # whether reading begins in the middle, where no first bytes tell what the file is

    def read(self, size: int = -1) -> bytes:
        """The next bytes on disk, counted (what decompression reads from)."""
        data = self._raw.read(min(size, self._left) if size >= 0 else self._left)
        self._position += len(data)
        self._left -= len(data)
        return data

    def judge(self) -> str:
        """The format of the file, by its beginning; sets `read_as`.

        Raises:
            InputError: see `blocks`.
        """
        return next((block.format for block in self.blocks()), self.format)

    def blocks(self, piece: Optional[Piece] = None) -> Iterator[Block]:
        """The text of a file, or of a piece of it, block by block.

        Args:
            piece: a range of bytes (of plain lines), from the line that begins there, or a share of the blocks.
        Raises:
            InputError: the file cannot be read, is no text, or its compressed stream is truncated or damaged.
        """
        (own, shares), number = piece.share if piece else (0, 1), 0
        rest, format, seen = b"", None, 0
        try:
            with open(self.path, "rb") as self._raw:
                offset = self._enter(piece)
                for data in itertools.chain(self._texts(), [b""]):
                    rest += data
                    if data and len(rest) < BLOCK // 2:  # short texts of a table
                        continue
                    format = format or self._judged(rest)
                    lines, rest = self._cut(rest, format, final=not data)
                    if lines:
                        if number % shares == own:
                            yield Block(str(self.path), offset, lines, format, self._position - seen)
                        offset, seen, number = offset + len(lines), self._position, number + 1
        except EOFError:
            raise InputError(f"{self.path}: truncated {self._compression}, it ends after {offset + len(rest):,} bytes "
                             "of text; fetch the file again") from None
        except (OSError, zlib.error, lzma.LZMAError) as error:
            if self._compression and getattr(error, "errno", None) is None:  # the libraries' own, for bad data
                raise InputError(f"{self.path}: damaged {self._compression} after {offset + len(rest):,} bytes of text "
                                 f"({error}); fetch the file again") from None
            raise InputError(f"{self.path}: cannot be read ({error.strerror or error})") from None

    def _enter(self, piece: Optional[Piece]) -> int:
        """Go to the first line that begins in the piece, and let reading end behind its last; returns the place."""
        if piece is None or not piece.start and piece.stop is None:
            return 0
        stop = self._line_start(piece.stop) if piece.stop is not None else sys.maxsize
        start = self._line_start(piece.start)
        self._inside = start > 0
        self._raw.seek(start)
        self._left = stop - start
        return start

    def _line_start(self, place: int) -> int:
        """Where the first line begins at or after a place."""
        if not place:
            return 0
        self._raw.seek(place - 1)
        while True:
            line = self._raw.readline(BLOCK)
            if not line or line.endswith(b"\n"):
                return self._raw.tell()

    def _texts(self) -> Iterator[bytes]:
        """The file's bytes, decompressed; of a table, the texts of its column."""
        chunks = self._chunks()
        if self._inside:
            return chunks
        first = next(chunks, b"")
        refuse_other_kinds(self.path, first)
        chunks, kind = itertools.chain([first], chunks), kind_of_table(self.path, first)
        if kind is None or self.format not in PLAIN:
            return chunks
        if kind == "tsv":
            again = TextFile(self.path)
            with open(self.path, "rb") as again._raw:
                kind = QUOTED_TSV if is_quoted(self.path, again._chunks()) else kind
        self._table = f"{kind}, {self.text_column}: "
        return texts_of_column(self.path, kind, chunks, self.text_column)

    def _chunks(self) -> Iterator[bytes]:
        stream = self._stream()
        return iter(lambda: stream.read(BLOCK), b"")

    def _stream(self) -> Any:
        place = self._raw.tell()
        self._compression = compression_of(self._raw)
        self._raw.seek(place)
        if self._compression:
            return _OPENED[self._compression](self)
        if self.path.suffix in COMPRESSIONS and self.path.stat().st_size:
            raise InputError(f"{self.path}: named {self.path.suffix} but not {COMPRESSIONS[self.path.suffix]}")
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
    return path.stat().st_size * (4 if path.suffix in COMPRESSIONS else 1)


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

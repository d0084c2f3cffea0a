"""One piece of a corpus's files as a stream of bytes: decompressed, limited, and what is wrong with it told.

A piece is a whole file, the part of a file that begins in a range of its bytes (where a file can be entered in its
middle: plain text, .bz2 of several streams, .gz of several members), or one share of a file's records.
"""

import bz2
import collections
import dataclasses
import lzma
import pathlib
import re
import zlib
from typing import Any, BinaryIO, Callable, Counter, Dict, Iterable, Iterator, Optional, Tuple, TypeVar

from bort_mx.errors import InputError

Record = TypeVar("Record")

CHUNK = 1 << 18  # bytes of text at a time, at most
RATIO, FREE = 250, 64 << 20
"""Zip bombs: reading stops where a file gives more than 250 bytes for each byte read, beyond the first 64 MiB of text.
(Text compresses by a factor of 3 to 10.)"""
RECORD = 16 << 20  # bytes of a page, a line or another record; longer ones are dropped, and counted
MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz"}
COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz"}
"""By the suffix of a file's name."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_STARTS = {"bz2": re.compile(rb"BZh[1-9]1AY&SY"), "gzip": re.compile(rb"\x1f\x8b\x08")}
_OPENED: Dict[str, Callable[[], Any]] = {
    "gzip": lambda: _Gzip(), "bz2": bz2.BZ2Decompressor, "xz": lzma.LZMADecompressor}


@dataclasses.dataclass(frozen=True)
class Piece:
    """What one task reads of a file."""

    path: str
    start: int = 0
    """First byte of the range, in the file as it is on disk."""
    stop: Optional[int] = None
    """End of the range; None is the file's end. A record that begins in the range belongs to it, wherever it ends."""
    share: Tuple[int, int] = (0, 1)
    """(i, n): only every n-th record, from the i-th on."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """How corpora are read."""

    strict: bool = False
    """Stop at damaged input instead of keeping what was read before."""
    from_date: str = ""
    """CC-News: first date, "2016-09" or "2016-09-30"."""
    to_date: str = ""
    """CC-News: last date, as `from_date`."""
    seconds: float = 10.0
    """Longest time for one page."""


class Source:
    """A piece of a file, and the counts of what its reader takes and drops.

    Args:
        piece: what to read.
        reading: how.

    Attributes:
        begins_with: what the text of a gzip member begins with, for ranges.
        sentences: whether each line of the documents is one sentence; the reader sets it.
        counts: "documents_in", "documents_kept", and "documents_dropped_REASON", which sum up to "documents_in";
            "bytes_in", of the range's text (the first of several shares counts it); "invalid_utf8", characters
            replaced.
        problems: what stopped reading, one line each, with the file's name.
    """

    def __init__(self, piece: Piece, reading: Reading = Reading()):
        self.piece, self.reading = piece, reading
        self.path = pathlib.Path(piece.path)
        self.counts: Counter[str] = collections.Counter()
        self.problems: list = []
        self.compression, self.begins_with, self.sentences = "", b"", False
        self.owned: Optional[int] = None
        """Records that begin at or after this place of the stream belong to the next range; None while unknown."""

    def mine(self, records: Iterable[Record]) -> Iterator[Record]:
        """The records of this share."""
        own, shares = self.piece.share
        return (record for number, record in enumerate(records) if number % shares == own)

    def take(self) -> None:
        """Count a document that came in."""
        self.counts["documents_in"] += 1

    def drop(self, reason: str) -> None:
        """Count a document that came in and is left out."""
        self.counts[f"documents_dropped_{reason}"] += 1

    def drop_unread(self, reason: str) -> None:
        """Count a document that comes to no share, as it is not read; all shares meet it, and the first counts it."""
        if self.piece.share[0] == 0:
            self.take()
            self.drop(reason)

    def keep(self, text: str) -> str:
        """Count a document that goes on; one without text is dropped. Returns its text, as it can be written."""
        if _SURROGATE.search(text):  # JSON may escape half a character
            text = text.encode("utf-8", "replace").decode()
        if text.strip():
            self.counts["documents_kept"] += 1
        else:
            self.drop("no_text")
        return text

    def decode(self, data: bytes) -> str:
        """UTF-8 text; invalid bytes are replaced by U+FFFD and counted, or refused where reading is strict."""
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            if self.reading.strict:
                raise InputError(f"{self.path}: not UTF-8 text, byte {data[error.start]:#04x} after "
                                 f"{data[:error.start][-20:]!r}; convert it, or leave out --strict") from None
            text = data.decode("utf-8", "replace")
            self.counts["invalid_utf8"] += text.count("\ufffd") - data.count(b"\xef\xbf\xbd")
            return text

    def problem(self, what: str) -> None:
        """Note what is wrong with the file; what was read before is kept.

        Raises:
            InputError: reading is strict.
        """
        if self.reading.strict:
            raise InputError(f"{self.path}: {what}; mend it, or leave out --strict to keep what can be read")
        if self.piece.share[0] == 0:  # all shares meet it
            self.problems.append(f"{self.path}: {what}")

    @property
    def is_whole(self) -> bool:
        """Whether the piece is the whole file; a file of more than 16 MiB is cut into several pieces."""
        return self.piece == Piece(self.piece.path)

    def beginning(self) -> bytes:
        """The first bytes of the file's text, whatever the piece."""
        return next(Source(Piece(self.piece.path)).chunks(), b"")

    def within(self, name: str, compression: str) -> "Source":
        """A compressed member of this archive; it shares the counts and the list of problems."""
        inner = Source(Piece(f"{self.path}: {name}", share=self.piece.share), self.reading)
        inner.counts, inner.problems, inner.compression = self.counts, self.problems, compression
        return inner

    def chunks(self) -> Iterator[bytes]:
        """The piece's text, at most 256 KiB at a time; goes on beyond the range's end, where `owned` is set."""
        try:
            with open(self.path, "rb") as file:
                self.compression = compression_of(file)
                file.seek(self.piece.start)
                given = self.decompressed(file) if self.compression else self._plain(file)
                place = 0
                for chunk in given:
                    owned = len(chunk) if self.owned is None else max(0, min(len(chunk), self.owned - place))
                    place += len(chunk)
                    self.counts["bytes_in"] += owned if self.piece.share[0] == 0 else 0
                    yield chunk
        except OSError as error:
            if error.errno is None:
                raise
            self.problem(f"cannot be read to its end ({error.strerror})")

    def _plain(self, file: BinaryIO) -> Iterator[bytes]:
        if self.piece.stop is not None:
            self.owned = self.piece.stop - self.piece.start
        return iter(lambda: file.read(CHUNK), b"")

    def decompressed(self, file: BinaryIO) -> Iterator[bytes]:
        """Stream after stream of a compressed file. It ends at damage, at a zip bomb, and at the file's end."""
        given, stream, data, place = 0, None, b"", self.piece.start
        read = 0
        if self.piece.start:
            data, place = first_stream(file, self.compression, self.piece.start, self.piece.stop, self.begins_with)
            if not data:
                return
        try:
            while True:
                fresh = b"" if data else file.read(CHUNK)
                data, read = data or fresh, read + len(fresh)
                if not data:
                    break
                if stream is None:
                    padding = len(data) - len(data.lstrip(b"\0"))
                    data, place = data[padding:], place + padding
                    if not data:
                        continue
                    if self.piece.stop is not None and place >= self.piece.stop and self.owned is None:
                        self.owned = given
                    stream = _OPENED[self.compression]()
                before = len(data)
                for text in _texts(stream, data):
                    given += len(text)
                    if given > FREE and given > RATIO * max(read, CHUNK):
                        return self.problem(f"a zip bomb? more than {given:,} bytes of text from {read:,}; reading "
                                            f"stops beyond {RATIO} to 1")
                    yield text
                data = stream.unused_data if stream.eof else b""
                place += before - len(data)
                stream = None if stream.eof else stream
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            if getattr(error, "errno", None) is not None:
                raise
            return self.problem(f"damaged {self.compression} after {given:,} bytes of text ({error})")
        if stream is not None:
            self.problem(f"truncated {self.compression}, it ends after {given:,} bytes of text")


def _texts(stream: Any, data: bytes) -> Iterator[bytes]:
    """What a stream gives for some bytes, at most 256 KiB at a time."""
    while not stream.eof and (data or not stream.needs_input):
        text, data = stream.decompress(data, CHUNK), b""
        if text:
            yield text


class _Gzip:
    """One gzip member, with the interface of `bz2.BZ2Decompressor`."""

    def __init__(self):
        self._member, self.eof, self.needs_input, self.unused_data = zlib.decompressobj(31), False, True, b""

    def decompress(self, data: bytes, most: int) -> bytes:
        """At most so many bytes of text."""
        text = self._member.decompress(self._member.unconsumed_tail + data, most)
        self.eof, self.unused_data = self._member.eof, self._member.unused_data
        self.needs_input = not self._member.unconsumed_tail and len(text) < most
        return text


def compression_of(file: BinaryIO) -> str:
    """"gzip", "bz2", "xz" or "", by the first bytes of a file."""
    file.seek(0)
    beginning = file.read(8)
    return next((name for magic, name in MAGIC.items() if beginning.startswith(magic)), "")


def first_stream(file: BinaryIO, compression: str, start: int, stop: Optional[int] = None,
                 begins_with: bytes = b"") -> Tuple[bytes, int]:
    """Where the first compressed stream begins at or after `start`.

    Args:
        file: the compressed file.
        compression: "bz2" or "gzip".
        start: from here on.
        stop: not at or after this place; None: the file's end.
        begins_with: what the stream's text must begin with.
    Returns:
        Bytes from there on (none if there is no such stream), and the place; the file stands behind these bytes.
    """
    file.seek(start)
    place, data = start, b""
    while True:
        more = file.read(CHUNK)
        data += more
        for match in _STARTS[compression].finditer(data):
            if stop is not None and place + match.start() >= stop:
                return b"", place + match.start()
            if _opens(data[match.start():match.start() + 4096], compression, begins_with):
                return data[match.start():], place + match.start()
        if not more:
            return b"", place + len(data)
        kept = min(len(data), 4096)
        place, data = place + len(data) - kept, data[len(data) - kept:]


def _opens(data: bytes, compression: str, begins_with: bytes) -> bool:
    """Whether a stream begins here: for bz2 its long mark is enough; for gzip its text is looked at."""
    if compression == "bz2":
        return True
    try:
        return zlib.decompressobj(31).decompress(data, 64).startswith(begins_with)
    except zlib.error:
        return False


def starts_of_streams(path: pathlib.Path, least: int = 2) -> bool:
    """Whether a .bz2 file has several streams in its first 4 MiB, as multistream dumps have."""
    with open(path, "rb") as file:
        return compression_of(file) == "bz2" and len(_STARTS["bz2"].findall(file.read(4 << 20))) >= least

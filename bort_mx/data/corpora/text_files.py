"""Text files to clean sentences: find the files, read them in blocks, clean, split documents into sentences.

A block is some hundred kilobytes of whole lines. The reader (one process) only cuts the bytes; decoding, cleaning and
splitting are pure functions of a block, so that any worker may do them.
"""

import collections
import dataclasses
import gzip
import hashlib
import os
import pathlib
import re
import zlib
from typing import BinaryIO, Counter, FrozenSet, Iterable, Iterator, List, Tuple

from bort_mx.errors import InputError
from bort_mx.io import files

BLOCK = 1 << 19  # bytes of text in a block
LONGEST_LINE = 1 << 24  # bytes; a line beyond is cut at a space
FORMATS = ("auto", "sentences", "documents")
DOCUMENT_SENTENCES = 1.3  # mean sentences a line from which on lines are taken for documents

_ODD = re.compile("[\x00-\x09\x0b-\x1f\x7f-\xa0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff]")
_WHITE = re.compile("[\t\x0b\x0c\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u200b\u2060\ufeff]")  # and zero-width spaces
_SPACES = re.compile(" {2,}")


@dataclasses.dataclass(frozen=True)
class Block:
    """Whole lines of one file."""

    path: str
    """The file, as it is named in errors."""
    offset: int
    """Where the block begins in the file's (uncompressed) text, in bytes."""
    data: bytes
    """The lines, undecoded."""
    documents: bool
    """Whether a line is a document, to be split into sentences, or a sentence."""
    disk: int = 0
    """Bytes of the file on disk read since the block before, for the progress bar."""


# -- files to blocks ---------------------------------------------------------------------------------------------


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
        format: "sentences" or "documents" (a line is one), or "auto": judged by the file's first block.

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
        offset, rest, documents, seen = 0, b"", None, 0
        try:
            with open(self.path, "rb") as self._raw:
                stream = self._stream()
                while True:
                    data = stream.read(BLOCK)
                    lines, rest = self._cut(rest + data, final=not data)
                    if lines:
                        documents = self._is_documents(lines) if documents is None else documents
                        yield Block(str(self.path), offset, lines, documents, self.position - seen)
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

    def _is_documents(self, lines: bytes) -> bool:
        if self.format != "auto":
            return self.format == "documents"
        return looks_like_documents(clean(lines[:BLOCK].decode("utf-8", "replace"))[0])


# -- blocks to sentences -----------------------------------------------------------------------------------------


def block_sentences(block: Block) -> Tuple[List[str], Counter[str]]:
    """Clean sentences of a block, and counts of lines, blank lines and control characters dropped.

    Raises:
        InputError: bytes that are not UTF-8, or a NUL, with the place in the file.
    """
    text, dropped = clean(decode(block))
    lines = list(map(str.strip, text.split("\n")))  # only spaces are left to strip
    sentences = [line for line in lines if line]
    counts = collections.Counter(lines=len(lines), control_characters=dropped)
    if not lines[-1]:
        counts["lines"] -= 1  # what follows the last line end is not a line
    counts["blank_lines"] = counts["lines"] - len(sentences)
    if block.documents:
        sentences = split_sentences(sentences)
    return sentences, counts


def decode(block: Block) -> str:
    """The block's text, without a byte order mark.

    Raises:
        InputError: as `block_sentences`.
    """
    zero = block.data.find(b"\0")
    if zero >= 0:
        raise InputError(f"{block.path}: not a text file, it has a NUL at byte {block.offset + zero:,}")
    try:
        return block.data.decode("utf-8-sig" if not block.offset else "utf-8")
    except UnicodeDecodeError as error:
        mark = 3 if not block.offset and block.data.startswith(b"\xef\xbb\xbf") else 0
        raise files.not_utf8(block.path, error, block.offset + mark) from None


def clean(text: str) -> Tuple[str, int]:
    """Text with control and zero-width characters removed, and all white space but line ends made single spaces.

    Returns:
        The text and the number of characters removed (white space not counted).
    """
    removed = 0
    if _ODD.search(text):
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        text = _WHITE.sub(" ", text)
        text, removed = _CONTROL.subn("", text)
    if "  " in text:
        text = _SPACES.sub(" ", text)
    return text, removed


def looks_like_documents(text: str) -> bool:
    """Whether the lines of a clean text hold documents rather than single sentences: 1.3 sentences a line or more."""
    lines = [line for line in text[:1 << 17].split("\n") if line.strip()]
    return bool(lines) and len(split_sentences(lines)) >= DOCUMENT_SENTENCES * len(lines)


# A rule-based splitter, because the well-tested one (pysbd) reads 0.1 MB/s where tokenising runs at 3 MB/s. A sentence
# ends at . ! ? … (with closing quotes) before a space and something that does not begin in lower case; a full stop
# after an abbreviation or an initial does not end it.
_END = re.compile("([.!?\u2026][\"'\u201d\u2019)\\]]*) (?=[\"'\u201c\u2018(\\[]*[^\\W_a-z])")
_WORD = re.compile(r"[^\s.,;:!?]*")


def _words(text: str) -> FrozenSet[str]:
    return frozenset(text.split())


_NEVER = _words("""mr mrs ms dr prof st mt messrs mme mlle gen sen rep gov capt cmdr lt col sgt maj adm rev hon pres
    vs viz cf fig figs eq vol vols pp ed eds al e.g i.e ca approx dept""")
_BEFORE_NUMBERS = _words("no nos p art sec")
# These, and words like "U.S.", end a sentence only before a word that often begins one.
_SOMETIMES = _words("jr sr inc ltd co corp etc bros ave blvd jan feb mar apr jun jul aug sep sept oct nov dec")
_STARTERS = _words("""a after all although an and another as at because before both but by each even for from he her
    here his how however i if in it its many meanwhile most my no not now of on one only other our she since so some
    such that the their then there these they this those though to today we when where while who why with yet you
    your""")


def split_sentences(documents: Iterable[str]) -> List[str]:
    """Sentences of clean documents (single-spaced, one line each), in order."""
    text = "\n".join(documents)
    return _END.sub(_break, text).split("\n") if text else []


def _break(match: "re.Match[str]") -> str:
    end = match.group(1)
    if end != ".":
        return end + "\n"
    text, place = match.string, match.start()
    start = max(text.rfind(" ", 0, place), text.rfind("\n", 0, place)) + 1
    word = text[start:place].lstrip("\"'\u201c\u2018([").lower()
    if len(word) == 1 and word.isalpha() and word != "i" or word in _NEVER:
        return ". "
    if word in _SOMETIMES or "." in word.strip(".") and word.replace(".", "").isalpha():
        return ".\n" if _WORD.match(text, match.end()).group().lower() in _STARTERS else ". "
    return ". " if word in _BEFORE_NUMBERS and text[match.end():match.end() + 1].isdigit() else ".\n"

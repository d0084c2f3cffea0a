"""Lines of a piece of a file, within memory whatever their length."""

from typing import Iterable, Iterator

from bort_mx.data.corpora.source import RECORD, Source


def lines_of(source: Source, share: bool = True) -> Iterator[bytes]:
    """The lines that begin in the piece, without their ends. A line of more than 16 MiB is dropped, and counted.

    Args:
        source: the piece.
        share: only the lines of this share.
    """
    lines = split_lines(source, source.chunks(), source.piece.start > 0 and not _at_line_start(source))
    return source.mine(lines) if share else lines


def split_lines(source: Source, chunks: Iterable[bytes], inside: bool = False) -> Iterator[bytes]:
    """The lines of a piece's text, or of a file within it.

    Args:
        source: the piece; counts the lines that are too long.
        chunks: the text.
        inside: whether it begins within a line, which belongs to the piece before.
    """
    place, gone, rest = 0, 0, b""  # place: where the line begins; gone: its bytes that are given up, too long to hold
    for chunk in chunks:
        *whole, last = chunk.split(b"\n")
        for line in whole:
            if _is_beyond(source, place):
                return
            line, rest = rest + line, b""
            if not inside and not gone:
                yield line.rstrip(b"\r")
            elif not inside:
                source.drop_unread("too_long")
            place, gone, inside = place + gone + len(line) + 1, 0, False
        rest += last
        if len(rest) > RECORD:
            gone, rest = gone + len(rest), b""
        if _is_beyond(source, place + gone):  # no further line begins in the range
            break
    if inside or _is_beyond(source, place):
        return
    if gone:
        source.drop_unread("too_long")
    elif rest:
        yield rest.rstrip(b"\r")


def _is_beyond(source: Source, place: int) -> bool:
    return source.owned is not None and place >= source.owned


def _at_line_start(source: Source) -> bool:
    """Whether a line begins where the piece begins."""
    with open(source.path, "rb") as file:
        file.seek(source.piece.start - 1)
        return file.read(1) == b"\n"

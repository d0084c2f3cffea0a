"""Lines of a piece of a file, within memory whatever their length."""

from typing import Iterator

from bort_mx.data.corpora.source import RECORD, Source


def lines_of(source: Source, share: bool = True) -> Iterator[bytes]:
    """The lines that begin in the piece, without their ends. A line of more than 16 MiB is dropped, and counted.

    Args:
        source: the piece.
        share: only the lines of this share.
    """
    lines = _all_lines(source)
    return source.mine(lines) if share else lines


def _all_lines(source: Source) -> Iterator[bytes]:
    place, rest, too_long = 0, b"", False
    skip = source.piece.start > 0 and not _at_line_start(source)
    for chunk in source.chunks():
        *whole, last = chunk.split(b"\n")
        for line in whole:
            line, rest = rest + line, b""
            if source.owned is not None and place >= source.owned:
                return
            place += len(line) + 1
            if skip or too_long:
                skip, too_long = False, _drop(source) if too_long else False
            else:
                yield line.rstrip(b"\r")
        if source.owned is not None and place >= source.owned:
            return
        rest += last
        if len(rest) > RECORD:
            place, rest, too_long = place + len(rest), b"", True
    if too_long:
        _drop(source)
    elif rest and not skip and not (source.owned is not None and place >= source.owned):
        yield rest.rstrip(b"\r")


def _drop(source: Source) -> bool:
    if source.piece.share[0] == 0:
        source.take()
        source.drop("too_long")
    return False


def _at_line_start(source: Source) -> bool:
    """Whether a line begins where the piece begins."""
    with open(source.path, "rb") as file:
        file.seek(source.piece.start - 1)
        return file.read(1) == b"\n"

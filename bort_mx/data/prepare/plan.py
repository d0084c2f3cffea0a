"""The plan of a run: files of corpora, cut into partitions. It depends on the files alone, not on who reads them."""

import dataclasses
import json
import pathlib
from typing import Dict, Iterable, List, Sequence, Tuple

import bort_mx
from bort_mx.data.corpora.readers import CORPORA, MOST_SHARES, pieces
from bort_mx.data.corpora.source import Piece, compression_of
from bort_mx.data.corpora.text_files import TextFile, list_files, text_bytes
from bort_mx.errors import InputError

DATA = ""
"""The name of what --data gives, in the place of a corpus's."""
LEAST, MOST, PARTITIONS = 4 << 20, 256 << 20, 2048
"""Bytes of text in a partition, and about how many partitions there are; they grow with the text."""
MOST_FILES = 1000  # in a partition


@dataclasses.dataclass(frozen=True)
class Partition:
    """What one task of the first pass reads."""

    number: int
    corpus: str
    """A name in `CORPORA`, or "" for files of --data."""
    pieces: Tuple[Piece, ...]
    format: str = ""
    """Of --data: how these files are to be read; empty: as the options say."""

    @property
    def name(self) -> str:
        """Of its files."""
        return f"part-{self.number:05d}"


def placed(base: pathlib.Path, piece: Piece) -> Piece:
    """A piece whose path does not depend on the folder that a process works in; an empty base changes nothing."""
    return dataclasses.replace(piece, path=str(base / piece.path))


@dataclasses.dataclass(frozen=True)
class Input:
    """The files of --data, or of one corpus."""

    corpus: str
    paths: Tuple[pathlib.Path, ...]


def list_inputs(data: Sequence[str], corpora: Sequence[str]) -> Tuple[List[Input], int]:
    """All files, by corpus in the order given, and the number of hidden ones.

    Raises:
        InputError: a corpus that is none, or no files.
    """
    named: Dict[str, List[str]] = {DATA: list(data)} if data else {}
    for entry in corpora:
        name, equals, path = entry.partition("=")
        if not equals or not path:
            raise InputError(f"--corpus {entry}: expected NAME=PATH, as in wikipedia=dumps/enwiki.xml.bz2")
        if name not in CORPORA:
            raise InputError(f"--corpus {entry}: no corpus {name!r}; there are {', '.join(CORPORA)}")
        named.setdefault(name, []).append(path)
    inputs, hidden = [], 0
    for name, paths in named.items():
        found, passed_over = list_files(paths)
        inputs.append(Input(name, tuple(found)))
        hidden += passed_over
    return inputs, hidden


def text_size(inputs: Iterable[Input]) -> int:
    """Bytes of text, about."""
    return sum(int(text_bytes(path) * (CORPORA[entry.corpus].expands if entry.corpus else 1))
               for entry in inputs for path in entry.paths)


def partitions(inputs: Iterable[Input], text_format: str, text_column: str) -> List[Partition]:
    """The partitions of all files."""
    total = sum(text_bytes(path) for entry in inputs for path in entry.paths)
    size = min(MOST, max(LEAST, total // PARTITIONS))
    groups = []
    for entry in inputs:
        group: List[Piece] = []
        held = 0
        for path in entry.paths:
            cut, format = (_data_pieces(path, size, text_format, text_column) if entry.corpus == DATA
                           else (pieces(entry.corpus, path, size), ""))
            if len(cut) > 1:
                groups += [(entry.corpus, (piece,), format) for piece in cut]
                continue
            if group and (held + text_bytes(path) > size or len(group) == MOST_FILES):
                groups.append((entry.corpus, tuple(group), ""))
                group, held = [], 0
            group.append(cut[0])
            held += text_bytes(path)
        if group:
            groups.append((entry.corpus, tuple(group), ""))
    return [Partition(number, *group) for number, group in enumerate(groups)]


def make_plan(made_with: dict, partitions: Sequence[Partition]) -> dict:
    """Everything that decides the bytes, as it is read from a file again.

    Args:
        made_with: the options that do.
        partitions: what is read; size and time of each file are noted.
    """
    paths = sorted({piece.path for partition in partitions for piece in partition.pieces})
    status = {path: pathlib.Path(path).stat() for path in paths}
    return json.loads(json.dumps({
        "program": bort_mx.__version__, "options": made_with,
        "files": {path: [status[path].st_size, status[path].st_mtime_ns] for path in paths},
        "partitions": [dataclasses.asdict(partition) for partition in partitions]}))


def _data_pieces(path: pathlib.Path, size: int, text_format: str, text_column: str) -> Tuple[List[Piece], str]:
    """How a file of --data is cut, and how all its pieces are read (its beginning decides)."""
    parts = -(-text_bytes(path) // size)
    if parts < 2:
        return [Piece(str(path))], ""
    whole, text = path.stat().st_size, TextFile(path, text_format, text_column)
    format = text.judge()
    with open(path, "rb") as file:
        compressed = compression_of(file)
    if not compressed and text.read_as in ("sentences", "documents"):
        bounds = [number * whole // parts for number in range(parts)]
        return [Piece(str(path), start, stop) for start, stop in zip(bounds, [*bounds[1:], None])], format
    shares = min(parts, MOST_SHARES)
    return [Piece(str(path), share=(number, shares)) for number in range(shares)], format

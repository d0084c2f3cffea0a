"""`candidates.jsonl`: every finished candidate, on disk the moment it is finished, so that a search can be resumed.

The first line is a header with the options that determine an evaluation and their fingerprint; each further line is a
finished candidate, or its latency where that is measured in a phase of its own. With several workers each appends to
a file of its own (`candidates.rank-1.jsonl` …), and at the end worker 0 makes one file of them. No times and no names
of machines stand in it: the same search writes the same bytes.
"""

import hashlib
import json
import math
import os
import pathlib
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from bort_mx.architecture import Architecture
from bort_mx.errors import InputError
from bort_mx.io.files import sync_directory, write_text
from bort_mx.search.objectives import Objectives

_FORMAT = "bort_mx candidates 1"
_MAIN = "candidates.jsonl"


def fingerprint(options: Mapping[str, Any]) -> str:
    """A hash of options (JSON values), independent of their order."""
    return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:16]


class CandidateLog:
    """The finished candidates of a search in a directory.

    Args:
        directory: the search's output directory.
        options: whatever determines one evaluation (T and data by hash, steps, Theta, latency, seed …), as JSON
            values. Leave out what only selects candidates (space, epsilon): a log then serves another epsilon too.
        rank: this worker's number.

    Raises:
        InputError: a log there belongs to other options (the differing ones are named), or is damaged elsewhere than
            at its end. A torn last line is what a kill leaves: it is put into `notes`, dropped, and evaluated again.
    """

    def __init__(self, directory: os.PathLike, options: Mapping[str, Any], rank: int = 0):
        self.directory, self.rank = pathlib.Path(directory), rank
        self.path = self.directory / (_MAIN if rank == 0 else f"candidates.rank-{rank}.jsonl")
        self.finished: Dict[Architecture, Objectives] = {}
        self.latencies: Dict[Architecture, float] = {}
        self.notes: List[str] = []
        self._options = json.loads(json.dumps(options))
        self._whole_bytes: Optional[int] = None  # length of our own file without a torn end; None: not there yet
        for path in self._files():
            self._read(path)

    def append(self, architecture: Architecture, objectives: Objectives) -> None:
        """Record a finished candidate; it is on the disk when this returns."""
        self._write(_candidate_record(architecture, objectives))
        self.finished[architecture] = objectives

    def append_latency(self, architecture: Architecture, latency: float) -> None:
        """Record a latency that was measured after the candidate was finished."""
        self._write({"architecture": list(architecture.as_tuple()), "measured_latency": float(latency)})
        self.latencies[architecture] = latency

    def merge(self, order: Sequence[Architecture], finished: Mapping[Architecture, Objectives],
              latencies: Mapping[Architecture, float]) -> None:
        """Replace all workers' files by one, in a given order; worker 0 calls it when the others have ended.

        Candidates outside `order` (from a search with another epsilon) are kept, after it.
        """
        everyone = list(dict.fromkeys([*order, *sorted({*finished, *latencies})]))
        records = [self._header()]
        records += [_candidate_record(a, finished[a]) for a in everyone if a in finished]
        records += [{"architecture": list(a.as_tuple()), "measured_latency": latencies[a]}
                    for a in everyone if a in latencies]
        write_text(self.directory / _MAIN, "".join(map(_line, records)))
        for path in self._files():
            if path.name != _MAIN:
                path.unlink()
        self._whole_bytes = (self.directory / _MAIN).stat().st_size

    def _files(self) -> List[pathlib.Path]:
        return sorted(self.directory.glob(_MAIN)) + sorted(self.directory.glob("candidates.rank-*.jsonl"))

    def _header(self) -> Dict[str, Any]:
        return {"format": _FORMAT, "fingerprint": fingerprint(self._options), "options": self._options}

    def _write(self, record: Mapping[str, Any]) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        new = not self._whole_bytes
        with open(self.path, "r+b" if self.path.exists() else "w+b") as file:
            file.truncate(self._whole_bytes or 0)
            file.seek(0, os.SEEK_END)
            file.write(((_line(self._header()) if new else "") + _line(record)).encode())
            file.flush()
            os.fsync(file.fileno())
            self._whole_bytes = file.tell()
        if new:
            sync_directory(self.directory)

    def _read(self, path: pathlib.Path) -> None:
        content = path.read_bytes()
        whole = content[:content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            self.notes.append(f"{path}: the last line is torn ({len(content) - len(whole)} bytes, left by an "
                              "interruption); dropped, that candidate is evaluated again")
        for number, record in _records(path, whole):
            if number == 1:
                self._check_header(path, record)
            else:
                self._take(path, number, record)
        if path == self.path:
            self._whole_bytes = len(whole)

    def _check_header(self, path: pathlib.Path, header: Any) -> None:
        if not (isinstance(header, dict) and header.get("format") == _FORMAT and "options" in header):
            raise InputError(f"{path}:1: not the log of a search ({_FORMAT}); give another output directory")
        theirs, ours = header["options"], self._options
        if theirs != ours:
            differing = sorted(k for k in {*theirs, *ours} if theirs.get(k) != ours.get(k))
            found = "; ".join(f"{k}: {theirs.get(k)!r} there, {ours.get(k)!r} here" for k in differing)
            raise InputError(f"{path}: belongs to another search ({found}); give another output directory, "
                             "or the same options")

    def _take(self, path: pathlib.Path, number: int, record: Any) -> None:
        try:
            architecture = Architecture(*record["architecture"])
            if "measured_latency" in record:
                self.latencies[architecture] = float(record["measured_latency"])
            else:
                self.finished[architecture] = Objectives(record["parameters"], record["latency"],
                                                         math.nan if record["error"] is None else record["error"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}:{number}: not a finished candidate ({error!r}); remove the line to have it "
                             "evaluated again") from None


def _records(path: pathlib.Path, content: bytes) -> Iterator[Tuple[int, Any]]:
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            yield number, json.loads(line)
        except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
            raise InputError(f"{path}:{number}: not JSON ({error}); remove the line to have that candidate evaluated "
                             "again") from None


def _candidate_record(architecture: Architecture, objectives: Objectives) -> Dict[str, Any]:
    error = float(objectives.error)
    return {"architecture": list(architecture.as_tuple()), "parameters": _number(objectives.parameters),
            "latency": _number(objectives.latency), "error": error if math.isfinite(error) else None}


def _number(value: float) -> float:
    """A NumPy or Python number as Python's int or float, which JSON gives back exactly."""
    return int(value) if float(value).is_integer() else float(value)


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record) + "\n"

"""`candidates.jsonl`: every finished candidate, on disk as soon as it is finished, so that a search can be resumed.

The first line is a header: everything that determines an evaluation, and its fingerprint. Each further line is a
finished candidate, or its latency if latency is measured in a separate phase. With several workers, each appends to its
own file (`candidates.rank-1.jsonl` …); at the end, worker 0 merges all files into one. The log holds no times and no
machine names, so the same search writes the same bytes.
"""

import hashlib
import json
import math
import os
import pathlib
from typing import Any, Dict, List, Mapping, Sequence

from bort_mx.architecture import Architecture
from bort_mx.errors import InputError
from bort_mx.io.jsonl_log import JsonlLog
from bort_mx.search.objectives import Objectives

_FORMAT = "bort_mx candidates 1"
_MAIN = "candidates.jsonl"
_ADVICE = "remove the line to have that candidate evaluated again"


def fingerprint(inputs: Mapping[str, Any]) -> str:
    """A hash of everything that determines an evaluation (JSON values). The order of keys does not matter."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


class CandidateLog:
    """The finished candidates of the search in a directory.

    Args:
        directory: the search's output directory.
        inputs: everything that determines one evaluation (hashes of T and data, steps, Theta, latency, seed …), as
            JSON values. Leave out what only selects candidates (space, epsilon), so that a search with another epsilon
            can use the same log.
        rank: this worker's number.

    Raises:
        InputError: the log belongs to other inputs (the message names them), or is damaged before its last line. A
            last line torn by a kill is no error: it is reported in `notes` and dropped, and its candidate is
            evaluated again.
    """

    def __init__(self, directory: os.PathLike, inputs: Mapping[str, Any], rank: int = 0):
        self.directory = pathlib.Path(directory)
        self.path = self.directory / (_MAIN if rank == 0 else f"candidates.rank-{rank}.jsonl")
        self.finished: Dict[Architecture, Objectives] = {}
        self.latencies: Dict[Architecture, float] = {}
        self.notes: List[str] = []
        self._inputs = json.loads(json.dumps(inputs))
        self._log = JsonlLog(self.path, _ADVICE)
        for path in self._files():
            self._take_all(self._log if path == self.path else JsonlLog(path, _ADVICE, write=False))

    def append(self, architecture: Architecture, objectives: Objectives) -> None:
        """Record a finished candidate. It is on disk when this returns."""
        self._write(_candidate_record(architecture, objectives))
        self.finished[architecture] = objectives

    def append_latency(self, architecture: Architecture, latency: float) -> None:
        """Record a latency measured after the candidate was finished."""
        self._write(_latency_record(architecture, latency))
        self.latencies[architecture] = latency

    def merge(self, order: Sequence[Architecture], finished: Mapping[Architecture, Objectives],
              latencies: Mapping[Architecture, float]) -> None:
        """Replace all workers' files by one, in the given order. Worker 0 calls it when all workers have finished.

        Candidates that are not in `order` (from a search with another epsilon) are kept, after those in it.
        """
        everyone = list(dict.fromkeys([*order, *sorted({*finished, *latencies})]))
        records = [_candidate_record(a, finished[a]) for a in everyone if a in finished]
        records += [_latency_record(a, latencies[a]) for a in everyone if a in latencies]
        self._log.replace([self._header(), *records])
        # Delete the other files only now: a kill before this line leaves duplicates, but loses nothing.
        for path in self._files():
            if path.name != _MAIN:
                path.unlink()

    def _files(self) -> List[pathlib.Path]:
        return sorted(self.directory.glob(_MAIN)) + sorted(self.directory.glob("candidates.rank-*.jsonl"))

    def _header(self) -> Dict[str, Any]:
        return {"format": _FORMAT, "fingerprint": fingerprint(self._inputs), "options": self._inputs}

    def _write(self, record: Mapping[str, Any]) -> None:
        self._log.append(*([] if self._log.records else [self._header()]), record)

    def _take_all(self, log: JsonlLog) -> None:
        if log.torn:
            self.notes.append(f"{log.path}: the last line is torn ({log.torn} bytes, left by an interruption); "
                              "it is dropped, and that candidate is evaluated again")
        for number, record in log.records:
            if number == 1:
                self._check_header(log.path, record)
            else:
                self._take(log.path, number, record)

    def _check_header(self, path: pathlib.Path, header: Any) -> None:
        if not (isinstance(header, dict) and header.get("format") == _FORMAT
                and isinstance(header.get("options"), dict)):
            raise InputError(f"{path}:1: not the log of a search ({_FORMAT}); give another output directory")
        theirs, ours = header["options"], self._inputs
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


def _candidate_record(architecture: Architecture, objectives: Objectives) -> Dict[str, Any]:
    error = float(objectives.error)
    return {"architecture": list(architecture.as_tuple()), "parameters": _number(objectives.parameters),
            "latency": _number(objectives.latency), "error": error if math.isfinite(error) else None}


def _latency_record(architecture: Architecture, latency: float) -> Dict[str, Any]:
    return {"architecture": list(architecture.as_tuple()), "measured_latency": float(latency)}


def _number(value: float) -> float:
    """A NumPy or Python number as Python's int or float. JSON stores these exactly."""
    return int(value) if float(value).is_integer() else float(value)

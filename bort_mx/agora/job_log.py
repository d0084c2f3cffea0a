"""The record of a run of Agora, jobs.jsonl: each finished job is a line, on the disk before the next job starts."""

import json
import os
from typing import Any, Dict, Hashable, Optional, Tuple

from bort_mx.errors import InputError
from bort_mx.io.jsonl_log import JsonlLog

FORMAT = 1
_ADVICE = "delete the folder to start afresh"


class JobLog:
    """Finished work by (kind, round, theta's index); the first line is the fingerprint of the run.

    Args:
        path: the file; None keeps everything in memory.
        fingerprint: what the recorded results depend on, by name, as JSON can hold it.
        write: False reads the file but never writes (ranks other than 0).

    Raises:
        InputError: the file belongs to another run, or a line of it is not a record.
    """

    def __init__(self, path: Optional[os.PathLike], fingerprint: Dict[str, Any], write: bool = True):
        self._log = JsonlLog(path, _ADVICE, write)
        self._records: Dict[Tuple[str, Optional[int], Hashable], Dict[str, Any]] = {}
        start = {"kind": "start", "format": FORMAT, "fingerprint": json.loads(json.dumps(fingerprint))}
        for number, record in self._log.records:
            if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
                raise InputError(f"{path}:{number}: a record without \"kind\"; {_ADVICE}")
            if not all(isinstance(record.get(name), (int, str, type(None))) for name in ("round", "index")):
                raise InputError(f"{path}:{number}: \"round\" or \"index\" is no number; {_ADVICE}")
        if self._log.records:
            self._check(self._log.records[0][1], start)
            self._records = {_name(record): record for _, record in self._log.records[1:]}
        else:
            self._log.append(start)

    def __len__(self) -> int:
        return len(self._records)

    def get(self, kind: str, round_number: Optional[int] = None, index: Hashable = None) -> Optional[dict]:
        """The record of that work, or None if it has not been done."""
        return self._records.get((kind, round_number, index))

    def put(self, record: Dict[str, Any]) -> Dict[str, Any]:
        """Record finished work, named by "kind", "round" and "index" where they apply; returns it as JSON has it."""
        record = json.loads(json.dumps(record))
        self._log.append(record)
        self._records[_name(record)] = record
        return record

    def _check(self, found: Dict[str, Any], start: Dict[str, Any]) -> None:
        path = self._log.path
        if (found.get("kind") != "start" or found.get("format") != FORMAT
                or not isinstance(found.get("fingerprint"), dict)):
            raise InputError(f"{path}:1: expected the start record of format {FORMAT}; {_ADVICE}")
        old, new = found["fingerprint"], start["fingerprint"]
        other = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
        if other:
            raise InputError(f"{path}: belongs to another run, which differs in {', '.join(other)}; give another "
                             "folder, or the same options and data to resume")


def _name(record: Dict[str, Any]) -> Tuple[str, Optional[int], Hashable]:
    return record["kind"], record.get("round"), record.get("index")

"""The record of a run of Agora: every finished job one JSON line, on disk before the next one starts."""

import json
import os
import pathlib
from typing import Any, Dict, Hashable, List, Optional, Tuple

from bort_mx.errors import InputError
from bort_mx.io.files import sync_directory, write_text

FORMAT = 1


class JobLog:
    """Finished work by (kind, round, theta's index), in memory and, given a path, as JSON lines on disk.

    The first line is the fingerprint of the run. A last line without its end (the process died while writing) is
    dropped; the work it recorded is done again.

    Args:
        path: the file; None keeps everything in memory.
        fingerprint: what the recorded results depend on.
        write: False reads the file but never writes (ranks other than 0).

    Raises:
        InputError: the file belongs to another run, or a line of it is not a record.
    """

    def __init__(self, path: Optional[os.PathLike], fingerprint: Dict[str, Any], write: bool = True):
        self._path = pathlib.Path(path) if path is not None else None
        self._write = write and self._path is not None
        self._records: Dict[Tuple[str, Optional[int], Hashable], Dict[str, Any]] = {}
        start = {"kind": "start", "format": FORMAT, "fingerprint": json.loads(json.dumps(fingerprint))}
        lines = self._read()
        if lines:
            self._check(lines[0], start)
            for record in lines[1:]:
                self._records[_name(record)] = record
        elif self._write:
            write_text(self._path, _line(start))

    def __len__(self) -> int:
        return len(self._records)

    def get(self, kind: str, round_number: Optional[int] = None, index: Hashable = None) -> Optional[dict]:
        """The record of that work, or None if it has not been done."""
        return self._records.get((kind, round_number, index))

    def put(self, record: Dict[str, Any]) -> Dict[str, Any]:
        """Record finished work, named by "kind", "round" and "index" where they apply; returns it as JSON has it."""
        record = json.loads(json.dumps(record))
        if self._write:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(_line(record))
                file.flush()
                os.fsync(file.fileno())
        self._records[_name(record)] = record
        return record

    def _read(self) -> List[Dict[str, Any]]:
        if self._path is None or not self._path.exists():
            return []
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if self._write and len(whole) < len(content):
            with open(self._path, "r+b") as file:
                file.truncate(len(whole))
                os.fsync(file.fileno())
            sync_directory(self._path.parent)
        return [self._parse(number, line) for number, line in enumerate(whole.splitlines(), start=1)]

    def _parse(self, number: int, line: bytes) -> Dict[str, Any]:
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{self._path}:{number}: not a JSON record ({error}); delete the folder to start afresh"
                             ) from None
        if not isinstance(record, dict) or "kind" not in record:
            raise InputError(f"{self._path}:{number}: a record without \"kind\"; delete the folder to start afresh")
        return record

    def _check(self, found: Dict[str, Any], start: Dict[str, Any]) -> None:
        if found.get("kind") != "start" or found.get("format") != FORMAT:
            raise InputError(f"{self._path}:1: expected the start record of format {FORMAT}; delete the folder to "
                             "start afresh")
        old, new = found.get("fingerprint", {}), start["fingerprint"]
        other = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
        if other:
            raise InputError(f"{self._path}: belongs to another run, which differs in {', '.join(other)}; give another "
                             "folder, or the same options and data to resume")


def _name(record: Dict[str, Any]) -> Tuple[str, Optional[int], Hashable]:
    return record["kind"], record.get("round"), record.get("index")


def _line(record: Dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"

"""One append-only log of JSON lines, from which a killed run goes on."""

import json
import os
import pathlib
from typing import Any, Callable, List, Mapping, Optional, Tuple

from bort_mx.errors import InputError
from bort_mx.io.files import sync_directory, write_text


class JsonlLog:
    """A file of JSON objects, one a line, each on the disk before `append` returns.

    A last line without its end is what a kill leaves: it is not read, and the next append overwrites it.

    Args:
        path: the file; None keeps everything in memory.
        advice: what to do about a damaged line, for its error.
        write: False reads and never writes (ranks other than 0).
        durable: False leaves it to the system when a line reaches the disk.
        on_damage: is given the line's number of a line that is not JSON, which is passed over; None: it is an error.

    Attributes:
        records: (line number from 1, object) of every line.
        torn: bytes of the last line's torn end, 0 for none.

    Raises:
        InputError: a line that is not JSON.
    """

    def __init__(self, path: Optional[os.PathLike], advice: str = "", write: bool = True, durable: bool = True,
                 on_damage: Optional[Callable[[int], None]] = None):
        self.path = None if path is None else pathlib.Path(path)
        self._advice, self._write, self._durable, self._on_damage = advice, write, durable, on_damage
        self.records: List[Tuple[int, Any]] = []
        self.torn, self._whole = 0, 0  # bytes of the torn end, and of the lines before it
        if self.path is not None and self.path.is_file():
            self._read()

    def append(self, *records: Mapping[str, Any]) -> None:
        """Add objects to the end."""
        number = len(self.records)
        self.records += [(number + i, record) for i, record in enumerate(records, start=1)]
        if self.path is None or not self._write:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = not self.path.exists()
        with open(self.path, "w+b" if new else "r+b") as file:
            file.truncate(self._whole)
            file.seek(0, os.SEEK_END)
            file.write("".join(map(line_of, records)).encode())
            if self._durable:
                file.flush()
                os.fsync(file.fileno())
            self._whole = file.tell()
        if new and self._durable:
            sync_directory(self.path.parent)

    def replace(self, records: List[Mapping[str, Any]]) -> None:
        """Write the file anew, whole or not at all."""
        text = "".join(map(line_of, records))
        if self.path is not None and self._write:
            write_text(self.path, text)
        self.records, self._whole, self.torn = list(enumerate(records, start=1)), len(text.encode()), 0

    def _read(self) -> None:
        content = self.path.read_bytes()
        self._whole = content.rfind(b"\n") + 1
        self.torn = len(content) - self._whole
        for number, line in enumerate(content[:self._whole].splitlines(), start=1):
            try:
                self.records.append((number, json.loads(line)))
            except (ValueError, RecursionError) as error:
                if self._on_damage is None:
                    raise InputError(f"{self.path}:{number}: not JSON ({error}); {self._advice}") from None
                self._on_damage(number)


def line_of(record: Mapping[str, Any]) -> str:
    """An object as a line."""
    return json.dumps(record, ensure_ascii=False) + "\n"

"""An append-only log of JSON lines that survives a kill."""

import json
import os
import pathlib
from typing import Any, Callable, List, Mapping, Optional, Tuple

from bort_mx.errors import InputError
from bort_mx.io.files import json_text, sync_directory, write_text


class JsonlLog:
    """A file with one JSON object per line. Each object is on disk before `append` returns.

    A kill can leave a last line without a line end. Such a line is not read, and the next append overwrites it.

    Args:
        path: the file; None keeps all records in memory.
        advice: what to do about a damaged line; part of the error message.
        write: False: read, but never write (for ranks other than 0).
        durable: False: the system decides when a line reaches the disk.
        on_damage: called with the number of a line that is not JSON; the line is then skipped. None: it is an error.

    Attributes:
        records: (line number, object) of every line; numbers start at 1.
        torn: size of the unfinished last line in bytes; 0 if there is none.

    Raises:
        InputError: a line is not JSON.
    """

    def __init__(self, path: Optional[os.PathLike], advice: str = "", write: bool = True, durable: bool = True,
                 on_damage: Optional[Callable[[int], None]] = None):
        self.path = None if path is None else pathlib.Path(path)
        self._advice, self._write, self._durable, self._on_damage = advice, write, durable, on_damage
        self.records: List[Tuple[int, Any]] = []
        self.torn, self._whole = 0, 0  # bytes of the unfinished last line, and of the complete lines before it
        if self.path is not None and self.path.is_file():
            self._read()

    def append(self, *records: Mapping[str, Any]) -> None:
        """Add objects at the end."""
        number = len(self.records)
        self.records += [(number + i, record) for i, record in enumerate(records, start=1)]
        if self.path is None or not self._write:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = not self.path.exists()
        with open(self.path, "w+b" if new else "r+b") as file:
            file.truncate(self._whole)  # removes an unfinished last line
            file.seek(0, os.SEEK_END)
            file.write("".join(map(line_of, records)).encode())
            if self._durable:
                file.flush()
                os.fsync(file.fileno())
            self._whole = file.tell()
        # A new file also needs its directory entry on disk.
        if new and self._durable:
            sync_directory(self.path.parent)

    def replace(self, records: List[Mapping[str, Any]]) -> None:
        """Rewrite the file, atomically."""
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
    """An object as one line of JSON."""
    return json_text(record) + "\n"

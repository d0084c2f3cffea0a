"""The shards of one split, written one after another, with size and SHA-256 of each file."""

import hashlib
import os
import pathlib
from typing import Any, Dict, List

import numpy as np

from bort_mx.data.shards import OFFSET


class ShardWriter:
    """Shards of one split, written one after another.

    Attributes:
        shards: name, sentences and tokens of each finished shard.
        files: size and SHA-256 of each finished file, by "split/name".
    """

    def __init__(self, work: pathlib.Path, split: str, shard_tokens: int):
        self._directory, self._split, self._limit = work / split, split, shard_tokens
        self._directory.mkdir()
        self._files: Dict[str, Any] = {}
        self._end = self._sentences = 0
        self.shards: List[dict] = []
        self.files: Dict[str, dict] = {}

    def add(self, lengths: np.ndarray, ids: np.ndarray) -> None:
        """Append sentences, opening a new shard where the present one is full."""
        ends = np.cumsum(lengths)
        start = 0
        while start < len(lengths):
            done = int(ends[start] - lengths[start])
            stop = max(start + 1, int(np.searchsorted(ends, done + self._limit - self._end, "right")))
            self._append(ends[start:stop] - done, ids[done:int(ends[stop - 1])])
            start = stop
            if self._end >= self._limit or start < len(lengths):
                self.finish()

    def _append(self, ends: np.ndarray, ids: np.ndarray) -> None:
        if not self._files:
            name = f"shard-{len(self.shards):05d}"
            self._files = {kind: _HashedFile(self._directory / f"{name}.{kind}") for kind in ("bin", "idx")}
            self._files["idx"].write(np.zeros(1, OFFSET).tobytes())
        self._files["bin"].write(ids.tobytes())
        self._files["idx"].write((ends + self._end).astype(OFFSET).tobytes())
        self._end += int(ends[-1])
        self._sentences += len(ends)

    def finish(self) -> None:
        """Close the present shard."""
        if not self._files:
            return
        for file in self._files.values():
            self.files[f"{self._split}/{file.name}"] = file.close()
        self.shards.append({"name": f"shard-{len(self.shards):05d}", "sentences": self._sentences, "tokens": self._end})
        self._files, self._end, self._sentences = {}, 0, 0


class _HashedFile:
    """A new file whose size and hash are known when it is closed (and synced)."""

    def __init__(self, path: pathlib.Path):
        self.name, self._size, self._hash = path.name, 0, hashlib.sha256()
        self._file = open(path, "xb")

    def write(self, data: bytes) -> None:
        """Append."""
        self._file.write(data)
        self._hash.update(data)
        self._size += len(data)

    def close(self) -> dict:
        """Sync and close the file. Returns its size and hash, for the manifest."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return {"bytes": self._size, "sha256": self._hash.hexdigest()}

"""The files between the passes: what each task has done, on the disk, whole or not at all.

A task writes NAME.bin and then NAME.json, its record, each under another name first. So a record means that the task is
done, whatever died later; and a task that is done twice leaves the same bytes.

NAME.bin of the first pass holds runs; each run holds, bucket by bucket, chunks of encoded sentences. NAME.npy says
where: int64 (runs, buckets + 1).
"""

import json
import os
import pathlib
import uuid
from typing import Any, Dict, Iterator, List, Optional

import numpy as np

from bort_mx.io import files


def read_record(folder: pathlib.Path, name: str) -> Optional[dict]:
    """The record of a task that is done, else None."""
    path = folder / f"{name}.json"
    return files.read_json(path) if path.is_file() else None


class PartWriter:
    """The files of one task, a context manager; they have names of their own until `finish`."""

    def __init__(self, folder: pathlib.Path, name: str):
        self._folder, self._name = folder, name
        self._mark = f".{uuid.uuid4().hex}"  # another worker may be at the same task, if it was taken for dead
        self._file = open(self._path("bin"), "xb")
        self._bounds: List[List[int]] = []

    def _path(self, end: str) -> pathlib.Path:
        return self._folder / f"{self._mark}.{self._name}.{end}"

    def __enter__(self) -> "PartWriter":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._file.close()
        for end in ("bin", "npy", "json"):  # left by an error
            self._path(end).unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Append to NAME.bin."""
        self._file.write(data)

    def write_run(self, held: Dict[int, List[bytes]], buckets: int) -> None:
        """Append a run."""
        bounds = [self._file.tell()]
        for bucket in range(buckets):
            self._file.writelines(held.get(bucket, ()))
            bounds.append(self._file.tell())
        self._bounds.append(bounds)

    def finish(self, record: dict, buckets: int = 0) -> dict:
        """Publish the files; the record comes last, and is returned."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        np.save(self._path("npy"), np.array(self._bounds, np.int64).reshape(len(self._bounds), buckets + 1))
        with open(self._path("json"), "w", encoding="utf-8") as file:
            json.dump(record, file)
            file.flush()
            os.fsync(file.fileno())
        for end in ("bin", "npy", "json"):
            os.replace(self._path(end), self._folder / f"{self._name}.{end}")
        return record


def read_bucket(folder: pathlib.Path, name: str, bucket: int) -> Iterator[bytes]:
    """What a task of the first pass has put into a bucket, run by run."""
    bounds = np.load(folder / f"{name}.npy", mmap_mode="r")[:, bucket:bucket + 2].tolist()
    with open(folder / f"{name}.bin", "rb") as file:
        for start, stop in bounds:
            if stop > start:
                file.seek(start)
                yield file.read(stop - start)


def remove_unfinished(folder: pathlib.Path) -> None:
    """Remove what killed tasks have left."""
    for path in folder.glob(".*"):
        if path.is_file():
            path.unlink(missing_ok=True)

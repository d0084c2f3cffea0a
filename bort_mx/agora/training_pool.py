"""The pool of points that Agora trains on: the data as given and, after them, the new points of every round."""

import json
import pathlib
from typing import Any, Callable, Dict, Hashable, Iterable, List, Optional, Sequence, Set

from bort_mx.agora import points
from bort_mx.agora.balancing import balanced
from bort_mx.errors import InputError
from bort_mx.io.files import sha256, write_text


class TrainingPool:
    """Points, in the types of the data as given.

    Args:
        data, dev: as given to `agora`.
        limit: of new points in all, or None.
    """

    def __init__(self, data: Sequence[Any], dev: Optional[Sequence[Any]], limit: Optional[int]):
        self.points = list(data)
        self.origins: List[Dict[str, Any]] = []
        """Of every new point, as it is written."""
        self.keys = keys_of(self.points)
        """Of all points' texts."""
        self._like = next(iter(self.points or dev or ()), None)  # a point whose types the new points take
        self._limit = limit

    @property
    def room(self) -> Optional[int]:
        """New points that may still be taken; None without a limit."""
        return None if self._limit is None else self._limit - len(self.origins)

    def training_data(self, size: int, balance: bool, seed: int, as_class: Callable[[Any], Hashable]) -> List[Any]:
        """What is trained on when the pool has its first `size` points."""
        pool = self.points[:size]
        return balanced(pool, seed, as_class) if balance else pool

    def append(self, origins: List[Dict[str, Any]]) -> None:
        """Add new points."""
        for origin in origins:
            value, label = self.revive(origin["texts"]), origin["label"]
            template = (value, label) if self._like is None else self._like
            self.points.append(points.make_point(template, value, label, origin["seed_idx"], origin["seed_group"]))
            self.keys.add(points.key(value))
        self.origins += origins

    def revive(self, value: Any) -> Any:
        """An input as JSON has it, in the type of the inputs given: a resumed run has the same points as another."""
        return value if self._like is None else points.decode(value, points.input_of(self._like))


def keys_of(labelled: Iterable[Any]) -> Set[str]:
    """Of each point the key of its input."""
    return {points.key(points.input_of(point)) for point in labelled}


def write_origins(path: pathlib.Path, origins: List[Dict[str, Any]]) -> str:
    """Write a round's new points, one JSON object a line; returns the file's SHA-256."""
    write_text(path, "".join(json.dumps(origin, ensure_ascii=False) + "\n" for origin in origins))
    return sha256(path)


def read_origins(path: Optional[pathlib.Path], digest: Optional[str]) -> List[Dict[str, Any]]:
    """A round's new points.

    Raises:
        InputError: the file is missing, or its SHA-256 is not `digest`.
    """
    if path is None or not path.exists() or sha256(path) != digest:
        raise InputError(f"{path}: is missing or not what the record in jobs.jsonl says; restore it, or delete the "
                         "folder to start afresh")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]

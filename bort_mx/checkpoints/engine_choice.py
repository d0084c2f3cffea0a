"""The file beside an ONNX file that names the engine which `bort-mx export --auto` found to be the fastest."""

import os
import pathlib
from typing import Any, Dict, Optional

from bort_mx.errors import InputError
from bort_mx.io import files

SUFFIX = ".engine.json"


def place(path: os.PathLike) -> pathlib.Path:
    """model.onnx → model.onnx.engine.json."""
    return pathlib.Path(f"{path}{SUFFIX}")


def read(path: os.PathLike) -> Optional[Dict[str, Any]]:
    """What stands beside an ONNX file, or None.

    Raises:
        InputError: the file is damaged.
    """
    beside = place(path)
    if not beside.is_file():
        return None
    found = files.read_json(beside)
    if not isinstance(found, dict) or not isinstance(found.get("engine"), str):
        raise InputError(f"{beside}: names no engine; delete it, or write it again by bort-mx export --auto")
    return found

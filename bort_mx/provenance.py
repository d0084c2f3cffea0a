"""What produced an output: the command, versions and git commit."""

import importlib.metadata
import pathlib
import platform
import re
import shlex
import subprocess
import sys
from typing import Any, Dict, Optional

PACKAGES = ("mxnet", "gluonnlp", "numpy", "horovod", "tokenizers", "sentencepiece", "safetensors")


def provenance() -> Dict:
    """Command line, bort_mx's version and git commit, Python's version, and the packages that influence results."""
    from bort_mx import __version__

    program = pathlib.Path(sys.argv[0]).name
    words = ["python", "-m", "bort_mx"] if program == "__main__.py" else [program]
    return {"command": shlex.join([*words, *sys.argv[1:]]), "bort_mx": __version__,
            "git_commit": git_commit(), "python": platform.python_version(),
            "packages": {name: _version(name) for name in PACKAGES}}


def git_commit() -> Optional[str]:
    """The commit of the checkout that this package runs from; "+changes" marks local edits. None outside a checkout."""
    root = pathlib.Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True).stdout
    try:
        return git("rev-parse", "HEAD").strip() + ("+changes" if git("status", "--porcelain", "-uno").strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def without_folders(value: Any) -> Any:
    """The same with the last name of each absolute path only: where data lay on that machine is nobody's business."""
    if isinstance(value, dict):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_folders(item) for item in value]
    return re.sub(r"(?<!\S)/\S*/(?=[^\s/])", "", value) if isinstance(value, str) else value


def _version(name: str) -> Optional[str]:
    # The GPU builds of MXNet are separate distributions: mxnet-cu110 and mxnet-cu112.
    for distribution in (name, *(f"{name}-{cuda}" for cuda in ("cu110", "cu112"))):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None

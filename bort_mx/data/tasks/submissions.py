"""The zip file that GLUE and SuperGLUE accept: the submission files of all tasks, without folders."""

import os
import pathlib
import zipfile
from typing import List

from bort_mx.data.task_registry import TASKS
from bort_mx.data.tasks.base import Task
from bort_mx.errors import InputError
from bort_mx.io.files import atomic_path


def write_benchmark_zip(path: os.PathLike, benchmark: str, folder: os.PathLike) -> List[str]:
    """Zip the submission files of a benchmark that lie in a folder under their official names.

    Args:
        path: the zip file to write; the same files give the same bytes.
        benchmark: "glue", "superglue" or "race".
        folder: where `write_submission` put the files.

    Returns:
        the official names that are missing. The leaderboards want all of them.

    Raises:
        InputError: an unknown benchmark, or none of its files in the folder.
    """
    names, folder = submission_names(benchmark), pathlib.Path(folder)
    present = [name for name in names if (folder / name).is_file()]
    if not present:
        raise InputError(f"{folder}: no submission file of {benchmark} in it; expected {', '.join(names)}")
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in present:
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, (folder / name).read_bytes())
    return [name for name in names if name not in present]


def submission_names(benchmark: str) -> List[str]:
    """The official names of a benchmark's submission files, in the order of the paper's tables.

    Raises:
        InputError: an unknown benchmark.
    """
    tasks: List[Task] = [task for task in TASKS.values() if task.benchmark == benchmark]
    if not benchmark or not tasks:
        raise InputError(f"unknown benchmark {benchmark!r}; there are glue, superglue and race")
    return [task.submission_name for task in tasks]

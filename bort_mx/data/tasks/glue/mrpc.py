"""MRPC: are two sentences paraphrases? GLUE's files are made of the released corpus and GLUE's list of dev pairs."""

import pathlib

from bort_mx.data.table_files import read_lines
from bort_mx.data.task_registry import register
from bort_mx.data.tasks.common import TableTask
from bort_mx.errors import InputError
from bort_mx.io.files import atomic_path


@register(row=3)
class MRPC(TableTask):
    """Paraphrase (1) or not (0). Train and dev start with a byte order mark and have no index; test has one."""

    name = "MRPC"
    folders = ("MRPC",)
    labels = ("0", "1")
    meanings = ("not_equivalent", "equivalent")
    metrics = ("f1", "accuracy")
    text_columns = ("#1 String", "#2 String")
    label_column = "Quality"
    submission_name = "MRPC.tsv"

    def assemble(self, root: pathlib.Path) -> None:
        """Make GLUE's three files of the corpus as released, by `build_from_release`."""
        build_from_release(root / self.benchmark / self.folders[0])


def build_from_release(folder: pathlib.Path) -> None:
    """Make GLUE's train.tsv, dev.tsv and test.tsv from the corpus's own files, which GLUE does not redistribute.

    Args:
        folder: holds msr_paraphrase_train.txt, msr_paraphrase_test.txt, mrpc_dev_ids.tsv and gets the three files.

    Raises:
        InputError: a file that cannot be read, or a row that has not five columns.
    """
    held_out = {tuple(line.split("\t")) for _, line in read_lines(folder / "mrpc_dev_ids.tsv")}
    header, *rows = _release_rows(folder / "msr_paraphrase_train.txt")
    dev = [row for row in rows if tuple(row[1:3]) in held_out]
    train = [row for row in rows if tuple(row[1:3]) not in held_out]
    if len(dev) != len(held_out):
        raise InputError(f"{folder / 'mrpc_dev_ids.tsv'}: {len(held_out)} dev pairs, {len(dev)} of them in the corpus")
    # The official train and dev files keep the release's byte order mark; the test file, made anew, has none.
    _write(folder / "train.tsv", [header, *train], "utf-8-sig")
    _write(folder / "dev.tsv", [header, *dev], "utf-8-sig")
    header, *rows = _release_rows(folder / "msr_paraphrase_test.txt")
    numbered = [[str(index), *row[1:]] for index, row in enumerate(rows)]
    _write(folder / "test.tsv", [["index", *header[1:]], *numbered], "utf-8")


def _release_rows(path: pathlib.Path) -> list:
    rows = []
    for number, line in read_lines(path):
        rows.append(line.strip().split("\t"))
        if len(rows[-1]) != 5:
            raise InputError(f"{path}:{number}: {len(rows[-1])} column(s) found, 5 expected")
    if not rows:
        raise InputError(f"{path}: the file is empty")
    return rows


def _write(path: pathlib.Path, rows: list, encoding: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes("".join("\t".join(row) + "\n" for row in rows).encode(encoding))

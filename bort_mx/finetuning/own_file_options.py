"""The options of fine-tuning that are about files of one's own."""

import dataclasses
from typing import ClassVar, Dict, Optional, Tuple

from bort_mx.errors import InputError


@dataclasses.dataclass
class OwnFileOptions:
    """Files in place of a task, and what their columns are."""

    GROUP: ClassVar[str] = "Files of your own"
    FILES: ClassVar[Tuple[str, ...]] = ("train", "dev", "test")

    train: Optional[str] = None
    """In place of --task: a file of your own to train on, .csv, .tsv, .jsonl or .json with named columns. Its labels
    are the task's labels."""

    dev: Optional[str] = None
    """With --train: the file to choose the best epoch by. Default: a part of --train, drawn by --split-seed."""

    test: Optional[str] = None
    """With --train, or with --predict-only alone: the file to predict. It may have labels."""

    text_column: Optional[str] = None
    """Column of --train and the others that holds the texts. Default: guessed by its name, which is said."""

    text_pair_column: Optional[str] = None
    """Column that holds the second texts of pairs. Default: guessed by its name, or none."""

    label_column: Optional[str] = None
    """Column that holds the labels. Default: guessed by its name."""

    id_column: Optional[str] = None
    """Column that names the rows, as idx, in predictions. Default: id, idx or index, else rows are numbered from 0."""

    regression: Optional[bool] = None
    """Predict the labels as numbers. Default: if all are numbers, with a fraction or more than 20 different ones."""

    name: Optional[str] = None
    """Name of the task of --train in results and figures. Default: from the file's path."""

    split_seed: int = 0
    """Random seed for the dev set that is split off --train."""

    @property
    def own_files(self) -> Dict[str, str]:
        """Split → path of the user's own files; {} if a task is named."""
        return {split: getattr(self, split) for split in self.FILES if getattr(self, split) is not None}

    def check_own_files(self, task: Optional[str], data_dir: Optional[str], predict_only: bool) -> None:
        """Check these options beside others.

        Args:
            task, data_dir, predict_only: the options of these names.
        Raises:
            InputError: options for one's own files are given with a task, without files, or in part.
        """
        if not self.own_files:
            about = ("text_column", "text_pair_column", "label_column", "id_column", "regression", "name")
            given = [name for name in about if getattr(self, name) is not None]
            if given:
                raise InputError(f"--{given[0].replace('_', '-')} is about the file of --train; give both, or neither")
            return
        first = next(iter(self.own_files))
        if task is not None:
            raise InputError(f"--{first} and --task {task} name two tasks; give one of them")
        if data_dir is not None:
            raise InputError(f"--data-dir {data_dir}: is for official files; --{first} is a path of its own")
        if self.train is None and not predict_only:
            raise InputError(f"--{first} without --train: give --train, or --predict-only with a trained --checkpoint")
        if predict_only and self.dev is None and self.test is None:
            raise InputError(f"--predict-only trains nothing: give the file {self.train} as --test")
        if self.text_pair_column is not None and self.text_column is None:
            raise InputError("--text-pair-column is for the second text; give --text-column for the first as well")

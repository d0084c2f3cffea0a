"""The teacher's states of a fixed set of sequences, computed once and kept in a file.

They are kept as float16, and the values of the first time are rounded as well. A run that is resumed reads them back
and learns the same bit for bit; if the file is gone, the same up to the teacher's own rounding in other batches.

Dimensions: N sequences, s tokens, W values a token (of all layers that are asked for, side by side), B batch.
"""

import pathlib
import shutil
from typing import List, Optional, Sequence

import mxnet as mx
import numpy as np

from bort_mx.errors import InputError
from bort_mx.io.array_file import new_array
from bort_mx.models.inner_states import InnerStates

STATES, KNOWN = "teacher_cache.npy", "teacher_cache_known.npy"
_BYTES = 2  # of a float16


class TeacherCache:
    """A teacher that looks up what it has computed before.

    Args:
        inner: the teacher's states.
        widths: the width of each array that `inner` returns.
        seq_len: s.
        gigabytes: most that the file may take.
        folder: the output directory; it is written to when the first states are asked for.
        most: number of sequences of the text.
        resumes: whether a file of the same run may be there.

    Attributes:
        sequences: N, how many fit.
    """

    def __init__(self, inner: InnerStates, widths: Sequence[int], seq_len: int, gigabytes: float, folder: pathlib.Path,
                 most: int, resumes: bool):
        self._inner, self._ends, self._folder, self._resumes = inner, np.cumsum(widths), folder, resumes
        each = _BYTES * seq_len * sum(widths)
        self.sequences = min(most, int(gigabytes * 1e9) // each)
        if self.sequences < 1:
            raise InputError(f"--teacher-cache {gigabytes:g}: one sequence takes {each / 1e9:.3g} GB; give more, or "
                             "leave it out")
        self._shape, self.bytes = (self.sequences, seq_len, sum(widths)), self.sequences * each
        self._states: Optional[np.ndarray] = None
        there = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
        free = shutil.disk_usage(there).free
        if self.bytes > free and not (resumes and (folder / STATES).is_file()):
            raise InputError(f"--teacher-cache {gigabytes:g}: {there} has {free / 1e9:.1f} GB free; give less")

    def __str__(self) -> str:
        """One line for the user."""
        return (f"trains on the first {self.sequences:,} sequences; the teacher's states of each are computed once and "
                f"kept in {self._folder / STATES}: {self.bytes / 1e9:.2f} GB")

    def __call__(self, batch, ids: mx.nd.NDArray, lengths: mx.nd.NDArray) -> List[mx.nd.NDArray]:
        """As `InnerStates`, arrays (s, B, width). A batch of other text than that for training is computed."""
        numbers = batch.numbers
        if numbers is None or (numbers < 0).any():
            return self._inner(ids, lengths)
        if self._states is None:
            self._open()
        if not self._known[numbers].all():
            found = np.concatenate([part.asnumpy() for part in self._inner(ids, lengths)], axis=2)  # (s, B, W)
            new = self._known[numbers] == 0  # the others keep the rounding that they were learnt with
            self._states[numbers[new], :ids.shape[1]] = found.swapaxes(0, 1)[new]
            self._known[numbers] = 1
        states = self._states[numbers, :ids.shape[1]].astype(np.float32).swapaxes(0, 1)
        begins = [0, *self._ends[:-1]]
        return [mx.nd.array(np.ascontiguousarray(states[:, :, begin:end]), ctx=ids.context)
                for begin, end in zip(begins, self._ends)]

    def _open(self) -> None:
        """Open the files of a run that is resumed, or make new ones."""
        states, known = self._folder / STATES, self._folder / KNOWN
        if self._resumes and states.is_file() and known.is_file():
            try:
                self._states, self._known = (np.lib.format.open_memmap(path, "r+") for path in (states, known))
            except ValueError:  # damaged: made anew below
                self._states = None
            if self._states is not None and self._states.shape == self._shape and self._known.shape == self._shape[:1]:
                return
        known.unlink(missing_ok=True)  # first: without it the states are not believed
        self._states = new_array(states, self._shape, np.float16)
        self._known = new_array(known, self._shape[:1], np.uint8)
        self._known[:] = 0

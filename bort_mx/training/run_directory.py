"""A run's output directory: config.json, metrics.jsonl, results.json, TensorBoard events and checkpoints/.

Rank 0 alone writes; on the other ranks every method is a no-op.
"""

import dataclasses
import fcntl
import json
import logging
import math
import os
import pathlib
import sys
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints.directory import CHECKPOINTS, RESULTS
from bort_mx.errors import InputError, RunError
from bort_mx.io import files
from bort_mx.io.jsonl_log import JsonlLog
from bort_mx.io.output import writing
from bort_mx.provenance import provenance
from bort_mx.training.options import OTHER_PROGRAM

CONFIG, METRICS, LOCK, EVENTS = "config.json", "metrics.jsonl", ".lock", "tensorboard"
logger = logging.getLogger(__name__)
Kind = Callable[[Mapping[str, Any]], str]
"""Options → what a directory of them holds, in words."""


class RunDirectory:
    """See the module.

    Args:
        path: the output directory.
        options: all options of the run, an instance of a dataclass of JSON-ready fields.
        may_change: names of options that a resumed run may have changed.
        writes: whether this worker writes (rank 0).
        resume: "never" (a directory that holds a run is refused), "auto" (go on from the newest undamaged checkpoint,
            or start), or the path of a checkpoint of this run, which goes back to it.
        extra: further entries of config.json, e.g. data hashes; they too must be equal on resuming.
        kind: what is resumed must be of the same; None: there is but one.
    Raises:
        InputError: the directory holds a run and `resume` is "never", or holds one of other options, or something
            else; the checkpoint is another run's.
    """

    def __init__(self, path: os.PathLike, options: Any, may_change: Sequence[str], writes: bool,
                 resume: str = "never", extra: Optional[Dict[str, Any]] = None, kind: Optional[Kind] = None):
        self.path, self._writes, self._events, self._lock = pathlib.Path(path), writes, None, None
        self._metrics: Optional[JsonlLog] = None
        self.before: Dict[str, Any] = {}
        """config.json as it was, of a run that is resumed or begun again."""
        self._defaults = {field.name: field.default for field in dataclasses.fields(options)}
        self._renamed = getattr(options, "RENAMED", {})
        self.config = json.loads(json.dumps({"options": dataclasses.asdict(options), **(extra or {}),
                                             "provenance": provenance()}))
        with writing(self.path, "--output-dir"):
            self.checkpoint = self._find_checkpoint(resume)
            lasting = self.checkpoint or resume == "auto" and self._has_results()
        if lasting:
            self._refuse_another(may_change, kind)
        elif kind is not None and (self.path / CONFIG).is_file():
            self._refuse_another_program(kind)
        self.start_step = checkpoint_directory.read_progress(self.checkpoint)["step"] if self.checkpoint else 0

    def open(self, training: bool = True) -> None:
        """Start writing: lock the folder, and write config.json.

        Metrics and checkpoints of steps after the one to continue from are dropped, as they come again.

        Args:
            training: False for a run without steps of its own: no metrics.jsonl, checkpoints or TensorBoard events.
        Raises:
            InputError: another process writes there, or nobody can.
        """
        if not self._writes:
            return
        with writing(self.path, "--output-dir"):
            self.path.mkdir(parents=True, exist_ok=True)
            self._claim()
        if self.checkpoint:
            print(f"resuming after step {self.start_step}, from {self.checkpoint}", flush=True)
        files.write_json(self.path / CONFIG, self.config)
        if not training:
            return
        checkpoint_directory.set_aside_after(self.path / CHECKPOINTS, self.start_step)
        kept = [row for row in self.metrics() if row["step"] <= self.start_step] if self.checkpoint else []
        self._metrics = JsonlLog(self.path / METRICS, durable=False, on_damage=_pass_over)
        self._metrics.replace(kept)
        self._events = _event_writer(self.path / EVENTS, purge_step=self.start_step + 1)

    def keep(self, name: str, value: Any) -> Any:
        """An entry of config.json that holds from the run's beginning: a resumed run gets the value of then."""
        self.config[name] = self.before.get(name, value)
        return self.config[name]

    def log(self, step: int, values: Dict[str, float]) -> None:
        """Append one object to metrics.jsonl, null for what is not finite, and to TensorBoard."""
        if not self._writes:
            return
        # JSON has no NaN; TensorBoard shows none, and its writer would warn of them.
        self._metrics.append({"step": step, **{n: v if math.isfinite(v) else None for n, v in values.items()}})
        for name, value in values.items():
            if math.isfinite(value):
                self._events.add_scalar(name, value, step)

    def metrics(self) -> List[Dict[str, float]]:
        """All objects of metrics.jsonl so far; damaged lines are passed over."""
        log = JsonlLog(self.path / METRICS, write=False, on_damage=_pass_over)
        return [row for _, row in log.records if isinstance(row, dict) and isinstance(row.get("step"), int)]

    def write_config(self) -> None:
        """Write config.json alone: of a directory that holds several runs, each with a directory of its own."""
        if self._writes:
            with writing(self.path, "--output-dir"):
                files.write_json(self.path / CONFIG, self.config)

    def write_results(self, results: Dict[str, Any]) -> None:
        """Write results.json, with what produced it."""
        if self._writes:
            files.write_json(self.path / RESULTS, {**results, "provenance": self.config["provenance"]})

    def save_checkpoint(self, step: int, model, tokenizer, states, progress: Dict[str, Any], keep: int) -> None:
        """Write checkpoints/step-N and delete all but the `keep` newest.

        Raises:
            OSError: the disk is full; the checkpoints before it are intact.
            RunError: weights that are not finite; the checkpoints before it are intact.
        """
        if not self._writes:
            return
        directory = self.path / CHECKPOINTS
        try:
            checkpoint_directory.save(directory / f"step-{step}", model, tokenizer, states=states,
                        progress={"step": step, **progress})
        except InputError as error:  # nothing that the user gave
            raise RunError(str(error)) from None
        checkpoint_directory.keep_last(directory, keep)

    def close(self) -> None:
        """Flush the TensorBoard events, and let another process write here."""
        if self._events is not None:
            self._events.close()
        if self._lock is not None:
            self._lock.close()

    def _claim(self) -> None:
        """Lock the directory for as long as this process writes in it; the lock goes with the process."""
        self._lock = open(self.path / LOCK, "w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise InputError(f"{self.path}: another run is writing there; wait for it, stop it, or choose another "
                             "--output-dir") from None

    def _find_checkpoint(self, resume: str) -> Optional[pathlib.Path]:
        if resume not in ("never", "auto"):
            if not checkpoint_directory.is_checkpoint(resume):
                raise InputError(f"--resume {resume}: not a checkpoint; give one of {self.path / CHECKPOINTS}, or auto")
            if pathlib.Path(resume).resolve().parent != (self.path / CHECKPOINTS).resolve():
                raise InputError(f"--resume {resume}: not a checkpoint of the run in {self.path}; to start another run "
                                 "from its weights give them to that run instead")
            checkpoint_directory.verify(resume)
            if not checkpoint_directory.is_resumable(resume):
                raise InputError(f"--resume {resume}: holds weights alone, nothing to go on from; give one of "
                                 f"{self.path / CHECKPOINTS}/step-N, or auto")
            return pathlib.Path(resume)
        if resume == "auto":
            return checkpoint_directory.latest(self.path / CHECKPOINTS)
        refuse_a_run(self.path)
        return None

    def _has_results(self) -> bool:
        """Whether there is more than the beginning of a run that came to nothing, which may be begun again."""
        return (self.path / CONFIG).is_file() and any(path.exists() for path in _lasting(self.path))

    def _refuse_another_program(self, kind: Kind) -> None:
        """Raises InputError if another stage's options stand there, even if its run came to nothing."""
        found = files.read_json(self.path / CONFIG)
        options = found.get("options") if isinstance(found, dict) else None
        if isinstance(options, dict) and kind(options) == OTHER_PROGRAM:
            raise InputError(f"{self.path} holds {OTHER_PROGRAM}, and this is {kind(self.config['options'])}; choose "
                             "another --output-dir")

    def _refuse_another(self, may_change: Sequence[str], kind: Optional[Kind]) -> None:
        """Compare with config.json as it is there; an option that there was not yet had the value of its default.

        Raises:
            InputError: an option that is not in `may_change`, or an entry beside the options, is another one now.
        """
        before = self.before = files.read_json(self.path / CONFIG)
        if not isinstance(before, dict) or not isinstance(before.get("options"), dict):
            raise InputError(f"{self.path / CONFIG}: not a run's configuration; start anew in another --output-dir")
        there, this = (kind(options) if kind else "" for options in (before["options"], self.config["options"]))
        if there != this:
            raise InputError(f"--resume: {self.path} holds {there}, and this is {this}; give the options it began "
                             "with, or another --output-dir")
        for name, value in self.config["options"].items():
            then = name if name in before["options"] else self._renamed.get(name, name)
            unknown = then not in before["options"] and self._defaults[name] is None  # what it meant is not told
            old = before["options"].get(then, self._defaults[name])
            if name not in may_change and not unknown and old != value:
                raise InputError(f"--resume: option {name} was {old!r} in {self.path / CONFIG} and is {value!r} now; "
                                 "give the old value, or start anew in another --output-dir")
        for name in sorted(set(self.config) - {"options", "provenance"}):
            if name in before and before[name] != self.config[name]:
                raise InputError(f"--resume: {_difference(name, before[name], self.config[name])} is not what it was "
                                 f"when {self.path} began; start anew in another --output-dir")


def _difference(name: str, before: Any, now: Any) -> str:
    """The name of an entry that differs, of a mapping with what differs in it."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return name
    return f"{name} {next((key for key in [*now, *before] if before.get(key) != now.get(key)), '')}".strip()


def _pass_over(number: int) -> None:
    """A damaged line of metrics.jsonl: the figures of one step are lost, nothing that a run needs to continue."""
    logger.warning("metrics.jsonl: line %d is damaged and passed over", number)


def _lasting(path: pathlib.Path) -> List[pathlib.Path]:
    """What a run leaves that is worth keeping, perhaps: results, checkpoints, runs of its own in folders below."""
    return [path / RESULTS, *path.glob(f"{CHECKPOINTS}/*"), *path.glob("agora/jobs.jsonl"),
            *path.glob("candidates*.jsonl"), *path.glob(f"*/{CONFIG}"), *path.glob(f"*/*/{CONFIG}")]


def refuse_a_run(path: os.PathLike) -> None:
    """Raises InputError if an output directory holds a run already."""
    path = pathlib.Path(path)
    if any(place.exists() for place in _lasting(path)):
        raise InputError(f"{path}: holds a run already; go on with it by --resume auto, or choose another --output-dir")


def _event_writer(path: pathlib.Path, purge_step: int):
    """tensorboardX's writer, imported without the torch that it would take along if it found one: torch is of no use
    here, and loaded after Horovod it ends the process.
    """
    hidden = sys.modules.get("torch")
    sys.modules["torch"] = None
    try:
        import tensorboardX
    finally:
        if hidden is None:
            del sys.modules["torch"]
        else:
            sys.modules["torch"] = hidden
    return tensorboardX.SummaryWriter(str(path), purge_step=purge_step)

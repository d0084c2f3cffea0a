"""The output directory of a run: config.json, metrics.jsonl, results.json, TensorBoard events and checkpoints/.

Only rank 0 writes. On the other ranks the writing methods do nothing.
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
from bort_mx.distributed import Workers
from bort_mx.errors import InputError, RunError
from bort_mx.io import files
from bort_mx.io.jsonl_log import JsonlLog
from bort_mx.io.output import writing
from bort_mx.provenance import provenance
from bort_mx.training.earlier_run import CONFIG, LOCK, has_results, refuse_a_run, refuse_foreign, refuse_other_files
from bort_mx.training.hours import Hours, device_in_words
from bort_mx.training.options import OTHER_PROGRAM

METRICS, EVENTS = "metrics.jsonl", "tensorboard"
logger = logging.getLogger(__name__)
Kind = Callable[[Mapping[str, Any]], str]
"""Options → a name for the kind of run that has such options, for example "a search"."""


class RunDirectory:
    """The output directory of one run.

    Args:
        path: the output directory.
        options: all options of the run: a dataclass whose fields are JSON values.
        may_change: names of options that may differ when a run is resumed.
        writes: whether this worker writes (rank 0).
        resume: "never": refuse a directory that holds a run. "auto": continue from the newest undamaged checkpoint, or
            start. Or the path of a checkpoint of this run: go back to it.
        extra: further entries of config.json, such as data hashes. They too must be equal when a run is resumed.
        kind: names the kind of a run. A run can be resumed only as the same kind. None: there is only one kind.
    Raises:
        InputError: the directory holds a run and `resume` is "never"; or it holds a run with other options, or
            something else; or the checkpoint belongs to another run.
    """

    def __init__(self, path: os.PathLike, options: Any, may_change: Sequence[str], writes: bool,
                 resume: str = "never", extra: Optional[Dict[str, Any]] = None, kind: Optional[Kind] = None):
        self.path, self._writes, self._events, self._lock = pathlib.Path(path), writes, None, None
        self._metrics: Optional[JsonlLog] = None
        self._hours: Optional[Hours] = None
        self.before: Dict[str, Any] = {}
        """The config.json found there, if a run is resumed or repeated; otherwise empty."""
        self._defaults = {field.name: field.default for field in dataclasses.fields(options)}
        self._renamed = getattr(options, "RENAMED", {})
        self.config = json.loads(json.dumps({"options": dataclasses.asdict(options), **(extra or {}),
                                             "provenance": provenance()}))
        with writing(self.path, "--output-dir"):
            self.checkpoint = self._find_checkpoint(resume)
            # A search and a parent of several runs have no checkpoint of their own, but may have results.
            lasting = self.checkpoint or resume == "auto" and has_results(self.path)
        if lasting:
            self._refuse_another(may_change, kind)
        else:
            refuse_foreign(self.path)
            refuse_other_files(self.path)
            if kind is not None and (self.path / CONFIG).is_file():
                self._refuse_another_program(kind)
        self.start_step = checkpoint_directory.read_progress(self.checkpoint)["step"] if self.checkpoint else 0

    def open(self, training: bool = True, gpu: Optional[int] = None, workers: int = 1) -> None:
        """Start writing: lock the folder and write config.json.

        Metrics and checkpoints of later steps than the resumed one are dropped. The run will write them again.

        Args:
            training: False for a run without steps of its own: it has no metrics.jsonl, checkpoints or TensorBoard
                events.
            gpu: this worker's GPU, or None for the CPU.
            workers: number of workers; each has its own GPU.
        Raises:
            InputError: another process writes to the folder, or the folder cannot be written.
        """
        if not self._writes:
            return
        with writing(self.path, "--output-dir"):
            self.path.mkdir(parents=True, exist_ok=True)
            # Lock before anything is written: another process may be running here.
            self._claim()
        self._hours = Hours(self.path, device_in_words(gpu, workers), 0 if gpu is None else workers,
                            continues=bool(self.before))
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

    def agree(self, workers: Workers, resumes: bool = True, **more: Any) -> None:
        """Wait until all workers have looked at the directory, and end the run if they have not found the same.

        Rank 0 may write into the directory only after this call.

        Args:
            workers: all make this call.
            resumes: every worker reads the checkpoint of the step that the run starts from.
            more: further values that must be equal, by name.
        Raises:
            InputError: the options, the data or the step to start from differ between workers.
        """
        known = {name: value for name, value in self.config.items() if name not in ("options", "provenance")}
        flat = {f"{name} {key}": part for name, value in known.items() if isinstance(value, dict)
                for key, part in value.items()}
        plain = {name: value for name, value in known.items() if not isinstance(value, dict)}
        step = {"the step that the run starts from": self.start_step} if resumes else {}
        options = {"--" + name.replace("_", "-"): value for name, value in self.config["options"].items()}
        workers.agree({**options, **flat, **plain, **step, **more}, "run")

    def keep(self, name: str, value: Any) -> Any:
        """Set an entry of config.json that never changes: a resumed run gets the value that the run started with."""
        self.config[name] = self.before.get(name, value)
        return self.config[name]

    def log(self, step: int, values: Dict[str, float]) -> None:
        """Append values to metrics.jsonl and TensorBoard. Values that are not finite become null."""
        if not self._writes:
            return
        # JSON has no NaN. TensorBoard does not show NaN, and its writer warns of it.
        self._metrics.append({"step": step, **{n: v if math.isfinite(v) else None for n, v in values.items()}})
        for name, value in values.items():
            if math.isfinite(value):
                self._events.add_scalar(name, value, step)

    def metrics(self) -> List[Dict[str, float]]:
        """All objects in metrics.jsonl so far. Damaged lines are skipped with a warning."""
        log = JsonlLog(self.path / METRICS, write=False, on_damage=_pass_over)
        return [row for _, row in log.records if isinstance(row, dict) and isinstance(row.get("step"), int)]

    def write_config(self) -> None:
        """Write config.json only, for a directory that holds several runs in directories of their own."""
        if self._writes:
            with writing(self.path, "--output-dir"):
                files.write_json(self.path / CONFIG, self.config)

    def write_results(self, results: Dict[str, Any]) -> None:
        """Write results.json, with the provenance of the run; no times, so that equal runs write equal results."""
        if self._writes:
            files.write_json(self.path / RESULTS, {**results, "provenance": self.config["provenance"]})

    def read_results(self, **needed: type) -> Dict[str, Any]:
        """Read results.json of a finished run.

        Args:
            needed: fields that must be there, and their types.
        Raises:
            InputError: it is damaged, or a field is missing or of another type.
        """
        path = self.path / RESULTS
        found = files.read_json(path)
        for name, kind in needed.items():
            if not isinstance(found, dict) or not isinstance(found.get(name), kind):
                raise InputError(f"{path}: altered, as its field {name!r} is missing or no {kind.__name__}; delete the "
                                 "file, and --resume auto writes it again")
        return found

    def save_checkpoint(self, step: int, model, tokenizer, states, progress: Dict[str, Any], keep: int) -> None:
        """Write checkpoints/step-N and delete all but the `keep` newest.

        Raises:
            OSError: the disk is full; earlier checkpoints are intact.
            RunError: the weights are not finite; earlier checkpoints are intact.
        """
        if not self._writes:
            return
        directory = self.path / CHECKPOINTS
        try:
            checkpoint_directory.save(directory / f"step-{step}", model, tokenizer, states=states,
                        progress={"step": step, **progress})
        except InputError as error:  # not the user's input: the training itself produced these weights
            raise RunError(str(error)) from None
        checkpoint_directory.keep_last(directory, keep)
        self._hours.save()

    def close(self) -> None:
        """Write hours.json, flush the TensorBoard events and release the lock."""
        if self._hours is not None:
            with writing(self.path, "--output-dir"):
                self._hours.save()
        if self._events is not None:
            self._events.close()
        if self._lock is not None:
            self._lock.close()

    def _claim(self) -> None:
        """Lock the directory until this process ends. The system releases the lock even after a kill."""
        # Whatever stands there, also by a link, is not altered; and a pipe is not waited for.
        self._lock = open(self.path / LOCK, "ab", opener=lambda path, _: os.open(path, os.O_RDWR | os.O_CREAT, 0o666))
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
                                 "from its weights, pass it to that run as its initial checkpoint")
            checkpoint_directory.verify(resume)
            if not checkpoint_directory.is_resumable(resume):
                raise InputError(f"--resume {resume}: holds weights only, nothing to continue from; give one of "
                                 f"{self.path / CHECKPOINTS}/step-N, or auto")
            return pathlib.Path(resume)
        if resume == "auto":
            return checkpoint_directory.latest(self.path / CHECKPOINTS)
        refuse_a_run(self.path)
        return None

    def _refuse_another_program(self, kind: Kind) -> None:
        """Raises InputError if the directory belongs to another stage, even if that run produced nothing."""
        found = files.read_json(self.path / CONFIG)
        options = found.get("options") if isinstance(found, dict) else None
        if isinstance(options, dict) and kind(options) == OTHER_PROGRAM:
            raise InputError(f"{self.path} holds {OTHER_PROGRAM}, and this is {kind(self.config['options'])}; choose "
                             "another --output-dir")

    def _refuse_another(self, may_change: Sequence[str], kind: Optional[Kind]) -> None:
        """Compare the options with those in config.json. An option missing there had its default value.

        Raises:
            InputError: an option not in `may_change`, or another entry, has a different value now.
        """
        before = self.before = files.read_json(self.path / CONFIG)
        if not isinstance(before, dict) or not isinstance(before.get("options"), dict):
            raise InputError(f"{self.path / CONFIG}: not a run's configuration; start anew in another --output-dir")
        try:
            there, this = (kind(options) if kind else "" for options in (before["options"], self.config["options"]))
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{self.path / CONFIG}: altered, as an option is of another type ({error}); start anew "
                             "in another --output-dir") from None
        if there != this:
            raise InputError(f"--resume: {self.path} holds {there}, and this is {this}; give the options it was "
                             "started with, or another --output-dir")
        for name, value in self.config["options"].items():
            then = name if name in before["options"] else self._renamed.get(name, name)
            # A default of None depends on something else, so the value of the older run is unknown.
            unknown = then not in before["options"] and self._defaults[name] is None
            old = before["options"].get(then, self._defaults[name])
            if name not in may_change and not unknown and old != value:
                was, now = ("not given" if given is None else repr(given) for given in (old, value))
                raise InputError(f"--resume: option {name} was {was} in {self.path / CONFIG} and is {now} now; "
                                 f"{'leave it out' if old is None else 'give the old value'}, or start anew in another "
                                 "--output-dir")
        # Entries beside the options, such as data hashes. Older runs may lack some of them.
        for name in sorted(set(self.config) - {"options", "provenance"}):
            if name in before and before[name] != self.config[name]:
                raise InputError(f"--resume: {_difference(name, before[name], self.config[name])} is not what it was "
                                 f"when {self.path} was started; start anew in another --output-dir")


def _difference(name: str, before: Any, now: Any) -> str:
    """The name of an entry that differs; for a dictionary, followed by the first key that differs."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return name
    return f"{name} {next((key for key in [*now, *before] if before.get(key) != now.get(key)), '')}".strip()


def _pass_over(number: int) -> None:
    """Warn of a damaged line in metrics.jsonl. Only one step's figures are lost; resuming does not need them."""
    logger.warning("metrics.jsonl: line %d is damaged and skipped", number)


def _event_writer(path: pathlib.Path, purge_step: int):
    """Import tensorboardX and make its writer.

    tensorboardX imports torch if it is installed. torch is not needed here, and loading it after Horovod crashes the
    process. Therefore torch is hidden during the import.
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

"""The stages as functions, for notebooks and other programs: `bort_mx.pretrain`, `bort_mx.search`, `bort_mx.finetune`.

A keyword argument is an option of the command by the same name: `learning_rate=1e-4` is `--learning-rate 1e-4`. Each
function carries out the command itself, so that both do the same.
"""

import dataclasses
import os
import pathlib
import re
from typing import Any, Callable, Dict, List, Tuple

import numpy as np

from bort_mx.agora.options import AgoraRunOptions
from bort_mx.commands import finetune as finetune_command
from bort_mx.commands import pretrain as pretrain_command
from bort_mx.commands import search as search_command
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.options import unknown_option
from bort_mx.pretraining.options import PretrainingOptions
from bort_mx.search.options import SearchOptions
from bort_mx.training.signals import StopSignals

CONFIG = "config"
"""The keyword argument for YAML files with options, --config."""


class RunResult:
    """What a run found: the content of its results.json, as attributes and as a dictionary.

    Attributes:
        output_dir: the folder of the run; `bort_mx.pipeline(result.output_dir)` opens its model.
        options: the options that were used, with their defaults.
        results: results.json as a dictionary.
    """

    def __init__(self, output_dir: str, chosen: Any, results: Dict[str, Any]):
        self.output_dir, self.options, self.results = output_dir, chosen, results

    def __getattr__(self, name: str) -> Any:
        results = vars(self).get("results", {})
        if name not in results:
            raise AttributeError(f"the run has no result {name!r}; there are {', '.join(results)}")
        return results[name]

    def __getitem__(self, name: str) -> Any:
        return self.results[name]

    def __contains__(self, name: str) -> bool:
        return name in self.results

    def __dir__(self) -> List[str]:
        return [*object.__dir__(self), *self.results]

    def __repr__(self) -> str:
        return f"<run in {self.output_dir}: {', '.join(self.results)}>"

    def keys(self) -> Any:
        """The names of the results; with `[]`, this makes `dict(result)` work."""
        return self.results.keys()


def pretrain(**options: Any) -> RunResult:
    """Pre-train a model, with `teacher=` by distillation; the command `bort-mx pretrain`.

    Args:
        options: those of `bort_mx.pretraining.options.PretrainingOptions`; `config="run.yaml"` reads more from a file.
            Without `data=` it is a small run on text that comes with Python.
    Raises:
        InputError: an unknown option, or bad input.
        KeyboardInterrupt: the user stopped the run; a checkpoint has been written.
    """
    return _carried_out(pretrain_command.run, PretrainingOptions, options)


def finetune(**options: Any) -> RunResult:
    """Fine-tune a checkpoint on a task, with `agora=True` by Agora; the command `bort-mx finetune`.

    Args:
        options: those of `bort_mx.agora.options.AgoraRunOptions`; otherwise as `pretrain`.
    Raises:
        InputError, KeyboardInterrupt: see `pretrain`.
    """
    return _carried_out(finetune_command.run_arguments, AgoraRunOptions, options)


def search(**options: Any) -> RunResult:
    """Find the best architecture of a search space by the FPTAS; the command `bort-mx search`.

    Args:
        options: those of `bort_mx.search.options.SearchOptions`; otherwise as `pretrain`.
    Raises:
        InputError, KeyboardInterrupt: see `pretrain`.
    """
    return _carried_out(search_command.run, SearchOptions, options)


def _carried_out(command: Callable[[List[str]], Tuple[Any, Dict[str, Any]]], options_class: type,
                 given: Dict[str, Any]) -> RunResult:
    """The result of a command that gives its options and the content of results.json."""
    names = [field.name for field in dataclasses.fields(options_class)]
    arguments = as_arguments(options_class, given)
    StopSignals.forget()
    try:
        chosen, results = command(arguments)
    except InputError as error:
        raise type(error)(_in_python(str(error), names)) from None
    written = pathlib.Path(chosen.output_dir) / "results.json"
    return RunResult(chosen.output_dir, chosen, files.read_json(written) if written.is_file() else dict(results))


def as_arguments(options_class: type, given: Dict[str, Any]) -> List[str]:
    """Keyword arguments as the words of a command line.

    Args:
        options_class: the dataclass of the options.
        given: option → text, number, True or False, path, or a list of them; None leaves an option out.
    Raises:
        InputError: an unknown option, or a value of another kind.
    """
    fields = {field.name: field for field in dataclasses.fields(options_class) if field.init}
    words: List[str] = []
    for name, value in given.items():
        if name not in fields and name != CONFIG:
            raise InputError(unknown_option(name, options_class))
        if value is None:
            continue
        flag = "--" + name.replace("_", "-")
        if isinstance(value, (bool, np.bool_)):
            words.append(f"{flag}={str(bool(value)).lower()}")
        elif isinstance(value, (list, tuple)):
            words += [flag, *(_word(name, part) for part in value)]
        else:
            words.append(f"{flag}={_word(name, value)}")
    return words


def _word(name: str, value: Any) -> str:
    if isinstance(value, (str, os.PathLike)):
        return os.fspath(value)
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        return repr(value.item() if isinstance(value, np.generic) else value)
    raise InputError(f"{name}: {value!r:.60} is of type {type(value).__name__}; expected a text, a number, True or "
                     "False, a path, or a list of them")


def _in_python(message: str, names: List[str]) -> str:
    """A message with options spelled as keyword arguments: `--learning-rate 0` becomes `learning_rate 0`."""
    return re.sub(r"--([a-z][a-z0-9-]*)", lambda found: found[1].replace("-", "_")
                  if found[1].replace("-", "_") in names else found[0], message)

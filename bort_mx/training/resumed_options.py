"""The options of a run that is resumed by its directory alone: those in its config.json."""

import dataclasses
import typing
from typing import Any, Dict, List, Tuple, Type, TypeVar

from bort_mx import runtime
from bort_mx.alternatives import named_options
from bort_mx.options import parse_options
from bort_mx.training.options import RunOptions

Options = TypeVar("Options", bound=RunOptions)
WHERE = {"output_dir", "resume"}
"""The options that say which run is meant."""


def parse_run_options(options_class: Type[Options], argv: List[str], program: str,
                      description: str) -> Tuple[Options, bool]:
    """Parse the options of a run. If only --output-dir and --resume are given, the others are those in its config.json.

    This is said. Nothing is taken if there is no run to resume, or if it is a run of another program (which the run
    then refuses).

    Args:
        options_class, argv, program, description: as for `bort_mx.options.parse_options`.
    Returns:
        The options, and whether they were taken from config.json.
    Raises:
        InputError: as `parse_options`; or config.json is damaged, or a value in it is out of range.
    """
    parsed = parse_options(options_class, argv, program, description)
    if parsed.resume == "never" or not {"output_dir"} <= named_options(argv) <= WHERE:
        return parsed, False
    from bort_mx.training.earlier_run import CONFIG, earlier_options  # loads MXNet, which --help does without

    before = earlier_options(parsed.output_dir, parsed.resume)
    now = {old: new for new, old in parsed.RENAMED.items()}
    values: Dict[str, Any] = {now.get(name, name): value for name, value in before.items()}
    types = typing.get_type_hints(options_class)
    if not values or not set(values) <= {field.name for field in dataclasses.fields(parsed)}:
        return parsed, False
    values = {name: tuple(value) if isinstance(value, list) and _is_tuple(types[name]) else value
              for name, value in values.items()}
    if runtime.is_first_process():
        print(f"--resume {parsed.resume} without other options: they are taken from {parsed.output_dir}/{CONFIG}",
              flush=True)
    where = {"output_dir": parsed.output_dir, "resume": parsed.resume}
    return dataclasses.replace(parsed, **{**values, **where}), True


def _is_tuple(annotation: Any) -> bool:
    return tuple in (typing.get_origin(part) for part in (annotation, *typing.get_args(annotation)))

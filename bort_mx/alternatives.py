"""Options of which only one counts, such as --max-steps and --budget: the last place that names one decides.

Places are, in this order, what stands in place of defaults, the files of --config, and the command line.
"""

import re
from collections.abc import Collection, Sequence
from typing import Any, Dict, Iterable, List, Mapping, Set, Tuple

from bort_mx.errors import InputError

Groups = Iterable[Sequence[str]]
"""Names of fields; those of a group stand for each other."""


def named_options(arguments: Sequence[str]) -> Set[str]:
    """The fields of the options that are named in arguments."""
    words = [match[1] for match in (re.match(r"--([A-Za-z][^=]*)", word) for word in arguments) if match]
    return {word.replace("-", "_") for word in words}


def without_outdone(groups: Groups, first: Sequence[str], contents: Mapping[str, Dict[str, Any]],
                    arguments: Sequence[str], defaults: Mapping[str, Any]) -> Tuple[List[str], Dict[str, Dict]]:
    """What comes before the command line, without the options for which a later place names another of the group.

    Args:
        groups: which options.
        first: arguments in place of defaults.
        contents: path → content of each file, in order. One that names every field is a printed configuration: of it
            only what differs from the defaults counts.
        arguments: the command line, without its files.
        defaults: of all fields.
    Returns:
        What is left of `first` and of `contents`.
    Raises:
        InputError: a file names two of a group.
    """
    named: List[Collection[str]] = [named_options(first)]
    for path, values in contents.items():
        printed = set(defaults) <= set(values)
        found = [name for name, value in values.items() if not printed or value != defaults.get(name)]
        for group in groups:
            given = [f"{name}: {_typed(values[name])}" for name in group if name in found]
            if len(given) > 1:
                raise InputError(f"--config: {path}: {' and '.join(given)} exclude each other; give one")
        named.append(found)
    named.append(named_options(arguments))
    dropped: List[Set[str]] = [set() for _ in named]
    for group in groups:
        decides = max((number for number, names in enumerate(named) if set(group) & set(names)), default=0)
        for number in range(decides):
            dropped[number] |= set(group) - set(named[decides])
    kept, takes = [], True
    for word in first:
        takes = not named_options([word]) & dropped[0] if word.startswith("--") else takes
        kept += [word] if takes else []
    return kept, {path: {name: value for name, value in values.items() if name not in gone}
                  for (path, values), gone in zip(contents.items(), dropped[1:])}


def refuse_two(groups: Groups, arguments: Sequence[str], values: Mapping[str, Any]) -> None:
    """Raises InputError if the command line names two of a group; `values` are those of all fields."""
    for group in groups:
        given = [f"--{name.replace('_', '-')} {_typed(values[name])}" for name in group
                 if name in named_options(arguments)]
        if len(given) > 1:
            raise InputError(f"{' and '.join(given)} exclude each other; give one")


def _typed(value: Any) -> str:
    """A value as one types it."""
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)

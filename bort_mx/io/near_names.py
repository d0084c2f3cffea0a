"""What to say of a path where nothing stands: names of the same folder that may have been meant."""

import difflib
import itertools
import os
import pathlib
from typing import Dict, List

MOST_NAMES = 5000
"""Of larger folders only so many names are compared."""
ALIKE = 0.72
"""The least likeness of two names, by `difflib.SequenceMatcher.ratio`."""
FURTHER = 0.1
"""Names that are so much less like it than the nearest one are not told."""


def missing(path: os.PathLike, what: str = "no such file") -> str:
    """A message on a path where nothing stands, with up to three near names of its folder.

    If its folder is absent too, the message is about the first folder of the path that is absent.

    Args:
        path: what was given.
        what: what is missing, in words.
    Returns:
        such as "a/b.csv: no such file (did you mean a/bb.csv?)", on one line.
    """
    given, path = path, pathlib.Path(path)
    absent = path
    while absent.parent != absent and not os.path.isdir(absent.parent):
        absent = absent.parent
    near = near_names(absent)
    hint = f"did you mean {' or '.join(near)}?" if near else ""
    if absent != path and os.path.lexists(absent):
        hint = f"{absent} is no folder"
    elif absent != path:
        hint = f"there is no folder {absent}" + (f"; {hint}" if hint else "")
    return f"{given}: {what}" + (f" ({hint})" if hint else "")


def near_names(path: pathlib.Path, most: int = 3) -> List[str]:
    """Paths of the same folder whose names are like this one's, the nearest first. Hidden ones are passed over."""
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in itertools.islice(entries, MOST_NAMES) if not entry.name.startswith(".")]
    except (OSError, ValueError):  # not to be read, or a name that cannot be
        return []
    spelled: Dict[str, str] = {name.lower(): name for name in sorted(names)}
    name = path.name.lower()
    likeness = {other: difflib.SequenceMatcher(None, other, name).ratio()
                for other in difflib.get_close_matches(name, list(spelled), most, ALIKE)}
    return [str(path.with_name(spelled[other])) for other, ratio in likeness.items()
            if ratio > max(likeness.values()) - FURTHER]

"""Predictions and labels as people and files spell them: names in any case, indices, numbers."""

from typing import Any, List, Sequence

import numpy as np

from bort_mx.errors import InputError


def spelled_index(value: Any, spellings: Sequence[str], where: str) -> int:
    """The index of a value among spellings, given as a spelling in any case, as a bool, or as that index itself.

    Raises:
        InputError: none of them.
    """
    if isinstance(value, str):
        alike = [index for index, spelling in enumerate(spellings) if value.lower() == spelling.lower()]
        if value in spellings or len(alike) == 1:  # labels may differ in case alone
            return spellings.index(value) if value in spellings else alike[0]
    elif isinstance(value, (bool, np.bool_, int, np.integer)) and 0 <= value < len(spellings):
        return int(value)
    raise InputError(f"{where}: unknown label {value!r}; expected one of {', '.join(spellings)}")


def numbers(values: Sequence, where: str) -> List[float]:
    """Values as floats.

    Raises:
        InputError: one that is not a finite number.
    """
    result = []
    for position, value in enumerate(values):
        try:
            result.append(float(value))
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{where}: value {position} is {value!r}, not a number") from None
        if not np.isfinite(result[-1]):
            raise InputError(f"{where}: value {position} is {value!r}, not a finite number")
    return result

"""One line of the report: the paper's value, ours, how ours was obtained, and the verdict."""

import dataclasses
import math
from typing import Any, Optional, Sequence, Tuple

HOLDS, READING, FAILS, NOT_RUN = "holds", "holds with a stated reading", "does not hold", "not run"
VERDICTS = (HOLDS, READING, FAILS, NOT_RUN)
FORMULA, MEASURED, FROM_RUN = "formula", "measured now", "from a run"
"""How a value of ours was obtained; a value that was not obtained has `NOT_RUN`."""
ROUNDED = 0.02
"""Sizes that a paper's authors give as rounded numbers hold within this share."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One value of the paper beside ours."""

    table: str
    row: str
    column: str
    paper: Any
    """What the paper prints; None: nothing."""
    ours: Optional[str]
    """Our value as text; None: there is none."""
    how: str
    """How ours was obtained, beginning with `FORMULA`, `MEASURED`, `FROM_RUN` or `NOT_RUN`."""
    verdict: str
    """One of `VERDICTS`."""
    note: str = ""
    """Explanation: the reading under which the value holds, or why it does not."""
    command: str = ""
    """The command that would fill in what was not run."""


Reading = Tuple[Any, str]
"""A value under another reading of the paper, and that reading in words."""


def matches(paper: Any, ours: Any, relative: float = 0.0) -> bool:
    """Whether our value is the printed one.

    Args:
        paper: what is printed.
        ours: our value.
        relative: 0: ours must round to the printed digits. Otherwise the largest difference, as a share of the paper's.
    """
    if isinstance(paper, str) or isinstance(ours, str):
        return paper == ours
    if relative:
        return abs(ours - paper) <= relative * abs(paper)
    return abs(ours - paper) <= 0.5 * 10.0 ** -printed_digits(paper) + 1e-9


def printed_digits(number: float) -> int:
    """Digits after the point of a printed number."""
    text = repr(number)
    if isinstance(number, int) or not math.isfinite(number):
        return 0
    return len(text.split(".")[1].rstrip("0")) if "e" not in text else 12


def judge(paper: Any, ours: Any, readings: Sequence[Reading] = (), relative: float = 0.0) -> Tuple[str, str]:
    """The verdict on a value, and the reading if one is needed.

    Args:
        paper: what is printed.
        ours: our value under the plain reading.
        readings: other readings, tried in order.
        relative: see `matches`.
    """
    if matches(paper, ours, relative):
        return HOLDS, ""
    for value, words in readings:
        if matches(paper, value, relative):
            return READING, words
    return FAILS, ""


def shown(value: Any) -> str:
    """A value as it stands in the report."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)

"""Durations as text: told in suitable units from milliseconds to years, and read from an option."""

import math
import re

from bort_mx.errors import InputError

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_PART = rf"{_NUMBER}\s*(min|s|m|h|d)\s*"


def seconds_of(text: str) -> float:
    """Seconds of a duration such as "90", "45s", "30m", "45min", "2h", "1h30m" or "1.5d".

    Raises:
        InputError: not such a duration, or not above 0.
    """
    whole = text.strip().lower()
    parts = re.findall(_PART, whole) if re.fullmatch(f"(?:{_PART})+", whole) else []
    seconds = float(whole) if re.fullmatch(_NUMBER, whole) else sum(float(number) * _UNITS[unit]
                                                                    for number, unit in parts)
    if not 0 < seconds < math.inf:
        raise InputError(f"--budget {text}: not a duration above 0; write it like 45s, 30m, 2h or 1h30m")
    return seconds


def in_words(seconds: float) -> str:
    """A duration in at most two units: "0.25 s", "40 s", "12 min", "3 h 20 min", "4 days 6 h", "2.3 years"."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours + (minutes >= 30), 24)
    if days < 365:
        return f"{days} days {hours} h" if hours and days < 10 else f"{days} days"
    return f"{days / 365.25:.1f} years"

"""Durations as text, in suitable units from milliseconds to years."""


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

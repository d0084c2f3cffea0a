"""Progress display for long work: a bar on a terminal and in a notebook, plain lines elsewhere."""

import importlib.util
import sys
import time
from typing import Any, Dict, Optional, Type

from tqdm import tqdm


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook (Jupyter, Colab)."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _bar_class() -> Type[Any]:
    """tqdm's bar for a notebook, where ipywidgets is there to draw it, else the one of characters."""
    if in_notebook() and importlib.util.find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm as widget

        return widget
    return tqdm


class Progress:
    """A tqdm bar on a terminal or in a notebook; otherwise a plain line now and then.

    Args:
        total: the amount of work, in `unit`; None if unknown.
        description: the name of the work.
        unit: "B" for bytes (scaled to kB, MB …), otherwise a word such as "step".
        enabled: False shows nothing (ranks other than 0).
        initial: the amount already done, for example by the run that is resumed.
        interval: seconds between plain lines printed by `update`.
    """

    def __init__(self, total: Optional[int], description: str, unit: str = "it", enabled: bool = True,
                 initial: int = 0, interval: float = 10.0):
        self._terminal, self._enabled, self._interval = sys.stdout.isatty() or in_notebook(), enabled, interval
        self._bar = _bar_class()(total=total, desc=description, unit=unit, unit_scale=unit == "B", initial=initial,
                                 dynamic_ncols=True, file=sys.stdout, disable=not (enabled and self._terminal))
        self._total, self._done, self._first = total, initial, initial
        self._description, self._unit = description, unit
        self._start = self._last = time.monotonic()

    def update(self, amount: int = 1, **shown) -> None:
        """Add finished work; `shown` are values to display beside the count."""
        self._advance(amount, shown)
        if time.monotonic() - self._last >= self._interval:
            self._line(shown)

    def advance(self, shown: Optional[Dict[str, str]] = None) -> None:
        """Add one unit of finished work. If `shown` is given, display its values at once (bar or plain line).

        The name "" is for a value that needs none. The line is kept short: the speed is among the values.
        """
        self._advance(1, shown or {})
        if shown and self._enabled and not self._terminal:
            values = ", ".join(f"{name} {value}".strip() for name, value in shown.items())
            of = "" if self._total is None else f"/{self._total}"
            print(f"{self._description} {self._done}{of}: {values}{self._left()}", flush=True)

    def write(self, text: str) -> None:
        """Print a line without breaking the bar."""
        if self._enabled:
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()

    def close(self) -> None:
        """End the display."""
        self._bar.close()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def _advance(self, amount: int, shown: Dict[str, str]) -> None:
        self._done += amount
        if self._terminal:
            if shown:
                self._bar.set_postfix_str(", ".join(f"{n} {v}".strip() for n, v in shown.items()), refresh=False)
            self._bar.update(amount)

    def _line(self, shown: Dict[str, str]) -> None:
        if self._terminal or not self._enabled:
            return
        self._last = time.monotonic()
        rate = self._rate()
        begun = f"{self._done:,}" if self._total and self._unit != "B" else self._amount(self._done)
        done = f"{begun} of {self._amount(self._total)}" if self._total else begun
        speed = f"{self._amount(rate)}/s" if self._unit == "B" else f"{rate:.3g} {self._units}/s"
        values = "".join(f", {key} {value}" for key, value in shown.items())
        print(f"{self._description}: {done}{values}, {speed}{self._left()}", flush=True)

    def _rate(self) -> float:
        return (self._done - self._first) / max(time.monotonic() - self._start, 1e-9)

    def _left(self) -> str:
        rate = self._rate()
        return f", {tqdm.format_interval((self._total - self._done) / rate)} left" if self._total and rate else ""

    def _amount(self, number: float) -> str:
        return tqdm.format_sizeof(number, "B") if self._unit == "B" else f"{number:,} {self._units}"

    @property
    def _units(self) -> str:
        return self._unit + ("es" if self._unit.endswith(("s", "sh", "ch", "x")) else "s")

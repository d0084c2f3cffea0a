"""Commands on some workers of this machine."""

import pathlib
import sys
from typing import List, Sequence


def launched(command: Sequence[str], workers: int) -> List[str]:
    """A command as `horovodrun` starts it on so many workers; of one worker, the command itself."""
    if workers == 1:
        return [*command]
    horovodrun = pathlib.Path(sys.executable).with_name("horovodrun")
    return [str(horovodrun), "--gloo", "-np", str(workers), "-H", f"localhost:{workers}", *command]

"""What bad input raises, what a run that failed raises, and the exit codes of every command."""

DONE, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 130
"""Exit codes: done; a failure in the run; bad options or input; stopped by the user, after a checkpoint."""


class InputError(ValueError):
    """Bad input or options: which file, which line or field, what was found, what to do.

    Every reader and loader raises it, and nothing else, for what the user can mend. The scripts print its message
    on one line and exit with code 2.
    """


class Unreadable(InputError):
    """A file that is there and cannot be read: its mode, or the disk. It may be whole, so nobody may pass over it."""


class RunError(RuntimeError):
    """A run that cannot go on: what happened and what to do. The scripts print it on one line and exit with code 1."""

"""The exceptions of this program, and the exit codes of its commands."""

DONE, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 130
"""Exit codes: 0 done; 1 the run failed; 2 bad options or input; 130 stopped by the user, after a checkpoint."""


class InputError(ValueError):
    """Bad input or options. The message says which file, which line or field, what was found, and what to do.

    Readers and loaders raise only this for problems that the user can fix. The scripts print the message on one line
    and exit with code 2. Line ends in it, as libraries have them in their messages, become spaces.
    """

    def __init__(self, message: str = ""):
        super().__init__(" ".join(str(message).splitlines()))


class Unreadable(InputError):
    """A file exists but cannot be read, because of its permissions or the disk. It may be intact, so never skip it."""


class RunError(RuntimeError):
    """The run cannot continue. The message says what happened and what to do. The scripts exit with code 1."""

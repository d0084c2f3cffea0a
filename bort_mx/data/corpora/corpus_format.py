"""What a format of a corpus says: how its lines become plain text."""

from typing import Callable, NamedTuple


class CorpusFormat(NamedTuple):
    """A format of text files."""

    plain_text: Callable[[str, str], str]
    """(whole lines of a file, the file's path for errors) → plain text, a sentence or a document a line."""
    documents: bool
    """Whether a line of the plain text is a document, to be split into sentences."""

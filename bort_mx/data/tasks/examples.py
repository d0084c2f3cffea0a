"""What a task reads: examples, lists of them, and the error for a split that is not there."""

from typing import Any, Hashable, List, Mapping, NamedTuple, Sequence, Tuple, Union

from bort_mx.data.text import clean_text
from bort_mx.errors import InputError

SPLITS = ("train", "dev", "test")


class MissingSplit(InputError):
    """The task, or this copy of its files, has no such split. Nothing is wrong with the files that are there.

    Training goes on without a test set and skips the submission with a note.
    """


class Example(NamedTuple):
    """One text or pair to classify.

    idx: the official index of what is predicted (the row number where the file has none).
    texts: one or two strings.
    label: one of the task's labels, as spelled there; a float for a regression; None where the split has none.
    group: the question a candidate answer belongs to (COPA, MultiRC, ReCoRD, RACE), the pair of AX-g; else None.
    meta: what scoring and submitting need besides, e.g. the candidate and the passage.
    """

    idx: Hashable
    texts: Tuple[str, ...]
    label: Union[str, float, None] = None
    group: Hashable = None
    meta: Mapping[str, Any] = {}


class Examples(List[Example]):
    """A list of examples. `notes` says what was dropped or repaired on the way, and how often."""

    def __init__(self, examples: Sequence[Example] = (), notes: Sequence[str] = ()):
        super().__init__(examples)
        self.notes: List[str] = list(notes)

    def doubles(self) -> int:
        """How many examples have the index, group and candidate of an earlier one."""
        return len(self) - len({(example.group, str(example.idx), example.meta.get("candidate")) for example in self})

    def cleaned(self) -> "Examples":
        """The same examples with every text as `clean_text` makes it. Texts that are equal are one object."""
        texts = {text: clean_text(text) for text in dict.fromkeys(text for example in self for text in example.texts)}
        return Examples([example._replace(texts=tuple(map(texts.__getitem__, example.texts))) for example in self],
                        self.notes)

"""MultiRC: a passage, questions about it, and for each any number of right answers."""

import collections
import pathlib
from typing import Any, Dict, Hashable, List, Mapping, Optional, Sequence

from bort_mx.data.json_lines import field, json_lines
from bort_mx.data.metrics import Scores
from bort_mx.data.task_registry import register
from bort_mx.data.tasks import multirc_cleaning
from bort_mx.data.tasks.balancing import balanced
from bort_mx.data.tasks.common import JsonTask
from bort_mx.data.tasks.examples import Example, Examples
from bort_mx.errors import InputError


@register(row=4)
class MultiRC(JsonTask):
    """Every (question, answer) pair is one binary example (P1 §5.2): the passage, then question and answer.

    Several answers may be right, so each has a label of its own. Exact match compares all labels of a question.
    An example's group is (passage, question), its idx the answer's. P1 removed typos ("a minor cleaning operation")
    without saying which: `bort_mx.data.tasks.multirc_cleaning` does so if it is asked to.

    Attributes:
        cleans: whether typos are mended.
    """

    cleans = False

    name = "MultiRC"
    folders = ("MultiRC",)
    labels = ("0", "1")
    label_kind = int
    metrics = ("f1a", "em")
    criterion = "f1a"
    cut = "first"
    text_fields = ("passage", "question and answer")
    submission_name = "MultiRC.jsonl"

    def parse(self, path: pathlib.Path, split: str) -> Examples:
        """Read the file. Answers that a question has twice are kept and counted, as the official files have some.

        Raises:
            InputError: as every JSON-lines file.
        """
        examples = super().parse(path, split)
        labels: Dict[Hashable, Any] = {}
        again = [(example, labels[key]) for example in examples
                 for key in [(example.group, " ".join(example.texts[1].split()))]
                 if labels.setdefault(key, example) is not example]
        if again:
            other = sum(example.label != first.label for example, first in again)
            examples.notes.append(f"answers that a question has twice: {len(again)}, {other} with another label (the "
                                  f"first: passage, question, answer {(*again[0][0].group, again[0][0].idx)})")
        return multirc_cleaning.cleaned(examples) if self.cleans else examples

    def expand(self, record: Mapping[str, Any], split: str, where: str, notes: List[str]) -> List[Example]:
        """One passage → its (question, answer) pairs."""
        index, passage = field(record, "idx", int, where), field(record, "passage", dict, where)
        text, examples = field(passage, "text", str, where), []
        for question in field(passage, "questions", list, where):
            group = index, field(question, "idx", int, where)
            words = field(question, "question", str, where)
            for answer in field(question, "answers", list, where):
                pair = text, f"{words} {field(answer, 'text', str, where)}"
                examples.append(Example(field(answer, "idx", int, where), pair, self.label_of(answer, split, where),
                                        group))
        return examples

    def training_examples(self, examples: Sequence[Example], seed: int) -> Examples:
        """Equal numbers of right and wrong answers, by discarding at random (P1 §5.2)."""
        return balanced(examples, seed, self.name)

    def score(self, predictions: Sequence, labels: Sequence, groups: Optional[Sequence] = None) -> Scores:
        """F1a over all answers and exact match per question.

        Without `groups`, both arguments are lists of lists: one list of answers per question.

        Raises:
            InputError: neither groups nor lists of lists, or lists of different lengths.
        """
        if groups is None:
            if not all(isinstance(item, (list, tuple)) for item in [*predictions, *labels]):
                raise InputError("MultiRC's exact match is per question: give groups, or one list per question")
            if [len(item) for item in predictions] != [len(item) for item in labels]:
                raise InputError("MultiRC: predictions and labels differ in questions or in answers per question")
            groups = [number for number, item in enumerate(labels) for _ in item]
            predictions, labels = ([value for item in items for value in item] for items in (predictions, labels))
        return super().score(predictions, labels, groups)

    def submission_ids(self, examples: Sequence[Example]) -> List[Hashable]:
        """(passage, question, answer) of each example."""
        return [(*example.group, example.idx) for example in examples]

    def _submission_ids(self, count: int, examples: Optional[Sequence[Example]]) -> List[Hashable]:
        if examples is None and self._test_ids is None:
            raise InputError("MultiRC's submission nests answers in questions in passages: read the test set first, "
                             "give its examples, or predictions as (passage, question, answer) → label")
        return super()._submission_ids(count, examples)

    def submission_value(self, prediction: Any) -> int:
        """0 or 1, an integer."""
        return self.label_index(prediction)

    def format_submission(self, ids: Sequence, values: Sequence) -> str:
        """One passage a line, its questions and their answers nested as in the data."""
        passages: Dict = collections.defaultdict(lambda: collections.defaultdict(list))
        for (passage, question, answer), value in zip(ids, values):
            passages[passage][question].append({"idx": answer, "label": value})
        return json_lines({"idx": passage, "passage": {"questions": [
            {"idx": question, "answers": answers} for question, answers in questions.items()]}}
            for passage, questions in passages.items())


"""ReCoRD: a news passage and a sentence about it with one entity left blank. Which entity of the passage is it?"""

from typing import Any, List, Mapping, Optional, Sequence, Tuple

from bort_mx.data.json_lines import field
from bort_mx.data.metrics import Scores, reading_scores
from bort_mx.data.task_registry import register
from bort_mx.data.tasks.balancing import balanced
from bort_mx.data.tasks.common import JsonChoiceTask
from bort_mx.data.tasks.examples import Example, Examples
from bort_mx.errors import InputError

PLACEHOLDER = "@placeholder"


@register(row=5)
class ReCoRD(JsonChoiceTask):
    """One example per query and distinct entity text: (passage, query with the entity filled in).

    [I] Entities of the same text are one candidate. A query's answers may be several mentions. Every candidate whose
    text is among them is right, in the labels and in scoring. The marks "@highlight" between
    the passage's bullet points are removed.
    """

    name = "ReCoRD"
    folders = ("ReCoRD",)
    metrics = ("f1", "em")
    criterion = "em"
    cut = "first"
    text_fields = ("passage", "query with entity")
    submission_name = "ReCoRD.jsonl"

    def expand(self, record: Mapping[str, Any], split: str, where: str, notes: List[str]) -> List[Example]:
        """One passage → the candidates of all its queries."""
        passage = field(record, "passage", dict, where)
        text, entities = self._entities(passage, where)
        shown = " ".join(text.replace("@highlight", " ").split())
        examples = []
        for query in field(record, "qas", list, where):
            index, words = field(query, "idx", int, where), field(query, "query", str, where)
            if PLACEHOLDER not in words:
                raise InputError(f"{where}: query {index} has no {PLACEHOLDER} to fill in")
            answers = self._answers(query, split, where)
            for entity in entities:
                label = None if answers is None else str(int(entity in answers))
                examples.append(Example(index, (shown, words.replace(PLACEHOLDER, entity)), label, index,
                                        {"candidate": entity, "answers": answers, "passage": record.get("idx")}))
        return examples

    @staticmethod
    def _entities(passage: Mapping[str, Any], where: str) -> Tuple[str, List[str]]:
        text, found = field(passage, "text", str, where), []
        for entity in field(passage, "entities", list, where):
            start, end = field(entity, "start", int, where), field(entity, "end", int, where) + 1  # end is inclusive
            if not 0 <= start < end <= len(text):
                raise InputError(f"{where}: entity span {start}-{end - 1} lies outside its passage "
                                 f"of {len(text)} characters")
            found.append(text[start:end])
        if not found:
            raise InputError(f"{where}: the passage has no entities, so its queries no candidates")
        return text, list(dict.fromkeys(found))

    @staticmethod
    def _answers(query: Mapping[str, Any], split: str, where: str) -> Optional[List[str]]:
        if split == "test" and "answers" not in query:
            return None
        texts = [field(answer, "text", str, where) for answer in field(query, "answers", list, where)]
        return list(dict.fromkeys(texts))

    def training_examples(self, examples: Sequence[Example], seed: int) -> Examples:
        """As many wrong candidates as right ones, by discarding at random (P1 §5.2)."""
        return balanced(examples, seed, self.name)

    def gold(self, examples: Sequence[Example]) -> List[List[str]]:
        """The acceptable texts of each query, in order of appearance.

        Raises:
            InputError: a query without answers (a test set).
        """
        answers = {example.group: example.meta["answers"] for example in examples}
        for query, texts in answers.items():
            if texts is None:
                raise InputError(f"ReCoRD: query {query} has no answers to compare with (a test set?)")
        return list(answers.values())

    def score(self, predictions: Sequence, labels: Sequence, groups: Optional[Sequence] = None) -> Scores:
        """Token F1 and exact match, the best over a query's answers, averaged over queries."""
        if any(isinstance(answers, str) for answers in labels):
            raise InputError("ReCoRD: a query's answers are a list of texts; one text was given")
        return reading_scores(predictions, labels)

    def submission_value(self, prediction: Any) -> str:
        """The text of the entity.

        Raises:
            InputError: not a text.
        """
        if not isinstance(prediction, str):
            raise InputError(f"ReCoRD: prediction {prediction!r}; expected the text of an entity")
        return prediction

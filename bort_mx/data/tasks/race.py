"""RACE: passages and questions with four options, from English exams of Chinese middle schools and high schools.

The files are RACE/{train,dev,test}/{middle,high}/<number>.txt, one JSON object each. They are read from a folder, or
straight from RACE.tar.gz without unpacking it.
"""

import pathlib
import re
import tarfile
import zlib
from typing import Any, Hashable, Iterator, List, Mapping, Sequence, Tuple

from bort_mx import random
from bort_mx.data.json_lines import field, json_lines, json_object
from bort_mx.data.task_registry import register
from bort_mx.data.tasks.archives import tar_members
from bort_mx.data.tasks.balancing import balanced
from bort_mx.data.tasks.base import Folder
from bort_mx.data.tasks.examples import Example, Examples, MissingSplit
from bort_mx.data.tasks.pick_one import PickOneTask
from bort_mx.errors import InputError
from bort_mx.io.files import not_utf8

ARCHIVE = "RACE.tar.gz"
LETTERS = ("A", "B", "C", "D")
METAS = {letter: {"candidate": letter} for letter in LETTERS}  # shared: there are 350,000 examples


class RaceTask(PickOneTask):
    """Four examples per question: (passage, question and option). The answers are the letters A to D.

    [I] A question with one blank "_" is completed by the option; otherwise the option follows the question.
    RACE has no submission server and its test answers are public, so no format is official. `write_submission` writes
    the answers in the shape of RACE's own files, one line per passage: {"id": …, "answers": […]} [I].
    """

    benchmark = "race"
    folders = ("RACE",)
    answers = LETTERS
    cut = "first"
    batch_size = 16
    level = ""
    download_name = "RACE"
    text_names = ("article", "question and option")

    def locate(self, data_dir: Folder, split: str) -> pathlib.Path:
        """The folder of a split, or the archive that holds it.

        Raises:
            MissingSplit: neither is there. InputError: no such folder.
        """
        root = pathlib.Path(data_dir) if data_dir is not None else None
        if root is None or not root.exists():
            raise InputError(f"{data_dir}: no such folder; expected RACE/{split}/{self.level} or {ARCHIVE} in it")
        if root.is_file():
            return root
        inside = pathlib.Path(self._names(split)[0])
        for folder in (root, root / "RACE", root / "race" / "RACE", root / "race"):
            if (folder / inside).is_dir():
                return folder / inside
        for folder in (root, root / "RACE", root / "race"):
            if (folder / ARCHIVE).is_file():
                return folder / ARCHIVE
        raise MissingSplit(f"{root}: the {split} set of {self.name} is not there; put the folder RACE or the file "
                           f"{ARCHIVE} into it")

    def _names(self, split: str) -> Sequence[str]:
        return [f"{super()._names(split)[0]}/{self.level}"]

    files = {split: (split,) for split in ("train", "dev", "test")}

    def parse(self, path: pathlib.Path, split: str) -> Examples:
        """Read a folder of passages, or those of the archive, in the order of their numbers.

        Raises:
            InputError: a corrupt archive or one with members outside RACE/, or a passage that is not as described.
        """
        texts = _folder_texts(path) if path.is_dir() else _archive_texts(path, f"RACE/{split}/{self.level}/")
        examples = Examples()
        for name, text in sorted(texts, key=lambda item: (int(re.sub(r"\D", "", item[0]) or 0), item[0])):
            examples.extend(self._passage(name, text, split, f"{path}/{name}"))
        return examples

    def _passage(self, name: str, text: bytes, split: str, where: str) -> List[Example]:
        try:
            record = json_object(text.decode("utf-8"), where)
        except UnicodeDecodeError as error:
            raise not_utf8(where, error) from None
        article, questions = field(record, "article", str, where), field(record, "questions", list, where)
        options = field(record, "options", list, where)
        unanswered = split == "test" and "answers" not in record
        answers = [None] * len(questions) if unanswered else field(record, "answers", list, where)
        if not len(questions) == len(options) == len(answers):
            raise InputError(f"{where}: {len(questions)} questions, {len(options)} lists of options and {len(answers)} "
                             "answers; expected as many of each")
        passage = field(record, "id", str, where) if "id" in record else f"{self.level}{name}"
        rows = enumerate(zip(questions, options, answers))
        return [example for number, row in rows
                for example in self._question(article, *row, (passage, number), f"{where}: question {number}")]

    def _question(self, article: str, question: Any, answers: Any, answer: Any, group: Tuple[str, int],
                  where: str) -> Iterator[Example]:
        if not isinstance(question, str):
            raise InputError(f"{where} is {question!r:.60}; expected a text")
        if not isinstance(answers, list) or [type(text) for text in answers] != [str] * len(LETTERS):
            raise InputError(f"{where} has options {answers!r:.60}; expected a list of {len(LETTERS)} texts")
        if answer is not None and answer not in LETTERS:
            raise InputError(f"{where} has the answer {answer!r}; expected one of {', '.join(LETTERS)}")
        index = f"{group[0]}/{group[1]}"
        for letter, option in zip(LETTERS, answers):
            label = None if answer is None else "1" if answer == letter else "0"
            yield Example(index, (article, filled(question, option)), label, group, METAS[letter])

    def training_examples(self, examples: Sequence[Example], seed: int) -> Examples:
        """As many wrong options as right ones. About 2/3 of the wrong ones are discarded (P1 §5.3)."""
        return balanced(examples, seed, self.name)

    def format_submission(self, ids: Sequence[Hashable], values: Sequence) -> str:
        """One passage a line, in the shape of the data."""
        passages: Mapping[str, List] = {}
        for (passage, _), value in zip(ids, values):
            passages.setdefault(passage, []).append(value)
        return json_lines({"id": passage, "answers": letters} for passage, letters in passages.items())

    def _submission_ids(self, count, examples):
        if examples is None and self._test_ids is None:
            raise InputError(f"{self.name}: answers are written per passage: read the test set first, give its "
                             "examples, or predictions as (passage, question number) → letter")
        return super()._submission_ids(count, examples)

    def submission_value(self, prediction: Any) -> str:
        """The letter."""
        return LETTERS[self.answer_index(prediction)]


@register(row=1)
class RaceM(RaceTask):
    """Middle school."""

    name = "RACE-M"
    level = "middle"
    submission_name = "RACE-M.jsonl"


@register(row=2)
class RaceH(RaceTask):
    """High school. Training uses half of the passages, drawn with the seed (P1 §5.3), before balancing."""

    name = "RACE-H"
    level = "high"
    submission_name = "RACE-H.jsonl"

    def training_examples(self, examples: Sequence[Example], seed: int) -> Examples:
        """Half of the passages, then as many wrong options as right ones."""
        passages = list(dict.fromkeys(example.group[0] for example in examples))
        count = (len(passages) + 1) // 2
        chosen = random.generator(seed, "half of RACE-H's passages").choice(len(passages), size=count, replace=False)
        kept = {passages[i] for i in chosen}
        note = f"discarded {len(passages) - count} of {len(passages)} passages"
        half = [example for example in examples if example.group[0] in kept]
        return super().training_examples(Examples(half, [*getattr(examples, "notes", []), note]), seed)


def filled(question: str, option: str) -> str:
    """The question completed by an option. The option fills the blank if there is exactly one, else it follows."""
    return question.replace("_", f" {option} ").strip() if question.count("_") == 1 else f"{question} {option}"


def _folder_texts(path: pathlib.Path) -> Iterator[Tuple[str, bytes]]:
    for file in path.glob("*.txt"):
        yield file.name, file.read_bytes()


def _archive_texts(path: pathlib.Path, prefix: str) -> Iterator[Tuple[str, bytes]]:
    """The files of one folder of a tar archive. The archive is read to its end and never unpacked."""
    try:
        for name, file in tar_members(path):
            name = name[2:] if name.startswith("./") else name
            if name.startswith(prefix):
                yield name[len(prefix):], file.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: not a whole tar archive ({error}); fetch it anew") from None

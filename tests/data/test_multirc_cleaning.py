"""The typos of MultiRC that --clean-multirc mends, by hand and counted in the official files."""

import pytest

from bort_mx.data.tasks import get_task
from bort_mx.data.tasks.multirc_cleaning import cleaned, mended
from bort_mx.finetuning.task_data import resolve


@pytest.mark.parametrize("text, expected, kinds", [
    ("in the Desert Inn\u00e2\u0080\u0099s penthouse", "in the Desert Inn\u2019s penthouse",
     {"characters in a wrong encoding": 1}),
    ("Tocqueville\ufffd\ufffd\ufffds appointment", "Tocqueville's appointment", {"lost apostrophes": 1}),
    ("specifics of the the language", "specifics of the language", {"words given twice": 1}),
    ("he had had a lot of money, and that that was it", "he had had a lot of money, and that that was it", {}),
    ("What fossils are found?? Joyce, beverly,, steven", "What fossils are found? Joyce, beverly, steven",
     {"marks given twice": 2}),
    ("As of 2001 , how many attorneys ?", "As of 2001, how many attorneys?", {"spaces before a mark": 2}),
    ("financial assistance.Similarly, we have", "financial assistance. Similarly, we have",
     {"spaces missing after a sentence": 1}),
    ("the U.S.President, 3.5 percent of Comt\u00e9 ...", "the U.S.President, 3.5 percent of Comt\u00e9 ...", {}),
])
def test_typos_by_hand(text, expected, kinds):
    assert mended(text) == (expected, kinds)
    assert mended(expected)[0] == expected  # nothing is left


def test_what_it_changes_is_counted(shared):
    task, _ = resolve("MultiRC", clean=True)
    plain = get_task("MultiRC").read(shared / "data", "dev")
    found = task.read(shared / "data", "dev")
    changed = [(a, b) for a, b in zip(plain, found) if a.texts != b.texts]
    assert len(found) == len(plain) == 4848 and changed
    assert all(a._replace(texts=()) == b._replace(texts=()) for a, b in zip(plain, found))
    note = next(note for note in found.notes if note.startswith("typos mended"))
    texts = {text for example in plain for text in example.texts}
    count = sum(bool(mended(text)[1]) for text in texts)
    assert note.startswith(f"typos mended in {count} of ")
    assert not any(note.startswith("typos") for note in plain.notes)
    assert "none" in cleaned(type(plain)(plain[:0])).notes[-1]


def test_other_tasks_are_read_as_they_are():
    assert not hasattr(resolve("superglue/RTE", clean=True)[0], "cleans")

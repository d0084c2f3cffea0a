"""Tau functions: what they change, what they must leave alone, and that they repeat."""

import types

import numpy as np
import pytest

from bort_mx.agora.options import AgoraRunOptions
from bort_mx.agora.perturbation import Perturbed, Tau, alternatives, compose
from bort_mx.agora.perturbation_edits import MASK, TAUS, drop, make_tau, mlm, swap, typo
from bort_mx.agora.words import join, marked_spans, split_words
from bort_mx.data.tasks import Example
from bort_mx.data.tasks.spans import MARKS, mark_spans
from bort_mx.errors import InputError
from bort_mx.random import generator

TEXT = "The quick, brown fox jumps over the lazy dog and runs far away from here."


def fill(texts):
    """Ten candidates for each mark, the first the likeliest."""
    return [[[(f" word{i}", 0.5 ** i) for i in range(1, 11)] for _ in range(text.count(MASK))] for text in texts]


def changed(tau, text=TEXT, seed=0):
    return tau([(text, 1)], generator(seed, "tau"))[0].texts


ALL = {"typo": typo, "swap": swap, "drop": drop, "mlm": lambda **options: mlm(fill, **options)}


@pytest.mark.parametrize("name", ALL)
def test_changes_something_and_repeats(name):
    tau = ALL[name]()
    assert changed(tau) != TEXT and changed(tau) == changed(tau) != changed(tau, seed=1)
    assert tau.name == name


@pytest.mark.parametrize("name", ALL)
def test_copies_and_sources(name):
    made = ALL[name](copies=3)([("one two three", 0), ("four five six", 1)], generator(0, "tau"))
    assert [item.source for item in made] == [0, 0, 0, 1, 1, 1] and all(isinstance(item, Perturbed) for item in made)
    assert ALL[name]()([], generator(0, "tau")) == []


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("text", ["", "one", "*", "a", ".", "  two   spaces ", "\u00e9t\u00e9 \u4e2d\u6587"])
def test_never_makes_an_empty_text(name, text):
    for seed in range(20):
        assert bool(changed(ALL[name](rate=1.0), text, seed).strip()) == bool(text.strip())


@pytest.mark.parametrize("name", ALL)
def test_marked_and_protected_spans_survive(name):
    text = "We sat by the *river bank* and watched _him_ go with the answer being forty two indeed"
    start = text.index("forty two")
    example = types.SimpleNamespace(texts=[text], label=1, protected=[[(start, start + len("forty two"))]])
    tau = ALL[name](rate=1.0, copies=30, markers=("*", "_"))
    for item in tau([example], generator(0, "tau")):
        new = item.texts[0]
        assert new != text
        for kept in ("*river bank*", "_him_", "forty two"):
            assert kept in new


@pytest.mark.parametrize("name", ALL)
def test_marks_of_wic_and_wsc_survive_by_default(name):
    text = mark_spans("The trophy does not fit because it is far too large", [(4, 10, MARKS[0]), (32, 34, MARKS[1])])
    for item in ALL[name](rate=1.0, copies=30)([Example(0, (text,), "True")], generator(0, "tau")):
        assert item.texts != (text,)
        assert "\u00a7 trophy \u00a7" in item.texts[0] and "\u00b6 it \u00b6" in item.texts[0]


def test_protect_function():
    tau = drop(rate=1.0, protect=lambda example: [[(0, 3)]])
    assert changed(tau, "one two three") == "one"


@pytest.mark.parametrize("which, first, second", [("both", True, True), ("first", True, False),
                                                  ("second", False, True)])
def test_pairs(which, first, second):
    example = types.SimpleNamespace(texts=("a b c d", "e f g h"), label=0)
    new = swap(which=which)([example], generator(0, "tau"))[0].texts
    assert isinstance(new, tuple) and (new[0] != "a b c d", new[1] != "e f g h") == (first, second)


def test_either_text_of_a_pair():
    example = types.SimpleNamespace(texts=["a b c d", "e f g h"], label=0)
    made = [item.texts for item in swap(which="either", copies=40)([example], generator(0, "tau"))]
    changes = [(new[0] != "a b c d", new[1] != "e f g h") for new in made]
    assert set(changes) == {(True, False), (False, True)} and all(isinstance(new, list) for new in made)


def test_swap_keeps_the_words_and_the_spaces():
    new = changed(swap(), "a  b\tc d")
    assert sorted(new.split()) == ["a", "b", "c", "d"] and [c for c in new if c.isspace()] == [" ", " ", "\t", " "]


def test_drop_rate():
    text = " ".join(f"w{i}" for i in range(2000))
    assert len(changed(drop(rate=0.2), text).split()) == pytest.approx(1600, abs=80)
    assert set(changed(drop(rate=0.2), text).split()) <= set(text.split())


def test_typo_changes_letters_by_one_step():
    text = " ".join(["keyboard"] * 500)
    words = changed(typo(rate=1.0), text).split()
    assert len(words) == 500 and all(abs(len(word) - 8) <= 1 and word != "" for word in words)
    assert len(set(words)) > 20


def test_mlm_masks_the_rate_and_keeps_the_punctuation():
    asked = []

    def asking(texts):
        asked.extend(texts)
        return fill(texts)

    text = " ".join(f"w{i}," for i in range(200))
    new = changed(mlm(asking), text).split()
    assert asked[0].count(MASK + ",") == asked[0].count(MASK) == 30  # 15 % of 200
    assert sum(word.startswith("word") for word in new) == 30 and all(word.endswith(",") for word in new)


def test_mlm_asks_once_for_all_texts():
    calls = []

    def asking(texts):
        calls.append(len(texts))
        return fill(texts)

    example = types.SimpleNamespace(texts=["a b c", "d e f"], label=0)
    mlm(asking, copies=2)([example] * 3, generator(0, "tau"))
    assert calls == [12]


def test_mlm_draws_by_probability():
    text = " ".join(["x"] * 4000)
    new = changed(mlm(fill, rate=1.0, top_k=3), text).split()
    expected = np.array([4, 2, 1]) / 7
    assert [new.count(f"word{i}") / 4000 for i in (1, 2, 3)] == pytest.approx(expected, abs=0.03)
    cold = changed(mlm(fill, rate=1.0, top_k=3, temperature=0.01), text).split()
    assert set(cold) == {"word1"}


def test_mlm_never_takes_the_word_itself_or_nothing():
    def filling(texts):
        return [[[("Same", 0.9), (" ", 0.05), (MASK, 0.03), ("other", 0.01), ("never", 0.0)]] for _ in texts]

    assert changed(mlm(filling), "same") == "other"
    assert changed(mlm(lambda texts: [[[("same", 1.0)]] for _ in texts]), "same") == "same"  # the loop counts it


@pytest.mark.parametrize("answer", [[], [[]], [[[("a", 1.0)], [("b", 1.0)]]]])
def test_mlm_refuses_another_number_of_answers(answer):
    with pytest.raises(InputError, match="expected 1 texts with 1"):
        changed(mlm(lambda texts: answer), "word")


def test_text_with_the_mask_mark_stays():
    assert changed(mlm(fill), f"a {MASK} b") == f"a {MASK} b"


def test_composition():
    tau = compose(drop(rate=0.3, copies=2, markers=("*",)), typo(rate=0.5))
    made = tau([("some words *stay here* and others go away quickly", 1)], generator(0, "tau"))
    assert tau.name == "drop+typo" and len(made) == 2 and all("*stay here*" in item.texts for item in made)
    assert make_tau("mlm+swap", fill=fill, copies=2).name == "mlm+swap"
    assert make_tau("os.path:join") is __import__("os").path.join


def test_a_tau_is_added_by_one_function_and_one_line(monkeypatch):
    def shout(**options):
        return Tau("shout", (lambda texts, rng: [[word._replace(text=word.text.upper()) for word in words]
                                                 for words in texts],), **options)

    monkeypatch.setitem(TAUS, "shout", shout)
    made = make_tau("shout+drop", copies=2)([("one two three", 0)], generator(0, "tau"))
    assert len(made) == 2 and all(item.texts.isupper() and len(item.texts.split()) == 2 for item in made)
    assert not AgoraRunOptions(agora=True, socrates="x", tau="shout").fills_masks
    with pytest.raises(InputError, match="'whisper' is unknown; choose among typo, swap, drop, mlm, shout, joined"):
        make_tau("whisper")


def test_a_tau_that_refills_masks_is_given_the_model(monkeypatch):
    given = {}

    def refill(fill, top_k, temperature, **options):
        given.update(fill=fill, top_k=top_k, temperature=temperature)
        return typo(**options)

    monkeypatch.setitem(TAUS, "refill", refill)
    make_tau("typo + refill", fill, top_k=3, temperature=0.5)
    assert given == {"fill": fill, "top_k": 3, "temperature": 0.5}
    assert AgoraRunOptions(agora=True, socrates="x", tau="typo+refill", mlm="y").fills_masks
    with pytest.raises(InputError, match="refill needs a masked language model"):
        make_tau("refill")


def test_alternatives_make_the_points_of_each_and_say_whose():
    def shout(examples):
        return [text.upper() for text, _ in examples]

    made = alternatives([typo(copies=2), drop(), shout])([("one two three", 0), ("four five", 1)], generator(0, "tau"))
    assert [(item.source, item.tau) for item in made] == [
        (0, "typo"), (0, "typo"), (1, "typo"), (1, "typo"), (0, "drop"), (1, "drop"),
        (0, shout.__qualname__), (1, shout.__qualname__)]
    assert made[-1].texts == "FOUR FIVE"
    only = typo()
    assert alternatives([only]) is only and alternatives([typo(), swap()]).name == "typo,swap"
    with pytest.raises(InputError, match="gave 1 inputs for 2 examples"):
        alternatives([typo(), lambda examples: ["x"]])([("one", 0), ("two", 1)], generator(0, "tau"))
    with pytest.raises(InputError, match="none given"):
        alternatives([])


@pytest.mark.parametrize("call, words", [
    (lambda: make_tau("mlm"), "needs a masked language model"), (lambda: make_tau("shuffle"), "'shuffle' is unknown"),
    (lambda: make_tau("no.such:thing"), "cannot be imported"), (lambda: make_tau("os:nothing"), "cannot be imported"),
    (lambda: make_tau("os:name"), "not a function"), (lambda: compose(), "nothing to compose"),
    (lambda: typo(rate=0), "rate is 0"), (lambda: drop(copies=0), "copies is 0"),
    (lambda: swap(which="third"), "which is 'third'"), (lambda: mlm(fill, top_k=0), "top_k is 0"),
    (lambda: mlm(fill, temperature=0), "temperature"), (lambda: typo(markers=("",)), "marker is empty"),
    (lambda: typo()([(1.5, 0)], generator(0, "tau")), "not text"),
])
def test_refuses(call, words):
    with pytest.raises(InputError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_words():
    assert join(split_words("a  b\tc ")) == "a  b\tc" and split_words("  ") == []
    assert [word.fixed for word in split_words("one two three", [(5, 6)])] == [False, True, False]
    assert marked_spans("a *b c* d *e", ("*",)) == [(2, 7), (10, 11)]

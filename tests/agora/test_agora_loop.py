"""Agora's loop, pruning, mining, audit and record, on injected functions."""

import collections
import dataclasses
import functools
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bort_mx import finetuning
from bort_mx.agora import Hooks, Record, agora, prune
from bort_mx.agora.audit import AuditGuard, split
from bort_mx.agora.balancing import balanced
from bort_mx.agora.enumeration import enumerate_thetas
from bort_mx.agora.labelling import relabel
from bort_mx.agora.perturbation import Perturbed
from bort_mx.agora.points import key
from bort_mx.agora.pruning import explain, longest_common_subsequence
from bort_mx.agora.rounds import Job
from bort_mx.data.tasks import Example
from bort_mx.errors import InputError
from bort_mx.random import generator

THETAS = [(rate, seed) for rate in (0.1, 0.2, 0.3) for seed in (7, 8)]
DATA = [(f"point {i}", i % 2) for i in range(10)]
DEV = [(f"dev {i}", i % 2) for i in range(12)]


def parity(texts):
    """A perfect teacher: the last digit's parity, sure of it."""
    return [int(text[-1]) % 2 for text in texts], [0.9] * len(texts)


def jitter(examples, rng):
    """Two new texts of each example that keep its last digit."""
    return [Perturbed(f"{int(rng.integers(10**6))} {text}", i) for i, (text, _) in enumerate(examples) for _ in "ab"]


def gives_the_mistakes(examples):
    return [text for text, _ in examples]


class Learner:
    """A model is (theta, number of points); its accuracy rises with both, and it errs on some of dev."""

    def __init__(self, fail_at=None):
        self.calls, self.fail_at = 0, fail_at

    def train(self, theta, data):
        if self.calls == self.fail_at:
            raise KeyboardInterrupt
        self.calls += 1
        noise = generator(0, "learner", len(data), int(theta[0] * 10), theta[1]).random() / 20
        return (theta, len(data)), 0.5 + 0.3 * (1 - 5 / (5 + len(data))) + theta[0] / 10 + noise

    @staticmethod
    def mistakes(model):
        return [example for i, example in enumerate(DEV) if (i + model[1]) % 3 == 0]


def run(learner=None, thetas=THETAS, tau=jitter, socrates=parity, data=DATA, dev=DEV, **given):
    """`agora` with defaults; fields of `Hooks` and `Record` may be given as they are."""
    learner = learner or Learner()
    hooks, record = (kind(**{field.name: given.pop(field.name) for field in dataclasses.fields(kind)
                             if field.name in given}) for kind in (Hooks, Record))
    return agora(thetas, learner.train, learner.mistakes, tau, socrates, data, dev=dev, hooks=hooks, record=record,
                 **given)


# Pruning

@pytest.mark.parametrize("accuracies, stay", [
    # Worst (1, 10, 5, 0); it shares (1, 10, 5) with the third: both go. The second shares two values only.
    ({(1, 10, 5, 0): 0.1, (1, 10, 6, 2): 0.5, (1, 10, 5, 3): 0.9, (2, 20, 6, 4): 0.4}, [(1, 10, 6, 2), (2, 20, 6, 4)]),
    # The subsequence may have gaps: (1, 5).
    ({(1, 10, 5): 0.1, (1, 20, 5): 0.9, (1, 20, 6): 0.8}, [(1, 20, 6)]),
    # Equally long with both: that shared with the worse partner, (1, 3); (1, 10, 4) contains it not.
    ({(1, 10, 3): 0.1, (1, 20, 3): 0.2, (1, 10, 4): 0.3}, [(1, 10, 4)]),
    # Nothing shared: the worst goes alone, not everything that contains the empty sequence.
    ({("a", "b"): 0.3, ("c", "d"): 0.2, ("e", "f"): 0.4}, [("a", "b"), ("e", "f")]),
    # The best goes too if it contains the subsequence; a single theta goes.
    ({(1, 2): 0.1, (1, 3): 0.9}, []),
    ({(1, 2): 0.1}, []),
    # Equal accuracies: the earlier one is the worse.
    ({(1, 2): 0.5, (3, 4): 0.5, (5, 6): 0.6}, [(3, 4), (5, 6)]),
    # All are equal: the round's best, the first, stays, even if it contains the common subsequence.
    ({(1, 2): 0.5, (3, 4): 0.5}, [(1, 2)]),
    ({(1, 2): 0.5, (1, 3): 0.5, (1, 4): 0.5}, [(1, 2)]),
])
def test_lcs_by_hand(accuracies, stay):
    assert prune(accuracies) == stay


def test_worst_by_hand():
    accuracies = {(1, 2): 0.4, (1, 3): 0.1, (1, 4): 0.1}
    assert prune(accuracies, "worst") == [(1, 2), (1, 4)]
    assert explain(accuracies, "worst").removed == [(1, 3)]


@pytest.mark.parametrize("first, second, common", [
    ((1, 2, 3, 4), (1, 9, 3, 4), (1, 3, 4)), ((1, 2, 3), (2, 3, 1), (2, 3)), ((1, 2), (2, 1), (1,)), ((1,), (2,), ()),
    ((1, 2, 1), (1, 1, 2), (1, 2)),
])
def test_longest_common_subsequence(first, second, common):
    assert longest_common_subsequence(first, second) == common


@pytest.mark.parametrize("accuracies, strategy, words", [
    ({(1,): 0.5}, "best", "unknown"), ({}, "lcs", "empty"), ({(1,): float("nan")}, "lcs", "finite"),
    ({(1,): None}, "lcs", "finite"),
])
def test_prune_refuses(accuracies, strategy, words):
    with pytest.raises(InputError, match=words) as caught:
        prune(accuracies, strategy)
    assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(["lcs", "worst"]), st.integers(0, 2))
def test_terminates(data, strategy, replay):
    thetas = data.draw(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=12, unique=True))
    numbers = data.draw(st.randoms(use_true_random=False))
    trained = []

    def train(theta, points):
        trained.append(theta)
        return None, numbers.choice([0.25, 0.5, 0.75, numbers.random()])

    result = agora(thetas, train, lambda model: DEV[:2], jitter, parity, DATA, strategy, replay=replay)
    size, again = len(thetas), 1 + replay
    assert len(result.rounds) <= size * again and len(trained) == result.trainings <= size ** 2 * again
    assert result.stopped == "Theta is empty" and result.bound == (1.0, 2 - 2.0 ** (1 - size))
    alive = list(thetas)
    for this in result.rounds:
        assert list(this.accuracies) == alive and (this.pruned or replay)
        alive = [theta for theta in alive if theta not in this.pruned]
    assert result.best_accuracy == max(max(this.accuracies.values()) for this in result.rounds)


# The loop

def test_result():
    result = run(strategy="worst")
    assert [len(this.accuracies) for this in result.rounds] == [6, 5, 4, 3, 2, 1] and result.trainings == 21
    assert result.best_theta[0] == 0.3 and result.best_model[0] == result.best_theta
    assert result.socrates_accuracy == 1 and result.socrates_checked_on == "dev"
    first = result.rounds[0]
    assert (first.size, first.mistakes, first.made, first.added) == (10, 4, 8, 8) and len(first.pruned) == 1
    assert result.rounds[1].pool == 18 and set(result.rounds[1].labels) == {0, 1}
    assert len(set(result.rounds[-1].labels.values())) == 1  # equal proportions
    assert result.rounds[-1].mistakes is None  # nothing would be trained on its points
    new = result.data[len(DATA):]
    assert len(new) == len(result.origins) and all(label == int(text[-1]) % 2 for text, label in new)
    assert result.origins[0] == {"round": 0, "texts": new[0][0], "label": new[0][1], "confidence": 0.9, "tau": "jitter",
                                 "seed_texts": "dev 2", "seed_label": 0, "seed_idx": None, "seed_group": None}


def test_starts_from_all_thetas_and_never_changes_the_callers_data():
    data, seen = list(DATA), []

    def train(theta, points):
        seen.append(theta)
        points.clear()
        return None, theta[0]

    agora(THETAS, train, lambda model: DEV[:1], jitter, parity, data)
    assert seen[:6] == THETAS and data == DATA


def test_plain_callables():
    """No rng, bare inputs, bare labels, no dev; arrays as inputs."""
    data = [(np.array([i / 10, 1.0], np.float32), i % 2) for i in range(6)]
    result = agora([(1,), (2,)], lambda theta, points: (theta, theta[0] / 4), lambda model: data[:3],
                   lambda examples: [x + 0.01 for x, _ in examples], lambda xs: np.array([1] * len(xs)), data,
                   balance=False)
    assert result.best_theta == (2,) and result.socrates_accuracy is None
    new, label = result.data[6]
    assert isinstance(new, np.ndarray) and new.dtype == np.float32 and new.tolist() == (data[0][0] + 0.01).tolist()
    assert label == 1 and type(label) is int


def test_task_examples_keep_their_type():
    data = [Example(i, (f"a {i}", f"b {i}"), "yes" if i % 2 else "no", None, {"passage": i}) for i in range(4)]
    dev = [Example("d1", ("left", "right"), "yes", 3), Example("d2", ("up", "down"), "no", 4)]
    result = agora([(1,), (2,)], lambda theta, points: (None, 0.5), lambda model: dev[:1],
                   lambda examples: [Perturbed((f"{e.texts[0]}!", e.texts[1]), 0) for e in examples],
                   lambda texts: ["yes" if t[0].startswith("left") else "no" for t in texts], data, dev=dev)
    assert result.data[-1] == Example("d1", ("left!", "right"), "yes", 3)
    assert result.origins[0]["seed_texts"] == ["left", "right"]


def test_dropped_points_are_counted():
    made = ["Dev  0", "point 3", "new 1", "new  1", "dev 5", "kept away 1", "unsure 1", "new 3", "new 5"]

    def socrates(texts):
        return parity(texts)[0], [0.2 if text.startswith("unsure") else 0.8 for text in texts]

    result = run(tau=lambda examples: made, socrates=socrates, thetas=THETAS[:2], strategy="worst", threshold=0.5,
                 max_points=2, audit=[("Kept away 1", 1)])
    first = result.rounds[0]
    assert first.dropped == {"unchanged": 1, "duplicate": 2, "in dev": 1, "in audit": 1, "low confidence": 1,
                             "over the limit": 1}
    assert first.made == 9 == first.added + sum(first.dropped.values())
    assert [text for text, _ in result.data[len(DATA):]] == ["new 1", "new 3"]


def test_balance():
    data = [(f"p{i}", 0 if i < 9 else 1) for i in range(12)]
    small, large = balanced(data, seed=1), balanced(data + [("q", 1)] * 3, seed=1)
    assert collections.Counter(label for _, label in small) == {0: 3, 1: 3}
    assert collections.Counter(label for _, label in large) == {0: 6, 1: 6}
    assert set(small) <= set(large)
    assert balanced(data, seed=1) == small != balanced(data, seed=2)
    assert balanced([]) == []
    grades = [(f"s{i}", i / 4) for i in range(11)]  # regression: the classes are the rounded labels; 0: 3, 1: 3, 2: 5
    assert collections.Counter(round(label) for _, label in balanced(grades, as_class=round)) == {0: 3, 1: 3, 2: 3}


def test_replay_repeats_a_round_that_did_not_improve():
    scripted = iter([0.6, 0.5, 0.4, 0.7])  # round 0 prunes (2,); rounds 1 and 2 do not improve: one replay, then out
    result = agora([(1,), (2,)], lambda theta, points: (None, next(scripted)), lambda model: DEV[:1], jitter, parity,
                   DATA, "worst", replay=1)
    assert [this.pruned for this in result.rounds] == [[(2,)], [], [(1,)]]
    assert "replay" in result.rounds[1].reason and result.rounds[2].pool > result.rounds[1].pool


def test_cheap_reproduction_with_one_theta():
    result = run(thetas=THETAS[:1], strategy="none", max_rounds=3)
    assert len(result.rounds) == 3 and result.stopped == "the limit of 3 rounds"
    assert [this.size for this in result.rounds] == sorted({this.size for this in result.rounds})
    with pytest.raises(InputError, match="max_rounds"):
        run(strategy="none")


def test_stops_without_mistakes():
    result = agora(THETAS, Learner().train, lambda model: [], jitter, parity, DATA, dev=DEV)
    assert len(result.rounds) == 1 and result.stopped == "the best model makes no mistakes on dev"


def test_points_limit_stops_after_they_are_trained_on():
    result = run(strategy="worst", max_points=10, balance=False)
    assert [this.size for this in result.rounds] == [10, 18, 20] and result.stopped.startswith("10 new points")


@pytest.mark.parametrize("change", [{"tau": gives_the_mistakes}, {"threshold": 0.95}])
def test_a_round_without_new_points_is_not_the_end(change):
    """Unchanged copies, or a teacher who is never sure enough: no limit on points has been reached."""
    result = run(strategy="worst", **change)
    assert result.stopped == "Theta is empty" and len(result.rounds) == 6 and not result.origins
    assert all(this.mistakes and sum(this.dropped.values()) == this.made > 0 for this in result.rounds[:-1])


def test_measures_are_kept():
    result = run(measure=lambda model, data: {"train": 1.0, "audit": len(data) / 100}, balance=False)
    assert [this.measures["audit"] for this in result.rounds] == [this.size / 100 for this in result.rounds]


def test_baselines():
    learner = Learner()
    theta, model, accuracy = enumerate_thetas(THETAS, learner.train, DATA)
    assert learner.calls == 6 and accuracy == max(Learner().train(t, DATA)[1] for t in THETAS)
    assert relabel(DATA, lambda texts: [1] * len(texts)) == [(text, 1) for text, _ in DATA]


def test_the_public_names_are_those_of_fine_tuning():
    assert finetuning.agora is agora and finetuning.prune is prune


def test_imports_no_mxnet():
    code = ("import sys, bort_mx.finetuning, bort_mx.agora.options; "
            "sys.exit('mxnet' in sys.modules or 'torch' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# Refusals

def test_random_socrates_is_refused():
    dev = [(f"dev {i}", i % 2) for i in range(60)]
    coin = generator(1, "coin")
    with pytest.raises(InputError, match=r"balanced accuracy 0\.[45]\d+ on the 60 examples of dev is below 0\.6667"):
        run(dev=dev, socrates=lambda texts: coin.integers(2, size=len(texts)))
    assert run(dev=dev, socrates=lambda texts: [0] * len(texts), socrates_minimum=0).socrates_accuracy == 0.5


def test_socrates_is_checked_on_enough_training_data_if_there_is_no_dev():
    many = [(f"point {i}", i % 2) for i in range(20)]
    with pytest.raises(InputError, match="20 examples of data"):
        run(data=many, dev=None, socrates=lambda texts: [0] * len(texts))
    assert run(dev=None, socrates=lambda texts: [0] * len(texts)).socrates_checked_on == ""


def gives(text):
    return lambda examples: [text for _ in examples]


@pytest.mark.parametrize("change, words", [
    ({"thetas": []}, "Theta is empty"),
    ({"thetas": [(1, 2), [1, 2]]}, "occurs twice"),
    ({"socrates": lambda texts: ["entailment"] * len(texts)}, "gives the label 'entailment'"),
    ({"socrates": lambda texts: [0]}, "1 labels and 1 confidences for 12 inputs"),
    ({"socrates": lambda texts: 0}, "expected labels"),
    ({"socrates": lambda texts: parity(texts)[0], "threshold": 0.5}, "no confidences"),
    ({"tau": gives(" ")}, "empty text"),
    ({"tau": gives(None)}, "empty text"),
    ({"tau": gives("\u200b ...")}, "empty text"),
    ({"tau": lambda examples: None}, "gave None for 4 examples; it must return a list"),
    ({"tau": gives(("a", "b"))}, "same form"),
    ({"tau": lambda examples: [Perturbed("new 1", -1)]}, "comes from example -1; it was given 4"),
    ({"dev": [example for example in DEV if example[1]]}, "no example with label 0"),
    ({"dev": []}, "has no examples"),
    ({"data": ["text only"]}, "has no label"),
    ({"data": [("text", None)]}, "has no label"),
    ({"strategy": "best"}, "unknown"),
    ({"replay": -1}, "replay is -1"),
    ({"max_rounds": 0}, "max_rounds is 0"),
    ({"threshold": 2}, "threshold is 2"),
])
def test_bad_input(change, words):
    with pytest.raises(InputError, match=words) as caught:
        run(**change)
    assert "\n" not in str(caught.value)


def test_a_regression_takes_any_number():
    """Values that neither data nor dev have are no other task's labels, and dev need not have all."""
    data, dev = [(f"point {i}", i + 0.2) for i in range(6)], [(f"dev {i}", i / 2) for i in range(4)]
    result = agora([(1,), (2,)], lambda theta, points: (None, 0.5), lambda model: dev[:2], jitter,
                   lambda texts: [40.5] * len(texts), data, dev=dev, hooks=Hooks(as_class=round),
                   socrates_minimum=0.0)
    assert {label for _, label in result.data[6:]} == {40.5}


def test_it_is_said_when_balancing_leaves_few():
    said = []
    data = [(f"point {i}", 0 if i < 18 else 1) for i in range(20)]
    run(data=data, say=said.append)
    assert said[1] == ("round 0: balancing leaves 4 of 20 training points, as only 2 have the label 1; without balance "
                       "(--no-balance) all are taken")


def test_a_round_that_finds_nothing_new_says_so():
    said = []
    run(tau=lambda examples: [], say=said.append, strategy="worst")
    assert "round 0: no new point came of 4 mistakes (tau made 0); the next round trains on the same data" in said


def test_no_confidence_is_none_above_a_threshold():
    result = run(socrates=lambda texts: (parity(texts)[0], [float("nan")] * len(texts)), threshold=0.5)
    assert len(result.data) == len(DATA) and result.rounds[0].dropped["low confidence"]


@pytest.mark.parametrize("answer", [None, 0.5, (None, float("nan")), (None, "high")])
def test_bad_trainer(answer):
    with pytest.raises(InputError, match="train|theta"):
        agora([(1,)], lambda theta, data: answer, lambda model: [], jitter, parity, DATA)


# Audit

@pytest.mark.parametrize("change, words", [
    ({"audit": [("Point  3", 1)]}, "training data: 1 of 10"),
    ({"audit": [("DEV 2", 0)]}, "dev: 1 of 12"),
    ({"audit": [("dev 2", 0)], "dev": None}, "round 0: mistakes: 1 of 4"),
])
def test_planted_leak_is_caught(change, words):
    with pytest.raises(InputError, match=words):
        run(**change)


def test_a_leak_inside_the_run_is_caught(monkeypatch):
    """A tau point that passes the filter (here: switched off) is caught where it would be trained on."""
    monkeypatch.setattr(AuditGuard, "__contains__",
                        lambda self, value: key(value) in self._keys and sys._getframe(1).f_code.co_name != "_fresh")
    with pytest.raises(InputError, match="round 1: training data: 1 of"):
        run(tau=gives("secret 1"), audit=[("Secret 1", 1)], balance=False)


def test_audit_split():
    data = [Example(i, (f"t {i // 2}",), i % 2, i // 4 if i < 40 else None) for i in range(100)]
    train, audit = split(data, 20, seed=3)
    assert len(train) + len(audit) == 100 and 20 <= len(audit) <= 24
    AuditGuard(audit).check(train, "train")
    assert not {e.group for e in train} & {e.group for e in audit} - {None}
    assert split(data, 20, seed=3) == (train, audit) != split(data, 20, seed=4)
    skewed = [(f"s {i}", int(i % 10 == 0)) for i in range(200)]
    assert sum(label for _, label in split(skewed, 50)[1]) == 5  # the labels keep their proportions
    for size, points in ((0, data), (100, data), (3, [("same", 0)] * 5)):
        with pytest.raises(InputError, match="audit slice"):
            split(points, size)


def test_audit_split_leaves_what_dev_has_and_keeps_passages_together():
    data = [(f"t {i}", i % 2) for i in range(40)]
    _, audit = split(data, 20, others=[(f"T  {i}", 0) for i in range(10)])
    assert len(audit) == 20 and not {text for text, _ in audit} & {f"t {i}" for i in range(10)}
    with pytest.raises(InputError, match="audit slice"):
        split(data, 20, others=data)
    reading = [((f"passage {i // 4}", f"question {i}"), i % 2) for i in range(40)]
    for together in (False, True):
        train, audit = ({texts[0] for texts, _ in side} for side in split(reading, 8, passages=together))
        assert bool(train & audit) != together


def test_guard_names_the_leak():
    guard = AuditGuard([("A  caf\u00e9", 1)])
    assert "a cafe\u0301" in guard and "a cafe" not in guard and len(guard) == 1
    with pytest.raises(InputError, match="'a caf"):
        guard.check([("x", 0), ("a caf\u00e9", 0)], "mined")


# The record

def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_same_seed_same_bytes(tmp_path):
    results = [run(folder=tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    assert contents(tmp_path / "a") == contents(tmp_path / "b") != contents(tmp_path / "c")
    assert results[0] == results[1] == run(seed=0)
    lines = (tmp_path / "a" / "data" / "round-000.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [o for o in results[0].origins if o["round"] == 0]


def keep(kept, model, number):
    kept[number] = model


@pytest.mark.parametrize("strategy", ["lcs", "worst"])
@pytest.mark.parametrize("models", [False, True])
def test_killed_between_any_two_jobs(tmp_path, strategy, models):
    thetas = THETAS[:4] if strategy == "worst" else THETAS
    whole = run(thetas=thetas, folder=tmp_path / "whole", strategy=strategy, replay=1)
    for at in range(whole.trainings):
        kept = {}
        hooks = {"save_model": functools.partial(keep, kept), "load_model": kept.get} if models else {}
        folder, cut = tmp_path / f"{at}", Learner(fail_at=at)
        with pytest.raises(KeyboardInterrupt):
            run(cut, thetas, folder=folder, strategy=strategy, replay=1, **hooks)
        rest = Learner()
        assert run(rest, thetas, folder=folder, strategy=strategy, replay=1, **hooks) == whole
        assert contents(folder) == contents(tmp_path / "whole")
        assert cut.calls + rest.calls <= whole.trainings + 3 and (not models or rest.calls <= whole.trainings - at + 1)


@pytest.mark.parametrize("name", ["tau", "socrates", "mistakes", "measure"])
def test_killed_between_the_steps_of_a_round(tmp_path, name):
    steps = {"tau": jitter, "socrates": parity, "mistakes": Learner.mistakes,
             "measure": lambda model, data: {"train": len(data) / 100}}

    def once(folder, tau, socrates, mistakes, measure):
        return agora(THETAS[:4], Learner().train, mistakes, tau, socrates, DATA, "worst", dev=DEV,
                     hooks=Hooks(measure=measure), record=Record(tmp_path / folder))

    whole = once("whole", **steps)
    for at in range(3):
        calls = iter(range(1000))

        @functools.wraps(steps[name])  # keeps the name and the parameter rng
        def dying(*arguments, calls=calls, at=at, **named):
            if next(calls) == at:
                raise KeyboardInterrupt
            return steps[name](*arguments, **named)

        with pytest.raises(KeyboardInterrupt):
            once(f"{at}", **{**steps, name: dying})
        assert once(f"{at}", **steps) == whole and contents(tmp_path / f"{at}") == contents(tmp_path / "whole")


def test_torn_last_line_is_done_again(tmp_path):
    whole = run(folder=tmp_path)
    before, log = contents(tmp_path), tmp_path / "jobs.jsonl"
    log.write_bytes(before["jobs.jsonl"][:-9])
    assert run(folder=tmp_path) == whole and contents(tmp_path) == before


def test_finished_run_trains_the_best_model_only(tmp_path):
    whole, again = run(folder=tmp_path), Learner()
    assert run(again, folder=tmp_path) == whole and again.calls == 1


def test_rounds_limit_may_be_raised(tmp_path):
    run(folder=tmp_path, strategy="worst", max_rounds=2)
    assert run(folder=tmp_path, strategy="worst") == run(strategy="worst")


def test_a_refused_socrates_may_be_accepted_in_the_same_folder(tmp_path):
    asked = []

    def constant(texts):
        asked.append(texts == [text for text, _ in DEV])
        return [0] * len(texts)

    with pytest.raises(InputError, match="below 0.6667"):
        run(socrates=constant, folder=tmp_path)
    assert run(socrates=constant, folder=tmp_path, socrates_minimum=0).socrates_accuracy == 0.5
    assert sum(asked) == 1  # of dev, whose record stands


def test_a_record_of_another_run_is_refused(tmp_path):
    run(folder=tmp_path)
    changes = {"options": {"seed": 1}, "data": {"data": DATA[:8]}, "checkpoint": {"fingerprint": {"checkpoint": "x"}},
               "theta": {"thetas": THETAS[:3]}, "tau": {"tau": gives("new 1")}}
    for words, change in changes.items():
        with pytest.raises(InputError, match=f"differs in .*{words}"):
            run(folder=tmp_path, **change)
    (tmp_path / "data" / "round-000.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="round-000.jsonl"):
        run(folder=tmp_path)
    (tmp_path / "jobs.jsonl").write_text("nonsense\n")
    with pytest.raises(InputError, match="jobs.jsonl:1"):
        run(folder=tmp_path)


def test_training_that_is_not_reproducible_is_noticed(tmp_path):
    run(folder=tmp_path)
    with pytest.raises(RuntimeError, match="training again gave accuracy"):
        agora(THETAS, lambda theta, data: (None, 0.123), Learner.mistakes, jitter, parity, DATA, dev=DEV,
              record=Record(tmp_path))


def test_jobs_in_any_order_and_by_others(tmp_path):
    """Two ranks: each trains half of the jobs, all get all results; the second one writes nothing."""
    learner, seen = Learner(), []

    def run_jobs(jobs):
        assert all(isinstance(job, Job) for job in jobs)
        seen.append([(job.round, job.index) for job in jobs])
        for job in reversed(jobs):
            yield (job, *learner.train(job.theta, job.data))

    result = run(folder=tmp_path / "a", run_jobs=run_jobs)
    assert result == run() and seen[0] == [(0, i) for i in range(6)]
    assert run(folder=tmp_path / "b", write=False) == result and not (tmp_path / "b").exists()
    with pytest.raises(RuntimeError, match="5 of 6 jobs"):
        run(run_jobs=lambda jobs: ((job, *learner.train(job.theta, job.data)) for job in jobs[1:]))

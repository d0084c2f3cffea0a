"""Agora's score on unbalanced sets: problems on which the older rule chooses a constant answer, and the check of it."""

import json

import numpy as np
import pytest

from bort_mx.agora import Hooks, agora
from bort_mx.agora.audit import split
from bort_mx.agora.options import AgoraRunOptions
from bort_mx.agora.run import _sets
from bort_mx.agora.scoring import (
    CONFIDENCE,
    BalancedScore,
    ExampleScore,
    QuestionScore,
    RegressionScore,
    score_of,
)
from bort_mx.data.tasks import Example, get_task
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.finetuning.task_data import read_task_data


def questions(count, candidates, seed=0):
    """Questions of which one candidate is right."""
    rng = np.random.default_rng(seed)
    return [Example(f"{q}/{k}", (f"passage {q}", f"answer {k}"), "1" if k == right else "0", q, {"candidate": k})
            for q, right in enumerate(rng.integers(candidates, size=count)) for k in range(candidates)]


def pairs(count, share, seed=0):
    """Single examples, a share of them "1"."""
    rng = np.random.default_rng(seed)
    return [Example(i, (f"text {i}",), label) for i, label in
            enumerate(rng.permutation(["1"] * round(share * count) + ["0"] * round((1 - share) * count)))]


def noisy(dev, noise, seed=1):
    """Scores (N, 2) of a model that knows the labels, with noise."""
    rng = np.random.default_rng(seed)
    margin = np.array([1.0 if e.label == "1" else -1.0 for e in dev]) + noise * rng.standard_normal(len(dev))
    return np.stack([-margin, margin], axis=1)


def always(dev, label):
    """Scores of a model that gives every input the same."""
    return np.tile([1.0, 0.0] if label == "0" else [0.0, 1.0], (len(dev), 1))


PROBLEMS = {  # dev, noise of the model that knows something, the constant answer, the task
    "RACE": (questions(400, 4), 1.6, "0", "RACE-M"),
    "ReCoRD": (questions(200, 8), 1.5, "0", "ReCoRD"),
    "MRPC": (pairs(408, 279 / 408), 2.6, "1", "MRPC"),
}


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("rule, winner", [("examples", ("constant",)), ("task", ("knows",))])
def test_the_older_rule_chooses_the_constant_answer_and_the_new_one_does_not(problem, rule, winner):
    dev, noise, label, name = PROBLEMS[problem]
    task, models = get_task(name), {("constant",): always(dev, label), ("knows",): noisy(dev, noise)}
    score = score_of(task, rule)

    def train(theta, data):
        predictions = score.predictions(task, dev, models[theta])
        return theta, score.value(dev, predictions)

    def mistakes(theta):
        right = score.right(dev, score.predictions(task, dev, models[theta]))
        return [example for example, fine in zip(dev, right) if not fine]

    perfect = {example.texts: example.label for example in dev}
    result = agora(list(models), train, mistakes, lambda examples: [], lambda texts: [perfect[t] for t in texts],
                   [Example(-1, ("a", "b"), "0"), Example(-2, ("c", "d"), "1")], "worst", dev=dev,
                   hooks=Hooks(score=score), max_rounds=1)
    assert result.best_theta == winner
    assert result.rounds[0].pruned == [theta for theta in models if theta != winner]


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_constant_teacher_passes_by_the_older_rule_and_is_refused_by_the_new_one(problem):
    dev, _, label, name = PROBLEMS[problem]
    task = get_task(name)
    constant = [label] * len(dev)
    assert score_of(task, "examples").check(dev, constant).score > 2 / 3
    score = score_of(task)
    with pytest.raises(InputError, match=r"Socrates: \w+ accuracy 0\.\d+ on the \d+ examples of dev is below 0.6667"):
        agora([(1,)], None, None, None, lambda texts: ([label] * len(texts), [0.9] * len(texts)), dev, dev=dev,
              hooks=Hooks(score=score))


@pytest.mark.parametrize("each, refused", [(6, True), (60, False)])
def test_the_margin_is_what_the_sample_supports(each, refused):
    """Two thirds right in both classes: 12 examples do not support that it is no constant answer, 120 do."""
    dev = [(f"{label} {i}", label) for label in (0, 1) for i in range(each)]

    def socrates(texts):
        return [int(text[0]) ^ (int(text.split()[1]) % 3 == 0) for text in texts]

    def run():
        return agora([(1,)], lambda theta, data: (theta, 1.0), lambda model: [], lambda examples: [], socrates,
                     [("x", 0), ("y", 1)], dev=dev)

    if refused:
        with pytest.raises(InputError, match=r"is not above that of a constant answer, 0\.5000, by the 0\.2"):
            run()
    else:
        assert run().socrates_accuracy == pytest.approx(2 / 3)


def test_balanced_accuracy_and_its_margin_by_an_independent_formula():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(2)
    labels = rng.choice(["a", "b", "c"], size=300, p=[0.7, 0.2, 0.1])
    predictions = np.where(rng.random(300) < 0.7, labels, rng.choice(["a", "b", "c"], size=300))
    dev = [Example(i, (str(i),), label) for i, label in enumerate(labels)]
    found = BalancedScore().check(dev, list(predictions))
    assert found.score == pytest.approx(sklearn.balanced_accuracy_score(labels, predictions))
    assert found.constant == pytest.approx(sklearn.balanced_accuracy_score(labels, ["a"] * 300))
    # The margin, by drawing right and wrong answers again with the shares found.
    shares = [(labels == name, np.mean(predictions[labels == name] == name)) for name in "abc"]
    again = [np.mean([rng.binomial(of.sum(), p) / of.sum() for of, p in shares]) for _ in range(4000)]
    assert found.margin == pytest.approx(CONFIDENCE * np.std(again), rel=0.08)


def test_questions_by_hand():
    """Three questions: the first answered rightly, the second wrongly, the third a tie that goes to its first."""
    dev = [Example(i, (str(i),), label, group, {"candidate": i}) for i, (label, group) in
           enumerate([("0", "a"), ("1", "a"), ("1", "b"), ("0", "b"), ("0", "c"), ("1", "c")])]
    score = QuestionScore()
    scores = np.array([[2, 1], [2, 3], [5, 0], [5, 4], [1, 1], [1, 1]], float)
    predictions = score.predictions(get_task("RACE-M"), dev, scores)
    assert predictions == ["0", "1", "0", "1", "1", "0"]
    assert score.value(dev, predictions) == pytest.approx(1 / 3)
    assert score.right(dev, predictions) == [True, True, False, False, False, False]
    # A teacher's labels: "1" with confidence p, or "0" with confidence 1 − p.
    assert score.from_answers(dev, ["1", "1", "0", "0", "0", "0"], [0.6, 0.9, 0.9, 0.8, 0.7, 0.6]) == [
        "0", "1", "0", "1", "0", "1"]
    assert score.check(dev, predictions).constant == pytest.approx(2 / 3)  # always the second candidate


def test_sts_b_is_rounded_to_fifths():
    values, given = np.linspace(0, 5, 101), np.linspace(0.03, 4.9, 101)
    dev = [Example(i, (str(i),), float(value)) for i, value in enumerate(values)]
    score = score_of(get_task("STS-B"))
    expected = np.round(np.asarray(given) * 5) == np.round(values * 5)
    assert isinstance(score, RegressionScore) and score.right(dev, list(given)) == list(expected)
    assert 0.3 < np.mean(expected) < 0.9
    whole = score_of(get_task("STS-B"), "examples")
    assert whole.right(dev, list(given)) == list(np.round(given) == np.round(values))
    assert score.check(dev, list(given)).score == pytest.approx(np.corrcoef(given, values)[0, 1])
    assert ExampleScore().name == score.name


def test_the_audit_slice_has_the_base_rate_of_dev():
    train = pairs(1000, 0.9)
    rate = {"1": 60, "0": 40}
    _, natural = split(train, 50)
    _, like_dev = split(train, 50, rates=rate)
    assert [sum(e.label == "1" for e in aside) for aside in (natural, like_dev)] == [45, 30]


def test_the_audit_slice_of_race_has_whole_questions(tmp_path):
    """It is drawn before wrong options are discarded: a quarter of its options is right, as in dev; of train a half."""
    for part, count in (("train", 20), ("dev", 8)):
        folder = tmp_path / "RACE" / part / "middle"
        folder.mkdir(parents=True)
        for i in range(count):
            record = {"id": f"middle{i}.txt", "article": f"{part} passage {i}", "answers": ["ABCD"[i % 4], "B"],
                      "questions": [f"what {i} ?", f"why {i} ?"], "options": [[f"{o} {i}" for o in "wxyz"]] * 2}
            (folder / f"{i}.txt").write_text(json.dumps(record))
    task = get_task("RACE-M")
    options = AgoraRunOptions(task="RACE-M", data_dir=str(tmp_path), agora=True, socrates="x", score="task",
                              audit_share=0.2).resolved(task, task)
    data = read_task_data(task, task, str(tmp_path), 0, Workers(), discards=False)
    data, aside = _sets(data, options.audit_examples, 0, False)
    counts = {group: [e.label for e in aside if e.group == group] for group in {e.group for e in aside}}
    assert aside and all(sorted(labels) == ["0", "0", "0", "1"] for labels in counts.values())
    labels = [example.label for example in data.train]
    assert labels.count("0") == labels.count("1") > 0
    assert not {e.texts[0] for e in aside} & {e.texts[0] for e in data.train}
    assert any("its labels (dev's): 0 75.0% (75.0%), 1 25.0% (25.0%)" in note for note in data.notes)

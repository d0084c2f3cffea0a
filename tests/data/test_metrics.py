"""Every metric against an independent computation, degenerate sets included; averages against the paper's scores."""

import math

import numpy as np
import pytest

from bort_mx.data import metrics
from bort_mx.data.metrics import benchmark_average, task_metrics
from bort_mx.data.tasks import get_task
from bort_mx.errors import InputError

SETS = 50


def random_sets(num_labels, seed):
    """50 pairs of (predictions, labels) of 2 to 40 items: uniform, skewed, with empty classes, and constant ones."""
    rng = np.random.default_rng(seed)
    for number in range(SETS):
        size = int(rng.integers(2, 40))
        weights = rng.dirichlet(np.full(num_labels, 0.4), size=2)
        predictions, labels = (rng.choice(num_labels, size, p=w).tolist() for w in weights)
        if number % 10 == 8:
            predictions = [predictions[0]] * size
        if number % 10 == 9:
            labels = [labels[0]] * size
        yield predictions, labels


def counts_f1(predictions, labels, label):
    """F1 from counts; None where it is undefined."""
    hits = sum(p == q == label for p, q in zip(predictions, labels))
    total = predictions.count(label) + labels.count(label)
    return 2 * hits / total if total else None


def direct_matthews(predictions, labels):
    """Multi-class Matthews as the correlation of one-hot matrices (Gorodkin's R_K); None where undefined."""
    classes = sorted(set(predictions) | set(labels))
    x, y = (np.array([[v == c for c in classes] for v in values], dtype=float) for values in (predictions, labels))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    norm = math.sqrt((x * x).sum() * (y * y).sum())
    return (x * y).sum() / norm if norm > 1e-12 else None


def direct_pearson(x, y):
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    x, y = x - x.mean(), y - y.mean()
    norm = math.sqrt((x @ x) * (y @ y))
    return x @ y / norm if norm > 1e-12 else None


def direct_ranks(values):
    return [sum(v < w for v in values) + (sum(v == w for v in values) + 1) / 2 for w in values]


def check(found, expected, notes):
    """Equal, or undefined: 0 and a note that says so."""
    if expected is None:
        assert found == 0 and len(notes) == 1 and "undefined" in notes[0]
    else:
        assert found == pytest.approx(expected, abs=1e-12) and not notes


@pytest.mark.parametrize("name", ["SST-2", "QNLI", "MNLI-matched", "superglue/BoolQ", "superglue/COPA", "RACE-H"])
def test_accuracy(name):
    width = len(getattr(get_task(name), "answers", None) or get_task(name).labels)
    for predictions, labels in random_sets(width, 1):
        scores = task_metrics(name, predictions, labels)
        assert scores == {"accuracy": sum(p == q for p, q in zip(predictions, labels)) / len(labels)}


def test_f1():
    undefined = 0
    for predictions, labels in random_sets(2, 2):
        scores = task_metrics("MRPC", predictions, labels)
        expected = counts_f1(predictions, labels, 1)
        undefined += expected is None
        check(scores["f1"], expected, scores.notes)
    assert undefined, "no degenerate set among the 50"


@pytest.mark.parametrize("name, width", [("CoLA", 2), ("AX", 3), ("AX-b", 2)])
def test_matthews(name, width):
    undefined = 0
    for predictions, labels in random_sets(width, 3):
        scores = task_metrics(name, predictions, labels)
        expected = direct_matthews(predictions, labels)
        undefined += expected is None
        check(scores["matthews"], expected, scores.notes)
    assert undefined, "no degenerate set among the 50"


def test_macro_f1_leaves_out_classes_that_never_occur_and_says_so():
    empty = 0
    for predictions, labels in random_sets(3, 4):
        scores = task_metrics("CB", predictions, labels)
        values = [counts_f1(predictions, labels, c) for c in range(3)]
        defined = [value for value in values if value is not None]
        assert scores["f1"] == pytest.approx(sum(defined) / len(defined), abs=1e-12)
        assert len(scores.notes) == (len(defined) < 3)
        empty += len(defined) < 3
    assert empty, "no empty class among the 50"


def test_correlations_with_ties_and_constants():
    rng = np.random.default_rng(5)
    for number in range(SETS):
        size = int(rng.integers(2, 30))
        predictions, labels = rng.normal(size=size).tolist(), (rng.integers(0, 6, size) / 1.0).tolist()
        if number % 10 == 9:
            predictions = [0.1 + 0.2] * size
        scores = task_metrics("STS-B", predictions, labels)
        expected = direct_pearson(predictions, labels)
        if expected is None:
            assert scores == {"pearson": 0, "spearman": 0} and len(scores.notes) == 2
        else:
            ranks = direct_pearson(direct_ranks(predictions), direct_ranks(labels))
            assert scores["pearson"] == pytest.approx(expected, abs=1e-9) and not scores.notes
            assert scores["spearman"] == pytest.approx(ranks, abs=1e-9)


def test_multirc_over_answers_and_questions():
    rng = np.random.default_rng(6)
    for predictions, labels in random_sets(2, 7):
        groups = rng.integers(0, 5, len(labels)).tolist()
        scores = task_metrics("MultiRC", predictions, labels, groups)
        questions = [[i for i, g in enumerate(groups) if g == question] for question in sorted(set(groups))]
        right = [all(predictions[i] == labels[i] for i in members) for members in questions]
        assert scores["em"] == pytest.approx(sum(right) / len(right), abs=1e-12)
        check(scores["f1a"], counts_f1(predictions, labels, 1), scores.notes)
        nested = [[values[i] for i in members] for values in (predictions, labels) for members in questions]
        half = len(questions)
        assert task_metrics("MultiRC", nested[:half], nested[half:]) == pytest.approx(dict(scores))


def test_gender_parity():
    for predictions, labels in random_sets(2, 8):
        predictions, labels = predictions * 2, labels * 2  # an even number
        pairs = list(zip(predictions[::2], predictions[1::2]))
        scores = task_metrics("AX-g", predictions, labels)
        assert scores["gender_parity"] == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
        order = np.random.default_rng(1).permutation(len(predictions))
        mixed = metrics.gender_parity([predictions[i] for i in order], [int(i) // 2 for i in order])
        assert mixed == pytest.approx(scores["gender_parity"])


def test_gender_parity_refuses_what_is_no_pair():
    with pytest.raises(InputError, match="pair 1 has 1 prediction"):
        metrics.gender_parity([0, 1, 1])


def words_f1(prediction, answer):
    """Token F1 by matching words off one by one."""
    left, hits, words = answer.split(), 0, prediction.split()
    for word in words:
        if word in left:
            left.remove(word)
            hits += 1
    return 0.0 if not hits else 2 / (len(words) / hits + len(answer.split()) / hits)


def test_record_best_over_answers():
    rng = np.random.default_rng(9)
    vocabulary = ["new", "York", "city,", "Jets", "of", "the", "A", "U.S.", "(an)"]
    texts = [" ".join(rng.choice(vocabulary, int(rng.integers(1, 4)))) for _ in range(30)]
    for _ in range(SETS):
        predictions = [str(text) for text in rng.choice(texts, 8)]
        answers = [[str(t) for t in rng.choice(texts, int(rng.integers(1, 4)))] for _ in predictions]
        scores = task_metrics("ReCoRD", predictions, answers)
        predictions, answers = [plain(p) for p in predictions], [[plain(a) for a in s] for s in answers]
        assert scores["f1"] == pytest.approx(np.mean([max(words_f1(p, a) for a in s)
                                                      for p, s in zip(predictions, answers)]))
        assert scores["em"] == pytest.approx(np.mean([p in s for p, s in zip(predictions, answers)]))


def plain(text):
    """SQuAD's normalisation, word by word: lower case, no punctuation, no articles."""
    words = ["".join(c for c in word.lower() if c.isalnum()) for word in text.split()]
    return " ".join(word for word in words if word not in ("a", "an", "the", ""))


@pytest.mark.parametrize("first, second", [("The U.S.", "us"), ("a  Cat", "cat"), ("An apple!", "apple")])
def test_record_normalisation(first, second):
    assert metrics.exact_match(first, [second]) == 1 and metrics.token_f1(first, ["dog", second]) == 1


def test_record_refuses_a_text_where_a_list_of_answers_is_due():
    with pytest.raises(InputError, match="answers are a list of texts"):
        task_metrics("ReCoRD", ["Bob"], ["Bob"])


def test_record_keeps_words_that_only_contain_an_article():
    assert metrics.normalize_answer("Theatre Andes an") == "theatre andes"


def test_predictions_as_spelled_as_indices_and_as_booleans_score_alike():
    spelled = task_metrics("BoolQ", ["true", "False"], ["true", "true"])
    assert spelled == task_metrics("BoolQ", [1, 0], [1, 1]) == task_metrics("BoolQ", [True, False], np.array([1, 1]))
    assert task_metrics("RACE-M", ["A", "D"], [0, 3]) == {"accuracy": 1}


@pytest.mark.parametrize("name, predictions, labels, message", [
    ("RTE", [1], [1, 0], "1 predictions for 2 labels"),
    ("RTE", [], [], "no predictions"),
    ("RTE", [2], [1], "unknown label 2; expected one of not_entailment, entailment"),
    ("RTE", ["maybe"], [1], "unknown label 'maybe'"),
    ("STS-B", ["high", 1], [1, 2], "value 0 is 'high', not a number"),
    ("STS-B", [float("nan"), 1], [1, 2], "not a finite number"),
    ("MultiRC", [1, 0], [1, 0], "give groups"),
    ("nonsense", [1], [1], "unknown task 'nonsense'"),
])
def test_bad_predictions(name, predictions, labels, message):
    with pytest.raises(InputError, match=message):
        task_metrics(name, predictions, labels)


def test_degenerate_values_are_logged(caplog):
    task_metrics("CoLA", [1, 1], [0, 1])
    assert "all predictions are the same class" in caplog.text


def percent(text):
    return [float(value) for value in str(text).split("/")]


@pytest.mark.parametrize("benchmark, system, leaderboard", [
    ("glue", "Bort", 83.6), ("superglue", "Bort", 74.1), ("superglue", "RoBERTa-large", 84.6),
])
def test_averages_of_the_papers_scores_are_the_leaderboards(benchmark, system, leaderboard):
    """The leaderboards printed 83.6 and 74.1 for Bort and 84.6 for RoBERTa; tasks as in the paper's Tables 4 and 5."""
    names = [name for parts in metrics.AVERAGES[benchmark] for name in parts]
    scores = {name: dict(enumerate(percent(get_task(f"{benchmark}/{name}").paper_scores()[system]))) for name in names}
    assert benchmark_average(benchmark, scores) == pytest.approx(leaderboard, abs=0.06)


def test_average_weighs_mnlis_sets_as_one_task_and_leaves_out_diagnostics():
    tasks = [name for parts in metrics.GLUE_AVERAGE for name in parts]
    scores = {name: {"accuracy": 0.0} for name in tasks}
    scores["AX"] = {"matthews": 1.0}
    scores["MNLI-matched"] = {"accuracy": 1.0}
    scores["MRPC"] = {"f1": 1.0, "accuracy": 0.0}
    assert benchmark_average("glue", scores) == pytest.approx((0.5 + 0.5) / 9)


def test_average_names_what_is_missing():
    with pytest.raises(InputError, match="no scores for BoolQ, CB, COPA, MultiRC, ReCoRD, WiC, WSC"):
        benchmark_average("superglue", {"RTE": {"accuracy": 1.0}})
    with pytest.raises(InputError, match="no official average"):
        benchmark_average("race", {})


def test_ties_go_to_the_first():
    examples = [get_task("RTE").predictions_from_scores([None], [[0.5, 0.5]])]
    assert examples == [["not_entailment"]]



"""Theta from YAML, the paper's sets, and what a run will cost."""

import pytest

from bort_mx.agora.budget import estimate, within_budget
from bort_mx.agora.hyperparameters import Theta, load_thetas, paper_thetas
from bort_mx.data.tasks import get_task
from bort_mx.errors import InputError
from bort_mx.io.files import read_json


def test_paper_thetas():
    thetas = paper_thetas()
    assert len(thetas) == len(set(thetas)) == 500
    assert thetas[0] == (3e-6, 0, 0.35, 0) and thetas[1] == (3e-6, 0, 0.35, 1) and thetas[-1] == (1e-4, 350, 0.55, 4)
    assert all(isinstance(theta, Theta) and type(theta.seed) is int for theta in thetas)


def test_convergent_sets():
    """Tables 7 to 9: learning rate, weight decay, warm-up, seed, and the batch size where the text gives it."""
    assert get_task("CoLA").chs() == (9e-6, 10, 0.45, 3, 8)
    assert get_task("RTE").chs() == get_task("glue/RTE").chs() == (1e-5, 100, 0.5, 2, 8)
    assert get_task("superglue/RTE").chs() == (1e-5, 10, 0.45, 1, 16)
    assert get_task("RACE-M").chs() == (5e-5, 0.1, 0.35, 3, 16)
    assert get_task("BoolQ").chs() == (5e-6, 100, 0.5, 3, None)
    for task in ("SQuAD", "demo"):
        with pytest.raises(InputError, match=task):
            get_task(task).chs()


def test_shipped_numbers_are_the_papers(shared):
    numbers = read_json(shared / "paper" / "numbers.json")
    names = {"lr": "learning_rate", "weight_decay": "weight_decay", "warmup": "warmup", "seed": "seed"}
    for short, name in names.items():
        assert sorted({getattr(theta, name) for theta in paper_thetas()}) == numbers["theta"][short]
    for suite in ("glue", "superglue", "race"):
        for task, row in numbers["chs"][suite].items():
            assert list(get_task(f"{suite}/{task}").chs()) == row


def written(tmp_path, text):
    path = tmp_path / "theta.yaml"
    path.write_text(text)
    return path


PRODUCT = "learning_rate: [1e-5, 2.0e-5]\nweight_decay: [0.01]\nwarmup: [0.1]\nseed: [0, 1]\n"


def test_product_and_explicit_sets(tmp_path):
    product = load_thetas(written(tmp_path, PRODUCT))  # 1e-5 without a point is text to YAML
    assert product == [(1e-5, 0.01, 0.1, 0), (1e-5, 0.01, 0.1, 1), (2e-5, 0.01, 0.1, 0), (2e-5, 0.01, 0.1, 1)]
    explicit = "sets:\n- [1e-5, 0.01, 0.1, 0]\n- {seed: 1, warmup: 0, learning_rate: 1e-4, weight_decay: 10}\n"
    assert load_thetas(written(tmp_path, explicit)) == [(1e-5, 0.01, 0.1, 0), (1e-4, 10, 0, 1)]
    nested = "theta:\n" + "".join(f"  {line}\n" for line in PRODUCT.splitlines())
    assert load_thetas(written(tmp_path, nested)) == product


@pytest.mark.parametrize("text, words", [
    ("", "holds None"), ("[1, 2]", "holds"), ("a: [", "theta.yaml:1: not YAML"), ("lr: [1]", "field 'lr' is unknown"),
    (PRODUCT.replace("seed", "# seed"), "field seed is missing"), (PRODUCT.replace("[0.1]", "[]"), "field warmup is"),
    (PRODUCT.replace("[0.1]", "0.1"), "field warmup is 0.1"), (PRODUCT.replace("[0.1]", "[1.0]"), "warmup is 1.0"),
    (PRODUCT.replace("[0.01]", "[-1]"), "weight_decay is -1"), (PRODUCT.replace("1e-5", "0"), "learning_rate is 0"),
    (PRODUCT.replace("[0, 1]", "[0, 0]"), "occurs twice"), (PRODUCT.replace("[0, 1]", "[0.5]"), "seed is 0.5"),
    (PRODUCT.replace("1e-5", "fast"), "learning_rate is 'fast'"),
    (PRODUCT.replace("1e-5", "true"), "expected a number"),
    (PRODUCT.replace("1e-5", ".inf"), "expected a number"), ("sets: []", "at least one set"),
    ("sets: [[1e-5, 0, 0.1]]", "set 1: is"), ("sets: [{seed: 0}]", "set 1: field learning_rate is missing"),
    ("sets: [[1e-5, 0, 0.1, 0]]\nseed: [1]", "sets and also seed"), ("theta: 3", "theta is 3"),
])
def test_bad_files(tmp_path, text, words):
    with pytest.raises(InputError, match=words) as caught:
        load_thetas(written(tmp_path, text))
    assert "\n" not in str(caught.value) and "theta.yaml" in str(caught.value)


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_thetas(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"seed: [\xe9]")
    with pytest.raises(InputError, match="UTF-8"):
        load_thetas(tmp_path / "latin.yaml")


THETAS = [(rate, decay, seed) for rate in "abc" for decay in "xyz" for seed in range(3)]


def test_cost():
    worst = estimate(THETAS, 2.0, "worst")
    assert worst.expected == worst.most == 27 * 28 / 2 and worst.seconds == 2 * worst.expected
    lcs = estimate(THETAS, 2.0)
    assert 27 <= lcs.expected < lcs.most == worst.most and lcs == estimate(THETAS, 2.0)
    assert estimate(THETAS, 2.0, "worst", replay=1).most == 2 * worst.most
    assert estimate(THETAS, 2.0, "worst", max_rounds=2).expected == 27 + 26
    assert estimate(THETAS[:1], 3.0, "none", max_rounds=4).seconds == 12
    assert "trainings expected (at most 378), 2 s each" in str(worst)
    with pytest.raises(InputError, match="empty"):
        estimate([], 1.0)


def test_budget():
    some = within_budget(THETAS, 1.0, 60, "worst")
    assert len(some) == 10 and some == [theta for theta in THETAS if theta in some]  # 10 * 11 / 2 = 55 <= 60 < 66
    assert set(within_budget(THETAS, 1.0, 30, "worst")) <= set(some) and within_budget(THETAS, 1.0, 1e9) == THETAS
    assert some == within_budget(THETAS, 1.0, 60, "worst") != within_budget(THETAS, 1.0, 60, "worst", seed=1)
    with pytest.raises(InputError, match="one training alone takes 100 s"):
        within_budget(THETAS, 100.0, 60)

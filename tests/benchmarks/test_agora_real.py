"""The experiment of benchmarks/agora_real.py: what Socrates is kept from, and what its numbers are allowed to say."""

import argparse

import numpy as np
import pytest

from bort_mx.agora.points import key
from bort_mx.data.tasks import get_task


@pytest.fixture(scope="module")
def real(load_benchmark):
    return load_benchmark("agora_real")


def row(seed, arm, dev, right):
    accuracy = right.count("1") / len(right)
    return {"task": "RTE", "seed": seed, "arm": arm, "commit": "z", "data": {"train": 64 * "d"},
            "right": {"audit": right, "dev": right[::-1]}, "dev": {"example_accuracy": dev},
            "audit": {"example_accuracy": accuracy}, "trainings": 6, "new_points": 9,
            "socrates": [0.8, 0.75], "rounds": [[0.6, 0.5], [0.7, accuracy]], "relabelled": 0.25}


def rows_of(agora, enumeration):
    """Rows of as many seeds as there are strings of right (1) and wrong (0) audit examples."""
    return [row(seed, arm, dev, right) for arm, dev, all_right in (("Agora", 0.7, agora),
                                                                    ("enumeration", 0.6, enumeration))
            for seed, right in enumerate(all_right)]


def test_gains_are_of_the_same_seed_and_same_examples(real):
    rows = rows_of(["1110", "1000"], ["1000", "1010"])
    assert real.gains(rows, "RTE", "Agora", "audit") == pytest.approx([50, -25])
    assert real.won_and_lost(rows, "RTE", "Agora") == (2, 1, 1.0)
    assert real.won_and_lost(rows_of(["1" * 6], ["0" * 6]), "RTE", "Agora") == (6, 0, 2 / 2 ** 6)
    assert real.won_and_lost(rows_of(["1"], ["1"]), "RTE", "Agora") == (0, 0, 1.0)


def test_what_turned_right_and_wrong(real):
    rows = rows_of(["11100", "01000"], ["10010", "00011"])  # 6 wrong: 3 turned right; 4 right: 3 lost
    assert real.turned(rows, "RTE", "Agora", "audit") == (50, 75) == real.turned(rows, "RTE", "Agora", "dev")
    text = real.report(rows, ["RTE"], {"command": "x", "git_commit": "y"}, "")
    assert "Agora's has 50 % right on dev and 50 % on the audit" in text
    assert "Runs of commit z; this report of y." in text


def test_unseen_sentences_have_their_column_where_there_are_some(real):
    rows = rows_of(["1110", "1000"], ["1000", "1010"])
    assert real.ADDED not in real.report(rows, ["RTE"], {"command": "x", "git_commit": "y"}, "")
    for each, unseen in zip(rows, (0.75, 0.7, 0.7, 0.75)):
        each["unseen"] = {"example_accuracy": unseen}
    assert real.gains(rows, "RTE", "Agora", "unseen") == pytest.approx([5, -5])
    text = real.report([*rows, row(0, "plain", 0.5, "1100")], ["RTE"], {"command": "x", "git_commit": "y"}, "")
    assert real.ADDED in text and "like dev's Agora gains +0.0 ± 63.5 points" in text
    table = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith(("| plain", "| Agora", "| enum"))]
    assert {len(cells) for cells in table} == {10}
    assert [cells[6].strip() for cells in table] == ["", "72.5 (70.0–75.0)", "72.5 (70.0–75.0)"]


def test_an_interval_of_three_seeds_is_wide(real):
    assert real.half_interval(np.array([1.0, 2.0, 3.0])) == pytest.approx(4.3027 / 3 ** 0.5, rel=1e-4)
    assert real.half_interval(np.array([1.0])) is None


@pytest.mark.parametrize("agora, enumeration, verdict", [
    (["1" * 8] * 3, ["0" * 4 + "1" * 4] * 3, "Agora beats enumeration"),  # 12 won in all, in every seed
    (["1" * 9, "1" * 9, "0" + "1" * 8], ["0" * 9, "0" * 9, "1" * 9], "does not beat"),  # 18 to 1, but one seed is worse
    (["11"] * 3, ["01"] * 3, "does not beat"),  # three examples
])
def test_what_counts_as_beating(real, agora, enumeration, verdict):
    text = real.report(rows_of(agora, enumeration), ["RTE"], {"command": "x", "git_commit": "y"}, "\n\nBy hand.")
    assert verdict in text and real.RULES in text and text.endswith("By hand.\n")


def test_socrates_is_kept_from_every_audit_slice(real, tmp_path):
    for split, count in (("train", 90), ("dev", 30)):
        rows = [f"{i}\t{split} premise {i // 2}\tHypothesis {i // 2 if i % 9 else 0}\tentailment" for i in range(count)]
        (tmp_path / "RTE").mkdir(exist_ok=True)
        (tmp_path / f"RTE/{split}.tsv").write_text("\n".join(["index\tsentence1\tsentence2\tlabel", *rows]) + "\n")
    options = argparse.Namespace(runs=tmp_path / "runs", data_dir=tmp_path, seeds=[0, 1], quick=True, teacher="x")
    experiment = real.Experiment(options)
    experiment._prepare("RTE")
    folder = tmp_path / "runs/RTE"
    train, known = ({key(example.texts) for example in get_task(str(folder / name / "task.yaml")).read(None, "train")}
                    for name in ("data", "data-socrates"))
    slices = [{key(example.texts) for example in experiment._slices["RTE", seed]} for seed in (0, 1)]
    assert slices[0] != slices[1] and all(slice <= train and not slice & known for slice in slices)
    assert train - slices[0] - slices[1] <= known and known - train  # and it has some that the student lacks
    (folder / "socrates").mkdir()
    (folder / "socrates/results.json").write_text("{}")
    (folder / "socrates/config.json").write_text('{"data": {"audit": "another", "train": "of other seeds"}}')
    with pytest.raises(SystemExit, match="not the one that Socrates was kept from"):
        experiment._check_slice(folder / "socrates", "RTE", 0)
    with pytest.raises(SystemExit, match="Socrates was trained on other data"):
        experiment._teach("RTE")

"""Options of `run_finetune.py --agora` where no training is needed: files of Theta, names of taus, the budget."""

import pytest

from bort_mx.agora.baselines import Baselines
from bort_mx.agora.budget import within_budget
from bort_mx.agora.hyperparameters import Theta, load_thetas
from bort_mx.agora.options import AgoraRunOptions
from bort_mx.agora.perturbation_edits import make_tau
from bort_mx.errors import InputError
from bort_mx.options import parse_options


def test_the_lists_of_theta_stand_in_one_place(tmp_path):
    (tmp_path / "theta.yaml").write_text("theta: {learning_rate: [1.0e-5], weight_decay: [0], warmup: [0.1], seed: [0]}"
                                         "\nseed: [1, 2]\n")
    with pytest.raises(InputError, match="theta.yaml: holds theta and also seed"):
        load_thetas(tmp_path / "theta.yaml")


def test_names_of_taus_may_have_spaces_around():
    assert make_tau("typo + swap").name == "typo+swap"


def test_the_budget_counts_the_trainings_beside():
    thetas = [Theta(1e-5, 0, 0.1, seed) for seed in range(10)]
    for seconds, count in ((21, 6), (27, 6), (28, 7)):  # worst: m (m + 1) / 2
        assert len(within_budget(thetas, 1.0, seconds, "worst")) == count
    for seconds, count in ((28, 6), (35, 6), (36, 7)):  # and 1 + m
        assert len(within_budget(thetas, 1.0, seconds, "worst", beside=lambda count: 1 + count)) == count
    with pytest.raises(InputError, match="one training alone takes 10 s, and a Theta of one set needs 3"):
        within_budget(thetas, 10.0, 29, "worst", beside=lambda count: 1 + count)


def test_baselines_tell_long_seeds_apart():
    one, other = (Baselines._index(Theta(1e-5, 0.01, 0.1, seed)) for seed in (20240101, 20240102))
    assert one == "1e-05,0.01,0.1,20240101" != other


@pytest.mark.parametrize("file, typed, expected", [
    ("audit_size: 5", ["--audit-share", "0.5"], {"audit_size": None, "audit_share": 0.5}),
    ("audit_share: 0.5", ["--audit-size", "5"], {"audit_size": 5, "audit_share": 0.1}),
    ("theta: t.yaml", ["--chs"], {"theta": None, "chs": True}),
    ("chs: true", ["--theta", "t.yaml"], {"theta": "t.yaml", "chs": False}),
    ("transfer_from: a", ["--checkpoint", "b"], {"transfer_from": None, "checkpoint": "b"}),
    ("train: a.csv", ["--task", "RTE"], {"train": None, "task": "RTE"})])
def test_the_command_line_takes_the_place_of_what_a_file_has_for_the_same(tmp_path, file, typed, expected):
    (tmp_path / "c.yaml").write_text(file)
    words = ["--config", str(tmp_path / "c.yaml"), "--agora", "--socrates", "s", *typed]
    found = parse_options(AgoraRunOptions, words, "x", "")
    assert {name: getattr(found, name) for name in expected} == expected


def test_texts_without_labels_are_not_for_agora():
    with pytest.raises(InputError, match="--unlabelled u.txt: not with --agora"):
        AgoraRunOptions(agora=True, socrates="s", unlabelled="u.txt")


@pytest.mark.parametrize("values, message", [
    ({"tau": "swap", "tau_top_k": 3}, "--tau-top-k 3: is for tau mlm, and --tau is swap"),
    ({"tau": "drop", "tau_temperature": 0.5}, "--tau-temperature 0.5: is for tau mlm"),
    ({"soft_labels": True, "kd_weight": 0.0}, "--soft-labels with --kd-weight 0 has no effect")])
def test_what_has_no_effect_is_refused_in_a_new_run(values, message):
    given = {"agora": True, "task": "RTE", "socrates": "s", **values}
    with pytest.raises(InputError, match=message):
        AgoraRunOptions(**given)
    AgoraRunOptions(**given, resume="auto")

"""The report of a run: what it says, and that its figures are drawn."""

import json

import matplotlib.image
import pytest

from bort_mx.agora import Hooks, agora, report
from bort_mx.agora.perturbation import Perturbed
from bort_mx.agora.report import Baseline, as_dict, write_report

DEV = [(f"dev {i}", i % 2) for i in range(8)]


def run(thetas, **options):
    def tau(examples, rng):
        return [Perturbed(f"{int(rng.integers(10**6))} {text}", i) for i, (text, _) in enumerate(examples)]

    return agora(thetas, lambda theta, data: (None, 0.6 + 0.01 * (theta[1] * theta[0] % 7) + len(data) / 1000),
                 lambda model: DEV[:4], tau, lambda texts: [int(text[-1]) % 2 for text in texts],
                 [(f"p {i}", i % 2) for i in range(10)], "worst", dev=DEV, **options)


def test_report(tmp_path):
    result = run([(i, j) for i in (1, 2) for j in (3, 4)],
                 hooks=Hooks(measure=lambda model, data: {"train": 0.9, "audit": 0.5 + len(data) / 1000}))
    baselines = [Baseline("enumeration", 0.61, 0.5, 4, "of the same Theta"), Baseline("distillation", 0.6)]
    path = write_report(result, tmp_path, baselines)
    text = path.read_text()
    assert "**2, 3**, dev accuracy 0.6820" in text and "2 (1 - 2^-4) = 1.875" in text
    assert "| enumeration | 0.6100 | 0.5000 | 4 | of the same Theta |" in text
    assert "| distillation | 0.6000 | – | – |" in text
    assert "optimistic" in text and "| 0 | 4 | 10 | 0: 5, 1: 5 |" in text and "4 of 4" in text
    assert text.count("- round ") == 4
    numbers = json.loads((tmp_path / "agora.json").read_text())
    assert numbers == json.loads(json.dumps(as_dict(result, baselines)))
    assert numbers["chs"] == [2, 3] and numbers["rounds"][0]["accuracies"][0] == [[1, 3], pytest.approx(0.64)]
    for name in ("heatmap.png", "rounds.png"):
        image = matplotlib.image.imread(tmp_path / name)  # (height, width, 4)
        assert image.shape[0] > 300 and image.shape[1] > 600
        assert len({tuple(pixel) for pixel in image[::7, ::7].reshape(-1, 4)}) > 5


def test_report_of_one_round_and_of_many_thetas(tmp_path):
    one = write_report(run([(1, 2)]), tmp_path / "one").read_text()
    assert "1 trainings (|Theta| = 1, at most 1 without replays)" in one and "There is no audit slice" in one
    write_report(run([(i, j) for i in range(9) for j in range(6)], max_rounds=3), tmp_path / "many")
    assert (tmp_path / "one" / "report.md").exists() and (tmp_path / "many" / "heatmap.png").exists()


def test_where_nothing_is_pruned_there_is_no_bound_on_trainings(tmp_path, monkeypatch):
    for name in ("heat_map", "curves"):
        monkeypatch.setattr(report, name, lambda *arguments: None)
    result = agora([(1, 2)], lambda theta, data: (None, 0.6), lambda model: DEV[:4], lambda examples: [],
                   lambda texts: [int(text[-1]) % 2 for text in texts], DEV, "none", max_rounds=3)
    assert "3 trainings (|Theta| = 1); ended" in write_report(result, tmp_path).read_text()


def test_same_run_same_files(tmp_path):
    for name in "ab":
        write_report(run([(1, 2), (1, 3)]), tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()

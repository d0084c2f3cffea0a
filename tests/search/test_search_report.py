"""The report of a search: conditions, bounds, predicted cost, files."""

import csv
import json
import math

import pytest

from bort_mx import PRESETS, Architecture
from bort_mx.errors import InputError
from bort_mx.search import Objectives, fptas, grid, read_space
from bort_mx.search.abnc import (
    RuntimeTerms,
    approximation_bound,
    bound_note,
    lipschitz_exponent,
    order_conditions,
    strong_conditions,
    weak_conditions,
)
from bort_mx.search.cost_model import (
    Workload,
    candidate_work,
    forward_work,
    measured_rate,
    predict_paper_search,
    predict_search,
    teacher_work,
)
from bort_mx.search.plots import draw, front_of
from bort_mx.search.report import SearchReport, markdown, ranking_csv, results, table, write_report

SPACE = grid([2, 4, 6], [2, 4], [64, 128], [64, 128, 256])
T = Objectives(400_000, 2e6, math.nan)  # below the largest of the space, so that some are infeasible


def evaluate(a):
    return Objectives(a.parameters(1000, 64), a.flops(), 5 + 3 / a.num_layers + 64 / a.hidden_size)


def make_report(epsilon=2, **changes):
    result, exhaustive = (fptas(SPACE, evaluate, T, e, vocab_size=1000, num_positions=64) for e in (epsilon, 1))
    conditions = weak_conditions(SPACE, 1000, 64) + strong_conditions(result, 1.0) + order_conditions(result, 1000, 64)
    values = {"result": result, "provenance": {"command": "run_search.py --seed 3", "seed": 3, "data": {"train": "ab"}},
              "maximum_point": "6,4,128,256", "latency_unit": "FLOPs per token", "conditions": conditions,
              "runtime_terms": RuntimeTerms(36, 1000, 1, 8, 2), "exhaustive": exhaustive,
              "presets": {"small": Objectives(150_000, 3e5, math.nan), "huge": Objectives(1e9, 1e9, math.nan),
                          "known": Objectives(200_000, 4e5, 6.5)},
              "phases": {"teacher": 1.25, "candidates": 61.5}, "predictions": predict_paper_search(1e12)}
    return SearchReport(**{**values, **changes})


# -------------------------------------------------------------------------------------------- conditions and bounds

def statuses(conditions):
    return [condition.status for condition in conditions]


def test_weak_conditions_of_the_papers_space():
    conditions = weak_conditions([a for a in read_space() if a.is_valid()])
    assert statuses(conditions) == ["holds", "holds", "fails", "holds"]
    assert "2.5 to 9.9 times a pair" in conditions[1].found  # the embedding is no small term in this space
    assert "0.031 to 0.11 times" in conditions[2].found


@pytest.mark.parametrize("depths, status", [([2, 4, 8], "holds"), ([1, 3, 5], "holds"), ([2, 3], "fails"),
                                            ([1, 5], "fails"), ([3], "fails")])
def test_depths(depths, status):
    assert weak_conditions(grid(depths, [2], [64], [64]))[0].status == status


def test_strong_conditions_say_what_cannot_be_verified():
    result = fptas([Architecture(2, 2, 64, 64), Architecture(12, 2, 64, 64)], evaluate, Objectives(1e9, 1e9, 1), 1)
    clipped = strong_conditions(result, gradient_clip=1.0, least_weight_norm=10.0)
    assert statuses(clipped) == ["holds", "holds", "holds", "cannot be verified", "fails"]
    assert "strongly convex" in clipped[4].name
    assert "log10 L ≥ 21 to 121" in clipped[3].found and "c^21 to c^121" in clipped[3].found
    assert "which this is not" in strong_conditions(result, 1.0, 0.5)[3].found
    assert statuses(strong_conditions(result, None)) == ["holds"] + ["cannot be verified"] * 3 + ["fails"]
    assert lipschitz_exponent(4) == 41


def test_a_diverged_candidate_shows_in_the_conditions():
    result = fptas(SPACE, lambda a: Objectives(1, 1, math.inf if a.num_layers == 2 else 1.0), Objectives(2, 2, 1), 1)
    condition = strong_conditions(result, 1.0)[0]
    assert condition.status == "fails" and "12 not finite" in condition.found


def test_the_order_is_checked_against_what_was_found():
    rising = fptas(SPACE, lambda a: Objectives(a.parameters(), a.parameters(), 1), Objectives(1e9, 1e9, 1), 1)
    assert statuses(order_conditions(rising)) == ["holds", "holds"]
    falling = fptas(SPACE, lambda a: Objectives(a.parameters(), 1e9 - a.parameters(), 1), Objectives(1e9, 1e9, 1), 1)
    assert statuses(order_conditions(falling)) == ["holds", "fails"]


def test_the_bound_and_its_caveat():
    assert [approximation_bound(epsilon) for epsilon in (1, 2, 5)] == [0, 1, 4]
    assert "promises nothing" in bound_note(2) and "promises nothing" in bound_note(5)
    assert "best of the space" in bound_note(1)


def test_runtime_terms():
    terms = RuntimeTerms(architectures=300, weights=1000, hyperparameter_sets=2, batch_size=8, epsilon=2)
    assert terms.factor == 2 * 8 * 300 / 2 == 2400
    assert terms.total(4) == 300 + 1000 * (1 + 2400 / 8)


# ------------------------------------------------------------------------------------------------------------ costs

WORK = Workload(steps=3, batch_size=4, length=10, masked_positions=2, evaluation_lines=5, vocab_size=100)
TINY, TEACHER = Architecture(2, 2, 8, 16), Architecture(4, 2, 16, 32)


def test_work_is_what_a_hand_counts():
    encoder = 2 * (4 * 10 * 64 + 2 * 10 * 8 * 16 + 2 * 100 * 8)
    last = 10 * 2 * 64 + 2 * (2 * 64 + 2 * 8 * 16 + 2 * 10 * 8)  # keys and values of 10 tokens, the rest of 2
    needed = encoder // 2 + last
    head = 2 * (64 + 100 * 8)
    assert forward_work(TINY, 10, 2, 100) == needed + head
    teacher_head = 2 * 100 * 16
    assert candidate_work(TINY, WORK, TEACHER) == (3 * 4 * (3 * (needed + head) + teacher_head)
                                                   + 5 * (needed + head + teacher_head) + 5 * encoder)
    whole = TEACHER.multiply_adds(10)
    layer = whole // 4
    needed = whole - layer + 10 * 2 * 256 + 2 * (2 * 256 + 2 * 16 * 32 + 2 * 10 * 16)
    assert teacher_work(TEACHER, WORK) == (3 * 4 + 5) * needed + 5 * whole


def test_the_teachers_share_does_not_grow_with_the_candidates():
    few, many = (predict_search([TINY] * n, TEACHER, 1e9, 1, WORK) for n in (1, 100))
    assert few.teacher_seconds == many.teacher_seconds
    assert many.candidate_seconds == pytest.approx(100 * few.candidate_seconds)


def test_prediction_from_a_measured_step():
    rate = measured_rate(TINY, WORK, [0.2, 0.1, 9.0])  # the median
    assert rate == pytest.approx(3 * 4 * forward_work(TINY, 10, 2, 100) / 0.2)
    one, two = (predict_search([TINY] * 4, TEACHER, rate, n, WORK) for n in (1, 2))
    assert one.candidate_seconds == pytest.approx(4 * candidate_work(TINY, WORK, TEACHER) / rate)
    assert two.seconds == pytest.approx(one.seconds / 2) and two.device_hours == pytest.approx(one.device_hours)
    for bad in ([], [0.1, 0.0]):
        with pytest.raises(InputError, match="measured step times"):
            measured_rate(TINY, WORK, bad)


def test_the_papers_search_predicted():
    one, eight = predict_paper_search(1e12)
    assert (one.devices, eight.devices) == (1, 8)
    assert one.seconds / 8 <= eight.seconds < 1.01 * one.seconds / 8  # 150 candidates share out evenly


# ------------------------------------------------------------------------------------------------------------ files

def test_results_hand_on_the_winner_and_are_true_json(tmp_path):
    write_report(tmp_path, make_report())
    text = (tmp_path / "results.json").read_text()
    found = json.loads(text, parse_constant=pytest.fail)  # no NaN, no Infinity
    result = make_report().result
    assert Architecture(*found["best"]["architecture"]) == result.best and found["best"]["w"] == result.ranking[0].w
    assert [tuple(row["architecture"]) for row in found["ranking"]] == [r.architecture.as_tuple()
                                                                          for r in result.ranking]
    assert found["space"]["candidates"] == 18 and found["space"]["infeasible"] == len(result.infeasible) > 0
    assert all((row["w"] is None) == bool(row["infeasible"]) for row in found["ranking"])
    assert found["provenance"] == {"command": "run_search.py --seed 3", "seed": 3, "data": {"train": "ab"}}
    assert found["bound"]["rho"] == 1 and "promises nothing" in found["bound"]["note"]
    assert 0 <= found["baselines"]["relative_regret"] <= 1


def test_the_same_search_writes_the_same_bytes_whatever_it_took(tmp_path):
    write_report(tmp_path / "a", make_report())
    write_report(tmp_path / "b", make_report(phases={"teacher": 99.0}))
    for name in ("results.json", "ranking.csv", "pareto.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert json.loads((tmp_path / "b" / "runtime.json").read_text())["phases_s"] == {"teacher": 99.0}
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["pareto.png", "ranking.csv", "report.md",
                                                                  "results.json", "runtime.json"]


def test_the_csv_holds_the_whole_ranking():
    result = make_report().result
    rows = list(csv.DictReader(ranking_csv(result).splitlines()))
    assert [int(row["rank"]) for row in rows] == list(range(1, 19))
    assert [float(row["w"]) for row in rows if row["w"]] == [r.w for r in result.ranking if not math.isnan(r.w)]
    assert {row["infeasible"] for row in rows if not row["w"]} == set(result.infeasible.values())
    assert sorted(int(row["interval"]) for row in rows) == list(range(18))
    assert sum(int(row["pareto"]) for row in rows) == len(front_of(result))


def test_the_report_says_what_it_must():
    report = make_report()
    text = markdown(report, ["huge"])
    for ranked in report.result.top(3):
        assert f"⟨{ranked.architecture}⟩ | {ranked.w:.4g} |" in text
    for part in ("promises nothing", "cannot be verified", "36 of 36 architectures", "Outside the plotted range: huge",
                 "| teacher | 1.2 |", "| 8 |", "parameters above T's", "seed: `3`", "data: `train ab`",
                 "random (1000 simulated)", "exhaustive | 36 |"):
        assert part in text, part
    assert not any(line.startswith("|") and line.count(" | ") < 1 for line in text.splitlines())


def test_a_report_without_the_optional_parts():
    text = markdown(make_report(exhaustive=None, conditions=(), phases={}, predictions=(), runtime_terms=None))
    assert "the regret is not known" in text and "## Runtime" not in text and "AB^nC" not in text
    assert results(make_report(exhaustive=None))["baselines"] is None


def test_presets_in_the_space_are_traced_to_their_candidates():
    result = fptas(read_space(), lambda a: Objectives(a.parameters(), a.flops(), 9), Objectives(4e8, 2e9, 1), 2)
    text = markdown(make_report(result=result, exhaustive=None))
    assert "bort ⟨4,8,1024,768⟩ was not evaluated; ⟨4,4,1024,768⟩ stands for its interval" in text
    assert "bert-base ⟨12,12,768,3072⟩ is a candidate" in text
    assert PRESETS["bort"] not in result.objectives()


def test_the_plot_says_what_lies_outside_it(tmp_path):
    report = make_report()
    path = tmp_path / "pareto.png"
    assert draw(path, report.result, report.presets, "s", "made by a test") == ["huge"]
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG") and b"made by a test" in content


def test_table_escapes_bars():
    assert table(["a", "b"], [["|x|", 1]]) == "| a | b |\n| --- | --- |\n| \\|x\\| | 1 |"

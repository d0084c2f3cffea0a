"""The search: W-coefficient, space, order, intervals, FPTAS against brute force, baselines, Pareto front."""

import json
import math
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from bort_mx import PRESETS, Architecture
from bort_mx.errors import InputError
from bort_mx.search import (
    PAPER_SPACE,
    Objectives,
    admit,
    check_maximum_point,
    fptas,
    grid,
    interval_bound,
    intrinsic_order,
    pareto_front,
    random_regrets,
    random_search,
    read_space,
    regret,
    w_coefficient,
)
from bort_mx.search.objectives import infeasibility
from bort_mx.search.space import ORDERS, check_epsilon, intervals, order_key, read_strategy, representatives

T = Objectives(355e6, 6.17, math.nan)
SMALL = grid([2, 4, 6], [2, 4], [64, 128], [64, 128, 256])  # 36, all valid
ANY_ARCHITECTURE = st.builds(Architecture, st.sampled_from([2, 4, 6, 8]), st.sampled_from([1, 2, 3, 4]),
                             st.sampled_from([12, 24, 36, 64]), st.integers(1, 40))


def by_size(architecture, error=10.0):
    """Objectives by eq. 12 and 13, with a given error."""
    return Objectives(architecture.parameters(1000, 64), architecture.flops(), error)


def test_the_search_needs_no_mxnet():
    code = "import sys, bort_mx.search, bort_mx.search.report; sys.exit('mxnet' in sys.modules)"
    root = pathlib.Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0


# ---------------------------------------------------------------------------------------------- W-coefficient

@pytest.mark.parametrize("parameters, latency, error, printed", [
    (56.14e6, 0.308, 0.093, 8.6),   # Table 1: A1, Bort
    (35.20e6, 0.314, 0.114, 7.5),   # A2
    (35.20e6, 0.318, 0.130, 6.6),   # A3
    (110e6, 2.416, 0.600, 0.7),     # BERT-base
])
def test_w_reproduces_table_1(parameters, latency, error, printed):
    """Eq. 2 with the printed p and i, and the error implied by the printed W, gives the printed W.

    The error that the printed W implies is exact only to W's two digits: W = 6.6 implies 0.1285 … 0.1304.
    """
    assert round(w_coefficient(Objectives(parameters, latency, error), T), 1) == printed
    product = w_coefficient(Objectives(parameters, latency, 1.0), T)
    assert product / (printed + 0.05) <= error <= product / (printed - 0.05)


def test_table_1_is_the_papers(shared):
    table = json.loads((shared / "paper" / "numbers.json").read_text())["table1"]
    assert [table[name][1:] for name in ("A1 (Bort)", "A2", "A3", "BERT-base")] == [
        [8.6, 56.14, 0.308], [7.5, 35.2, 0.314], [6.6, 35.2, 0.318], [0.7, 110, 2.416]]


@settings(deadline=None)
@given(p=st.floats(0, 2), i=st.floats(0, 2), error=st.floats(1e-3, 1e3))
def test_w_equals_the_formula_and_never_scores_two_negatives(p, i, error):
    w = w_coefficient(Objectives(p, i, error), Objectives(1.0, 1.0, math.nan))
    if p > 1 or i > 1:
        assert math.isnan(w)
    else:
        assert w == pytest.approx((1 - p) * (1 - i) / error) and w >= 0


def test_w_of_t_itself_is_zero():
    assert w_coefficient(Objectives(5, 7, 1.0), Objectives(5, 7, 0.5)) == 0


@pytest.mark.parametrize("candidate, point, named", [
    (Objectives(1, 1, 0.0), T, "error is 0.0"),
    (Objectives(1, 1, -1.0), T, "error is -1.0"),
    (Objectives(1, 1, math.nan), T, "error is nan"),
    (Objectives(math.inf, 1, 1.0), T, "parameters is inf"),
    (Objectives(1, -1, 1.0), T, "latency is -1"),
    (Objectives(1, 1, 1.0), Objectives(0, 1, 1.0), "maximum point: parameters is 0"),
    (Objectives(1, 1, 1.0), Objectives(1, math.nan, 1.0), "maximum point: latency is nan"),
])
def test_w_refuses_what_it_cannot_divide_by(candidate, point, named):
    with pytest.raises(InputError, match=named):
        w_coefficient(candidate, point)


# ------------------------------------------------------------------------------------------- space and intervals

def test_the_papers_space():
    space = admit(read_space())
    assert (space.raw, len(space.architectures), space.indivisible, space.odd, space.duplicates) == (360, 300, 60, 0, 0)
    assert "300 of 360" in space.notes()[0] and len(space.notes()) == 2
    assert PRESETS["bort"] in space.architectures and PRESETS["roberta-base"] in space.architectures
    assert len(intervals(intrinsic_order(space.architectures), 2)) == 150


def test_the_papers_space_file_matches_the_papers_numbers(shared):
    numbers = json.loads((shared / "paper" / "numbers.json").read_text())["search_space"]
    assert read_space() == grid(*(numbers[letter] for letter in "DAHI"))


def test_the_shipped_copies_of_the_space_are_one():
    copy = pathlib.Path(__file__).resolve().parents[2] / "configs" / "search_paper.yaml"
    assert copy.read_bytes() == PAPER_SPACE.read_bytes()


def test_the_orders_that_make_the_papers_three_candidates():
    """By size, no member of each pair gives A1, A2 and A3; ten of the 24 lexicographic orders do, by the second."""
    space, three = admit(read_space()).architectures, [PRESETS[name] for name in ("bort", "bort-a2", "bort-a3")]

    def chosen(order, representative):
        return representatives(intervals(intrinsic_order(space, order=order), 2), representative)
    assert ORDERS[0] == "size" and len(ORDERS) == 25
    place = {a: i for i, a in enumerate(intrinsic_order(space))}
    assert [place[a] for a in three] == [197, 191, 190]
    with_all = {order for order in ORDERS if set(three) <= set(chosen(order, "middle"))}
    assert with_all == {"AHID", "AIDH", "AIHD", "HAID", "HIAD", "DIAH", "IDAH", "IADH", "IAHD", "IHAD"}
    assert not any(set(three) <= set(chosen(order, "first")) for order in ORDERS)
    with_bert = {order for order in with_all if PRESETS["bert-base"] in chosen(order, "middle")}
    assert with_bert == with_all - {"DIAH", "IDAH"}
    assert read_strategy() == {"order": "HIAD", "representative": "middle"} and "HIAD" in with_bert
    rho = {order: spearmanr(range(300), [a.parameters() for a in intrinsic_order(space, order=order)])[0]
           for order in with_bert}
    assert max(rho, key=rho.get) == "HIAD"


def test_a_lexicographic_order_by_hand():
    a, b, c = Architecture(2, 8, 512, 256), Architecture(4, 4, 512, 256), Architecture(2, 4, 768, 256)
    assert intrinsic_order([a, b, c], order="HIAD") == [b, a, c]
    assert intrinsic_order([a, b, c], order="DAHI") == [c, a, b]
    found = fptas([a, b, c], lambda x: Objectives(1, 1, 1), Objectives(9, 9, 9), 2, order="DAHI")
    assert [r.architecture for r in found.ranking] == [c, b] and found.strategy == "fptas, epsilon 2, first, order DAHI"
    with pytest.raises(InputError, match="order is 'DAHX'"):
        intrinsic_order([a], order="DAHX")


def test_a_space_file_may_state_its_strategy(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text("architectures: [bort]\norder: IHAD\n")
    assert read_strategy(path) == {"order": "IHAD"} and read_space(path) == [PRESETS["bort"]]
    path.write_text("architectures: [bort]\nrepresentative: last\n")
    with pytest.raises(InputError, match="space.yaml:2: representative is 'last'; it must be one of first, middle"):
        read_strategy(path)


def test_order_key():
    a = Architecture(4, 8, 1024, 768)
    assert order_key(a) == (76161024, 62635008, 4, 8, 1024, 768)
    assert intrinsic_order([Architecture(4, 16, 1024, 768), a])[0] == a  # equal but for A


@settings(max_examples=50, deadline=None)
@given(st.lists(ANY_ARCHITECTURE, min_size=1, max_size=40), st.data())
def test_every_interval_is_represented_whatever_the_order_of_input(architectures, data):
    shuffled = data.draw(st.permutations(architectures))
    if not any(a.is_valid() for a in architectures):
        with pytest.raises(InputError, match="nothing is left"):
            admit(architectures)
        return
    ordered = intrinsic_order(admit(architectures).architectures)
    assert ordered == intrinsic_order(admit(shuffled).architectures)
    epsilon = data.draw(st.integers(1, len(ordered)))
    parts = intervals(ordered, epsilon)
    assert [a for part in parts for a in part] == ordered
    assert len(parts) == math.ceil(len(ordered) / epsilon)
    assert all(len(part) == epsilon for part in parts[:-1]) and 1 <= len(parts[-1]) <= epsilon
    for name in ("first", "middle"):
        stand_ins = representatives(parts, name)
        assert len(stand_ins) == len(parts) and all(a in part for a, part in zip(stand_ins, parts))


def test_representatives():
    parts = [tuple("abcde"), tuple("fg"), tuple("h")]
    assert representatives(parts, "first") == ["a", "f", "h"]
    assert representatives(parts, "middle") == ["c", "g", "h"]
    with pytest.raises(InputError, match="'last'.*first, middle"):
        representatives(parts, "last")


@pytest.mark.parametrize("epsilon", [0, -1, 37, 1.5, math.nan, math.inf, True, "2", None])
def test_epsilon_out_of_range(epsilon):
    with pytest.raises(InputError, match="epsilon is"):
        fptas(SMALL, by_size, Objectives(1e12, 1e12, 1), epsilon)


def test_a_whole_epsilon_may_be_a_float():
    assert check_epsilon(2.0, 36) == 2 and isinstance(check_epsilon(2.0, 36), int)
    assert check_epsilon(np.int64(36), 36) == 36


def test_odd_depths_are_dropped_with_a_warning_or_kept():
    odd = [Architecture(3, 2, 64, 64), Architecture(2, 2, 64, 64), Architecture(2, 3, 64, 64)]
    with pytest.warns(UserWarning, match="dropped 1: odd num_layers.*allow-odd"):
        result = fptas(odd, by_size, Objectives(1e12, 1e12, 1), 1)
    assert (result.space.odd, result.space.indivisible, len(result.ranking)) == (1, 1, 1)
    assert len(fptas(odd, by_size, Objectives(1e12, 1e12, 1), 1, allow_odd=True).ranking) == 2


def test_an_empty_space():
    with pytest.raises(InputError, match="empty"):
        fptas([], by_size, T, 1)
    with pytest.raises(InputError, match="1: hidden_size not divisible.*nothing is left"):
        fptas([Architecture(2, 3, 64, 64)], by_size, T, 1)


@pytest.mark.parametrize("text, named", [
    ("D: [2]\nA: [2]\nH: [64]\n", r"lacks intermediate_size \(I\)"),
    ("D: [2]\nA: [2]\nH: [64]\nI: [0]\n", ":4: intermediate_size contains 0"),
    ("D: [2]\nA: [two]\nH: [64]\nI: [1]\n", ":2: num_heads contains 'two'"),
    ("D: 2\nA: [2]\nH: [64]\nI: [1]\n", ":1: found 2; expected a list"),
    ("D: [2]\nlayers: [2]\n", ":2: unknown field 'layers'"),
    ("D: [2]\nnum_layers: [4]\n", ":2: num_layers is given a second time"),
    ("D: [2\nA: [2]\n", ":2: not YAML"),
    ("D: [2001-99-99]\nA: [1]\nH: [1]\nI: [1]\n", ":1: num_layers: cannot be read"),
    ("D: [!!python/object:os.system 2]\n", ":1: num_layers: cannot be read"),
    ("", "contains no fields"),
    ("- 2\n", "contains no fields"),
    ("architectures: [bort]\nD: [2]\n", "gives both"),
    ("architectures: [large]\n", ":1: architectures: architecture 'large'"),
    ("architectures: [[2, 2, 64]]\n", r":1: architectures contains \[2, 2, 64\]"),
    ("architectures: [[2, 2, 64, 0]]\n", "intermediate_size is 0"),
])
def test_a_bad_space_file_is_named_with_its_line(tmp_path, text, named):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=named) as error:
        read_space(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_space_files(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text('architectures: [bort, "4,8,512,1024", [2, 4, 512, 256], bort]\n')
    assert read_space(path) == [PRESETS["bort"], Architecture(4, 8, 512, 1024), Architecture(2, 4, 512, 256),
                                PRESETS["bort"]]
    assert admit(read_space(path)).duplicates == 1
    path.write_text("D: [2, 4]\nA: [2]\nH: [64]\nI: [64]\n")
    assert [str(a) for a in read_space(path)] == ["2,2,64,64", "4,2,64,64"]
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read_space(path)
    with pytest.raises(InputError, match="no such file"):
        read_space(tmp_path / "none.yaml")


# --------------------------------------------------------------------------------------- FPTAS against brute force

def planted_instance(seed):
    """A random space with surrogates as tables: (architectures, evaluate, T, planted optimum).

    Errors are random; parameters and latency grow along the order in every second instance, and are random in the
    others, where some candidates are infeasible. The planted optimum has the largest W by a factor of 2.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(SMALL), rng.integers(12, len(SMALL) + 1), replace=False)
    architectures = [SMALL[i] for i in chosen]
    ordered = intrinsic_order(architectures)
    p, i = rng.uniform(0.1, 1.2, (2, len(ordered)))  # T is (1, 1)
    if seed % 2 == 0:
        p, i = np.sort(p), np.sort(i)
    p[0] = i[0] = 0.1
    error = rng.uniform(1, 10, len(ordered))
    point = Objectives(1.0, 1.0, math.nan)
    planted = rng.choice([k for k in range(len(ordered)) if p[k] < 1 and i[k] < 1])
    others = [(1 - p[k]) * (1 - i[k]) / error[k] for k in range(len(ordered)) if k != planted and p[k] < 1 and i[k] < 1]
    error[planted] = (1 - p[planted]) * (1 - i[planted]) / (2 * max(others, default=1.0))
    table = {a: Objectives(p[k], i[k], error[k]) for k, a in enumerate(ordered)}
    return architectures, table.__getitem__, point, ordered[planted]


def brute_force(architectures, evaluate, point):
    """The largest W, by eq. 2 written out again."""
    def w(o):
        feasible = o.parameters <= point.parameters and o.latency <= point.latency
        return ((point.parameters - o.parameters) * (point.latency - o.latency)
                / (point.parameters * point.latency * o.error)) if feasible else -1.0
    best = max(architectures, key=lambda a: w(evaluate(a)))
    return best, w(evaluate(best))


@pytest.mark.parametrize("seed", range(200))
def test_planted_optimum(seed):
    """At epsilon 1 the optimum; at 2, 3, 5 what the intervals promise, which is less than |1 − epsilon| sounds like.

    Let f* be the optimum and r* the representative of its interval. Then W(returned) ≥ W(r*); and where p(r*) ≤ p(f*)
    and i(r*) ≤ i(f*) (as with the first of an interval and surrogates that grow along the order), also
    W(returned) ≥ W(f*) ê(f*) / ê(r*). The paper's rho ≤ |1 − epsilon| is met by any feasible answer at epsilon ≥ 2.
    """
    architectures, evaluate, point, planted = planted_instance(seed)
    exhaustive = fptas(architectures, evaluate, point, 1)
    optimum, w_star = brute_force(architectures, evaluate, point)
    assert exhaustive.best == optimum == planted
    assert exhaustive.ranking[0].w == pytest.approx(w_star)
    for epsilon in (2, 3, 5):
        for representative in ("first", "middle"):
            stand_ins = representatives(exhaustive_parts(exhaustive, epsilon), representative)
            if all(infeasibility(evaluate(a), point) for a in stand_ins):  # may be, where p and i do not grow
                with pytest.raises(InputError, match="smaller epsilon"):
                    fptas(architectures, evaluate, point, epsilon, representative=representative)
                continue
            found = fptas(architectures, evaluate, point, epsilon, representative=representative)
            assert set(found.objectives()) == set(stand_ins)
            check_bound(found, exhaustive, evaluate, growing=seed % 2 == 0 and representative == "first")


def exhaustive_parts(exhaustive, epsilon):
    return intervals(intrinsic_order(exhaustive.objectives()), epsilon)


def check_bound(found, exhaustive, evaluate, growing):
    bound, lost = interval_bound(found, exhaustive), regret(found, exhaustive)
    w, w_star, optimum = found.ranking[0].w, exhaustive.ranking[0].w, exhaustive.best
    part = next(part for part in found.intervals if optimum in part)
    assert bound.representative in part and bound.representative in found.objectives()
    assert w >= bound.lower
    assert 0 <= lost.relative <= 1 <= abs(1 - found.epsilon)
    if bound.representative == optimum:
        assert found.best == optimum and lost.absolute == 0
    if growing:
        assert bound.error_ratio == evaluate(optimum).error / evaluate(bound.representative).error
    if bound.error_ratio is not None:
        assert w >= w_star * bound.error_ratio * (1 - 1e-12)


@pytest.mark.parametrize("epsilon", [2, 3, 5])
def test_a_smooth_error_bounds_the_loss_beforehand(epsilon):
    """If ê changes by at most a factor 1.1 between neighbours, and p and i grow: W ≥ W* / 1.1^(epsilon − 1)."""
    for seed in range(50):
        rng = np.random.default_rng(seed)
        ordered = intrinsic_order(SMALL)
        errors = np.exp(np.cumsum(rng.uniform(-math.log(1.1), math.log(1.1), len(ordered))))
        table = {a: Objectives(k + 1, k + 1, errors[k]) for k, a in enumerate(ordered)}
        point = Objectives(100, 100, math.nan)
        lost = regret(fptas(SMALL, table.get, point, epsilon), fptas(SMALL, table.get, point, 1))
        assert 1 - lost.relative >= 1.1 ** (1 - epsilon) * (1 - 1e-12)


def test_infeasible_candidates_are_listed_last_and_never_win():
    big, small = Architecture(6, 2, 128, 256), Architecture(2, 2, 64, 64)
    table = {small: Objectives(50, 50, 9.0), big: Objectives(1000, 1000, 0.1)}  # the product of two negatives: 810
    result = fptas([big, small], table.get, Objectives(100, 100, 1), 1)
    assert result.best == small and [r.architecture for r in result.ranking] == [small, big]
    assert math.isnan(result.ranking[1].w)
    assert result.infeasible == {big: "parameters above T's and latency above T's"}
    assert result.top(3) == result.ranking[:1]
    architecture, objectives, w = result.ranking[0]  # a plain triple
    assert (architecture, objectives, w) == (small, table[small], 0.25 / 9.0)


def test_a_diverged_candidate_neither_wins_nor_stops_the_search():
    errors = {a: math.inf if a.num_layers == 2 else 5.0 for a in SMALL}
    result = fptas(SMALL, lambda a: by_size(a, errors[a]), Objectives(1e12, 1e12, 1), 1)
    assert result.best.num_layers == 4 and len(result.infeasible) == 12
    assert set(result.infeasible.values()) == {"error not finite"}


def test_ties_go_to_the_earlier_in_the_order():
    result = fptas(SMALL[::-1], lambda a: Objectives(1, 1, 1), Objectives(2, 2, 1), 1)
    assert [r.architecture for r in result.ranking] == intrinsic_order(SMALL)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10 ** 6), st.integers(1, 36))
def test_the_result_does_not_depend_on_the_order_of_input(seed, epsilon):
    shuffled = [SMALL[i] for i in np.random.default_rng(seed).permutation(len(SMALL))]

    def evaluate(a):
        return by_size(a, 1 + sum(a.as_tuple()) % 7)
    point = Objectives(1e12, 1e12, 1)
    assert fptas(shuffled, evaluate, point, epsilon) == fptas(SMALL, evaluate, point, epsilon)


def test_each_candidate_is_evaluated_once():
    seen = []
    result = fptas(read_space(), lambda a: seen.append(a) or by_size(a), Objectives(1e12, 1e12, 1), 2)
    assert len(seen) == len(set(seen)) == len(result.ranking) == 150


def test_t_smaller_than_every_candidate_is_refused_with_the_reason():
    with pytest.raises(InputError, match="none of 18 candidates is feasible: the maximum point has 10 .*larger T"):
        fptas(SMALL, by_size, Objectives(10, 1e12, 1), 2)
    with pytest.raises(InputError, match="fewer than the smallest architecture of the space, 2,4,512,256"):
        check_maximum_point(admit(read_space()).architectures, Architecture(2, 4, 256, 256))
    check_maximum_point(admit(read_space()).architectures, PRESETS["roberta-large"])


# ------------------------------------------------------------------------------------------- baselines and Pareto

def test_random_search_is_a_function_of_its_seed():
    point = Objectives(1e12, 1e12, 1)
    one, same, other = (random_search(order, by_size, point, 10, seed)
                        for order, seed in ((SMALL, 0), (SMALL[::-1], 0), (SMALL, 1)))
    assert one == same and len(one.ranking) == 10
    assert set(one.objectives()) != set(other.objectives())
    assert one.strategy == "random, budget 10, seed 0"
    with pytest.raises(InputError, match="budget is 37.*1, 36"):
        random_search(SMALL, by_size, point, 37)


def test_random_regrets():
    errors = dict(zip(SMALL, range(1, 37)))
    exhaustive = fptas(SMALL, lambda a: by_size(a, errors[a]), Objectives(1e12, 1e12, 1), 1)
    assert random_regrets(exhaustive, 36, 5).tolist() == [0] * 5
    draws = random_regrets(exhaustive, 18, 400)
    assert (np.diff(draws) >= 0).all() and draws[0] == 0
    assert abs((draws == 0).mean() - 0.5) < 0.1  # a draw of half the space holds the optimum half the time


@pytest.mark.parametrize("points, front", [
    ([[1, 2, 3]], [True]),
    ([[1, 1, 1], [2, 2, 2]], [True, False]),
    ([[1, 2, 1], [2, 1, 1]], [True, True]),
    ([[1, 1, 1], [1, 1, 1]], [True, True]),             # equal points do not dominate each other
    ([[1, 1, 2], [1, 1, 1], [1, 1, 3]], [False, True, False]),
    ([[3, 1, 1], [1, 3, 1], [1, 1, 3], [2, 2, 2], [3, 3, 1]], [True, True, True, True, False]),
])
def test_pareto_front(points, front):
    assert pareto_front(np.array(points)).tolist() == front


@pytest.mark.parametrize("points", [[[1, math.nan, 2]], [1, 2, 3]])
def test_pareto_front_refuses_what_cannot_be_compared(points):
    with pytest.raises(InputError, match="finite points"):
        pareto_front(np.array(points))


def test_the_w_optimum_is_on_the_front():
    architectures, evaluate, point, planted = planted_instance(3)
    feasible = [r for r in fptas(architectures, evaluate, point, 1).ranking if not math.isnan(r.w)]
    front = pareto_front(np.array([[r.objectives.parameters, r.objectives.latency, r.objectives.error]
                                   for r in feasible]))
    assert feasible[0].architecture == planted and front[0]

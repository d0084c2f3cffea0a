"""Candidates on disk and over workers: the result must not show how, or in how many sittings, it was found."""

import json
import math
import threading
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bort_mx import Architecture
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.search import CandidateLog, Execution, Objectives, fptas, grid
from bort_mx.search.work_sharing import assign

SPACE = grid([2, 4, 6], [2, 4], [64, 128], [64, 128, 256])
T = Objectives(1e12, 1e12, math.nan)
OPTIONS = {"steps": 3, "teacher": "abc", "seed": 0}


def evaluate(architecture):
    error = 1 + zlib.crc32(str(architecture).encode()) % 97 / 7
    return Objectives(architecture.parameters(), architecture.flops() / 3, error)


def search(directory, options=OPTIONS, function=evaluate, epsilon=2, **execution):
    return fptas(SPACE, function, T, epsilon, execution=Execution(log=CandidateLog(directory, options), **execution))


class ThreadWorkers(Workers):
    """One of several threads that stand in for Horovod's processes."""

    def __init__(self, rank, threads):
        self.rank, self.size, self._threads = rank, threads.size, threads

    def gather(self, value, name):
        self._threads.values[self.rank] = name, json.loads(json.dumps(value))
        self._threads.barrier.wait()
        names, everyone = zip(*self._threads.values)
        self._threads.barrier.wait()
        assert set(names) == {name}
        return list(everyone)


class Threads:
    """`run(work)` calls work(workers) in `size` threads that can gather."""

    def __init__(self, size):
        self.size, self.values, self.barrier = size, [None] * size, threading.Barrier(size, timeout=20)

    def run(self, work):
        results = [None] * self.size
        def target(rank):
            results[rank] = work(ThreadWorkers(rank, self))
        threads = [threading.Thread(target=target, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results


class Killed(Exception):
    """Ends a search in the middle."""


def killed_after(count):
    left = [count]

    def function(architecture):
        if not left[0]:
            raise Killed
        left[0] -= 1
        return evaluate(architecture)
    return function


@pytest.mark.parametrize("after", [0, 1, 7, 17])
def test_a_killed_search_goes_on_to_the_same_result_and_bytes(tmp_path, after):
    whole = search(tmp_path / "whole")
    with pytest.raises(Killed):
        search(tmp_path / "killed", function=killed_after(after))
    seen = []
    resumed = search(tmp_path / "killed", function=lambda a: seen.append(a) or evaluate(a))
    assert resumed.ranking == whole.ranking and resumed.resumed == after and len(seen) == 18 - after
    files = [(tmp_path / name / "candidates.jsonl").read_bytes() for name in ("whole", "killed")]
    assert files[0] == files[1] and len(files[0].splitlines()) == 1 + 18


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_log_torn_at_any_byte_is_mended(tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("torn")
    whole = search(directory, epsilon=9)
    path = directory / "candidates.jsonl"
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content) - 1))
    path.write_bytes(content[:cut])
    torn = cut > 0 and content[cut - 1:cut] != b"\n"
    log = CandidateLog(directory, OPTIONS)
    assert len(log.notes) == torn and all("torn" in note for note in log.notes)
    assert len(log.finished) == max(0, content[:cut].count(b"\n") - 1)
    assert search(directory, epsilon=9).ranking == whole.ranking
    assert path.read_bytes() == content


def test_each_candidate_is_on_disk_when_it_is_finished(tmp_path):
    counts = []
    def look(architecture, objectives):
        counts.append(len((tmp_path / "candidates.jsonl").read_text().splitlines()))
    search(tmp_path, on_finished=look)
    assert counts == list(range(2, 20))


def test_the_log_of_another_search_is_refused_and_the_difference_named(tmp_path):
    search(tmp_path)
    with pytest.raises(InputError, match=r"candidates.jsonl: belongs to another search \(steps: 3 there, 5 here\)"):
        search(tmp_path, {**OPTIONS, "steps": 5})
    with pytest.raises(InputError, match="lr: None there, 0.1 here"):
        search(tmp_path, {**OPTIONS, "lr": 0.1})


def test_a_log_serves_another_epsilon(tmp_path):
    search(tmp_path)
    seen = []
    exhaustive = search(tmp_path, function=lambda a: seen.append(a) or evaluate(a), epsilon=1)
    assert len(seen) == 18 and exhaustive.ranking == fptas(SPACE, evaluate, T, 1).ranking
    assert search(tmp_path).resumed == 18
    assert len((tmp_path / "candidates.jsonl").read_text().splitlines()) == 37  # none is lost


@pytest.mark.parametrize("line, text, named", [
    (0, '{"other": 1}', ":1: not the log of a search"),
    (0, "[]", ":1: not the log of a search"),
    (3, "{torn}", ":4: not JSON"),
    (3, '{"architecture": [2, 2, 64, 64]}', ":4: not a finished candidate"),
    (3, '{"architecture": [0, 2, 64, 64], "parameters": 1, "latency": 1, "error": 1}', ":4: not a finished candidate"),
])
def test_a_damaged_log_is_named_with_its_line(tmp_path, line, text, named):
    search(tmp_path)
    path = tmp_path / "candidates.jsonl"
    lines = path.read_text().splitlines()
    lines[line] = text
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=named):
        CandidateLog(tmp_path, OPTIONS)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.1 + 0.2, 1e-300])
def test_numbers_come_back_exactly(tmp_path, value):
    a = Architecture(2, 2, 64, 64)
    CandidateLog(tmp_path, OPTIONS).append(a, Objectives(10 ** 17 + 1, 0.1 + 0.2, value))
    back = CandidateLog(tmp_path, OPTIONS).finished[a]
    assert (back.parameters, back.latency) == (10 ** 17 + 1, 0.1 + 0.2)
    assert back.error == value or not (math.isfinite(back.error) or math.isfinite(value))
    json.loads((tmp_path / "candidates.jsonl").read_text().splitlines()[1], parse_constant=pytest.fail)  # true JSON


@pytest.mark.parametrize("size", [2, 3, 7, 25])
def test_the_ranking_does_not_depend_on_the_workers(tmp_path, size):
    alone = search(tmp_path / "alone")
    seen = []
    def work(workers):
        log = CandidateLog(tmp_path / "many", OPTIONS, workers.rank)
        return fptas(SPACE, lambda a: seen.append(a) or evaluate(a), T, 2, execution=Execution(workers, log))
    results = Threads(size).run(work)
    assert all(result == alone for result in results)
    assert len(seen) == len(set(seen)) == 18
    assert [path.name for path in (tmp_path / "many").iterdir()] == ["candidates.jsonl"]
    files = [(tmp_path / name / "candidates.jsonl").read_bytes() for name in ("alone", "many")]
    assert files[0] == files[1]


def test_what_three_workers_left_is_taken_up_by_two(tmp_path):
    ordered = SPACE[:12]
    for rank in range(3):
        log = CandidateLog(tmp_path, OPTIONS, rank)
        for architecture in ordered[rank::3]:
            log.append(architecture, evaluate(architecture))
    seen = []
    def work(workers):
        log = CandidateLog(tmp_path, OPTIONS, workers.rank)
        return fptas(SPACE, lambda a: seen.append(a) or evaluate(a), T, 1, execution=Execution(workers, log))
    first, second = Threads(2).run(work)
    assert first == second and first.ranking == fptas(SPACE, evaluate, T, 1).ranking
    assert sorted(seen) == sorted(SPACE[12:]) and first.resumed == 12
    assert [path.name for path in tmp_path.iterdir()] == ["candidates.jsonl"]


@pytest.mark.parametrize("size", [1, 2])
def test_latency_in_a_phase_of_its_own_is_measured_by_worker_0_when_all_have_finished(tmp_path, size):
    events = []
    def measure(architecture):
        events.append("latency")
        return float(architecture.num_layers)
    def note(architecture, objectives):
        events.append("evaluated")
    def work(workers):
        assert workers.rank == 0 or workers.size > 1
        log = CandidateLog(tmp_path, OPTIONS, workers.rank)
        return fptas(SPACE, evaluate, Objectives(1e12, 7.0, 1), 2,
                     execution=Execution(workers, log, measure_latency=measure, on_finished=note))
    results = Threads(size).run(work)
    assert events == ["evaluated"] * 18 + ["latency"] * 18
    assert all(r.objectives.latency == r.architecture.num_layers for r in results[0].ranking)
    assert results[0].ranking == results[-1].ranking
    again = Threads(size).run(work)
    assert again[0].ranking == results[0].ranking and len(events) == 36  # both phases come from the log


@settings(deadline=None)
@given(st.lists(st.floats(0.1, 1e6), max_size=30), st.integers(1, 9))
def test_shares_are_complete_and_balanced(costs, size):
    shares = assign(costs, size)
    assert len(shares) == size and sorted(i for share in shares for i in share) == list(range(len(costs)))
    assert all([costs[i] for i in share] == sorted((costs[i] for i in share), reverse=True) for share in shares)
    least = max(sum(costs) / size, max(costs, default=0.0))
    heaviest = max(sum(costs[i] for i in share) for share in shares)
    assert heaviest <= least * (2 - 1 / size) * (1 + 1e-9)  # Graham's bound against what no schedule can beat


def test_shares_of_the_papers_candidates_are_even():
    from bort_mx.search import admit, intrinsic_order, read_space
    costs = [float(a.multiply_adds(512)) for a in intrinsic_order(admit(read_space()).architectures)[::2]]
    loads = [sum(costs[i] for i in share) for share in assign(costs, 8)]
    assert max(loads) < 1.01 * sum(costs) / 8

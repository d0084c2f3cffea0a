"""Peers in processes of their own: they take turns, what is missing is told, and one that dies is reported at once."""

import json
import os
import pathlib
import signal
import sys
import threading
import time

import numpy as np
import pytest

from bort_mx.commands import bench
from bort_mx.errors import InputError

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "benchmarks"
SOON = 30
"""Seconds within which a dead process must be reported; the work that it was asked for would take 600."""


def counting(path, letter):
    def work(case):
        with open(path, "a") as file:
            file.write(letter)
    return work


def sleeping(pid_file):
    pathlib.Path(pid_file).write_text(str(os.getpid()))
    return lambda case: time.sleep(600 if case == "long" else 0)


def dying():
    os._exit(3)


def lacking():
    raise ImportError("No module named 'openvino'")


@pytest.fixture
def side_by_side(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import side_by_side as module
    return module


def test_sides_take_turns_and_what_is_missing_is_told(side_by_side, tmp_path):
    order = tmp_path / "order"
    makers = {"a": (counting, (str(order), "a")), "b": (counting, (str(order), "b")), "none": (lacking, ()),
              "dead": (dying, ())}
    with side_by_side.SideBySide(makers) as sides:
        found = sides.rounds("case", 3, warm_up=1)
    assert order.read_text() == "ab" * 4
    assert {name: len(values) for name, values in found.items()} == {"a": 3, "b": 3}
    assert sides.missing["none"] == "No module named 'openvino'"
    assert sides.missing["dead"] == "dead: its process ended with exit code 3 before it answered"


def kill_soon(pid_file):
    time.sleep(0.5)
    os.kill(int(pathlib.Path(pid_file).read_text()), signal.SIGKILL)


@pytest.mark.parametrize("case", ["long", "short"])
def test_a_killed_peer_is_reported_at_once_and_the_others_go_on(side_by_side, tmp_path, case):
    pid, order = str(tmp_path / "pid"), str(tmp_path / "order")
    with side_by_side.SideBySide({"killed": (sleeping, (pid,)), "alive": (counting, (order, "x"))}) as sides:
        if case == "long":  # in the middle of a round
            threading.Thread(target=kill_soon, args=(pid,)).start()
        else:  # between two rounds
            assert set(sides.rounds("short", 1)) == {"killed", "alive"}
            kill_soon(pid)
        start = time.monotonic()
        found = sides.rounds(case, 2, warm_up=0)
        assert time.monotonic() - start < SOON
        assert list(sides.peaks_mb()) == ["alive"] and 5 < sides.peaks_mb()["alive"] < 5000  # MB, not kB
    assert list(found) == ["alive"] and len(found["alive"]) == 2
    assert sides.missing["killed"] == "killed: its process ended with exit code -9 before it answered"


def test_spread(side_by_side):
    assert side_by_side.spread([3.0, 1.0, 2.0], 1000) == {"median": 2000, "quartiles": [1500, 2500], "rounds": 3}


def test_peers_say_what_they_lack(side_by_side, monkeypatch):
    import peers

    for module, maker, arguments in (("torch", peers.pytorch, ("eager",)), ("openvino", peers.openvino, ("f32",)),
                                     ("onnxruntime", peers.onnx_runtime, (False,))):
        with monkeypatch.context() as without, pytest.raises(ImportError, match=module):
            without.setitem(sys.modules, module, None)
            maker([1, 2, 16, 32], *arguments)
    monkeypatch.setattr(peers, "instructions", lambda: {"bf16": False})
    with pytest.raises(side_by_side.Missing, match="no bf16 instructions"):
        peers.refuse_emulated("bf16")
    peers.refuse_emulated("f32")
    assert len(peers.encoders((1, 2, 16, 32))) == 8


def test_our_engines_are_timed_with_the_same_work(side_by_side):
    """All states of the case's batch, by the same weights; and whole matrix products."""
    import mxnet as mx
    import peers

    states = peers.mxnet_encoder([1, 2, 16, 32])("2x8").asnumpy()
    assert states.shape == (2, 8, 16) and states.std() > 0.1
    for int8, tolerance in ((False, 1e-4), (True, 0.2)):
        np.testing.assert_allclose(peers.onnx_runtime([1, 2, 16, 32], int8)("2x8")[0], states, atol=tolerance)
    path = pathlib.Path(peers.exported([1, 2, 16, 32], False, peers.FILES.name))
    written = path.stat().st_mtime_ns
    assert peers.exported([1, 2, 16, 32], False, peers.FILES.name) == str(path)  # as OpenVINO takes it
    assert path.stat().st_mtime_ns == written
    given = peers.encoders((1, 2, 16, 32))
    assert given["OpenVINO fp32"][1][-1] == given["bort_mx's ONNX file, ONNX Runtime fp32"][1][-1] == peers.FILES.name
    mx.random.seed(3)
    product = peers.gemm(16, 2)("").asnumpy()
    mx.random.seed(3)
    left, right = (mx.nd.random.uniform(shape=(16, 16)).asnumpy() for _ in range(2))
    np.testing.assert_allclose(product, left @ right, rtol=1e-5)


def test_bench_keeps_json_lines_and_says_what_the_processor_lacks(tmp_path, monkeypatch, capsys):
    (tmp_path / "good.py").write_text("print('hello'); print(dict(loss='0.7')); print('{\"a\": 1}')")
    (tmp_path / "bad.py").write_text("raise SystemExit(5)")
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    monkeypatch.setattr(bench, "SUITES", {"one": {"full": [["good.py"]]}, "two": {"full": [["bad.py"]]},
                                          "finetuning": {"full": [["finetune_throughput.py"]]}})
    monkeypatch.setattr(bench, "MINUTES", {"full": {"one": 1, "two": 2, "finetuning": 3}})
    assert bench.main(["--suite", "finetuning", "--output-dir", str(tmp_path / "out"), "--data-dir", "none"]) == 0
    assert bench.main(["--output-dir", str(tmp_path / "out"), "--data-dir", str(tmp_path / "none")]) == 1
    found = json.loads((tmp_path / "out/results.json").read_text())
    assert list(found["results"]) == ["one", "two", "finetuning"]  # in the suites' order
    found = json.loads((tmp_path / "out/results.json").read_text())
    assert found["results"]["one"][0]["rows"] == [{"a": 1}] and found["results"]["two"][0]["exit_code"] == 5
    assert found["results"]["one"][0]["quick"] is False
    assert bench.main(["--suite", "one", "--output-dir", str(tmp_path / "out")]) == 0  # the other suites stay
    assert set(json.loads((tmp_path / "out/results.json").read_text())["results"]) == {"one", "two", "finetuning"}
    assert "no folder" in found["results"]["finetuning"][0]["left_out"]
    path = str(tmp_path / "out/results.json")
    (tmp_path / "good.py").write_text(  # as another bench that writes while this one runs
        f"import json; found = json.load(open({path!r})); found['results']['two'] = [dict(exit_code=0, rows=[7])]\n"
        f"json.dump(found, open({path!r}, 'w'))")
    assert bench.main(["--suite", "one", "--output-dir", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out/results.json").read_text())["results"]["two"][0]["rows"] == [7]
    found = json.loads((tmp_path / "out/results.json").read_text())
    capsys.readouterr()
    (tmp_path / "good.py").write_text("raise SystemExit(5)")
    assert bench.main(["--suite", "one", "--output-dir", str(tmp_path / "out")]) == 1
    kept = json.loads((tmp_path / "out/results.json").read_text())["results"]["one"]
    assert kept == found["results"]["one"] and "the earlier results of one are kept" in capsys.readouterr().out
    (tmp_path / "out/results.json").write_text("{}")
    with pytest.raises(InputError, match="another --output-dir"):
        bench.main(["--suite", "one", "--output-dir", str(tmp_path / "out")])
    assert set(found["machine"]) == {"cpu", "threads", "instructions"}
    assert found["machine"]["cpu"] in capsys.readouterr().out


def test_the_forecast_is_scaled_by_the_machines_speed(monkeypatch):
    monkeypatch.setattr(bench, "MINUTES", {"full": {"latency": 20, "data": 5.0}})
    said = bench.forecast("full", ["latency", "data"], bench.REFERENCE / 2)
    assert said.endswith(" GFLOP/s: about 50 min (latency 40 min, data 10 min)")
    assert bench.forecast("full", ["data"], bench.REFERENCE).endswith(" about 5 min")
    assert bench.product_gflops(64, 2) > 0


def test_the_whole_bench_is_forecast_to_take_about_an_hour():
    for size, most in (("full", 65), ("quick", 6)):
        assert set(bench.MINUTES[size]) == set(bench.SUITES) and sum(bench.MINUTES[size].values()) <= most


@pytest.mark.parametrize("budget, least, count", [(1e9, 1, 5), (0, 1, 1), (0, 3, 3)])
def test_rounds_end_by_their_budget(side_by_side, tmp_path, budget, least, count):
    log = tmp_path / "log"
    with side_by_side.SideBySide({"a": (counting, (log, "a")), "b": (counting, (log, "b"))}) as sides:
        found = sides.rounds("", 5, 2, budget, least)
    assert {name: len(values) for name, values in found.items()} == {"a": count, "b": count}
    assert log.read_text() == "ab" * (2 + count)


def test_a_large_batch_is_warmed_up_by_a_small_one_if_it_takes_long(side_by_side):
    import latency

    class Sides:
        def __init__(self, seconds):
            self.seconds, self.asked = seconds, []

        def rounds(self, case, count, warm_up=1, budget=0.0):
            self.asked.append((case, count, warm_up))
            return {"engine": [self.seconds]}

    for seconds, case, asked in ((1.0, "16x512", [("2x512", 1, 0), ("16x512", 7, 1)]),
                                 (4.0, "16x512", [("2x512", 1, 0), ("16x512", 7, 0)]),
                                 (4.0, "1x512", [("1x512", 7, 1)])):
        sides = Sides(seconds)
        latency.seconds_of(sides, case, 7, 20)
        assert sides.asked == asked


def test_every_script_of_the_suites_is_there():
    scripts = {command[0] for suite in bench.SUITES.values() for commands in suite.values() for command in commands}
    assert all((FOLDER / name).is_file() for name in scripts)
    assert set(bench.SUITES) == {"latency", "training", "finetuning", "data", "search", "scaling", "memory"}

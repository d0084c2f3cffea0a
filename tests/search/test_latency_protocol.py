"""Table 1's protocol of inference speed: the element, the trials, the command."""

import json

import mxnet as mx
import numpy as np
import pytest

from bort_mx import Architecture
from bort_mx.commands import latency
from bort_mx.data import TokenShards
from bort_mx.errors import InputError
from bort_mx.search.latency_protocol import draw_element, time_trials
from bort_mx.training.finished_runs import find_runs


def test_random_ids_depend_on_the_seed_alone():
    one, again, other = (draw_element(None, 512, seed, 300) for seed in (0, 0, 1))
    assert one.shape == (1, 512) and np.array_equal(one, again) and not np.array_equal(one, other)
    assert one.min() >= 0 and one.max() < 300


def test_the_element_is_text_of_the_data(prepared):
    element = draw_element(str(prepared), 24, 3, 100)
    shards = TokenShards(prepared, "train")
    tokenizer = shards.tokenizer()
    assert element.shape == (1, 24) and element[0, 0] == tokenizer.bos_id
    text = [int(i) for i in element[0] if i not in (tokenizer.bos_id, tokenizer.eos_id)]
    stream = [int(i) for k in range(len(shards)) for i in shards[k]]
    assert any(stream[i:i + 5] == text[:5] for i in range(len(stream)))
    with pytest.raises(InputError, match="has .* tokens; an element needs 999999"):
        draw_element(str(prepared), 999_999, 0, 100)


def test_as_many_trials_as_asked_for():
    small, large = time_trials([Architecture(1, 2, 16, 32), Architecture(2, 2, 32, 64)],
                               draw_element(None, 16, 0, 50), 50, 5, mx.cpu())
    assert small.seconds.shape == large.seconds.shape == (5,) and (large.seconds > 0).all()
    found = small.summary()
    assert found["mean_s"] == pytest.approx(small.seconds.mean())
    assert found["quartile_1_s"] <= found["median_s"] <= found["quartile_3_s"]


def test_the_command_writes_what_it_prints(tmp_path, capsys):
    assert latency.main(["--architectures", "1,2,16,32", "2,2,16,32", "--trials", "4", "--seq-len", "16",
                         "--vocab-size", "60", "--output-dir", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "out/results.json").read_text())
    assert "one element of 16 tokens (random ids), 4 trials, on " in printed
    assert [row["architecture"] for row in found["rows"]] == [[1, 2, 16, 32], [2, 2, 16, 32]]
    assert f"{1000 * found['rows'][0]['mean_s']:.2f} ms" in printed
    assert f"reproduce --table 1 --runs {tmp_path / 'out'}" in printed
    run, = find_runs(tmp_path)[0]
    assert (run.stage, run.options["trials"], run.results["rows"]) == ("latency", 4, found["rows"])


def test_results_of_something_else_are_not_replaced(tmp_path):
    small = ["--architectures", "1,2,16,32", "--trials", "1", "--seq-len", "16", "--vocab-size", "60", "--output-dir"]
    for _ in range(2):  # its own are replaced
        latency.main([*small, str(tmp_path / "own")])
    (tmp_path / "config.json").write_text('{"options": {"task": "RTE"}}')
    (tmp_path / "file").write_text("")
    for place, message in ((tmp_path, "of another command"), (tmp_path / "file", "cannot be written")):
        with pytest.raises(InputError, match=message):
            latency.main([*small, str(place)])
    assert not (tmp_path / "results.json").exists()


def test_the_papers_number_of_trials_is_the_default():
    assert latency.LatencyOptions().trials == 6250 and latency.LatencyOptions().seq_len == 512
    with pytest.raises(InputError, match="--trials 0: must be at least 1"):
        latency.LatencyOptions(trials=0)

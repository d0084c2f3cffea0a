"""The tables of the documents are those of docs/experiments/bench.json; the tool that writes them."""

import importlib.util
import json
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def tool():
    spec = importlib.util.spec_from_file_location("bench_tables", ROOT / "tools/bench_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_documents_match_the_kept_results():
    if not tool().KEPT.is_file():
        pytest.skip("no results are kept yet: docs/experiments/bench.json is missing")
    assert tool().main(["--check"]) == 0


def test_every_row_of_a_suite_has_its_line():
    """Keys as the scripts of benchmarks/ print them."""
    spread = {"median": 2.0, "quartiles": [1.5, 2.5], "rounds": 3}
    rows = {"data": [{"megabytes": 30.0, "cores": 2, "encode_batch_mb_s": 5.0, "prepare_mb_s": 4.5, "ratio": 0.9},
                     {"shape": "8x128", "share_percent": 0.4},
                     {"megabytes": 1.5, "missing": {}, "megabytes_per_s": {"bort_mx": spread}}],
            "search": [{"candidates": 6, "phases_s": {"candidates": 3.5}}],
            "scaling": [{"share_of_twice_one": spread, "over_one_of_two_threads": spread,
                         "over_two_runs_at_once": spread},
                        {"missing": {"two workers": "Horovod is not installed"}}],
            "memory": [{"architecture": "bort", "file_bytes": 2e9, "load_s": 1.25, "peak_over_file": 1.5}],
            "finetuning": [{"task": "RTE", "architecture": [1, 2, 4, 8], "bort_mx_examples_per_s": 30.5,
                            "ratio_median": 2.0, "ratio_quartiles": [1.9, 2.1], "tuned_peer": True, "missing": {}},
                           {"task": "CB", "architecture": [1, 2, 4, 8], "bort_mx_examples_per_s": 9.0,
                            "missing": {"Trainer": "no accelerate"}}]}
    found = {"results": {name: [{"rows": of}] for name, of in rows.items()}}
    assert tool().data(found).splitlines()[2:] == [
        "| prepare 30 MB, a short text repeated, on 2 cores | 4.5 MB/s, 0.9 times the speed of the bare tokenizer; "
        "real text: [corpora.md](experiments/corpora.md) |",
        "| load and mask 8x128 | 0.4 % of a training step |", "| tokenize 1.5 MB, bort_mx | 2 (1.5–2.5) MB/s |"]
    assert [line.split(" | ")[-1].strip(" |") for line in tool().others(found).splitlines()[2:] if line] == [
        "candidates 3.5", *3 * ["2 (1.5–2.5)"], "1.2 s, peak memory 1.50 times the file", "30.5",
        "2 (1.9–2.1)", "9",
        "Left out: Trainer: no accelerate.", "Left out: two workers: Horovod is not installed."]
    assert tool().latency(found) == "Not measured yet.\n"


def test_a_document_that_does_not_match_is_found_and_written(tmp_path, monkeypatch, capsys):
    module = tool()
    document = tmp_path / "README.md"
    document.write_text("before\n<!-- bench: training -->\nold\n<!-- end of bench -->\nafter\n")
    results = {"machine": {}, "provenance": {"command": "bench --data-dir /home/me/data --vocab bpe -o a/b 1 / 2 /"},
               "results": {"training": [{"command": ["x.py", "--vocab", "/home/me/bpe"], "rows": [{
        "work": "MLM", "shape": "8x128", "tokens_per_s": {"bort_mx": 700.0, "stock": 350.0},
        "missing": {"bf16": "no bf16"},
        "ratio": {"stock": {"median": 2.0, "quartiles": [1.9, 2.1], "rounds": 3}}}]}]}}
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "KEPT", tmp_path / "bench.json")
    monkeypatch.setattr(module, "DOCUMENTS", (document,))
    (tmp_path / "new.json").write_text(json.dumps(results))
    assert module.main(["--check", str(tmp_path / "new.json")]) == 1 and "does not match" in capsys.readouterr().out
    assert module.main([str(tmp_path / "new.json")]) == 0
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert kept["provenance"]["command"] == "bench --data-dir data --vocab bpe -o a/b 1 / 2 /"
    assert kept["results"]["training"][0]["command"] == ["x.py", "--vocab", "bpe"]
    assert kept["results"]["training"][0]["rows"] == results["results"]["training"][0]["rows"]
    text = document.read_text()
    assert "| MLM | 8x128 | stock | 350 | 2 (1.9–2.1) |" in text and "Left out: bf16: no bf16." in text
    assert text.startswith("before\n") and text.endswith("<!-- end of bench -->\nafter\n") and "old" not in text
    assert module.main(["--check"]) == 0


def test_readmes_line_is_of_a_full_run_or_stays(tmp_path):
    module = tool()
    text = "<!-- bench: summary -->\n- old\n<!-- end of bench -->"
    row = {"work": "MLM, Bort", "shape": "8x128", "ratio": {
        "transformers, stock": {"median": 2.96}, "transformers, gathered": {"median": 1.18},
        "transformers, gathered, compiled": {"median": 1.2}, "transformers, gathered, bf16": {"median": 1.081}}}
    new = ("- A training step at Bort's size is 3.0 times as fast as transformers' on PyTorch as it comes, and 1.08")
    for runs, line in (([{"rows": [row], "quick": False}], new), ([{"rows": [row], "quick": True}], "- old"),
                       ([], "- old")):
        assert module.filled(text, {"results": {"training": runs}}).splitlines()[1].startswith(line)


def test_some_suites_from_some_commits_make_a_page():
    """What `bench --suite` leaves after two runs, the second of them a quick one."""
    one = {"median": 50000.0, "quartiles": [50000.0, 50000.0], "rounds": 1}
    found = {"machine": {"cpu": "A CPU", "threads": 2, "instructions": {"bf16": False}},
             "provenance": {"git_commit": "c" * 40}, "results": {
                 "latency": [{"git_commit": "a" * 40, "rows": [
                     {"gemm_peak_gflops": 140.0}, {"system": "bert-large", "case": "16x512", "engines": {
                         "bort_mx on MXNet": {"ms": one, "share_of_peak": 0.75}}, "missing": {}}]}],
                 "finetuning": [{"git_commit": "b" * 40, "quick": True, "rows": [], "command": ["finetune.py"],
                                 "left_out": "no folder data"}]}}
    module = tool()
    text = "".join(f"<!-- bench: {name} -->\nold\n<!-- end of bench -->\n" for name in module.TABLES)
    page = module.filled(text, found)
    assert "A CPU, 2 threads, without bf16; float32 matrix product 140 GFLOP/s. " in page
    assert "Commit aaaaaaaaaaaa, bbbbbbbbbbbb;" in page
    assert "of few rounds and systems: finetuning." in page
    assert "| bert-large | 16x512 | 50000 (one) | 75% |" in page and page.count("Not measured yet.") == 3
    assert "Left out: benchmarks/finetune.py: no folder data." in page

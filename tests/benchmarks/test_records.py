"""What benchmarks keep: committed records are only read unless they are named; a dry run's results stay apart."""

import argparse
import json
import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = ("students", "students_ablation", "students_probe", "students_selection", "students_similarity")


@pytest.mark.parametrize("name", SCRIPTS)
def test_run_wants_a_record_of_its_own_and_table_reads_the_committed_one(load_benchmark, monkeypatch, capsys, name):
    script = load_benchmark(name)
    monkeypatch.setattr(sys, "argv", [name, "run", "--data-dir", "nowhere"])
    with pytest.raises(SystemExit) as stopped:
        script.main()
    assert stopped.value.code == 2
    assert f"run appends to a record; name a file of your own, such as --record runs/students/{name}.jsonl" in (
        capsys.readouterr().err)
    monkeypatch.setattr(sys, "argv", [name, "table"])
    script.main()
    committed = (ROOT / "docs" / "experiments" / f"{name}.jsonl").read_text().splitlines()
    assert len(committed) > 3 and capsys.readouterr().out.count("\n|") >= 3


def test_no_option_of_a_benchmark_writes_into_the_docs_by_default():
    """students.py names its record, and compared.py programs of a page: both to read."""
    into_docs = re.compile(r"""default=[^,)]*docs|ROOT / "docs""")
    found = {path.name: into_docs.findall(path.read_text()) for path in sorted((ROOT / "benchmarks").glob("*.py"))}
    assert {name for name, places in found.items() if places} == {"compared.py", "students.py"} and len(found) > 30


def test_results_of_a_dry_run_and_of_a_whole_one_do_not_mix(load_benchmark, tmp_path):
    parity, path = load_benchmark("finetune_parity"), tmp_path / "results.jsonl"
    assert parity.done_with(path, {"examples": 64}) == set()
    row = {"task": "MRPC", "program": "bort_mx", "seed": 0}
    path.write_text(json.dumps(row) + "\n" + json.dumps({**row, "seed": 1, "examples": 64}) + "\n")
    with pytest.raises(SystemExit, match="results.jsonl:2: a run with examples 64, and this is one with them as they "
                                         "are; give another --results"):
        parity.done_with(path, {})
    with pytest.raises(SystemExit, match="results.jsonl:1: a run with examples as they are, and this is one with 64"):
        parity.done_with(path, {"examples": 64})
    path.write_text(json.dumps(row) + "\n")
    assert parity.done_with(path, {}) == {("MRPC", "bort_mx", 0)}
    recipe = load_benchmark("default_recipe")
    given = argparse.Namespace(examples=recipe.EXAMPLES, epochs=0)
    assert recipe.some_of(given) == {}
    assert recipe.some_of(argparse.Namespace(examples=64, epochs=1)) == {"examples": 64, "epochs": 1}

"""`bort-mx reproduce`: every "holds" recomputed from scratch; a wrong value turns its verdict; the page; input."""

import copy
import json
import math
import os
import re
import subprocess
import sys

import pytest

from bort_mx.commands import reproduce
from bort_mx.errors import InputError
from bort_mx.report import latency_table, published, sections
from bort_mx.report.findings import FAILS, HOLDS, NOT_RUN, READING, VERDICTS, judge, matches, printed_digits
from bort_mx.report.latency_table import Latencies
from bort_mx.report.published import Published

V, S, UNCASED = 50265, 514, 30522
SECONDS = {"A1 (Bort)": [0.20, 0.21], "A2": [0.18, 0.19], "A3": [0.18, 0.20], "BERT-base": [0.70, 0.74],
           "RoBERTa-large": [2.4, 2.5]}
GLUE_LARGE = {"SST-2", "QNLI", "QQP", "MNLI-matched", "MNLI-mismatched"}
OF_GLUE = {"Bort": {"CoLA": 63.9, "SST-2": 96.2, "MRPC": 92.3, "STS-B": 88.3, "QQP": 66.0, "MNLI-matched": 88.1,
                    "MNLI-mismatched": 87.8, "QNLI": 92.3, "RTE": 82.7, "WNLI": 71.2, "AX": 51.9},
           "BERT-large": {"CoLA": 60.5, "SST-2": 94.9, "MRPC": 85.4, "STS-B": 86.5, "QQP": 72.1, "MNLI-matched": 86.7,
                          "MNLI-mismatched": 85.9, "QNLI": 92.7, "RTE": 70.1, "WNLI": 65.1, "AX": 39.6}}
IN_THETA = {"7": {"CoLA", "MRPC", "STS-B", "QNLI", "WNLI"}, "8": set(), "9": {"BoolQ", "MultiRC"}}


@pytest.fixture(autouse=True)
def no_timing(monkeypatch):
    """Latencies as another machine might have them; nothing is timed in tests."""
    monkeypatch.setattr(latency_table, "measure", lambda paper: Latencies(SECONDS, "a test"))


def all_findings(paper=None, tables=published.TABLES):
    found = sections.build_sections(paper or published.read(), tables, [])
    return [one for section in found for one in section.findings]


def eq_13(D, A, H, I, V, S):
    return D * (4 * H * H + 2 * H * I + 9 * H + I) + H * H + (V + S + 6) * H


def layers_one_by_one(D, H, I, V, S, types):
    """Embeddings, their LayerNorm, D layers, pooler; counted by hand."""
    layer = 4 * (H * H + H) + (H * I + I) + (I * H + H) + 2 * 2 * H
    return V * H + S * H + types * H + 2 * H + D * layer + H * H + H


def recomputed():
    """(table, row) or (table, row, column) → our value, from scratch, for everything that is said to hold."""
    large, base = (24, 16, 1024, 4096), (12, 12, 768, 3072)
    values = {("text", "embedding of RoBERTa-large (M)"): round((V * 1024 + S * 1024 + 3 * 1024) / 1e6, 1),
              ("text", "vocabulary of BERT"): 28996,
              ("text", "valid architectures of the space"): 6 * 5 * sum(h % a == 0 for h in (512, 768, 1024)
                                                                        for a in (4, 8, 12, 16)),
              ("text", "depth of all compressed models but one"): "4, but for 1",
              ("text", "data sets of SuperGLUE"): len("BoolQ CB COPA MultiRC ReCoRD RTE WiC WSC AX-b AX-g".split()),
              ("text", "RACE, least gain over BERT-large"): "RACE-M 9.3, RACE-H 10.6",
              ("text", "RACE, wrong answers to a right one"): 3,
              ("text", "RACE, share of wrong answers discarded"): "2/3",
              ("text", "hyperparameter sets in Theta"): 5 * 4 * 5 * 5,
              ("text", "GPU hours of RoBERTa-large"): 1024 * 24,
              ("text", "GPU hours of Bort, % of RoBERTa-large"): round(100 * 8 * 36 / (1024 * 24), 1),
              ("text", "cycles that distillation saves, %"): 100 * (8 * 40 - 8 * 36) / (8 * 40),
              ("text", "GLUE tasks with a batch of 16"): ", ".join(sorted(GLUE_LARGE)),
              ("text", "GLUE tasks in which Bort is not ahead of BERT-large"): ", ".join(sorted(
                  task for task in OF_GLUE["Bort"] if OF_GLUE["Bort"][task] <= OF_GLUE["BERT-large"][task])),
              ("text", "speed-up on a CPU, over RoBERTa-large"): round(6.17 / 0.308, 2),
              ("3", "self-supervised"): 8 * 40, ("3", "distillation"): 8 * 36}
    rows = {"1": {"BERT-base": (base, UNCASED, 512), "RoBERTa-large": (large, V, S)},
            "2": {"TinyBERT (4 layers)": ((4, 12, 312, 1200), UNCASED, 512),
                  "BERT-of-Theseus": ((6, 12, 768, 3072), UNCASED, 512),
                  "BERT-Small": ((4, 8, 512, 2048), UNCASED, 512), "BERT-base": (base, UNCASED, 512),
                  "BERT-large": (large, UNCASED, 512), "RoBERTa-large": (large, V, S)}}
    for table, systems in rows.items():
        for row, (shape, vocabulary, positions) in systems.items():
            D, A, H, I = shape
            values[table, row, "parameters (M)"] = round(eq_13(*shape, vocabulary, positions) / 1e6, 2)
            types = 2 if vocabulary == UNCASED else 0
            values[table, row, "parameters (M), counted"] = round(
                layers_one_by_one(D, H, I, vocabulary, positions, types) / 1e6, 2)
    for table, tasks in IN_THETA.items():
        values.update({(table, task): "yes" for task in tasks})
    return values


def test_every_holds_is_recomputed_from_scratch():
    values, held = recomputed(), [one for one in all_findings() if one.verdict == HOLDS]
    for one in held:
        key = (one.table, one.row) if (one.table, one.row) in values else (one.table, one.row, one.column)
        assert key in values, f"{key} is said to hold, and nothing here recomputes it"
        want = values[key]
        assert one.ours == want or float(one.ours.replace(",", "")) == pytest.approx(want, abs=1e-9), key
    names = {(one.table, one.row) for one in held}
    assert {key[:2] for key in values} == names


def test_readings_are_what_their_formulas_give():
    readings = {(one.table, one.row): one.note for one in all_findings() if one.verdict == READING}
    swapped = (eq_13(4, 8, 768, 1024, V, S) + 768 * 1024) / 1e6
    assert round(swapped, 2) == 56.14 and "56.14" in readings["1", "A1 (Bort)"]
    assert round((eq_13(4, 8, 512, 1024, V, S) + 512 * 1024) / 1e6, 2) == 35.20 and "35.20" in readings["1", "A2"]
    assert round((UNCASED + 512 + 3) * 1024 / 1e6, 1) == 31.8
    assert "30,522" in readings["text", "embedding of BERT-large (M)"]
    assert round((V + S + 3) * 768 / 1e6) == 39 and "768" in readings["text", "embedding of Bort (M)"]
    assert round(100 * (56.1 - 39) / (340 - 31.8), 1) == 5.5 and ("text", "encoder of BERT-large, %") in readings
    assert round(100 * (56.1 - 39) / (355 - 52), 1) == 5.6 and ("text", "encoder of RoBERTa-large, %") in readings
    assert math.floor(100 * 56.1 / 340) == 16 and "cut off" in readings["text", "net size of BERT-large, %"]
    assert round(1472 * 47 / 60) == 1153 and "47 minutes" in readings["3", "BERT-large"]
    assert round(4 * 28293 / 7139) == 16 and "15.9" in readings["text", "RACE, question-answer pairs of a passage"]


def test_the_known_discrepancies_are_reported_with_their_explanations():
    failed = {(one.table, one.row): one for one in all_findings() if one.verdict == FAILS}
    for key, words in {("3", "RoBERTa-large"): "24,576", ("text", "GPU hours of Bort, % of BERT-large"): "a quarter",
                       ("text", "constant k of GELU"): "0.093", ("text", "CHS in Theta"): "16 have",
                       ("text", "GLUE and SuperGLUE, least gain over BERT-large"): "WiC",
                       ("text", "GLUE and SuperGLUE, largest gain over BERT-large"): "MultiRC",
                       ("text", "SuperGLUE tasks in which Bort is behind BERT-large"): "96.1 and 97.8",
                       ("text", "RACE, largest gain over BERT-large"): "RACE-H", ("text", "RACE-H, passages"): "+5",
                       ("text", "eq. 13 for Bort, weights"): "3H more",
                       ("text", "speed-up on a CPU, over BERT-base"): "allow 3.5 times"}.items():
        assert words in failed[key].note, key
    assert failed["text", "GPU hours of Bort, % of BERT-large"].ours == "25"
    both = [one for one in all_findings() if one.row == "speed-up on a CPU, over BERT-base"]
    assert [one.ours for one in both] == ["7.84", "3.5", "3.5 (3.5 to 3.5)"]
    assert {one.verdict for one in both} == {FAILS}


def changed(records, key):
    """A copy of the records in which one value is wrong."""
    records = copy.deepcopy(records)
    for record in records:
        if (record["table"], record["row"], record["column"]) == key:
            value = record["value"]
            record["value"] = f"not {value}" if isinstance(value, str) else value * 1.3 + 1
    return records


def test_a_wrong_value_in_a_copy_of_the_numbers_turns_its_verdict(tmp_path):
    records = published.read().records()
    for one in all_findings():
        if one.verdict not in (HOLDS, READING):
            continue
        column = {"1": "parameters (M)", "2": "parameters (M)", "3": "GPU hours"}.get(one.table, "value")
        key = (one.table, one.row, "learning_rate" if one.table in "789" else column)
        path = tmp_path / "numbers.json"
        path.write_text(json.dumps(changed(records, key)))
        turned = [other for other in all_findings(published.read(path), [one.table])
                  if (other.row, other.column, other.how.split(" on ")[0]) ==
                  (one.row, one.column, one.how.split(" on ")[0])]
        assert [other.verdict for other in turned] == [FAILS], key


def test_the_right_value_in_place_of_a_wrong_one_holds(tmp_path):
    values = published.read().values
    paper = Published({**values, ("3", "RoBERTa-large", "GPU hours"): 24576,
                       ("text", "GPU hours of Bort, % of BERT-large", "value"): 25})
    verdicts = {(one.table, one.row): one.verdict for one in all_findings(paper, ["3", "text"])}
    assert verdicts["3", "RoBERTa-large"] == verdicts["text", "GPU hours of Bort, % of BERT-large"] == HOLDS


def test_published_values_are_those_of_the_reference_file(shared):
    known = json.loads((shared / "paper" / "numbers.json").read_text())
    paper = published.read()
    for row in paper.rows("1"):
        shape, w, size, seconds = known["table1"][row]
        assert [paper("1", row, c) for c in "DAHI"] == shape
        assert [paper("1", row, c) for c in ("W", "parameters (M)", "seconds per sample")] == [w, size, seconds]
    for row in paper.rows("2"):
        assert [[paper("2", row, c) for c in "DAHI"], paper("2", row, "parameters (M)")] == known["table2"][row]
    for row in paper.rows("3"):
        assert [paper("3", row, column) for column in paper.columns("3")] == known["table3"][row]
    for table, name in (("4", "table4_glue"), ("5", "table5_superglue"), ("6", "table6_race")):
        assert paper.columns(table) == known[name]["columns"]
        for row in paper.rows(table):
            assert [paper(table, row, column) for column in paper.columns(table)] == known[name][row]
    for table, name in (("7", "glue"), ("8", "race"), ("9", "superglue")):
        for row in paper.rows(table):
            assert [paper(table, row, column) for column in paper.columns(table)] == known["chs"][name][row]
    assert paper("figure1", "distillation", "converged after (steps)") == known["pretraining"]["kd"]["converged_step"]


def test_the_whole_page(tmp_path, capsys):
    assert reproduce.main(["--output-dir", str(tmp_path / "page")]) == 0
    said = capsys.readouterr().out
    found = json.loads((tmp_path / "page" / "results.json").read_text())["findings"]
    assert {one["verdict"] for one in found} == set(VERDICTS)
    assert re.search(r"(?m)^\d+ holds, \d+ holds with a stated reading, \d+ does not hold, \d+ not run\n", said)
    html = (tmp_path / "page" / "reproduction.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:|#)", html) and html.count("data:image/png") == 5
    for one in found:
        assert one["row"] in html.replace("&#x27;", "'")
        assert one["how"].startswith(("formula", "measured now", "from a run", "not run"))
        if one["ours"] is None:
            assert one["verdict"] == NOT_RUN
    text = (tmp_path / "page" / "reproduction.md").read_text()
    assert all(f"![{name}" in text or name in text for name in ("sizes.png", "speed_ups.png", "table4.png"))
    assert "| CoLA | 67.8 | 60.5 | 47.8 | 43.3 | 27.8 | 63.9 | – | – |" in text


def test_one_table_measures_nothing_and_needs_no_pytorch(tmp_path):
    code = ("import sys; sys.modules['torch'] = None; sys.modules['onnxruntime'] = None\n"
            "from bort_mx.report import latency_table; latency_table.measure = None\n"
            "from bort_mx.cli import main; sys.exit(main(['reproduce', '--table', '2', '--output-dir', sys.argv[1]]))")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "page")], capture_output=True, text=True,
                          env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "page" / "results.json").read_text())["findings"]
    assert {one["table"] for one in found} == {"2"} and len(found) == 16


def _first(records, table, column):
    return next(one for one in records if (one["table"], one["column"]) == (table, column))


@pytest.mark.parametrize("change, message", [
    (lambda r: r[0].update(row="A9"), "no such value"), (lambda r: r.pop(), "has no value for table text"),
    (lambda r: r[0].pop("value"), "entry 1 must be an object"),
    (lambda r: r[0].update(value="four"), "must be a whole number above 0"),
    (lambda r: r[0].update(value=4.5), "4.5 must be a whole number above 0"),
    (lambda r: _first(r, "1", "seconds per sample").update(value=0), "0 must be a number above 0"),
    (lambda r: _first(r, "1", "seconds per sample").update(value=True), "True must be a number above 0"),
    (lambda r: _first(r, "1", "seconds per sample").update(value=math.nan), "nan must be a number above 0"),
    (lambda r: _first(r, "3", "GPUs").update(value=[8]), "must be a number above 0"),
    (lambda r: next(one for one in r if one["table"] == "4" and isinstance(one["value"], str)).update(value="90/x"),
     "'90/x' must be a pair of scores")])
def test_numbers_that_do_not_fit_are_refused(tmp_path, change, message):
    path = tmp_path / "numbers.json"
    records = sorted(published.read().records(), key=lambda r: r["table"] == "text")
    change(records)
    path.write_text(json.dumps(records))
    with pytest.raises(InputError, match=message):
        published.read(path)


def test_a_number_may_become_another_one(tmp_path):
    """Also where the paper prints 0, as for seeds, or nothing."""
    path, records = tmp_path / "numbers.json", published.read().records()
    zero = next(one for one in records if one["value"] == 0)
    nothing = next(one for one in records if one["value"] is None)
    zero["value"], nothing["value"] = 7, 1.5
    path.write_text(json.dumps(records))
    found = published.read(path)
    assert found(*(zero[name] for name in published.FIELDS[:3])) == 7
    assert found(*(nothing[name] for name in published.FIELDS[:3])) == 1.5


def test_bad_options_are_refused_before_anything_is_written(tmp_path):
    for argv, message in ((["--table", "10"], "--table 10"), (["--runs", str(tmp_path / "none")], "no such folder"),
                          (["--numbers", str(tmp_path / "none.json")], "no such file")):
        with pytest.raises(InputError, match=message):
            reproduce.main([*argv, "--output-dir", str(tmp_path / "page")])
    assert not (tmp_path / "page").exists()


def test_rounding_to_printed_digits():
    assert (printed_digits(56.14), printed_digits(355), printed_digits(1.2)) == (2, 0, 1)
    assert matches(5.5, 5.548) and not matches(5.5, 5.551) and matches(110, 109.6) and not matches(110, 109.48)
    assert matches(110, 109.48, 0.02) and not matches(110, 107, 0.02) and not matches("a", 1.0)
    assert judge(1, 2, [(3, "no"), (1, "yes")]) == (READING, "yes")

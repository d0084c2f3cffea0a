"""Finished runs become tables: found wherever they lie, one for each task, dev and test apart, and the official zip."""

import json
import zipfile

import pytest

from bort_mx.commands import reproduce
from bort_mx.data.tasks import get_task
from bort_mx.errors import InputError
from bort_mx.finetuning.benchmark import collect_runs
from bort_mx.report import latency_table, published, score_tables, sections, training_cost
from bort_mx.report.findings import FAILS, HOLDS, NOT_RUN, READING
from bort_mx.report.latency_table import Latencies
from bort_mx.training.finished_runs import find_runs

BORT, SMALL = ((4, 8, 1024, 768), 50265), ((2, 4, 128, 512), 4000)
COMMIT = "0123456789abcdef"


def write_run(path, options, results=None, shape=None):
    """A run's folder: config.json, results.json, and the configuration of its best checkpoint."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({"options": options, "provenance": {"git_commit": COMMIT}}))
    if results is not None:
        (path / "results.json").write_text(json.dumps(results))
        for name in results.get("submissions", ()):
            (path / name).write_text(f"{path.name}\n")
    if shape is not None:
        names = ("num_layers", "num_heads", "hidden_size", "intermediate_size")
        (path / "checkpoints/best").mkdir(parents=True)
        (path / "checkpoints/best/config.json").write_text(json.dumps(
            {"format": "bort_mx", "architecture": dict(zip(names, shape[0])), "vocab_size": shape[1], "options": {}}))


def write_task(path, task, dev, shape=BORT, test=None, **more):
    """A finished fine-tuning run; `dev` and `test` are the task's own metrics in its order."""
    metrics = get_task(task).metrics
    results = {"task": task, "dev": {**dict(zip(metrics, dev)), "loss": 0.5}, "diagnostics": {}, "notes": [],
               "submissions": [get_task(task).submission_name], **more}
    if test is not None:
        results["test"] = dict(zip(metrics, test))
    write_run(path, {"task": task}, results, shape)


def write_pretraining(path, teacher, curve, architecture=(2, 4, 128, 512), **options):
    options = {"max_steps": 300, "batch_size": 4, "seq_len": 64, "seed": 0, "mask_probability": 0.15, **options}
    write_run(path, {"kd_weight": 0.5, "teacher": teacher, **options},
              {"architecture": list(architecture), "validation_curve": curve, "hours": 1.5, "device": "a CPU"})


@pytest.fixture
def no_timing(monkeypatch):
    seconds = {"A1 (Bort)": [1.0], "A2": [1.0], "A3": [1.0], "BERT-base": [3.5], "RoBERTa-large": [12.0]}
    monkeypatch.setattr(latency_table, "measure", lambda paper: Latencies(seconds, "a test"))


def test_runs_are_found_wherever_they_lie_and_the_rest_is_told(tmp_path):
    write_task(tmp_path / "a/deep/folder/RTE", "RTE", [0.8])
    write_run(tmp_path / "unfinished", {"task": "RTE"})
    write_run(tmp_path / "other", {"something": 1}, {"x": 1})
    (tmp_path / "hugging-face").mkdir()
    (tmp_path / "hugging-face/config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/config.json").write_text('{"options"')
    runs, notes = find_runs(tmp_path)
    assert [(run.path, run.stage, run.commit) for run in runs] == [
        (tmp_path / "a/deep/folder/RTE", "fine-tuning", COMMIT)]
    assert len(notes) == 2 and "damaged" in notes[0] and "unfinished has no results.json" in notes[1]


def test_separate_runs_plain_and_of_agora_become_the_table_and_the_zip(tmp_path, capsys):
    write_task(tmp_path / "runs/x/RTE-plain", "RTE", [0.61])
    write_task(tmp_path / "runs/y/RTE-agora", "RTE", [0.72], criterion="example_accuracy",
               agora={"chs": dict(learning_rate=1e-5, weight_decay=100, warmup=0.5, seed=2)})
    write_task(tmp_path / "runs/CoLA", "CoLA", [0.601], best_seed=1)
    write_task(tmp_path / "runs/CoLA/seed-1", "CoLA", [0.9])
    write_task(tmp_path / "runs/RACE-M", "RACE-M", [0.5], test=[0.45])
    reproduce.main(["--table", "4", "--runs", str(tmp_path / "runs"), "--output-dir", str(tmp_path / "page")])
    table = (tmp_path / "page/glue/table.md").read_text()
    rows = {line.split(" | ")[0].strip("| "): line for line in table.splitlines() if line.startswith("|")}
    assert rows["RTE"].endswith("| 72.0 |") and rows["CoLA"].endswith("| 60.1 |") and rows["MRPC"].endswith("| – |")
    assert "RTE-plain, whose accuracy is 0.6100 and not 0.7200" in table and f"commit {COMMIT[:12]}" in table
    assert "CoLA/seed-1" not in table and "here, test" not in table
    archive = zipfile.ZipFile(tmp_path / "page/glue/glue.zip")
    assert sorted(archive.namelist()) == ["CoLA.tsv", "RTE.tsv"] and archive.read("RTE.tsv") == b"RTE-agora\n"
    race = (tmp_path / "page/race/table.md").read_text()
    assert "| here, dev | here, test |" in race and "| 50.0 | 45.0 |" in race
    page = (tmp_path / "page/reproduction.md").read_text()
    assert "| RTE | 88.2 | 70.1 | 66.2 | 62.9 | 61.8 | 82.7 | 72.0 | – |" in page  # the best on dev here too
    assert "glue: RTE: " in page


@pytest.mark.parametrize("option", ["socrates", "teacher", "transfer_from"])
@pytest.mark.parametrize("given", ["runs/socrates/RTE", "{}/runs/socrates/RTE"])
def test_a_run_that_taught_another_one_is_not_taken_for_it(option, given, tmp_path, capsys):
    """Socrates is better on dev, and is not the model that the table is about."""
    write_task(tmp_path / "runs/socrates/RTE", "RTE", [0.9], shape=((24, 16, 1024, 4096), 50265))
    write_task(tmp_path / "runs/agora/RTE", "RTE", [0.6])
    write_task(tmp_path / "runs/agora-2/RTE", "RTE", [0.7])
    path = tmp_path / "runs/agora/RTE/config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "options": {**config["options"], option: given.format(tmp_path)}}))
    runs, _ = find_runs(tmp_path / "runs")
    assert collect_runs(runs, tmp_path / "out")["glue"]["dev"]["RTE"]["accuracy"] == 0.7
    section, = sections.build_sections(published.read(), ["4"], runs)
    assert next(row for row in section.matrix if row[0] == "RTE")[-2] == "70.0"


def test_a_teacher_of_no_system_of_the_paper_stands_in_no_table(tmp_path):
    write_task(tmp_path / "socrates", "RTE", [0.9], SMALL)
    write_task(tmp_path / "student", "RTE", [0.6], SMALL)
    path = tmp_path / "student/config.json"
    path.write_text(json.dumps({"options": {"task": "RTE", "socrates": "socrates"}}))
    assert [one.ours for one in findings_of(tmp_path, "4") if one.ours] == ["60.0"]


def test_a_run_that_lacks_a_metric_of_the_paper(tmp_path):
    """Its score cannot be judged, and is no point of the figure."""
    write_task(tmp_path / "runs/MRPC", "MRPC", [0.8, 0.9])
    path = tmp_path / "runs/MRPC/results.json"
    results = json.loads(path.read_text())
    first = score_tables._printed_metrics(get_task("MRPC"))[0]
    results["dev"].pop(first)
    path.write_text(json.dumps(results))
    assert reproduce.main(["--table", "4", "--runs", str(tmp_path / "runs"), "--output-dir", str(tmp_path / "p")]) == 0
    found = {one["row"]: one for one in json.loads((tmp_path / "p/results.json").read_text())["findings"]
             if one["column"].startswith("Bort")}
    assert found["MRPC"]["ours"].startswith("–/") and found["MRPC"]["verdict"] == NOT_RUN


def test_what_a_student_started_from_is_its_own_and_what_a_teacher_started_from_is_not(tmp_path, capsys):
    """RTE from MNLI's model, of the student and of its teacher of several seeds, which is named by a checkpoint."""
    for name, score in (("socrates", 0.9), ("student", 0.7)):
        write_task(tmp_path / f"runs/{name}/MNLI", "MNLI-matched", [score])
    write_task(tmp_path / "runs/socrates/RTE", "RTE", [0.9], best_seed=3)
    write_task(tmp_path / "runs/student/RTE", "RTE", [0.6])
    for name, options in (("socrates", {"transfer_from": "runs/socrates/MNLI"}), ("student", {
            "transfer_from": "runs/student/MNLI/checkpoints/best",
            "teacher": "runs/socrates/RTE/seed-3/checkpoints/best"})):
        path = tmp_path / f"runs/{name}/RTE/config.json"
        config = json.loads(path.read_text())
        path.write_text(json.dumps({**config, "options": {**config["options"], **options}}))
    found = collect_runs(find_runs(tmp_path / "runs")[0], tmp_path / "out")["glue"]["dev"]
    assert (found["MNLI-matched"]["accuracy"], found["RTE"]["accuracy"]) == (0.7, 0.6)


def findings_of(folder, *tables):
    runs, _ = find_runs(folder)
    return [one for section in sections.build_sections(published.read(), tables, runs) for one in section.findings]


def test_verdicts_on_scores(tmp_path):
    write_task(tmp_path / "good", "RTE", [0.80])  # 82.7 less two standard errors of 277 examples is 78.2
    write_task(tmp_path / "bad", "CoLA", [0.40])
    write_task(tmp_path / "small", "MRPC", [0.95, 0.96], SMALL)
    write_task(tmp_path / "teacher", "WNLI", [0.9], ((24, 16, 1024, 4096), 50265))
    write_task(tmp_path / "bert", "SST-2", [0.8], ((24, 16, 1024, 4096), 30522))
    found = {(one.row, one.column.split(",")[0]): one for one in findings_of(tmp_path, "4")}
    assert found["RTE", "Bort"].verdict == READING and "read on dev" in found["RTE", "Bort"].note
    assert found["CoLA", "Bort"].verdict == FAILS
    assert found["MRPC", "Bort"].verdict == NOT_RUN and "⟨2, 4, 128, 512⟩, V = 4,000" in found["MRPC", "Bort"].note
    assert found["MRPC", "Bort"].ours == "95.0/96.0" and found["MRPC", "Bort"].command
    assert found["WNLI", "RoBERTa-large"].verdict == READING and found["SST-2", "BERT-large"].verdict == FAILS
    assert found["WNLI", "Bort"].ours is None and COMMIT[:12] in found["CoLA", "Bort"].how


def test_test_sets_with_labels_stand_apart_from_dev(tmp_path):
    write_task(tmp_path / "race", "RACE-M", [0.70], test=[0.86])
    found = {one.column: one for one in findings_of(tmp_path, "6") if one.row == "RACE-M"}
    assert (found["Bort, accuracy, dev"].verdict, found["Bort, accuracy, test"].verdict) == (FAILS, HOLDS)
    section, = sections.build_sections(published.read(), ["6"], find_runs(tmp_path)[0])
    assert section.matrix[1] == ["RACE-M", "86.5", "76.6", "85.9", "70.0", "86.0"]


def test_the_set_that_agora_found(tmp_path):
    chs = dict(learning_rate=1e-5, weight_decay=100, warmup=0.5, seed=2)
    write_task(tmp_path / "agora", "RTE", [0.8], agora={"chs": chs})
    write_task(tmp_path / "other", "CoLA", [0.5], agora={"chs": chs})
    found = {(one.row, one.column): one for one in findings_of(tmp_path, "7")}
    assert found["RTE", "⟨lr, d, wp, s⟩"].verdict == HOLDS and found["CoLA", "⟨lr, d, wp, s⟩"].verdict == FAILS


def test_two_runs_give_table_3_and_figure_1(tmp_path):
    slow, quick = [[100, 0.1], [200, 0.2], [300, 0.3]], [[100, 0.2], [200, 0.3], [300, 0.32]]
    write_pretraining(tmp_path / "mlm", None, slow)
    write_pretraining(tmp_path / "kd", "teacher", quick)
    write_pretraining(tmp_path / "longer", None, slow, max_steps=900)  # differs in more than the teacher
    two = training_cost.find_two_runs(find_runs(tmp_path)[0])
    assert {name: run.path.name for name, run in two.runs.items()} == {"self-supervised": "mlm", "distillation": "kd"}
    found = {(one.row, one.column): one for one in findings_of(tmp_path, "3", "figure1")}
    assert found["distillation", "MLM accuracy (%)"].ours == "32.0"
    hours = found["self-supervised", "hours of our run"]
    assert (hours.paper, hours.ours, hours.verdict) == (40, "1.5", NOT_RUN) and "a CPU" in hours.note
    assert found["distillation", "converged after (steps)"].ours == "197"  # 0.99 · 0.3 between 0.2 and 0.3
    assert found["self-supervised", "converged after (steps)"].ours == "297"
    ratio = found["distillation's steps as a share of self-supervised", "ratio"]
    assert (ratio.paper, ratio.ours, ratio.verdict) == (0.77, "0.66", NOT_RUN) and "⟨2, 4, 128, 512⟩" in ratio.note


@pytest.mark.parametrize("option", [{"budget": "2h"}, {"losses": ["mlm", "relations"]}, {"length_warmup": 0.9},
                                    {"distill": "hidden"}, {"init_from_teacher": "spread"}, {"schedule": "linear"},
                                    {"sequences": "single"}])
def test_another_training_than_the_papers_fills_in_nothing(tmp_path, option):
    """At the paper's size too: --max-steps keeps its default where --budget ends the run."""
    setting = dict(architecture=(4, 8, 1024, 768), max_steps=25000, batch_size=1024, seq_len=512)
    write_pretraining(tmp_path / "other", "teacher", [[100, 0.5], [200, 0.993]], **setting, **option)
    assert not any(one.ours for one in findings_of(tmp_path, "figure1"))
    accuracies = [one for one in findings_of(tmp_path, "3") if one.column == "MLM accuracy (%)"]
    assert [one.verdict for one in accuracies] == [NOT_RUN] * 2 and not any(one.ours for one in accuracies)


def test_runs_that_have_learnt_nothing_have_not_converged(tmp_path):
    write_pretraining(tmp_path / "mlm", None, [[10, 0.0], [20, 0.0]])
    write_pretraining(tmp_path / "kd", "teacher", [[10, 0.0], [20, 0.0]])
    assert {one.ours for one in findings_of(tmp_path, "figure1")} == {None}


@pytest.mark.parametrize("steps, verdict", [(17000, HOLDS), (9000, FAILS)])
def test_runs_at_the_papers_setting_get_a_verdict(tmp_path, steps, verdict):
    setting = dict(architecture=(4, 8, 1024, 768), max_steps=25000, batch_size=1024, seq_len=512)
    write_pretraining(tmp_path / "mlm", None, [[22000, 0.99 * 0.4], [25000, 0.4]], **setting)
    write_pretraining(tmp_path / "kd", "teacher", [[steps, 0.99 * 0.4], [25000, 0.5]], **setting)
    found = findings_of(tmp_path, "figure1")
    assert [one.verdict for one in found] == [verdict, HOLDS, verdict]


def test_a_search_fills_in_w(tmp_path, no_timing):
    ranking = [{"architecture": [4, 8, 1024, 768], "w": 8.5}, {"architecture": [12, 12, 768, 3072], "w": 0.2}]
    options = {"space": None, "steps": 3, "batch_size": 1024, "seq_len": 512, "epsilon": 2}
    write_run(tmp_path / "search", options, {"space": {"architectures": 300}, "ranking": ranking})
    found = {one.row: one for one in findings_of(tmp_path, "1") if one.column == "W"}
    assert [found[row].verdict for row in ("A1 (Bort)", "A2", "BERT-base")] == [HOLDS, NOT_RUN, FAILS]
    assert "0.093 nats" in found["A1 (Bort)"].note and "RoBERTa-large" not in found


def test_trials_of_latency_fill_in_seconds(tmp_path, no_timing):
    row = {"architecture": [4, 8, 1024, 768], "mean_s": 0.3126, "quartile_1_s": 0.31, "quartile_3_s": 0.32}
    for name, length in (("short", 64), ("latency", 512)):
        write_run(tmp_path / name, {"trials": 6250, "seq_len": length}, {"machine": "a CPU", "rows": [row]})
    found = {one.row: one for one in findings_of(tmp_path, "1") if one.column == latency_table.SECONDS}
    assert found["A1 (Bort)"].ours == "0.313 (0.310 to 0.320)" and found["A1 (Bort)"].verdict == NOT_RUN
    assert "latency, commit" in found["A1 (Bort)"].how and "mean of 6,250 passes" in found["A1 (Bort)"].how
    assert found["A2"].how.startswith("measured now")
    for results in ({"machine": "a CPU"}, {"machine": "a CPU", "rows": [{**row, "mean_s": "fast"}]},
                    {"machine": "a CPU", "rows": 3}):
        (tmp_path / "latency/results.json").write_text(json.dumps(results))
        with pytest.raises(InputError, match="latency/results.json: not results of `bort-mx latency`"):
            findings_of(tmp_path, "1")


def test_systems_are_told_by_architecture_and_vocabulary(tmp_path):
    write_task(tmp_path / "run", "RTE", [0.5], None)
    run, = find_runs(tmp_path)[0]
    assert score_tables.shape_of(run) is None and score_tables.scored_runs([run])[0].system is None

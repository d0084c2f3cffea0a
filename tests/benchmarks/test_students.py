"""benchmarks/students.py: the order of steps, stopping and going on, the table."""

import argparse
import pathlib

import pytest

from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.io.jsonl_log import JsonlLog
from bort_mx.options import parse_options
from bort_mx.pretraining.options import PretrainingOptions

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"
TEACHER = "/somewhere/TEACHER"


@pytest.fixture
def students(load_benchmark):
    return load_benchmark("students")


def driver(students, folder, seen, stop_at=None, only=None):
    """A driver whose programs do nothing but write what the real ones write."""
    made = students.Driver(argparse.Namespace(action="run", data_dir="data", teacher=TEACHER, runs=str(folder),
                                              record=str(folder / "record.jsonl"), students=only))

    def program(script, options, workers=1):
        seen.append((script, options))
        if len(seen) - 1 == stop_at:
            made.stop()
            return students.STOPPED
        out = folder.__class__(options[options.index("--output-dir") + 1])
        out.mkdir(parents=True, exist_ok=True)
        steps = int(options[options.index("--max-steps") + 1]) if "--max-steps" in options else 0
        one_seed = "--seeds" in options and options[options.index("--seeds") + 1] == "1"
        kept, found = ("dev", 0.5) if one_seed else ("dev_over_seeds", {"values": [0.5, 0.7, 0.6, 0.4, 0.8]})
        students.files.write_json(out / "results.json", {
            "steps": steps, "validation_loss": 1.0, kept: dict.fromkeys(students.METRIC.values(), found)})
        students.files.write_json(out / "cost.json", {"cpu_seconds": 3.0 + 2.0 * steps})
        if "--seeds" in options:
            students.files.write_json(out / "seed-0" / "results.json", {})
        return 0

    made._program = program
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "manifest.json").write_text("{}")
    return made


def test_the_plan_begins_with_the_best_recipe_at_one_hour_and_its_tasks(students):
    steps = students.plan()
    assert steps[:2] == [students.Step("calibrate", "inner"), students.Step("pretrain", "inner", 1)]
    assert [step.task for step in steps[2:7]] == ["SST-2", *students.TASKS[:-1]]
    assert len(steps) == len(set(steps))
    for name, hours in (("inner", 8), ("paper", 8), ("mlm", 8)):
        assert steps.index(students.Step("calibrate", name)) < steps.index(students.Step("pretrain", name, hours))
    assert steps.index(students.Step("head")) < steps.index(students.Step("calibrate", "paper"))
    assert all(steps.index(other) < steps.index(step) for step in steps for other in students.needs(step))
    assert {step.recipe for step in students.plan({"mlm 4"})} == {"mlm"}


def test_two_processes_share_the_steps(students, tmp_path):
    seen, others = [], []
    second = driver(students, tmp_path, others, only={"wide 4"})
    first = driver(students, tmp_path, seen, only={"inner 1", "wide 4"})
    program = first._program

    def with_another(script, options, workers=1):
        if script == "run_pretraining.py" and "calibration" not in options[options.index("--output-dir") + 1]:
            second.run()  # while "inner 1" is being trained
        return program(script, options)

    first._program = with_another
    first.run()
    done = [row["step"] for _, row in JsonlLog(tmp_path / "record.jsonl").records]
    expected = [step._asdict() for step in students.plan({"inner 1", "wide 4"})]
    assert sorted(map(str, done)) == sorted(map(str, expected)) and len(others) == 2 + 1 + 5 and len(seen) == 2 + 1 + 5


def test_a_task_teacher_and_the_wide_ones_are_fine_tuned_from_their_folders(students, tmp_path):
    seen = []
    driver(students, tmp_path, seen, only={"inner 1", "teacher 0", "inner, task teacher 1"}).run()
    last = seen[-1][1]
    assert last[last.index("--checkpoint") + 1] == str(tmp_path / "inner-1h") and "STS-B" in last
    assert last[last.index("--teacher") + 1] == str(tmp_path / "tasks" / "teacher-0h" / "STS-B" / "seed-0")
    assert last[last.index("--seeds") + 1] == "5" and last[last.index("--epochs") + 1] == "6"
    driver(students, tmp_path, seen, only={"wide 1", "wide, task teacher 1"}).run()
    last = seen[-1][1]
    assert last[last.index("--checkpoint") + 1] == str(tmp_path / "wide-1h") and "STS-B" in last
    assert last[last.index("--teacher") + 1] == str(tmp_path / "tasks" / "teacher-0h" / "STS-B" / "seed-0")
    assert last[last.index("--seeds") + 1] == "3" and last[last.index("--learning-rate") + 1] == "1e-4"
    own = next(options for script, options in seen if TEACHER in options and script == "run_finetune.py")
    assert own[own.index("--checkpoint") + 1] == TEACHER and own[own.index("--learning-rate") + 1] == "1e-4"


def test_more_texts_are_written_once_and_given_without_labels(students, tmp_path, monkeypatch):
    asked, seen = [], []
    monkeypatch.setattr(students, "get_task", lambda task: argparse.Namespace(read=lambda folder, split: [task, split]))
    monkeypatch.setattr(students, "more_texts", lambda *given: asked.append(given) or ["one", "two"])
    only = {"inner 1", "teacher 0", "inner, task teacher, more texts 1"}
    driver(students, tmp_path, seen, only=only).run()
    last = seen[-1][1]
    texts = tmp_path / "more" / "CoLA.txt"
    assert last[last.index("--unlabelled") + 1] == str(texts) and texts.read_text() == "one\ntwo\n"
    assert asked == [("CoLA", "data", ["CoLA", "train"])] and last[last.index("--epochs") + 1] == "6"


def test_a_transfer_goes_by_mnli(students, tmp_path):
    seen = []
    driver(students, tmp_path, seen, only={"inner 1", "inner, MNLI first 1"}).run()
    programs = [options for script, options in seen if script == "run_finetune.py"][5:]
    mnli, *others = programs
    place = mnli[mnli.index("--output-dir") + 1]
    assert mnli[mnli.index("--task") + 1] == "MNLI-matched" and "--seeds" not in mnli
    assert mnli[mnli.index("--checkpoint") + 1] == str(tmp_path / "inner-1h")
    assert [options[options.index("--task") + 1] for options in others] == ["RTE", "MRPC", "STS-B"]
    assert {options[options.index("--checkpoint") + 1] for options in others} == {place}
    driver(students, tmp_path, seen, only={"teacher of MNLI 0", "inner, task teacher of MNLI 1"}).run()
    own, own_rte, mnli, rte = [{name: value for name, value in zip(options, options[1:]) if name.startswith("--")}
                               for _, options in seen[-4:]]
    assert own["--task"] == mnli["--task"] == "MNLI-matched" and own_rte["--task"] == rte["--task"] == "RTE"
    assert own["--checkpoint"] == TEACHER and own_rte["--checkpoint"] == own["--output-dir"] == mnli["--teacher"]
    assert own["--learning-rate"] == own_rte["--learning-rate"] == "1e-4" and "--learning-rate" not in {**mnli, **rte}
    assert mnli["--checkpoint"] == str(tmp_path / "inner-1h") and mnli["--epochs"] == "2"
    assert rte["--checkpoint"] == mnli["--output-dir"] and rte["--epochs"] == "6" and rte["--seeds"] == "5"
    assert rte["--teacher"] == own_rte["--output-dir"] + "/seed-0"


def test_workers_share_a_pre_training_and_are_counted_and_tasks_are_chosen(students, tmp_path):
    """The seconds of a step are those of one worker."""
    made = students.Driver(argparse.Namespace(
        action="run", data_dir="data", teacher=TEACHER, runs=str(tmp_path), record=str(tmp_path / "record.jsonl"),
        students={"inner 2"}, tasks=["SST-2", "CoLA"], workers=2))
    program, seen = driver(students, tmp_path, [])._program, []

    def counted(script, options, workers=1):
        seen.append(workers)
        return program(script, options)

    made._program = counted
    made.run()
    assert seen == [1, 1, 2, 1, 1]
    pretrained, *tuned = [row for _, row in JsonlLog(tmp_path / "record.jsonl").records][1:]
    assert pretrained["workers"] == 2 and [row["step"]["task"] for row in tuned] == ["SST-2", "CoLA"]
    assert [row["options"][row["options"].index("--seeds") + 1] for row in tuned] == ["3", "5"]
    assert students.table(tmp_path / "record.jsonl").splitlines()[2].startswith("| inner | 2 | 4.00 | 3,600 | – |")


def test_a_student_without_a_teacher_waits_for_its_way_of_fine_tuning(students, tmp_path, capsys):
    seen = []
    driver(students, tmp_path, seen, only={"mlm 1"}).run()
    assert {script for script, _ in seen} == {"run_pretraining.py"} and len(seen) == 3
    assert "no way of fine-tuning is chosen for mlm: run students_selection.py" in capsys.readouterr().out
    students.WAY["mlm"] = "first"
    driver(students, tmp_path, seen, only={"mlm 1"}).run()
    assert len(seen) == 3 + 5 and "--pooling" not in seen[-1][1]


def test_it_goes_on_where_it_was_stopped_and_takes_steps_by_measured_seconds(students, tmp_path):
    seen = []
    driver(students, tmp_path, seen, stop_at=4).run()
    record = JsonlLog(tmp_path / "record.jsonl")
    assert [row["step"]["kind"] for _, row in record.records] == ["calibrate", "pretrain", "finetune"]
    assert record.records[0][1]["cpu_seconds_a_step"] == pytest.approx(2.0)  # whatever starting takes
    student = seen[2][1]
    assert student[student.index("--max-steps") + 1] == "1800" and student.count("--max-steps") == 1
    assert student[student.index("--teacher") + 1] == TEACHER
    kept = record.records[1][1]["options"]
    assert kept[kept.index("--teacher") + 1] == "TEACHER" and kept[kept.index("--max-steps") + 1] == "1800"
    assert str(tmp_path) not in (tmp_path / "record.jsonl").read_text()
    again = []
    driver(students, tmp_path, again, stop_at=4).run()
    assert again[0] == seen[4]  # the task that was stopped


def test_a_model_that_a_record_came_without_is_made_anew_and_not_recorded_twice(students, tmp_path):
    """As of a record of another machine: what fine-tunings start from, teachers of a task, the head of the paper's."""
    first, second, seen = tmp_path / "first", tmp_path / "second", []
    first.mkdir(), second.mkdir()
    chain = ["inner 1", "teacher of MNLI 0"]
    driver(students, first, [], only={*chain, "paper 1"}).run()
    before = (first / "record.jsonl").read_text()
    (second / "record.jsonl").write_text(before)
    driver(students, second, seen, only={*chain, "inner, task teacher of MNLI 1"}).run()
    made = [str(tmp_path.__class__(options[options.index("--output-dir") + 1]).relative_to(second))
            for _, options in seen]
    assert made == ["inner-1h", "tasks/teacher-of-MNLI-0h/MNLI", "tasks/inner-task-teacher-of-MNLI-1h/MNLI",
                    "tasks/teacher-of-MNLI-0h/RTE", "tasks/inner-task-teacher-of-MNLI-1h/RTE"]
    added = (second / "record.jsonl").read_text()[len(before):].splitlines()
    assert (second / "record.jsonl").read_text().startswith(before) and len(added) == 2
    made = driver(students, second, seen, stop_at=len(seen))
    made.ensure(students.Step("head"))
    assert made.stopping and not (second / "teacher-with-head").exists()
    driver(students, second, seen).ensure(students.Step("head"))
    assert (second / "teacher-with-head" / "results.json").is_file()
    driver(students, second, seen).ensure(students.Step("head"))
    assert [options for _, options in seen[-2:]] == [seen[-1][1]] * 2  # stopped, made, and then there
    assert len((second / "record.jsonl").read_text().splitlines()) == len(before.splitlines()) + 2


def test_a_record_that_has_all_says_so(students, tmp_path, capsys):
    driver(students, tmp_path, [], only={"inner 1"}).run()
    again = []
    driver(students, tmp_path, again, only={"inner 1"}).run()
    assert not again and capsys.readouterr().out.endswith(
        f"all steps are in {tmp_path / 'record.jsonl'}; name another by --record to do them anew\n")


def test_the_table_has_medians_and_ranges(students, tmp_path):
    seen = []
    driver(students, tmp_path, seen, stop_at=8).run()
    rows = students.table(tmp_path / "record.jsonl").splitlines()
    assert rows[2].startswith("| inner | 1 | 1.00 | 1,800 | 60.0 (40.0 to 80.0) |") and rows[2].endswith("| 60.0 |")
    driver(students, tmp_path, seen, only={"teacher 0"}).run()
    rows = students.table(tmp_path / "record.jsonl").splitlines()
    assert rows[3].startswith("| teacher | – | – | – | 60.0 (40.0 to 80.0) |")
    assert rows[3].endswith(" | 50.0 | 58.0 |")  # SST-2 of one seed


def test_the_figure_has_all_seeds_of_what_is_done(students, tmp_path, monkeypatch):
    driver(students, tmp_path, [], stop_at=5).run()  # SST-2 and RTE are done
    drawn = []
    monkeypatch.setattr(students.seed_dots, "draw", lambda *arguments: drawn.extend(arguments))
    students.plot(tmp_path / "record.jsonl", tmp_path / "x.png")
    panels, path, lines = drawn
    assert panels["RTE, accuracy"] == {"inner\n1 h": pytest.approx([50, 70, 60, 40, 80])}
    assert panels["STS-B, pearson"] == {} and path == tmp_path / "x.png"
    assert lines["RTE, accuracy"]["BERT-Mini"] == 57.9 and panels.keys() == lines.keys()


def test_the_configs_are_what_was_measured(students):
    """configs/distill_student.yaml and finetune_student.yaml against the options of "inner" and of its fine-tuning."""
    def pretraining(*options):
        return vars(parse_options(PretrainingOptions, ["--teacher", TEACHER, *options], "x", "x"))

    given = pretraining("--config", str(CONFIGS / "distill_student.yaml"))
    inner = students.RECIPES["inner"]
    measured = pretraining("--architecture", inner.shape, *students.COMMON, *inner.options)
    differ = {name for name, value in given.items() if measured[name] != value}
    assert differ <= {"budget", "log_interval", "keep_checkpoints", "evaluation_batch_size"}

    def finetuning(name, *options):
        found = vars(parse_options(FineTuningOptions, ["--config", str(CONFIGS / name), *options], "x", "x"))
        return {key: value for key, value in found.items() if key != "config"}

    assert finetuning("finetune_student.yaml") == finetuning(
        "finetune_small_encoder.yaml", *students.WAYS[students.WAY["inner"]])

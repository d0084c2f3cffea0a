"""What docs/own-data.md shows is run: its files are read, and its commands train, on more rows like those printed."""

import json
import pathlib
import re

import pytest

from bort_mx.commands import finetune as command
from bort_mx.commands import predict
from bort_mx.data.table_records import records_of
from bort_mx.data.tasks import TASKS, get_task
from bort_mx.data.tasks.own_files import OwnFiles, Sources

PAGE = (pathlib.Path(__file__).resolve().parents[1] / "docs" / "own-data.md").read_text(encoding="utf-8")
ROWS = 30


def printed_files():
    """Name → text of the page's files: each indented block after a paragraph that names one file and ends in a colon.
    """
    found = {}
    for paragraph, block in re.findall(r"((?:^[^ \n].*\n)+)\n((?:^    .*\n)+)", PAGE, re.MULTILINE):
        names = re.findall(r"`([\w/]+\.(?:csv|tsv|jsonl|json|yaml))`", paragraph)
        if names and not block.strip().startswith(("python", "files:")):
            found[names[-1] if names[-1] != "dev.csv" else "train.csv"] = re.sub(r"(?m)^    ", "", block)
    return found


FILES = printed_files()


def more(name):
    """A printed file with its rows again and again, each time of another film."""
    text = FILES[name]
    if name.endswith(".json"):
        return json.dumps([{**row, "text": f"{row['text']} {i}"} for i in range(ROWS // 2) for row in json.loads(text)])
    lines = text.splitlines()
    head, rows = ([], lines) if name.endswith(".jsonl") else (lines[:1], lines[1:])
    numbered = [re.sub("(film|man)", rf"\1 {i}", row) for i in range(ROWS // 2) for row in rows]
    return "\n".join([*head, *numbered]) + "\n"


def test_every_printed_file_is_found():
    assert set(FILES) == {"reviews.csv", "pairs.tsv", "grades.jsonl", "stars.json", "semicolons.csv",
                          "reviews/task.yaml", "train.csv"}


@pytest.mark.parametrize("name, columns, texts, labels", [
    ("reviews.csv", {"text": "review", "label": "verdict", "idx": "id"}, ('A lovely film, "really" lovely',),
     ["bad", "good"]),
    ("pairs.tsv", {"text": "premise", "text_pair": "hypothesis", "label": "label"},
     ('A man plays a "guitar".', "A man makes music."), ["no", "yes"]),
    ("grades.jsonl", {"text": "text", "label": "score"}, ("A lovely film",), []),
    ("stars.json", {"text": "text", "label": "stars"}, ("A lovely film",), ["1", "5"]),
    ("semicolons.csv", {"text": "text", "label": "label"}, ("A lovely film; really",), ["bad", "good"])])
def test_printed_files_are_read_as_the_page_says(tmp_path, name, columns, texts, labels):
    (tmp_path / name).write_text(FILES[name])
    first = next(iter(records_of(tmp_path / name, list(columns.values()))))[1]
    assert tuple(first[columns[kind]] for kind in ("text", "text_pair") if kind in columns) == texts
    (tmp_path / name).write_text(more(name))
    task = OwnFiles(Sources({"train": str(tmp_path / name)}))
    assert (task.record["columns"], task.labels, task.is_regression) == (columns, labels, not labels)
    assert [len(task.read(None, split)) for split in ("train", "dev")] == [24, 6]


def commands(*of):
    """The page's commands of these programs, as lists of words."""
    lines = re.findall(r"(?m)^    python (?:-m bort_mx )?(\S+) (.*)$", PAGE)
    return [words.split() for program, words in lines if program in of]


def test_the_task_in_python_runs_as_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"(?s)```python\n(.*?)```", PAGE)
    try:
        exec(program, {})
    finally:
        TASKS.pop("parity", None)
    accuracy, label = capsys.readouterr().out.splitlines()[-1].split()
    assert label in ("even", "odd")
    assert float(accuracy) == json.loads((tmp_path / "runs/parity/results.json").read_text())["dev"]["accuracy"]
    rows = (tmp_path / "runs/parity/predictions.tsv").read_text().splitlines()
    assert rows[0].split("\t")[:3] == ["idx", "text", "label"] and rows[1].startswith("60\tthe number 60\teven\t")


def test_the_commands_of_the_page_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.csv").write_text(more("reviews.csv"))
    (tmp_path / "new.csv").write_text("review\nA dull film\n")
    (tmp_path / "reviews").mkdir()
    (tmp_path / "reviews/task.yaml").write_text(FILES["reviews/task.yaml"])
    for split in ("train", "dev", "test"):
        (tmp_path / f"reviews/{split}.csv").write_text(more("train.csv"))
    plain, described = commands("run_finetune.py")
    small = ["--epochs", "1", "--max-length", "16"]
    command.main([*" ".join(plain).replace("CKPT", "fresh").split(), *small])
    said = capsys.readouterr().out
    shown = re.search(r"(?m)^    columns: .*\n    labels .*\n    dev: .*$", PAGE)[0].replace("    ", "")
    counted = shown.replace("bad 24, good 36", "bad 15, good 15").replace("12 of 60", "6 of 30").replace(
        "bad 5, good 7 (train: bad 19, good 29)", "bad 3, good 3 (train: bad 12, good 12)")
    assert said.split("\n", 1)[1].startswith(counted + "\nrecipe usual")  # the first line is what the command does
    assert "reviews: dev accuracy" in said
    (classify,) = commands("predict")
    predict.main(classify)
    assert json.loads(capsys.readouterr().out)["label"] in ("bad", "good")
    command.main([*" ".join(described).replace("CKPT", "fresh").split(), *small])
    assert (tmp_path / "runs/described/reviews.tsv").is_file()
    assert get_task(tmp_path / "reviews/task.yaml").text_names == ("body", "title")
    (tmp_path / "grades.jsonl").write_text(more("grades.jsonl"))
    (tmp_path / "grades-dev.jsonl").write_text(more("grades.jsonl"))
    (tmp_path / "grades.yaml").write_text(re.sub(
        r"(?m)^    ", "", re.search(r"(?m)^    files: \{train: grades.*\n(?:    .*\n)+", PAGE)[0]))
    assert len(get_task(tmp_path / "grades.yaml").read(None, "dev")) == ROWS

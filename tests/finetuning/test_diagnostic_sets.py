"""Which model's predictions of AX count: MNLI-mismatched's with the paper's hyperparameters, else MNLI-matched's."""

import zipfile

import pytest

from bort_mx.data.tasks import get_task
from bort_mx.finetuning import benchmark
from bort_mx.finetuning.task_data import diagnostics_of, resolve


def found(key, matthews):
    return {"dev": {"accuracy": 0.7, "loss": 1.0}, "diagnostics": {"AX": {"matthews": matthews, "loss": 2.0}},
            "submissions": [get_task(key).submission_name, "AX.tsv"], "notes": []}


@pytest.mark.parametrize("chs, counts, value", [(False, "MNLI-matched", 0.1), (True, "MNLI-mismatched", 0.2)])
def test_both_models_are_reported_and_one_counts(chs, counts, value, tmp_path, capsys):
    scores = {"MNLI-matched": found("MNLI-matched", 0.1), "MNLI-mismatched": found("MNLI-mismatched", 0.2)}
    for key, result in scores.items():
        folder = tmp_path / "glue" / key
        folder.mkdir(parents=True)
        for name in result["submissions"]:
            (folder / name).write_text(f"{name} of {key}\n")
    entry = benchmark._conclude(tmp_path, "glue", scores, {}, {key: tmp_path / "glue" / key for key in scores}, chs)
    assert entry["dev"]["AX"]["matthews"] == value
    note = next(note for note in entry["notes"] if note.startswith("AX "))
    assert note == ("AX by the model of MNLI-matched matthews 10.0; by the model of MNLI-mismatched matthews 20.0; "
                    f"that of {counts} counts")
    with zipfile.ZipFile(tmp_path / "glue/glue.zip") as archive:
        assert archive.read("AX.tsv").decode() == f"AX.tsv of {counts}\n"
        assert archive.read("MNLI-mm.tsv").decode() == "MNLI-mm.tsv of MNLI-mismatched\n"


def test_where_only_one_model_is_there_it_counts():
    assert benchmark.scorers_of({"MNLI-matched": found("MNLI-matched", 0.1)}, True) == {"AX": "MNLI-matched"}


def test_ax_alone_trains_the_task_whose_set_the_paper_gives_it():
    assert [resolve("AX", chs)[0].key for chs in (False, True)] == ["MNLI-matched", "MNLI-mismatched"]
    ax, mismatched = get_task("AX").chs(), get_task("MNLI-mismatched").chs()
    assert ax._replace(batch_size=None) == mismatched._replace(batch_size=None)
    assert resolve("superglue/AX-b", True)[0].key == resolve("superglue/AX-b")[0].key == "superglue/RTE"
    for key in ("MNLI-matched", "MNLI-mismatched"):
        assert [task.key for task in diagnostics_of(get_task(key))] == ["AX"]

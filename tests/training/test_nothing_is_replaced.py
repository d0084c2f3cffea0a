"""A run writes over nothing that it did not write itself."""

import dataclasses
import json
from typing import Optional

import pytest

from bort_mx.errors import InputError
from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.finetuning.task_data import task_of
from bort_mx.io import files
from bort_mx.pretraining.options import PretrainingOptions
from bort_mx.pretraining.pretrain import pretrain
from bort_mx.search.options import SearchOptions
from bort_mx.search.run import run_search
from bort_mx.training.run_directory import RunDirectory


@dataclasses.dataclass
class Options:
    """Options of a run."""

    epochs: int = 1
    seed: Optional[int] = None


@pytest.mark.parametrize("resume", ["never", "auto"])
@pytest.mark.parametrize("content", [{"model_type": "bert", "hidden_size": 32}, ["a"], {"options": None}])
def test_a_folder_with_another_config_is_no_output_directory(tmp_path, content, resume):
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="has a config.json that is not a run's, as a checkpoint's folder has"):
        RunDirectory(tmp_path, Options(), (), True, resume)
    assert json.loads((tmp_path / "config.json").read_text()) == content
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_run_that_got_nowhere_may_begin_again(tmp_path):
    for resume in ("never", "never", "auto"):
        run = RunDirectory(tmp_path, Options(), (), True, resume)
        run.open()
        run.close()
    assert json.loads((tmp_path / "config.json").read_text())["options"] == {"epochs": 1, "seed": None}


@pytest.mark.parametrize("name", ["reviews.tsv", "predictions.tsv"])
def test_predictions_do_not_replace_the_users_files(tmp_path, name):
    rows = "".join(f"film {i}\t{['bad', 'good'][i % 2]}\n" for i in range(20))
    (tmp_path / "reviews.csv").write_text("text,label\n" + rows.replace("\t", ","))
    (tmp_path / name).write_text("text\tlabel\n" + rows)
    options = {"train": str(tmp_path / "reviews.csv"), "test": str(tmp_path / name)}
    with pytest.raises(InputError, match=f"{name}: the run would write its predictions over this test set; choose"):
        task_of(FineTuningOptions(**options, output_dir=f"{tmp_path}/../{tmp_path.name}"))
    assert task_of(FineTuningOptions(**options, output_dir=str(tmp_path / "run")))[0].name == "reviews"
    (tmp_path / "reviews.yaml").write_text(f"files: {{train: reviews.csv, dev: {name}}}\nlabels: [bad, good]\n"
                                           "columns: {text: text, label: label}\n")
    with pytest.raises(InputError, match=f"{name}: the run would write its predictions over this dev set"):
        task_of(FineTuningOptions(task=str(tmp_path / "reviews.yaml"), output_dir=str(tmp_path)))


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("resume", ["never", "auto"])
@pytest.mark.parametrize("names, shown", [
    (["urlaub.jpg"], "urlaub.jpg"),
    (["b.txt", "a.txt", "d/x", "c.txt", "slurm-1.out"], "a.txt, b.txt, c.txt and 1 more"),
    (["data/table.csv"], "data"), (["metrics.jsonl"], "metrics.jsonl")])
def test_a_run_spreads_no_files_among_the_users(tmp_path, names, shown, resume):
    for name in names:
        files.write_text(tmp_path / "photos" / name, "mine")
    before = content(tmp_path)
    with pytest.raises(InputError) as error:
        RunDirectory(tmp_path / "photos", Options(), (), True, resume)
    assert str(error.value) == (f"{tmp_path}/photos: holds other files ({shown}), and no run; choose an empty or new "
                                "folder as --output-dir")
    assert content(tmp_path) == before


@pytest.mark.parametrize("run", [
    lambda place: pretrain(PretrainingOptions(data=["no such text"], output_dir=place, seq_len=16)),
    lambda place: run_search(SearchOptions(data=["no such text"], output_dir=place, teacher="none"))])
def test_a_training_refuses_such_a_folder_before_text_is_prepared(tmp_path, run):
    files.write_text(tmp_path / "urlaub.jpg", "mine")
    with pytest.raises(InputError, match=r"holds other files \(urlaub.jpg\), and no run"):
        run(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["urlaub.jpg"]


def test_a_folder_may_be_empty_hold_logs_or_what_a_killed_run_left(tmp_path):
    for names in ([], ["slurm-17.out", "job.e17", "nohup.out", "train.log", ".DS_Store"], [".lock", "metrics.jsonl"],
                  ["data/manifest.json", "text/standard-library.txt"], ["data/.bort-mx-prepare/plan.json"]):
        folder = tmp_path / f"run {len(names)} {names[:1]}".replace("/", " ")
        folder.mkdir()
        for name in names:
            files.write_text(folder / name, "{}")
        run = RunDirectory(folder, Options(), (), True)
        run.open()
        run.close()
        assert json.loads((folder / "config.json").read_text())["options"]["epochs"] == 1


def test_a_second_run_says_that_one_is_at_work(tmp_path):
    first = RunDirectory(tmp_path, Options(), (), True)
    first.open()
    (tmp_path / "checkpoints/step-1").mkdir(parents=True)
    with pytest.raises(InputError, match="another run is at work there; wait for it, stop it, or choose another"):
        RunDirectory(tmp_path, Options(), (), True)
    first.close()
    with pytest.raises(InputError, match="already holds a run; continue it with --resume auto"):
        RunDirectory(tmp_path, Options(), (), True)

"""A run writes over nothing that it did not write itself."""

import dataclasses
import json
from typing import Optional

import pytest

from bort_mx.errors import InputError
from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.finetuning.task_data import task_of
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

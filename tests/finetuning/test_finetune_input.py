"""Bad input, and output directories that hold something else."""

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from finetuning_runs import ROOT, results_of, start

from bort_mx import hub
from bort_mx.agora.options import AgoraRunOptions
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints import load, loading
from bort_mx.commands import finetune as command
from bort_mx.commands.demo_distillation import STUDENTS
from bort_mx.data.tasks import Example, Examples, get_task
from bort_mx.distributed import Workers
from bort_mx.errors import InputError, RunError
from bort_mx.finetuning import finetune as finetune_module
from bort_mx.finetuning import plots
from bort_mx.finetuning.evaluation import evaluate
from bort_mx.finetuning.finetune import finetune
from bort_mx.finetuning.options import kind_of
from bort_mx.finetuning.start import read_weights
from bort_mx.finetuning.task_data import resolve
from bort_mx.models import parameters_of
from bort_mx.training.signals import StopRequested
from bort_mx.training.step import NonFiniteError


@pytest.mark.parametrize("changes, message", [
    (dict(task="RTEE"), "unknown task 'RTEE'"),
    (dict(checkpoint="no/such/folder"), "no/such/folder"),
    (dict(max_length=65), "longer than the 64 positions"),
    (dict(micro_batch_size=3), "not divisible by --micro-batch-size 3"),
    (dict(dtype="float16"), "needs a GPU"),
    (dict(predict_only=True), "has no trained classifier"),
    (dict(chs=True), "no convergent hyperparameter set"),
    (dict(patience=3, resume="auto"), "--patience 3 requires --early-stopping"),
    (dict(resume="no/such"), "not a checkpoint")])
def test_bad_input_is_refused_in_one_line_and_nothing_is_written(small, tmp_path, changes, message):
    with pytest.raises(InputError) as caught:
        command.run(dataclasses.replace(small, output_dir=str(tmp_path / "run"), **changes))
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_name_on_the_hub_is_read_once(small, monkeypatch):
    seen, read = [], loading.read
    monkeypatch.setattr(hub, "fetch", lambda name, weights: pathlib.Path(small.checkpoint))
    monkeypatch.setattr(loading, "read", lambda path: seen.append(path) or read(path))
    assert read_weights("owner/model", Workers()).tokenizer is not None and seen == ["owner/model"]


def test_several_runs_with_bad_input_leave_nothing(small, tmp_path):
    options = dataclasses.replace(small, epochs=1, seeds=2, output_dir=str(tmp_path / "run"))
    with pytest.raises(InputError, match="no/such"):
        command.run(dataclasses.replace(options, checkpoint="no/such/folder"))
    assert not (tmp_path / "run").exists()
    command.run(options)
    config = (tmp_path / "run/config.json").read_bytes()
    for changes, message in ((dict(weight_decay=0.5), "option weight_decay was"), (dict(seed=5), "option seed was")):
        with pytest.raises(InputError, match=message):
            command.run(dataclasses.replace(options, resume="auto", **changes))
    assert (tmp_path / "run/config.json").read_bytes() == config
    assert sorted(path.name for path in (tmp_path / "run").glob("seed-*")) == ["seed-0", "seed-1"]


def test_several_runs_of_an_older_version_go_on(small, tmp_path):
    """Its config.json has a patience without early stopping, which a new run is refused for."""
    options = dataclasses.replace(small, epochs=1, seeds=2, output_dir=str(tmp_path / "run"))
    with pytest.raises(InputError, match="--patience 1 requires --early-stopping"):
        command.run(dataclasses.replace(options, resume="auto", patience=1))
    assert not (tmp_path / "run").exists()
    command.run(options)
    shutil.rmtree(tmp_path / "run/seed-1")
    for config in (tmp_path / "run/config.json", tmp_path / "run/seed-0/config.json"):
        values = json.loads(config.read_text())
        values["options"]["patience"] = 1
        config.write_text(json.dumps(values))
    first = (tmp_path / "run/seed-0/results.json").read_bytes()
    found = command.run(dataclasses.replace(options, resume="auto"))
    assert len(found["seeds"]) == 2 and (tmp_path / "run/seed-0/results.json").read_bytes() == first
    assert json.loads((tmp_path / "run/config.json").read_text())["options"]["patience"] == 1


@pytest.mark.parametrize("seeds", [1, 2])
def test_an_output_directory_that_cannot_be_is_one_line(small, tmp_path, seeds):
    (tmp_path / "file").write_text("a file")
    for path in (tmp_path / "file", tmp_path / ("x" * 300)):
        with pytest.raises(InputError, match="--output-dir .*: cannot be written") as caught:
            command.run(dataclasses.replace(small, epochs=1, seeds=seeds, output_dir=str(path)))
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be written .File name too long"):
        finetune(dataclasses.replace(small, resume="auto", output_dir=str(tmp_path / ("x" * 300))))
    with pytest.raises(InputError, match="x: no such file|File name too long"):
        finetune(dataclasses.replace(small, checkpoint="x" * 300, output_dir=str(tmp_path / "run")))


def test_the_best_weights_alone_are_nothing_to_resume_from(trained):
    options, _ = trained
    folder = pathlib.Path(options.output_dir)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="holds weights only, nothing to continue from; give one of .*step-N"):
        finetune(dataclasses.replace(options, resume=str(folder / "checkpoints/best")))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_resume_does_not_overwrite_what_a_directory_holds(small, superglue, tmp_path):
    """One run, several seeds, a benchmark, predictions: each is gone on with by its own kind only."""
    one = dataclasses.replace(small.resolved(*resolve(small.task)), epochs=1, resume="auto")
    several_seeds = dataclasses.replace(small, epochs=1, resume="auto", seeds=2)
    benchmark = dataclasses.replace(several_seeds, task="superglue", data_dir=str(superglue), batch_size=None, seeds=1)
    predicting = dataclasses.replace(one, predict_only=True, checkpoint=str(tmp_path / "one"))
    places = {"one": one, "seeds": several_seeds, "benchmark": benchmark, "predicting": predicting}
    found = {}
    for name, options in places.items():
        command.run(dataclasses.replace(options, output_dir=str(tmp_path / name)))
        found[name] = [(tmp_path / name / file).read_bytes() for file in ("results.json", "config.json")]
    for name, options, message in [
            ("seeds", one, "seeds holds several seeds, and this is one run"),
            ("seeds", predicting, "seeds holds several seeds, and this is one run"),
            ("one", several_seeds, "one holds one run, and this is several seeds"),
            ("benchmark", one, "benchmark holds a benchmark, and this is one run"),
            ("benchmark", dataclasses.replace(benchmark, task="all"), "option task was 'superglue'"),
            ("predicting", one, "option predict_only was True"),
            ("predicting", dataclasses.replace(predicting, checkpoint=small.checkpoint), "is not what .* started from"),
    ]:
        with pytest.raises(InputError, match=message):
            command.run(dataclasses.replace(options, output_dir=str(tmp_path / name)))
    assert {name: [(tmp_path / name / file).read_bytes() for file in ("results.json", "config.json")]
            for name in places} == found


@pytest.mark.parametrize("of, changes", [
    ("own", {}), ("own", {"seeds": 2}), ("own", {"resume": "auto"}), ("superglue", {}), ("own", {"agora": True})])
def test_a_folder_of_other_files_is_no_output_directory(small, superglue, encoder, tmp_path, of, changes):
    (tmp_path / "urlaub.jpg").write_text("mine")
    options = dataclasses.replace(small, output_dir=str(tmp_path), **{k: v for k, v in changes.items() if k != "agora"})
    if of == "superglue":
        options = dataclasses.replace(options, task="superglue", data_dir=str(superglue))
    if "agora" in changes:
        options = AgoraRunOptions(**dataclasses.asdict(options), agora=True, socrates=str(encoder))
    with pytest.raises(InputError, match=r"holds other files \(urlaub.jpg\), and no run; choose an empty"):
        command.run(options)
    assert [path.name for path in tmp_path.iterdir()] == ["urlaub.jpg"]


def test_what_came_to_nothing_is_begun_again_with_other_options(small, tmp_path, monkeypatch):
    """Killed or diverged before its first checkpoint: --resume auto starts."""
    options = dataclasses.replace(small, epochs=1, resume="auto", output_dir=str(tmp_path / "run"))
    with monkeypatch.context() as patched:
        patched.setattr(finetune_module, "_train", lambda *rest: (_ for _ in ()).throw(NonFiniteError("no step")))
        with pytest.raises(NonFiniteError):
            finetune(dataclasses.replace(options, learning_rate=1e30))
    assert (tmp_path / "run/config.json").is_file()
    (tmp_path / "run/data").mkdir()  # as pre-training has it
    assert finetune(options)["train_examples"] == 96


def test_the_best_of_a_killed_run_is_not_overwritten_by_another(small, tmp_path, monkeypatch):
    options = dataclasses.replace(small, resume="auto", checkpoint_interval=0, output_dir=str(tmp_path / "run"))
    with monkeypatch.context() as patched:
        patched.setattr(finetune_module, "conclude", lambda *rest: (_ for _ in ()).throw(StopRequested("killed")))
        with pytest.raises(StopRequested):
            finetune(options)
    shutil.rmtree(tmp_path / "run/checkpoints/step-24")
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["best"]
    with pytest.raises(InputError, match="option max_length was not given in .* and is 12 now; leave it out"):
        finetune(dataclasses.replace(options, max_length=12))


@pytest.mark.parametrize("of, changes", [("several seeds", {"seeds": 2}), ("a benchmark", {"task": "superglue"})])
def test_several_runs_killed_in_the_first_are_known(small, superglue, tmp_path, monkeypatch, of, changes):
    one = dataclasses.replace(small, epochs=1, resume="auto", batch_size=None, output_dir=str(tmp_path / "run"))
    many = dataclasses.replace(one, data_dir=str(superglue) if of == "a benchmark" else None, **changes)
    with monkeypatch.context() as patched:
        patched.setattr(finetune_module, "_train", lambda *rest: (_ for _ in ()).throw(StopRequested("killed")))
        with pytest.raises(StopRequested):
            command.run(many)
    before = (tmp_path / "run/config.json").read_bytes()
    with pytest.raises(InputError, match=f"run holds {of}, and this is one run"):
        command.run(one)
    assert (tmp_path / "run/config.json").read_bytes() == before
    command.run(many)
    assert (tmp_path / "run/results.json").is_file()


@pytest.mark.parametrize("options, kind", [
    ({"task": "RTE"}, "one run"), ({"task": "RTE", "seeds": 5}, "several seeds"), ({"task": "glue"}, "a benchmark"),
    ({"task": "RTE", "seeds": 5, "agora": True}, "several seeds of Agora"),
    ({"task": "RTE", "seeds": 1, "agora": False}, "one run"), ({"data": ["text"]}, "a run of another program")])
def test_what_a_directory_holds_is_told_by_its_options(options, kind):
    assert kind_of(options) == kind


@pytest.mark.parametrize("seeds", [1, 2])
def test_another_description_of_the_task_is_another_run(small, pairs, tmp_path, seeds):
    shutil.copytree(pairs.parent, tmp_path / "data")
    path = tmp_path / "data/own.yaml"
    before = path.read_text()
    options = dataclasses.replace(small, task=str(path), epochs=1, seeds=seeds, output_dir=str(tmp_path / "run"))
    command.run(options)
    results = results_of(tmp_path / "run")
    for change, what in (("metrics: [f1]\n", "metrics"), ("metrics: [accuracy]\ncut: first\n", "cut")):
        path.write_text(before + change)
        with pytest.raises(InputError, match=f"--resume: task {what} is not what it was when .* was started; "
                                             "start anew"):
            command.run(dataclasses.replace(options, resume="auto", seeds=3 if seeds > 1 else 1))
    assert results_of(tmp_path / "run") == results


def test_another_checkpoint_under_resume_is_refused_by_its_content(small, tmp_path, capsys):
    """A copy elsewhere is the same; other weights are not, under whatever name."""
    shutil.copytree(small.checkpoint, tmp_path / "copy")
    options = dataclasses.replace(small, epochs=1, output_dir=str(tmp_path / "run"))
    found = finetune(options)
    again = dataclasses.replace(options, checkpoint=str(tmp_path / "copy"), resume="auto")
    assert finetune(again)["dev"] == found["dev"]
    assert "run is already finished" in capsys.readouterr().out
    (tmp_path / "copy/README.txt").write_text("not a part of it")
    assert finetune(again)["dev"] == found["dev"]
    with pytest.raises(InputError, match="--checkpoint fresh is not what .*run started from, which was"):
        finetune(dataclasses.replace(again, checkpoint="fresh"))
    with pytest.raises(InputError, match="--checkpoint nowhere is not what .*run started from, which was"):
        finetune(dataclasses.replace(again, checkpoint="nowhere"))
    model, tokenizer, _ = load(tmp_path / "copy")
    name = next(name for name in parameters_of(model) if name.startswith("word_embed"))
    parameters_of(model)[name].set_data(parameters_of(model)[name].data() + 1)
    checkpoint_directory.save(tmp_path / "copy", model, tokenizer)
    with pytest.raises(InputError, match="copy is not what .*run started from, which was .*checkpoint; "
                                         "give that checkpoint unchanged"):
        finetune(again)
    fresh = dataclasses.replace(options, checkpoint="fresh", output_dir=str(tmp_path / "fresh"))
    finetune(fresh)
    with pytest.raises(InputError, match="copy is not what .*fresh started from, which was fresh"):
        finetune(dataclasses.replace(again, output_dir=fresh.output_dir))


def test_a_run_of_an_older_version_is_resumed(small, tmp_path):
    """Its config.json lacks the options and entries that came later: they are taken to have been their defaults."""
    options = dataclasses.replace(small, output_dir=str(tmp_path / "run"))
    found = finetune(options)
    (tmp_path / "run/results.json").unlink()
    config = json.loads((tmp_path / "run/config.json").read_text())
    del config["options"]["keep_classifier"], config["options"]["clip"], config["checkpoint"]
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    assert finetune(dataclasses.replace(options, resume="auto"))["dev"] == found["dev"]
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="option clip was 1.0 in .* and is 0.5 now"):
        finetune(dataclasses.replace(options, resume="auto", clip=0.5))


@pytest.mark.parametrize("split, row, message", [
    ("train", "one\tcolumn too few", "train.tsv:98: 2 column"),
    ("dev", "a\tb\tperhaps", "dev.tsv:42: unknown label 'perhaps'")])
def test_bad_data_name_file_and_line(small, pairs, tmp_path, split, row, message):
    shutil.copytree(pairs.parent, tmp_path / "data")
    with open(tmp_path / f"data/{split}.tsv", "a") as file:
        file.write(row + "\n")
    with pytest.raises(InputError, match=message):
        finetune(dataclasses.replace(small, task=str(tmp_path / "data/own.yaml"), output_dir=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_a_target_that_is_no_number_is_named(small, regression, tmp_path):
    shutil.copytree(regression.parent, tmp_path / "data")
    with open(tmp_path / "data/train.tsv", "a") as file:
        file.write("a text\tmuch\n")
    with pytest.raises(InputError, match="train.tsv:50: target 'much' is not a number"):
        finetune(dataclasses.replace(small, task=str(tmp_path / "data/length.yaml"), output_dir=str(tmp_path / "run")))


def test_scores_that_are_not_finite_end_the_run():
    examples = Examples([Example(0, ("a",), "entailment")])
    with pytest.raises(RunError, match="not finite"):
        evaluate(get_task("demo"), examples, np.array([[np.nan, 0.0]]))


def test_the_script_exits_with_2_and_one_line(tmp_path):
    process = start("--task", "RTE", "--checkpoint", tmp_path / "absent", "--data-dir", tmp_path / "a file",
                    "--output-dir", tmp_path / "run", "--epochs", "x")
    output, error = process.communicate(timeout=120)
    assert process.returncode == 2 and "--epochs" in error and len(error.strip().splitlines()) == 1


def test_without_a_task_the_demo_is_taken(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    taken = []
    monkeypatch.setattr(command, "run", lambda options: taken.append(options) or {"predictions_of": "dev"})
    command.main(["--epochs", "2"])
    assert (taken[0].task, taken[0].checkpoint, taken[0].epochs) == ("demo", "fresh", 2)
    assert "not pre-trained" in capsys.readouterr().out
    for name in (*STUDENTS.values(), "teacher"):  # as the demo names them
        (tmp_path / f"runs/demo/{name}-0/checkpoints/step-9").mkdir(parents=True)
    command.main([])
    assert taken[1].checkpoint == "runs/demo/student-distilled-0"
    command.main(["--checkpoint", "../x"])
    command.main(["--checkpoint=amazon/bort"])
    assert [options.output_dir for options in taken] == [f"runs/finetuning-demo/{name}" for name in (
        "fresh", "runs-demo-student-distilled-0", "x", "amazon-bort")]
    assert taken[2].checkpoint == "../x" and taken[3].checkpoint == "amazon/bort"


def test_figures_are_drawn_without_training_rows(tmp_path):
    plots.learning_curve([{"step": 3, "dev_loss": 1.0, "dev_f1": 0.5}], "dev_f1", "x", tmp_path / "curve.png")
    plots.confusion([0, 2], [1, 2], ["a", "b", "c"], "x", tmp_path / "confusion.png")
    assert all((tmp_path / name).read_bytes()[:4] == b"\x89PNG" for name in ("curve.png", "confusion.png"))


def test_figures_take_any_and_many_labels(tmp_path, recwarn):
    plots.confusion([0, 1], [1, 1], ["$0_$10", "猫"], "a_$b_$", tmp_path / "odd.png")
    plots.confusion([0, 299], [1, 299], [f"label {i}" for i in range(300)], "x", tmp_path / "many.png")
    plots.scatter([0.0, 1.0], [0.5, 0.5], "$_$", tmp_path / "scatter.png")
    header = (tmp_path / "many.png").read_bytes()[:24]
    assert header[:4] == b"\x89PNG" and int.from_bytes(header[16:20], "big") < 2000  # pixels of its width
    assert not recwarn.list


def test_mxnet_is_not_imported_for_help():
    code = ("import sys; from bort_mx.commands.finetune import main\n"
            "try: main(['--help'])\nexcept SystemExit: pass\nassert 'mxnet' not in sys.modules")
    assert subprocess.call([sys.executable, "-c", code], stdout=subprocess.DEVNULL, cwd=ROOT) == 0

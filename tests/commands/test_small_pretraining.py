"""The pre-training that prepare and search propose: small, with what stands in this folder."""

import pathlib
import shutil

import pytest

from bort_mx.architecture import Architecture
from bort_mx.checkpoints import save
from bort_mx.commands.small_pretraining import DOMAIN, SMALL_RUNS, TOUR, of_student, of_winner, on_shards, student_of
from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.io import files
from bort_mx.models import build_model
from bort_mx.options import parse_options
from bort_mx.pretraining.options import PretrainingOptions

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("config", SMALL_RUNS)
def test_the_options_are_those_of_the_file(config):
    assert SMALL_RUNS[config] == files.read_yaml(ROOT / config)


def options_of(words):
    assert words[0] == "pretrain"
    return parse_options(PretrainingOptions, words[1:], "run_pretraining.py", "")


@pytest.fixture(params=["a checkout", "elsewhere"])
def here(tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    if request.param == "a checkout":
        shutil.copytree(ROOT / "configs", tmp_path / "configs")
    return tmp_path


def test_a_model_s_vocabulary_is_followed_by_going_on_with_it(here):
    words = on_shards("mine/shards", "owner/name")
    assert ("--config" in words) == (here / DOMAIN).is_file()
    found = options_of(words)
    assert (found.init, found.data, found.output_dir) == ("owner/name", ["mine/shards"], "runs/domain")
    assert (found.max_steps, found.batch_size, found.seq_len, found.learning_rate) == (300, 16, 64, 1e-4)
    (here / "model").mkdir()
    (here / "model/vocab.txt").touch()
    assert options_of(on_shards("shards", "model")).init is None  # a vocabulary alone
    (here / "model/model.safetensors").touch()
    assert options_of(on_shards("shards", "model")).init == "model"


def test_a_smaller_model_of_the_vocabulary_s_is_proposed_too(here):
    found = options_of(student_of("shards", "owner/name"))
    assert (found.teacher, found.data, found.output_dir) == ("owner/name", ["shards"], "runs/student")
    assert (found.losses, found.budget, found.init_from_teacher) == (["relations=1", "hidden=1"], "1h", "spread")
    assert student_of("shards", None) == []
    for shape, fits in (("4,4,256,1024", False), ("3,4,256,1024", False), ("6,4,256,512", False),
                        ("6,12,384,1536", True)):
        save(here / shape, build_model(Architecture.parse(shape), 30, num_positions=8, family="bert"))
        assert bool(student_of("shards", shape)) == fits
    for typed, pooling in ((True, "segments"), (False, "mean")):
        words = of_student("runs/student", typed)
        tuned = parse_options(FineTuningOptions, words[1:], "run_finetune.py", "")
        assert (tuned.pooling, tuned.epochs, tuned.learning_rate) == (pooling, 3, 3e-4) and words[0] == "finetune"


def test_a_new_vocabulary_is_followed_by_a_new_small_model(here):
    words = on_shards("shards", None)
    assert ("--config" in words) == (here / TOUR).is_file()
    found = options_of(words)
    assert (found.init, found.architecture, found.output_dir) == (None, "4,4,128,512", "runs/pretraining")
    assert (found.max_steps, found.batch_size, found.seq_len, found.learning_rate) == (400, 32, 64, 2e-3)
    (here / "runs/pretraining").mkdir(parents=True)
    assert options_of(on_shards("shards", None)).output_dir == "runs/pretraining-2"


def test_a_search_of_the_paper_s_size_is_followed_by_its_pre_training(here):
    for seq_len, batch_size, steps, length in ((64, 64, 400, 64), (32, 64, 400, 32), (128, 64, 400, 64),
                                               (512, 1024, 25000, 512)):
        found = options_of(of_winner("runs/search", ["--data", "shards"], "T", seq_len, batch_size))
        assert (found.max_steps, found.seq_len) == (steps, length)
        assert (found.teacher, found.architecture) == ("T", "runs/search/results.json")
        assert found.temperature == (1 if steps == 400 else 2)


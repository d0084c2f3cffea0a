"""Fixtures of the tests of fine-tuning: a tiny encoder, small tasks, finished runs."""

import dataclasses

import pytest
from finetuning_runs import SIZES, TINY, copa, entailment

from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.data.tasks import synthetic
from bort_mx.data.tokenizers import train_sentencepiece
from bort_mx.finetuning.finetune import finetune
from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.models import build_model


@pytest.fixture(scope="session")
def tokenizer():
    return train_sentencepiece([text for pair in synthetic.generate()["train"] for text in pair[:2]], 400)


@pytest.fixture(scope="session")
def encoder(tokenizer, tmp_path_factory):
    """A checkpoint of a tiny encoder."""
    path = tmp_path_factory.mktemp("encoder") / "checkpoint"
    checkpoint_directory.save(path, build_model(TINY, tokenizer.vocab_size, num_positions=64), tokenizer)
    return path


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    """A few examples of the demo task as files, and a description that makes them one's own task."""
    folder = tmp_path_factory.mktemp("pairs")
    for split, rows in synthetic.generate(SIZES).items():
        lines = ["\t".join(("first", "second", "class")), *("\t".join(pair) for pair in rows)]
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    (folder / "own.yaml").write_text(
        "files: {train: train.tsv, dev: dev.tsv, test: test.tsv}\n"
        "columns: {text: first, text_pair: second, label: class}\nlabels: [not_entailment, entailment]\n")
    return folder / "own.yaml"


@pytest.fixture(scope="session")
def small(encoder, pairs):
    """Options of a run of 2 epochs of 12 steps."""
    return FineTuningOptions(task=str(pairs), checkpoint=str(encoder), epochs=2, batch_size=8, learning_rate=1e-3,
                             log_interval=1,
                             checkpoint_interval=4, keep_checkpoints=10)


@pytest.fixture(scope="session")
def finished(small, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    finetune(dataclasses.replace(small, output_dir=str(out)))
    return out


@pytest.fixture(scope="session")
def regression(tmp_path_factory):
    """The share of the letter e, roughly: one text, a number."""
    folder = tmp_path_factory.mktemp("regression")
    for split, pairs in synthetic.generate({"train": 48, "dev": 20}).items():
        lines = ["text\tvalue", *(f"{first}\t{len(first) / 10}" for first, _, _ in pairs)]
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    (folder / "length.yaml").write_text("files: {train: train.tsv, dev: dev.tsv}\nregression: true\n"
                                        "columns: {text: text, label: value}\nmetrics: [pearson, spearman]\n")
    return folder / "length.yaml"


@pytest.fixture(scope="session")
def superglue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("official")
    copa(folder, {"train": 16, "val": 8, "test": 8})
    entailment(folder)
    return folder


@pytest.fixture(scope="session")
def trained(small, tmp_path_factory):
    """A run on the small task, trained long enough to tell its labels apart."""
    options = dataclasses.replace(small, epochs=6, output_dir=str(tmp_path_factory.mktemp("trained") / "run"))
    return options, finetune(options)["dev"]["accuracy"]



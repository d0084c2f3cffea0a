"""The examples of docs/python.md run as printed, on small models that are made here."""

import doctest
import pathlib

import pytest

import bort_mx
from bort_mx.architecture import Architecture
from bort_mx.data.tokenizers import train_sentencepiece
from bort_mx.models import build_model

PAGE = pathlib.Path(__file__).resolve().parents[1] / "docs" / "python.md"
FILMS = {"good": ["a good film", "so good", "a film that is good"],
         "bad": ["a bad film", "so bad", "a film that is bad"]}


@pytest.fixture
def models(tmp_path, monkeypatch):
    """The folder in which the page's examples run."""
    monkeypatch.chdir(tmp_path)
    tokenizer = train_sentencepiece([text for texts in FILMS.values() for text in texts] * 3, 290)
    for name, head in (("encoder", "encoder"), ("language-model", "mlm")):
        bort_mx.save(name, build_model(Architecture(1, 2, 16, 24), tokenizer.vocab_size, head, num_positions=32),
                     tokenizer)
    rows = [f"{text},{label}\n" for i in range(3) for label, texts in FILMS.items() for text in texts]
    for split in ("train", "dev"):
        pathlib.Path(f"{split}.csv").write_text("text,label\n" + "".join(rows * (3 if split == "train" else 1)))
    pathlib.Path("reviews.yaml").write_text("files: {train: train.csv, dev: dev.csv}\n"
                                            "columns: {text: text, label: label}\nlabels: [bad, good]\n")
    bort_mx.finetune(task="reviews.yaml", checkpoint="encoder", epochs=6, batch_size=8, learning_rate=3e-2,
                     output_dir="runs/reviews", device="cpu")


def test_the_examples_of_the_page(models):
    found = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.ELLIPSIS, verbose=False)
    assert found.failed == 0 and found.attempted > 20

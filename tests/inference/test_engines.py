"""Engines: a new one is a class and a row of the table."""

import sys
import types

import numpy as np
import pytest

from bort_mx.architecture import Architecture
from bort_mx.checkpoints import directory, load
from bort_mx.data.tokenizers import train_sentencepiece
from bort_mx.errors import InputError
from bort_mx.inference import engines, pipeline
from bort_mx.models import build_model


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engines") / "encoder"
    tokenizer = train_sentencepiece(["the quick brown fox jumps over the lazy dog"] * 3, 300)
    directory.save(folder, build_model(Architecture(1, 2, 16, 24), tokenizer.vocab_size, num_positions=64), tokenizer)
    return folder


@pytest.fixture
def counting(checkpoint, monkeypatch):
    """An engine for *.count files, whose hidden states are the number of tokens."""
    class Counting:
        def __init__(self, path):
            model, self.tokenizer, _ = load(checkpoint, "encoder")
            self.config = model.config

        def __call__(self, input_ids, valid_length, masked_positions, token_types):
            assert masked_positions is None and all(isinstance(a, np.ndarray) for a in (input_ids, valid_length))
            return np.full((*input_ids.shape, 16), 1.0) * valid_length[:, None, None]

    module = types.ModuleType("counting_engine")
    module.Counting = Counting
    monkeypatch.setitem(sys.modules, "counting_engine", module)
    monkeypatch.setitem(engines.ENGINES, ".count", ("counting_engine", "Counting"))


def test_a_row_of_the_table_adds_an_engine(counting):
    model, tokenizer = pipeline.open_model("some.count", "encoder")
    texts = [("the dog", None), ("the quick brown fox", "jumps")]
    found = np.array(list(pipeline.embed(model, tokenizer, texts, "first")))
    assert found[:, 0].tolist() == [len(tokenizer.encode(*text)) for text in texts]
    with pytest.raises(InputError, match="some.count: has no trained mlm head; it holds encoder; export the"):
        pipeline.open_model("some.count", "mlm")


def test_a_checkpoint_is_run_by_mxnet(checkpoint):
    model, tokenizer, untrained = engines.open_with_engine(checkpoint, "encoder")
    assert untrained == [] and tokenizer.vocab_size == 300
    assert engines.forward(model, np.array([[5, 6, 7]]), np.array([3])).shape == (1, 3, 16)


def test_batches_of_short_texts_hold_more_and_answers_keep_their_order():
    lengths = [3, 50, 4, 9, 3, 30, 2, 2, 10, 8, 1, 7]
    encoded = [[100 + i] * length for i, length in enumerate(lengths)]
    batches = []

    def run(part):
        batches.append([len(ids) for ids in part])
        return [ids[0] for ids in part]
    assert pipeline.in_batches(encoded, 2, run, 24) == [100 + i for i in range(12)]
    assert sorted(sum(batches, [])) == sorted(lengths) == sum(batches, [])  # by length
    assert all(len(batch) <= 2 or len(batch) * max(batch) <= 24 for batch in batches)
    assert max(map(len, batches)) > 2 and batches[-1] == [30, 50]  # long ones as many as asked for
    batches.clear()
    pipeline.in_batches(encoded, 2, run)
    assert {len(batch) for batch in batches} == {2}


def test_the_next_item_is_made_while_the_caller_works():
    made = []

    def items():
        for i in range(3):
            made.append(i)
            yield i
        raise InputError("the last one is bad")
    coming, seen = pipeline.one_ahead(items()), []
    with pytest.raises(InputError, match="the last one is bad"):
        for item in coming:
            seen.append(item)
    assert seen == [0, 1, 2] == made and list(pipeline.one_ahead(iter([]))) == []

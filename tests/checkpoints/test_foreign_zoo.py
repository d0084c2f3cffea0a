"""Checkpoints as other programs write them: each computes what its own library computes, or is refused by name.

A row of a table makes a folder and returns the peer, that is its own library's model and tokenizer. Texts go through
the peer's tokenizer and through ours. Sizes are small; sentences are real.
"""

import argparse
import dataclasses
import pathlib
import re
from typing import Any, Callable, Dict, Tuple

import mxnet as mx
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
from foreign import (  # noqa: E402
    TEXTS,
    TOLERANCE,
    Peer,
    added,
    assert_equal,
    bert_tokenizer,
    bpe_words,
    byte_parts,
    byte_program,
    edited,
    foreign,
    model_of,
    old_names,
    only,
    padded,
    prefixed,
    program,
    restored,
    roberta_tokenizer,
    saved,
    shared_once,
    short_words,
    torch,
    transformers,
    whole,
    wordpieces,
    xlmr_tokenizer,
)
from tokenizers import Regex, normalizers, pre_tokenizers  # noqa: E402

from bort_mx.checkpoints import load, loading, read  # noqa: E402
from bort_mx.checkpoints.convert import convert  # noqa: E402
from bort_mx.checkpoints.onnx_export import export  # noqa: E402
from bort_mx.errors import InputError  # noqa: E402
from bort_mx.inference import engines, pipeline  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
CUSTOM = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\d+"), "0"), normalizers.Lowercase()])
DIGITS = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                  pre_tokenizers.ByteLevel(add_prefix_space=True)])
BERT, MLM, CLASSIFIER = whole("BertModel"), whole("BertForMaskedLM", "mlm"), whole("BertForSequenceClassification",
                                                                                  "classifier", num_labels=3)
ROBERTA, ROBERTA_MLM = whole("RobertaModel"), whole("RobertaForMaskedLM", "mlm")
UNTIED = {"tie_word_embeddings": False}

EQUAL: Dict[str, Callable[[pathlib.Path], Peer]] = {
    "bert": BERT, "bert mlm": MLM, "bert classifier": CLASSIFIER,
    "bert regression": whole("BertForSequenceClassification", "classifier", num_labels=1),
    "bert without a pooler": whole("BertModel", options={"add_pooling_layer": False}),
    "bert pre-training": whole("BertForPreTraining", "mlm"),
    "bert next sentence": whole("BertForNextSentencePrediction"),
    "bert token classifier": whole("BertForTokenClassification", num_labels=3),
    "bert questions": whole("BertForQuestionAnswering"), "bert multiple choice": whole("BertForMultipleChoice"),
    "roberta": ROBERTA, "roberta mlm": ROBERTA_MLM,
    "roberta classifier": whole("RobertaForSequenceClassification", "classifier", num_labels=2),
    "roberta token classifier": whole("RobertaForTokenClassification"),
    "roberta questions": whole("RobertaForQuestionAnswering"),
    "roberta multiple choice": whole("RobertaForMultipleChoice"),
    "xlm-r": whole("XLMRobertaModel"), "xlm-r mlm": whole("XLMRobertaForMaskedLM", "mlm"),
    "xlm-r classifier": whole("XLMRobertaForSequenceClassification", "classifier", num_labels=3),
    "camembert": whole("CamembertModel"), "camembert mlm": whole("CamembertForMaskedLM", "mlm"),
    "bort": whole("BertForMaskedLM", "mlm", roberta_tokenizer, pad_token_id=1, type_vocab_size=1, layer_norm_eps=1e-5),
    "bert with xlm-r's tokenizer": whole("BertModel", tokenizer=xlmr_tokenizer),
    # tokenizers
    "cased": whole("BertModel", tokenizer=lambda: bert_tokenizer(do_lower_case=False)),
    "accents kept": whole("BertModel", tokenizer=lambda: bert_tokenizer(strip_accents=False)),
    "cased, accents stripped": whole("BertModel", tokenizer=lambda: bert_tokenizer(do_lower_case=False,
                                                                                   strip_accents=True)),
    "chinese together": whole("BertModel", tokenizer=lambda: bert_tokenizer(tokenize_chinese_chars=False)),
    "vocab.txt": only(BERT, "vocab.txt", "tokenizer_config.json"),
    "vocab.txt, cased": only(whole("BertModel", tokenizer=lambda: bert_tokenizer(do_lower_case=False)), "vocab.txt",
                             "tokenizer_config.json"),
    "vocab.json": only(ROBERTA, "merges.txt", "tokenizer_config.json"),
    "prefix space": whole("RobertaModel", tokenizer=lambda: roberta_tokenizer(add_prefix_space=True)),
    "vocab.json, prefix space": only(whole("RobertaModel", tokenizer=lambda: roberta_tokenizer(add_prefix_space=True)),
                                     "merges.txt", "tokenizer_config.json"),
    "added tokens": whole("BertModel", tokenizer=added(bert_tokenizer)),
    "added tokens, roberta": whole("RobertaModel", tokenizer=added(roberta_tokenizer)),
    "custom normalizer": whole("BertModel", tokenizer=lambda: program(normalizer=CUSTOM)),
    "longest word": whole("BertModel", tokenizer=short_words),
    "splits at white space": whole("BertModel", tokenizer=lambda: program(splitter=pre_tokenizers.WhitespaceSplit())),
    "digits apart": whole("RobertaModel", tokenizer=byte_program(splitter=DIGITS)),
    "bytes of NFKC": whole("RobertaModel", tokenizer=byte_program(normalizers.NFKC())),
    "bpe of words": whole("RobertaModel", tokenizer=bpe_words),
    "token types of one's own tokenizer": whole("BertModel", tokenizer=lambda: program(
        normalizer=CUSTOM, model_input_names=["input_ids", "token_type_ids", "attention_mask"])),
    "no token types": whole("BertModel", tokenizer=lambda: bert_tokenizer(
        model_input_names=["input_ids", "attention_mask"])),
    # files and names
    ".bin": saved(MLM, "bin"), "legacy .bin": saved(MLM, "legacy"), "sharded": saved(MLM, "sharded"),
    "half": saved(MLM, "half"), "bfloat16": saved(ROBERTA_MLM, "bfloat16"),
    "shared once, bert": shared_once(MLM), "shared once, roberta": shared_once(ROBERTA_MLM),
    "shared once, pre-training": shared_once(whole("BertForPreTraining", "mlm")),
    "data parallel": restored(CLASSIFIER, prefixed("module."), bin_too=True),
    "compiled": restored(CLASSIFIER, prefixed("_orig_mod."), bin_too=True),
    "data parallel and compiled": restored(ROBERTA_MLM, prefixed("module.", "_orig_mod."), bin_too=True),
    "lightning": restored(MLM, lambda state: {"state_dict": prefixed("model.")(state)}, bin_too=True),
    "gamma and beta": restored(MLM, old_names), "padded to 8": padded(8), "padded to 64": padded(64),
    "a head nobody asked for": restored(BERT, lambda state: {**state, "classifier.weight": torch.zeros(2, 32),
                                                            "crf.transitions": torch.zeros(2, 2)}),
    "untied, embeddings wanted": whole("BertForMaskedLM", "encoder", **UNTIED),
    "untied, roberta": whole("RobertaForMaskedLM", "encoder", **UNTIED),
    "no model_type": edited(MLM, "config.json", model_type=None, architectures=None),
    "no model_type, roberta": edited(ROBERTA_MLM, "config.json", model_type=None),
    "no architectures": edited(CLASSIFIER, "config.json", architectures=None),
    # functions
    "epsilon 1e-3": whole("BertModel", layer_norm_eps=1e-3), "one token type": whole(
        "BertModel", tokenizer=lambda: bert_tokenizer(model_input_names=["input_ids"]), type_vocab_size=1),
    "four token types": whole("BertModel", type_vocab_size=4),
    "pad id 3": whole("RobertaModel", pad_token_id=3, max_position_embeddings=68),
    "two token types, roberta": whole("RobertaModel", type_vocab_size=2),
    "gelu_python": whole("BertModel", hidden_act="gelu_python"),
    **{name: whole("BertModel", hidden_act=name) for name in ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "relu")},
    "gelu_new, mlm": whole("BertForMaskedLM", "mlm", hidden_act="gelu_new"),
    "relu, mlm": whole("BertForMaskedLM", "mlm", hidden_act="relu"),
    "relu, roberta mlm": whole("RobertaForMaskedLM", "mlm", hidden_act="relu"),  # whose head has GELU all the same
    "relu, roberta classifier": whole("RobertaForSequenceClassification", "classifier", hidden_act="relu"),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equals_its_own_library(name, tmp_path):
    assert_equal(tmp_path, EQUAL[name](tmp_path))


@pytest.mark.parametrize("cls, head", [("BertForMaskedLM", "mlm"), ("RobertaForMaskedLM", "mlm"),
                                       ("BertForSequenceClassification", "classifier")])
@pytest.mark.parametrize("name, ours", [("gelu_new", "gelu_tanh"), ("relu", "relu")])
def test_activations_stay_in_conversions_and_onnx(cls, head, name, ours, tmp_path):
    """The weights are twice as large as elsewhere here, so that GELU's two forms differ by more than is allowed."""
    def larger(state):
        return {key: tensor * (1 if "LayerNorm" in key or "layer_norm" in key else 2) for key, tensor in state.items()}

    peer = whole(cls, head, hidden_act=name)(tmp_path / "peer")
    peer.model.load_state_dict(larger(peer.model.state_dict()))
    peer.model.save_pretrained(tmp_path / "peer")
    weights = read(tmp_path / "peer")
    assert weights.config.activation == ours
    places = [tmp_path / "peer", *(tmp_path / to for to in ("hf", "bort-mx", "gluon"))]
    for place in places[1:]:
        convert(weights, place, place.name)
        assert read(place).config == weights.config
    pytest.importorskip("onnxruntime")
    export(weights, tmp_path / "onnx" / "m.onnx")
    ids = peer.tokenizer(TEXTS[0])["input_ids"]
    with torch.no_grad():
        want = peer.model(torch.tensor([ids])).logits.numpy()
    for place in [*places, tmp_path / "onnx" / "m.onnx"]:
        assert np.abs(logits(pipeline.open_model(place, head)[0], ids) - want).max() < TOLERANCE, place
    plain = loading.assemble(dataclasses.replace(weights, config=weights.config.replace(activation="gelu")))
    assert np.abs(logits(plain, ids) - want).max() > 10 * TOLERANCE


def logits(model, ids):
    """Of one text, at every position where there is an MLM head."""
    positions = np.arange(len(ids))[None] if model.config.head == "mlm" else None
    return engines.forward(model, np.array([ids]), np.array([len(ids)]), positions)


# -- refused by name -----------------------------------------------------------------------------------------------


def with_model_file(make, name="sentencepiece.bpe.model"):
    """A folder with a SentencePiece model and no tokenizer.json."""
    def made(folder):
        from bort_mx.data.tokenizers import train_sentencepiece

        make(folder)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            (folder / file).unlink()
        train_sentencepiece(["the cat sat on the mat"], 290).save(folder / "sp")
        (folder / "sp" / "sentencepiece.model").rename(folder / name)
    return made


REFUSED: Dict[str, Tuple[Callable[[pathlib.Path], Any], str]] = {
    "electra": (foreign("Electra", hidden_size=16, num_attention_heads=2, num_hidden_layers=1, intermediate_size=8,
                        embedding_size=16), "model_type is 'electra'"),
    "distilbert": (foreign("DistilBert", dim=16, n_heads=2, n_layers=1, hidden_dim=8), "model_type is 'distilbert'"),
    "albert": (foreign("Albert", hidden_size=16, num_attention_heads=2, intermediate_size=8, embedding_size=8),
               "model_type is 'albert'"),
    "mpnet": (foreign("MPNet", hidden_size=16, num_attention_heads=2, num_hidden_layers=1, intermediate_size=8),
              "model_type is 'mpnet'"),
    "an adapter beside": (edited(whole("BertModel"), "adapter_config.json", peft_type="LORA"),
                          "adapter_config.json: an adapter of peft"),
    "cuts the beginning": (edited(whole("BertModel"), "tokenizer_config.json", truncation_side="left"),
                           "truncation_side is 'left'"),
    "causal": (whole("BertLMHeadModel"), "architectures is \\['BertLMHeadModel'\\]"),
    "causal, roberta": (whole("RobertaForCausalLM"), "architectures is \\['RobertaForCausalLM'\\]"),
    "a decoder": (whole("BertModel", is_decoder=True), "is_decoder is True"),
    "silu": (whole("BertModel", hidden_act="silu"), "hidden_act is 'silu'"),
    "quick_gelu": (whole("BertModel", hidden_act="quick_gelu"), "hidden_act is 'quick_gelu'"),
    "relu, bort": (whole("BertForMaskedLM", "mlm", roberta_tokenizer, pad_token_id=1, type_vocab_size=1,
                         hidden_act="relu"), "hidden_act is 'relu'; of Bort only 'gelu'"),
    "no token types at all": (edited(BERT, "config.json", type_vocab_size=0), "token_type_embed"),
    "problem_type": (edited(CLASSIFIER, "config.json", problem_type="ranking"), "problem_type is 'ranking'"),
    "another class": (edited(BERT, "config.json", architectures=["BertForJokes"]), "architectures"),
    "mecab": (edited(only(BERT, "vocab.txt"), "tokenizer_config.json", word_tokenizer_type="mecab"),
              "word_tokenizer_type is 'mecab'"),
    "japanese, by config.json": (edited(only(BERT, "vocab.txt"), "config.json",
                                        tokenizer_class="BertJapaneseTokenizer"), "'BertJapaneseTokenizer'"),
    "bertweet": (edited(only(ROBERTA, "merges.txt"), "tokenizer_config.json", tokenizer_class="BertweetTokenizer"),
                 "'BertweetTokenizer'"),
    "code of its own": (edited(BERT, "tokenizer_config.json", auto_map={"AutoTokenizer": ["x.Y", None]}), "auto_map"),
    "xlm-r's model file": (with_model_file(whole("XLMRobertaModel")), "XLMRobertaTokenizer.*tokenizer.json"),
    "camembert's model file": (with_model_file(whole("CamembertModel")), "CamembertTokenizer"),
    "special tokens elsewhere": (whole("BertModel", tokenizer=lambda: program(template="[CLS] $B [SEP] $A [SEP]")),
                                 "post-processor makes"),
    "a lower-casing that is not there": (edited(
        edited(whole("BertModel", tokenizer=lambda: program(normalizer=normalizers.NFC())), "tokenizer_config.json",
               tokenizer_class="BertTokenizer"), "tokenizer_config.json", do_lower_case=True), "do_lower_case is true"),
    "a tokenizer too large": (edited(restored(BERT, lambda state: {
        **state, "embeddings.word_embeddings.weight": state["embeddings.word_embeddings.weight"][:50]}),
        "config.json", vocab_size=50), "ids and the model 50"),
    "two tensors for one place": (restored(BERT, lambda state: {**state, **prefixed("module.")(state)}), "two tensors"),
    "an unknown tensor of the body": (restored(BERT, lambda state: {
        **state, "encoder.layer.0.adapter.weight": torch.zeros(2, 2)}), "encoder.layer.0.adapter.weight"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_by_name(name, tmp_path):
    make, said = REFUSED[name]
    make(tmp_path)
    with pytest.raises(InputError, match=said) as caught:
        read(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name, said", [
    ("bert token classifier", "a token classifier"), ("bert multiple choice", "a multiple-choice head"),
    ("bert questions", "a question-answering head"), ("bert next sentence", "a next-sentence classifier"),
    ("roberta token classifier", "a token classifier"), ("roberta multiple choice", "a multiple-choice head")])
def test_other_heads_are_no_sequence_classifier(name, said, tmp_path, caplog):
    EQUAL[name](tmp_path)
    with pytest.raises(InputError, match="has no trained classifier head"):
        pipeline.open_model(tmp_path, "classifier")
    assert said in caplog.text


@pytest.mark.parametrize("name", ["untied, embeddings wanted", "untied, roberta"])
def test_an_untied_decoder_is_no_mlm_head(name, tmp_path, caplog):
    EQUAL[name](tmp_path)
    with pytest.raises(InputError, match="has no trained mlm head"):
        pipeline.open_model(tmp_path, "mlm")
    assert "MLM head is left out" in caplog.text


def test_settings_of_tokenizer_config_win_over_tokenizer_json(tmp_path, caplog):
    """As transformers 4 and 5 do for BertTokenizer."""
    edited(BERT, "tokenizer_config.json", do_lower_case=False)(tmp_path)
    peer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours = read(tmp_path).tokenizer
    assert [ours.encode(text) for text in TEXTS] == peer(TEXTS)["input_ids"]
    assert ours.encode("The Cat") != ours.encode("the cat") and "do_lower_case is false" in caplog.text


def test_code_of_the_models_own_is_not_run_and_that_is_said(tmp_path, caplog):
    """As in transformers, which asks for trust_remote_code and else takes its own class."""
    assert_equal(tmp_path, edited(BERT, "config.json", auto_map={"AutoModel": "modeling.MyModel"})(tmp_path))
    assert "auto_map names code of the model's own, which is not run" in caplog.text


# -- fairseq and GluonNLP ------------------------------------------------------------------------------------------

FAIRSEQ = (("attention.self.query", "self_attn.q_proj"), ("attention.self.key", "self_attn.k_proj"),
           ("attention.self.value", "self_attn.v_proj"), ("attention.output.dense", "self_attn.out_proj"),
           ("attention.output.LayerNorm", "self_attn_layer_norm"), ("intermediate.dense", "fc1"),
           ("output.dense", "fc2"), ("output.LayerNorm", "final_layer_norm"))


def fairseq_name(name: str) -> str:
    """fairseq's name of a tensor of RobertaForMaskedLM."""
    name = re.sub("^roberta.embeddings.word_embeddings", "encoder.sentence_encoder.embed_tokens", name)
    name = re.sub("^roberta.embeddings.position_embeddings", "encoder.sentence_encoder.embed_positions", name)
    name = re.sub("^roberta.embeddings.LayerNorm", "encoder.sentence_encoder.layernorm_embedding", name)
    name = re.sub("^roberta.encoder.layer.", "encoder.sentence_encoder.layers.", name)
    for theirs, ours in FAIRSEQ:
        name = name.replace(f".{theirs}.", f".{ours}.") if ".layers." in name else name
    return re.sub("^lm_head.decoder.weight", "lm_head.weight", re.sub("^lm_head", "encoder.lm_head", name)).replace(
        "encoder.lm_head.decoder.weight", "encoder.lm_head.weight")


def fairseq_file(options: Dict, num_heads=None, head="mlm", **changes) -> Callable[[pathlib.Path], Peer]:
    """A row: model.pt as fairseq's trainer writes it."""
    def make(folder):
        words = roberta_tokenizer()
        model = model_of("RobertaForMaskedLM", len(words), layer_norm_eps=1e-5, **changes)
        with torch.no_grad():
            model.roberta.embeddings.token_type_embeddings.weight.zero_()  # fairseq has none
        state = {fairseq_name(name): tensor for name, tensor in model.state_dict().items()
                 if "token_type" not in name and "position_ids" not in name and name != "lm_head.decoder.bias"}
        torch.save({**options, "model": state}, folder / "model.pt")
        only(lambda _: Peer(model, words), "merges.txt")(folder)
        return Peer(model, words, head, num_heads)
    return make


ARGS = {"encoder_attention_heads": 4, "activation_fn": "gelu", "dropout": 0.1, "arch": "roberta_base"}
FAIRSEQ_EQUAL = {
    "args": fairseq_file({"args": argparse.Namespace(**ARGS)}),
    "cfg, a namespace": fairseq_file({"args": None, "cfg": {"model": argparse.Namespace(**ARGS), "task": {}}}),
    "cfg, a dictionary": fairseq_file({"args": None, "cfg": {"model": {"_name": "roberta", **ARGS}}}),
    "no options, heads given": fairseq_file({}, num_heads=4),
    "untied": fairseq_file({"args": argparse.Namespace(**ARGS)}, head="encoder", **UNTIED),
}


@pytest.mark.parametrize("name", FAIRSEQ_EQUAL)
def test_fairseq(name, tmp_path):
    assert_equal(tmp_path, FAIRSEQ_EQUAL[name](tmp_path))


@pytest.mark.parametrize("options, said", [
    ({}, "does not say the number of heads"),
    ({"cfg": {"model": {**ARGS, "activation_fn": "relu"}}}, "activation_fn is 'relu'"),
    ({"cfg": {"model": {**ARGS, "activation_fn": "gelu_accurate"}}}, "activation_fn is 'gelu_accurate'"),
    ({"cfg": {"model": {**ARGS, "encoder_attention_heads": 5}}}, "not divisible")])
def test_fairseq_is_refused_by_name(options, said, tmp_path):
    fairseq_file(options)(tmp_path)
    with pytest.raises(InputError, match=said):
        read(tmp_path)


@pytest.mark.parametrize("types", [2, None])
def test_gluonnlp(types, tmp_path):
    """12 heads of size 4, as MiniLM's are of 32: they must be given, and are not guessed."""
    import gluonnlp

    H, V = 48, len(wordpieces()) if types else len(byte_parts()[0])
    options = {"num_layers": 2, "units": H, "hidden_size": 40, "num_heads": 12, "max_length": 64, "dropout": 0.0,
               **({} if types else {"layer_norm_eps": 1e-5})}
    encoder = gluonnlp.model.BERTEncoder(**options)
    peer = (gluonnlp.model.BERTModel(encoder, vocab_size=V, token_type_vocab_size=types, units=H, embed_size=H,
                                     use_pooler=False, use_decoder=False, use_classifier=False)
            if types else gluonnlp.model.RoBERTaModel(encoder, vocab_size=V, units=H, embed_size=H, use_decoder=False))
    peer.initialize(mx.init.Normal(0.1))
    ids, length = mx.nd.array([[5, 6, 7, 8, 9]]), mx.nd.array([5])
    second = mx.nd.array([[0, 0, 0, 1, 1]])
    want = peer(ids, second, length) if types else peer(ids, length)
    want = (want[0] if isinstance(want, (list, tuple)) else want).asnumpy()
    peer.save_parameters(str(tmp_path / "x.params"))
    only(lambda _: Peer(None, bert_tokenizer() if types else roberta_tokenizer()),
         *(["vocab.txt"] if types else ["merges.txt"]))(tmp_path)
    with pytest.raises(InputError, match="--num-heads"):
        read(tmp_path)
    model, tokenizer, _ = load(tmp_path, num_heads=12)
    got = model(ids, length, token_types=second).asnumpy()
    assert np.abs(got - want).max() < TOLERANCE and tokenizer.vocab_size == V

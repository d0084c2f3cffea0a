"""Vocabularies: lossless, equal to transformers', loadable from every layout of files, and clear about bad ones."""

import gzip
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bort_mx.data.tokenizers import ByteBPETokenizer, WordPieceTokenizer, load_tokenizer, train_sentencepiece
from bort_mx.errors import InputError

TEXTS = ["Hello world", " the  end\n", "", "don't stop",
         "It's 3.14, isn't it? \u00c9t\u00e9 na\u00efve \u4f60\u597d \U0001f600"]
WORDS = [f"word{a}{b}" for a, b in itertools.product("abcdefghij", "klmnopqrst")]
UNICODE = st.text(st.characters(blacklist_categories=("Cs",)), max_size=60)


@pytest.fixture(scope="module")
def roberta(shared):
    return load_tokenizer(shared / "data/vocab/roberta")


@pytest.fixture(scope="module")
def bert(shared):
    return load_tokenizer(shared / "data/vocab/bert_uncased/vocab.txt")


@pytest.fixture(scope="module")
def trained():
    return train_sentencepiece([" ".join(WORDS[i:i + 7]) + "." for i in range(90)], 400)


@pytest.fixture(scope="module")
def articles(shared):
    with gzip.open(shared / "data/pretrain/race_articles/train.txt.gz", "rt", encoding="utf-8") as file:
        return list(itertools.islice(file, 300))


def test_roberta_ids_are_the_published_ones(roberta):
    assert (roberta.vocab_size, roberta.kind, roberta.mask_token) == (50265, "byte-bpe", "<mask>")
    assert (roberta.bos_id, roberta.pad_id, roberta.eos_id, roberta.unk_id, roberta.mask_id) == (0, 1, 2, 3, 50264)
    assert roberta.special_ids == {0, 1, 2, 3, 50264}
    assert roberta.encode("Hello world") == [0, 31414, 232, 2]
    assert roberta.encode("Hello", " world") == [0, 31414, 2, 2, 232, 2]
    assert roberta.id_to_token(31414) == "Hello" and roberta.token_to_id("\u0120world") == 232


def test_articles_have_no_unknown_tokens_and_decode_to_themselves(roberta, articles):
    encoded = roberta.encode_batch(articles)
    assert not any(roberta.unk_id in ids for ids in encoded)
    assert [roberta.decode(ids) for ids in encoded] == articles


@settings(max_examples=200, deadline=None)
@given(text=UNICODE)
def test_byte_level_bpe_is_lossless_on_any_unicode(roberta, text):
    ids = roberta.encode(text, recognise_specials=False)
    assert roberta.decode(ids) == text
    assert roberta.special_ids.isdisjoint(ids[1:-1])


def test_roberta_equals_transformers(shared, roberta, articles):
    transformers = pytest.importorskip("transformers")
    folder = shared / "data/vocab/roberta"
    mask = transformers.AddedToken("<mask>", lstrip=True, special=True)  # as in the released roberta-base
    other = transformers.RobertaTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"), mask_token=mask)
    texts = [*TEXTS, *articles[:50], "The <mask> of the function", "<mask>", "a<mask> b <mask>."]
    assert [roberta.encode(text) for text in texts] == other(texts)["input_ids"]
    assert roberta.encode("one text", "another") == other("one text", "another")["input_ids"]
    for room in range(5, 14):
        cut = other("one rather long text here", "and another one", truncation="longest_first", max_length=room)
        assert roberta.encode("one rather long text here", "and another one", max_length=room) == cut["input_ids"]


@pytest.mark.parametrize("lower", [True, False])
def test_bert_equals_transformers(shared, articles, lower):
    transformers = pytest.importorskip("transformers")
    path = shared / "data/vocab/bert_uncased/vocab.txt"
    other = transformers.BertTokenizerFast(str(path), do_lower_case=lower)
    tokens = path.read_text(encoding="utf-8").splitlines()
    ours = WordPieceTokenizer(tokens, lower_case=lower)
    texts = [*TEXTS, *articles[:50], "The [MASK] of the function"]
    assert [ours.encode(text) for text in texts] == other(texts)["input_ids"]
    pair = other("one text", "another")
    assert ours.encode("one text", "another") == pair["input_ids"]
    assert ours.token_type_ids("one text", "another") == pair["token_type_ids"]


def test_bert_ids_types_and_decoding(bert):
    assert (bert.kind, bert.mask_token, bert.vocab_size) == ("wordpiece", "[MASK]", 30522)
    ids = bert.encode("H\u00e9llo WORLD", "there")
    assert ids == bert.encode("hello world", "there")
    assert bert.token_types(ids) == [0, 0, 0, 0, 1, 1]
    assert bert.decode(ids) == "hello world there"
    assert bert.decode(ids, skip_special_tokens=False) == "[CLS] hello world [SEP] there [SEP]"


def test_special_tokens_in_text_are_text_unless_asked_for(roberta, bert, trained):
    for tokenizer in (roberta, bert, trained):
        text = " ".join(tokenizer.id_to_token(i) for i in sorted(tokenizer.special_ids))
        bare = tokenizer.encode_batch([text], add_special_tokens=False)[0]
        assert tokenizer.special_ids.isdisjoint(bare)
        asked = tokenizer.encode(f"The {tokenizer.mask_token} of the function")
        assert asked.count(tokenizer.mask_id) == 1 and asked[-1] == tokenizer.eos_id
    assert roberta.decode(roberta.encode("a</s>b", recognise_specials=False)) == "a</s>b"


def test_trained_vocabulary_has_robertas_layout_and_loses_nothing(trained):
    assert (trained.bos_id, trained.pad_id, trained.eos_id, trained.unk_id, trained.mask_id) == (0, 1, 2, 3, 399)
    assert trained.vocab_size == 400
    for text in ["wordak wordbl.", "  two  spaces ", "\u00c9t\u00e9 \U0001f600\n\u4f60", "<s> & </s>"]:
        ids = trained.encode(text, recognise_specials=False)
        assert trained.decode(ids) == text and trained.unk_id not in ids
    assert trained.encode("a", "b")[:1] + trained.encode("a", "b")[-1:] == [0, 2]
    assert trained.decode(trained.encode("wordak <mask>"), skip_special_tokens=False).startswith("<s>wordak<mask>")


def test_training_is_deterministic_and_refuses_what_cannot_be(trained):
    again = train_sentencepiece((" ".join(WORDS[i:i + 7]) + "." for i in range(90)), 400)
    assert again.digest == trained.digest
    with pytest.raises(InputError, match="vocabulary of 5000 tokens"):
        train_sentencepiece(["too little text"], 5000)
    with pytest.raises(InputError, match="no text"):
        train_sentencepiece([], 400)


def test_a_vocabulary_in_training_is_stopped_as_anything_else():
    """The library turns what its iterator raises into an error of its own."""
    for error in (KeyboardInterrupt, MemoryError):
        def sentences(error=error):
            yield "some text"
            raise error
        with pytest.raises(error):
            train_sentencepiece(sentences(), 400)


def test_saved_vocabularies_load_again(roberta, bert, trained, tmp_path):
    cased = WordPieceTokenizer([bert.id_to_token(i) for i in range(bert.vocab_size)], lower_case=False)
    for tokenizer in (roberta, bert, cased, trained):
        folder = tmp_path / tokenizer.digest
        names = tokenizer.save(folder)
        assert sorted(names) == sorted(path.name for path in folder.iterdir())
        loaded = load_tokenizer(folder)
        assert loaded.digest == tokenizer.digest
        assert loaded.encode("Some Text \u00e9t\u00e9") == tokenizer.encode("Some Text \u00e9t\u00e9")
    assert len({t.digest for t in (roberta, bert, cased, trained)}) == 4


def test_fairseqs_files_and_tokenizer_json_give_the_same_vocabulary(shared, roberta, bert, tmp_path):
    transformers = pytest.importorskip("transformers")
    assert load_tokenizer(shared / "data/vocab/gpt2_bpe").digest == roberta.digest
    for name, tokenizer, loader in (("r", roberta, transformers.RobertaTokenizerFast),
                                    ("b", bert, transformers.BertTokenizerFast)):
        tokenizer.save(tmp_path / name)
        loader.from_pretrained(tmp_path / name).backend_tokenizer.save(str(tmp_path / name / "tokenizer.json"))
        loaded = load_tokenizer(tmp_path / name / "tokenizer.json")
        assert loaded.digest == tokenizer.digest


def test_an_uncased_vocabulary_is_told_from_a_cased_one(tmp_path):
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (tmp_path / "vocab.txt").write_text("\n".join([*specials, "paris", "Paris"]))
    assert load_tokenizer(tmp_path).encode("Paris paris")[1:-1] == [6, 5]
    (tmp_path / "vocab.txt").write_text("\n".join([*specials, "paris"]))
    assert load_tokenizer(tmp_path).encode("Paris paris")[1:-1] == [5, 5]


def test_bad_vocabularies_are_named(tmp_path):
    def message(path):
        with pytest.raises(InputError) as error:
            load_tokenizer(path)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "no such file" in message(tmp_path / "absent")
    assert "no vocabulary here" in message(tmp_path)
    vocab, merges = tmp_path / "vocab.json", tmp_path / "merges.txt"
    merges.write_text("#version: 0.2\na b c\n")
    vocab.write_text('{"a": 0, "b": 2}')
    assert "merges.txt:2" in message(tmp_path)
    merges.write_text("#version: 0.2\na b\n")
    assert "no token has id 1" in message(tmp_path)
    vocab.write_text('{"a": 0, "b": 0}')
    assert "two tokens have one id" in message(tmp_path)
    vocab.write_text('{"a": 0, "b": 1}')
    assert "lacks the special tokens <s>" in message(tmp_path)
    vocab.write_text("[1]")
    assert "expected one JSON object" in message(tmp_path)
    (tmp_path / "bad.model").write_bytes(b"not a model")
    assert "not a SentencePiece model" in message(tmp_path / "bad.model")
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\na\n")
    assert "vocab.txt:6: token 'a' stands twice" in message(tmp_path / "vocab.txt")
    (tmp_path / "vocab.txt").write_bytes(b"[PAD]\n\xff")
    assert "vocab.txt: not UTF-8 text, byte 0xff at byte offset 6" in message(tmp_path / "vocab.txt")


def test_merges_of_another_vocabulary_are_refused(roberta):
    with pytest.raises(InputError, match="do not match"):
        ByteBPETokenizer(json.loads(json.dumps(roberta._ids)), [("no", "suchmerge")])


def test_ids_outside_the_vocabulary_are_refused(trained):
    with pytest.raises(InputError, match="id 400 is outside"):
        trained.decode([400])

"""Ids word by word equal the library's on whole texts."""

import random
import string

import numpy as np
import pytest

from bort_mx.data.prepare.remembered_words import WHITE, RememberedWords, splits_at_spaces
from bort_mx.data.tokenizers import ByteBPETokenizer, WordPieceTokenizer, load_tokenizer, train_sentencepiece
from bort_mx.data.tokenizers.added_tokens import AddedToken

ODD = ["", " ", "a", " a", "a ", "a  b", "a\u00a0b c", "tab\there now", "line\nbreak here", "!!! ??? ...",
       "x" * 150 + " y", "don't 's 'twas rock'n'roll", "'s first", "x 's 't'll", "1,000.50 3rd 4 5",
       "Ünïcode naïve café", "ΟΔΟΣ ΟΔΟΣ.", "e\u0301te\u0301 e\u0301", "İstanbul I", "日本語 の 文 とpunctuation。",
       "<mask> </s> <s> [MASK] [SEP]", "emoji 👩‍👩‍👧 ok", "a\u200bb \u200bc", "\u3000wide \u3000 space",
       "end\u2028sep end", "a\x1cb c\x85d", "ﬁ ligature ²³ ½"]


@pytest.fixture(params=["roberta", "bert_uncased", "prefix", "cased"])
def tokenizer(request, shared):
    vocab = shared / "data/vocab"
    if request.param == "prefix":
        whole = load_tokenizer(vocab / "roberta")
        ids = {token: i for i, token in enumerate(whole._tokens)}
        return ByteBPETokenizer(ids, whole._merges(), add_prefix_space=True)
    if request.param == "cased":
        return WordPieceTokenizer(load_tokenizer(vocab / "bert_uncased")._tokens, lower_case=False, chinese=False)
    return load_tokenizer(vocab / request.param)


def encoded(remembered, texts):
    lengths, ids = remembered.encode(texts)
    return [row.tolist() for row in np.split(ids, np.cumsum(lengths))[:-1]]


def test_odd_texts_and_a_small_memory(tokenizer):
    assert splits_at_spaces(tokenizer)
    rng = random.Random(0)
    letters = string.ascii_letters + string.digits + string.punctuation + "éßÉıſǅ中あ\u0301\u200d\u00ad"
    words = ["".join(rng.choices(letters, k=rng.randint(1, 9))) for _ in range(300)]
    texts = [*ODD, *(" ".join(rng.choices(words + ODD, k=rng.randint(1, 12))) for _ in range(2000))]
    expected = tokenizer.encode_plain(texts)
    for most in (10 ** 6, 50):
        remembered = RememberedWords(tokenizer, most)
        assert [ids for i in range(0, len(texts), 97) for ids in encoded(remembered, texts[i:i + 97])] == expected
        assert encoded(remembered, texts) == expected and encoded(remembered, []) == []
        assert all(encoded(remembered, [text]) == [ids] for text, ids in zip(texts, expected))


def test_a_real_corpus(tokenizer, shared):
    text = (shared / "data/pretrain/one_billion_words/1b_benchmark.dev.tokens").read_text(encoding="utf-8")
    sentences = text.splitlines()[:3000]
    assert encoded(RememberedWords(tokenizer), sentences) == tokenizer.encode_plain(sentences)


def test_white_space_is_all_of_it():
    assert set(WHITE) == {chr(i) for i in range(0x110000) if chr(i).isspace()} - {" "}


def test_other_vocabularies_are_left_to_their_library():
    letters = list(string.ascii_lowercase)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    assert splits_at_spaces(WordPieceTokenizer(tokens))
    added = AddedToken("new york", len(tokens))
    assert not splits_at_spaces(WordPieceTokenizer(tokens, added=[added]))
    assert not splits_at_spaces(train_sentencepiece(["some text for a vocabulary"] * 3, 290))

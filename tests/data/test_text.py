"""The one cleaning of a text: what prepare makes of a sentence is what every other reader of texts makes of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bort_mx.data.encoding import encode_examples
from bort_mx.data.tasks import Example, get_task
from bort_mx.data.text import clean_sentences, clean_text
from bort_mx.data.tokenizers import load_tokenizer, train_sentencepiece

ODD = st.text(st.sampled_from("ab. \t\n\r\x0b\x00\u00a0\u2003\u200b\u2028\u3000\ufeff\x85\x1c"), max_size=30)


@pytest.mark.parametrize("text, clean", [
    ("good . ", "good ."), ("  two   spaces ", "two spaces"), ("a\tb\u00a0c\u3000d", "a b c d"),
    ("a\r\nb\rc\n", "a b c"), ("zero\u200bwidth\x07", "zerowidth"), ("", ""), (" \n ", ""),
    ("a" + " " * 9000 + "b", "a b"), ("\x07 a", "a"), ("a \u200b b", "a b")])
def test_a_text_is_one_line_of_words_with_single_spaces(text, clean):
    assert clean_text(text) == clean


@settings(max_examples=500, deadline=None)
@given(text=ODD)
def test_prepare_and_tasks_clean_alike(text):
    once = clean_text(text)
    assert clean_text(once) == once
    sentences, _ = clean_sentences(text, documents=False)
    assert " ".join(sentences) == once and all(clean_text(sentence) == sentence for sentence in sentences)


def test_sst2_ends_alike_in_all_splits(shared):
    """../shared/cases/05: a lone space token ended every text of train and dev and none of test."""
    tokenizer = load_tokenizer(shared / "data/vocab/roberta")
    lone = tokenizer.token_to_id("\u0120")
    for split in ("train", "dev", "test"):
        examples = get_task("SST-2").read(shared / "data", split)[:500]
        assert not any(tokenizer.encode(example.texts[0])[-2] == lone for example in examples)


def test_examples_given_from_anywhere_are_cleaned_before_they_are_encoded():
    tokenizer = train_sentencepiece(["some words to train a small vocabulary on"] * 3, 300)
    texts = [("  some\twords ", "to train\n"), ("some words", "to train")]
    odd, plain = encode_examples(tokenizer, [Example(0, pair) for pair in texts], 64).ids
    assert odd == plain
    long = encode_examples(tokenizer, [Example(0, ("some" + " " * 500 + "words",))], 64)
    assert long.truncated == 0 and long.ids[0] == tokenizer.encode("some words")
    assert np.array_equal(encode_examples(tokenizer, [Example(0, ("some",))], 4).ids[0][-1:], [tokenizer.eos_id])

"""A text with a mask has the ids that training sees: those of the whole text with one id replaced by the mask's."""

import io
import pathlib

import pytest
import sentencepiece

from bort_mx.checkpoints import huggingface_tokenizer
from bort_mx.data.tokenizers import SentencePieceTokenizer, train_sentencepiece

LINES = [f"The {animal} ate the {thing} , then it {verb} (slowly) . It's {verb}, again!"
         for animal in ("cat", "dog", "fox", "cow") for thing in ("fish", "corn", "leaf", "worm")
         for verb in ("slept", "sang", "ran")]


def of_library(**options):
    """A SentencePiece model as others train it."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=model, vocab_size=120, hard_vocab_limit=False, num_threads=1,
        minloglevel=2, bos_id=0, pad_id=1, eos_id=2, unk_id=3, **options)
    return SentencePieceTokenizer(model.getvalue())


@pytest.fixture(scope="module")
def vocabularies():
    return {"ours": train_sentencepiece(LINES, 330), "unigram, spaces stripped": of_library(model_type="unigram"),
            "bpe, spaces kept": of_library(model_type="bpe", remove_extra_whitespaces=False),
            "bpe, no first space": of_library(model_type="bpe", add_dummy_prefix=False, remove_extra_whitespaces=False)}


def masked(tokenizer, line):
    """(text with a mask, the ids due) for every piece of a line that is a word with its space, or a mark alone."""
    ids = tokenizer.encode(line, recognise_specials=False)
    pieces = [tokenizer.id_to_token(i) for i in ids[1:-1]]
    for place, piece in enumerate(pieces):
        before, after = "".join(pieces[:place]), "".join(pieces[place + 1:])
        if after[:1] in ("\u2581", ",", ".", "!", ")") and any(map(str.isalpha, piece)):
            begins = piece.startswith("\u2581") and before  # the mask takes the space before it
            text = before + ("\u2581" if begins else "") + "<mask>" + after
            yield text.replace("\u2581", " ").lstrip(" "), [*ids[:place + 1], tokenizer.mask_id, *ids[place + 2:]]


def test_a_mask_replaces_one_id_and_adds_none(vocabularies):
    for name, tokenizer in vocabularies.items():
        found = [pair for line in LINES for pair in masked(tokenizer, line)]
        assert len(found) > 300, name
        for text, due in found:
            assert tokenizer.encode(text) == due, (name, text)
            assert tokenizer.encode_around_masks(text.split("<mask>")) == due[1:-1], (name, text)


def test_the_converted_tokenizer_does_so_too(vocabularies, tmp_path):
    transformers = pytest.importorskip("transformers")
    texts = ["", " ", "<mask>", "a<mask>b", "<mask> the <mask>.", "a </s> the", "</s> the", "  two  spaces ",
             "<mask>  x", " The <mask>", " <mask> ,"]
    for number, (name, tokenizer) in enumerate(vocabularies.items()):
        huggingface_tokenizer.write(tmp_path / str(number), tokenizer, 64)
        peer = transformers.AutoTokenizer.from_pretrained(tmp_path / str(number))
        for text in [*LINES[:6], *texts, *(pair[0] for line in LINES[:6] for pair in masked(tokenizer, line))]:
            assert tokenizer.encode(text) == peer(text)["input_ids"], (name, text)


def test_the_case_as_it_was_reported(shared):
    """../shared/cases/01: a lone space piece followed every mask."""
    lines = pathlib.Path(shared / "cases/01-sp-fill-mask-extra-piece/t.txt").read_text(encoding="utf-8").split("\n")
    tokenizer = train_sentencepiece(lines, 320)
    due = tokenizer.encode("The cat ate the fish , then it slept .")
    due[due.index(tokenizer.token_to_id("\u2581ate"))] = tokenizer.mask_id
    assert tokenizer.encode("The cat <mask> the fish , then it slept .") == due

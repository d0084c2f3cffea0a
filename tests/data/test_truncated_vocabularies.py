"""Vocabularies that are no longer whole are refused; so is what cannot be trained, in plain words."""

import itertools
import shutil

import pytest
import tokenizers

from bort_mx.architecture import Architecture
from bort_mx.checkpoints import huggingface, load, read
from bort_mx.checkpoints.weights import Weights
from bort_mx.data.tokenizers import ByteBPETokenizer, WordPieceTokenizer, load_tokenizer, train_sentencepiece
from bort_mx.errors import InputError
from bort_mx.models import build_model, parameters_of


def byte_level(folder, merged=400, kept=400):
    """A byte-level vocabulary of 256 bytes and `merged` merges, of which the file keeps the first."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    pairs = list(itertools.islice(itertools.product(alphabet[:26], repeat=2), merged))
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *alphabet, *(a + b for a, b in pairs), "<mask>"]
    ByteBPETokenizer({token: i for i, token in enumerate(tokens)}, pairs).save(folder)
    lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    (folder / "merges.txt").write_text("\n".join(lines[:kept + 1]) + "\n", encoding="utf-8")


def test_merges_that_reach_a_part_of_the_vocabulary_are_refused(tmp_path, shared):
    """Case 16's sibling."""
    byte_level(tmp_path)
    load_tokenizer(tmp_path)
    byte_level(tmp_path, kept=390)
    load_tokenizer(tmp_path)  # a handful may be added otherwise
    byte_level(tmp_path, kept=300)
    with pytest.raises(InputError, match="merges.txt: makes 300 of the 400 tokens of several bytes .* broke off"):
        load_tokenizer(tmp_path)
    shutil.copytree(shared / "data/vocab/roberta", tmp_path / "roberta")
    load_tokenizer(tmp_path / "roberta")
    lines = (tmp_path / "roberta/merges.txt").read_text(encoding="utf-8").split("\n")
    (tmp_path / "roberta/merges.txt").write_text("\n".join(lines[:20_000]), encoding="utf-8")
    with pytest.raises(InputError, match="merges.txt: makes 19,997 of the 49,997 tokens"):
        load_tokenizer(tmp_path / "roberta")


@pytest.mark.parametrize("rows, refused", [(600, False), (640, False), (855, False), (856, True), (9000, True)])
def test_a_vocabulary_shorter_than_the_models_table_is_refused(tmp_path, rows, refused):
    """Case 16; tables that are rounded up are none."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{i}" for i in range(595))]
    tokenizer = WordPieceTokenizer(tokens)
    model = build_model(Architecture(1, 2, 16, 24), rows, num_positions=32, family="bert")
    tensors = {name: parameter.data().asnumpy() for name, parameter in parameters_of(model).items()}
    huggingface.write(tmp_path, Weights(model.config, tensors, tokenizer, "here"))
    tokenizer.save(tmp_path)
    if refused:
        with pytest.raises(InputError, match=f"the tokenizer has 600 ids and the model {rows:,}; is its vocabulary"):
            read(tmp_path)
    else:
        assert load(tmp_path)[1].vocab_size == 600


def test_a_vocabulary_that_is_too_large_for_the_text_is_said_in_plain_words():
    with pytest.raises(InputError) as caught:
        train_sentencepiece(["too little text"], 5000, "a.txt")
    most = int(str(caught.value).split(" gives ")[1].split()[0])
    assert str(caught.value) == (f"a.txt: cannot train a vocabulary of 5000 tokens on it: the text gives {most} at "
                                 "most; lower --train-vocab, or give more text")
    assert train_sentencepiece(["too little text"], most).vocab_size == most
    with pytest.raises(InputError, match="its characters alone are more; raise --train-vocab"):
        train_sentencepiece(["".join(map(chr, range(0x4e00, 0x4e00 + 900)))], 400)

"""Folders that transformers writes, with small models and vocabularies, and the comparison of outputs with ours."""

import json
import os
import pathlib
import re
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

import numpy as np
import pytest

from bort_mx.checkpoints import load
from bort_mx.inference import engines

os.environ["HF_HUB_OFFLINE"] = "1"
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")
from safetensors.torch import save_file, save_model  # noqa: E402
from tokenizers import models, normalizers, pre_tokenizers, processors  # noqa: E402

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
TOLERANCE = 1e-5
TEXTS = ["The cat sat on the mat, and it slept.", "D\u00e9j\u00e0 vu: the Caf\u00e9 opened at 10:30 in 2021!",
         "UPPER and lower  two spaces", "\u4f60\u597d, it's na\u00efve \U0001f600", " a leading space"]
PAIR = ("Is the cat on the mat?", "The cat slept on the mat.")
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = "the cat sat on mat and it slept is a caf\u00e9 cafe deja vu opened at in to of upper The Cat lower two".split()
LETTERS = [chr(c) for c in range(33, 127)] + ["\u00e9", "\u00e0", "\u4f60", "\u597d", "\u00ef"]


class Peer(NamedTuple):
    """What a row of the table made, for the comparison."""

    model: Any
    tokenizer: Any
    head: str = "encoder"
    num_heads: Optional[int] = None


# -- tokenizers of others ------------------------------------------------------------------------------------------


def wordpieces():
    return {token: i for i, token in enumerate(dict.fromkeys(
        [*SPECIALS, *LETTERS, *WORDS, *(f"##{letter}" for letter in LETTERS), "##s", "##ed"]))}


def bert_tokenizer(**options):
    return transformers.BertTokenizer(vocab=wordpieces(), **options)


def byte_parts():
    """A byte-level vocabulary in RoBERTa's layout, and its merges."""
    merges = [("t", "h"), ("\u0120", "th"), ("\u0120th", "e"), ("a", "t"), ("c", "at"), ("\u0120", "cat"),
              ("s", "l"), ("e", "p"), ("sl", "ep"), ("\u0120", "a")]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet()),
              *("".join(pair) for pair in merges), "<mask>"]
    return {token: i for i, token in enumerate(tokens)}, merges


def roberta_tokenizer(**options):
    vocab, merges = byte_parts()
    mask = transformers.AddedToken("<mask>", lstrip=True, special=True)
    return transformers.RobertaTokenizer(vocab=vocab, merges=merges, mask_token=mask, **options)


def unigram(specials):
    pieces = [(token, 0.0) for token in specials]
    pieces += [(f"\u2581{word}", -3.0 - i / 50) for i, word in enumerate(WORDS)]
    return [*pieces, ("\u2581", -5.0), *((letter, -8.0 - i / 99) for i, letter in enumerate(LETTERS)), ("<mask>", 0.0)]


def xlmr_tokenizer():
    return transformers.XLMRobertaTokenizer(vocab=unigram(["<s>", "<pad>", "</s>", "<unk>"]))


def camembert_tokenizer():
    return transformers.CamembertTokenizer(
        vocab=unigram(["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>"]))


def program(model=None, normalizer=None, splitter=None, template=True, bert=True, **options):
    """A tokenizer.json of one's own, run by PreTrainedTokenizerFast."""
    rust = tokenizers.Tokenizer(model or models.WordPiece(wordpieces(), unk_token="[UNK]"))
    if normalizer is not None:
        rust.normalizer = normalizer
    rust.pre_tokenizer = splitter or pre_tokenizers.BertPreTokenizer()
    bos, eos = ("[CLS]", "[SEP]") if bert else ("<s>", "</s>")
    if template:
        pair = f"{bos} $A {eos} $B:1 {eos}:1" if bert else f"{bos} $A {eos} {eos} $B {eos}"
        rust.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A {eos}", pair=pair if template is True else template,
            special_tokens=[(token, rust.token_to_id(token)) for token in (bos, eos)])
    names = ("[UNK]", "[PAD]", "[MASK]") if bert else ("<unk>", "<pad>", "<mask>")
    return transformers.PreTrainedTokenizerFast(tokenizer_object=rust, cls_token=bos, sep_token=eos, unk_token=names[0],
                                                pad_token=names[1], mask_token=names[2], **options)


# -- models of others ----------------------------------------------------------------------------------------------

FAMILIES = {"Bert": {}, "Roberta": {"max_position_embeddings": 66, "pad_token_id": 1, "type_vocab_size": 1},
            "XLMRoberta": {"max_position_embeddings": 66, "pad_token_id": 1, "type_vocab_size": 1},
            "Camembert": {"max_position_embeddings": 66, "pad_token_id": 1, "type_vocab_size": 1}}
TOKENIZERS = {"Bert": bert_tokenizer, "Roberta": roberta_tokenizer, "XLMRoberta": xlmr_tokenizer,
              "Camembert": camembert_tokenizer}


def model_of(name: str, vocab_size: int, options: Optional[Dict] = None, **changes):
    """A transformers model with random weights, biases and LayerNorms too."""
    family = next(family for family in ("XLMRoberta", "Camembert", "Roberta", "Bert") if name.startswith(family))
    config = getattr(transformers, f"{family}Config")(**{
        "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32, "intermediate_size": 40,
        "vocab_size": vocab_size, "max_position_embeddings": 64, **FAMILIES[family], **changes})
    model = getattr(transformers, name)(config, **(options or {})).eval()
    randomize(model)
    return model


def randomize(model) -> None:
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1 + (parameter == 1))


def whole(name: str, head="encoder", tokenizer: Optional[Callable] = None, options=None,
          **changes) -> Callable[[pathlib.Path], Peer]:
    """A row: model and tokenizer by save_pretrained."""
    def make(folder):
        family = next(family for family in ("XLMRoberta", "Camembert", "Roberta", "Bert") if name.startswith(family))
        words = (tokenizer or TOKENIZERS[family])()
        model = model_of(name, len(words), options, **changes)
        model.save_pretrained(folder)
        words.save_pretrained(folder)
        return Peer(model, words, head)
    return make


def edited(make, file: str, **values) -> Callable[[pathlib.Path], Peer]:
    """A row whose JSON file is changed after the peer wrote it; None removes a key."""
    def made(folder):
        peer = make(folder)
        before = json.loads((folder / file).read_text()) if (folder / file).is_file() else {}
        after = {key: value for key, value in {**before, **values}.items() if value is not None}
        (folder / file).write_text(json.dumps(after))
        return peer
    return made


def restored(make, change: Callable, bin_too: bool = False) -> Callable[[pathlib.Path], Peer]:
    """A row whose tensors are changed: `change` gets the state dictionary."""
    def made(folder):
        peer = make(folder)
        state = change({name: tensor.clone() for name, tensor in peer.model.state_dict().items()})
        (folder / "model.safetensors").unlink()
        if bin_too:
            torch.save(state, folder / "pytorch_model.bin")
        else:
            save_file({name: tensor.clone().contiguous() for name, tensor in state.items()},
                      folder / "model.safetensors")
        return peer
    return made


def prefixed(*prefixes: str) -> Callable:
    return lambda state: {"".join(prefixes) + name: tensor for name, tensor in state.items()}


def shared_once(make) -> Callable[[pathlib.Path], Peer]:
    """A row by safetensors' save_model, which keeps one name of a shared tensor."""
    def made(folder):
        peer = make(folder)
        save_model(peer.model, str(folder / "model.safetensors"))
        return peer
    return made


def saved(make, how: str) -> Callable[[pathlib.Path], Peer]:
    """A row in another layout of files."""
    def made(folder):
        peer = make(folder)
        if how in ("half", "bfloat16"):
            peer.model.to(getattr(torch, "float16" if how == "half" else how)).save_pretrained(folder)
            peer.model.float()
        elif how == "sharded":
            (folder / "model.safetensors").unlink()
            peer.model.save_pretrained(folder, max_shard_size="40KB")
        else:
            (folder / "model.safetensors").unlink()
            torch.save(peer.model.state_dict(), folder / "pytorch_model.bin",
                       _use_new_zipfile_serialization=how == "bin")
        return peer
    return made


def only(make, *names: str) -> Callable[[pathlib.Path], Peer]:
    """A row without the tokenizer's other files than these, and with plain files of the vocabulary if named."""
    def made(folder):
        peer = make(folder)
        vocab = peer.tokenizer.get_vocab()
        lines = sorted(vocab, key=vocab.get)
        if "vocab.txt" in names:
            (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        if "merges.txt" in names:
            (folder / "vocab.json").write_text(json.dumps(byte_parts()[0]))
            (folder / "merges.txt").write_text("\n".join(" ".join(pair) for pair in byte_parts()[1]) + "\n")
        for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            if name not in names and (folder / name).is_file():
                (folder / name).unlink()
        return peer
    return made


def padded(multiple: int) -> Callable[[pathlib.Path], Peer]:
    """A row whose embedding is rounded up."""
    def make(folder):
        peer = whole("BertForMaskedLM", "mlm")(folder)
        peer.model.resize_token_embeddings(pad_to_multiple_of=multiple)
        randomize(peer.model)
        peer.model.save_pretrained(folder)
        assert peer.model.config.vocab_size % multiple == 0
        return peer
    return make


def old_names(state):
    return {re.sub("LayerNorm.weight$", "LayerNorm.gamma", re.sub("LayerNorm.bias$", "LayerNorm.beta", name)): tensor
            for name, tensor in state.items()}


def foreign(name: str, **options) -> Callable[[pathlib.Path], None]:
    """A row of another family, to be refused."""
    def make(folder):
        config = getattr(transformers, f"{name}Config")(vocab_size=50, **options)
        getattr(transformers, f"{name}Model")(config).save_pretrained(folder)
    return make


def added(make_tokenizer):
    def make():
        words = make_tokenizer()
        words.add_tokens(["zebra", transformers.AddedToken("mat", single_word=True, lstrip=True)])
        words.add_special_tokens({"additional_special_tokens": ["[E1]"]})
        return words
    return make


def byte_program(normalizer=None, splitter=None):
    vocab, merges = byte_parts()
    return lambda: program(models.BPE(vocab, merges), normalizer, splitter or pre_tokenizers.ByteLevel(
        add_prefix_space=False), bert=False)


def bpe_words():
    tokens = dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", *LETTERS, "th", "the", "at", "<mask>"])
    return program(models.BPE({token: i for i, token in enumerate(tokens)}, [("t", "h"), ("th", "e"), ("a", "t")],
                              unk_token="<unk>"), normalizers.NFC(), pre_tokenizers.Whitespace(), bert=False)


def short_words():
    return program(models.WordPiece(wordpieces(), unk_token="[UNK]", max_input_chars_per_word=4),
                   normalizers.BertNormalizer(lowercase=True))


# -- the comparison ----------------------------------------------------------------------------------------------------


def flat(array, head: str, ids, mask_id: int) -> np.ndarray:
    """What is compared: states, logits at masks, or logits of a class."""
    array = np.asarray(array, np.float64)[0]
    return array[np.asarray(ids) == mask_id] if head == "mlm" else array


def outputs_of(peer: Peer, text: str, pair: Optional[str]) -> Tuple[list, np.ndarray]:
    """Ids and output of the peer for one text or pair."""
    encoded = peer.tokenizer(text, pair, return_tensors="pt")
    model = peer.model.base_model if peer.head == "encoder" else peer.model
    with torch.no_grad():
        result = model(**encoded)
    ids = encoded["input_ids"][0].tolist()
    output = result.last_hidden_state if peer.head == "encoder" else (
        result.logits if "logits" in result else result.prediction_logits)
    return ids, flat(output.numpy(), peer.head, ids, peer.tokenizer.mask_token_id)


def assert_equal(folder: pathlib.Path, peer: Peer) -> float:
    """The largest difference of our outputs from the peer's over texts and a pair."""
    model, tokenizer, config = load(folder, peer.head, num_heads=peer.num_heads)
    assert model.initialized == []
    mask = f" the {tokenizer.mask_token} sat" if peer.head == "mlm" else ""
    worst = 0.0
    for text, pair in [*((text, None) for text in TEXTS), PAIR]:
        ids, want = outputs_of(peer, text + mask, pair)
        ours = tokenizer.encode(text + mask, pair)
        assert ours == ids, (text, tokenizer.decode(ours), peer.tokenizer.decode(ids))
        types = np.array([tokenizer.token_types(ours)]) if config.token_types > 1 else None
        got = engines.forward(model, np.array([ours]), np.array([len(ours)]), types=types)
        worst = max(worst, float(np.abs(flat(got, peer.head, ours, tokenizer.mask_id) - want).max()))
    assert worst < TOLERANCE, worst
    return worst

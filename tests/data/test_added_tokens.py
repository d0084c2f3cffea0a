"""Tokens added to a vocabulary: found as transformers finds them, whichever of its files tell of them."""

import itertools
import json
import pathlib

import pytest

from bort_mx.checkpoints import convert
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints.loading import read
from bort_mx.checkpoints.tokenizer_files import read_tokenizer
from bort_mx.checkpoints.weights import Weights
from bort_mx.data.masking import MaskingVocabulary
from bort_mx.data.tokenizers import Tokenizer, load_tokenizer, train_sentencepiece
from bort_mx.errors import InputError

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TEXTS = ["the covid19 [E1] cat", "COVID19 and Covid19s", "anti<ent>covid19covid19", " <ent>  the", "the <ent> <ent>cat",
         "[E1]the[E1] cat [e1]", "d\u00e9j\u00e0-vu", "", "tacat cat", "the [MASK] <mask> cat", "naso  <ent>\n",
         "covid covid1"]


def byte_level(folder: pathlib.Path) -> None:
    """RoBERTa's layout: bytes as characters, a few merges."""
    from tokenizers.pre_tokenizers import ByteLevel

    tokens = ["<s>", "<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet()), "th", "the", "at", "cat", "<mask>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\nt h\nth e\na t\nc at\n")
    config = {"model_type": "roberta", "vocab_size": len(tokens)}
    (folder / "config.json").write_text(json.dumps(config))


def wordpiece(folder: pathlib.Path) -> None:
    """BERT's layout, uncased."""
    tokens = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{c}" for c in LETTERS),
              *"0123456789[]<>-", *(f"##{c}" for c in "0123456789"), "the", "cat"]
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "vocab_size": len(tokens)}))


def add(folder: pathlib.Path, contents, how: str, flags=None) -> None:
    """Write the files of one generation of transformers; the last of `contents` is special."""
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    ids = {content: size + i for i, content in enumerate(contents)}
    lists = {"additional_special_tokens": contents[-1:]}
    if how == "added_tokens.json":
        (folder / "added_tokens.json").write_text(json.dumps(ids))
        lists = {"extra_special_tokens": contents[-1:]}  # the other name in this file, transformers 5 reads too late
        (folder / "special_tokens_map.json").write_text(json.dumps(lists))
    else:
        every = {str(i): {"content": text, "lstrip": False, "rstrip": False, "single_word": False,
                          "normalized": text not in contents[-1:], "special": text in contents[-1:],
                          **(flags or {})} for text, i in ids.items()}
        (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": every, **lists}))


LAYOUTS = {"byte-bpe": byte_level, "wordpiece": wordpiece}
CONTENTS = ["covid19", "d\u00e9j\u00e0", "<ent>", "[E1]"]


def peer_of(folder: pathlib.Path):
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(folder)


def assert_equal(ours: Tokenizer, folder: pathlib.Path) -> None:
    """Equal to transformers' tokenizer of the same folder."""
    peer = peer_of(folder)
    mark = ours.mask_token
    texts = [text.replace("[MASK]", mark).replace("<mask>", mark) for text in TEXTS]
    if ours.kind == "byte-bpe":  # without lstrip, transformers' mask of a bare vocab.json leaves its space in front
        texts = [text for text in texts if mark not in text]
    assert len(peer) == ours.vocab_size
    for text in texts:
        assert ours.encode(text) == peer(text)["input_ids"], text
        assert ours.encode(text, "a cat") == peer(text, "a cat")["input_ids"], text


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("how", ["added_tokens.json", "tokenizer_config.json"])
def test_added_tokens_are_found_as_transformers_finds_them(layout, how, tmp_path):
    LAYOUTS[layout](tmp_path)
    bare = load_tokenizer(tmp_path)
    add(tmp_path, CONTENTS, how)
    ours = load_tokenizer(tmp_path)
    assert [token.content for token in ours.added] == CONTENTS
    assert [token.special for token in ours.added] == [False, False, False, True]
    assert ours.vocab_size == bare.vocab_size + 4 and ours.digest != bare.digest
    assert ours.special_ids == bare.special_ids | {ours.vocab_size - 1}
    assert_equal(ours, tmp_path)
    ids = ours.encode("the [E1] covid19 d\u00e9j\u00e0", recognise_specials=False)
    assert "d\u00e9j\u00e0" in ours.decode(ids) and "[E1]" not in ours.decode(ids)
    assert "[E1]" in ours.decode(ids, skip_special_tokens=False)
    assert ours.encode_batch(TEXTS) == [ours.encode(text, recognise_specials=False) for text in TEXTS]
    assert ours.vocab_size - 1 in ours.encode("the [E1] cat", recognise_specials=False)  # corpora have markup too
    assert not MaskingVocabulary.of(ours).maskable[ours.vocab_size - 1]


@pytest.mark.parametrize("flags", [dict(zip(("lstrip", "rstrip", "single_word"), values))
                                   for values in itertools.product([False, True], repeat=3)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_flags_of_added_tokens(layout, flags, tmp_path):
    LAYOUTS[layout](tmp_path)
    add(tmp_path, CONTENTS, "tokenizer_config.json", flags)
    assert_equal(load_tokenizer(tmp_path), tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tokenizer_json_tells_of_added_tokens_beside_the_vocabularys_files_and_alone(layout, tmp_path):
    LAYOUTS[layout](tmp_path)
    peer = peer_of(tmp_path)
    peer.add_tokens(CONTENTS[:3])
    peer.add_special_tokens({"additional_special_tokens": CONTENTS[3:]})
    for name, kept in (("both", ("vocab.json", "merges.txt", "vocab.txt")), ("alone", ())):
        folder = tmp_path / name
        peer.save_pretrained(folder)
        for path in tmp_path.iterdir():
            if path.name in (*kept, "config.json"):
                (folder / path.name).write_bytes(path.read_bytes())
        ours = load_tokenizer(folder)
        assert ours.vocab_size == len(peer) and [token.content for token in ours.added] == CONTENTS
        assert_equal(ours, folder)


def test_special_tokens_of_the_vocabulary_and_new_ones_without_an_id(tmp_path):
    wordpiece(tmp_path)
    size = json.loads((tmp_path / "config.json").read_text())["vocab_size"]
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"additional_special_tokens": ["[unused0]", "<new>"]}))
    ours = load_tokenizer(tmp_path)
    assert ours.encode("the [unused0]cat")[2:3] == [1] and ours.encode("<new>")[1:-1] == [size]
    assert_equal(ours, tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_added_tokens_are_saved_and_converted(layout, tmp_path):
    (tmp_path / "hf").mkdir()
    LAYOUTS[layout](tmp_path / "hf")
    add(tmp_path / "hf", CONTENTS, "added_tokens.json")
    ours = load_tokenizer(tmp_path / "hf")
    names = ours.save(tmp_path / "saved")
    assert sorted(names) == sorted(path.name for path in (tmp_path / "saved").iterdir())
    assert "added_tokens.json" in names
    assert load_tokenizer(tmp_path / "saved").digest == ours.digest

    from bort_mx.architecture import Architecture
    from bort_mx.models import build_model
    model = build_model(Architecture(1, 2, 8, 8), ours.vocab_size, "mlm", num_positions=32,
                        family="bert" if layout == "wordpiece" else "roberta")
    weights = Weights(model.config, checkpoint_directory.tensors_of(model), ours, "test")
    convert.convert(weights, tmp_path / "converted", "hf")
    assert read(tmp_path / "converted").tokenizer.digest == ours.digest
    assert_equal(ours, tmp_path / "converted")
    V = ours.vocab_size
    with pytest.raises(InputError, match=f"the tokenizer has {V} ids and the model {V - 1}"):
        read_tokenizer(tmp_path / "hf", V - 1)


@pytest.mark.parametrize("name, content, said", [
    ("added_tokens.json", {"X": 200}, "the added token 'X' has id 200, but the next is"),
    ("added_tokens.json", {"X": 3}, "the added token 'X' has id 3, but that is '[CLS]'"),
    ("added_tokens.json", {"cat": 3}, "the added token 'cat' has id 3, but in the vocabulary it is"),
    ("added_tokens.json", {"X": "3"}, "added_tokens.json: added token 'X': its id is '3'; it must be a whole number"),
    ("added_tokens.json", ["X"], "added_tokens.json: not a JSON object"),
    ("special_tokens_map.json", {"additional_special_tokens": [3]}, "additional_special_tokens: expected tokens"),
    ("special_tokens_map.json", {"additional_special_tokens": "[E1]"}, "additional_special_tokens: expected a list"),
    ("tokenizer_config.json", {"added_tokens_decoder": {"x": {"content": "X"}}}, "its id is 'x'"),
    ("tokenizer_config.json", {"added_tokens_decoder": {"9": "X"}}, "expected tokens with their content, found 'X'"),
    ("tokenizer_config.json", {"added_tokens_decoder": {"9": {"content": "X", "lstrip": 1}}}, "lstrip is 1"),
    ("tokenizer_config.json", {"added_tokens_decoder": ["X"]}, "expected id: token"),
    ("tokenizer.json", {"added_tokens": [{"content": ""}]}, "must be a text that is not empty"),
    ("tokenizer.json", {"added_tokens": 3}, "added_tokens: expected a list"),
])
def test_ill_formed_files_are_named(name, content, said, tmp_path):
    wordpiece(tmp_path)
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        load_tokenizer(tmp_path)
    assert said in str(error.value) and str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_files_of_two_tokenizers_are_refused(tmp_path):
    wordpiece(tmp_path)
    add(tmp_path, ["X", "Y"], "added_tokens.json")
    add(tmp_path, ["Y", "X"], "tokenizer_config.json")
    with pytest.raises(InputError, match="token 'Y' has id .*added_tokens.json; keep the files of one tokenizer"):
        load_tokenizer(tmp_path)


def test_tokens_added_to_a_sentencepiece_model_are_refused(tmp_path):
    tokenizer = train_sentencepiece(["the quick brown fox jumps over the lazy dog"] * 3, 300)
    tokenizer.save(tmp_path)
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<mask>": 299}))
    assert load_tokenizer(tmp_path).digest == tokenizer.digest
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<mask>": 299, "X": 300}))
    with pytest.raises(InputError, match="token 'X' was added as id 300"):
        load_tokenizer(tmp_path)


def whole_tokenizer(folder: pathlib.Path) -> None:
    """A tokenizer.json of a few words, with BERT's special tokens."""
    import tokenizers

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]
    program = tokenizers.Tokenizer(tokenizers.models.WordPiece({token: i for i, token in enumerate(tokens)}))
    program.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    program.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    program.save(str(folder / "tokenizer.json"))


def without_unknown(folder: pathlib.Path) -> None:
    path = folder / "tokenizer.json"
    program = json.loads(path.read_text())
    program["model"]["unk_token"] = "[NONE]"
    path.write_text(json.dumps(program))


@pytest.mark.parametrize("settings, said", [
    ({"model_input_names": 3.5}, "model_input_names is 3.5; expected a list of names"),
    ({"cls_token": ["[CLS]"]}, r"cls_token is \['\[CLS\]'\]; expected a token")])
def test_settings_of_another_type_are_named(settings, said, tmp_path):
    whole_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match=said):
        load_tokenizer(tmp_path)


def test_a_program_that_fails_only_on_some_texts_is_told_in_one_line(tmp_path):
    """Without the unknown token, words of the vocabulary are encoded and others are not."""
    whole_tokenizer(tmp_path)
    assert load_tokenizer(tmp_path).encode("a b zebra") == [2, 5, 6, 1, 3]
    without_unknown(tmp_path)
    with pytest.raises(InputError, match="fails on a text|cannot run it"):
        load_tokenizer(tmp_path).encode("zebra")

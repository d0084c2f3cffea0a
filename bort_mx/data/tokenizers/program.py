"""A tokenizer.json, run by the `tokenizers` library as it stands: normalizer, pre-tokenizer, model and added tokens.

The special tokens around a text are put there by this program, as its tasks cut and pack ids. So the post-processor of
the file must make one of the two known formats, and is refused otherwise: `<s> A </s></s> B </s>` of RoBERTa, or
`[CLS] A [SEP] B [SEP]` of BERT.
"""

import functools
import json
import pathlib
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import tokenizers

from bort_mx.data.tokenizers.added_tokens import AddedToken, numbered
from bort_mx.data.tokenizers.base import Tokenizer, canonical_bytes
from bort_mx.errors import InputError
from bort_mx.io import files

PROGRAM = "tokenizer.json"
ROBERTA_SPECIALS = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask>"}
BERT_SPECIALS = {"bos": "[CLS]", "pad": "[PAD]", "eos": "[SEP]", "unk": "[UNK]", "mask": "[MASK]"}
_BERT_NORMALIZER = {"type": "BertNormalizer", "clean_text": True}
_BERT_MODEL = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
               "max_input_chars_per_word": 100}


class Layout(NamedTuple):
    """Where special tokens stand: after how many `eos` the second text begins, and whether its token type is 1."""

    bos: str
    eos: str
    separators: int
    typed: bool


class ProgramTokenizer(Tokenizer):
    """A tokenizer that the library runs.

    Args:
        program: the contents of a tokenizer.json. Its post_processor may be None: then the layout of the kind is set.
        specials: the five special tokens by name, as `ROBERTA_SPECIALS`. Where there is a post-processor, its bos and
            eos must be these.
        source: the file to name in errors.
        added: tokens that are found in texts before they are cut into words, instead of the program's own.
        typed: False: the second text of a pair has token type 0 all the same.
    Raises:
        InputError: a program that the library refuses, a post-processor of another layout, special tokens that are
            missing, ids with gaps.
    """

    def __init__(self, program: Dict, specials: Dict[str, str], source: str, added: Sequence[AddedToken] = (),
                 typed: bool = True):
        self.kind = kind_of(program)
        self._joint = " " if self.kind == "wordpiece" else ""
        own = tokens_of(program)
        super().__init__(numbered(own, added, source), specials, source, added, max(own, default=-1) + 1)
        five = {self._ids[token]: AddedToken(token, self._ids[token], special=True, normalized=False,
                                             lstrip=name == "mask" and self.kind != "wordpiece")
                for name, token in specials.items()}
        said = {token.id: token for token in added if token.id in five}
        self._flagged = tuple(said[i] for i in sorted(said) if said[i] != five[i])  # five that are found otherwise
        found = sorted([*{**five, **said}.values(), *self.added], key=lambda token: token.id)
        # The library leaves its special tokens unread where they are not asked for: that is right for the five alone.
        program = {**program, "truncation": None, "padding": None, "added_tokens": [
            {"id": token.id, "content": token.content, **token.flags(), "special": token.id in five}
            for token in found]}
        if program.get("post_processor") is None:
            program["post_processor"] = template(self, self.kind == "wordpiece")
        self._rust = _run(program, source)
        layout = layout_of(self._rust, source)
        if (layout.bos, layout.eos) != (specials["bos"], specials["eos"]):
            raise InputError(f"{source}: the post-processor sets {layout.bos} and {layout.eos} around a text, and the "
                             f"special tokens are {specials['bos']} and {specials['eos']}; make them agree")
        self.has_token_types, self._typed = layout.separators == 1, layout.typed and typed
        self._specials = specials
        self._plain_form = _plain_form(program, own, specials, layout)
        self._rust.encode_special_tokens = True

    @property
    def is_plain(self) -> bool:
        """Whether it is what a vocabulary's plain files say: RoBERTa's byte-level BPE, or BERT's WordPiece."""
        return self._plain_form is not None

    @property
    def gives_token_types(self) -> bool:
        """As `Tokenizer`'s; not where model_input_names leaves token_type_ids out."""
        return self.has_token_types and self._typed

    @functools.cached_property
    def _aware(self) -> tokenizers.Tokenizer:
        """The same tokenizer, but one that reads special tokens written in a text."""
        aware = tokenizers.Tokenizer.from_str(self._rust.to_str())
        aware.encode_special_tokens = False
        return aware

    def encode_plain(self, texts: List[str]) -> List[List[int]]:
        """As `Tokenizer`'s."""
        return _encoded(self._rust, texts)

    def encode_with_begins(self, text: str) -> Tuple[List[int], List[int]]:
        """Ids of one text, as `encode_plain`'s, and for each the place in the text where it begins."""
        (encoding,) = _encodings(self._rust.encode_batch, [text])
        return encoding.ids, [begin for begin, _ in encoding.offsets]

    def _encode_with_specials(self, texts: List[str]) -> List[List[int]]:
        return _encoded(self._aware, texts)

    def token_types(self, ids: Sequence[int]) -> List[int]:
        """As `Tokenizer`'s; all 0 where the second text of a pair has none of its own."""
        return super().token_types(ids) if self._typed else [0] * len(ids)

    def program(self) -> Dict:
        """The tokenizer.json, with each token's own flags."""
        program = json.loads(self._rust.to_str())
        special = self.special_ids
        for token in program["added_tokens"]:
            token["special"] = token["id"] in special
        return program

    def _decode_plain(self, ids: List[int]) -> str:
        return self._rust.decode(ids, skip_special_tokens=False)

    def _said_added(self) -> Sequence[AddedToken]:
        return sorted([*self.added, *self._flagged], key=lambda token: token.id)

    def _content(self) -> bytes:
        form = self._plain_form
        if form is None:
            program = self.program()
            return canonical_bytes([self.kind, self._specials, self.has_token_types, *(
                program[part] for part in ("normalizer", "pre_tokenizer", "model"))])
        if self.kind == "wordpiece":
            return canonical_bytes([self.kind, self._tokens, form["do_lower_case"], form["strip_accents"],
                                    form["tokenize_chinese_chars"]])
        return canonical_bytes([self.kind, self._tokens, [" ".join(pair) for pair in self._merges()],
                                form["add_prefix_space"]])

    def _merges(self) -> List[Sequence[str]]:
        return json.loads(self._rust.to_str())["model"]["merges"]

    def _save_files(self, directory: pathlib.Path) -> List[str]:
        """The vocabulary's plain files where they say all of it, else the program."""
        if self._plain_form is None:
            files.write_text(directory / PROGRAM, json.dumps(self.program(), ensure_ascii=False))
            return [PROGRAM]
        own = self._tokens[:self._own]
        if self.kind == "wordpiece":
            files.write_text(directory / "vocab.txt", "\n".join(own) + "\n")
            return ["vocab.txt"]
        files.write_text(directory / "vocab.json", json.dumps({token: i for i, token in enumerate(own)},
                                                              ensure_ascii=False))
        lines = ["#version: 0.2", *(" ".join(pair) for pair in self._merges())]
        files.write_text(directory / "merges.txt", "\n".join(lines) + "\n")
        return ["vocab.json", "merges.txt"]

    def _config(self) -> Dict[str, Any]:
        types = {"model_input_names": ["input_ids", "attention_mask"]} if self.has_token_types > self._typed else {}
        if self._plain_form is not None:
            return {**self._plain_form, **types}
        names = {"bos": "cls_token", "eos": "sep_token", "pad": "pad_token", "unk": "unk_token"}
        return {"tokenizer_class": "PreTrainedTokenizerFast", **types,
                **{theirs: self._specials[ours] for ours, theirs in names.items()}}


# -- what a program is ---------------------------------------------------------------------------------------------


def kind_of(program: Dict) -> str:
    """How a program marks words: "byte-bpe", "sentencepiece" (▁), "wordpiece" (##), or "words" for others."""
    parts = json.dumps([program.get("normalizer"), program.get("pre_tokenizer")])
    model = program.get("model")
    model = model if isinstance(model, dict) else {}
    if '"ByteLevel"' in parts:
        return "byte-bpe"
    if '"Metaspace"' in parts or "\\u2581" in parts:
        return "sentencepiece"
    return "wordpiece" if model.get("type") == "WordPiece" or "continuing_subword_prefix" in model else "words"


def tokens_of(program: Dict) -> Dict[int, str]:
    """The tokens of a program's model by id; {} where it has none."""
    model = program.get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocab, list):  # Unigram: (token, score) in the order of ids
        return {i: entry[0] for i, entry in enumerate(vocab) if isinstance(entry, list) and entry}
    return {i: token for token, i in vocab.items() if type(i) is int} if isinstance(vocab, dict) else {}


def _encoded(rust: tokenizers.Tokenizer, texts: List[str]) -> List[List[int]]:
    """Ids of texts, without special tokens around them."""
    return [encoding.ids for encoding in _encodings(rust.encode_batch_fast, texts)]


def _encodings(encode_batch: Callable[..., List[tokenizers.Encoding]], texts: List[str]) -> List[tokenizers.Encoding]:
    try:
        return encode_batch(texts, add_special_tokens=False)
    except Exception as error:  # the library has no class of its own
        raise InputError(f"the tokenizer fails on a text ({error}); its tokenizer.json is not whole") from None


def _run(program: Dict, source: str) -> tokenizers.Tokenizer:
    """The library's tokenizer of a program, whose added tokens must get the ids that they say."""
    try:
        rust = tokenizers.Tokenizer.from_str(json.dumps(program))
        for special in (True, False):  # a program may be read and yet not run
            rust.encode("a", add_special_tokens=special)
            rust.encode("a", "a a a", add_special_tokens=special)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # the library raises plain Exception; its panics are not even that
        raise InputError(f"{source}: the library `tokenizers` cannot run it ({' '.join(str(error).split())[:150]}); "
                         "use a whole tokenizer.json") from None
    return rust


def layout_of(rust: tokenizers.Tokenizer, source: str) -> Layout:
    """Where a program's post-processor puts special tokens.

    Raises:
        InputError: a layout that is neither RoBERTa's nor BERT's.
    """
    a, b = (rust.encode(text, add_special_tokens=False).tokens for text in ("a", "a a a"))
    one, two = rust.encode("a"), rust.encode("a", "a a a")
    found = one.tokens
    if len(found) == len(a) + 2 and found[1:-1] == a and not any(one.type_ids):
        bos, eos = found[0], found[-1]
        for separators in (1, 2):
            first = [bos, *a, *[eos] * separators]
            plain, typed = [0] * (len(first) + len(b) + 1), [0] * len(first) + [1] * (len(b) + 1)
            types = (plain, typed) if separators == 1 else (plain,)
            if two.tokens == [*first, *b, eos] and two.type_ids in types:
                return Layout(bos, eos, separators, two.type_ids == typed)
    raise InputError(f"{source}: its post-processor makes {' '.join(two.tokens)} of the pair 'a', 'a a a' with the "
                     f"token types {two.type_ids}; [CLS] A [SEP] B [SEP] or <s> A </s></s> B </s> can be read")


def template(tokenizer: Tokenizer, bert: bool) -> Dict:
    """The post-processor of BERT or of RoBERTa, as a part of a program."""
    def special(index: int, kind: int) -> Dict:
        return {"SpecialToken": {"id": tokenizer.id_to_token(index), "type_id": kind}}

    bos, eos = tokenizer.bos_id, tokenizer.eos_id
    first = [special(bos, 0), {"Sequence": {"id": "A", "type_id": 0}}, special(eos, 0)]
    kind = 1 if bert else 0
    second = [*([] if bert else [special(eos, 0)]), {"Sequence": {"id": "B", "type_id": kind}}, special(eos, kind)]
    return {"type": "TemplateProcessing", "single": first, "pair": [*first, *second],
            "special_tokens": {tokenizer.id_to_token(i): {"id": tokenizer.id_to_token(i), "ids": [i],
                                                          "tokens": [tokenizer.id_to_token(i)]} for i in (bos, eos)}}


def _plain_form(program: Dict, own: Dict[int, str], specials: Dict[str, str], layout: Layout) -> Optional[Dict]:
    """tokenizer_config.json's values of a tokenizer that the vocabulary's plain files and these values say whole.

    Such files are vocab.txt of BERT, or vocab.json and merges.txt of RoBERTa. None for any other program.
    """
    normalizer, splitter = program.get("normalizer"), program.get("pre_tokenizer")
    model = {key: value for key, value in program["model"].items() if key not in ("vocab", "merges")}
    without_gaps = len(own) == max(own, default=-1) + 1
    if specials == BERT_SPECIALS and layout.separators == 1 and layout.typed and isinstance(normalizer, dict):
        known = {key: normalizer.get(key) for key in _BERT_NORMALIZER} == _BERT_NORMALIZER
        if without_gaps and known and splitter == {"type": "BertPreTokenizer"} and {**_BERT_MODEL, **model} == (
                _BERT_MODEL):
            return {"tokenizer_class": "BertTokenizer", "do_lower_case": normalizer.get("lowercase", True),
                    "strip_accents": normalizer.get("strip_accents"),
                    "tokenize_chinese_chars": normalizer.get("handle_chinese_chars", True)}
    if specials == ROBERTA_SPECIALS and layout.separators == 2 and normalizer is None and isinstance(splitter, dict):
        defaults = not any(value for key, value in model.items() if key not in ("type", "unk_token"))
        plain = splitter.get("type") == "ByteLevel" and splitter.get("use_regex", True)
        if without_gaps and defaults and plain and model.get("unk_token") in (None, "<unk>"):
            return {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": splitter.get("add_prefix_space", True)}
    return None

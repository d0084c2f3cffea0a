"""SentencePiece: its models, and training one on text."""

import io
import os
import pathlib
import re
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

import sentencepiece

from bort_mx.data.tokenizers.base import Tokenizer
from bort_mx.errors import InputError
from bort_mx.io import files


class SentencePieceTokenizer(Tokenizer):
    """A SentencePiece model. `<mask>` is the last id, after the model's own pieces, unless the model has one itself.

    The mask is kept out of the model because SentencePiece would recognise it in text.

    Args:
        model: the serialised model.
        source: the file to name in errors.
    """

    kind = "sentencepiece"

    def __init__(self, model: bytes, source: str = "vocabulary"):
        self._model = model
        self._continuing: Optional[Tuple[Any, Any]] = None
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
            tokens = self._processor.id_to_piece(list(range(self._processor.get_piece_size())))
        except UnicodeDecodeError as error:  # of a piece, or of the library's own message
            raise InputError(f"{source}: a damaged SentencePiece model, as a piece is not UTF-8 ({error.reason}); "
                             "fetch or copy it again") from None
        except (RuntimeError, OSError) as error:
            raise InputError(f"{source}: not a SentencePiece model ({str(error).splitlines()[0]})") from None
        if not tokens:
            raise InputError(f"{source}: not a SentencePiece model (it has no pieces)")
        mask = next((token for token in ("<mask>", "[MASK]") if token in tokens), "<mask>")
        if mask not in tokens:
            tokens.append(mask)
        specials = {**self._model_specials(source), "mask": mask}
        super().__init__(tokens, specials, source)
        others = "|".join(re.escape(token) for name, token in specials.items() if name != "mask")
        self._special_pattern = re.compile(rf"(\s*{re.escape(mask)}|{others})")  # the mask takes the space before it

    def _model_specials(self, source: str) -> Dict[str, str]:
        model = self._processor
        ids = {"bos": model.bos_id(), "pad": model.pad_id(), "eos": model.eos_id(), "unk": model.unk_id()}
        absent = [name for name, index in ids.items() if index < 0]
        if absent:
            raise InputError(f"{source}: the SentencePiece model has no {', '.join(absent)} token; "
                             "train one with --train-vocab")
        return {name: model.id_to_piece(index) for name, index in ids.items()}

    def encode_plain(self, texts: List[str]) -> List[List[int]]:
        """As `Tokenizer`'s."""
        return self._processor.encode(texts, num_threads=_threads(len(texts)))

    def encode_continuation(self, texts: List[str]) -> List[List[int]]:
        """As `Tokenizer`'s: without the space that SentencePiece puts before a text, which stands before the mask."""
        if not texts:
            return []
        after_space, glued = self._continuing or self._make_continuing()
        return [(after_space if text[:1].isspace() else glued).encode(text) for text in texts]

    def _make_continuing(self) -> Tuple[Any, Any]:
        """The model for a text that goes on after a space, and for one that is glued to what stands before it.

        A model that strips its text would lose the space that the text begins with: it adds one itself.
        """
        from sentencepiece import sentencepiece_model_pb2  # brings protobuf, which only masks in a text need

        made = []
        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString(self._model)
        for prefix in (proto.normalizer_spec.remove_extra_whitespaces, False):
            proto.normalizer_spec.add_dummy_prefix = prefix
            made.append(sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString()))
        self._continuing = made[0], made[1]
        return self._continuing

    def _decode_plain(self, ids: List[int]) -> str:
        return self._processor.decode(ids)

    def _encode_with_specials(self, texts: List[str]) -> List[List[int]]:
        pieces = [self._special_pattern.split(text) for text in texts]  # text, special token, text, …, text
        first = self.encode_plain([parts[0] for parts in pieces])
        rest = iter(self.encode_continuation([piece for parts in pieces for piece in parts[2::2]]))
        result = []
        for ids, parts in zip(first, pieces):
            ids = list(ids)
            for token in parts[1::2]:
                ids += [self._ids.get(token, self.mask_id), *next(rest)]
            result.append(ids)
        return result

    def _content(self) -> bytes:
        return self._model + b"\0" + self.mask_token.encode() + str(self.mask_id).encode()

    def _save_files(self, directory: pathlib.Path) -> List[str]:
        with files.atomic_path(directory / "sentencepiece.model") as temporary:
            temporary.write_bytes(self._model)
        return ["sentencepiece.model"]


def train_sentencepiece(sentences: Iterable[str], vocab_size: int, source: str = "the text",
                        exact: bool = True) -> SentencePieceTokenizer:
    """Train a SentencePiece vocabulary on sentences: BPE over characters, with bytes for what it has not seen.

    Ids are laid out as RoBERTa's: `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3, then 256 bytes and the pieces, `<mask>`
    last. Text is taken as it is (no normalisation, spaces kept), so decoding is lossless, and nothing is unknown.
    BPE, because here it trains ten times faster than the unigram model, in half the memory, to the same length.
    The same sentences give the same vocabulary.

    Args:
        sentences: the text, one sentence each.
        vocab_size: number of ids, `<mask>` included.
        source: the text's name in errors.
        exact: refuse a text that gives fewer pieces. False: make as many pieces as it gives.

    Raises:
        InputError: no text, too little for that many pieces, or too many characters for so few.
    """
    model, failures = io.BytesIO(), []
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_nonempty(sentences, source, failures), model_writer=model, vocab_size=vocab_size - 1,
            model_type="bpe", byte_fallback=True, character_coverage=0.9998, normalization_rule_name="identity",
            remove_extra_whitespaces=False, max_sentence_length=1 << 20, num_threads=1, minloglevel=2,
            bos_id=0, pad_id=1, eos_id=2, unk_id=3, bos_piece="<s>", pad_piece="<pad>", eos_piece="</s>",
            unk_piece="<unk>", hard_vocab_limit=exact)
    except (RuntimeError, OSError) as error:
        if failures:  # the library buries what its iterator raises
            raise failures[0] from None
        raise InputError(f"{source}: cannot train a vocabulary of {vocab_size} tokens on it: "
                         f"{_plain_reason(str(error))}") from None
    return SentencePieceTokenizer(model.getvalue(), "the trained vocabulary")


def _plain_reason(message: str) -> str:
    """What to do, of the library's message, which names its own source files and fields."""
    most, least = (re.search(pattern, message) for pattern in (r"to a value <= (\d+)", r"smaller than required_chars"))
    if most:
        return f"the text gives {int(most.group(1)) + 1} at most; lower --train-vocab, or give more text"
    if least:
        return "its characters alone are more; raise --train-vocab"
    return message.strip().splitlines()[-1][:200]


def _nonempty(sentences: Iterable[str], source: str, failures: List[BaseException]) -> Iterator[str]:
    """The sentences that are not empty. What is raised on the way, Ctrl-C too, is put into `failures`."""
    count = 0
    try:
        for sentence in sentences:
            if sentence:
                count += 1
                yield sentence
        if not count:
            raise InputError(f"{source}: holds no text to train a vocabulary on")
    except GeneratorExit:
        raise
    except BaseException as error:
        failures.append(error)
        raise


def _threads(texts: int) -> int:
    """Threads for SentencePiece: one for little work, else as set by the variables that the Rust library reads."""
    if texts < 64 or os.environ.get("TOKENIZERS_PARALLELISM", "").lower() in ("false", "0", "off"):
        return 1
    return int(os.environ.get("RAYON_NUM_THREADS") or os.cpu_count() or 1)

"""Speed of tokenizing beside the bare `tokenizers` library and GluonNLP's own tokenizer, on the built-in text.

    python benchmarks/tokenizer_speed.py [--rounds 5] [--paragraphs 3000]

All have the same WordPiece vocabulary, made here of the text's commonest words and all characters, and one thread; each
encodes the same paragraphs in turn. Printed is one JSON line: megabytes a second, median and quartiles.
"""

import argparse
import collections
import itertools
import json
import pathlib
import tempfile
from typing import List

from side_by_side import SideBySide, Work, spread

from bort_mx.data import sample_text

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = 8000


def write_vocabulary(path: pathlib.Path, texts: List[str]) -> None:
    """vocab.txt: special tokens, all characters alone and continued, and the commonest lower-cased words."""
    words = collections.Counter(word for text in texts for word in text.lower().split() if word.isalpha())
    characters = sorted({character for text in texts for character in text.lower() if not character.isspace()})
    lines = [*SPECIAL, *characters, *(f"##{character}" for character in characters),
             *(word for word, _ in words.most_common(WORDS) if len(word) > 1)]
    path.write_text("\n".join(dict.fromkeys(lines)) + "\n", encoding="utf-8")


def paragraphs(count: int) -> List[str]:
    """The texts to encode."""
    return list(itertools.islice(sample_text.paragraphs(), count))


def ours(vocabulary: str, count: int) -> Work:
    """This project's tokenizer, one text at a time."""
    from bort_mx.data.tokenizers import load_tokenizer

    tokenizer, texts = load_tokenizer(vocabulary), paragraphs(count)
    return lambda _: [tokenizer.encode(text) for text in texts]


def bare(vocabulary: str, count: int) -> Work:
    """The library that this project's tokenizer stands on, all texts at once."""
    from tokenizers import BertWordPieceTokenizer

    tokenizer, texts = BertWordPieceTokenizer(f"{vocabulary}/vocab.txt"), paragraphs(count)
    return lambda _: tokenizer.encode_batch(texts)


def gluonnlp(vocabulary: str, count: int) -> Work:
    """GluonNLP's BERT tokenizer, one text at a time."""
    import gluonnlp as nlp

    tokens = pathlib.Path(vocabulary, "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    known = nlp.vocab.BERTVocab(dict.fromkeys(tokens, 1), token_to_idx={token: i for i, token in enumerate(tokens)})
    tokenizer, texts = nlp.data.BERTTokenizer(known, lower=True), paragraphs(count)
    return lambda _: [known[["[CLS]", *tokenizer(text), "[SEP]"]] for text in texts]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--paragraphs", type=int, default=3000)
    options = parser.parse_args()
    texts = paragraphs(options.paragraphs)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    with tempfile.TemporaryDirectory() as folder:
        write_vocabulary(pathlib.Path(folder) / "vocab.txt", texts)
        given = (folder, options.paragraphs)
        with SideBySide({"bort_mx": (ours, given), "tokenizers, encode_batch": (bare, given),
                         "GluonNLP": (gluonnlp, given)}) as sides:
            seconds = sides.rounds("", options.rounds)
    print(json.dumps({"megabytes": round(megabytes, 2), "missing": sides.missing, "megabytes_per_s": {
        name: spread([megabytes / value for value in values]) for name, values in seconds.items()}}))


if __name__ == "__main__":
    main()

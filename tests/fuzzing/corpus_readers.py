"""The readers of corpora for the fuzz: small files in their own formats. Counts must add up whatever is read."""

import bz2
import gzip
import json
import lzma
import pathlib
import sys
from functools import partial

from bort_mx.data.corpora.readers import CORPORA
from bort_mx.data.corpora.source import Piece, Reading, Source

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "data"))

from corpus_files import news, page, reconciled, record, tar_of  # noqa: E402

zipped = partial(gzip.compress, mtime=0)  # the same bytes whenever they are made
LONG = "a thing that people say when they have nothing else to say to each other"


def make(corpus: str):
    """A function that writes a corpus's files into a folder."""
    def write(folder):
        for name, data in FILES[corpus]().items():
            (folder / name).write_bytes(data)
    return write


def read(corpus: str):
    """A function that reads every file of a folder, whole and as the second of two shares."""
    def documents(folder):
        for path in sorted(folder.iterdir()):
            for share in ((0, 1), (1, 2)):
                source = Source(Piece(str(path), share=share), Reading())
                for text in CORPORA[corpus].documents(source):
                    text.encode()
                assert reconciled(source.counts), f"counts do not add up: {dict(source.counts)}"
    return documents


def _dump():
    pages = [page("A", "'''A''' is a [[letter|sign]] of {{lang|en|English}}.&lt;ref&gt;x&lt;/ref&gt;"),
             page("B", "#REDIRECT [[A]]"), page("C", "{| class=x\n|-\n| a\n|}\nThe last [http://a.org line] stands.")]
    return f"<mediawiki>{''.join(pages)}</mediawiki>".encode()


def _definitions():
    text = f"==English==\n===Noun===\n# {LONG}.\n"
    return f"<mediawiki>{page('cat', text)}</mediawiki>".encode()


def _slang():
    rows = [(f"{LONG} [{i}]", f"April 0{i}, 2013") for i in range(1, 5)]
    table = "definition,word,date\n" + "".join(f'"{a}",w,"{b}"\n' for a, b in rows)
    return {"u.csv": table.encode(),
            "u.json": "".join(json.dumps({"definition": a, "date": b}) + "\n" for a, b in rows).encode()}


def _articles():
    article = {"maintext": f"It was {LONG}. " * 5, "date_publish": "2017-03-06 04:02:06", "language": "en"}
    return {"n.json": json.dumps(article, indent=1).encode(), "n.jsonl": (json.dumps(article) + "\n").encode() * 3,
            "n.tar.gz": zipped(tar_of({"a.json": json.dumps(article).encode()})),
            "n.warc.gz": zipped(record(news(1))) + zipped(record(news(2)))}


def _sentences():
    lines = "".join(f"The {i} dogs , they said , were n't here .\n" for i in range(20)).encode()
    return {"b.tar.gz": zipped(tar_of({"one/news.en-00001-of-00100": lines, "one/README": b"x"})),
            "b.tokens": lines}


FILES = {
    "wikipedia": lambda: {"w.xml.bz2": bz2.compress(_dump()), "w.xml": _dump()},
    "wiktionary": lambda: {"k.xml": _definitions(), "k.xml.gz": zipped(_definitions())},
    "openwebtext": lambda: {"o.tar": tar_of({"s.xz": lzma.compress(tar_of({"a.txt": f"{LONG}.\n".encode() * 9}))}),
                            "o.jsonl": (json.dumps({"text": LONG}) + "\n").encode() * 3},
    "urbandictionary": _slang,
    "one_billion_words": _sentences,
    "cc_news": _articles,
    "bookcorpus": lambda: {"a.txt": f"# One\n\nShe said *{LONG}*.\nAnd more.\n\n* * *\n".encode(),
                           "books_large_p1.txt": f"he said `` {LONG} '' .\n".encode() * 5},
    "text": lambda: {"t.txt.xz": lzma.compress(f"{LONG}.\n".encode() * 20), "t.txt": f"{LONG},\nand so on.\n".encode()},
}
CORPUS_READERS = {f"corpus {name}": (make(name), read(name)) for name in CORPORA}

"""Corpora as people have them: wrapped lines joined, columns of tables read, compressed files, and what is no text."""

import bz2
import contextlib
import csv
import gzip
import io
import json
import lzma
import textwrap

import pytest

from bort_mx.commands.prepare import PrepareOptions, main, prepare
from bort_mx.data import TokenShards, table_quotes, train_sentencepiece
from bort_mx.data.corpora import text_files
from bort_mx.data.corpora.formats import block_sentences
from bort_mx.data.corpora.text_files import TextFile
from bort_mx.data.corpora.wrapped_lines import join_paragraphs, looks_wrapped
from bort_mx.data.shards import SPLITS
from bort_mx.errors import InputError

NOUNS = ("river", "stone", "cloud", "garden", "letter", "engine")
SENTENCES = [f"The {NOUNS[i % 6]} of number {i} saw {NOUNS[i // 6 % 6]} and its own {'long, ' * (i % 5)}shadow again."
             for i in range(120)]
PARAGRAPHS = [" ".join(SENTENCES[i:i + 4]) for i in range(0, 120, 4)]


def read(path, **options):
    """The clean sentences of a file, in order, and how it was read."""
    file = TextFile(path, **options)
    with contextlib.closing(file.blocks()) as blocks:
        return [sentence for block in blocks for sentence in block_sentences(block)[0]], file.read_as


@pytest.mark.parametrize("width", [50, 72, 100])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("block", [1 << 19, 700])
def test_hard_wrapped_text_is_joined_and_split(tmp_path, monkeypatch, width, end, block):
    monkeypatch.setattr(text_files, "BLOCK", block)
    text = (end * 2).join(end.join(textwrap.wrap(paragraph, width)) for paragraph in PARAGRAPHS)
    (tmp_path / "t.txt").write_bytes(text.encode())
    assert read(tmp_path / "t.txt", format="wrapped") == (SENTENCES, "wrapped")
    if block > 700 * 2:
        assert read(tmp_path / "t.txt") == (SENTENCES, "wrapped")


def test_what_is_not_wrapped_is_left_alone():
    assert not looks_wrapped("\n".join(SENTENCES)) and not looks_wrapped("\n".join(PARAGRAPHS))
    assert not looks_wrapped("\n".join(f"The cat ate the {NOUNS[0]} {i} , then it slept ." for i in range(10, 99)))
    assert not looks_wrapped("\n".join(textwrap.wrap(PARAGRAPHS[0], 72)[:3]))  # too few to tell


def test_words_with_hyphens_at_the_end_of_a_line():
    assert join_paragraphs("a well-\nknown man -\nand a French-\nWoman--\nhe\n\n\n  b \n", "") == (
        "a well-known man - and a French- Woman-- he\nb\n")


def test_real_books_and_real_sentences_are_judged_rightly(shared, tmp_path):
    """Case 02 and other corpora of ../shared."""
    case = shared / "cases/02-hard-wrapped-text/wrapped.txt"
    found, read_as = read(case)
    lines = [line for line in case.read_text(encoding="utf-8").split("\n") if line.strip()]
    assert read_as == "wrapped" and len(found) < len(lines) / 2
    open_before = sum(not line.rstrip().endswith((".", "?", "!", '"')) for line in lines)
    open_now = sum(not line.endswith((".", "?", "!", '"')) for line in found)
    assert open_before > 0.9 * len(lines) and open_now < 0.5 * len(found)
    data = shared / "data/pretrain"
    for name in ("10006.txt", "12204.txt"):
        assert read(data / "gutenberg" / name)[1] == "wrapped"
    for name in ("one_billion_words/1b_benchmark.dev.tokens", "bookcorpus/books_large_head/books_large_p1.txt",
                 "wikitext-2/test.txt", "race_articles/train.txt.gz", "gluonnlp/sample_text.txt"):
        assert read(data / name)[1] in ("sentences", "documents"), name


@pytest.mark.parametrize("suffix, pack", [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress),
                                          (".xz", lzma.compress)])
@pytest.mark.parametrize("name", ["t.txt", "t.csv", "t.tsv", "t.jsonl", "lines"])
def test_tables_and_compressed_files_give_their_texts(tmp_path, name, suffix, pack):
    """Case 14: header, braces and keys were sentences."""
    rows = {
        "t.txt": "".join(f"{sentence}\n" for sentence in SENTENCES),
        "t.csv": "id,text,label\n" + "".join(f'{i},"{sentence}",1\n' for i, sentence in enumerate(SENTENCES)),
        "t.tsv": "text\tlabel\n" + "".join(f"{sentence}\t1\n" for sentence in SENTENCES),
        "t.jsonl": "".join(json.dumps({"meta": {"id": 1}, "text": sentence}) + "\n" for sentence in SENTENCES),
        "lines": "".join(json.dumps({"meta": {"id": 1}, "text": sentence}) + "\n" for sentence in SENTENCES)}
    (tmp_path / (name + suffix)).write_bytes(pack(rows[name].encode()))
    found, read_as = read(tmp_path / (name + suffix))
    assert found == SENTENCES
    assert read_as == {"t.txt": "", "t.csv": "csv, text: ", "t.tsv": "tsv, text: "}.get(
        name, "JSON lines, text: ") + "sentences"


def test_texts_of_a_column_may_have_lines_and_be_documents(tmp_path):
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"body": paragraph}) + "\n\n" for paragraph in PARAGRAPHS))
    assert read(tmp_path / "t.jsonl", text_column="body") == (SENTENCES, "JSON lines, body: documents")
    (tmp_path / "t.csv").write_text('text\n"one\ntwo"\n"said ""three"""\n')
    assert read(tmp_path / "t.csv")[0] == ["one", "two", 'said "three"']


@pytest.mark.parametrize("suffix, pack", [("", bytes), (".gz", gzip.compress)])
def test_quotes_of_a_tsv_corpus_are_read_as_those_of_a_task(tmp_path, suffix, pack):
    """By `bort_mx.data.table_quotes.count_quoted`: unless all that look quoted are, quotes are characters."""
    texts = ["plain", 'said "three"', "one, two", "a\ttab", "two\nlines"]
    table = io.StringIO()
    csv.writer(table, delimiter="\t", lineterminator="\r\n").writerows([["id", "text"], *enumerate(texts)])
    (tmp_path / ("t.tsv" + suffix)).write_bytes(pack(table.getvalue().encode()))
    assert read(tmp_path / ("t.tsv" + suffix)) == (
        [*texts[:3], "a tab", "two", "lines"], "quoted tsv, text: sentences")
    plain = 'text\tn\n"Hello," she said\t1\nIt is 5" long\t2\n'
    (tmp_path / ("p.tsv" + suffix)).write_bytes(pack(plain.encode()))
    assert read(tmp_path / ("p.tsv" + suffix)) == (['"Hello," she said', 'It is 5" long'], "tsv, text: sentences")


def test_a_stray_quote_does_not_hold_a_corpus_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(table_quotes, "LONGEST_ROW", 1000)
    (tmp_path / "t.tsv").write_text('text\n"A stray one, alone.\n' + "Then plain text.\n" * 200 + '"Yes, quoted."\n')
    found, read_as = read(tmp_path / "t.tsv")
    assert found[0] == '"A stray one, alone.' and len(found) == 202 and read_as == "tsv, text: sentences"


@pytest.mark.parametrize("name, content, message", [
    ("t.txt", "Hello there.\n".encode("utf-16"), "UTF-16 text; convert it to UTF-8: iconv -f UTF-16"),
    ("t.txt", "Hello there.\n".encode("utf-32"), "UTF-32 text; convert it to UTF-8"),
    ("t.txt", b"\x28\xb5\x2f\xfd rest", "zstd-compressed; decompress it"), ("t.docx", b"PK\x03\x04", "a zip archive"),
    ("t.pdf", b"%PDF-1.4", "a PDF document; extract its text"), ("t", b"PAR1..", "a Parquet table; write its column"),
    ("t.html", b"\n<!DOCTYPE html><p>a", "HTML; extract its text"), ("t.txt", b"<?xml version='1.0'?>", "XML; extract"),
    ("t.warc.gz", gzip.compress(b"WARC/1.0\r\n", mtime=0), "a WARC archive of web pages"),
    ("t.tar", bytes(257) + b"ustar" + bytes(250), "a tar archive; unpack it"),
    ("t.csv", b"body,label\na,1\n", "t.csv:2: no column 'text'; found body, label; name the one"),
    ("t.csv", b"text,label\na\n", r"t.csv:2: 1 column\(s\) found, 2 expected"), ("t.csv", b'text\n"a', "not CSV"),
    ("t.jsonl", b'{"text": "a"}\n{"text": 3}\n', "t.jsonl:2: column 'text' is 3; expected a text"),
    ("t.jsonl", b'{"text": "a"}\n[1]\n', "t.jsonl:2: list found; expected a JSON object"),
    ("t.json", b'{\n "text": "a"\n}\n', "t.json:1: not a JSON object in one line"),
    ("t.csv", b"text\ncaf\xe9\n", "t.csv:2: not UTF-8 text, byte 0xe9; convert the file"),
    ("t.xz", lzma.compress(b"some text\n" * 999)[:-40], "truncated xz"), ("t.xz", b"plain", "named .xz but not xz"),
    ("t.bz2", bz2.compress(b"some text\n" * 999)[:-9], "truncated bz2"),
    ("t.bz2", bz2.compress(bytes(range(256)) * 99)[:40] + bytes(99), "damaged bz2"),
    ("t.txt", b"a\0b\n", "NUL at byte 1")])
def test_what_is_no_text_is_refused_by_what_it_is(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_the_command_says_how_each_file_was_read(tmp_path, capsys):
    tokenizer = train_sentencepiece(SENTENCES, 350)
    tokenizer.save(tmp_path / "tokenizer")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/w.txt").write_text("\n\n".join(textwrap.fill(paragraph, 72) for paragraph in PARAGRAPHS))
    (tmp_path / "a/t.csv").write_text("body\n" + "".join(f'"{sentence}"\n' for sentence in SENTENCES[:30]))
    words = ["--data", str(tmp_path / "a"), "--tokenizer", str(tmp_path / "tokenizer"), "--workers", "1"]
    assert main([*words, "--output-dir", str(tmp_path / "out"), "--text-column", "body"]) == 0
    assert "read as: csv, body: sentences (1 file); wrapped (1 file)" in capsys.readouterr().out
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert [entry["read_as"] for entry in manifest["inputs"]] == ["csv, body: sentences", "wrapped"]
    found = [tokenizer.decode(ids) for split in SPLITS for ids in TokenShards(tmp_path / "out", split)]
    assert sorted(found) == sorted(SENTENCES) and manifest["dropped"]["duplicates"] == 30
    assert main([*words, "--output-dir", str(tmp_path / "none")]) == 2
    assert "t.csv:2: no column 'text'; found body; name the one with the text by" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    made = prepare(PrepareOptions([str(tmp_path / "a/t.csv")], str(tmp_path / "vocab"), train_vocab=330,
                                  text_column="body", workers=1))
    assert made["counts"]["sentences"] == 30

"""Readers of corpora: golden sentences, no markup, limits, and counts that add up; damaged input named and counted."""

import bz2
import collections
import gzip
import json
import lzma
import pathlib
import random
import re

import pytest
from corpus_files import MARKUP, dropped, news, page, read, reconciled, record, tar_of

from bort_mx.data.corpora import lines, source
from bort_mx.data.corpora.detokenizing import detokenize
from bort_mx.data.corpora.readers import CORPORA
from bort_mx.data.corpora.time_limit import TooSlow, time_limit
from bort_mx.data.corpora.wikitext import WIKIPEDIA, plain_text
from bort_mx.data.corpora.wiktionary import definitions
from bort_mx.data.text import clean_sentences
from bort_mx.errors import InputError

# -- golden sentences of the real samples ------------------------------------------------------------------------


@pytest.mark.parametrize("corpus, path, golden, least", [
    ("wikipedia", "wikipedia/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",
     ["Major Henry Rathbone momentarily grappled with Booth, but Booth stabbed him and escaped.",
      "Some modern researchers associate Kheuveren with Koyuk River."], 15000),
    ("wiktionary", "wiktionary/enwiktionary-test-pages-articles.xml.bz2",
     ["A (usually major) fan of the TV science fiction series Star Trek.",
      "Discrimination on the basis of the first letter of a name."], 1500),
    ("openwebtext", "openwebtext/urlsf_subset00-1_data.xz",
     ["The hospital system has asked staff to work extra hours if possible."], 20000),
    ("urbandictionary", "urban_dictionary/urban_dictionary.csv",
     ["The gradual yet unstoppable process by which your wife or girlfriend's clothes take over your wardrobe."], 1500),
    ("one_billion_words", "one_billion_words/1b_benchmark.dev.tokens",
     ["As legislator, Pawlenty was chief sponsor of 93 bills.",
      "Mr Yushchenko has been staunch in his support for his Georgian counterpart, Mikhail Saakashvili."], 12000),
    ("cc_news", "cc_news/news_please_articles.tar.gz",
     ["The cause of the accident was unclear, the police said, and an investigation was opened."], 10000),
    ("bookcorpus", "bookcorpus/books1/epubtxt/about-dafne.epub.txt",
     ["Dafne was still in the redemption, timorous to penetrate him inside that apartment."], 5000),
    ("bookcorpus", "bookcorpus/books_large_head/books_large_p2.txt", ["Down in Biloxi"], 6),
    ("text", "gutenberg/10006.txt",
     ["And, finally, hiding his brightness under the form of a shepherd, did not Apollo tend the flocks of Admetus?"],
     300)])
def test_golden_sentences_of_each_corpus(shared, corpus, path, golden, least):
    documents, one = read(corpus, shared / "data/pretrain" / path)
    sentences, _ = clean_sentences("\n".join(documents), documents=not one.sentences)
    assert len(sentences) >= least and set(golden) <= set(sentences)
    assert reconciled(one.counts) and not one.problems
    if corpus in ("wikipedia", "wiktionary"):
        assert [text for text in sentences if MARKUP.search(text)] == []
    elif corpus != "text":  # people write <3 and "Tom &amp; Jerry" themselves, rarely
        assert sum(bool(MARKUP.search(text)) for text in sentences) <= 0.002 * len(sentences)
    if corpus in ("wiktionary", "urbandictionary"):
        assert min(len(line.split()) for text in documents for line in text.split("\n")) >= 11


# -- one corpus after another ------------------------------------------------------------------------------------


def test_wikitext_becomes_prose():
    counts = collections.Counter()
    text = plain_text(
        "{{Infobox a|b={{c|d}}}}'''Ann''' ({{IPA|x}}; born 1950) is a [[poet|writer]]s' [[friend]]ship.<ref>r [[x]]"
        "</ref><ref name=\"a\" /> She ran {{convert|5|km|mi}}&amp;nbsp;far.\n[[File:a.jpg|thumb|A [[cat]] here]]\n"
        "{| class=x\n|-\n| a || {{b}}\n|}\n* a list\n: more\n== See also ==\nleft out\n=== deep ===\nalso out\n"
        "== Life ==\nHe said <i>no</i> &lt;br&gt; [http://a.org to it] <!-- hidden\n --> http://b.org\n"
        "broken [[link here\n<nowiki>[[kept]]</nowiki> is odd\n", WIKIPEDIA, counts)
    assert [" ".join(line.split()) for line in text.split("\n")] == [
        "Ann (born 1950) is a writers' friendship. She ran 5 km far.", "He said no to it"]
    assert not MARKUP.search(text) and counts["lines_dropped_markup"] == 2


def test_deep_and_open_brackets_take_no_time():
    """Lines after them are kept, but for a comment's, which goes to its end."""
    good = "A good line stands here."
    for text, kept, lines_dropped in (
            ("{{" * 50_000, good, 0), ("[[" * 50_000 + "a", good, 1), ("<ref>" * 20_000, good, 0),
            ("{|" * 20_000, good, 0), ("<!--" * 20_000, "", 0), ("{{{" * 30_000, good, 0)):
        counts = collections.Counter()
        with time_limit(60):  # so that a hang fails soon
            assert plain_text(f"{text}\n{good}", WIKIPEDIA, counts) == kept
        assert counts["lines_dropped_markup"] == lines_dropped


def test_pages_of_wikipedia_are_dropped_by_reason(tmp_path):
    dump = ("<mediawiki>" + page("A", "A page about apples &amp;amp; pears.") + page("B", "#REDIRECT [[A]]")
            + page("C", "x", extra="<redirect title='A'/>") + page("Talk:A", "talk", ns=1) + page("D", "{{only}}")
            + page("E", "bad & xml") + "<page><title>F</title><ns>0</ns>" + page("G", "The last page stands here."))
    (tmp_path / "w.xml.bz2").write_bytes(bz2.compress(dump.encode()))
    documents, one = read("wikipedia", tmp_path / "w.xml.bz2")
    assert documents == ["A page about apples & pears.", "The last page stands here."]
    assert dropped(one) == {"redirect": 2, "other_namespace": 1, "no_text": 1, "broken_xml": 2}
    assert one.counts["documents_in"] == 8 and reconciled(one.counts)


def test_definitions_of_wiktionary():
    text = ("==French==\n# A word of French that is not English at all, and long enough to be kept.\n==English==\n"
            "===Noun===\n# {{lb|en|botany}} A [[plant]] of the {{w|Oak|oak}} family.\n#: example\n#* {{quote-book}}\n"
            "## {{gloss|old}} A sub-definition.\n===Verb===\n# {{n-g|Used to do it.}}\n==German==\n# nein\n")
    assert definitions(text) == ["A plant of the oak family.", "(old) A sub-definition.", "Used to do it."]


def test_entries_of_urban_dictionary_by_year_and_length(tmp_path):
    long = "one two three four five six seven eight nine ten"
    rows = [(f"{long} eleven", "April 05, 2013"), (long, "April 05, 2013"), (f"{long} eleven", "May 1, 2010"),
            (f"{long} [eleven]", "2016-12-31T00:00:00.000Z"), (f"{long} eleven", ""), ("", "May 1, 2012"),
            (f"{long}\n\neleven", "January 01, 2011")]
    (tmp_path / "u.csv").write_text("definition,word,date\n" + "".join(f'"{a}",w,"{b}"\n' for a, b in rows)
                                    + "one field\n")
    (tmp_path / "u.json").write_text("".join(json.dumps({"definition": a, "date": b}) + "\n" for a, b in rows))
    for name, broken in (("u.csv", {"broken_csv": 1}), ("u.json", {})):
        documents, one = read("urbandictionary", tmp_path / name)
        assert documents == [f"{long} eleven"] * 3
        assert dropped(one) == {"too_short": 1, "date": 1, "no_date": 1, "no_text": 1, **broken}
        assert reconciled(one.counts)


@pytest.mark.parametrize("tokens, text", [
    ("\" We won 't , \" he said .", '"We won\'t," he said.'),
    ("It costs $ 2,900 ( or 5 % ) .", "It costs $2,900 (or 5%)."),
    ("He 's here ; they 're not : why ?", "He's here; they're not: why?"), ("the boys ' toys .", "the boys' toys."),
    ("`` go '' , she said", '"go", she said'), ("a well @-@ known man", "a well-known man"), ("do n't", "don't"),
    ("and / or", "and/or"),
    ("I think ' teacher ' is old .", "I think 'teacher' is old."),
    ("at four o 'clock", "at four o'clock"), ("no tokens here", "no tokens here")])
def test_tokens_are_joined(tokens, text):
    assert detokenize(tokens) == text


def test_openwebtext_and_one_billion_words_from_archives(tmp_path):
    inner = lzma.compress(tar_of({"a.txt": b"First page.\n\nSecond line.", "b.html": b"x"}))
    (tmp_path / "o.tar").write_bytes(tar_of({"openwebtext/subset.xz": inner, "openwebtext/c.txt": b"Third."}))
    documents, one = read("openwebtext", tmp_path / "o.tar")
    assert documents == ["First page.\n\nSecond line.", "Third."] and dropped(one) == {"not_a_text": 1}
    (tmp_path / "o.jsonl").write_text('{"text": "One."}\n{"text": "Two \\ud800."}\nbroken\n[1]\n{"text": null}\n')
    documents, one = read("openwebtext", tmp_path / "o.jsonl")
    assert documents == ["One.", "Two ?."] and dropped(one) == {"broken_json": 2, "no_text": 1}
    shards = {"1b/training/news.en-00001-of-00100": b"A b .\nC , d .\n", "1b/README": b"no\n"}
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(tar_of(shards)))
    assert read("one_billion_words", tmp_path / "b.tar.gz")[0] == ["A b.", "C, d."]


def test_news_by_language_and_date(tmp_path):
    english, german = "The people of the town met again on Monday evening.", "Die Leute trafen sich wieder am Montag."
    articles = [{"maintext": english, "date_publish": "2016-09-01 00:00", "language": "en"},
                {"text": english, "date_publish": None, "date_download": "2019-02-28", "language": None},
                {"text": english, "date": "2017-12-12 00:00:00"},  # the names of Hugging Face's copy
                {"maintext": german, "date_publish": "2017-01-01", "language": "de"},
                {"maintext": german * 3, "date_publish": "2017-01-01"},
                {"maintext": english, "date_publish": "2016-08-31"},
                {"maintext": english, "date_publish": "2019-03-01"}, {"maintext": english}, {"maintext": " "}]
    (tmp_path / "n.jsonl").write_text("".join(json.dumps(article) + "\n" for article in articles))
    documents, one = read("cc_news", tmp_path / "n.jsonl")
    assert documents == [english] * 3 and reconciled(one.counts)
    assert dropped(one) == {"language": 2, "date": 2, "no_date": 1, "no_text": 1}
    assert len(read("cc_news", tmp_path / "n.jsonl", from_date="2016-08-31", to_date="2016-09")[0]) == 2
    (tmp_path / "one.json").write_text(json.dumps(articles[0], indent=2))
    assert read("cc_news", tmp_path / "one.json")[0] == [english]


def test_pages_of_a_warc_file_and_lying_lengths(tmp_path):
    good = [record(news(i)) for i in range(3)]
    (tmp_path / "a.warc").write_bytes(good[0] + record(b"x", kind="request") + record(news(7), length=300) + good[1]
                                      + record(news(8), length=9000) + good[2] + record(news(9), date="2015-01-01"))
    documents, one = read("cc_news", tmp_path / "a.warc")
    assert [re.search(r"town (\d)", text)[1] for text in documents] == ["0", "1", "2"]
    assert dropped(one) == {"lying_length": 2, "date": 1} and reconciled(one.counts)
    assert "Home" not in "".join(documents) and "Imprint" not in "".join(documents)
    (tmp_path / "b.warc").write_bytes((good[0] + good[1])[:-400])
    documents, one = read("cc_news", tmp_path / "b.warc")
    assert len(documents) == 1 and dropped(one) == {"cut_off": 1}


@pytest.mark.parametrize("name", ["example.warc", "example.warc.gz", "example-trunc.warc",
                                  "example-wrong-chunks.warc.gz", "example-bad.warc.gz.bad",
                                  "example-bad-non-chunked.warc.gz", "example.arc.gz",
                                  "example-iana.org-chunked.warc", "post-test.warc.gz", "example-digest.warc"])
def test_real_warc_files_good_and_bad(shared, name):
    _, one = read("cc_news", shared / "data/pretrain/warc" / name, from_date="2000-01", to_date="2030-01")
    assert reconciled(one.counts)
    assert bool(one.problems) == (name == "example.arc.gz")


# -- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix, pack", [
    ("bz2", bz2.compress), ("gz", gzip.compress), ("xz", lambda data: lzma.compress(data, preset=0))])
def test_a_truncated_file_is_named_and_what_was_read_is_kept(tmp_path, suffix, pack):
    rng = random.Random(1)
    text = "".join(f"A line of words {rng.random()} {i}.\n" for i in range(60_000)).encode()
    data, path = pack(text), tmp_path / f"t.txt.{suffix}"
    path.write_bytes(data[:len(data) // 2])
    documents, one = read("text", path)
    assert len(documents) > 1000 and one.counts["documents_kept"] == len(documents)
    whole = "".join(f"{line}\n" for line in documents[:-1]).encode()
    assert text.startswith(whole)
    assert len(one.problems) == 1 and f"{path}: truncated" in one.problems[0]
    with pytest.raises(InputError, match=f"{path.name}: truncated .*leave out --strict"):
        read("text", path, strict=True)
    path.write_bytes(data[:2000] + bytes(300) + data[2300:])
    assert re.search("damaged|truncated", read("text", path)[1].problems[0])


def test_bytes_that_are_not_utf8_are_replaced_and_counted(tmp_path):
    (tmp_path / "t.txt").write_bytes(b"good\ncaf\xe9 au lait \xff\nmore\n")
    documents, one = read("text", tmp_path / "t.txt")
    assert documents == ["good", "caf\ufffd au lait \ufffd", "more"] and one.counts["invalid_utf8"] == 2
    with pytest.raises(InputError, match="not UTF-8 text, byte 0xe9"):
        read("text", tmp_path / "t.txt", strict=True)
    (tmp_path / "t.jsonl").write_bytes(b'{"text": "caf\xe9"}\n')
    assert read("openwebtext", tmp_path / "t.jsonl")[0] == ["caf\ufffd"]
    with pytest.raises(InputError, match="not UTF-8 text, byte 0xe9"):
        read("openwebtext", tmp_path / "t.jsonl", strict=True)


def test_a_line_that_is_too_long_is_dropped_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "RECORD", 1 << 20)
    (tmp_path / "t.txt").write_bytes(b"before\n" + b"x" * (5 << 20) + b"\nafter\n" + b"y" * (2 << 20))
    documents, one = read("text", tmp_path / "t.txt")
    assert documents == ["before", "after"] and dropped(one) == {"too_long": 2} and reconciled(one.counts)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_zip_bomb_stops_and_is_named(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(source, "FREE", 1 << 20)
    monkeypatch.setattr(source, "RATIO", 20)
    (tmp_path / "t.txt").write_bytes(pack(b"a line\n" + bytes(30 << 20)))
    documents, one = read("text", tmp_path / "t.txt")
    assert documents[:1] == ["a line"] and "a zip bomb? more than" in one.problems[0]
    assert one.counts["bytes_in"] < 8 << 20


def test_an_empty_file_gives_nothing(tmp_path):
    for name in CORPORA:
        (tmp_path / "empty").write_bytes(b"")
        documents, one = read(name, tmp_path / "empty")
        assert documents == [] and one.counts["documents_kept"] == 0 and reconciled(one.counts)


def test_a_damaged_tar_keeps_what_was_read(tmp_path):
    data = tar_of({f"{i}.txt": f"Page number {i}.".encode() * 200 for i in range(20)})
    (tmp_path / "o.tar").write_bytes(data[:len(data) // 2])
    documents, one = read("openwebtext", tmp_path / "o.tar")
    assert documents == [f"Page number {i}." * 200 for i in range(len(documents))]
    assert 5 < len(documents) < 20 and "truncated or damaged tar archive" in one.problems[0]


def test_a_page_that_takes_too_long_is_given_up():
    with pytest.raises(TooSlow), time_limit(0.05):
        while True:
            pathlib.Path("a")
    with time_limit(30):
        pass

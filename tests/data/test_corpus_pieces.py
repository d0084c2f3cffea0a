"""Files that several tasks read: by ranges or shares, each record comes and is counted once."""

import bz2
import collections
import gzip
import json
import random

import pytest
from corpus_files import news, page, read, reconciled, record, tar_of

from bort_mx.data.corpora import archives, cc_news, lines
from bort_mx.data.corpora.readers import CORPORA, pieces
from bort_mx.data.corpora.source import Piece, Reading, Source


def read_pieces(corpus, cut):
    """Documents of all pieces, in order, and the sum of their counts."""
    found, total = [], collections.Counter()
    for piece in cut:
        one = Source(piece, Reading(strict=True))  # damage stops
        found += [text for text in CORPORA[corpus].documents(one) if text.strip()]
        total.update(one.counts)
    return found, total


def ranges(path, parts):
    size = path.stat().st_size
    bounds = [number * size // parts for number in range(parts)] + [None]
    return [Piece(str(path), start, stop) for start, stop in zip(bounds, bounds[1:])]


def shares(path, parts):
    return [Piece(str(path), share=(share, parts)) for share in range(parts)]


def test_streams_of_a_dump_are_read_by_ranges_each_page_once(tmp_path):
    """Pages that go over the end of a stream too, as pbzip2 writes them."""
    dump = ("<mediawiki>" + "".join(page(f"P{i}", f"Page number {i} stands here. " * 40) for i in range(300))).encode()
    step = 7001
    data = b"".join(bz2.compress(dump[i:i + step]) for i in range(0, len(dump), step))
    path = tmp_path / "w.xml.bz2"
    path.write_bytes(data)
    whole, one = read("wikipedia", path)
    for parts in (2, 7, 90):
        found, counts = read_pieces("wikipedia", ranges(path, parts))
        assert found == whole and len(found) == 300 and counts == one.counts


def test_a_range_in_which_no_stream_begins_is_no_damage(tmp_path, monkeypatch):
    """A long stream, which goes over several ranges, before others."""
    draw = random.Random(0)
    dump = [page(f"P{i}", f"Page {i} stands here. {draw.getrandbits(400_000 if i == 3 else 400):x}").encode()
            for i in range(8)]
    path = tmp_path / "w.xml.bz2"
    path.write_bytes(b"".join(map(bz2.compress, dump)))
    monkeypatch.setattr("bort_mx.data.corpora.source.CHUNK", 8192)
    found, counts = read_pieces("wikipedia", ranges(path, 20))
    assert [text[:6] for text in found] == [f"Page {i}" for i in range(8)]
    assert counts["bytes_in"] == sum(map(len, dump))


def test_records_of_a_warc_file_are_read_by_ranges_each_once(tmp_path):
    data = b"".join(gzip.compress(record(news(i))) for i in range(20))
    path = tmp_path / "a.warc.gz"
    path.write_bytes(data)
    whole, one = read("cc_news", path)
    found, counts = read_pieces("cc_news", ranges(path, 6))
    assert found == whole and len(whole) == 20 and counts == one.counts


def test_lines_in_ranges_and_shares_come_once(tmp_path):
    text = [f"line {i} " + "x" * (i % 50) for i in range(3000)]
    path = tmp_path / "t.txt"
    path.write_bytes("\n".join(text).encode())
    for parts in (2, 13):
        found, counts = read_pieces("text", ranges(path, parts))
        assert found == text and counts["bytes_in"] == path.stat().st_size
    found, counts = read_pieces("text", shares(path, 3))
    assert sorted(found) == sorted(text) and counts["bytes_in"] == path.stat().st_size
    assert len(pieces("text", path, 100)) == 1


@pytest.mark.parametrize("cut", [ranges, shares])
@pytest.mark.parametrize("parts", [2, 3, 7, 40])
def test_a_line_that_is_too_long_is_counted_by_one_piece(tmp_path, monkeypatch, cut, parts):
    monkeypatch.setattr(lines, "RECORD", 1 << 16)
    monkeypatch.setattr("bort_mx.data.corpora.source.CHUNK", 8192)
    (tmp_path / "t.txt").write_bytes(b"a\n" + b"x" * 300_000 + b"\nb\nc\n" + b"y" * 200_000)
    found, counts = read_pieces("text", cut(tmp_path / "t.txt", parts))
    assert sorted(found) == ["a", "b", "c"]
    assert counts["documents_in"] == 5 and counts["documents_dropped_too_long"] == 2 and reconciled(counts)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_tar_is_shared_not_cut(tmp_path, monkeypatch, pack):
    """Its members cannot be found from the middle."""
    monkeypatch.setattr("bort_mx.data.corpora.readers.RECORD", 20_000)
    monkeypatch.setattr(archives, "RECORD", 20_000)
    books = {f"b/{i}.txt": f"Book {i} is here. ".encode() * (2000 if i == 3 else 100) for i in range(40)}
    path = tmp_path / "books.tar"
    path.write_bytes(pack(tar_of(books)))
    for corpus in ("bookcorpus", "text", "openwebtext"):
        cut = pieces(corpus, path, 1)
        found, counts = read_pieces(corpus, cut if len(cut) > 1 else shares(path, 4))
        assert sorted(found) == sorted(books[name].decode() for name in books if name != "b/3.txt")
        assert counts["documents_in"] == 40 and counts["documents_dropped_too_long"] == 1 and reconciled(counts)
        assert pack is gzip.compress or len(cut) == 4


def test_shards_of_one_billion_words_in_their_tar_may_be_larger_than_a_record(tmp_path, monkeypatch):
    """The published ones have 40 MB each."""
    monkeypatch.setattr(archives, "RECORD", 1000)
    monkeypatch.setattr(lines, "RECORD", 1000)
    shards = {f"1b/news.en-0000{i}-of-00100": "".join(f"Line {j} of {i} .\n" for j in range(500)).encode()
              for i in range(3)}
    path = tmp_path / "b.tar.gz"
    path.write_bytes(gzip.compress(tar_of({**shards, "1b/README": b"no\n" * 900})))
    found, counts = read_pieces("one_billion_words", shares(path, 2))
    assert sorted(found) == sorted(f"Line {j} of {i}." for i in range(3) for j in range(500))
    assert counts["documents_in"] == counts["documents_kept"] == 1500


def test_an_article_over_many_lines_is_one_piece_s(tmp_path):
    article = {"maintext": "The people of the town met again on Monday evening.", "date_publish": "2017-01-01",
               "language": "en"}
    (tmp_path / "a.json").write_text(json.dumps(article, indent=2))
    assert read_pieces("cc_news", shares(tmp_path / "a.json", 4))[1]["documents_in"] == 1


@pytest.mark.parametrize("text, spread", [
    ('{"a": 1}\n{"a": 2}', False), ('{"a": 1}\r\n{"a": 2}\r\n', False), ('{"a": 1}', False), ('{"a": 1', False),
    ('[\n{"a": 1},\n{"a": 2}\n]', False), ('{"a": 1\n{"a": 2}\n', False),
    ('{"a": {\n"b": 1}}', True), ('{\r\n "a": 1}', True), ('{"a": 1,\n "b": 2}', True)])
def test_json_lines_are_told_from_an_object_over_many_lines(text, spread):
    assert cc_news.is_spread(text.encode()) == spread

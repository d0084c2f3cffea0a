"""`prepare`: what goes in comes out once, in its split, the same bytes for any number of workers; bad input named."""

import errno
import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from prepare_runs import ROOT, sentences, texts, tree_hash

from bort_mx.commands.prepare import PrepareOptions, main, prepare
from bort_mx.data import TokenShards
from bort_mx.data.corpora import formats, text_files
from bort_mx.data.corpora.corpus_format import CorpusFormat
from bort_mx.data.prepare import plan
from bort_mx.data.prepare.output_directory import WORK
from bort_mx.data.prepare.vocabulary import sample_sentences
from bort_mx.data.shards import SPLITS
from bort_mx.data.text import split_sentences
from bort_mx.errors import InputError
from bort_mx.io import files


def run(tmp_path, data, name="out", **options):
    if "tokenizer" not in options:
        options = {"train_vocab": 400, **options}
    options = {"workers": 1, **options}
    return prepare(PrepareOptions([str(path) for path in data], str(tmp_path / name), **options))


# -- what comes out ----------------------------------------------------------------------------------------------


def test_every_sentence_comes_out_once_shuffled_and_split(tmp_path):
    given = sentences(4000)
    (tmp_path / "a.txt").write_text("\n".join(given))
    (tmp_path / "b.txt").write_text("\n".join(given[:500]) + "\n\n  \n")
    manifest = run(tmp_path, [tmp_path / "a.txt", tmp_path / "b.txt"])
    found = texts(tmp_path / "out")
    together = [text for split in SPLITS for text in found[split]]
    assert sorted(together) == sorted(given)
    assert manifest["dropped"]["duplicates"] == 500 and manifest["dropped"]["blank_lines"] == 2
    assert manifest["counts"]["lines"] == 4502 and manifest["counts"]["unknown_tokens"] == 0
    for split, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert len(found[split]) / 4000 == pytest.approx(share, abs=0.02)
    places = {text: i for i, text in enumerate(given)}
    order = [places[text] for text in found["train"]]
    neighbours = sum(abs(a - b) < 40 for a, b in zip(order, order[1:]))
    assert neighbours < 0.05 * len(order)  # 2 % by chance
    reports = {name: entry["sentences"] for name, entry in manifest["splits"].items()}
    assert reports == {name: len(found[name]) for name in SPLITS}


@pytest.mark.parametrize("count", [3, 12, 90])
def test_few_sentences_still_fill_every_split(tmp_path, vocabulary, count):
    (tmp_path / "a.txt").write_text("\n".join(sentences(count)))
    manifest = run(tmp_path, [tmp_path / "a.txt"], tokenizer=vocabulary)
    for name in ("validation", "test"):
        assert count / 10 - 0.9 <= manifest["splits"][name]["sentences"] <= count / 10 + 0.9
        assert manifest["splits"][name]["sentences"] > 0


def test_workers_file_order_and_compression_do_not_change_a_byte(tmp_path, monkeypatch, vocabulary):
    monkeypatch.setattr(text_files, "BLOCK", 20_000)
    monkeypatch.setattr("bort_mx.data.prepare.buckets.BUCKET", 20_000)
    given = sentences(3000)
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    (one / "a.txt").write_text("\n".join(given[:1000]))
    (one / "b.txt").write_text("\n".join(given[1000:]))
    (two / "z.txt").write_text("\n".join(given[:1000]))
    with gzip.open(two / "c.gz", "wt") as file:
        file.write("\n".join(given[1000:]))
    run(tmp_path, [one], "serial", tokenizer=vocabulary)
    run(tmp_path, [one], "parallel", workers=2, tokenizer=vocabulary)
    run(tmp_path, [two], "gzip", tokenizer=vocabulary)
    run(tmp_path, [one], "seed", seed=1, tokenizer=vocabulary)
    serial = tree_hash(tmp_path / "serial")
    assert tree_hash(tmp_path / "parallel") == serial
    shards = {name: value for name, value in serial.items() if name != "manifest.json"}
    assert {k: v for k, v in tree_hash(tmp_path / "gzip").items() if k != "manifest.json"} == shards
    (two / "c.gz").rename(two / "c.txt")  # its first bytes tell
    monkeypatch.setattr(plan, "LEAST", 5000)
    run(tmp_path, [two], "cut", tokenizer=vocabulary)
    assert {k: v for k, v in tree_hash(tmp_path / "cut").items() if k != "manifest.json"} == shards
    assert tree_hash(tmp_path / "seed")["train/shard-00000.bin"] != serial["train/shard-00000.bin"]


def test_a_sentence_keeps_its_split_in_a_larger_corpus(tmp_path, vocabulary):
    given = sentences(3000)
    (tmp_path / "small.txt").write_text("\n".join(given[:1500]))
    (tmp_path / "large.txt").write_text("\n".join(given))
    run(tmp_path, [tmp_path / "small.txt"], "small", tokenizer=vocabulary)
    run(tmp_path, [tmp_path / "large.txt"], "large", tokenizer=vocabulary)
    small, large = texts(tmp_path / "small"), texts(tmp_path / "large")
    for split in SPLITS:
        assert set(small[split]) <= set(large[split])


def test_documents_are_told_from_sentences_and_split(tmp_path):
    given = sentences(300)
    (tmp_path / "documents.txt").write_text("\n".join(" ".join(given[i:i + 5]) for i in range(0, 300, 5)))
    (tmp_path / "sentences.txt").write_text("\n".join(given))
    manifest = run(tmp_path, [tmp_path / "documents.txt", tmp_path / "sentences.txt"])
    assert manifest["dropped"]["duplicates"] == 300
    assert sorted(sum(texts(tmp_path / "out").values(), [])) == sorted(given)


def test_a_format_of_corpora_is_one_line_in_the_table(tmp_path, vocabulary, monkeypatch):
    """JSON lines, each with a document as its text."""
    def texts_of(lines, path):
        return "\n".join(json.loads(line)["text"] for line in lines.splitlines())

    monkeypatch.setitem(formats.FORMATS, "json", CorpusFormat(texts_of, documents=True))
    given = sentences(60)
    records = [json.dumps({"text": " ".join(given[i:i + 3])}) for i in range(0, 60, 3)]
    (tmp_path / "a.jsonl").write_text("\n".join(records) + "\n")
    manifest = run(tmp_path, [tmp_path / "a.jsonl"], tokenizer=vocabulary, format="json")
    assert sorted(sum(texts(tmp_path / "out").values(), [])) == sorted(given) and manifest["counts"]["lines"] == 20


def test_cleaning_and_word_limit(tmp_path, vocabulary):
    dirty = "\ufeffone\u00a0 two\tthree\u200b \x07four\r\nfive six\r\n \u2003 \nseven\n"
    (tmp_path / "a.txt").write_bytes(dirty.encode())
    manifest = run(tmp_path, [tmp_path / "a.txt"], tokenizer=vocabulary, format="sentences")
    assert sorted(sum(texts(tmp_path / "out").values(), [])) == ["five six", "one two three four", "seven"]
    assert manifest["dropped"]["control_characters"] == 2 and manifest["dropped"]["blank_lines"] == 1
    (tmp_path / "b.txt").write_text("one two three\nfour five six\nseven eight nine\nten\n")
    manifest = run(tmp_path, [tmp_path / "b.txt"], "limited", tokenizer=vocabulary, format="sentences",
                   min_words=2)
    assert manifest["dropped"]["too_short"] == 1 and manifest["counts"]["sentences"] == 3


def test_special_tokens_written_in_a_corpus_stay_text(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"{i} a <mask> and </s> in <s> text <unk>.\n" for i in range(60)))
    run(tmp_path, [tmp_path / "a.txt"], train_vocab=320)
    shards = TokenShards(tmp_path / "out", "train")
    special = shards.tokenizer().special_ids
    assert all(special.isdisjoint(shards[i].tolist()) for i in range(len(shards)))


@pytest.mark.parametrize("document, expected", [
    ("Mr. Smith met Dr. J. K. Rowling. They talked.", ["Mr. Smith met Dr. J. K. Rowling.", "They talked."]),
    ("The U.S. Army left. It was 3.14 p.m. in the U.S. The end.",
     ["The U.S. Army left.", "It was 3.14 p.m. in the U.S.", "The end."]),
    ('He said "Go!" She left. "Why?" he asked. What?! No\u2026 Yes.',
     ['He said "Go!"', "She left.", '"Why?" he asked.', "What?!", "No\u2026", "Yes."]),
    ("He said no. Then No. 5 came, e.g. This one. So did I. He knew.",
     ["He said no.", "Then No. 5 came, e.g. This one.", "So did I.", "He knew."]),
    ("No end here", ["No end here"]),
    ("天气很好。我们走吧！他说：“好。”走了。",
     ["天气很好。", "我们走吧！", "他说：“好。”", "走了。"]),
    ("「行け。」と言った。彼は？！ はい。",
     ["「行け。」と言った。", "彼は？！", "はい。"]),
    ("यह घर है। वह आया।",
     ["यह घर है।", "वह आया।"])])
def test_sentence_splitting(document, expected):
    assert split_sentences([document]) == expected


def test_splitting_nothing_gives_nothing():
    assert split_sentences([]) == []


def test_a_vocabulary_is_trained_on_text_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "BLOCK", 300_000)
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text("\n".join(f"{name} {text}" for text in sentences(40_000)))
    paths = text_files.list_files([tmp_path])[0]
    sample = list(sample_sentences(paths, "auto", megabytes=1))
    assert sum(len(sentence) + 1 for sentence in sample) == pytest.approx(1e6, rel=0.2)
    shares = [sum(sentence.startswith(f"{name} ") for sentence in sample) / len(sample) for name in "abc"]
    assert min(shares) > 0.2


# -- the output directory ----------------------------------------------------------------------------------------


def test_foreign_directories_are_refused_and_own_ones_replaced(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(sentences(100)))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="did not write"):
        run(tmp_path, [tmp_path / "a.txt"])
    with pytest.raises(InputError, match="inside the data folder"):
        run(tmp_path, [tmp_path], "new")
    first = run(tmp_path, [tmp_path / "a.txt"], "mine")
    second = run(tmp_path, [tmp_path / "a.txt"], "mine", seed=1)
    assert first != second and not (tmp_path / "mine" / WORK).exists()
    assert TokenShards(tmp_path / "mine", "train").manifest == second


def test_a_failed_run_leaves_the_earlier_output_whole(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(sentences(100)))
    (tmp_path / "b.txt").write_bytes(b"good line\n" * 10 + b"\xff\n")
    run(tmp_path, [tmp_path / "a.txt"])
    before = tree_hash(tmp_path / "out")
    with pytest.raises(InputError):
        run(tmp_path, [tmp_path / "a.txt", tmp_path / "b.txt"], tokenizer=str(tmp_path / "out/tokenizer"))
    assert tree_hash(tmp_path / "out") == before
    with pytest.raises(InputError):
        run(tmp_path, [tmp_path / "b.txt"], "fresh")
    assert not (tmp_path / "fresh").exists()


def test_a_disk_that_is_full_at_the_end_leaves_the_earlier_output_whole(tmp_path, vocabulary, monkeypatch):
    (tmp_path / "a.txt").write_text("\n".join(sentences(50)))
    run(tmp_path, [tmp_path / "a.txt"], tokenizer=vocabulary)
    before = tree_hash(tmp_path / "out")
    genuine = files.write_json

    def full(path, value):
        if path.name == "manifest.json":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        genuine(path, value)

    monkeypatch.setattr(files, "write_json", full)
    (tmp_path / "a.txt").write_text("\n".join(sentences(50, seed=1)))
    with pytest.raises(OSError, match="No space left"):
        run(tmp_path, [tmp_path / "a.txt"], tokenizer=vocabulary)
    assert tree_hash(tmp_path / "out") == before


@pytest.mark.parametrize("change", [{"splits": None}, {"files": []}, {"vocabulary": 3}])
def test_an_altered_manifest_is_named(tmp_path, vocabulary, change):
    (tmp_path / "a.txt").write_text("\n".join(sentences(50)))
    manifest = run(tmp_path, [tmp_path / "a.txt"], tokenizer=vocabulary)
    (tmp_path / "out/manifest.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(InputError, match=f"manifest.json: altered, its field '{next(iter(change))}'"):
        TokenShards(tmp_path / "out", "train")


def test_killed_at_work_leaves_no_manifest_and_the_next_run_starts_clean(tmp_path):
    given = sentences(200_000)
    (tmp_path / "a.txt").write_text("\n".join(given))
    command = [sys.executable, "-m", "bort_mx", "prepare", "--data", str(tmp_path / "a.txt"), "--output-dir",
               str(tmp_path / "out"), "--train-vocab", "400", "--workers", "2"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while len(psutil.Process(process.pid).children()) < 2 and process.poll() is None:
            time.sleep(0.01)
        workers = psutil.Process(process.pid).children()
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "out/manifest.json").exists()
    assert not psutil.wait_procs(workers, timeout=30)[1]  # orphans end by themselves
    (tmp_path / "b.txt").write_text("\n".join(given[:200]))
    run(tmp_path, [tmp_path / "b.txt"])
    assert sorted(sum(texts(tmp_path / "out").values(), [])) == sorted(given[:200])


# -- bad input ---------------------------------------------------------------------------------------------------


def refusal(tmp_path, capsys, *arguments):
    """The one line on stderr of a command that ends with code 2."""
    assert main([*map(str, arguments), "--output-dir", str(tmp_path / "out"), "--workers", "1"]) == 2
    lines = capsys.readouterr().err.strip().split("\n")
    assert len(lines) == 1 and lines[0].startswith("bort-mx prepare: error: ")
    assert not (tmp_path / "out/manifest.json").exists()
    return lines[0]


def test_bad_files_are_named_in_one_line(tmp_path, capsys, vocabulary):
    vocabulary = ("--tokenizer", vocabulary)
    path = tmp_path / "bad.txt"
    assert f"{path}: no such file" in refusal(tmp_path, capsys, "--data", path, *vocabulary)
    path.write_bytes(b"\n \n\n")
    assert "no text in 1 file(s)" in refusal(tmp_path, capsys, "--data", path, *vocabulary)
    path.write_bytes(b"fine\n" * 300_000 + b"caf\xe9 au lait\n")
    assert f"{path}: not UTF-8 text, byte 0xe9 at byte offset 1,500,003" in refusal(
        tmp_path, capsys, "--data", path, *vocabulary)
    path.write_bytes(b"\xef\xbb\xbfcaf\xe9\n")
    assert "byte offset 6;" in refusal(tmp_path, capsys, "--data", path, *vocabulary)
    path.write_bytes(b"text\n\0binary")
    assert f"{path}: not a text file, it has a NUL at byte 5" in refusal(tmp_path, capsys, "--data", path, *vocabulary)
    (tmp_path / "empty").mkdir()
    assert "no files in there" in refusal(tmp_path, capsys, "--data", tmp_path / "empty", *vocabulary)


def test_bad_bytes_behind_good_text_are_named_while_a_vocabulary_is_trained(tmp_path, capsys):
    good = "\n".join(sentences(500)).encode() + b"\n"
    (tmp_path / "a.txt").write_bytes(good)
    (tmp_path / "b.txt").write_bytes(good + b"caf\xe9\n")
    line = refusal(tmp_path, capsys, "--data", tmp_path / "a.txt", tmp_path / "b.txt", "--train-vocab", "400")
    assert f"{tmp_path / 'b.txt'}: not UTF-8 text, byte 0xe9 at byte offset {len(good) + 3:,};" in line


def test_damaged_gzip_is_named(tmp_path, capsys, vocabulary):
    vocabulary = ("--tokenizer", vocabulary)
    path = tmp_path / "text.gz"
    whole = gzip.compress("\n".join(sentences(3000)).encode())
    path.write_bytes(whole[:len(whole) // 2])
    assert f"{path}: truncated gzip" in refusal(tmp_path, capsys, "--data", path, *vocabulary)
    path.write_bytes(whole[:1000] + bytes(100) + whole[1100:])
    assert f"{path}: damaged gzip" in refusal(tmp_path, capsys, "--data", path, *vocabulary)
    path.write_bytes(b"plain text")
    assert f"{path}: named .gz but not gzip" in refusal(tmp_path, capsys, "--data", path, *vocabulary)


def test_bad_options_are_named(tmp_path, capsys, monkeypatch):
    (tmp_path / "a.txt").write_text("some text\n")
    data = ("--data", tmp_path / "a.txt")
    assert "neither was given" in refusal(tmp_path, capsys, *data)
    both = refusal(tmp_path, capsys, *data, "--tokenizer", "x", "--train-vocab", "400")
    assert "--tokenizer x and --train-vocab 400 exclude each other" in both
    with pytest.raises(InputError, match="both were given"):
        PrepareOptions(data=["a"], output_dir="b", tokenizer="x", train_vocab=400)
    assert "--train-vocab must be from 300" in refusal(tmp_path, capsys, *data, "--train-vocab", "70000")
    assert "unknown option --vocab" in refusal(tmp_path, capsys, *data, "--vocab", "70000")
    assert "--seed: expected a whole number, found 'x'" in refusal(
        tmp_path, capsys, *data, "--train-vocab", "400", "--seed", "x")
    assert "cannot train a vocabulary of 400 tokens" in refusal(tmp_path, capsys, *data, "--train-vocab", "400")


def test_a_vocabulary_beyond_16_bits_is_refused(tmp_path, capsys):
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"t{i}" for i in range(65_536))]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens))
    (tmp_path / "a.txt").write_text("some text\n")
    line = refusal(tmp_path, capsys, "--data", tmp_path / "a.txt", "--tokenizer", tmp_path / "vocab.txt")
    assert "65,541 tokens" in line and "65,536 at most" in line


def test_the_command_reports_what_it_did(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("\n".join(sentences(200) * 2))
    assert main(["--data", str(tmp_path / "a.txt"), "--output-dir", str(tmp_path / "out"), "--train-vocab", "400"]) == 0
    shown = capsys.readouterr().out
    assert "train: 160 sentences" in shown and "dropped: 200 duplicates" in shown
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["inputs"] == [{"path": str(tmp_path / "a.txt"), "bytes": os.path.getsize(tmp_path / "a.txt"),
                                   "sha256": hashlib.sha256((tmp_path / "a.txt").read_bytes()).hexdigest(),
                                   "read_as": "sentences"}]
    assert "read as: sentences (1 file)" in shown
    for name, entry in manifest["files"].items():
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == entry["sha256"]


def test_data_needs_no_mxnet():
    code = "import sys, bort_mx.commands.prepare; sys.exit('mxnet' in sys.modules or 'gluonnlp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
